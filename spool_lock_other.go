//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package steno

import "os"

// lockFile does nothing here: that each process has a spool of its own is the application's to see to.
func lockFile(*os.File) error { return nil }
