-- What analysts read. FINAL collapses resends that are not merged yet, so that
-- each event counts once at any moment.

CREATE OR REPLACE VIEW points AS SELECT * FROM fact_points FINAL;

CREATE OR REPLACE VIEW store_credits AS SELECT * FROM fact_store_credits FINAL;

CREATE OR REPLACE VIEW gift_cards AS SELECT * FROM fact_gift_cards FINAL;

CREATE OR REPLACE VIEW customer_changes AS SELECT * FROM fact_customer_changes FINAL;

-- The latest balance that an event tells, and the changes since of events that
-- tell none. Webhooks may arrive in any order, so updated_at decides. Of events
-- within one millisecond the last is the one at whose balance more of them end
-- than start. Where that says nothing, event_id decides, so that the answer is
-- always the same.
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
);

-- The balance is the customer's, whichever code the latest change names.

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
);

-- One row per card, whoever holds it. Its original value is the latest that an
-- event tells. Whether it expires is what the latest event says.

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
);

-- Each customer's latest state. SHOPLINE gives whole seconds. Of two updates in
-- one second the one that was delivered last counts. Only columns of the sorting
-- key are asked before FINAL collapses resends, so that no wrong row survives.

CREATE OR REPLACE VIEW customers AS
SELECT *
FROM fact_customer_changes FINAL
PREWHERE (shop_id, customer_id, updated_at) IN
(
    SELECT shop_id, customer_id, max(updated_at)
    FROM fact_customer_changes
    GROUP BY shop_id, customer_id
)
ORDER BY received_at DESC, event_id DESC
LIMIT 1 BY shop_id, customer_id;
