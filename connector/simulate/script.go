package simulate

// A script decides what happens: when, to whom, and by how much. Writing it down
// as a webhook and delivering that, once or more often, is the Generator's part.
type script interface {
	// tick returns the time of the next event in milliseconds since 1970: later
	// than that of every event before.
	tick() int64
	// anyEvent makes an event of any customer, perhaps of one who registers now.
	anyEvent(now int64) Delivery
	// event makes an event of a known customer, in the given table if that can be:
	// a customer's profile, for one, changes at most once in a second, because
	// SHOPLINE dates it in seconds.
	event(now int64, k int, table string) Delivery
}

var (
	_ script = (*mixture)(nil)
	_ script = (*history)(nil)
)
