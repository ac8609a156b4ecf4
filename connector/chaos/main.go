//go:build linux

// Chaos runs the pipeline as processes of their own, drives signed webhooks
// into it, breaks everything it can break for a bounded time, and then compares
// what was acknowledged with what is stored: nothing may be lost, and no row
// may be there twice. docs/chaos.md says how to use it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"loyaltyhouse/connector/embedded"
)

// options are what a run can be told.
type options struct {
	seed     uint64
	time     time.Duration
	every    time.Duration
	rate     float64
	span     time.Duration
	kafka    string
	program  string
	evidence string
	keep     bool
	race     bool
}

func main() {
	embedded.RunChild()
	os.Exit(start())
}

// start returns the exit status: 0 only when everything is exact.
func start() int {
	o, err := parse(os.Args[1:])
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "chaos:", err)
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal a second one ends the program at once; its children
	// end with it.
	context.AfterFunc(ctx, stop)
	r, err := newRun(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return 1
	}
	err = r.play(ctx)
	exact := r.conclude(ctx, err)
	if !exact {
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.Uint64Var(&o.seed, "seed", 0, "which faults and webhooks to play; 0 takes new ones each time")
	flags.DurationVar(&o.time, "time", time.Minute, "how long webhooks are sent and things are broken")
	flags.DurationVar(&o.every, "every", 3*time.Second, "time between two kills; pauses and broken connections come about as often in addition")
	flags.Float64Var(&o.rate, "rate", 300, "webhooks per second")
	flags.DurationVar(&o.span, "span", 90*24*time.Hour, "time that the simulated history covers; a longer one spreads each batch over more of ClickHouse's partitions")
	flags.StringVar(&o.kafka, "kafka", kafkaEmbedded, "embedded, or real for Apache Kafka with three nodes")
	flags.StringVar(&o.program, "program", "", "the connector to test; it is built where this is empty")
	flags.StringVar(&o.evidence, "evidence", "", "directory for logs and data, which must not exist; a temporary one where this is empty")
	flags.BoolVar(&o.keep, "keep", false, "keep the evidence of a run that was exact, too")
	flags.BoolVar(&o.race, "race", false, "build the connector with the race detector")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixMilli())
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("there are no arguments besides the flags, but %q is one", flags.Arg(0))
	case o.time < time.Second:
		return o, fmt.Errorf("--time must be at least 1s, is %s", o.time)
	case o.every < 100*time.Millisecond:
		return o, fmt.Errorf("--every must be at least 100ms, is %s", o.every)
	case o.rate < 1 || o.rate > 100_000:
		return o, fmt.Errorf("--rate must be from 1 to 100000, is %v", o.rate)
	case o.kafka != kafkaEmbedded && o.kafka != kafkaReal:
		return o, fmt.Errorf("--kafka must be %s or %s, is %q", kafkaEmbedded, kafkaReal, o.kafka)
	}
	return o, nil
}
