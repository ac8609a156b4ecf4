//go:build linux

package main

import (
	"context"
	"sync"
	"time"
)

// A target can be broken and made whole again. Functions that it does not need
// are nil.
type target struct {
	place

	kill, terminate func() error
	start           func(context.Context) error // after kill and terminate
	stop, resume    func() error

	cut, blackhole, lift func() error
	delay                func(time.Duration) error
}

// suffer carries one fault out, and returns when the target is whole again.
// When ctx ends, the fault does too. One target at a time holds breaking, which
// is that of its group.
func (t *target) suffer(ctx context.Context, breaking sync.Locker, f fault, j *journal) error {
	breaking.Lock()
	defer breaking.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	j.fault(f)
	var first, second func() error
	begin := func() error { return t.start(context.WithoutCancel(ctx)) }
	switch f.Kind {
	case faultKill:
		first, second = t.kill, begin
	case faultTerminate:
		first, second = t.terminate, begin
	case faultStop:
		first, second = t.stop, t.resume
	case faultCut:
		first, second = t.cut, nil
	case faultDelay:
		first, second = func() error { return t.delay(f.Delay) }, t.lift
	case faultBlackhole:
		first, second = t.blackhole, t.lift
	}
	if err := first(); err != nil {
		return err
	}
	if second == nil {
		return nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(f.For):
	}
	return second()
}
