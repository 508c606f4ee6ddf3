DROP INDEX conversations_as_begun;
