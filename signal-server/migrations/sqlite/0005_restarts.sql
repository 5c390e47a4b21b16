-- What a restarted server needs to go on with an open call: its plan (JSON; forgotten at the end) and which of its `resume`
-- tokens count.
ALTER TABLE calls ADD COLUMN plan TEXT;
ALTER TABLE calls ADD COLUMN token_newest BIGINT;
ALTER TABLE calls ADD COLUMN token_oldest BIGINT;
