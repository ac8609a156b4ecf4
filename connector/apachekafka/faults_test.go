//go:build linux && apachekafka

package apachekafka_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/simulate"
)

// everyTopic are the tables that a pipeline has topics for.
var everyTopic = []string{"points", "store_credits", "gift_cards", "customer_changes", "raw_webhooks", "dead_letters"}

// partitions asks for the partitions of all topics.
func (p *pipeline) partitions() []kmsg.MetadataResponseTopicPartition {
	p.t.Helper()
	request := kmsg.NewPtrMetadataRequest()
	for _, topic := range everyTopic {
		name := p.prefix + topic
		wanted := kmsg.NewMetadataRequestTopic()
		wanted.Topic = &name
		request.Topics = append(request.Topics, wanted)
	}
	response, err := request.RequestWith(testContext(p.t), p.franz)
	if err != nil {
		return nil
	}
	var all []kmsg.MetadataResponseTopicPartition
	for _, topic := range response.Topics {
		all = append(all, topic.Partitions...)
	}
	return all
}

// led counts the partitions that each node leads; -1 stands for those that
// nobody does.
func (p *pipeline) led() map[int]int {
	nodes := map[int]int{}
	for _, partition := range p.partitions() {
		nodes[int(partition.Leader)]++
	}
	return nodes
}

// inSync waits until so many replicas of each partition are in sync.
func (p *pipeline) inSync(replicas int) {
	p.t.Helper()
	eventually(p.t, "the replicas are in sync", func() bool {
		all := p.partitions()
		for _, partition := range all {
			if len(partition.ISR) != replicas || partition.Leader < 0 {
				return false
			}
		}
		return len(all) == 18
	})
}

// moved waits until a node leads nothing any more, and everything is led.
func (p *pipeline) moved(from int) {
	p.t.Helper()
	eventually(p.t, "the partitions are led by others", func() bool {
		led := p.led()
		return led[from] == 0 && led[-1] == 0 && len(led) > 0
	})
}

// coordinator is the node that keeps the group.
func (p *pipeline) coordinator() int {
	p.t.Helper()
	request := kmsg.NewPtrFindCoordinatorRequest()
	request.CoordinatorKey, request.CoordinatorKeys = p.group(), []string{p.group()}
	response, err := request.RequestWith(testContext(p.t), p.franz)
	if err != nil || len(response.Coordinators) != 1 || response.Coordinators[0].ErrorCode != 0 {
		p.t.Fatal(err, response)
	}
	return int(response.Coordinators[0].NodeID)
}

// busiest is the node that leads the most partitions.
func (p *pipeline) busiest() (node int) {
	led := p.led()
	for n := range led {
		if led[n] > led[node] {
			node = n
		}
	}
	return node
}

// kill kills a node, which is started again at the latest when the test ends.
func (p *pipeline) kill(node int) {
	p.t.Helper()
	if err := p.cluster.Kill(node); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		select {
		case <-p.cluster.Done(node):
			p.restart(node)
		default:
		}
	})
}

// restart starts nodes again, all at once: alone, one of three knows nothing.
func (p *pipeline) restart(nodes ...int) {
	p.t.Helper()
	var restarts errgroup.Group
	for _, node := range nodes {
		restarts.Go(func() error { return p.cluster.Restart(context.Background(), node) })
	}
	if err := restarts.Wait(); err != nil {
		p.t.Error(err)
	}
}

// startAll starts a pipeline on three nodes, of which one may be away.
func startAll(t *testing.T) (p *pipeline, receiver *role) {
	t.Helper()
	p = newPipeline(t, threeNodes(t), 3)
	receiver = p.start("receive", "receiver")
	for _, name := range []string{"sink-0", "sink-1"} {
		p.start("sink", name)
	}
	receiver.ready()
	p.working("sink-0", "sink-1")
	p.inSync(3)
	return p, receiver
}

