//go:build !linux

package main

// runOnSmallDisk does nothing: only Linux has namespaces.
func runOnSmallDisk() {}
