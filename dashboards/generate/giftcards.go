package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// giftCards follows gift cards from their sale to their last use.
func giftCards() board {
	inCards := where(inTime, inShop, inCard)
	const (
		sold     = "sumIf(balance_delta_cents, balance_delta_cents > 0 AND scene_type IN ('SELF_PURCHASE', 'OTHERS_SEND')) / 100"
		redeemed = "-sumIf(balance_delta_cents, balance_delta_cents < 0 AND scene_type = 'PURCHASE_PAYMENT') / 100"
		refunded = "sumIf(balance_delta_cents, balance_delta_cents > 0 AND scene_type = 'RETURN_INCREASE') / 100"
		// What was on the card, whether the disabling took it or left it there.
		disabled = "sumIf(ifNull(current_balance_cents, 0) - least(0, balance_delta_cents), scene_type = 'CARD_DISABLED') / 100"
	)
	return board{
		uid:         "gift-cards",
		title:       "Gift cards",
		description: "Gift cards sold, redeemed, refunded and disabled, what is outstanding on them and what will never be used. Amounts are in each shop's own currency.",
		tags:        []string{"gift-cards"},
		from:        "now-90d",
		variables: []dashboard.VariableModel{
			shopVariable(), inTimeVariable("card_scene", "Scene", "scene_type", "fact_gift_cards"), timeZoneVariable(), intervalVariable(),
		},
		annotations: []dashboard.AnnotationQuery{markGaps("'gift_cards'")},
		rows: [][]dashboard.Panel{
			{
				number(5, "Sold", "What was put on cards that customers bought, for themselves or for others, in the selected time, in the shop's currency. Resends count once.", money, green, asTable(
					"SELECT "+sold+" AS sold",
					"FROM loyalty.gift_cards", inCards)),
				number(5, "Redeemed", "What was paid with cards in the selected time, in the shop's currency. Resends count once.", money, orange, asTable(
					"SELECT "+redeemed+" AS redeemed",
					"FROM loyalty.gift_cards", inCards)),
				number(5, "Refunded", "What came back to cards with refunded orders in the selected time, in the shop's currency. Resends count once.", money, green, asTable(
					"SELECT "+refunded+" AS refunded",
					"FROM loyalty.gift_cards", inCards)),
				number(5, "Disabled", "What was left on cards when they were disabled in the selected time, whether that took it from them or not, in the shop's currency. Resends count once.", money, amber, asTable(
					"SELECT "+disabled+" AS disabled",
					"FROM loyalty.gift_cards", inCards)),
				number(4, "Cards changed", "Cards whose balance changed in the selected time: sold, used, refunded or disabled.", whole, blue, asTable(
					"SELECT "+cards+" AS cards",
					"FROM loyalty.gift_cards", inCards)),
			},
			{
				coloured(sideBySide(16, 9, "Sold, redeemed, refunded, disabled", "What went to cards and from them, by the time of the event, in the shop's currency. Resends count once.", money, asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  "+sold+" AS \"Sold\",",
					"  "+redeemed+" AS \"Redeemed\",",
					"  "+refunded+" AS \"Refunded\",",
					"  "+disabled+" AS \"Disabled\"",
					"FROM loyalty.gift_cards", inCards,
					"GROUP BY time",
					"ORDER BY time")), "Sold", green, "Redeemed", orange, "Refunded", blue, "Disabled", amber),
				pie(8, 9, "Cards by state", "Every card as of now, whatever the selected time: active, used up, expired with something left on it, or disabled. Refreshed every few minutes.", whole, "Cards", asTable(
					"SELECT",
					"  state AS \"State\",",
					"  count() AS \"Cards\"",
					"FROM loyalty.gift_card_lives_cached", where(inShop),
					"GROUP BY state",
					"ORDER BY \"Cards\" DESC, state")),
			},
			{
				number(5, "Outstanding", "What is left on active cards now, whatever the selected time, in the shop's currency. Refreshed every few minutes.", money, blue, asTable(
					"SELECT sumIf(current_balance_cents, state = 'active') / 100 AS outstanding",
					"FROM loyalty.gift_card_lives_cached", where(inShop))),
				number(5, "Active cards", "Cards that can be used now, whatever the selected time. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT countIf(state = 'active') AS cards",
					"FROM loyalty.gift_card_lives_cached", where(inShop))),
				number(5, "Breakage", "What was left on cards when they expired, all history, in the shop's currency. Disabled cards do not count. Refreshed every few minutes.", money, amber, asTable(
					"SELECT sum(breakage_cents) / 100 AS breakage",
					"FROM loyalty.gift_card_lives_cached", where(inShop))),
				dial(4, "Breakage rate", "Breakage for each unit sold, all history. Refreshed every few minutes.", purple, asTable(
					"SELECT sum(breakage_cents) / nullIf(sum(sold_cents), 0) AS rate",
					"FROM loyalty.gift_card_lives_cached", where(inShop))),
				ranking(5, 4, "Expiring", "What is left on active cards that expire within 30, 60 and 90 days from now, in the shop's currency. Refreshed every few minutes.", money, amber, "Expiring", asTable(
					"SELECT",
					"  concat('in ', toString(days), ' days') AS \"When\",",
					"  sumIf(current_balance_cents, state = 'active' AND expires_at <= now() + toIntervalDay(days)) / 100 AS \"Expiring\"",
					"FROM loyalty.gift_card_lives_cached",
					"ARRAY JOIN [30, 60, 90] AS days", where(inShop),
					"GROUP BY days",
					"ORDER BY days")),
			},
			{
				stacked(12, 9, "Changes by scene", "How often balances of cards changed, by SHOPLINE's scene. Resends count once.", whole, "scene", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  scene_type AS scene,",
					"  count() AS events",
					"FROM loyalty.gift_cards", inCards,
					"GROUP BY time, scene",
					"ORDER BY time, scene")),
				categories(12, 9, "From sale to first use", "Cards that have been sold and used, by how many days after the sale they were first used, all history. Days are those of the selected time zone. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT",
					"  multiIf(",
					"    days < 1, 'same day',",
					"    days < 7, 'first week',",
					"    days < 30, 'first month',",
					"    days < 90, 'first 3 months',",
					"    days < 365, 'first year',",
					"    'later') AS \"First used\",",
					"  count() AS \"Cards\"",
					"FROM",
					"(",
					"  SELECT dateDiff('day', sold_at, first_redeemed_at, ${tz:sqlstring}) AS days",
					"  FROM loyalty.gift_card_lives_cached",
					"  WHERE sold_at IS NOT NULL",
					"    AND first_redeemed_at IS NOT NULL",
					"    AND "+inShop,
					")",
					"GROUP BY \"First used\"",
					"ORDER BY min(days)")),
			},
			{
				rows(24, 11, "Cards", "The 100 cards with most left on them now, whatever the selected time: how each was sold, used and refunded, in the shop's currency. A click on a customer opens the ledger. Refreshed every few minutes.", "There is no card.", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  gift_card_code AS \"Card\",",
					"  buyer_id AS \"Customer\",",
					"  state AS \"State\",",
					"  original_value_cents / 100 AS \"Original value\",",
					"  current_balance_cents / 100 AS \"Balance\",",
					"  redeemed_cents / 100 AS \"Redeemed\",",
					"  refunded_cents / 100 AS \"Refunded\",",
					"  redemptions AS \"Times used\",",
					"  sold_at AS \"Sold\",",
					"  last_redeemed_at AS \"Last used\",",
					"  expires_at AS \"Expires\"",
					"FROM loyalty.gift_card_lives_cached", where(inShop),
					"ORDER BY current_balance_cents DESC, shop_id, gift_card_code",
					"LIMIT 100"),
					toLedger(), written("Original value", money), barred("Balance", money, blue), written("Redeemed", money), written("Refunded", money)),
			},
			{
				rows(24, 9, "Expiring next", "The 50 active cards with something left on them that expire first, in the shop's currency. A click on a customer opens the ledger. Refreshed every few minutes.", "No active card expires.", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  gift_card_code AS \"Card\",",
					"  buyer_id AS \"Customer\",",
					"  current_balance_cents / 100 AS \"Balance\",",
					"  expires_at AS \"Expires\",",
					"  age('day', now(), expires_at) AS \"Days left\"",
					"FROM loyalty.gift_card_lives_cached", where("state = 'active'", "current_balance_cents > 0", "expires_at IS NOT NULL", inShop),
					"ORDER BY expires_at, shop_id, gift_card_code",
					"LIMIT 50"),
					toLedger(), barred("Balance", money, amber)),
			},
		},
	}
}
