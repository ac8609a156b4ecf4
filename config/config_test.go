package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/config"
)

// parse reads a text as the file connector.yaml, in an environment in which one
// variable is set.
func parse(text string) (*config.Config, error) {
	environment := map[string]string{"SECRET": "s3cret-value"}
	return config.Parse("connector.yaml", []byte(text), func(name string) (string, bool) {
		value, ok := environment[name]
		return value, ok
	})
}

// What a person reads who has made a mistake: where it is, what is wrong and
// what is allowed, for all mistakes at once.
func TestParseReportsMistakes(t *testing.T) {
	const sinks = "sinks: [{name: clickhouse, clickhouse: {}}]\n"
	const secrets = "receiver: {secrets: x}\n"
	tests := []struct {
		name, text string
		want       []string
	}{
		{
			name: "unknown key",
			text: sinks + "receiver:\n  secrets: x\n  max_body: 1\n",
			want: []string{`connector.yaml:4: unknown key "max_body" in "receiver"; allowed: address, secrets, secrets_file, max_body_bytes, max_in_flight, max_in_flight_bytes, max_connections, read_header_timeout, read_timeout, publish_timeout, on_store_mismatch, tls_cert_file, tls_key_file`},
		},
		{
			name: "misspelled key at the top",
			text: secrets + "sink: []\n",
			want: []string{`connector.yaml:2: unknown key "sink" at the top level; did you mean "sinks"? allowed: receiver, kafka, sinks, admin, log, contracts, migrate_on_start, reload_on_change, shutdown_timeout, embedded`},
		},
		{
			name: "key given twice",
			text: secrets + sinks + "log: {level: info}\nlog: {level: debug}\n",
			want: []string{`connector.yaml:4: duplicate key "log" at the top level; it was first given in line 3`},
		},
		{
			name: "wrong types",
			text: secrets + sinks + `migrate_on_start: "yes"
shutdown_timeout: 30
kafka:
  topics:
    partitions: many
`,
			want: []string{
				`connector.yaml:3: migrate_on_start: "yes" is not true or false; remove the quotes`,
				`connector.yaml:4: shutdown_timeout: "30" is not a duration; write for example 5s`,
				`connector.yaml:7: kafka.topics.partitions: "many" is not a whole number`,
			},
		},
		{
			name: "impossible values",
			text: `receiver:
  secrets: x
  address: "8080"
  publish_timeout: 5s
kafka:
  topics:
    min_insync_replicas: 2
sinks:
  - name: Warehouse
    clickhouse:
      compression: gzip
    start: now
admin:
  address: "9090"
log:
  format: xml
shutdown_timeout: 10ms
`,
			want: []string{
				`connector.yaml:3: receiver.address: must be host:port, as in 127.0.0.1:8080 or :8080, is "8080"`,
				`connector.yaml:4: receiver.publish_timeout: must be above 0 and at most 4.5s, for SHOPLINE gives up after 5s, is 5s`,
				`connector.yaml:7: kafka.topics.min_insync_replicas: must be at most topics.replication_factor (1), is 2`,
				`connector.yaml:9: sinks[0].name: must be lower-case letters, digits, - and _, is "Warehouse"`,
				`connector.yaml:11: sinks[0].clickhouse.compression: must be lz4, zstd or none, is "gzip"`,
				`connector.yaml:12: sinks[0].start: must be earliest, latest or a time such as 2026-01-31T00:00:00Z, is "now"`,
				`connector.yaml:14: admin.address: must be host:port, as in 127.0.0.1:9090, is "9090"`,
				`connector.yaml:16: log.format: must be text or json, is "xml"`,
				`connector.yaml:17: shutdown_timeout: must be at least 1s, is 10ms`,
			},
		},
		{
			name: "less room than one webhook needs",
			text: sinks + `receiver:
  secrets: x
  max_body_bytes: 16777216
kafka:
  topics:
    max_message_bytes: 67174399
  producer:
    queue_messages: 1
    queue_bytes: 67239935
`,
			want: []string{
				`connector.yaml:7: kafka.topics.max_message_bytes: must be at least 67174400, for a body of receiver.max_body_bytes (16777216) grows as it is quoted, is 67174399`,
				`connector.yaml:9: kafka.producer.queue_messages: must be at least 2, for each webhook makes 2 records, is 1`,
				`connector.yaml:10: kafka.producer.queue_bytes: must be at least 67239936, for a webhook of receiver.max_body_bytes (16777216) makes 2 records, which grow as the body is quoted, is 67239935`,
			},
		},
		{
			name: "missing variable",
			text: "receiver:\n  secrets: ${APP_SECRETS}\n" + sinks,
			want: []string{`connector.yaml:2: receiver.secrets: the variable APP_SECRETS is not set; set it, or write ${APP_SECRETS:-default}`},
		},
		{
			name: "a variable's value is not repeated",
			text: secrets + sinks + "shutdown_timeout: ${SECRET}\n",
			want: []string{`connector.yaml:3: shutdown_timeout: the value of "${SECRET}" is not a duration; write for example 5s`},
		},
		{
			name: "no secrets",
			text: sinks,
			want: []string{`connector.yaml:1: receiver.secrets: at least one app secret is needed to verify signatures; set secrets, as in ${SHOPLINE_APP_SECRETS}, or secrets_file`},
		},
		{
			name: "no sink",
			text: secrets,
			want: []string{`connector.yaml:1: sinks: at least one sink is needed, for example {name: clickhouse, clickhouse: {}}`},
		},
		{
			name: "sink without a kind",
			text: secrets + "sinks: [{name: lake}]\n",
			want: []string{`connector.yaml:2: sinks[0].name: sink "lake" needs exactly one kind, with its section; the kinds are: clickhouse, files, postgres, http, stdout`},
		},
		{
			name: "sink of two kinds",
			text: secrets + "sinks:\n  - name: lake\n    clickhouse: {}\n    stdout: {}\n",
			want: []string{`connector.yaml:5: sinks[0].stdout: a sink has exactly one kind, and this one has clickhouse, stdout; give each a sink of its own`},
		},
		{
			name: "impossible values of each kind",
			text: secrets + `sinks:
  - name: lake
    files:
      local: {directory: lake}
  - name: application
    postgres:
      schema: pg_loyalty
  - name: forward
    http:
      url: ftp://example.com
      secrets: of at least 24 bytes each
  - name: look
    stdout:
      format: table
`,
			want: []string{
				`connector.yaml:5: sinks[0].files.local.directory: must be an absolute path, as in /var/lib/loyaltyhouse, is "lake"`,
				`connector.yaml:8: sinks[1].postgres.schema: must be lower-case letters, digits and _, and not begin with pg_, is "pg_loyalty"`,
				`connector.yaml:11: sinks[2].http.url: must begin with https:// or http:// and a host`,
				`connector.yaml:15: sinks[3].stdout.format: must be ndjson or text, is "table"`,
			},
		},
		{
			name: "selection that fits no table",
			text: secrets + `sinks:
  - name: points
    topics: [pionts]
    stdout:
  - name: forward
    topics: points
    columns:
      exclude: [buyerid]
    filter: points_delta > "1"
    stdout:
`,
			want: []string{
				`connector.yaml:4: sinks[0].topics[0]: there is no topic "pionts"; did you mean "points"?`,
				`connector.yaml:9: sinks[1].columns.exclude[0]: no topic of this sink has a column "buyerid"; did you mean "buyer_id"?`,
				`connector.yaml:10: sinks[1].filter: 1:14: invalid operation: > (mismatched types int64 and string)`,
			},
		},
		{
			name: "two sinks of one name",
			text: secrets + "sinks:\n  - {name: a, clickhouse: {}}\n  - {name: b, clickhouse: {}}\n  - {name: a, clickhouse: {}}\n",
			want: []string{`connector.yaml:5: sinks[2].name: "a" is the name of another sink too`},
		},
		{
			name: "sinks that would write the same files",
			text: secrets + `sinks:
  - {name: a, files: {local: {directory: /srv/lake}}, topics: points}
  - {name: b, files: {local: {directory: /srv/lake}}, topics: store_credits}
  - {name: c, files: {local: {directory: /srv/lake}, prefix: c}}
  - {name: d, files: {local: {directory: /srv//lake/}}, filter: points_delta > 0, topics: [points, gift_cards]}
  - {name: e, files: {s3: {bucket: lake, region: eu}}}
  - {name: f, files: {s3: {bucket: lake, region: eu, endpoint: "https://store.example"}}}
  - {name: g, files: {s3: {bucket: lake, region: eu}}}
`,
			want: []string{
				`connector.yaml:6: sinks[3].files: sink "a" writes files of the same topics to the same place, and each would replace the other's; give each a prefix of its own`,
				`connector.yaml:9: sinks[6].files: sink "e" writes files of the same topics to the same place, and each would replace the other's; give each a prefix of its own`,
			},
		},
		{
			name: "embedded ClickHouse without a sink",
			text: secrets + "sinks: [{name: a, clickhouse: {addresses: warehouse:9000}}]\nembedded:\n  clickhouse: {native_port: 9001}\n",
			want: []string{`connector.yaml:4: embedded.clickhouse: no sink writes to its address 127.0.0.1:9001; name it in sinks[0].clickhouse.addresses`},
		},
		{
			name: "embedded beyond this machine",
			text: secrets + sinks + "embedded:\n  clickhouse:\n    host: 0.0.0.0\n",
			want: []string{
				`connector.yaml:4: embedded.clickhouse: no sink writes to its address 0.0.0.0:9000; name it in sinks[0].clickhouse.addresses`,
				`connector.yaml:5: embedded.clickhouse.host: must be a loopback address such as 127.0.0.1, is "0.0.0.0": the embedded ClickHouse asks for no password`,
			},
		},
		{
			name: "empty file",
			text: "# nothing\n",
			want: []string{`connector.yaml:1: is empty; write at least one key`},
		},
		{
			name: "tab",
			text: "receiver:\n\tsecrets: x\n",
			want: []string{`connector.yaml:2: is not YAML: found character that cannot start any token while scanning for the next token; indent with spaces, not with tabs`},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := parse(test.text)
			if err == nil {
				t.Fatal("the mistake was accepted")
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("(- wanted, + got)\n%s", diff)
			}
		})
	}
}

