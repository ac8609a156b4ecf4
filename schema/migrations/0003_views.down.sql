DROP VIEW IF EXISTS customers;
DROP VIEW IF EXISTS gift_card_balances;
DROP VIEW IF EXISTS store_credit_balances;
DROP VIEW IF EXISTS points_balances;
DROP VIEW IF EXISTS customer_changes;
DROP VIEW IF EXISTS gift_cards;
DROP VIEW IF EXISTS store_credits;
DROP VIEW IF EXISTS points;
