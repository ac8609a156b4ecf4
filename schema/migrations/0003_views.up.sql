-- What analysts read. FINAL collapses resends that are not merged yet, so that
-- each event counts once at any moment.

CREATE VIEW points AS SELECT * FROM fact_points FINAL;

CREATE VIEW store_credits AS SELECT * FROM fact_store_credits FINAL;

CREATE VIEW gift_cards AS SELECT * FROM fact_gift_cards FINAL;

CREATE VIEW customer_changes AS SELECT * FROM fact_customer_changes FINAL;

-- The balance after the latest event that tells one, and the changes since.
-- Webhooks may arrive in any order, so updated_at decides. Of events within
-- one millisecond the last is the one whose balance no other of them starts from.

CREATE VIEW points_balances AS
SELECT
    shop_id,
    buyer_id,
    ifNull(argMaxIf(balance, (at, is_last, event_id), balance IS NOT NULL), 0) + sumIf(delta, at > known_at) AS points_balance,
    argMax(scene, (at, is_last, event_id)) AS updated_scene,
    max(at) AS updated_at
FROM
(
    SELECT
        shop_id, buyer_id, event_id, known_at,
        e.points_balance AS balance, e.points_delta AS delta, e.updated_scene AS scene, e.updated_at AS at,
        NOT has(groupArray(e.points_balance - e.points_delta) OVER (PARTITION BY shop_id, buyer_id, e.updated_at), e.points_balance) AS is_last
    FROM points AS e
    INNER JOIN
    (
        SELECT shop_id, buyer_id, maxIf(updated_at, points_balance IS NOT NULL) AS known_at
        FROM fact_points
        GROUP BY shop_id, buyer_id
    ) AS known USING (shop_id, buyer_id)
    WHERE e.updated_at >= known_at
)
GROUP BY shop_id, buyer_id;

-- The balance is the customer's, whichever code the latest change names.

CREATE VIEW store_credit_balances AS
SELECT
    shop_id,
    buyer_id,
    ifNull(argMaxIf(balance, (at, is_last, event_id), balance IS NOT NULL), 0) + sumIf(delta, at > known_at) AS current_balance_cents,
    argMax(code, (at, is_last, event_id)) AS store_credits_code,
    argMax(reason, (at, is_last, event_id)) AS update_reason,
    max(at) AS updated_at
FROM
(
    SELECT
        shop_id, buyer_id, event_id, known_at,
        e.current_balance_cents AS balance, e.balance_delta_cents AS delta, e.store_credits_code AS code, e.update_reason AS reason, e.updated_at AS at,
        NOT has(groupArray(e.current_balance_cents - e.balance_delta_cents) OVER (PARTITION BY shop_id, buyer_id, e.updated_at), e.current_balance_cents) AS is_last
    FROM store_credits AS e
    INNER JOIN
    (
        SELECT shop_id, buyer_id, maxIf(updated_at, current_balance_cents IS NOT NULL) AS known_at
        FROM fact_store_credits
        GROUP BY shop_id, buyer_id
    ) AS known USING (shop_id, buyer_id)
    WHERE e.updated_at >= known_at
)
GROUP BY shop_id, buyer_id;

-- One row per card, whoever holds it.

CREATE VIEW gift_card_balances AS
SELECT
    shop_id,
    gift_card_code,
    argMax(buyer, (at, is_last, event_id)) AS buyer_id,
    ifNull(argMaxIf(balance, (at, is_last, event_id), balance IS NOT NULL), 0) + sumIf(delta, at > known_at) AS current_balance_cents,
    argMax(original, (at, is_last, event_id)) AS original_value_cents,
    argMax(scene, (at, is_last, event_id)) AS scene_type,
    argMax(tuple(expires), (at, is_last, event_id)).1 AS expires_at,
    max(at) AS updated_at
FROM
(
    SELECT
        shop_id, gift_card_code, event_id, known_at,
        e.buyer_id AS buyer, e.current_balance_cents AS balance, e.balance_delta_cents AS delta, e.original_value_cents AS original,
        e.scene_type AS scene, e.expires_at AS expires, e.updated_at AS at,
        NOT has(groupArray(e.current_balance_cents - e.balance_delta_cents) OVER (PARTITION BY shop_id, gift_card_code, e.updated_at), e.current_balance_cents) AS is_last
    FROM gift_cards AS e
    INNER JOIN
    (
        SELECT shop_id, gift_card_code, maxIf(updated_at, current_balance_cents IS NOT NULL) AS known_at
        FROM fact_gift_cards
        GROUP BY shop_id, gift_card_code
    ) AS known USING (shop_id, gift_card_code)
    WHERE e.updated_at >= known_at
)
GROUP BY shop_id, gift_card_code;

-- Each customer's latest state. SHOPLINE gives whole seconds. Of two updates in
-- one second the later received counts.

CREATE VIEW customers AS
SELECT *
FROM customer_changes
WHERE (shop_id, customer_id, updated_at) IN
(
    SELECT shop_id, customer_id, max(updated_at)
    FROM fact_customer_changes
    GROUP BY shop_id, customer_id
)
ORDER BY received_at DESC, event_id DESC
LIMIT 1 BY shop_id, customer_id;
