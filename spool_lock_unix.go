//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package steno

import (
	"errors"
	"os"
	"syscall"
)

// lockFile makes this process the only one that has the spool, until it closes the file or dies.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another client has it; give each process a spool of its own")
	}
	return err
}
