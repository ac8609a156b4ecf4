-- The same views with a comment on each column, which is the doc of the view that is
-- asked. A refresh makes the table in which a view keeps its rows anew, from the
-- columns that the view was created with: what an ALTER wrote is gone then, and what
-- the statement says here stays. Another comment takes another migration. In a comment
-- \x3B stands for the character that would end the statement.
--
-- A view that a later migration gives more columns is read by their names, so that this
-- file may be run again after it.

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
    expiring_30_days Int64 COMMENT 'Part of the balance that runs out within 30 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them never runs out.',
    expiring_60_days Int64 COMMENT 'Part of the balance that runs out within 60 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them never runs out. Those of 30 days are among them.',
    expiring_90_days Int64 COMMENT 'Part of the balance that runs out within 90 days of now. Points that run out first count as spent first: the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them never runs out. Those of 60 days are among them.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT
    shop_id, buyer_id, points_balance, earned, burned, earn_events, burn_events, first_earned_at,
    last_earned_at, last_burned_at, first_event_at, last_event_at, expiring_30_days, expiring_60_days,
    expiring_90_days,
    now64(3, 'UTC') AS refreshed_at
FROM points_members;

DROP VIEW IF EXISTS points_cohorts_cached;

CREATE MATERIALIZED VIEW points_cohorts_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    cohort_month Date COMMENT 'First day of the month in which the members first earned points.',
    month Date COMMENT 'First day of the month that the row is about\x3B months without an event are there too.',
    months_since UInt16 COMMENT 'Months from cohort_month to month, 0 for the first.',
    members UInt64 COMMENT 'Members who first earned in cohort_month.',
    active_members UInt64 COMMENT 'Those of them with an event in month, of whatever kind.',
    retention Float64 COMMENT 'active_members divided by members, from 0 to 1.',
    earned Int64 COMMENT 'Points added to them in month.',
    burned Int64 COMMENT 'Points taken from them in month, a positive number.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, cohort_month, month)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_cohorts;

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
    segment LowCardinality(String) COMMENT 'One of seven. With R = recency_score and V = the mean of the other two scores, rounded up, the first that fits: new (first event in the last 30 days), champions (R and V at least 4), loyal (R and V at least 3), promising (R at least 3), at_risk (V at least 3), hibernating (R is 2), lost.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_segments;

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
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id)
AS SELECT
    shop_id, buyer_id, current_balance_cents, issued_cents, used_cents, issue_events, use_events,
    first_issued_at, last_issued_at, last_used_at, last_event_at, expiring_30_days_cents,
    expiring_60_days_cents, expiring_90_days_cents,
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
    disabled_cents Int64 COMMENT 'Taken with scene CARD_DISABLED, a positive number, in 1/100 of the currency unit.',
    disabled_at Nullable(DateTime64(3, 'UTC')) COMMENT 'Time of the first event with scene CARD_DISABLED\x3B NULL if there is none.',
    expires_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the card expires, as its latest event says\x3B NULL is never.',
    breakage_cents Int64 COMMENT 'What is left on an expired card, 0 in every other state, in 1/100 of the currency unit.',
    events UInt64 COMMENT 'Events, each counted once.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the card\'s latest event.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, gift_card_code)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM gift_card_lives;

DROP VIEW IF EXISTS customer_consents_cached;

CREATE MATERIALIZED VIEW customer_consents_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    customer_id String COMMENT 'The customer.',
    channel LowCardinality(String) COMMENT 'email or sms.',
    state Nullable(Int64) COMMENT 'State of the consent, as SHOPLINE numbers it.',
    state_label LowCardinality(String) COMMENT 'The state in words: subscribed, unsubscribed (cancelled), not_subscribed and pending (to be confirmed, both e-mail alone), not_available (SMS alone), unknown (NULL or another number).',
    opt_in_level Nullable(Int64) COMMENT 'How the consent was given, as SHOPLINE numbers it.',
    opt_in_label LowCardinality(String) COMMENT 'How it was given in words: single_opt_in, confirmed_opt_in, unknown (0, NULL or another number).',
    collected_from String COMMENT 'Where the consent came from.',
    consent_updated_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the consent changed.',
    reachable Bool COMMENT 'Whether the customer has an e-mail address or, for SMS, a phone number for which it is available.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the customer\'s latest update.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, channel, customer_id)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM customer_consents;

