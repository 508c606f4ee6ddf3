ALTER TABLE text_generations DROP COLUMN edited;
ALTER TABLE text_generations DROP COLUMN first_token_ms;
ALTER TABLE text_generations DROP COLUMN queued_ms;
ALTER TABLE text_generations DROP COLUMN truncated_tokens;
