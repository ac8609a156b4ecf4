package webhook

import (
	"sync"
	"time"
)

// occasionally is how often one kind of trouble is logged. While the buffer is
// away every request fails, and one line tells as much as a thousand.
const occasionally = 5 * time.Second

// An occasion limits how often something is logged.
type occasion struct {
	mu      sync.Mutex
	next    time.Time
	skipped int
}

// due reports whether to log now, and how often it was not logged since.
func (o *occasion) due(now time.Time) (skipped int, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if now.Before(o.next) {
		o.skipped++
		return 0, false
	}
	skipped = o.skipped
	o.next, o.skipped = now.Add(occasionally), 0
	return skipped, true
}
