-- What was counted wrongly, or nowhere: points and store credits that have run out and
-- that the balance still holds, what is left on cards that have been disabled, and
-- members who had points before their first webhook.

-- The balance lies on the lots that have not run out, then on those that have, and what
-- is more than all of them is from before the first webhook. So what has run out of the
-- balance is what the lots that have not cannot hold of it, and at most the other lots.
--
-- beginning: the smallest of (time in milliseconds, whether there were points before)
--   in one number, which is odd where there were. Of the events of one millisecond any
--   may be the first, and one that begins with nothing counts.

CREATE OR REPLACE VIEW points_members AS
WITH
    arrayMap(e -> (toInt64(bitShiftRight(e, 192)), toInt64(bitShiftRight(e, 192)) - toInt64(bitShiftRight(e, 128)), toUInt128(e)), packed) AS told,
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known
SELECT
    shop_id,
    buyer_id,
    known.1 + arraySum(e -> if(e.1 > told_at, e.2, 0), untold) AS points_balance,
    earned,
    burned,
    earn_events,
    burn_events,
    first_earned_at,
    last_earned_at,
    last_burned_at,
    first_event_at,
    last_event_at,
    greatest(0, least(points_balance - lots + until_30, until_30)) AS expiring_30_days,
    greatest(0, least(points_balance - lots + until_60, until_60)) AS expiring_60_days,
    greatest(0, least(points_balance - lots + until_90, until_90)) AS expiring_90_days,
    greatest(0, least(points_balance, earned) - lots) AS expired_points,
    (beginning % 2 = 1)::Bool AS had_points_before
FROM
(
    WITH e.points_delta > 0 AND ifNull(e.points_expires_at > now(), true) AS is_lot
    SELECT
        e.shop_id AS shop_id,
        e.buyer_id AS buyer_id,
        maxIf(e.updated_at, e.points_balance IS NOT NULL) AS told_at,
        groupUniqArrayArgMaxIf(
            bitShiftLeft(toUInt256(toUInt64(assumeNotNull(e.points_balance))), 192)
                + bitShiftLeft(toUInt256(toUInt64(e.points_delta)), 128) + reinterpretAsUInt128(e.event_id),
            e.updated_at, e.points_balance IS NOT NULL) AS packed,
        groupArrayIf((e.updated_at, e.points_delta), e.points_balance IS NULL) AS untold,
        sumIf(e.points_delta, e.points_delta > 0) AS earned,
        -sumIf(e.points_delta, e.points_delta < 0) AS burned,
        countIf(e.points_delta > 0) AS earn_events,
        countIf(e.points_delta < 0) AS burn_events,
        minOrNullIf(e.updated_at, e.points_delta > 0) AS first_earned_at,
        maxOrNullIf(e.updated_at, e.points_delta > 0) AS last_earned_at,
        maxOrNullIf(e.updated_at, e.points_delta < 0) AS last_burned_at,
        min(e.updated_at) AS first_event_at,
        max(e.updated_at) AS last_event_at,
        min(toUnixTimestamp64Milli(e.updated_at) * 2 + ifNull(e.points_balance > e.points_delta, false)) AS beginning,
        sumIf(e.points_delta, is_lot) AS lots,
        sumIf(e.points_delta, is_lot AND ifNull(e.points_expires_at <= now() + INTERVAL 30 DAY, false)) AS until_30,
        sumIf(e.points_delta, is_lot AND ifNull(e.points_expires_at <= now() + INTERVAL 60 DAY, false)) AS until_60,
        sumIf(e.points_delta, is_lot AND ifNull(e.points_expires_at <= now() + INTERVAL 90 DAY, false)) AS until_90
    FROM points AS e
    GROUP BY shop_id, buyer_id
    SETTINGS max_bytes_before_external_group_by = 1500000000
);

CREATE OR REPLACE VIEW points_outstanding AS
SELECT
    m.shop_id AS shop_id,
    count() AS members,
    countIf(m.points_balance > 0) AS members_with_balance,
    countIf(m.last_event_at > now() - INTERVAL 30 DAY) AS active_30_days,
    countIf(m.last_event_at > now() - INTERVAL 90 DAY) AS active_90_days,
    countIf(m.last_event_at > now() - INTERVAL 365 DAY) AS active_365_days,
    sum(m.points_balance) AS points_outstanding,
    sum(m.expiring_30_days) AS expiring_30_days,
    sum(m.expiring_60_days) AS expiring_60_days,
    sum(m.expiring_90_days) AS expiring_90_days,
    sum(m.earned) AS earned,
    sum(m.burned) AS burned,
    if(earned > 0, burned / earned, NULL) AS redemption_rate,
    sum(m.expired_points) AS expired_points
