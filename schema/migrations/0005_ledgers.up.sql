-- Answers about points, store credits and gift cards. The views compute them from
-- points, store_credits and gift_cards at the moment of the question, so that a
-- resend counts once, a retracted row not at all, and a late row where it belongs.
--
-- A month in which nothing has been written for an hour becomes one part. FINAL
-- passes a month of one part through as it is: no month is merged with another,
-- since updated_at, which decides the month, is in the sorting key. See
-- docs/adr/0010-final-by-partition.md.
--
-- A question about very many customers is answered with files rather than with more
-- memory than a query may have: max_bytes_before_external_group_by.

ALTER TABLE fact_points MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE fact_store_credits MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE fact_gift_cards MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

ALTER TABLE fact_customer_changes MODIFY SETTING min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1;

CREATE OR REPLACE VIEW points_by_scene_daily AS
SELECT
    e.shop_id AS shop_id,
    toDate(e.updated_at) AS day,
    e.updated_scene AS updated_scene,
    count() AS events,
    uniqExact(e.buyer_id) AS customers,
    sumIf(e.points_delta, e.points_delta > 0) AS earned,
    -sumIf(e.points_delta, e.points_delta < 0) AS burned,
    sum(e.points_delta) AS net
FROM points AS e
GROUP BY shop_id, day, updated_scene
SETTINGS max_bytes_before_external_group_by = 1000000000;

CREATE OR REPLACE VIEW points_daily AS
SELECT
    e.shop_id AS shop_id,
    toDate(e.updated_at) AS day,
    count() AS events,
    uniqExact(e.buyer_id) AS active_members,
    sumIf(e.points_delta, e.points_delta > 0) AS earned,
    -sumIf(e.points_delta, e.points_delta < 0) AS burned,
    sum(e.points_delta) AS net,
    if(earned > 0, burned / earned, NULL) AS redemption_rate
FROM points AS e
GROUP BY shop_id, day
SETTINGS max_bytes_before_external_group_by = 1000000000;

-- The balance is found as points_balances finds it. A list of tuples would grow with
-- the events, for whenever a later event comes the list before it is left behind in
-- memory. A set of numbers is not: in 256 bits the balance after, the delta and the
-- event_id of the latest millisecond that tells a balance are packed.
--
-- Points that run out first are spent first, so that the balance lies on the lots
-- that run out last. What the lots that outlive the next 30 days cannot hold of it
-- runs out within them. So sums over the lots are enough, and no list is kept of them.
--
-- told:     (balance after, balance before, event_id) of the latest millisecond that tells one
-- untold:   (updated_at, delta) of every event that tells none
-- lots:     points of all lots that have not run out
-- until_30: points of those lots that run out within 30 days

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
    greatest(0, least(points_balance - lots + until_90, until_90)) AS expiring_90_days
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
    if(earned > 0, burned / earned, NULL) AS redemption_rate
FROM points_members AS m
GROUP BY shop_id;

-- From the inside out: what each customer did in each month, the month in which the
-- customer first earned, the sums of all customers of such a month, and then a row
-- for each month since, also for one in which none of them did anything.
--
-- cells: (active members, earned, burned) by months since

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
                    -sumIf(e.points_delta, e.points_delta < 0) AS burned
                FROM points AS e
                GROUP BY shop_id, buyer_id, month
                SETTINGS max_bytes_before_external_group_by = 1000000000
            )
            GROUP BY shop_id, buyer_id
            HAVING max(earned) > 0
        )
        ARRAY JOIN months AS m
        WHERE m.1 >= cohort_month
        GROUP BY shop_id, cohort_month, months_since
    ) AS c
    GROUP BY shop_id, cohort_month
)
ARRAY JOIN range(toUInt16(dateDiff('month', cohort_month, last_month) + 1)) AS months_since;

-- Customers of a shop stand in a line by each of the three measures, and those who
-- are equal stand at one place, the middle of where they would. Of five equal lengths
-- of the line, in which is that place? rank() - 1 counts those below, and count() in
-- the same window those below and the equal.

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
        min(e.updated_at) > now() - INTERVAL 30 DAY AS is_new
    FROM points AS e
    GROUP BY shop_id, buyer_id
)
WINDOW
    by_recency AS (PARTITION BY shop_id ORDER BY recency_days DESC),
    by_frequency AS (PARTITION BY shop_id ORDER BY frequency),
    by_monetary AS (PARTITION BY shop_id ORDER BY monetary);

