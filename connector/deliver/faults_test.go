package deliver_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A fleet is a bench whose members have clients of their own, as processes do,
// and whose broker can be started again.
type fleet struct {
	bench

	config embedded.Config

	mu     sync.Mutex
	broker *embedded.Broker
}

func newFleet(t *testing.T, partitions int) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "fleet") // Shorter than t.TempDir, as a socket's path must be.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fleet{config: embedded.DefaultConfig()}
	f.config.DataDir = dir
	f.start(t)
	t.Cleanup(f.stop)
	f.client = f.newClient(t, f.dial, partitions)
	if err := f.client.EnsureTopics(t.Context(), []string{topic, "loyalty." + schema.DeadLetters().Topic}); err != nil {
		t.Fatal(err)
	}
	f.producer = f.client.NewProducer(kafka.DefaultProducerConfig())
	t.Cleanup(func() { _ = f.producer.Close(context.Background()) })
	transport := &kafkago.Transport{Dial: f.dial}
	t.Cleanup(transport.CloseIdleConnections)
	f.raw = &kafkago.Client{Addr: kafkago.TCP("embedded:9092"), Transport: transport}
	return f
}

func (f *fleet) start(t *testing.T) {
	t.Helper()
	broker, err := embedded.StartBroker(t.Context(), f.config, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.broker, f.cluster = broker, broker.Cluster()
}

func (f *fleet) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.broker.Close()
}

func (f *fleet) dial(ctx context.Context, network, address string) (net.Conn, error) {
	f.mu.Lock()
	broker := f.broker
	f.mu.Unlock()
	return broker.Dial(ctx, network, address)
}

func (f *fleet) newClient(t *testing.T, dial kafka.DialFunc, partitions int) *kafka.Client {
	t.Helper()
	config := kafka.DefaultConfig()
	config.Topics.Partitions = partitions
	client, err := kafka.NewClient(config, kafka.Options{Dial: dial, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// member is the bench of a process of its own, which reaches the broker by dial.
func (f *fleet) member(t *testing.T, dial kafka.DialFunc) *bench {
	t.Helper()
	member := f.bench
	member.client = f.newClient(t, dial, 1)
	return &member
}

// expectAllCommitted waits until so many records are committed in all.
func (f *fleet) expectAllCommitted(t *testing.T, partitions int, want int64) {
	t.Helper()
	until(t, fmt.Sprintf("%d records are committed", want), func() bool {
		total := int64(0)
		for _, offset := range f.committed(t, "s", partitions) {
			total += max(0, offset)
		}
		return total == want
	})
}

// A doorman does what a test says before a batch goes to the warehouse, where
// only one batch at a time is let in, and after it has been stored.
type doorman struct {
	warehouse     *warehouse
	entrance      *sync.Mutex // of the warehouse
	before, after func(ctx context.Context, b *sinks.Batch) error
}

func (d *doorman) Write(ctx context.Context, b *sinks.Batch) error {
	if d.before != nil {
		if err := d.before(ctx, b); err != nil {
			return err
		}
	}
	d.entrance.Lock()
	err := d.warehouse.Write(ctx, b)
	d.entrance.Unlock()
	if err == nil && d.after != nil {
		err = d.after(ctx, b)
	}
	return err
}

func (d *doorman) Ping(context.Context) error { return nil }
func (d *doorman) Close() error               { return nil }

// Members come and go while batches are being written, some of which they
// cannot finish: each row is stored once.
func TestRebalanceAmidBatches(t *testing.T) {
	for _, members := range []int{2, 3} {
		for name, finish := range map[string]time.Duration{"finished": 10 * time.Second, "abandoned": time.Millisecond} {
			t.Run(fmt.Sprintf("%d members, batches are %s", members, name), func(t *testing.T) {
				t.Parallel()
				const partitions, more = 4, 40
				f := newFleet(t, partitions)
				w, entrance := &warehouse{}, &sync.Mutex{}
				published := 0
				var fleet []*running
				// join starts a member and waits until it writes batches of its own, with
				// many more to come.
				join := func() {
					writes := &atomic.Int32{}
					slow := func(ctx context.Context, _ *sinks.Batch) error {
						writes.Add(1)
						select {
						case <-ctx.Done():
							return ctx.Err()
						case <-time.After(20 * time.Millisecond): // What a write takes.
							return nil
						}
					}
					// Half of the time is spent before the batch is stored, half of it afterwards.
					sink := &doorman{warehouse: w, entrance: entrance, before: slow, after: slow}
					fleet = append(fleet, f.member(t, f.dial).deliver(t, "s", sink, func(m *making) {
						m.finish, m.cfg.Batch.MaxRows = finish, 5
					}))
					until(t, "the new member writes", func() bool {
						if len(w.ids()) > published-more {
							f.publish(t, published, more, 10)
							published += more
						}
						return writes.Load() > 4
					})
				}
				for range members {
					join()
				}
				for i := range members {
					fleet[i].stop()
					join()
				}
				f.expectAllCommitted(t, partitions, int64(published))
				w.expectEachOnce(t, numbers(0, published))
			})
		}
	}
}

// A line to the broker can be held: then nothing passes and nothing fails, as
// for a process that is stopped and knows nothing of it.
type line struct {
	dialer kafka.DialFunc

	mu   sync.Mutex
	free chan struct{} // closed while the line is not held
}

func newLine(dialer kafka.DialFunc) *line {
	l := &line{dialer: dialer, free: make(chan struct{})}
	close(l.free)
	return l
}

func (l *line) hold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = make(chan struct{})
}

func (l *line) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.free)
}

