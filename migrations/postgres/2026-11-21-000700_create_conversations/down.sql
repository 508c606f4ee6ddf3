DROP TABLE chat_stream_pieces;
DROP TABLE chat_streams;
DROP TABLE messages;
DROP TABLE conversations;
