CREATE TABLE models (
    name TEXT NOT NULL PRIMARY KEY,
    llm TEXT NOT NULL,
    max_length BIGINT NOT NULL,
    temperature DOUBLE NOT NULL,
    top_p DOUBLE NOT NULL
);

-- A user's own defaults follow their model when it is renamed, and go with it when it is removed.
CREATE TABLE user_model_defaults (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    model_name TEXT NOT NULL REFERENCES models (name) ON DELETE CASCADE ON UPDATE CASCADE,
    max_length BIGINT NOT NULL,
    temperature DOUBLE NOT NULL,
    top_p DOUBLE NOT NULL,
    PRIMARY KEY (user_id, model_name)
);

CREATE INDEX user_model_defaults_by_model ON user_model_defaults (model_name);
