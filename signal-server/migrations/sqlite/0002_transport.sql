-- What carried the audio to and from the browser, last.
ALTER TABLE calls ADD COLUMN transport TEXT;
