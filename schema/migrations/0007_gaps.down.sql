DROP VIEW IF EXISTS freshness;
DROP VIEW IF EXISTS reconciliation;
DROP VIEW IF EXISTS gift_card_gaps;
DROP VIEW IF EXISTS store_credit_gaps;
DROP VIEW IF EXISTS points_gaps;
DROP VIEW IF EXISTS ledger_gaps;
DROP VIEW IF EXISTS ledger_events;
