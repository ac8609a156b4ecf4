//go:build linux && apachekafka

package apachekafka_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/simulate"
)

const appSecret = "kafka-test-secret"

// A pipeline is the connector's processes between a cluster and ClickHouse,
// with topics, a consumer group and a database of its own.
type pipeline struct {
	t        *testing.T
	cluster  *apachekafka.Cluster
	franz    *kgo.Client
	conn     driver.Conn
	name     string // of the sink and the database
	prefix   string // of the topics
	replicas int
	address  string // of the receiver
}

func newPipeline(t *testing.T, cluster *apachekafka.Cluster, replicas int) *pipeline {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{clickHouse(t)}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // Nothing was written on it.
	address, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ReplaceAll(uniquely("warehouse"), "-", "_")
	return &pipeline{
		t: t, cluster: cluster, franz: franz(t, cluster), conn: conn,
		name: name, prefix: name + ".", replicas: replicas, address: address,
	}
}

// A role is one process of a pipeline.
type role struct {
	*harness.Process
	t     *testing.T
	admin string
}

// start runs the connector as receive or sink; name is the process's client id.
func (p *pipeline) start(command, name string) *role {
	p.t.Helper()
	admin, err := harness.FreeAddress(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	dir := p.t.TempDir()
	file := filepath.Join(dir, "connector.yaml")
	inSync := p.replicas/2 + 1
	if err := os.WriteFile(file, fmt.Appendf(nil, `
receiver: {address: "%s", secrets: %s}
admin: {address: "%s"}
kafka:
  brokers: [%s]
  client_id: %s
  topic_prefix: %s
  topics: {partitions: 3, replication_factor: %d, min_insync_replicas: %d}
sinks:
  - name: %s
    batch: {max_age: 100ms}
    clickhouse: {addresses: "%s", database: %[9]s}
`, p.address, appSecret, admin, strings.Join(p.cluster.Addresses(), ", "), name, p.prefix, p.replicas, inSync, p.name, clickHouse(p.t)), 0o600); err != nil {
		p.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer log.Close()
	process, err := harness.Start(name, exec.Command(connectorProgram(p.t), command, "--config", file), log)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		_ = process.Signal(syscall.SIGCONT)
		process.Stop(time.Minute)
		if p.t.Failed() {
			text, err := os.ReadFile(log.Name())
			p.t.Logf("%s: %v\n%s", name, err, text)
		}
	})
	return &role{process, p.t, admin}
}

// ready waits until all parts of the process are ready.
func (r *role) ready() {
	r.t.Helper()
	if err := r.AwaitOK(testContext(r.t), "http://"+r.admin+"/readyz"); err != nil {
		r.t.Fatal(err)
	}
}

// notReady are the parts without which no webhook is accepted, and what they say.
func (r *role) notReady() map[string]string {
	_, body := harness.Get(context.Background(), "http://"+r.admin+"/readyz/receiver")
	var answer struct {
		Parts []struct {
			Name    string
			Ready   bool
			Message string
		}
	}
	if json.Unmarshal(body, &answer) != nil {
		return nil
	}
	parts := map[string]string{}
	for _, part := range answer.Parts {
		if !part.Ready {
			parts[part.Name] = part.Message
		}
	}
	return parts
}

// A load is a history that is being sent.
type load struct {
	t         *testing.T
	generator *simulate.Generator
	done      chan error
	summary   simulate.Summary
}

// send begins to send a history at a rate.
func (p *pipeline) send(seed uint64, count int, rate float64) *load {
	p.t.Helper()
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count, cfg.Customers = seed, count, 200
	l := &load{t: p.t, generator: simulate.New(cfg), done: make(chan error, 1)}
	to := simulate.DefaultSenderConfig()
	to.URL, to.Secret, to.Rate, to.Connections = "http://"+p.address+"/webhooks/shopline", []byte(appSecret), rate, 16
	to.Retry.Longest = 200 * time.Millisecond
	to.Timeout = 30 * time.Second // The tests do not depend on how fast the machine is.
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		var err error
		l.summary, err = simulate.Send(ctx, to, l.generator.Next, nil)
		l.done <- err
	}()
	p.t.Cleanup(cancel)
	return l
}

