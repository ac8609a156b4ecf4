DROP TABLE IF EXISTS fact_points;
DROP TABLE IF EXISTS fact_store_credits;
DROP TABLE IF EXISTS fact_gift_cards;
DROP TABLE IF EXISTS fact_customer_changes;
