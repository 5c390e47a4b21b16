-- Times are milliseconds since 1970-01-01 UTC.

CREATE TABLE merchants (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    signing_secret TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE origins (
    merchant_id TEXT NOT NULL REFERENCES merchants (id) ON DELETE CASCADE,
    origin TEXT NOT NULL,
    PRIMARY KEY (merchant_id, origin)
);

CREATE TABLE destinations (
    merchant_id TEXT NOT NULL REFERENCES merchants (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    trunk TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (merchant_id, id)
);

CREATE TABLE links (
    merchant_id TEXT NOT NULL REFERENCES merchants (id) ON DELETE CASCADE,
    id TEXT NOT NULL,
    label TEXT NOT NULL,
    destination_id TEXT NOT NULL,
    no_answer_ms BIGINT,
    PRIMARY KEY (merchant_id, id),
    FOREIGN KEY (merchant_id, destination_id) REFERENCES destinations (merchant_id, id)
);

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    key_hash TEXT NOT NULL UNIQUE,
    merchant_id TEXT REFERENCES merchants (id) ON DELETE CASCADE,
    configured BOOLEAN NOT NULL,
    created_at BIGINT NOT NULL
);

-- Secrets that the server made for itself.
CREATE TABLE secrets (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- Records outlive the merchants, links and destinations that they name, so nothing is referenced.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    merchant_id TEXT NOT NULL,
    link_id TEXT NOT NULL,
    destination_id TEXT NOT NULL,
    trunk TEXT NOT NULL,
    address TEXT NOT NULL,
    origin TEXT NOT NULL,
    page TEXT,
    customer TEXT,
    gateway TEXT,
    started_at BIGINT NOT NULL,
    dialed_at BIGINT,
    ringing_at BIGINT,
    answered_at BIGINT,
    ended_at BIGINT,
    reason TEXT,
    code TEXT,
    sip_status BIGINT,
    sip_call_id TEXT,
    detail TEXT,
    visitor_packets BIGINT,
    agent_packets BIGINT,
    visitor_lost BIGINT,
    agent_lost BIGINT
);

CREATE INDEX calls_by_merchant ON calls (merchant_id, id);
CREATE INDEX calls_open ON calls (started_at) WHERE ended_at IS NULL;
