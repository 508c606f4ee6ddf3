DROP TABLE text_generations;
