//go:build linux

package bench

func bareInsert() error { return nil }
