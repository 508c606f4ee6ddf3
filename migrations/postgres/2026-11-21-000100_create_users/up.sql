-- Identifiers and names are compared byte by byte (COLLATE "C"), as SQLite does: one order everywhere, whatever the server's locale.
-- Times are in UTC. The constraints' names tell the program which field is taken.
CREATE TABLE users (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    username TEXT COLLATE "C" NOT NULL CONSTRAINT users_username_unique UNIQUE,
    email TEXT COLLATE "C" CONSTRAINT users_email_unique UNIQUE,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE INDEX users_by_time ON users (created_at, id);
