-- active_message and summary_up_to are messages of the conversation; nothing refers to them by a constraint, because the two tables would
-- refer to each other. parameters is JSON. folded_* is the text beside it without the difference between upper and lower case.
CREATE TABLE conversations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    is_default BOOLEAN NOT NULL,
    title TEXT,
    folded_title TEXT,
    system_prompt TEXT,
    model TEXT,
    parameters TEXT NOT NULL,
    memory TEXT,
    pinned BOOLEAN NOT NULL,
    active_message TEXT COLLATE "C",
    summary TEXT,
    summary_up_to TEXT COLLATE "C",
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

CREATE UNIQUE INDEX conversations_default ON conversations (user_id) WHERE is_default;
CREATE INDEX conversations_by_user ON conversations (user_id, updated_at, id);

-- depth is how many messages come before in the branch. A parent is a message of the same conversation and goes with it, so nothing else
-- refers to it: a chain of references as long as a conversation is more than SQLite can follow.
CREATE TABLE messages (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    conversation_id TEXT COLLATE "C" NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent_id TEXT COLLATE "C",
    depth BIGINT NOT NULL,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    folded_content TEXT NOT NULL,
    status TEXT NOT NULL,
    model TEXT,
    prompt_tokens BIGINT,
    completion_tokens BIGINT,
    created_at TIMESTAMP NOT NULL
);

CREATE INDEX messages_by_conversation ON messages (conversation_id, depth, id);
CREATE INDEX messages_by_parent ON messages (parent_id);

-- Answers that are being made, or were a moment ago. state is 'running', 'done' or why it broke off.
CREATE TABLE chat_streams (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    conversation_id TEXT COLLATE "C" NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    parent_id TEXT COLLATE "C" NOT NULL,
    parent_depth BIGINT NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    model TEXT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    stop_requested BOOLEAN NOT NULL,
    attended_until TIMESTAMP,
    started_at TIMESTAMP NOT NULL,
    beat_at TIMESTAMP NOT NULL,
    ended_at TIMESTAMP
);

CREATE INDEX chat_streams_by_user ON chat_streams (user_id);
CREATE INDEX chat_streams_by_conversation ON chat_streams (conversation_id);
CREATE INDEX chat_streams_by_beat ON chat_streams (state, beat_at);
CREATE INDEX chat_streams_by_end ON chat_streams (ended_at);

-- pieces is a JSON array of strings, the first of which is the one with this number.
CREATE TABLE chat_stream_pieces (
    stream_id TEXT COLLATE "C" NOT NULL REFERENCES chat_streams (id) ON DELETE CASCADE,
    first_number BIGINT NOT NULL,
    pieces TEXT NOT NULL,
    PRIMARY KEY (stream_id, first_number)
);
