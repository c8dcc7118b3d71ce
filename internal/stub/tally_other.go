//go:build !linux

package stub

import "os"

func syncData(f *os.File) error { return f.Sync() }
