package schema

import (
	"slices"
	"strings"
)

// cachedSuffix ends the name of a view that holds what another one said.
const cachedSuffix = "_cached"

// cachedNames are the views that have to read all of history, and of which the
// migrations make a refreshable materialized view as well.
var cachedNames = []string{
	"points_members", "points_cohorts", "points_segments", "store_credit_members", "gift_card_lives",
	"customer_consents", "points_gaps", "store_credit_gaps", "gift_card_gaps", "reconciliation",
}

// cachedNotes say more of some of them.
var cachedNotes = map[string]string{
	"reconciliation": " The gaps are those of points_gaps_cached, store_credit_gaps_cached and gift_card_gaps_cached, as of their refresh.",
}

var cachedViews = cacheViews(slices.Concat(ledgerViews, customerViews, gapViews))

func cacheViews(live []View) []View {
	var all []View
	for _, name := range cachedNames {
		for _, v := range live {
			if v.Name == name {
				all = append(all, View{
					Name: v.Name + cachedSuffix,
					Doc:  "What " + v.Name + " said at refreshed_at, for pictures that are drawn often. " + v.Doc + cachedNotes[name],
					Columns: append(slices.Clone(v.Columns), ViewColumn{
						"refreshed_at", "DateTime64(3, 'UTC')", "When the view was asked. It is asked anew after the sink's refresh_interval.",
					}),
				})
			}
		}
	}
	return all
}

// Cached reports whether the view holds what another one said, as of its last
// refresh. Every other view is exact at any moment.
func (v *View) Cached() bool { return strings.HasSuffix(v.Name, cachedSuffix) }
