-- The ledger's own proof. Every event tells its change and, mostly, the balance
-- after it, so that a missing, doubled or misordered event shows as a gap: the
-- balance before an event is not the one that the event before it left.
--
-- Everything follows updated_at and never the order of arrival, reads the facts'
-- views, which collapse resends, and asks the three ledgers with one query.

CREATE OR REPLACE VIEW ledger_events AS
SELECT toLowCardinality('points') AS ledger, shop_id, buyer_id AS account, buyer_id, event_id, updated_at, points_delta AS delta, points_balance AS balance
FROM points
UNION ALL
SELECT toLowCardinality('store_credits'), shop_id, buyer_id, buyer_id, event_id, updated_at, balance_delta_cents, current_balance_cents
FROM store_credits
UNION ALL
SELECT toLowCardinality('gift_cards'), shop_id, gift_card_code, buyer_id, event_id, updated_at, balance_delta_cents, current_balance_cents
FROM gift_cards;

-- A told balance less the sum of all changes up to it is the account's level. It
-- stays the same while nothing is missing, and jumps at a gap by what is
-- unexplained. An account with one level is dropped at once. What is left is
-- looked at in these steps:
--
-- moments: the events of one millisecond have no order, and are one step. Base is
--   the sum of the changes before it. Events are (balance before, after, event_id, buyer_id).
--   Where one of them does not tell its balance, the moment counts as a change alone.
-- judged: a moment is in line if its events can follow each other, each beginning
--   where the one before ended. They can if befores and afters differ by one path's
--   start and end at most, and all befores can be reached from the start. Where they
--   go in a circle, they may begin at any of them, hence several possible levels.
-- placed: a moment that is not in line becomes single events, in the order that
--   follows the balances as far as it can: first the one that begins where the last
--   one ended, then one where more events begin than end, then the nearest.
-- runs: (levels, first part, last part) of parts that agree in a level. A part is
--   (levels, base, change, events, updated_at). Between two runs is a gap.
--
-- The history of 20 million events takes more memory than a query should, which is
-- why it may go to disk on its way.