// A list may be one text, so that one variable can fill it.
func TestListsMayBeTexts(t *testing.T) {
	c, err := parse("receiver: {secrets: 'new, old'}\nkafka: {brokers: 'a:9092,b:9092'}\nsinks: [{name: x, clickhouse: {addresses: 'c:9000,d:9000'}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Receiver.Secrets, []string{"new", "old"}) ||
		!slices.Equal(c.Kafka.Brokers, []string{"a:9092", "b:9092"}) ||
		!slices.Equal(c.Sinks[0].ClickHouse.Addresses, []string{"c:9000", "d:9000"}) {
		t.Errorf("secrets %q, brokers %q, addresses %q", c.Receiver.Secrets, c.Kafka.Brokers, c.Sinks[0].ClickHouse.Addresses)
	}
}

func TestLoadNamesTheMissingFile(t *testing.T) {
	_, err := config.Load("absent.yaml")
	const want = "configuration: open absent.yaml: no such file or directory; name a file with --config, for example config/embedded.yaml"
	if err == nil || err.Error() != want {
		t.Errorf("wanted %q, got %v", want, err)
	}
}

func TestSecretsOfAFileComeLast(t *testing.T) {
	file := write(t, "secrets", "older\r\n\n  oldest  \n")
	c, err := parse("receiver: {secrets: newest, secrets_file: " + file + "}\nsinks: [{name: x, clickhouse: {}}]\n")
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := c.Secrets()
	if want := []string{"newest", "older", "oldest"}; err != nil || !slices.Equal(secrets, want) {
		t.Errorf("wanted %q, got %q, %v", want, secrets, err)
	}
}

func TestSecretsReportsTheFile(t *testing.T) {
	empty := write(t, "empty", "\n")
	absent := filepath.Join(t.TempDir(), "absent")
	for file, want := range map[string]string{
		empty:  "receiver.secrets_file: " + empty + " holds no secret; write one per line",
		absent: "receiver.secrets_file: open " + absent + ": no such file or directory",
	} {
		c, err := parse("receiver: {secrets_file: " + file + "}\nsinks: [{name: x, clickhouse: {}}]\n")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Secrets(); err == nil || err.Error() != want {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
}

const tierContract = `topic: tiers
webhooks: [tiers/changed]
table: fact_tiers
doc: One change of a tier.
key: customer_id
fields:
  - {field: customer_id, type: string, required: true, doc: The customer.}
`

func TestContractsOfFilesComeAfterTheBuiltIn(t *testing.T) {
	file := write(t, "tiers.yaml", tierContract)
	c, err := parse("receiver: {secrets: x}\nsinks: [{name: x, clickhouse: {}}]\ncontracts: [" + file + "]\n")
	if err != nil {
		t.Fatal(err)
	}
	contracts, err := c.LoadContracts()
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, contract := range contracts {
		topics = append(topics, contract.Topic)
	}
	if want := []string{"customer_changes", "gift_cards", "points", "store_credits", "tiers"}; !slices.Equal(topics, want) {
		t.Errorf("wanted %q, got %q", want, topics)
	}
}

func TestLoadContractsReportsTheFile(t *testing.T) {
	wrong := write(t, "wrong.yaml", strings.Replace(tierContract, "type: string", "type: text", 1)+"  - {field: points, type: int64, doc: Points.}\n")
	absent := filepath.Join(t.TempDir(), "absent.yaml")
	for file, want := range map[string]string{
		wrong: wrong + ":7: fields[0].type: \"text\" is no type; allowed: string, bool, int64, cents, money, epoch_ms, iso8601, yyyymmdd, enum, list, object, objects, delta\n" +
			wrong + ":8: fields[1]: must be required or nullable, for there is no empty value of type int64",
		absent: "contracts: open " + absent + ": no such file or directory",
	} {
		_, err := parse("receiver: {secrets: x}\nsinks: [{name: x, clickhouse: {}}]\ncontracts: [" + file + "]\n")
		if err == nil || err.Error() != want {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