// sent waits for the end: each delivery got the right answer at last, and none
// got another one than these before.
func (l *load) sent(statuses ...int) {
	l.t.Helper()
	select {
	case err := <-l.done:
		if err != nil {
			l.t.Fatal(err)
		}
	case <-time.After(2 * patience):
		l.t.Fatal("the webhooks are not accepted")
	}
	l.t.Logf("answers %v, unanswered %d, p50 %s, p99 %s, max %s", l.summary.ByStatus, l.summary.Unanswered, l.summary.P50, l.summary.P99, l.summary.Max)
	if l.summary.Violations > 0 {
		l.t.Errorf("wrong answers: %v", l.summary.FirstViolations)
	}
	for status, n := range l.summary.ByStatus {
		if !slices.Contains(statuses, status) {
			l.t.Errorf("%d answers were %d", n, status)
		}
	}
	if l.summary.Unanswered > 0 {
		l.t.Errorf("%d requests got no answer: %v", l.summary.Unanswered, l.summary.LastFailure)
	}
}

// ledgers are the tables whose deltas add up to a balance.
var ledgers = []struct{ table, view, delta, balances, balance, key string }{
	{simulate.TablePoints, "points", "points_delta", "points_balances", "points_balance", "buyer_id"},
	{simulate.TableStoreCredits, "store_credits", "balance_delta_cents", "store_credit_balances", "current_balance_cents", "buyer_id"},
	{simulate.TableGiftCards, "gift_cards", "balance_delta_cents", "gift_card_balances", "current_balance_cents", "gift_card_code"},
}

// reconcile waits until the views hold exactly what the loads have sent, and
// the logs, in which nothing is merged away, one row for each record of their
// topics.
func (p *pipeline) reconcile(loads ...*load) {
	p.t.Helper()
	var differs string
	for until := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if differs = p.difference(loads); differs == "" {
			return
		}
		if err := shared.engine.Err(); err != nil || time.Now().After(until) {
			p.t.Fatalf("sent and stored differ: %s; ClickHouse: %v", differs, err)
		}
	}
}

// difference tells the first number that is not as it was sent.
func (p *pipeline) difference(loads []*load) string {
	for _, log := range []string{"raw_webhooks", "dead_letters"} {
		if stored, records := p.number("SELECT count() FROM "+log), p.recordsOf(log); stored != records {
			return fmt.Sprintf("%s has %d rows, Kafka has %d records", log, stored, records)
		}
	}
	for _, l := range loads {
		if differs := p.differenceOf(l.generator); differs != "" {
			return differs
		}
	}
	return ""
}

// differenceOf compares one history with what is stored of its shops.
func (p *pipeline) differenceOf(g *simulate.Generator) string {
	e := g.Expected()
	want := map[string]int64{
		"SELECT count() FROM customer_changes":         e.Facts[simulate.TableCustomerChanges],
		"SELECT count() FROM customers":                e.Customers,
		"SELECT uniqExact(event_id) FROM dead_letters": e.BadBodies,
	}
	for _, ledger := range ledgers {
		var sum int64
		for _, balance := range g.Balances(ledger.table) {
			sum += balance
		}
		want["SELECT count() FROM "+ledger.view] = e.Facts[ledger.table]
		want["SELECT sum("+ledger.delta+") FROM "+ledger.view] = sum
	}
	for query, sent := range want {
		if stored := p.number(query, g.Shops()); stored != sent {
			return fmt.Sprintf("%s: %d, not %d", query, stored, sent)
		}
	}
	if stored := p.number("SELECT count() FROM raw_webhooks", g.Shops()); stored < e.Signed {
		return fmt.Sprintf("raw_webhooks has %d rows, %d were answered 200", stored, e.Signed)
	}
	for _, ledger := range ledgers {
		if differs := p.balancesDiffer(ledger.balances, ledger.key, ledger.balance, maps.Collect(g.Balances(ledger.table)), g.Shops()); differs != "" {
			return differs
		}
	}
	return ""
}

