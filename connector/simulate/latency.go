package simulate

import (
	"math/bits"
	"time"
)

// Durations are counted in microseconds: one by one below subBuckets, and above
// in subBuckets steps per power of two, so a percentile is off by 1/32 at most.
const (
	subBucketBits = 5
	subBuckets    = 1 << subBucketBits
	topBits       = 36 // 2^36 µs is 19 hours; whatever takes longer counts as that
	bucketCount   = (topBits-subBucketBits)*subBuckets + subBuckets
)

// latencies is a histogram of durations in fixed memory.
type latencies struct {
	counts [bucketCount]int64
	total  int64
	max    time.Duration
}

func (l *latencies) observe(d time.Duration) {
	l.counts[bucketOf(d)]++
	l.total++
	l.max = max(l.max, d)
}

func (l *latencies) merge(other *latencies) {
	for i, n := range other.counts {
		l.counts[i] += n
	}
	l.total += other.total
	l.max = max(l.max, other.max)
}

// percentile returns the duration that the given share, from 0 to 1, of all
// durations do not exceed, and 0 if there are none.
func (l *latencies) percentile(share float64) time.Duration {
	if l.total == 0 {
		return 0
	}
	rank := max(1, int64(share*float64(l.total)+0.5))
	for i, n := range l.counts {
		if rank -= n; rank <= 0 {
			return min(upperBound(i), l.max)
		}
	}
	return l.max
}

func bucketOf(d time.Duration) int {
	us := uint64(max(0, d.Microseconds()))
	us = min(us, 1<<topBits-1)
	shift := max(0, bits.Len64(us)-subBucketBits-1)
	// The leading bit of a shifted value counts on into the next group.
	return shift*subBuckets + int(us>>shift) //nolint:gosec // The shift leaves no more than the bits of a sub-bucket.
}

// upperBound returns the longest duration that a bucket counts.
func upperBound(bucket int) time.Duration {
	shift := max(0, bucket/subBuckets-1)
	us := (uint64(bucket-shift*subBuckets)+1)<<shift - 1             //nolint:gosec // A bucket is not less than the first of its group, so that nothing negative is converted.
	return time.Duration(us)*time.Microsecond + time.Microsecond - 1 //nolint:gosec // The largest bucket is some hours.
}
