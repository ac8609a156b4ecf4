package strictyaml_test

import (
	"errors"
	"fmt"
	"testing"

	"loyaltyhouse/schema/strictyaml"
)

const located = `receiver:
  address: a
clickhouse:
  batch:
    max_rows: 0
sinks:
  - name: first
  -
    name: second
    batch: {wait: 1s}
labels:
  a.b: x
  a: {c: y}
`

func TestLocate(t *testing.T) {
	doc, err := strictyaml.Parse("c.yaml", []byte(located))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct{ text, want string }{
		{"clickhouse.batch.max_rows: must be at least 1, is 0", "c.yaml:5: clickhouse.batch.max_rows: must be at least 1, is 0"},
		{"sinks[1].name: is taken", "c.yaml:9: sinks[1].name: is taken"},
		{"sinks[1].batch.wait: is short", "c.yaml:10: sinks[1].batch.wait: is short"},
		{"sinks[0]: is bad", "c.yaml:7: sinks[0]: is bad"},
		{"labels.a.b: dotted key", "c.yaml:12: labels.a.b: dotted key"},
		{"labels.a.c: nested key", "c.yaml:13: labels.a.c: nested key"},

		// The nearest key that is there stands in for one that is not.
		{"clickhouse.batch.max_bytes: must be set", "c.yaml:4: clickhouse.batch.max_bytes: must be set"},
		{"clickhouse.addresses[0]: must be set", "c.yaml:3: clickhouse.addresses[0]: must be set"},
		{"sinks[7].name: must be set", "c.yaml:6: sinks[7].name: must be set"},
		{"receiver.address.port: is odd", "c.yaml:2: receiver.address.port: is odd"},
		{"kafka.brokers: must be set", "c.yaml:1: kafka.brokers: must be set"},
		{"nothing here is a path", "c.yaml:1: nothing here is a path"},
	}
	for _, test := range tests {
		cause := errors.New(test.text)
		err := doc.Locate(cause)
		if err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
		if !errors.Is(err, cause) {
			t.Errorf("%v does not wrap its cause", err)
		}
	}
}

func TestLocateJoined(t *testing.T) {
	doc, err := strictyaml.Parse("c.yaml", []byte(located))
	if err != nil {
		t.Fatal(err)
	}
	batch := errors.Join(errors.New("max_rows: must be at least 1"), errors.New("max_bytes: must be set"))
	err = doc.Locate(errors.Join(
		errors.New("sinks[1].name: is taken"),
		strictyaml.Under("clickhouse", strictyaml.Under("batch", batch)),
		doc.At("receiver.address", "cannot be %q", "a"),
		strictyaml.Under("sinks", errors.New("[0].name: is short")),
		strictyaml.Under("labels", fmt.Errorf("are bad")),
		nil,
	))
	const want = `c.yaml:2: receiver.address: cannot be "a"
c.yaml:4: clickhouse.batch.max_bytes: must be set
c.yaml:5: clickhouse.batch.max_rows: must be at least 1
c.yaml:7: sinks[0].name: is short
c.yaml:9: sinks[1].name: is taken
c.yaml:11: labels: are bad`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestLocateNil(t *testing.T) {
	doc, err := strictyaml.Parse("c.yaml", []byte(located))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Locate(nil); err != nil {
		t.Error(err)
	}
	if err := strictyaml.Under("a", nil); err != nil {
		t.Error(err)
	}
}
