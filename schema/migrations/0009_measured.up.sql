-- What 20 million events of points asked for, see
-- docs/adr/0011-measured-with-20-million-events.md.
--
-- A customer's rows are in one granule or two of each part for every shop, because
-- the sorting key begins with the shop. A question about one customer that names no
-- shop need not read those of the other shops, nor a question about some events all
-- deliveries.

ALTER TABLE fact_points ADD INDEX IF NOT EXISTS by_buyer buyer_id TYPE bloom_filter;

ALTER TABLE fact_points MATERIALIZE INDEX by_buyer;

ALTER TABLE fact_store_credits ADD INDEX IF NOT EXISTS by_buyer buyer_id TYPE bloom_filter;

ALTER TABLE fact_store_credits MATERIALIZE INDEX by_buyer;

ALTER TABLE fact_gift_cards ADD INDEX IF NOT EXISTS by_buyer buyer_id TYPE bloom_filter;

ALTER TABLE fact_gift_cards MATERIALIZE INDEX by_buyer;

ALTER TABLE fact_customer_changes ADD INDEX IF NOT EXISTS by_customer customer_id TYPE bloom_filter;

ALTER TABLE fact_customer_changes MATERIALIZE INDEX by_customer;

ALTER TABLE raw_webhooks ADD INDEX IF NOT EXISTS by_event event_id TYPE bloom_filter;

ALTER TABLE raw_webhooks MATERIALIZE INDEX by_event;

-- The balances as before, but a question about very many customers is answered with
-- files rather than with more memory: several of them may be asked in one query.
--
-- told:   (balance after, balance before, event_id, …) of the latest millisecond that tells one
-- untold: (updated_at, delta, event_id, …) of every event that tells none

CREATE OR REPLACE VIEW points_balances AS
WITH
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known,
    arraySort(e -> (e.1, e.3), arrayFilter(e -> e.1 > told_at, untold)) AS since
SELECT
    shop_id,
    buyer_id,
    known.1 + arraySum(since.2) AS points_balance,
    toLowCardinality(if(empty(since), known.4, since[-1].4)) AS updated_scene,
    if(empty(since), told_at, since[-1].1) AS updated_at
FROM
(
    SELECT
        shop_id,
        buyer_id,
        maxIf(e.updated_at, e.points_balance IS NOT NULL) AS told_at,
        groupArrayArgMaxIf(
            (assumeNotNull(e.points_balance), assumeNotNull(e.points_balance) - e.points_delta, e.event_id, e.updated_scene),
            e.updated_at, e.points_balance IS NOT NULL) AS told,
        groupArrayIf((e.updated_at, e.points_delta, e.event_id, e.updated_scene), e.points_balance IS NULL) AS untold
    FROM points AS e
    GROUP BY shop_id, buyer_id
    SETTINGS max_bytes_before_external_group_by = 400000000
);

CREATE OR REPLACE VIEW store_credit_balances AS
WITH
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known,
    arraySort(e -> (e.1, e.3), arrayFilter(e -> e.1 > told_at, untold)) AS since
SELECT
    shop_id,
    buyer_id,
    known.1 + arraySum(since.2) AS current_balance_cents,
    if(empty(since), known.4, since[-1].4) AS store_credits_code,
    toLowCardinality(if(empty(since), known.5, since[-1].5)) AS update_reason,
    if(empty(since), told_at, since[-1].1) AS updated_at
FROM
(
    SELECT
        shop_id,
        buyer_id,
        maxIf(e.updated_at, e.current_balance_cents IS NOT NULL) AS told_at,
        groupArrayArgMaxIf(
            (assumeNotNull(e.current_balance_cents), assumeNotNull(e.current_balance_cents) - e.balance_delta_cents, e.event_id,
                e.store_credits_code, e.update_reason),
            e.updated_at, e.current_balance_cents IS NOT NULL) AS told,
        groupArrayIf((e.updated_at, e.balance_delta_cents, e.event_id, e.store_credits_code, e.update_reason), e.current_balance_cents IS NULL) AS untold
    FROM store_credits AS e
    GROUP BY shop_id, buyer_id
    SETTINGS max_bytes_before_external_group_by = 400000000
);

CREATE OR REPLACE VIEW gift_card_balances AS
WITH
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known,
    arraySort(e -> (e.1, e.3), arrayFilter(e -> e.1 > told_at, untold)) AS since
SELECT
    shop_id,
    gift_card_code,
    if(empty(since), known.4, since[-1].4) AS buyer_id,
    known.1 + arraySum(since.2) AS current_balance_cents,
    original_value_cents,
    toLowCardinality(if(empty(since), known.5, since[-1].5)) AS scene_type,
    if(empty(since), known.6, since[-1].6) AS expires_at,
    if(empty(since), told_at, since[-1].1) AS updated_at
