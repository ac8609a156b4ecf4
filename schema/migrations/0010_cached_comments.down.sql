-- The views as they were before, without comments on their columns.
DROP VIEW IF EXISTS points_members_cached;

CREATE MATERIALIZED VIEW points_members_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_members;

DROP VIEW IF EXISTS points_cohorts_cached;

CREATE MATERIALIZED VIEW points_cohorts_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, cohort_month, month)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_cohorts;

DROP VIEW IF EXISTS points_segments_cached;

CREATE MATERIALIZED VIEW points_segments_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_segments;

DROP VIEW IF EXISTS store_credit_members_cached;

CREATE MATERIALIZED VIEW store_credit_members_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM store_credit_members;

DROP VIEW IF EXISTS gift_card_lives_cached;

CREATE MATERIALIZED VIEW gift_card_lives_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, gift_card_code)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM gift_card_lives;

DROP VIEW IF EXISTS customer_consents_cached;

CREATE MATERIALIZED VIEW customer_consents_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, channel, customer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM customer_consents;

DROP VIEW IF EXISTS points_gaps_cached;

CREATE MATERIALIZED VIEW points_gaps_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, buyer_id, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_gaps;

DROP VIEW IF EXISTS store_credit_gaps_cached;

CREATE MATERIALIZED VIEW store_credit_gaps_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, buyer_id, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM store_credit_gaps;

DROP VIEW IF EXISTS gift_card_gaps_cached;

CREATE MATERIALIZED VIEW gift_card_gaps_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, gift_card_code, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM gift_card_gaps;

DROP VIEW IF EXISTS reconciliation_cached;

CREATE MATERIALIZED VIEW reconciliation_cached
REFRESH AFTER 300 SECOND
ENGINE = MergeTree ORDER BY (shop_id, day, ledger)
AS SELECT shop_id, day, ledger, sum(found.events) AS events, sum(found.gaps) AS gaps, sum(found.unexplained) AS unexplained, now64(3, 'UTC') AS refreshed_at
FROM
(
    SELECT shop_id, toDate(updated_at) AS day, ledger, count() AS events, 0 AS gaps, 0::Int64 AS unexplained
    FROM ledger_events
    GROUP BY shop_id, day, ledger
    UNION ALL
    SELECT shop_id, toDate(updated_at) AS day, toLowCardinality('points'), 0, count(), sum(toInt64(abs(g.unexplained)))
    FROM points_gaps_cached AS g
    GROUP BY shop_id, day
    UNION ALL
    SELECT shop_id, toDate(updated_at) AS day, toLowCardinality('store_credits'), 0, count(), sum(toInt64(abs(g.unexplained_cents)))
    FROM store_credit_gaps_cached AS g
    GROUP BY shop_id, day
    UNION ALL
    SELECT shop_id, toDate(updated_at) AS day, toLowCardinality('gift_cards'), 0, count(), sum(toInt64(abs(g.unexplained_cents)))
    FROM gift_card_gaps_cached AS g
    GROUP BY shop_id, day
) AS found
GROUP BY shop_id, day, ledger;
