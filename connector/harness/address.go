package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// reserved keeps the reservations of FreeAddress until this program ends.
var (
	reservedMu sync.Mutex
	reserved   []net.PacketConn
)

// FreeAddress returns an address of loopback whose port nobody listens at and
// no other caller gets, in any program that runs beside this one, until this
// one ends. It is below the ports that the kernel gives to outgoing connections
// and to listeners at port 0: any of these could take it before its use, or
// after its owner was killed.
func FreeAddress(ctx context.Context) (string, error) {
	const first, last = 12_000, 32_000
	var err error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first)) //nolint:gosec // Whoever guesses the port gains nothing: any process of this machine can list the open ports.
		// The port of UDP with the same number is in nobody's way, and the kernel
		// gives it to one program alone.
		var reservation net.PacketConn
		if reservation, err = new(net.ListenConfig).ListenPacket(ctx, "udp", address); err != nil {
			continue
		}
		var listener net.Listener
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", address); err != nil {
			_ = reservation.Close()
			continue
		}
		reservedMu.Lock()
		reserved = append(reserved, reservation)
		reservedMu.Unlock()
		return address, listener.Close()
	}
	return "", fmt.Errorf("find a free port: %w", err)
}

// FreePort returns the port of a [FreeAddress].
func FreePort(ctx context.Context) (int, error) {
	address, err := FreeAddress(ctx)
	if err != nil {
		return 0, err
	}
	parsed, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return 0, err
	}
	return parsed.Port, nil
}