CREATE OR REPLACE VIEW ledger_gaps AS
WITH
    suspects AS
    (
        WITH
            arraySort(e -> e.1, arrayZip(groupArray(updated_at), groupArray(delta), groupArray(assumeNotNull(balance)), groupArray(balance IS NOT NULL))) AS history,
            arrayFilter((level, told) -> told, arrayMap((b, past) -> b - past, history.3, arrayCumSum(history.2)), history.4) AS levels
        SELECT ledger, shop_id, account
        FROM ledger_events
        GROUP BY ledger, shop_id, account
        HAVING arrayMin(levels) < arrayMax(levels)
        SETTINGS max_bytes_before_external_group_by = 1000000000
    ),
    moments AS
    (
        SELECT
            ledger, shop_id, account, updated_at, change, untold,
            sum(change) OVER (PARTITION BY ledger, shop_id, account ORDER BY updated_at ROWS UNBOUNDED PRECEDING) - change AS base,
            arraySort(e -> e.3, events) AS events
        FROM
        (
            SELECT
                ledger, shop_id, account, updated_at,
                sum(delta) AS change,
                countIf(balance IS NULL) > 0 AS untold,
                groupArrayIf((assumeNotNull(balance) - delta, assumeNotNull(balance), event_id, buyer_id), balance IS NOT NULL) AS events
            FROM ledger_events
            INNER JOIN suspects USING (ledger, shop_id, account)
            GROUP BY ledger, shop_id, account, updated_at
        )
    ),
    judged AS
    (
        WITH
            events.1 AS befores,
            events.2 AS afters,
            arraySort(arrayFilter(b -> countEqual(befores, b) > countEqual(afters, b), arrayDistinct(befores))) AS starts,
            arraySum(b -> countEqual(befores, b) - countEqual(afters, b), starts) AS paths,
            if(empty(starts), befores[1], starts[1]) AS start,
            arrayFold(
                (reached, i) -> arrayDistinct(arrayConcat(reached, arrayFilter((a, b) -> has(reached, b), afters, befores))),
                befores, [start]) AS reached
        SELECT
            ledger, shop_id, account, updated_at, change, base, events, start,
            paths <= 1 AND hasAll(reached, befores) AS in_line,
            multiIf(NOT in_line, [], empty(starts), arrayMap(b -> b - base, arrayDistinct(befores)), [start - base]) AS levels
        FROM moments
        WHERE NOT untold
    ),
    placed AS
    (
        WITH
            events.1 AS befores,
            events.2 AS afters,
            arrayMap(e -> (e.1, e.2, e.3, e.4,
                toInt64(countEqual(afters, e.1)) - toInt64(countEqual(befores, e.1)),
                toInt64(countEqual(afters, e.2)) - toInt64(countEqual(befores, e.2))), if(in_line, [], events)) AS astray,
            arrayFold(
                (walk, i) -> (
                    (arraySort(e -> (e.1 != walk.1, e.5, abs(e.1 - walk.1), e.6, e.3), walk.2) AS ahead)[1].2,
                    arrayPopFront(ahead),
                    arrayPushBack(walk.3, ahead[1])),
                astray, (ifNull(near + base, start), astray, arrayResize(astray, 0))).3 AS walked,
            arrayMap((e, past) -> base + past - (e.2 - e.1), walked, arrayCumSum(e -> e.2 - e.1, walked)) AS bases
        SELECT
            ledger, shop_id, account, updated_at,
            if(in_line,
                [(levels, base, change, events)],
                arrayMap((e, b) -> ([e.1 - b], b, e.2 - e.1, [(e.1, e.2, e.3, e.4)]), walked, bases)) AS parts
        FROM
        (
            SELECT *, anyLast(if(length(levels) = 1, levels[1], NULL)) OVER (PARTITION BY ledger, shop_id, account ORDER BY updated_at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS near
            FROM judged
        )
    ),
    runs AS
    (
        WITH
            arraySort(m -> m.1, groupArray((updated_at, parts))) AS history,
            arrayFlatten(arrayMap(m -> arrayMap(p -> (p.1, p.2, p.3, p.4, m.1), m.2), history)) AS steps,
            arrayFilter((s, previous, next) -> s.1 != previous.1 OR s.1 != next.1, steps, arrayShiftRight(steps, 1), arrayShiftLeft(steps, 1)) AS turns
        SELECT
            ledger, shop_id, account,
            arrayFold(
                (agreeing, s) -> if(empty(arrayIntersect(agreeing[-1].1, s.1) AS same),
                    arrayPushBack(agreeing, (s.1, s, s)),
                    arrayPushBack(arrayPopBack(agreeing), (same, agreeing[-1].2, s))),
                arrayPopFront(turns), [(turns[1].1, turns[1], turns[1])]) AS runs
        FROM placed
        GROUP BY ledger, shop_id, account
    )
SELECT
    ledger, shop_id, account,
    first.4 AS buyer_id,
    last.3 AS previous_event_id,
    first.3 AS event_id,
    pair.1.3.5 AS previous_at,
    pair.2.2.5 AS updated_at,
    first.2 - unexplained AS expected_balance,
    first.2 AS balance,
    level - level_before AS unexplained
FROM
(
    SELECT
        ledger, shop_id, account, pair,
        arrayMin(pair.1.1) AS level_before,
        arrayMin(pair.2.1) AS level,
        arrayFilter(e -> e.2 = level_before + pair.1.3.2 + pair.1.3.3, pair.1.3.4)[1] AS last,
        arrayFilter(e -> e.1 = level + pair.2.2.2, pair.2.2.4)[1] AS first
    FROM runs
    ARRAY JOIN arrayZip(arrayPopBack(runs), arrayPopFront(runs)) AS pair
);

CREATE OR REPLACE VIEW points_gaps AS
SELECT shop_id, account AS buyer_id, previous_event_id, event_id, previous_at, updated_at, expected_balance, balance AS points_balance, unexplained
FROM ledger_gaps
WHERE ledger = 'points';

CREATE OR REPLACE VIEW store_credit_gaps AS
SELECT shop_id, account AS buyer_id, previous_event_id, event_id, previous_at, updated_at,
    expected_balance AS expected_balance_cents, balance AS current_balance_cents, unexplained AS unexplained_cents
FROM ledger_gaps
WHERE ledger = 'store_credits';

CREATE OR REPLACE VIEW gift_card_gaps AS
SELECT shop_id, account AS gift_card_code, buyer_id, previous_event_id, event_id, previous_at, updated_at,
    expected_balance AS expected_balance_cents, balance AS current_balance_cents, unexplained AS unexplained_cents
FROM ledger_gaps
WHERE ledger = 'gift_cards';

-- A gap belongs to the day of the event after it. Gaps of opposite sign do not
-- cancel out.

CREATE OR REPLACE VIEW reconciliation AS
SELECT shop_id, day, ledger, sum(found.events) AS events, sum(found.gaps) AS gaps, sum(found.unexplained) AS unexplained
FROM
(
    SELECT shop_id, toDate(updated_at) AS day, ledger, count() AS events, 0 AS gaps, 0::Int64 AS unexplained
    FROM ledger_events
    GROUP BY shop_id, day, ledger
    UNION ALL
    SELECT shop_id, toDate(updated_at) AS day, ledger, 0, count(), sum(toInt64(abs(g.unexplained)))
    FROM ledger_gaps AS g
    GROUP BY shop_id, day, ledger
) AS found
GROUP BY shop_id, day, ledger;

-- When each ledger last heard of a shop, and of what time the latest event is.

CREATE OR REPLACE VIEW freshness AS
SELECT shop_id, toLowCardinality('points') AS ledger, max(received_at) AS last_received_at, max(updated_at) AS last_updated_at FROM points GROUP BY shop_id
UNION ALL
SELECT shop_id, toLowCardinality('store_credits'), max(received_at), max(updated_at) FROM store_credits GROUP BY shop_id
UNION ALL
SELECT shop_id, toLowCardinality('gift_cards'), max(received_at), max(updated_at) FROM gift_cards GROUP BY shop_id
UNION ALL
SELECT shop_id, toLowCardinality('customer_changes'), max(received_at), max(updated_at) FROM customer_changes GROUP BY shop_id;
