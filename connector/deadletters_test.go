package main

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/kafka"
)

// A dead letter of a sink that Kafka does not take makes the sink's part of
// /readyz unready, and is published when Kafka takes it.
func TestDeadLetterThatKafkaDoesNotTake(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, warehouseDir(t)))
	few := s.broker.Cluster().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "loyalty.dead_letters", Err: kerr.NotEnoughReplicas, Count: -1})
	if err := s.producer.Publish(t.Context(), kafka.Message{Topic: "loyalty.points", Value: []byte("no row")}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "/readyz says that the dead letter is not published", func() bool {
		message := notReady(t, p.adminURL("/readyz"))["sink clickhouse"]
		return strings.Contains(message, "the dead letter of offset 0 cannot be published") && strings.Contains(message, "loyalty.points/")
	})
	if parts := notReady(t, p.adminURL("/readyz/receiver")); len(parts) > 0 {
		t.Errorf("/readyz/receiver is not ready: %v", parts)
	}
	few.Remove()
	eventually(t, "every part is ready again", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	eventually(t, "the dead letter is stored", func() bool {
		return storedRows(t, p, "loyalty", "dead_letters") == 1
	})
}
