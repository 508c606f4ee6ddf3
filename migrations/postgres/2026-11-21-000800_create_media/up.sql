-- Pictures and recordings. One that was made without signing in belongs to nobody; its id then has a secret part. settings is JSON.
CREATE TABLE media (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" REFERENCES users (id) ON DELETE CASCADE,
    prompt TEXT NOT NULL,
    model TEXT NOT NULL,
    settings TEXT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    failure TEXT,
    size_bytes BIGINT,
    created_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP
);

CREATE INDEX media_by_user ON media (user_id, kind, created_at, id);
CREATE INDEX media_by_time ON media (kind, created_at, id);
CREATE INDEX media_unfinished ON media (created_at, id) WHERE finished_at IS NULL;
