DROP VIEW IF EXISTS customer_360;
DROP VIEW IF EXISTS consent_funnel;
DROP VIEW IF EXISTS customer_consents;
DROP VIEW IF EXISTS customer_field_changes;
DROP VIEW IF EXISTS customers_at;
