package simulate

import (
	"strconv"
	"strings"
)

// bad plans a delivery that must not reach a fact table. The flaws take turns,
// so that even a short history has all of them.
func (g *Generator) bad(now int64) {
	if (g.badBodies+g.forged)%4 == 3 {
		g.deliver(g.forgery(now), 0)
		return
	}
	d := g.badBody(now)
	g.deliver(d, 0)
	if g.rng.IntN(4) == 0 {
		g.deliver(d, 1+g.rng.IntN(window-1))
	}
}

// forgery returns an event that never happened, without a valid signature. It
// promises a real customer points.
func (g *Generator) forgery(now int64) Delivery {
	flaws := [...]Flaw{FlawNoSignature, FlawWrongSecret, FlawGarbledSignature}
	flaw := flaws[g.forged%int64(len(flaws))]
	g.forged++

	k := g.rng.IntN(len(g.customers))
	account := g.buyer(k)
	b := &g.body
	b.begin(plainNumbers)
	b.text("buyer_id", account.ID)
	b.integer("points_balance", 1_000_000)
	b.text("store_id", account.ShopID)
	b.text("update_type", increase)
	b.integer("updated_at", now)
	b.text("updated_scene", "MANUALLY_INCREASE")
	b.integer("updated_value", 1_000_000)
	d := g.delivery(k, "", TopicPoints, b.end(), Truth{})
	d.Kind, d.Flaw = KindBadSignature, flaw
	return d
}

// badBody returns a signed delivery whose body cannot become a row. All are
// distinct, and stay so when numbers are read as float64, as RFC 8785 does.
func (g *Generator) badBody(now int64) Delivery {
	flaws := [...]Flaw{
		FlawUnknownTopic, FlawNotJSON, FlawNotObject, FlawTruncated, FlawMissingField, FlawEmptyID,
		FlawUpdateType, FlawSeconds, FlawFraction, FlawBeyondInt64, FlawNotUTF8,
	}
	serial := g.badBodies
	flaw := flaws[serial%int64(len(flaws))]
	g.badBodies++
	// round changes only when every flaw has had its turn, so that each flaw meets
	// each topic and each variant.
	round := serial / int64(len(flaws))
	id := "77" + strconv.FormatInt(1_000_000_000+serial, 10)
	topics := g.catalogue.topics
	ledger := topics[round%int64(len(topics))]

	topic := ledger.topic
	var body string
	switch {
	case (flaw == FlawMissingField || flaw == FlawEmptyID) && round%4 == 3:
		topic = TopicCustomersUpdate
		body = badProfile(flaw, id, round)
	case flaw == FlawUnknownTopic:
		topic = "orders/edited"
		body = `{"id":"` + id + `","order_seq":"` + id + `","updated_at":"2024-07-25T02:52:06+08:00"}`
	case flaw == FlawNotJSON:
		body = [...]string{"buyer_id=" + id + "&points=20", "<html>" + id + "</html>"}[round%2]
	case flaw == FlawNotObject:
		body = [...]string{`["` + id + `"]`, `"` + id + `"`}[round%2]
	case flaw == FlawNotUTF8:
		topic = TopicCustomersUpdate
		// José in Latin-1 and 张 in GBK.
		name := [...]string{"Jos\xe9", "\xd5\xc5"}[round%2]
		body = `{"first_name":"` + name + `","id":"` + id + `","updated_at":"2024-07-25T02:52:06+08:00"}`
	default:
		body = g.badLedgerBody(ledger, flaw, id, now, serial, round)
	}

	k := g.rng.IntN(len(g.customers))
	d := g.delivery(k, TableDeadLetters, topic, []byte(body), Truth{})
	d.Kind, d.Flaw = KindBad, flaw
	return d
}

// badProfile returns a customers/update body without its id or its time.
func badProfile(flaw Flaw, id string, round int64) string {
	switch {
	case flaw == FlawEmptyID:
		return `{"email":"` + id + `@example.com","id":"","updated_at":"2024-07-25T02:52:06+08:00"}`
	case round%8 == 3:
		return `{"email":"` + id + `@example.com","updated_at":"2024-07-25T02:52:06+08:00"}`
	default:
		return `{"email":"` + id + `@example.com","id":"` + id + `"}`
	}
}

// badLedgerBody returns a body of points, store credits or gift cards that has
// one flaw and is right in everything else.
func (g *Generator) badLedgerBody(ledger ledgerTopic, flaw Flaw, id string, now, serial, round int64) string {
	type member struct{ name, value string }
	members := []member{
		{"buyer_id", `"` + id + `"`},
		{"update_type", `"INCREASE"`},
		{ledger.value, "20"},
		{"updated_at", strconv.FormatInt(now, 10)},
		{ledger.code, `"` + id + `"`},
		{ledger.balance, strconv.FormatInt(1_000_000_000+serial, 10)},
		{ledger.scene, `"` + ledger.sceneValue + `"`},
		{"store_id", `"` + g.shops[0].id + `"`},
	}
	if ledger.code == "" {
		members = append(members[:4], members[5:]...)
	}
	switch flaw {
	case FlawMissingField:
		// The required fields come first: four, and the code of those that have one.
		required := int64(4)
		if ledger.code != "" {
			required++
		}
		i := round % required
		members = append(members[:i], members[i+1:]...)
	case FlawEmptyID:
		members[0].value = `""`
	case FlawUpdateType:
		members[1].value = [...]string{`"RESET"`, `""`, `"INCREASED"`, `"UP"`}[round%4]
	case FlawFraction:
		members[2].value = strconv.FormatInt(serial, 10) + ".5"
	case FlawBeyondInt64:
		members[2].value = [...]string{"9223372036854775808", "1e30", `"99999999999999999999"`}[round%3]
	case FlawSeconds:
		members[3].value = strconv.FormatInt(now/1000, 10)
	}
	var body strings.Builder
	for i, m := range members {
		body.WriteByte("{,"[min(i, 1)])
		body.WriteString(`"` + m.name + `":` + m.value)
	}
	body.WriteByte('}')
	if flaw == FlawTruncated {
		// Cut behind the buyer's id, which makes the body distinct.
		least := len(`{"buyer_id":""`) + len(id)
		return body.String()[:least+g.rng.IntN(body.Len()-least)]
	}
	return body.String()
}
