-- An address must not be another's name, in whatever case.
CREATE INDEX users_by_folded_name ON users (lower(username));

-- Spent tokens go when they are older than any session that nobody uses.
CREATE INDEX refresh_tokens_by_spending ON refresh_tokens (spent_at);

-- Addresses are compared in lower case from here on, and kept so. One stays as it was where somebody else signs in by the same one in
-- another case, as an address or as a name: who it belongs to signs in by it as it was written, or by name.
CREATE INDEX users_by_folded_email ON users (lower(email));

UPDATE users SET email = lower(email)
WHERE email <> lower(email)
    AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.id <> users.id AND lower(other.email) = lower(users.email))
    AND NOT EXISTS (SELECT 1 FROM users AS other WHERE other.id <> users.id AND lower(other.username) = lower(users.email));

-- It served this statement alone.
DROP INDEX users_by_folded_email;
