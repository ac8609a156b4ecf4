//go:build linux

package main

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"
)

// A faultKind is what is done to a target.
type faultKind string

// Kills end a process, the others disturb it or a connection for a while.
const (
	faultKill      faultKind = "SIGKILL"
	faultTerminate faultKind = "SIGTERM"
	faultStop      faultKind = "SIGSTOP"
	faultCut       faultKind = "cut"       // all connections of a proxy are closed
	faultDelay     faultKind = "delay"     // what goes through a proxy is late
	faultBlackhole faultKind = "blackhole" // connections stay open, and nothing goes through
)

// A fault is one thing that is broken for a while.
type fault struct {
	At     time.Duration // since the beginning
	Kind   faultKind
	Target string
	// For is how long a killed process stays away, a stopped one stands still, or
	// a connection is disturbed.
	For time.Duration
	// Delay is how late faultDelay makes everything, in one direction.
	Delay time.Duration
}

// A class says how the targets of one sort may be broken.
type class struct {
	kinds map[faultKind]int // with their weights
	// away and still are the longest that a target may be killed and stopped.
	away, still time.Duration
	// recovers is about how long a target takes to be of use again.
	recovers time.Duration
	weight   int
}

var (
	receiverClass = class{
		kinds: map[faultKind]int{faultKill: 5, faultTerminate: 4, faultStop: 3},
		away:  5 * time.Second, still: 15 * time.Second, recovers: time.Second, weight: 3,
	}
	// The longest stop is longer than the session timeout of the consumer group,
	// so that the sink wakes up when its partitions are somebody else's.
	sinkClass = class{
		kinds: map[faultKind]int{faultKill: 5, faultTerminate: 4, faultStop: 4},
		away:  4 * time.Second, still: 15 * time.Second, recovers: 3 * time.Second, weight: 4,
	}
	brokerClass = class{
		kinds: map[faultKind]int{faultKill: 5, faultTerminate: 2, faultStop: 3},
		away:  2 * time.Second, still: 6 * time.Second, recovers: 2 * time.Second, weight: 3,
	}
	kafkaNodeClass = class{
		kinds: map[faultKind]int{faultKill: 5, faultStop: 3},
		away:  3 * time.Second, still: 12 * time.Second, recovers: 12 * time.Second, weight: 3,
	}
	clickHouseClass = class{
		kinds: map[faultKind]int{faultKill: 6, faultTerminate: 2},
		away:  5 * time.Second, recovers: 2 * time.Second, weight: 4,
	}
	postgresClass = class{
		kinds: map[faultKind]int{faultKill: 5, faultTerminate: 2, faultStop: 3},
		away:  5 * time.Second, still: 8 * time.Second, recovers: 2 * time.Second, weight: 3,
	}
	proxyClass = class{
		kinds: map[faultKind]int{faultCut: 3, faultDelay: 2, faultBlackhole: 2},
		still: 8 * time.Second, recovers: time.Second, weight: 3,
	}
)

// A place is a target as the plan sees it. Of the places of one group only one
// is broken at a time.
type place struct {
	name, group string
	class       class
}

// makePlan returns the faults of a seed, in the order of their times: about one
// kill per interval, and about as many other faults. The same arguments give the
// same plan.
func makePlan(seed uint64, length, every time.Duration, places []place) []fault {
	p := &planner{
		rng:    rand.New(rand.NewPCG(seed, 0xc4a05)), //nolint:gosec // The same --seed must break the same things again, which crypto/rand cannot; nothing depends on it being hard to guess.
		places: places,
		busy:   map[string]time.Duration{},
	}
	kills := []faultKind{faultKill, faultTerminate}
	others := []faultKind{faultStop, faultCut, faultDelay, faultBlackhole}
	for slot := time.Duration(0); slot+every <= length; slot += every {
		p.add(slot+p.below(every), kills)
		p.add(slot+p.below(every), others)
	}
	slices.SortStableFunc(p.plan, func(a, b fault) int { return cmp.Compare(a.At, b.At) })
	return p.plan
}

type planner struct {
	rng    *rand.Rand
	places []place
	busy   map[string]time.Duration // by group, until when
	plan   []fault
}

// add plans one fault of the given kinds, unless everything is broken then.
func (p *planner) add(at time.Duration, kinds []faultKind) {
	chosen, ok := p.choose(at, kinds)
	if !ok {
		return
	}
	f := fault{At: at, Target: chosen.name, Kind: p.kindOf(chosen.class, kinds)}
	switch f.Kind {
	case faultKill, faultTerminate:
		// Half of them are started again at once.
		if p.rng.IntN(2) == 0 {
			f.For = p.below(chosen.class.away)
		}
	case faultStop:
		f.For = 500*time.Millisecond + p.below(min(4500*time.Millisecond, chosen.class.still-500*time.Millisecond))
		if longest := chosen.class.still; longest > 10*time.Second && p.rng.IntN(3) == 0 {
			f.For = 10*time.Second + p.below(longest-10*time.Second)
		}
	case faultDelay, faultBlackhole:
		f.For = time.Second + p.below(chosen.class.still-time.Second)
		if f.Kind == faultDelay {
			f.Delay = 20*time.Millisecond + p.below(time.Second)
		}
	case faultCut:
	}
	f.For = f.For.Round(time.Millisecond)
	f.Delay = f.Delay.Round(time.Millisecond)
	p.busy[chosen.group] = at + f.For + chosen.class.recovers
	p.plan = append(p.plan, f)
}

// choose draws, by their weights, one of the places that are whole at a time
// and can be broken in one of the ways.
func (p *planner) choose(at time.Duration, kinds []faultKind) (place, bool) {
	var free []place
	total := 0
	for _, candidate := range p.places {
		possible := slices.ContainsFunc(kinds, func(k faultKind) bool { return candidate.class.kinds[k] > 0 })
		if possible && p.busy[candidate.group] <= at {
			free = append(free, candidate)
			total += candidate.class.weight
		}
	}
	if total == 0 {
		return place{}, false
	}
	n := p.rng.IntN(total)
	for _, candidate := range free {
		if n -= candidate.class.weight; n < 0 {
			return candidate, true
		}
	}
	return free[0], true
}

func (p *planner) kindOf(c class, kinds []faultKind) faultKind {
	total := 0
	for _, k := range kinds {
		total += c.kinds[k]
	}
	n := p.rng.IntN(total)
	for _, k := range kinds {
		if n -= c.kinds[k]; n < 0 {
			return k
		}
	}
	return kinds[0]
}

func (p *planner) below(d time.Duration) time.Duration { return time.Duration(p.rng.Int64N(int64(d))) }
