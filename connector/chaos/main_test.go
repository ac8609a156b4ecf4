//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"loyaltyhouse/connector/embedded"
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	m.Run()
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"--seed", "7", "--time", "10m", "--kafka", "real", "--race"})
	if err != nil {
		t.Fatal(err)
	}
	if o.seed != 7 || o.time != 10*time.Minute || o.kafka != kafkaReal || !o.race || o.every != 3*time.Second {
		t.Errorf("got %+v", o)
	}
	if o, err := parse(nil); err != nil || o.seed == 0 || o.time != time.Minute || o.kafka != kafkaEmbedded {
		t.Errorf("the default is %+v, %v", o, err)
	}
	for arguments, want := range map[string]string{
		"--time 10ms":   "--time must be at least 1s",
		"--every 1ms":   "--every must be at least 100ms",
		"--rate 0":      "--rate must be from 1 to 100000",
		"--kafka other": "--kafka must be embedded or real",
		"now":           "no arguments besides the flags",
	} {
		if _, err := parse(strings.Fields(arguments)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", arguments, err, want)
		}
	}
}