FROM points_members AS m
GROUP BY shop_id;

-- As before, without the members who had points before their first event: nobody knows
-- when they first earned.

CREATE OR REPLACE VIEW points_cohorts AS
SELECT
    shop_id,
    cohort_month,
    addMonths(cohort_month, months_since) AS month,
    months_since,
    cells[0].1 AS members,
    cells[months_since].1 AS active_members,
    active_members / members AS retention,
    cells[months_since].2 AS earned,
    cells[months_since].3 AS burned
FROM
(
    SELECT
        shop_id,
        cohort_month,
        mapFromArrays(groupArray(c.months_since), groupArray((c.active_members, c.earned, c.burned))) AS cells,
        max(addMonths(cohort_month, max(c.months_since))) OVER (PARTITION BY shop_id) AS last_month
    FROM
    (
        SELECT
            shop_id,
            cohort_month,
            toUInt16(dateDiff('month', cohort_month, m.1)) AS months_since,
            count() AS active_members,
            sum(m.2) AS earned,
            sum(m.3) AS burned
        FROM
        (
            SELECT
                shop_id,
                buyer_id,
                minIf(month, earned > 0) AS cohort_month,
                groupArray((month, earned, burned)) AS months
            FROM
            (
                SELECT
                    e.shop_id AS shop_id,
                    e.buyer_id AS buyer_id,
                    toStartOfMonth(e.updated_at) AS month,
                    sumIf(e.points_delta, e.points_delta > 0) AS earned,
                    -sumIf(e.points_delta, e.points_delta < 0) AS burned,
                    min(toUnixTimestamp64Milli(e.updated_at) * 2 + ifNull(e.points_balance > e.points_delta, false)) AS beginning
                FROM points AS e
                GROUP BY shop_id, buyer_id, month
                SETTINGS max_bytes_before_external_group_by = 1000000000
            )
            GROUP BY shop_id, buyer_id
            HAVING max(earned) > 0 AND min(beginning) % 2 = 0
        )
        ARRAY JOIN months AS m
        WHERE m.1 >= cohort_month
        GROUP BY shop_id, cohort_month, months_since
    ) AS c
    GROUP BY shop_id, cohort_month
)
ARRAY JOIN range(toUInt16(dateDiff('month', cohort_month, last_month) + 1)) AS months_since;

-- As before, but who had points before the first event is not new.

CREATE OR REPLACE VIEW points_segments AS
WITH
    intDiv(frequency_score + monetary_score + 1, 2) AS value_score
SELECT
    shop_id,
    buyer_id,
    recency_days,
    frequency,
    monetary,
    toUInt8(1 + intDiv(5 * (rank() OVER by_recency - 1 + count() OVER by_recency), 2 * count() OVER (PARTITION BY shop_id))) AS recency_score,
    toUInt8(1 + intDiv(5 * (rank() OVER by_frequency - 1 + count() OVER by_frequency), 2 * count() OVER (PARTITION BY shop_id))) AS frequency_score,
    toUInt8(1 + intDiv(5 * (rank() OVER by_monetary - 1 + count() OVER by_monetary), 2 * count() OVER (PARTITION BY shop_id))) AS monetary_score,
    toLowCardinality(multiIf(
        is_new, 'new',
        recency_score >= 4 AND value_score >= 4, 'champions',
        recency_score >= 3 AND value_score >= 3, 'loyal',
        recency_score >= 3, 'promising',
        value_score >= 3, 'at_risk',
        recency_score = 2, 'hibernating',
        'lost')) AS segment
