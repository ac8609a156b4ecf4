package config_test

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
)

const exampleFile = "connector.example.yaml"

// everyVariable is an environment in which every variable is set.
func everyVariable(string) (string, bool) { return "stub", true }

func noVariables(string) (string, bool) { return "", false }

func TestConfigurationsLoad(t *testing.T) {
	for _, file := range []string{exampleFile, "compose.yaml", "embedded.yaml"} {
		if _, err := config.Parse(file, []byte(read(t, file)), everyVariable); err != nil {
			t.Error(err)
		}
	}
}

// The embedded default needs no variable at all.
func TestEmbeddedNeedsNoEnvironment(t *testing.T) {
	c, err := config.Parse("embedded.yaml", []byte(read(t, "embedded.yaml")), noVariables)
	if err != nil {
		t.Fatal(err)
	}
	if c.Embedded == nil || c.Embedded.DataDir != ".data" || !slices.Equal(c.Receiver.Secrets, []string{"dev-secret"}) {
		t.Errorf("data directory and secret differ from .data and dev-secret: %+v", c.Embedded)
	}
}

// commentedOut matches a line of the section that the example leaves out.
var commentedOut = regexp.MustCompile(`(?m)^#((?:  )*[a-z_]+:)`)

func exampleText(t *testing.T) string {
	t.Helper()
	return commentedOut.ReplaceAllString(read(t, exampleFile), "$1")
}

func TestExampleHasEveryKey(t *testing.T) {
	var document yaml.Node
	if err := yaml.Load([]byte(exampleText(t)), &document); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	keysIn(document.Content[0], "", have)
	for _, key := range keysOf(reflect.TypeFor[config.Config](), "") {
		if !have[key] {
			t.Errorf("config/%s lacks the key %s", exampleFile, key)
		}
	}
}

func keysIn(node *yaml.Node, prefix string, keys map[string]bool) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := prefix + node.Content[i].Value
			keys[key] = true
			keysIn(node.Content[i+1], key+".", keys)
		}
	case yaml.SequenceNode:
		for _, item := range node.Content {
			keysIn(item, prefix, keys)
		}
	default:
	}
}

// keysOf lists the keys that a type of the configuration allows.
func keysOf(t reflect.Type, prefix string) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for field := range t.Fields() {
		if field.Tag.Get("yaml") == "-" {
			continue // It is not for the file.
		}
		key := prefix + field.Tag.Get("yaml")
		keys = append(keys, key)
		keys = append(keys, keysOf(field.Type, key+".")...)
	}
	return keys
}

// withDefault matches a line which shows something else than the default.
var withDefault = regexp.MustCompile(`(?m)^( *(?:- )?[a-z_]+:) .* # default: (.*)$`)

// What the example says is the default is what a file gets that says nothing.
func TestExampleShowsTheDefaults(t *testing.T) {
	text := withDefault.ReplaceAllString(exampleText(t), "$1 $2")
	have, err := config.Parse(exampleFile, []byte(text), everyVariable)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	engine, warehouse := embedded.DefaultConfig(), clickhouse.DefaultConfig()
	want.Embedded = &engine
	want.Sinks = []config.Sink{{
		Name: "clickhouse", ClickHouse: &warehouse, Start: kafka.StartEarliest,
		Batch: deliver.DefaultBatchConfig(), Retry: sinks.DefaultRetryConfig(),
	}}
	want.Receiver.Secrets = []string{"stub"}
	if diff := cmp.Diff(want, *have, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the defaults of the code (-) and of the example (+) differ:\n%s", diff)
	}
}

// A comment that names another default than the one beside it would be missed
// by the test above if its form were another one.
func TestExampleSaysDefaultInOneForm(t *testing.T) {
	form := regexp.MustCompile(`# (default: \S.*|no default)$`)
	for i, line := range strings.Split(read(t, exampleFile), "\n") {
		_, comment, trailing := strings.Cut(strings.TrimSpace(line), " #")
		if trailing && !strings.HasPrefix(strings.TrimSpace(line), "#") && !form.MatchString(line) {
			t.Errorf("config/%s:%d: write the comment #%s as \"# default: …\" or \"# no default\"", exampleFile, i+1, comment)
		}
	}
}

// Whoever starts from the example gets no secret that is written in it.
func TestExampleHoldsNoSecret(t *testing.T) {
	c, err := config.Parse(exampleFile, []byte(read(t, exampleFile)), everyVariable)
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{
		"kafka.sasl.password":          c.Kafka.SASL.Password,
		"sinks[0].clickhouse.password": c.Sinks[0].ClickHouse.Password,
		"receiver.secrets":             fmt.Sprint(c.Receiver.Secrets),
	} {
		if secret != "" && secret != "[stub]" {
			t.Errorf("%s is written in the example", what)
		}
	}
}
