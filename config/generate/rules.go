package main

// variable matches a text that a variable is part of. What it stands for is only
// known where the connector runs.
const variable = `\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}`

// orVariable matches what form matches from its beginning to its end, and texts
// with a variable.
func orVariable(form string) string { return "^(" + form + ")$|" + variable }

// A rule narrows what a key takes, as its package's Validate does. What depends on
// several keys, on files or on the contracts is left to config check, but for what
// a section cannot do without.
type rule func(*node)

// rules are by path. The tests hold that they agree with Validate.
var rules = map[string]rule{
	"": needs("receiver", "sinks"),

	"receiver":                     all(section, either("secrets", "secrets_file")),
	"receiver.address":             form(hostPort, "must be host:port, as in 127.0.0.1:8080 or :8080"),
	"receiver.secrets":             items(filled),
	"receiver.max_body_bytes":      between(1024, 16<<20),
	"receiver.max_in_flight":       atLeast(1),
	"receiver.max_in_flight_bytes": atLeast(1024),
	"receiver.max_connections":     atLeast(1),
	"receiver.on_store_mismatch":   oneOf("keep", "dead_letter"),

	"kafka.brokers":                    all(some, items(form(`unix:.+|`+hostAndPort, "must be host:port or unix:/path/of.sock"))),
	"kafka.topic_prefix":               form(`[a-zA-Z0-9._-]*`, "must have only letters, digits, '.', '_' and '-'"),
	"kafka.topics.partitions":          atLeast(1),
	"kafka.topics.replication_factor":  atLeast(1),
	"kafka.topics.min_insync_replicas": atLeast(0),
	"kafka.topics.retention_ms":        atLeast(-1),
	"kafka.topics.retention_bytes":     atLeast(-1),
	"kafka.topics.max_message_bytes":   atLeast(1),
	"kafka.producer.compression":       oneOf("none", "gzip", "snappy", "lz4", "zstd"),
	"kafka.producer.batch_messages":    atLeast(1),
	"kafka.producer.batch_bytes":       atLeast(1),
	"kafka.producer.queue_messages":    atLeast(2),
	"kafka.producer.queue_bytes":       atLeast(1),
	"kafka.sasl.mechanism":             oneOf("", "plain", "scram-sha-256", "scram-sha-512"),

	"sinks":      func(n *node) { n.MinItems = 1; n.Items.Type = types{"object"}; n.Items.Required = []string{"name"} },
	"sinks.name": form(`[a-z][a-z0-9_-]*`, "must be lower-case letters, digits, - and _"),

	"sinks.clickhouse.addresses":             all(some, items(form(hostPort, "must be host:port, as in localhost:9000"))),
	"sinks.clickhouse.database":              form(`[A-Za-z_][A-Za-z0-9_]*`, "must be letters, digits and _"),
	"sinks.clickhouse.compression":           oneOf("lz4", "zstd", "none"),
	"sinks.clickhouse.max_connections":       atLeast(1),
	"sinks.clickhouse.raw_webhooks_ttl_days": atLeast(0),

	"sinks.files":                 all(section, onePlace),
	"sinks.files.local":           needs("directory"),
	"sinks.files.local.directory": form(`/.*`, "must be an absolute path, as in /var/lib/loyaltyhouse"),
	"sinks.files.s3":              needs("bucket", "region"),
	"sinks.files.s3.bucket":       filled,
	"sinks.files.s3.region":       filled,
	"sinks.files.s3.endpoint":     form(`|[Hh][Tt][Tt][Pp][Ss]?://[^?#]+`, "must be http:// or https:// with a host"),
	"sinks.files.gcs":             needs("bucket"),
	"sinks.files.gcs.bucket":      filled,
	"sinks.files.azure":           needs("account", "container"),
	"sinks.files.azure.account":   filled,
	"sinks.files.azure.container": filled,
	"sinks.files.azure.endpoint":  form(`|[Hh][Tt][Tt][Pp][Ss]?://[^?#]+`, "must be http:// or https:// with a host"),
	"sinks.files.prefix": form(`|([A-Za-z0-9][A-Za-z0-9._=-]*)(/[A-Za-z0-9][A-Za-z0-9._=-]*)*`,
		"must be names of letters, digits, '.', '_', '=' and '-' with slashes between them, as in lake/loyalty"),
	"sinks.files.format":              oneOf("parquet", "ndjson"),
	"sinks.files.compression":         oneOf("zstd", "gzip", "none"),
	"sinks.files.partition_by":        partitions,
	"sinks.files.max_files_per_batch": atLeast(1),
	"sinks.files.max_writes":          atLeast(1),

	"sinks.postgres.port": between(0, 65535),
	"sinks.postgres.schema": all(form(`[a-z_][a-z0-9_]{0,62}`, "must be lower-case letters, digits and _, and not begin with pg_"),
		func(n *node) { n.Not = &node{Type: types{"string"}, Pattern: "^pg_[a-z0-9_]*$"} }),
	"sinks.postgres.max_connections": atLeast(1),

	"sinks.http":              all(section, needs("url"), either("secrets", "secrets_file")),
	"sinks.http.url":          form(`[Hh][Tt][Tt][Pp][Ss]?://[^#]+`, "must begin with https:// or http:// and a host"),
	"sinks.http.headers":      func(n *node) { n.PropertyNames = &node{Pattern: "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"} },
	"sinks.http.format":       oneOf("json", "ndjson"),
	"sinks.http.refused":      oneOf("retry", "dead_letter"),
	"sinks.http.max_requests": atLeast(1),

	"sinks.stdout.format": oneOf("ndjson", "text"),

	"sinks.topics":          items(func(n *node) { *n = node{Ref: "#/definitions/topic"} }),
	"sinks.columns.include": items(func(n *node) { *n = node{Ref: "#/definitions/column"} }),
	"sinks.columns.exclude": items(func(n *node) { *n = node{Ref: "#/definitions/column"} }),
	"sinks.columns.rename": func(n *node) {
		name := as("text")
		form(`[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?`, "the new name must be letters, digits and _, and begin with a letter")(name)
		n.AdditionalProperties = name
	},
	"sinks.start": func(n *node) {
		oneOf("earliest", "latest")(n)
		n.AnyOf = append(n.AnyOf, &node{
			Type: types{"string"}, Pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{1,2}:[0-9]{2}:[0-9]{2}([.,][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`,
			Examples: []any{"2026-01-31T00:00:00Z"},
		})
	},
	"sinks.batch.max_rows":     atLeast(1),
	"sinks.batch.max_bytes":    atLeast(1),
	"sinks.batch.buffer_bytes": atLeast(1),

	"admin.address": form(hostPort, "must be host:port, as in 127.0.0.1:9090"),

	// In any case, and with an offset as in debug-4.
	"log.level": all(
		form(`([Dd][Ee][Bb][Uu][Gg]|[Ii][Nn][Ff][Oo]|[Ww][Aa][Rr][Nn]|[Ee][Rr][Rr][Oo][Rr])([+-][0-9]+)?`, "must be debug, info, warn or error"),
		func(n *node) { n.Examples = []any{"debug", "info", "warn", "error"} }),
	"log.format": oneOf("text", "json"),

	"embedded.data_dir":                    filled,
	"embedded.clickhouse.native_port":      between(0, 65535),
	"embedded.clickhouse.http_port":        between(0, 65535),
	"embedded.clickhouse.max_memory_bytes": atLeast(0),
	"embedded.clickhouse.log_level":        oneOf("none", "fatal", "error", "warning", "information", "debug"),
	"embedded.broker.max_partition_bytes":  atLeast(16 << 20),
}

const (
	// hostPort matches what net.SplitHostPort takes.
	hostPort = `([^:\[\]]*|\[[^\[\]]*\]):[^:\[\]]*`
	// hostAndPort matches where one can connect to.
	hostAndPort = `([^:\[\]]+|\[[^\[\]]+\]):[0-9]+`
)

func all(rules ...rule) rule {
	return func(n *node) {
		for _, r := range rules {
			r(n)
		}
	}
}

func items(r rule) rule { return func(n *node) { r(n.Items) } }

// form is of a text.
func form(pattern, message string) rule {
	return func(n *node) { n.Pattern, n.PatternErrorMessage = orVariable(pattern), message }
}

func filled(n *node) { n.MinLength = 1 }

// some has a list hold something, also where it is one text.
func some(n *node) { n.MinItems, n.Pattern = 1, `[^,\s]` }

func atLeast(least int64) rule { return func(n *node) { n.Minimum = &least } }

func between(least, most int64) rule {
	return func(n *node) { n.Minimum, n.Maximum = &least, &most }
}

func oneOf(values ...string) rule {
	return func(n *node) {
		n.AnyOf = []*node{{Enum: values}, {Type: types{"string"}, Pattern: variable}}
	}
}

// section is one that cannot be empty.
func section(n *node) { n.Type = types{"object"} }

func needs(keys ...string) rule { return func(n *node) { n.Required = keys } }

// either has one of two keys hold something.
func either(list, file string) rule {
	return func(n *node) {
		message := "at least one secret is needed, in " + list + " or " + file
		n.AnyOf = []*node{
			{ErrorMessage: message, Required: []string{list}, Properties: properties{{list, &node{MinItems: 1, Pattern: `[^,\s]`}}}},
			{ErrorMessage: message, Required: []string{file}, Properties: properties{{file, &node{MinLength: 1}}}},
		}
	}
}

// onePlace has files go to exactly one place. An empty section is none.
func onePlace(n *node) {
	for _, place := range []string{"local", "s3", "gcs", "azure"} {
		n.OneOf = append(n.OneOf, &node{
			Required: []string{place}, Properties: properties{{place, &node{Type: types{"object"}}}},
			ErrorMessage: "files go to exactly one place: local, s3, gcs or azure",
		})
	}
}

// partitions takes day and shop, also as one text.
func partitions(n *node) {
	const name = `\s*(day|shop)?\s*`
	n.Pattern, n.PatternErrorMessage = orVariable(name+"(,"+name+")*"), "must be day, shop, both or an empty list"
	oneOf("day", "shop")(n.Items)
}