FROM
(
    SELECT
        shop_id,
        gift_card_code,
        maxIf(e.updated_at, e.current_balance_cents IS NOT NULL) AS told_at,
        groupArrayArgMaxIf(
            (assumeNotNull(e.current_balance_cents), assumeNotNull(e.current_balance_cents) - e.balance_delta_cents, e.event_id,
                e.buyer_id, e.scene_type, e.expires_at),
            e.updated_at, e.current_balance_cents IS NOT NULL) AS told,
        groupArrayIf((e.updated_at, e.balance_delta_cents, e.event_id, e.buyer_id, e.scene_type, e.expires_at), e.current_balance_cents IS NULL) AS untold,
        argMax(e.original_value_cents, (e.updated_at, e.event_id)) AS original_value_cents
    FROM gift_cards AS e
    GROUP BY shop_id, gift_card_code
    SETTINGS max_bytes_before_external_group_by = 400000000
);

-- The same of all that is known of customers.

CREATE OR REPLACE VIEW customer_360 AS
SELECT
    shop_id,
    customer_id,
    latest.1 AS email,
    latest.2 AS phone,
    latest.3 AS first_name,
    latest.4 AS last_name,
    latest.5 AS state,
    toLowCardinality(transform(ifNull(latest.5, -1), [0, 1, 2, 3], ['disabled', 'to_enable', 'invited', 'valid'], 'unknown')) AS state_label,
    latest.6 AS tags,
    latest.7 AS orders_count,
    latest.8 AS total_spent_cents,
    toLowCardinality(latest.9) AS currency,
    toLowCardinality(transform(ifNull(latest.10, -1), [0, 1, 2, 3], ['unsubscribed', 'subscribed', 'not_subscribed', 'pending'], 'unknown')) AS email_consent,
    toLowCardinality(transform(ifNull(latest.11, -1), [0, 1, 2], ['unsubscribed', 'subscribed', 'not_available'], 'unknown')) AS sms_consent,
    points_balance, points_earned, points_burned, store_credit_cents, gift_cards, gift_card_cents, first_event_at, last_event_at,
    latest.12 AS customer_updated_at
FROM
(
    SELECT
        shop_id,
        customer_id,
        groupArrayArray(known.latest)[1] AS latest,
        sum(known.points) AS points_balance,
        sum(known.earned) AS points_earned,
        sum(known.burned) AS points_burned,
        sum(known.credits) AS store_credit_cents,
        sum(known.cards) AS gift_cards,
        sum(known.card_cents) AS gift_card_cents,
        min(known.first_at) AS first_event_at,
        max(known.last_at) AS last_event_at
    FROM
    (
        SELECT
            shop_id, customer_id,
            [argMax(
                (email, phone, first_name, last_name, state, tags, orders_count, total_spent_cents, currency,
                    email_marketing_consent_state, sms_marketing_consent_state, toNullable(updated_at)),
                (updated_at, received_at, event_id))] AS latest,
            0::Int64 AS points, 0::Int64 AS earned, 0::Int64 AS burned, 0::Int64 AS credits, 0::UInt64 AS cards, 0::Int64 AS card_cents,
            min(updated_at) AS first_at, max(updated_at) AS last_at
        FROM customer_changes
        GROUP BY shop_id, customer_id
        UNION ALL
        SELECT shop_id, buyer_id, [], 0, sumIf(points_delta, points_delta > 0), -sumIf(points_delta, points_delta < 0), 0, 0, 0, min(updated_at), max(updated_at)
        FROM points
        GROUP BY shop_id, buyer_id
        UNION ALL
        SELECT shop_id, buyer_id, [], points_balance, 0, 0, 0, 0, 0, updated_at, updated_at
        FROM points_balances
        UNION ALL
        SELECT shop_id, buyer_id, [], 0, 0, 0, 0, 0, 0, min(updated_at), max(updated_at)
        FROM store_credits
        GROUP BY shop_id, buyer_id
        UNION ALL
        SELECT shop_id, buyer_id, [], 0, 0, 0, current_balance_cents, 0, 0, updated_at, updated_at
        FROM store_credit_balances
        UNION ALL
        SELECT shop_id, buyer_id, [], 0, 0, 0, 0, 0, 0, min(updated_at), max(updated_at)
        FROM gift_cards
        GROUP BY shop_id, buyer_id
        UNION ALL
        SELECT shop_id, buyer_id, [], 0, 0, 0, 0, 1, current_balance_cents, updated_at, updated_at
        FROM gift_card_balances
        WHERE current_balance_cents > 0 AND scene_type != 'CARD_DISABLED' AND ifNull(expires_at > now64(3), true)
    ) AS known
    GROUP BY shop_id, customer_id
    SETTINGS max_bytes_before_external_group_by = 200000000, max_block_size = 8192
);

-- The gaps are in the tables of gaps already, as of their refresh. To look for them
-- once more would be the dearest of all refreshes.

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
