package schema

import (
	"fmt"
	"strings"
)

// CheckConflicts reports two contracts that ask for the same webhook, Kafka
// topic or table: their rows would end in each other's.
func CheckConflicts(contracts []*Contract) error {
	for i, a := range contracts {
		for _, b := range contracts[:i] {
			if err := conflict(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

func conflict(a, b *Contract) error {
	if a.Topic == b.Topic || a.Table == b.Table {
		return fmt.Errorf("contracts %s (table %s) and %s (table %s) share a topic or table; give each its own", a.Topic, a.Table, b.Topic, b.Table)
	}
	for _, mine := range a.Webhooks {
		for _, theirs := range b.Webhooks {
			if strings.EqualFold(mine, theirs) {
				return fmt.Errorf("contracts %s and %s both ask for the webhook %s; leave it to one of them", a.Topic, b.Topic, mine)
			}
		}
	}
	return nil
}