FROM
(
    SELECT
        e.shop_id AS shop_id,
        e.buyer_id AS buyer_id,
        greatest(0, dateDiff('day', max(e.updated_at), now('UTC'))) AS recency_days,
        countIf(e.points_delta > 0 AND e.updated_at > now() - INTERVAL 365 DAY) AS frequency,
        sumIf(e.points_delta, e.points_delta > 0 AND e.updated_at > now() - INTERVAL 365 DAY) AS monetary,
        min(e.updated_at) > now() - INTERVAL 30 DAY AND min(toUnixTimestamp64Milli(e.updated_at) * 2 + ifNull(e.points_balance > e.points_delta, false)) % 2 = 0 AS is_new
    FROM points AS e
    GROUP BY shop_id, buyer_id
)
WINDOW
    by_recency AS (PARTITION BY shop_id ORDER BY recency_days DESC),
    by_frequency AS (PARTITION BY shop_id ORDER BY frequency),
    by_monetary AS (PARTITION BY shop_id ORDER BY monetary);

-- As points_members.

CREATE OR REPLACE VIEW store_credit_members AS
WITH
    arrayMap(e -> (toInt64(bitShiftRight(e, 192)), toInt64(bitShiftRight(e, 192)) - toInt64(bitShiftRight(e, 128)), toUInt128(e)), packed) AS told,
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known
SELECT
    shop_id,
    buyer_id,
    known.1 + arraySum(e -> if(e.1 > told_at, e.2, 0), untold) AS current_balance_cents,
    issued_cents,
    used_cents,
    issue_events,
    use_events,
    first_issued_at,
    last_issued_at,
    last_used_at,
    last_event_at,
    greatest(0, least(current_balance_cents - lots + until_30, until_30)) AS expiring_30_days_cents,
    greatest(0, least(current_balance_cents - lots + until_60, until_60)) AS expiring_60_days_cents,
    greatest(0, least(current_balance_cents - lots + until_90, until_90)) AS expiring_90_days_cents,
    greatest(0, least(current_balance_cents, issued_cents) - lots) AS expired_cents
FROM
(
    WITH e.balance_delta_cents > 0 AND ifNull(e.expires_at > now(), true) AS is_lot
    SELECT
        e.shop_id AS shop_id,
        e.buyer_id AS buyer_id,
        maxIf(e.updated_at, e.current_balance_cents IS NOT NULL) AS told_at,
        groupUniqArrayArgMaxIf(
            bitShiftLeft(toUInt256(toUInt64(assumeNotNull(e.current_balance_cents))), 192)
                + bitShiftLeft(toUInt256(toUInt64(e.balance_delta_cents)), 128) + reinterpretAsUInt128(e.event_id),
            e.updated_at, e.current_balance_cents IS NOT NULL) AS packed,
        groupArrayIf((e.updated_at, e.balance_delta_cents), e.current_balance_cents IS NULL) AS untold,
        sumIf(e.balance_delta_cents, e.balance_delta_cents > 0) AS issued_cents,
        -sumIf(e.balance_delta_cents, e.balance_delta_cents < 0) AS used_cents,
        countIf(e.balance_delta_cents > 0) AS issue_events,
        countIf(e.balance_delta_cents < 0) AS use_events,
        minOrNullIf(e.updated_at, e.balance_delta_cents > 0) AS first_issued_at,
        maxOrNullIf(e.updated_at, e.balance_delta_cents > 0) AS last_issued_at,
        maxOrNullIf(e.updated_at, e.balance_delta_cents < 0) AS last_used_at,
        max(e.updated_at) AS last_event_at,
        sumIf(e.balance_delta_cents, is_lot) AS lots,
        sumIf(e.balance_delta_cents, is_lot AND ifNull(e.expires_at <= now() + INTERVAL 30 DAY, false)) AS until_30,
        sumIf(e.balance_delta_cents, is_lot AND ifNull(e.expires_at <= now() + INTERVAL 60 DAY, false)) AS until_60,
        sumIf(e.balance_delta_cents, is_lot AND ifNull(e.expires_at <= now() + INTERVAL 90 DAY, false)) AS until_90
    FROM store_credits AS e
    GROUP BY shop_id, buyer_id
    SETTINGS max_bytes_before_external_group_by = 1500000000
);

CREATE OR REPLACE VIEW store_credit_liability AS
SELECT
    m.shop_id AS shop_id,
    count() AS members,
    countIf(m.current_balance_cents > 0) AS members_with_balance,
    sum(m.current_balance_cents) AS outstanding_cents,
    sum(m.expiring_30_days_cents) AS expiring_30_days_cents,
    sum(m.expiring_60_days_cents) AS expiring_60_days_cents,
    sum(m.expiring_90_days_cents) AS expiring_90_days_cents,
    sum(m.issued_cents) AS issued_cents,
    sum(m.used_cents) AS used_cents,
    sum(m.expired_cents) AS expired_cents