CREATE OR REPLACE VIEW store_credits_by_reason_daily AS
SELECT
    e.shop_id AS shop_id,
    toDate(e.updated_at) AS day,
    e.update_reason AS update_reason,
    count() AS events,
    uniqExact(e.buyer_id) AS customers,
    sumIf(e.balance_delta_cents, e.balance_delta_cents > 0) AS issued_cents,
    -sumIf(e.balance_delta_cents, e.balance_delta_cents < 0) AS used_cents,
    sum(e.balance_delta_cents) AS net_cents
FROM store_credits AS e
GROUP BY shop_id, day, update_reason
SETTINGS max_bytes_before_external_group_by = 1000000000;

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
    greatest(0, least(current_balance_cents - lots + until_90, until_90)) AS expiring_90_days_cents
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
    sum(m.used_cents) AS used_cents
FROM store_credit_members AS m
GROUP BY shop_id;

CREATE OR REPLACE VIEW gift_cards_daily AS
SELECT
    e.shop_id AS shop_id,
    toDate(e.updated_at) AS day,
    e.scene_type AS scene_type,
    count() AS events,
    uniqExact(e.gift_card_code) AS cards,
    sumIf(e.balance_delta_cents, e.balance_delta_cents > 0) AS increased_cents,
    -sumIf(e.balance_delta_cents, e.balance_delta_cents < 0) AS decreased_cents,
    sum(e.balance_delta_cents) AS net_cents
FROM gift_cards AS e
GROUP BY shop_id, day, scene_type
SETTINGS max_bytes_before_external_group_by = 1000000000;

-- Balance, holder, original value and expiry are found as gift_card_balances finds
-- them. SHOPLINE does not say how a card is enabled again, so that a card which has
-- been disabled stays so. A card without a balance is used up whether or not it has
-- run out, for there is nothing left to lose.
--
-- told:   (balance after, balance before, event_id, buyer_id, expires_at) of the latest millisecond that tells one
-- untold: (updated_at, delta, event_id, buyer_id, expires_at) of every event that tells none

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
    disabled_cents,
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
        -sumIf(e.balance_delta_cents, e.scene_type = 'CARD_DISABLED' AND e.balance_delta_cents < 0) AS disabled_cents,
        minOrNullIf(e.updated_at, e.scene_type = 'CARD_DISABLED') AS disabled_at,
        count() AS events,
        max(e.updated_at) AS last_event_at
    FROM gift_cards AS e
    GROUP BY shop_id, gift_card_code
    SETTINGS max_bytes_before_external_group_by = 1500000000
);

CREATE OR REPLACE VIEW gift_card_liability AS
SELECT
    c.shop_id AS shop_id,
    count() AS cards,
    countIf(c.state = 'active') AS active_cards,
    countIf(c.state = 'used_up') AS used_up_cards,
    countIf(c.state = 'expired') AS expired_cards,
    countIf(c.state = 'disabled') AS disabled_cards,
    sum(c.sold_cents) AS sold_cents,
    sum(c.redeemed_cents) AS redeemed_cents,
    sum(c.refunded_cents) AS refunded_cents,
    sum(c.disabled_cents) AS disabled_cents,
    sumIf(c.current_balance_cents, c.state = 'active') AS outstanding_cents,
    sum(c.breakage_cents) AS breakage_cents,
    if(sold_cents > 0, breakage_cents / sold_cents, NULL) AS breakage_rate,
    sumIf(c.current_balance_cents, c.state = 'active' AND ifNull(c.expires_at <= now() + INTERVAL 30 DAY, false)) AS expiring_30_days_cents,
    sumIf(c.current_balance_cents, c.state = 'active' AND ifNull(c.expires_at <= now() + INTERVAL 60 DAY, false)) AS expiring_60_days_cents,
    sumIf(c.current_balance_cents, c.state = 'active' AND ifNull(c.expires_at <= now() + INTERVAL 90 DAY, false)) AS expiring_90_days_cents
FROM gift_card_lives AS c
GROUP BY shop_id;