func (p *pipeline) balancesDiffer(view, key, column string, want map[simulate.Account]int64, shops []string) string {
	rows, err := p.conn.Query(p.t.Context(), fmt.Sprintf("SELECT shop_id, %s, %s FROM %s.%s WHERE shop_id IN ?", key, column, p.name, view), shops)
	if err != nil {
		return err.Error()
	}
	defer rows.Close()
	for rows.Next() {
		var account simulate.Account
		var balance int64
		if err := rows.Scan(&account.ShopID, &account.ID, &balance); err != nil {
			return err.Error()
		}
		if expected, ok := want[account]; !ok || expected != balance {
			return fmt.Sprintf("%s of %v: %d, not %d", view, account, balance, expected)
		}
		delete(want, account)
	}
	if err := rows.Err(); err != nil {
		return err.Error()
	}
	if len(want) > 0 {
		return fmt.Sprintf("%s lacks %d balances", view, len(want))
	}
	return ""
}

// number is the number that a query on one table or view selects, of some shops
// or all; -1 when it cannot be read, as before the tables exist.
func (p *pipeline) number(query string, shops ...[]string) (n int64) {
	what, from, _ := strings.Cut(strings.TrimPrefix(query, "SELECT "), " FROM ")
	query = fmt.Sprintf("SELECT toInt64(%s) FROM %s.%s", what, p.name, from)
	var args []any
	for _, s := range shops {
		query += " WHERE shop_id IN ?"
		args = append(args, s)
	}
	if err := p.conn.QueryRow(p.t.Context(), query, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}

// recordsOf counts the records that a topic has ever got; -2 when it cannot be
// told at the moment.
func (p *pipeline) recordsOf(topic string) (n int64) {
	p.t.Helper()
	request := kmsg.NewPtrListOffsetsRequest()
	wanted := kmsg.NewListOffsetsRequestTopic()
	wanted.Topic = p.prefix + topic
	for id := range int32(3) {
		end := kmsg.NewListOffsetsRequestTopicPartition()
		end.Partition, end.Timestamp = id, -1
		wanted.Partitions = append(wanted.Partitions, end)
	}
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(testContext(p.t), p.franz)
	if err != nil {
		return -2 // A partition has no leader.
	}
	for _, partition := range response.Topics[0].Partitions {
		if partition.ErrorCode != 0 {
			return -2
		}
		n += partition.Offset
	}
	return n
}

func (p *pipeline) group() string { return "loyaltyhouse." + p.name }

// intents are the partitions, as topic/partition, for which a range is
// announced and not yet committed.
func (p *pipeline) intents() (announced []string) {
	request := kmsg.NewPtrOffsetFetchRequest()
	request.Group = p.group()
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = p.group()
	request.Groups = append(request.Groups, asked)
	response, err := request.RequestWith(testContext(p.t), p.franz)
	if err != nil {
		return nil // The group's coordinator may be on its way.
	}
	for _, group := range response.Groups {
		for _, topic := range group.Topics {
			for _, partition := range topic.Partitions {
				var metadata struct{ Records int }
				if partition.Metadata != nil && json.Unmarshal([]byte(*partition.Metadata), &metadata) == nil && metadata.Records > 0 {
					announced = append(announced, fmt.Sprintf("%s/%d", topic.Topic, partition.Partition))
				}
			}
		}
	}
	return announced
}

// members are the assigned partitions of the group's members, by client id.
func (p *pipeline) members() map[string][]string {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{p.group()}
	response, err := request.RequestWith(testContext(p.t), p.franz)
	if err != nil {
		return nil // The group's coordinator may be on its way.
	}
	members := map[string][]string{}
	for _, member := range response.Groups[0].Members {
		partitions := members[member.ClientID]
		var assignment kmsg.ConsumerMemberAssignment
		if assignment.ReadFrom(member.MemberAssignment) == nil {
			for _, topic := range assignment.Topics {
				for _, id := range topic.Partitions {
					partitions = append(partitions, fmt.Sprintf("%s/%d", topic.Topic, id))
				}
			}
		}
		members[member.ClientID] = partitions
	}
	return members
}

// working waits until the members of these names, and no others, have all
// partitions: three of each of the six topics.
func (p *pipeline) working(names ...string) map[string][]string {
	p.t.Helper()
	var members map[string][]string
	eventually(p.t, fmt.Sprint("the members are ", names), func() bool {
		members = p.members()
		count := 0
		for _, partitions := range members {
			count += len(partitions)
		}
		return count == 18 && slices.Equal(slices.Sorted(maps.Keys(members)), slices.Sorted(slices.Values(names)))
	})
	return members
}

// catch stops a sink with SIGSTOP in the middle of a write: a range of one of
// its partitions is announced and not committed.
func (p *pipeline) catch(sink *role) {
	p.t.Helper()
	signal := func(s os.Signal) {
		if err := sink.Signal(s); err != nil {
			p.t.Fatal(err)
		}
	}
	announced := func() bool {
		mine := p.members()[sink.Name]
		return slices.ContainsFunc(p.intents(), func(partition string) bool { return slices.Contains(mine, partition) })
	}
	eventually(p.t, "a range of the sink is announced", func() bool {
		if !announced() {
			return false
		}
		signal(syscall.SIGSTOP)
		if announced() {
			return true
		}
		signal(syscall.SIGCONT) // It was done by then.
		return false
	})
	p.t.Logf("caught %s with announced ranges %v", sink.Name, p.intents())
}

// Webhooks of every kind become rows, with receiver and sink in processes of
// their own.
func TestWebhooksBecomeRows(t *testing.T) {
	p := newPipeline(t, oneNode(t), 1)
	receiver, sink := p.start("receive", "receiver"), p.start("sink", "sink")
	receiver.ready()
	sink.ready()
	l := p.send(1, 2000, 0)
	l.sent(http.StatusOK, http.StatusUnauthorized)
	p.reconcile(l)
	receiver.ready()
	sink.ready()
}

// Sinks are killed in the middle of a write again and again, sometimes both at
// once: everything is stored, and stored once.
func TestKilledSinksDeliverExactlyOnce(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, oneNode(t), 1)
	p.start("receive", "receiver").ready()
	sinks := []*role{p.start("sink", "sink-0"), p.start("sink", "sink-1")}
	l := p.send(2, 4000, 100)
	for round := range 4 {
		p.working(sinks[0].Name, sinks[1].Name)
		eventually(t, "what was under way is written", func() bool { return len(p.intents()) == 0 })
		p.catch(sinks[round%2])
		for i, sink := range sinks {
			if i == round%2 || round == 2 {
				sink.Kill()
				sinks[i] = p.start("sink", fmt.Sprintf("sink-%d-after-%d", i, round))
			}
		}
	}
	p.working(sinks[0].Name, sinks[1].Name)
	l.sent(http.StatusOK, http.StatusUnauthorized)
	p.reconcile(l)
}

// A sink that was asleep while its partitions moved to another, in the middle
// of a write, wakes up and spoils nothing.
func TestSinkThatWakesUpLate(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, oneNode(t), 1)
	p.start("receive", "receiver").ready()
	sinks := []*role{p.start("sink", "sink-0"), p.start("sink", "sink-1")}
	l := p.send(3, 3000, 100)
	for i, sleeper := range sinks {
		p.working("sink-0", "sink-1")
		p.catch(sleeper)
		p.working(sinks[1-i].Name)
		if err := sleeper.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	p.working("sink-0", "sink-1")
	l.sent(http.StatusOK, http.StatusUnauthorized)
	p.reconcile(l)
	for _, sink := range sinks {
		sink.ready()
	}
}
