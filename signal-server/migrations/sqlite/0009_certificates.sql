-- The fingerprints of an open call's pages' certificates (a JSON array, the newest last; forgotten at the end): a restarted server gives the
-- call to no other browser.
ALTER TABLE calls ADD COLUMN certificates TEXT;
