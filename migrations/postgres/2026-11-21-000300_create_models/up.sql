CREATE TABLE models (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    llm TEXT NOT NULL,
    max_length BIGINT NOT NULL,
    temperature DOUBLE PRECISION NOT NULL,
    top_p DOUBLE PRECISION NOT NULL
);

-- A user's own defaults follow their model when it is renamed, and go with it when it is removed.
CREATE TABLE user_model_defaults (
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    model_name TEXT COLLATE "C" NOT NULL REFERENCES models (name) ON DELETE CASCADE ON UPDATE CASCADE,
    max_length BIGINT NOT NULL,
    temperature DOUBLE PRECISION NOT NULL,
    top_p DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (user_id, model_name)
);

CREATE INDEX user_model_defaults_by_model ON user_model_defaults (model_name);
