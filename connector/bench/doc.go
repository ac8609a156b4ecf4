// Package bench measures the pipeline as it runs in production: each part is a
// process of its own, and beside it runs the least program that could do the
// part's work, under the same load, so that a slow or busy machine changes both
// numbers and not their ratio.
//
//	go test -run '^$' -bench . -benchtime 5x ./connector/bench
//
// One iteration is one round of both programs; each metric is the median of the
// rounds. The benchmarks need Linux, for they read processor time and memory of
// other processes.
package bench
