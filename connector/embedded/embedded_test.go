package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"loyaltyhouse/connector/embedded"
)

// partVariable makes this test binary run one part on dataDirVariable's
// directory until it is killed.
const (
	partVariable    = "LOYALTYHOUSE_TEST_PART"
	dataDirVariable = "LOYALTYHOUSE_TEST_DATA_DIR"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	if part := os.Getenv(partVariable); part != "" {
		fmt.Println(runPart(part, os.Getenv(dataDirVariable)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// runPart starts a part, says where it can be reached, and waits to be killed.
func runPart(part, dataDir string) error {
	cfg := testConfig(dataDir)
	switch part {
	case "clickhouse":
		clickHouse, err := embedded.StartClickHouse(context.Background(), cfg, quiet(), nil)
		if err != nil {
			return err
		}
		interrupts := make(chan os.Signal, 1)
		signal.Notify(interrupts, os.Interrupt)
		fmt.Println(clickHouse.Addr())
		for {
			select {
			case <-interrupts: // A connector would now write its last batch.
				fmt.Println("interrupted")
			case <-clickHouse.Done():
				return clickHouse.Err()
			}
		}
	case "broker":
		broker, err := embedded.StartBroker(context.Background(), cfg, quiet())
		if err != nil {
			return err
		}
		fmt.Println(broker.SocketPath())
		_, err = io.Copy(io.Discard, os.Stdin)
		return errors.Join(err, broker.Close())
	default:
		return fmt.Errorf("unknown part %q", part)
	}
}

// part is another process that runs one part.
type part struct {
	address string
	output  *bufio.Reader
	command *exec.Cmd
}

func startPart(t *testing.T, name, dataDir string) part {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), partVariable+"="+name, dataDirVariable+"="+dataDir)
	command.Stderr = os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // As a shell does.
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	p := part{output: bufio.NewReader(output), command: command}
	p.address = p.line(t)
	return p
}

// line returns the next line that the process prints.
func (p part) line(t *testing.T) string {
	t.Helper()
	line, err := p.output.ReadString('\n')
	if err != nil {
		t.Fatalf("the process says no more: %v", err)
	}
	return strings.TrimSpace(line)
}

// kill ends the process as kill -9 does.
func (p part) kill(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.command.Wait()
}

func testConfig(dataDir string) embedded.Config {
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dataDir
	cfg.ClickHouse.NativePort = 0
	cfg.ClickHouse.HTTPPort = 0
	return cfg
}

func quiet() *slog.Logger {
	return slog.New(slog.DiscardHandler)
}

func TestStartStartsBoth(t *testing.T) {
	both, err := embedded.Start(t.Context(), testConfig(t.TempDir()), quiet(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if version := queryText(t, both.ClickHouse, "SELECT version()"); !strings.HasPrefix(version, "26.") {
		t.Errorf("ClickHouse answers as version %q, want 26", version)
	}
	createTopic(t, both.Broker.Dial, "points", 1)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := both.Close(ctx); err != nil {
		t.Error(err)
	}
	if err := both.ClickHouse.Err(); err != nil {
		t.Errorf("an engine that was closed has the error %v, want none", err)
	}
}
