//go:build !linux

package disk

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

func datasync(f *os.File) error { return f.Sync() }

func punch(f *os.File, off, n int64) error {
	if off < 0 || n <= 0 {
		return &os.PathError{Op: "punch", Path: f.Name(), Err: os.ErrInvalid}
	}
	return zero(f, off, n)
}

// Type names the file system that holds dir. Only Linux can tell.
func Type(dir string) (string, error) {
	return "", fmt.Errorf("couldn't tell the file system of %s on %s: %w", dir, runtime.GOOS, errors.ErrUnsupported)
}
