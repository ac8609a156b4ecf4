// Package normalize turns the signed body of a SHOPLINE webhook into one flat
// row of its contract's table, or says why it cannot. It is pure: it does no
// I/O, reads no clock, and gives the same answer for the same input.
//
// It keeps invariant 3 (same event, same row) of the connector: see [EventID].
package normalize
