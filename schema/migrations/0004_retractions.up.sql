-- A replay under a corrected contract may give an event another sorting key, or
-- no row at all. ReplacingMergeTree would keep the old row beside the new one, so
-- that the replay takes it back: with the same row once more, of a later
-- normalized_at, whose column retracted is true. It replaces the old one, and the
-- views leave it out. WHERE beside FINAL is applied after rows have been replaced, for
-- ClickHouse moves only conditions on the sorting key before that.

ALTER TABLE fact_points ADD COLUMN IF NOT EXISTS retracted Bool DEFAULT false CODEC(ZSTD(1));

ALTER TABLE fact_store_credits ADD COLUMN IF NOT EXISTS retracted Bool DEFAULT false CODEC(ZSTD(1));

ALTER TABLE fact_gift_cards ADD COLUMN IF NOT EXISTS retracted Bool DEFAULT false CODEC(ZSTD(1));

ALTER TABLE fact_customer_changes ADD COLUMN IF NOT EXISTS retracted Bool DEFAULT false CODEC(ZSTD(1));

-- A replay needs the headers as they came. shop_id is not always the header's.

ALTER TABLE raw_webhooks ADD COLUMN IF NOT EXISTS header_shop_id String DEFAULT '' CODEC(ZSTD(1));

ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS header_shop_id String DEFAULT '' CODEC(ZSTD(1));

CREATE OR REPLACE VIEW points AS SELECT * EXCEPT (retracted) FROM fact_points FINAL WHERE NOT retracted;

CREATE OR REPLACE VIEW store_credits AS SELECT * EXCEPT (retracted) FROM fact_store_credits FINAL WHERE NOT retracted;

CREATE OR REPLACE VIEW gift_cards AS SELECT * EXCEPT (retracted) FROM fact_gift_cards FINAL WHERE NOT retracted;

CREATE OR REPLACE VIEW customer_changes AS SELECT * EXCEPT (retracted) FROM fact_customer_changes FINAL WHERE NOT retracted;

CREATE OR REPLACE VIEW customers AS
SELECT * EXCEPT (retracted)
FROM fact_customer_changes FINAL
PREWHERE (shop_id, customer_id, updated_at) IN
(
    SELECT shop_id, customer_id, max(updated_at)
    FROM fact_customer_changes FINAL
    WHERE NOT retracted
    GROUP BY shop_id, customer_id
)
WHERE NOT retracted
ORDER BY received_at DESC, event_id DESC
LIMIT 1 BY shop_id, customer_id;
