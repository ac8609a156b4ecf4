package config_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.yaml.in/yaml/v4"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
)

const exampleFile = "connector.example.yaml"

// everyVariable is an environment in which every variable is set.
func everyVariable(name string) (string, bool) {
	if name == "FORWARD_SECRETS" {
		return "stub that is long enough", true
	}
	return "stub", true
}

func noVariables(string) (string, bool) { return "", false }

func TestConfigurationsLoad(t *testing.T) {
	for _, file := range []string{exampleFile, "compose.yaml", "embedded.yaml"} {
		if _, err := config.Parse(file, []byte(read(t, file)), everyVariable); err != nil {
			t.Error(err)
		}
	}
}

// exampleFiles are the configurations that people start from.
func exampleFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	return files
}

// exported matches the variables that an example's first lines have somebody set.
var exported = regexp.MustCompile(`(?m)^#   export .*$`)

// An example loads with the variables that its first lines have somebody set,
// and says how it is started; docs/configuration.md has it, with that command.
func TestExamplesLoadAsTheySay(t *testing.T) {
	page := read(t, "../docs/configuration.md")
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // for whatever the lines leave out
	for _, file := range exampleFiles(t) {
		text := read(t, file)
		set := map[string]string{}
		for _, line := range exported.FindAllString(text, -1) {
			for _, assignment := range strings.Fields(line)[2:] {
				name, value, _ := strings.Cut(assignment, "=")
				if strings.HasSuffix(value, "…") {
					value = secret
				}
				set[name] = strings.Replace(value, "$PWD", "/home", 1)
			}
		}
		c, err := config.Parse(file, []byte(text), func(name string) (string, bool) {
			value, ok := set[name]
			return value, ok
		})
		if err != nil {
			t.Error(err)
			continue
		}
		if len(c.Sinks) != 2 || c.Sinks[0].ClickHouse == nil {
			t.Errorf("%s: an example adds one sink to ClickHouse", file)
		}
		command := "bin/connector serve --config config/" + file
		if c.Embedded != nil {
			command = "CONFIG=config/" + file + " make demo"
		}
		if !strings.Contains(text, "\n#   "+command+"\n") {
			t.Errorf("%s does not say that it is started by %s", file, command)
		}
		if !strings.Contains(page, "[config/"+file+"](../config/"+file+")") || !strings.Contains(page, "`"+command+"`") {
			t.Errorf("docs/configuration.md lacks config/%s, or the command %s", file, command)
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
		switch field.Tag.Get("yaml") {
		case "-":
			continue // It is not for the file.
		case ",inline":
			keys = append(keys, keysOf(field.Type, prefix)...)
			continue
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
	want.Embedded = new(embedded.DefaultConfig())
	if len(have.Sinks) == 0 {
		t.Fatal("the example has no sink")
	}
	for _, sink := range have.Sinks {
		want.Sinks = append(want.Sinks, defaultsOf(t, sink))
	}
	want.Receiver.Secrets = []string{"stub"}
	if diff := cmp.Diff(want, *have, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the defaults of the code (-) and of the example (+) differ:\n%s", diff)
	}
}

// defaultsOf returns the sink that a file gets which gives nothing but what has
// no default.
func defaultsOf(t *testing.T, sink config.Sink) config.Sink {
	t.Helper()
	section := sink.Kind() + ": {"
	switch {
	case sink.Files != nil && sink.Files.S3 != nil:
		section += "s3: {bucket: company-lake, region: eu-central-1}"
	case sink.Files != nil && sink.Files.Local != nil:
		section += "local: {directory: " + sink.Files.Local.Directory + "}"
	case sink.Files != nil && sink.Files.GCS != nil:
		section += "gcs: {bucket: company-lake}"
	case sink.Files != nil:
		section += "azure: {account: companylake, container: loyalty}"
	case sink.HTTP != nil:
		section += "url: https://example.com/loyalty, secrets: \"${FORWARD_SECRETS}\""
	}
	text := "receiver: {secrets: x}\nsinks: [{name: " + sink.Name + ", " + section + "}}]\n"
	c, err := config.Parse("minimal.yaml", []byte(text), everyVariable)
	if err != nil {
		t.Fatal(err)
	}
	return c.Sinks[0]
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
		"kafka.sasl.password": c.Kafka.SASL.Password,
		"receiver.secrets":    fmt.Sprint(c.Receiver.Secrets),
	} {
		if secret != "" && secret != "[stub]" {
			t.Errorf("%s is written in the example", what)
		}
	}
	for _, sink := range c.Sinks {
		var secrets []string
		switch {
		case sink.ClickHouse != nil:
			secrets = []string{sink.ClickHouse.Password}
		case sink.Files != nil && sink.Files.S3 != nil:
			secrets = []string{sink.Files.S3.SecretAccessKey}
		case sink.Files != nil && sink.Files.Azure != nil:
			secrets = []string{sink.Files.Azure.AccountKey}
		case sink.Postgres != nil:
			secrets = []string{sink.Postgres.Password}
		case sink.HTTP != nil:
			secrets = sink.HTTP.Secrets
		}
		for _, secret := range secrets {
			if secret != "" && !strings.HasPrefix(secret, "stub") {
				t.Errorf("a secret of sink %s is written in the example", sink.Name)
			}
		}
	}
}
