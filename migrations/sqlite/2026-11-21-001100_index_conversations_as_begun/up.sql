-- An export reads them in this order, a page at a time.
CREATE INDEX conversations_as_begun ON conversations (user_id, id);