FROM store_credit_members AS m
GROUP BY shop_id;

-- Whether a card has been disabled is asked of all its events here, as in
-- gift_card_lives, since a refund may come later.

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
    if(empty(since), told_at, since[-1].1) AS updated_at,
    was_disabled::Bool AS disabled
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
        argMax(e.original_value_cents, (e.updated_at, e.event_id)) AS original_value_cents,
        max(e.scene_type = 'CARD_DISABLED') AS was_disabled
    FROM gift_cards AS e
    GROUP BY shop_id, gift_card_code
    SETTINGS max_bytes_before_external_group_by = 400000000
);

-- Disabling takes from a card what is left on it, or leaves it there: both can never be
-- used. SHOPLINE does not say how a card is enabled again, so that a card which has been
-- disabled stays so.

CREATE OR REPLACE VIEW gift_card_lives AS
WITH
    arrayReverseSort(e -> (countEqual(told.1, e.1) > countEqual(told.2, e.1), e.3), told)[1] AS known,
    arraySort(e -> (e.1, e.3), arrayFilter(e -> e.1 > told_at, untold)) AS since
SELECT
    shop_id,
    gift_card_code,
    if(empty(since), known.4, since[-1].4) AS buyer_id,
    toLowCardinality(multiIf(
        disabled_at IS NOT NULL, 'disabled',
        current_balance_cents <= 0, 'used_up',
        ifNull(expires_at <= now(), false), 'expired',
        'active')) AS state,
    original_value_cents,
    known.1 + arraySum(since.2) AS current_balance_cents,
    sold_cents,
    sold_at,
    redeemed_cents,
    redemptions,
    first_redeemed_at,
    last_redeemed_at,
    refunded_cents,
    if(disabled_at IS NULL, 0, taken_cents + greatest(0, current_balance_cents)) AS disabled_cents,
    disabled_at,
    if(empty(since), known.5, since[-1].5) AS expires_at,
    if(state = 'expired', current_balance_cents, 0) AS breakage_cents,
    events,
    last_event_at AS updated_at
FROM
(
    WITH
        e.scene_type IN ('SELF_PURCHASE', 'OTHERS_SEND') AND e.balance_delta_cents > 0 AS is_sale,
        e.scene_type = 'PURCHASE_PAYMENT' AND e.balance_delta_cents < 0 AS is_redemption
    SELECT
        e.shop_id AS shop_id,
        e.gift_card_code AS gift_card_code,
        maxIf(e.updated_at, e.current_balance_cents IS NOT NULL) AS told_at,
        groupArrayArgMaxIf(
            (assumeNotNull(e.current_balance_cents), assumeNotNull(e.current_balance_cents) - e.balance_delta_cents, e.event_id,
                e.buyer_id, e.expires_at),
            e.updated_at, e.current_balance_cents IS NOT NULL) AS told,
        groupArrayIf((e.updated_at, e.balance_delta_cents, e.event_id, e.buyer_id, e.expires_at), e.current_balance_cents IS NULL) AS untold,
        argMax(e.original_value_cents, (e.updated_at, e.event_id)) AS original_value_cents,
        sumIf(e.balance_delta_cents, is_sale) AS sold_cents,
        minOrNullIf(e.updated_at, is_sale) AS sold_at,
        -sumIf(e.balance_delta_cents, is_redemption) AS redeemed_cents,
        countIf(is_redemption) AS redemptions,
        minOrNullIf(e.updated_at, is_redemption) AS first_redeemed_at,
        maxOrNullIf(e.updated_at, is_redemption) AS last_redeemed_at,
        sumIf(e.balance_delta_cents, e.scene_type = 'RETURN_INCREASE' AND e.balance_delta_cents > 0) AS refunded_cents,
        -sumIf(e.balance_delta_cents, e.scene_type = 'CARD_DISABLED' AND e.balance_delta_cents < 0) AS taken_cents,
        minOrNullIf(e.updated_at, e.scene_type = 'CARD_DISABLED') AS disabled_at,
        count() AS events,
        max(e.updated_at) AS last_event_at
    FROM gift_cards AS e
    GROUP BY shop_id, gift_card_code
    SETTINGS max_bytes_before_external_group_by = 1500000000
);

