package answers_test

// storeCredits is what shops owe to their customers in store credits.
var storeCredits = board{
	panels: map[string]promise{
		"Issued": func(p *programme, c choice) answer { return single(money, added(p.chosen(credits, c))) },
		"Used":   func(p *programme, c choice) answer { return single(money, taken(p.chosen(credits, c))) },
		"Net":    func(p *programme, c choice) answer { return single(money, net(p.chosen(credits, c))) },
		"Use rate": func(p *programme, c choice) answer {
			return single(share, p.takenOfAdded(credits, c))
		},
		"Customers": func(p *programme, c choice) answer { return single(count, customers(p.chosen(credits, c))) },
		"Issued by reason": func(p *programme, c choice) answer {
			return barsByScene(c, only(p.chosen(credits, c), isIncrease), "reason", money.as("amount"), added)
		},
		"Used by reason": func(p *programme, c choice) answer {
			return barsByScene(c, only(p.chosen(credits, c), isDecrease), "reason", money.as("amount"), taken)
		},
		"Totals by reason": func(p *programme, c choice) answer {
			a := table(text.as("Reason"), count.as("Events"), count.as("Customers"), money.as("Issued"), money.as("Used"), money.as("Net"))
			for reason, part := range grouped(p.chosen(credits, c), byScene) {
				a.add(reason, int64(len(part)), customers(part), added(part), taken(part), net(part))
			}
			return a.sorted(0, largerOf(3, 4), asc(0))
		},
		"Issued by reason, in all": func(p *programme, c choice) answer {
			a := table(text.as("Reason"), money.as("Issued"))
			for reason, part := range grouped(only(p.chosen(credits, c), isIncrease), byScene) {
				a.add(reason, added(part))
			}
			return a.sorted(0, desc(1), asc(0))
		},
		"Outstanding":            func(p *programme, c choice) answer { return single(money, p.outstanding(credits, c)) },
		"Expired":                func(p *programme, c choice) answer { return single(money, p.expired(credits, c)) },
		"Customers with credits": func(p *programme, c choice) answer { return single(count, p.withBalance(credits, c)) },
		"Expiring in 30 days":    func(p *programme, c choice) answer { return single(money, p.expiring(credits, c, 30)) },
		"Expiring in 60 days":    func(p *programme, c choice) answer { return single(money, p.expiring(credits, c, 60)) },
		"Expiring in 90 days":    func(p *programme, c choice) answer { return single(money, p.expiring(credits, c, 90)) },
		"Largest balances": func(p *programme, c choice) answer {
			a := table(text.as("Shop"), text.as("Customer"), money.as("Balance"), money.as("Expiring in 30 days"),
				moment.as("Last used"), moment.as("Latest event"))
			for o, h := range p.accounts[credits] {
				if !c.inShop(o.shop) {
					continue
				}
				var lastUsed any
				for _, e := range only(h, isDecrease) {
					lastUsed = e.at
				}
				a.add(o.shop, o.id, h.balance(), h.expiring(p.now, p.now.Add(30*day)), lastUsed, h.last().at)
			}
			return a.sorted(50, desc(2), asc(0), asc(1))
		},
		"Outstanding by shop": func(p *programme, c choice) answer { return p.outstandingByShop(credits, c, money) },
	},
	variables: map[string]options{
		"shop":   func(p *programme, _ choice) []string { return p.shops() },
		"reason": func(p *programme, c choice) []string { return p.scenes(credits, c) },
	},
	annotations: map[string]promise{
		"Gaps": func(p *programme, c choice) answer { return p.gapMarks(c, credits) },
	},
}
