package embedded

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// maxMessageBytes is the largest batch of records that the broker accepts.
const maxMessageBytes = 16 << 20

// Config says where the embedded parts keep their files and where they listen.
type Config struct {
	// DataDir holds ClickHouse's tables and log and the broker's log. One
	// process at a time may use it.
	DataDir string `yaml:"data_dir"`

	// EngineDir holds the downloaded engine, which any number of processes
	// share. Empty means the folder loyaltyhouse in the user's cache directory.
	EngineDir string `yaml:"engine_dir"`

	ClickHouse ClickHouseConfig `yaml:"clickhouse"`
	Broker     BrokerConfig     `yaml:"broker"`
}

// ClickHouseConfig configures the child process.
type ClickHouseConfig struct {
	// Host is the loopback address of both ports.
	Host string `yaml:"host"`

	// NativePort and HTTPPort are ClickHouse's two ports; 0 takes a free one.
	NativePort int `yaml:"native_port"`
	HTTPPort   int `yaml:"http_port"`

	// MaxMemoryBytes limits what the engine's queries and merges take together;
	// 0 means half of the machine's (or the container's) memory.
	MaxMemoryBytes int64 `yaml:"max_memory_bytes"`

	// LogLevel is the least severe level of what goes to clickhouse.log in the
	// data directory: none, fatal, error, warning, information or debug. From
	// error on, the engine repeats queries and the values in them.
	LogLevel string `yaml:"log_level"`

	// StartTimeout bounds the time until the engine answers, its download not
	// included; StopTimeout the time until it is killed.
	StartTimeout time.Duration `yaml:"start_timeout"`
	StopTimeout  time.Duration `yaml:"stop_timeout"`
}

// BrokerConfig configures the broker in this process.
type BrokerConfig struct {
	// Listen is the loopback TCP address at which the broker listens instead of
	// its unix socket, for Kafka's command line tools; port 0 takes a free one.
	// Empty, which is the default, opens no TCP port. The broker is meant for
	// programs that know it: a request that it does not know ends the process.
	Listen string `yaml:"listen"`

	// MaxPartitionBytes is what a partition may hold before its oldest records
	// are deleted, whether or not they have been consumed.
	MaxPartitionBytes int64 `yaml:"max_partition_bytes"`

	// Advertise is the host:port that the broker tells its clients to use
	// instead of Listen, where a proxy stands between them: for fault tests.
	Advertise string `yaml:"-"`
}

// DefaultConfig returns the configuration of the embedded default: ClickHouse
// at its customary ports, and a broker without a port.
func DefaultConfig() Config {
	return Config{
		DataDir: ".data",
		ClickHouse: ClickHouseConfig{
			Host:         "127.0.0.1",
			NativePort:   9000,
			HTTPPort:     8123,
			LogLevel:     "fatal",
			StartTimeout: time.Minute,
			StopTimeout:  10 * time.Second,
		},
		Broker: BrokerConfig{MaxPartitionBytes: 1 << 30},
	}
}

// Validate reports the first field that cannot be used, by its path.
func (c Config) Validate() error {
	if c.DataDir == "" {
		return fmt.Errorf("data_dir: must name a directory, is empty")
	}
	if err := c.ClickHouse.validate(); err != nil {
		return fmt.Errorf("clickhouse.%w", err)
	}
	if err := c.Broker.validate(); err != nil {
		return fmt.Errorf("broker.%w", err)
	}
	return nil
}

func (c ClickHouseConfig) validate() error {
	host, err := netip.ParseAddr(c.Host)
	if err != nil || !host.IsLoopback() {
		return fmt.Errorf("host: must be a loopback address such as 127.0.0.1, is %q: the embedded ClickHouse asks for no password", c.Host)
	}
	if c.NativePort < 0 || c.NativePort > 65535 {
		return fmt.Errorf("native_port: must be between 0 and 65535, is %d", c.NativePort)
	}
	if c.HTTPPort < 0 || c.HTTPPort > 65535 {
		return fmt.Errorf("http_port: must be between 0 and 65535, is %d", c.HTTPPort)
	}
	if c.HTTPPort == c.NativePort && c.HTTPPort != 0 {
		return fmt.Errorf("http_port: must differ from native_port, both are %d", c.HTTPPort)
	}
	const leastMemory = 512 << 20
	if c.MaxMemoryBytes != 0 && c.MaxMemoryBytes < leastMemory {
		return fmt.Errorf("max_memory_bytes: must be 0 (half of the memory) or at least %d, is %d", leastMemory, c.MaxMemoryBytes)
	}
	levels := []string{"none", "fatal", "error", "warning", "information", "debug"}
	if !slices.Contains(levels, c.LogLevel) {
		return fmt.Errorf("log_level: must be one of %v, is %q", levels, c.LogLevel)
	}
	if c.StartTimeout <= 0 {
		return fmt.Errorf("start_timeout: must be more than 0, is %v", c.StartTimeout)
	}
	if c.StopTimeout <= 0 {
		return fmt.Errorf("stop_timeout: must be more than 0, is %v", c.StopTimeout)
	}
	return nil
}

func (c BrokerConfig) validate() error {
	if c.Listen != "" {
		address, err := netip.ParseAddrPort(c.Listen)
		if err != nil || !address.Addr().IsLoopback() {
			return fmt.Errorf("listen: must be empty or a loopback address with a port such as 127.0.0.1:9092, is %q: the embedded broker asks nobody for a password", c.Listen)
		}
	}
	if c.Advertise != "" {
		if _, err := netip.ParseAddrPort(c.Advertise); err != nil || c.Listen == "" {
			return fmt.Errorf("advertise: must be an address with a port, together with listen, is %q", c.Advertise)
		}
	}
	// A partition that holds at least one batch of the largest size can never
	// be emptied; one that is emptied begins again at offset 0 after a restart.
	if c.MaxPartitionBytes < maxMessageBytes {
		return fmt.Errorf("max_partition_bytes: must be at least %d (the largest batch), is %d", maxMessageBytes, c.MaxPartitionBytes)
	}
	return nil
}