-- As before, but for the cards that have been disabled.

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
        WHERE current_balance_cents > 0 AND NOT disabled AND ifNull(expires_at > now64(3), true)
    ) AS known
    GROUP BY shop_id, customer_id
    SETTINGS max_bytes_before_external_group_by = 200000000, max_block_size = 8192
);

-- The tables of these views have the new columns and comments. See 0010 for why the
-- comments are here, and the names of the columns.

DROP VIEW IF EXISTS points_members_cached;

CREATE MATERIALIZED VIEW points_members_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    buyer_id String COMMENT 'The customer.',
    points_balance Int64 COMMENT 'Points that the customer has, as in points_balances.',
    earned Int64 COMMENT 'Points added.',
    burned Int64 COMMENT 'Points taken, a positive number.',
    earn_events UInt64 COMMENT 'Events that added points\x3B an event of 0 points is not one.',
    burn_events UInt64 COMMENT 'Events that took points.',
    first_earned_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When points were first added\x3B NULL if never.',
    last_earned_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When points were last added\x3B NULL if never.',
    last_burned_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When points were last taken\x3B NULL if never.',
    first_event_at DateTime64(3, 'UTC') COMMENT 'Time of the customer\'s first event.',
    last_event_at DateTime64(3, 'UTC') COMMENT 'Time of the customer\'s latest event.',
    expiring_30_days Int64 COMMENT 'Part of the balance that runs out within 30 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them runs out at no time that is known, or has run out: see expired_points.',
    expiring_60_days Int64 COMMENT 'Part of the balance that runs out within 60 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them runs out at no time that is known, or has run out: see expired_points. Those of 30 days are among them.',
    expiring_90_days Int64 COMMENT 'Part of the balance that runs out within 90 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them runs out at no time that is known, or has run out: see expired_points. Those of 60 days are among them.',
    expired_points Int64 COMMENT 'Part of the balance that has run out by its date. SHOPLINE documents no scene of that, so that the balance holds them until an event tells a lower one. It is what the additions that have not run out cannot hold of the balance, and at most those that have.',
    had_points_before Bool COMMENT 'Whether the customer had points before the first event: it tells a balance that is more than its change. A first event that tells no balance says nothing of that, which counts as no\x3B one whose predecessors are missing looks as if there had been points.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT
    shop_id, buyer_id, points_balance, earned, burned, earn_events, burn_events, first_earned_at,
    last_earned_at, last_burned_at, first_event_at, last_event_at, expiring_30_days, expiring_60_days,
    expiring_90_days, expired_points, had_points_before,
    now64(3, 'UTC') AS refreshed_at
FROM points_members;

DROP VIEW IF EXISTS points_segments_cached;

CREATE MATERIALIZED VIEW points_segments_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    buyer_id String COMMENT 'The customer.',
    recency_days Int64 COMMENT 'Days (in UTC) since the customer\'s latest event, of whatever kind.',
    frequency UInt64 COMMENT 'Events that added points in the last 365 days.',
    monetary Int64 COMMENT 'Points added in the last 365 days.',
    recency_score UInt8 COMMENT '1 to 5 by recency_days, 5 for the latest. The shop\'s customers stand in a line, equal ones at one place, the middle of where they would stand\x3B the score is the fifth of the line that the place is in.',
    frequency_score UInt8 COMMENT '1 to 5 by frequency, 5 for the most, as recency_score.',
    monetary_score UInt8 COMMENT '1 to 5 by monetary, 5 for the most, as recency_score.',
    segment LowCardinality(String) COMMENT 'One of seven. With R = recency_score and V = the mean of the other two scores, rounded up, the first that fits: new (first event in the last 30 days, and no points before it), champions (R and V at least 4), loyal (R and V at least 3), promising (R at least 3), at_risk (V at least 3), hibernating (R is 2), lost.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT
    shop_id, buyer_id, recency_days, frequency, monetary, recency_score, frequency_score, monetary_score,
    segment,
    now64(3, 'UTC') AS refreshed_at
FROM points_segments;

DROP VIEW IF EXISTS store_credit_members_cached;

