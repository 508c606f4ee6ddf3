-- scopes are names with a space between. prefix is how the key begins, hash the SHA-256 of the whole.
CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    hash TEXT NOT NULL,
    scopes TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    last_used_at TIMESTAMP
);

CREATE INDEX api_keys_by_prefix ON api_keys (prefix);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at, id);

-- Tokens set aside for what is running. A key may go while it runs: its user's day is settled all the same, so nothing refers to it.
-- Made before the days, so that PostgreSQL removes an account's rows in the order in which settling locks them.
CREATE TABLE token_reservations (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    api_key_id TEXT,
    day DATE NOT NULL,
    tokens BIGINT NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

CREATE INDEX token_reservations_by_user ON token_reservations (user_id);
CREATE INDEX token_reservations_by_end ON token_reservations (expires_at);

CREATE TABLE token_days (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    day DATE NOT NULL,
    used BIGINT NOT NULL CHECK (used >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (user_id, day)
);

CREATE TABLE api_key_token_days (
    api_key_id TEXT NOT NULL REFERENCES api_keys (id) ON DELETE CASCADE,
    day DATE NOT NULL,
    used BIGINT NOT NULL CHECK (used >= 0),
    reserved BIGINT NOT NULL CHECK (reserved >= 0),
    PRIMARY KEY (api_key_id, day)
);

-- Events stay when the account that they speak of is removed, so nothing here refers to it.
CREATE TABLE audit_events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    occurred_at TIMESTAMP NOT NULL,
    action TEXT NOT NULL,
    actor TEXT,
    subject TEXT NOT NULL,
    address TEXT,
    detail TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE INDEX audit_events_by_action ON audit_events (action, sequence);
CREATE INDEX audit_events_by_actor ON audit_events (actor, sequence);
CREATE INDEX audit_events_by_subject ON audit_events (subject, sequence);

CREATE TRIGGER audit_events_refuse_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;

CREATE TRIGGER audit_events_refuse_delete BEFORE DELETE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit_events is append-only');
END;

-- The last event's number and hash, in one row: whoever adds the next locks it, and a log whose end was cut off does not fit it.
CREATE TABLE audit_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);

INSERT INTO audit_head (id, sequence, hash) VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- purpose is 'invitation' or 'password_reset', and user_id whose password. A code goes when it is spent, and with who made it.
CREATE TABLE one_time_codes (
    id TEXT NOT NULL PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,
    purpose TEXT NOT NULL,
    user_id TEXT UNIQUE REFERENCES users (id) ON DELETE CASCADE,
    created_by TEXT REFERENCES users (id) ON DELETE CASCADE,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL
);

CREATE INDEX one_time_codes_by_maker ON one_time_codes (created_by);
CREATE INDEX one_time_codes_by_end ON one_time_codes (expires_at);

-- subject is 'role:…', 'user:…' or 'key:…'; the columns beside it make the row go with its user or key.
CREATE TABLE limit_overrides (
    subject TEXT NOT NULL PRIMARY KEY,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    api_key_id TEXT REFERENCES api_keys (id) ON DELETE CASCADE,
    requests_per_minute BIGINT,
    tokens_per_day BIGINT
);

CREATE INDEX limit_overrides_by_user ON limit_overrides (user_id);
CREATE INDEX limit_overrides_by_api_key ON limit_overrides (api_key_id);
