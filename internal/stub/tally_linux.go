package stub

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes the bytes of f durable (and its length, not its times).
func syncData(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