CREATE MATERIALIZED VIEW store_credit_members_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    buyer_id String COMMENT 'The customer.',
    current_balance_cents Int64 COMMENT 'Store credits that the customer has, as in store_credit_balances, in 1/100 of the currency unit.',
    issued_cents Int64 COMMENT 'Store credits added, in 1/100 of the currency unit.',
    used_cents Int64 COMMENT 'Store credits taken, a positive number, in 1/100 of the currency unit.',
    issue_events UInt64 COMMENT 'Events that added store credits\x3B an event of 0 is not one.',
    use_events UInt64 COMMENT 'Events that took store credits.',
    first_issued_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When store credits were first added\x3B NULL if never.',
    last_issued_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When store credits were last added\x3B NULL if never.',
    last_used_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When store credits were last taken\x3B NULL if never.',
    last_event_at DateTime64(3, 'UTC') COMMENT 'Time of the customer\'s latest event.',
    expiring_30_days_cents Int64 COMMENT 'Part of the balance that runs out within 30 days of now, in 1/100 of the currency unit, found as for points in points_members.',
    expiring_60_days_cents Int64 COMMENT 'Part of the balance that runs out within 60 days of now, in 1/100 of the currency unit, found as for points in points_members. Those of 30 days are among them.',
    expiring_90_days_cents Int64 COMMENT 'Part of the balance that runs out within 90 days of now, in 1/100 of the currency unit, found as for points in points_members. Those of 60 days are among them.',
    expired_cents Int64 COMMENT 'Part of the balance that has run out by its date, in 1/100 of the currency unit, found as for points in points_members.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT
    shop_id, buyer_id, current_balance_cents, issued_cents, used_cents, issue_events, use_events,
    first_issued_at, last_issued_at, last_used_at, last_event_at, expiring_30_days_cents,
    expiring_60_days_cents, expiring_90_days_cents, expired_cents,
    now64(3, 'UTC') AS refreshed_at
FROM store_credit_members;

DROP VIEW IF EXISTS gift_card_lives_cached;

CREATE MATERIALIZED VIEW gift_card_lives_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    gift_card_code String COMMENT 'The card.',
    buyer_id String COMMENT 'Customer of the card\'s latest event.',
    state LowCardinality(String) COMMENT 'The first that fits: disabled (there is an event with scene CARD_DISABLED), used_up (nothing is left), expired (expires_at is past), active.',
    original_value_cents Nullable(Int64) COMMENT 'The card\'s original value, in 1/100 of the currency unit\x3B the latest that an event tells.',
    current_balance_cents Int64 COMMENT 'What is left on the card, as in gift_card_balances, in 1/100 of the currency unit.',
    sold_cents Int64 COMMENT 'Added with scene SELF_PURCHASE or OTHERS_SEND, in 1/100 of the currency unit.',
    sold_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When that was first\x3B NULL if never.',
    redeemed_cents Int64 COMMENT 'Taken with scene PURCHASE_PAYMENT, a positive number, in 1/100 of the currency unit.',
    redemptions UInt64 COMMENT 'Events that did so.',
    first_redeemed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When that was first\x3B NULL if never.',
    last_redeemed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When that was last\x3B NULL if never.',
    refunded_cents Int64 COMMENT 'Added with scene RETURN_INCREASE, in 1/100 of the currency unit.',
    disabled_cents Int64 COMMENT 'Taken with scene CARD_DISABLED, a positive number, and what is left on the card after such an event, in 1/100 of the currency unit\x3B 0 in every other state.',
    disabled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of the first event with scene CARD_DISABLED\x3B NULL if there is none.',
    expires_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the card expires, as its latest event says\x3B NULL is never.',
    breakage_cents Int64 COMMENT 'What is left on an expired card, 0 in every other state, in 1/100 of the currency unit.',
    events UInt64 COMMENT 'Events, each counted once.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the card\'s latest event.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, gift_card_code)
AS SELECT
    shop_id, gift_card_code, buyer_id, state, original_value_cents, current_balance_cents, sold_cents,
    sold_at, redeemed_cents, redemptions, first_redeemed_at, last_redeemed_at, refunded_cents, disabled_cents,
    disabled_at, expires_at, breakage_cents, events, updated_at,
    now64(3, 'UTC') AS refreshed_at
FROM gift_card_lives;
