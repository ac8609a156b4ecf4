DROP TABLE IF EXISTS raw_webhooks;
DROP TABLE IF EXISTS dead_letters;
