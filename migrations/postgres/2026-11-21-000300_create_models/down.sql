DROP TABLE user_model_defaults;
DROP TABLE models;