func (l *line) wait() {
	l.mu.Lock()
	free := l.free
	l.mu.Unlock()
	<-free
}

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	l.wait()
	conn, err := l.dialer(ctx, network, address)
	return lineConn{conn, l}, err
}

type lineConn struct {
	net.Conn
	line *line
}

func (c lineConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.line.wait()
	return n, err
}

func (c lineConn) Write(b []byte) (int, error) {
	c.line.wait()
	return c.Conn.Write(b)
}

// A member that sleeps for longer than its session wakes up with a batch in its
// hands, of which another member has taken care: nothing is stored twice.
func TestMemberWakesUpWithABatch(t *testing.T) {
	for _, test := range []struct {
		name   string
		asleep func(d *doorman) *func(context.Context, *sinks.Batch) error // where it falls asleep
	}{
		{"that it has not announced", nil},
		{"that it is about to write", func(d *doorman) *func(context.Context, *sinks.Batch) error { return &d.before }},
		{"that it has written", func(d *doorman) *func(context.Context, *sinks.Batch) error { return &d.after }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1)
			w, entrance := &warehouse{}, &sync.Mutex{}
			l := newLine(f.dial)
			sleeper := &doorman{warehouse: w, entrance: entrance}
			entered, awake := make(chan struct{}), make(chan struct{})
			var once sync.Once
			var writes atomic.Int32
			sleep := func(context.Context, *sinks.Batch) error {
				once.Do(func() { close(entered) })
				<-awake // It does not notice that its context ends.
				return nil
			}
			sleeper.before = func(context.Context, *sinks.Batch) error { writes.Add(1); return nil }
			if test.asleep != nil {
				*test.asleep(sleeper) = sleep
			}
			registry := prometheus.NewRegistry()
			var ahead atomic.Int64 // of the sleeper's clock
			first := f.member(t, l.dial).deliver(t, "s", sleeper, func(m *making) {
				m.registry = registry
				m.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				if test.asleep == nil {
					m.cfg.Batch.MaxAge = time.Hour
				}
			})
			f.publish(t, 0, 10, 10)
			if test.asleep == nil {
				until(t, "it has a batch", func() bool { return gauge(t, registry, "loyaltyhouse_consumer_lag_records") == 10 })
			} else {
				<-entered
			}
			l.hold()

			// Another member is given the partition when the session is over.
			f.publish(t, 10, 10, 10)
			f.member(t, f.dial).deliver(t, "s", &doorman{warehouse: w, entrance: entrance})
			f.expectCommitted(t, "s", 20)
			w.expectEachOnce(t, numbers(0, 20))

			ahead.Store(int64(24 * time.Hour))
			close(awake)
			l.release()
			f.publish(t, 20, 10, 10)
			f.expectCommitted(t, "s", 30)
			if test.asleep == nil && writes.Load() > 0 {
				t.Errorf("the member that was fenced wrote %d batches", writes.Load())
			}
			first.stop()
			f.publish(t, 30, 10, 10)
			f.expectCommitted(t, "s", 40)
			w.expectEachOnce(t, numbers(0, 40))
		})
	}
}

// The broker ends while a batch is being written, and is started again before
// or after the write has ended.
func TestBrokerRestartsAmidABatch(t *testing.T) {
	for name, early := range map[string]bool{"before the write has ended": true, "after the write has ended": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 1)
			f.publish(t, 0, 10, 10)
			entered, stored, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
			var once, onceStored sync.Once
			w := &warehouse{}
			sink := &doorman{
				warehouse: w, entrance: &sync.Mutex{},
				before: func(context.Context, *sinks.Batch) error {
					once.Do(func() { close(entered) })
					<-release
					return nil
				},
				after: func(context.Context, *sinks.Batch) error {
					onceStored.Do(func() { close(stored) })
					return nil
				},
			}
			f.member(t, f.dial).deliver(t, "s", sink)
			<-entered
			f.stop()
			if early {
				f.start(t)
				close(release)
				<-stored
			} else {
				close(release)
				<-stored
				f.start(t)
			}
			f.expectCommitted(t, "s", 10)
			f.publish(t, 10, 10, 10)
			f.expectCommitted(t, "s", 20)
			w.expectEachOnce(t, numbers(0, 20))
		})
	}
}

// The clock jumps forward and back while batches fill: none waits for it.
func TestClockJumps(t *testing.T) {
	b := newBench(t, 1)
	var ahead atomic.Int64
	registry := prometheus.NewRegistry()
	w := &warehouse{}
	b.deliver(t, "s", w, func(m *making) {
		m.registry = registry
		m.cfg.Batch.MaxAge = 10 * time.Minute
		// Without the reading of the monotonic clock, which does not jump.
		m.now = func() time.Time { return time.Now().Round(0).Add(time.Duration(ahead.Load())) }
	})
	published := int64(0)
	for _, jump := range []time.Duration{24 * time.Hour, -time.Hour, -48 * time.Hour, time.Hour, 24 * time.Hour} {
		b.publish(t, int(published), 10, 10)
		published += 10
		until(t, "a batch fills", func() bool { return gauge(t, registry, "loyaltyhouse_consumer_lag_records") == 10 })
		ahead.Add(int64(jump))
		until(t, "the batch is delivered", func() bool {
			ahead.Add(int64(jump / 1000)) // The clock goes on as it has begun.
			return b.committed(t, "s", 1)[0] == published
		})
	}
	w.expectEachOnce(t, numbers(0, int(published)))
}

var _ sinks.Sink = (*doorman)(nil)
