package simulate

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPercentilesAreClose compares the histogram with sorted durations.
func TestPercentilesAreClose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		micros := rapid.SliceOfN(rapid.Int64Range(0, 1<<topBits-1), 1, 200).Draw(t, "microseconds")
		var whole, left, right latencies
		for i, us := range micros {
			d := time.Duration(us) * time.Microsecond
			whole.observe(d)
			if i%2 == 0 {
				left.observe(d)
			} else {
				right.observe(d)
			}
		}
		left.merge(&right)
		if left != whole {
			t.Fatal("merging loses durations")
		}
		slices.Sort(micros)
		for _, share := range []float64{0, 0.5, 0.99, 1} {
			rank := max(1, int(share*float64(len(micros))+0.5))
			exact := float64(micros[rank-1])
			got := float64(whole.percentile(share)) / float64(time.Microsecond)
			if got < exact || got > exact*(1+1.0/subBuckets)+1 {
				t.Fatalf("percentile %v is %v µs, exactly it is %v", share, got, exact)
			}
		}
	})
}

func TestLatenciesTakeAnything(t *testing.T) {
	var l latencies
	if got := l.percentile(0.5); got != 0 {
		t.Errorf("the percentile of nothing is %s", got)
	}
	l.observe(-time.Second)
	l.observe(math.MaxInt64)
	if l.total != 2 || l.counts[0] != 1 || l.counts[bucketCount-1] != 1 {
		t.Error("durations out of range are not counted at the ends")
	}
}