// A node is killed under load, and its partitions go to others and come back:
// what was answered 200 is stored, once, and nothing else was answered than 200
// and 503.
func TestNodeKilled(t *testing.T) {
	p, receiver := startAll(t)
	l := p.send(4, 3000, 100)
	victim := p.busiest()
	p.kill(victim)
	p.moved(victim)
	p.restart(victim)
	p.inSync(3)
	// The first replica of each partition leads it again, as brokers see to by
	// themselves every few minutes.
	request := kmsg.NewPtrElectLeadersRequest()
	request.TimeoutMillis = 10_000
	if _, err := request.RequestWith(testContext(t), p.franz); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node leads again", func() bool { return p.led()[victim] > 0 })
	l.sent(http.StatusOK, http.StatusUnauthorized, http.StatusServiceUnavailable)
	p.reconcile(l)
	receiver.ready()
}

// The node that keeps the sinks' group is killed in the middle of a delivery,
// and stays away.
func TestCoordinatorKilled(t *testing.T) {
	p, _ := startAll(t)
	l := p.send(5, 2500, 100)
	eventually(t, "a range is announced", func() bool { return len(p.intents()) > 0 })
	p.kill(p.coordinator())
	l.sent(http.StatusOK, http.StatusUnauthorized, http.StatusServiceUnavailable)
	p.reconcile(l)
}

// A node hangs, with its connections open, until others have taken over; and
// then it wakes up and takes itself for the leader.
func TestNodeThatHangs(t *testing.T) {
	p, receiver := startAll(t)
	l := p.send(6, 3000, 100)
	eventually(t, "a range is announced", func() bool { return len(p.intents()) > 0 })
	victim := p.coordinator()
	if err := p.cluster.Pause(victim); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cluster.Resume(victim) })
	p.moved(victim)
	before := p.recordsOf("raw_webhooks")
	eventually(t, "webhooks are taken without the node", func() bool { return p.recordsOf("raw_webhooks") > before+100 })
	if err := p.cluster.Resume(victim); err != nil {
		t.Fatal(err)
	}
	l.sent(http.StatusOK, http.StatusUnauthorized, http.StatusServiceUnavailable)
	p.reconcile(l)
	p.inSync(3)
	receiver.ready()
}

// With one replica of two that are needed nothing is acknowledged: the receiver
// says so, promptly, and takes webhooks again when the others are back.
func TestTooFewReplicas(t *testing.T) {
	p, receiver := startAll(t)
	l := p.send(7, 200, 0)
	l.sent(http.StatusOK, http.StatusUnauthorized)

	// A topic that needs all three is out of service with one node away.
	topic := uniquely("strict")
	config := clientConfig(p.cluster, 1)
	config.Topics.ReplicationFactor, config.Topics.MinInSyncReplicas = 3, 3
	client := newClient(t, config, kafka.Options{Topics: []string{topic}})
	if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)
	publish(t, producer, message(topic, "a", 0))
	p.kill(2)
	eventually(t, "too few replicas are in sync", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failure, ok := errors.AsType[*kafka.PublishError](producer.Publish(ctx, message(topic, "a", 1)))
		return ok && failure.Reason == kafka.ReasonNotEnoughReplicas && errors.Is(failure, kafka.ErrUnavailable)
	})

	p.kill(1)
	eventually(t, "webhooks are answered 503", func() bool {
		status, retryAfter := post(t, p.address)
		if status == http.StatusServiceUnavailable && retryAfter == "" {
			t.Error("503 without Retry-After")
		}
		return status == http.StatusServiceUnavailable
	})
	if parts := receiver.notReady(); parts["publishing"] == "" {
		t.Errorf("/readyz/receiver names %v", parts)
	}
	refused := regexp.MustCompile(`loyaltyhouse_webhook_requests_total\{status="503",topic="(points|store_credits|gift_cards|customer_changes)"\} [1-9]`)
	away := p.send(8, 300, 0)
	eventually(t, "the history is answered 503", func() bool {
		_, metrics := harness.Get(t.Context(), "http://"+receiver.admin+"/metrics")
		return refused.Match(metrics)
	})
	p.restart(1, 2)
	away.sent(http.StatusOK, http.StatusUnauthorized, http.StatusServiceUnavailable)
	p.reconcile(l, away)
	receiver.ready()
	publish(t, producer, message(topic, "a", 2))
}

// post sends a webhook that can never become a row.
func post(t *testing.T, address string) (status int, retryAfter string) {
	t.Helper()
	body := []byte(`{}`)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/webhooks/shopline", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Shopline-Hmac-Sha256", simulate.SignHex([]byte(appSecret), body))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode, response.Header.Get("Retry-After")
}