DROP VIEW IF EXISTS points_gaps_cached;

CREATE MATERIALIZED VIEW points_gaps_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    buyer_id String COMMENT 'The customer.',
    previous_event_id UUID COMMENT 'The event before the gap: the last one that told its balance.',
    event_id UUID COMMENT 'The event after the gap: the first one that tells its balance.',
    previous_at DateTime64(3, 'UTC') COMMENT 'Time of the event before the gap.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the event after the gap.',
    expected_balance Int64 COMMENT 'What the balance after that event should be: the balance before the gap and the known changes since.',
    points_balance Int64 COMMENT 'The balance that the event tells.',
    unexplained Int64 COMMENT 'The balance told less the one expected: the sum of what is missing.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM points_gaps;

DROP VIEW IF EXISTS store_credit_gaps_cached;

CREATE MATERIALIZED VIEW store_credit_gaps_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    buyer_id String COMMENT 'The customer.',
    previous_event_id UUID COMMENT 'The event before the gap: the last one that told its balance.',
    event_id UUID COMMENT 'The event after the gap: the first one that tells its balance.',
    previous_at DateTime64(3, 'UTC') COMMENT 'Time of the event before the gap.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the event after the gap.',
    expected_balance_cents Int64 COMMENT 'What the balance after that event should be, in 1/100 of the currency unit: the balance before the gap and the known changes since.',
    current_balance_cents Int64 COMMENT 'The balance that the event tells, in 1/100 of the currency unit.',
    unexplained_cents Int64 COMMENT 'The balance told less the one expected, in 1/100 of the currency unit: the sum of what is missing.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, buyer_id, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM store_credit_gaps;

DROP VIEW IF EXISTS gift_card_gaps_cached;

CREATE MATERIALIZED VIEW gift_card_gaps_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    gift_card_code String COMMENT 'The card.',
    buyer_id String COMMENT 'The customer of the event after the gap.',
    previous_event_id UUID COMMENT 'The event before the gap: the last one that told its balance.',
    event_id UUID COMMENT 'The event after the gap: the first one that tells its balance.',
    previous_at DateTime64(3, 'UTC') COMMENT 'Time of the event before the gap.',
    updated_at DateTime64(3, 'UTC') COMMENT 'Time of the event after the gap.',
    expected_balance_cents Int64 COMMENT 'What the balance after that event should be, in 1/100 of the currency unit: the balance before the gap and the known changes since.',
    current_balance_cents Int64 COMMENT 'The balance that the event tells, in 1/100 of the currency unit.',
    unexplained_cents Int64 COMMENT 'The balance told less the one expected, in 1/100 of the currency unit: the sum of what is missing.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
ENGINE = MergeTree ORDER BY (shop_id, gift_card_code, updated_at)
AS SELECT *, now64(3, 'UTC') AS refreshed_at FROM gift_card_gaps;

DROP VIEW IF EXISTS reconciliation_cached;

CREATE MATERIALIZED VIEW reconciliation_cached
REFRESH AFTER 300 SECOND
(
    shop_id String COMMENT 'The shop.',
    day Date COMMENT 'The day in UTC, of the events and of the events after a gap.',
    ledger LowCardinality(String) COMMENT 'points, store_credits or gift_cards.',
    events UInt64 COMMENT 'Events of that day.',
    gaps UInt64 COMMENT 'Gaps before events of that day.',
    unexplained Int64 COMMENT 'What these gaps leave unexplained, each without its sign, in points or in 1/100 of the currency unit.',
    refreshed_at DateTime64(3, 'UTC') COMMENT 'When the view was asked. It is asked anew after the sink\'s refresh_interval.'
)
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
