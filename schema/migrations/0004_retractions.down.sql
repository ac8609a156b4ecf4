CREATE OR REPLACE VIEW points AS SELECT * EXCEPT (retracted) FROM fact_points FINAL;
CREATE OR REPLACE VIEW store_credits AS SELECT * EXCEPT (retracted) FROM fact_store_credits FINAL;
CREATE OR REPLACE VIEW gift_cards AS SELECT * EXCEPT (retracted) FROM fact_gift_cards FINAL;
CREATE OR REPLACE VIEW customer_changes AS SELECT * EXCEPT (retracted) FROM fact_customer_changes FINAL;
CREATE OR REPLACE VIEW customers AS
SELECT * EXCEPT (retracted)
FROM fact_customer_changes FINAL
PREWHERE (shop_id, customer_id, updated_at) IN
(
    SELECT shop_id, customer_id, max(updated_at)
    FROM fact_customer_changes
    GROUP BY shop_id, customer_id
)
ORDER BY received_at DESC, event_id DESC
LIMIT 1 BY shop_id, customer_id;
ALTER TABLE dead_letters DROP COLUMN IF EXISTS header_shop_id;
ALTER TABLE raw_webhooks DROP COLUMN IF EXISTS header_shop_id;
ALTER TABLE fact_customer_changes DROP COLUMN IF EXISTS retracted;
ALTER TABLE fact_gift_cards DROP COLUMN IF EXISTS retracted;
ALTER TABLE fact_store_credits DROP COLUMN IF EXISTS retracted;
ALTER TABLE fact_points DROP COLUMN IF EXISTS retracted;
