// Package answers checks what the dashboards say. A simulated programme is in
// memory and in a real ClickHouse; every panel, variable and annotation is asked
// as a page asks it, and its answer compared with one that is computed in Go from
// the events in memory, from what the panel's description promises.
//
// A panel without such a computation fails, and so does one that is empty, that
// lacks a column, or whose unit is not the one of its numbers. There is a file for
// each dashboard. The dashboard that reads Prometheus is checked in the package
// above.
package answers
