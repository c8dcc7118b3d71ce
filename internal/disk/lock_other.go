//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package disk

import (
	"errors"
	"fmt"
	"runtime"
)

// Lock cannot be had on this system.
func Lock(dir string) (unlock func() error, err error) {
	return nil, fmt.Errorf("couldn't lock %s on %s: %w", dir, runtime.GOOS, errors.ErrUnsupported)
}
