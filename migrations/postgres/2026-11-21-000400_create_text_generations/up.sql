-- model is the name that was asked for and llm what stood behind it then: a record stays true when the model is renamed or removed,
-- so neither refers to the table of models. parameters is JSON.
CREATE TABLE text_generations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    prompt TEXT NOT NULL,
    generated_text TEXT NOT NULL,
    model TEXT NOT NULL,
    llm TEXT NOT NULL,
    weights_digest TEXT,
    parameters TEXT NOT NULL,
    prompt_tokens BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    finish_reason TEXT NOT NULL,
    duration_ms BIGINT NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE INDEX text_generations_by_user ON text_generations (user_id, created_at, id);
CREATE INDEX text_generations_by_time ON text_generations (created_at, id);
