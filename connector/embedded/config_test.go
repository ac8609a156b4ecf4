package embedded_test

import (
	"strings"
	"testing"

	"loyaltyhouse/connector/embedded"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := embedded.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	tests := []struct {
		name   string
		change func(*embedded.Config)
		want   string
	}{
		{"no data directory", func(c *embedded.Config) { c.DataDir = "" }, "data_dir: "},
		{"a host that others can reach", func(c *embedded.Config) { c.ClickHouse.Host = "0.0.0.0" }, "clickhouse.host: "},
		{"a host that is a name", func(c *embedded.Config) { c.ClickHouse.Host = "clickhouse.example.com" }, "clickhouse.host: "},
		{"a native port out of range", func(c *embedded.Config) { c.ClickHouse.NativePort = 65536 }, "clickhouse.native_port: "},
		{"an HTTP port out of range", func(c *embedded.Config) { c.ClickHouse.HTTPPort = -1 }, "clickhouse.http_port: "},
		{"one port for both", func(c *embedded.Config) { c.ClickHouse.HTTPPort = c.ClickHouse.NativePort }, "clickhouse.http_port: "},
		{"too little memory", func(c *embedded.Config) { c.ClickHouse.MaxMemoryBytes = 1 << 20 }, "clickhouse.max_memory_bytes: "},
		{"an unknown log level", func(c *embedded.Config) { c.ClickHouse.LogLevel = "loud" }, "clickhouse.log_level: "},
		{"no time to start", func(c *embedded.Config) { c.ClickHouse.StartTimeout = 0 }, "clickhouse.start_timeout: "},
		{"no time to stop", func(c *embedded.Config) { c.ClickHouse.StopTimeout = -1 }, "clickhouse.stop_timeout: "},
		{"a broker that others can reach", func(c *embedded.Config) { c.Broker.Listen = "0.0.0.0:9092" }, "broker.listen: "},
		{"a broker without a port", func(c *embedded.Config) { c.Broker.Listen = "127.0.0.1" }, "broker.listen: "},
		{"a partition smaller than a batch", func(c *embedded.Config) { c.Broker.MaxPartitionBytes = 1 << 20 }, "broker.max_partition_bytes: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := embedded.DefaultConfig()
			test.change(&cfg)
			if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("the error is %v, want one that begins with %q", err, test.want)
			}
		})
	}
}
