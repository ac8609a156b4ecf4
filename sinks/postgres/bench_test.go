//go:build linux && postgres

package postgres_test

import (
	"fmt"
	"testing"
)

// BenchmarkWrite writes batches of 10,000 rows of fact_points, new ones and, as
// after a crash, ones that are stored already.
func BenchmarkWrite(b *testing.B) {
	const rows = 10_000
	table := factTable(b, "points")
	for _, repeated := range []bool{false, true} {
		b.Run(fmt.Sprintf("repeated=%v", repeated), func(b *testing.B) {
			sink := openSink(b, newWarehouse(b, table))
			batch := numbered(table, 0, rows)
			write(b, sink, batch)
			b.ReportAllocs()
			for n := 1; b.Loop(); n++ {
				if !repeated {
					b.StopTimer()
					batch = numbered(table, n*rows, rows)
					b.StartTimer()
				}
				write(b, sink, batch)
			}
			b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
