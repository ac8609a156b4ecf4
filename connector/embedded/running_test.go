package embedded_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loyaltyhouse/connector/embedded"
)

// Another program finds the broker of a running service, and none where it has
// ended, whichever way.
func TestRunningBroker(t *testing.T) {
	for _, listen := range []string{"", "127.0.0.1:0"} {
		cfg := embedded.DefaultConfig()
		cfg.DataDir, cfg.Broker.Listen = t.TempDir(), listen
		expect := func(want string) {
			t.Helper()
			if got, err := embedded.RunningBroker(cfg); got != want || err != nil {
				t.Errorf("the running broker is %q with error %v, want %q", got, err, want)
			}
		}
		expect("")
		broker := startBroker(t, cfg)
		want := broker.Addr()
		if path := broker.SocketPath(); path != "" {
			want = "unix:" + path
		}
		expect(want)
		file := filepath.Join(cfg.DataDir, "broker", "address")
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the address is in a file of mode %v, error %v; want 0600", info.Mode(), err)
		}
		if err := broker.Close(); err != nil {
			t.Fatal(err)
		}
		expect("")
		// What a killed broker leaves behind says nothing.
		if err := os.WriteFile(file, []byte("unix:/nowhere\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		expect("")
		broker = startBroker(t, cfg)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if _, err := embedded.RunningBroker(cfg); !errors.Is(err, embedded.ErrInUse) || !strings.Contains(err.Error(), cfg.DataDir) {
			t.Errorf("the error of a broker that has no address yet is %v", err)
		}
		if err := broker.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
