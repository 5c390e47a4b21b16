-- What the far end's keys mean, by merchant. Every merchant begins with the same ones, which stand in the protocol's crate.
CREATE TABLE commands (
    merchant_id TEXT NOT NULL REFERENCES merchants (id) ON DELETE CASCADE,
    sequence TEXT NOT NULL,
    action TEXT NOT NULL,
    url TEXT,
    label TEXT NOT NULL,
    PRIMARY KEY (merchant_id, sequence)
);

INSERT INTO commands (merchant_id, sequence, action, label)
SELECT id, '*22', 'speaker_louder', 'The shopper hears you louder' FROM merchants UNION ALL
SELECT id, '*20', 'speaker_softer', 'The shopper hears you softer' FROM merchants UNION ALL
SELECT id, '*88', 'microphone_louder', 'You hear the shopper louder' FROM merchants UNION ALL
SELECT id, '*80', 'microphone_softer', 'You hear the shopper softer' FROM merchants UNION ALL
SELECT id, '*33', 'echo_up', 'More against echo' FROM merchants UNION ALL
SELECT id, '*30', 'echo_down', 'Less against echo' FROM merchants UNION ALL
SELECT id, '*66', 'mute', 'Mute the shopper''s microphone' FROM merchants UNION ALL
SELECT id, '*99', 'quality_test', 'Test the shopper''s connection' FROM merchants;

-- The pause that ends a sequence which could go on.
ALTER TABLE merchants ADD COLUMN key_pause_ms BIGINT NOT NULL DEFAULT 1500;

-- What may not be done from afar: words, with a blank between.
ALTER TABLE merchants ADD COLUMN forbidden TEXT NOT NULL DEFAULT '';
