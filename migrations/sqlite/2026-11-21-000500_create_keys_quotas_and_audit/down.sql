DROP TABLE limit_overrides;
DROP TABLE one_time_codes;
DROP TABLE audit_head;
DROP TABLE audit_events;
DROP TABLE api_key_token_days;
DROP TABLE token_days;
DROP TABLE token_reservations;
DROP TABLE api_keys;
