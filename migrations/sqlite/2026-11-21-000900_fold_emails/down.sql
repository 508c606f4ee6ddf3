-- In which case an address was written is not known any more.
DROP INDEX refresh_tokens_by_spending;
DROP INDEX users_by_folded_name;
