-- What a replay needs to know, and where the time went. The times of texts that were made before were not measured; whether one of them
-- was edited is not known either, and a replay of such a text shows it.
ALTER TABLE text_generations ADD COLUMN truncated_tokens BIGINT NOT NULL DEFAULT 0;
ALTER TABLE text_generations ADD COLUMN queued_ms BIGINT;
ALTER TABLE text_generations ADD COLUMN first_token_ms BIGINT;
ALTER TABLE text_generations ADD COLUMN edited BOOLEAN NOT NULL DEFAULT FALSE;
