package disk

import (
	"io"
	"os"
	"path/filepath"
)

// OS returns the file system of the machine. It holds no state.
func OS() FS { return osFS{} }

type osFS struct{}

func (osFS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) OpenAppend(name string) (File, error) { return open(name, os.O_RDWR) }

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDONLY) }

func open(name string, flag int) (File, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) ReadFile(name string) ([]byte, error) { return os.ReadFile(name) }

func (osFS) ReadDir(name string) ([]string, error) {
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names, nil
}

func (osFS) Rename(old, new string) error { return os.Rename(old, new) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (o osFS) MkdirAll(name string) error {
	mkdir := func(name string) error { return os.Mkdir(name, 0o700) }
	return mkdirAll(name, o.Stat, mkdir, o.SyncDir)
}

func (osFS) SyncDir(name string) error {
	d, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

func (osFS) Stat(name string) (Info, error) {
	fi, err := os.Stat(name)
	if err != nil {
		return Info{}, err
	}
	return Info{Size: fi.Size(), Dir: fi.IsDir()}, nil
}

// osFile is not opened with O_APPEND, because that would make it impossible to
// write zeros into its middle, see zero.
type osFile struct{ f *os.File }

func (o osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }

func (o osFile) Write(p []byte) (int, error) {
	if _, err := o.f.Seek(0, io.SeekEnd); err != nil {
		return 0, err
	}
	return o.f.Write(p)
}

func (o osFile) Close() error { return o.f.Close() }

func (o osFile) Sync() error { return datasync(o.f) }

func (o osFile) Size() (int64, error) {
	fi, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

func (o osFile) Truncate(size int64) error { return o.f.Truncate(size) }

func (o osFile) PunchHole(off, n int64) error { return punch(o.f, off, n) }

// zero writes zeros over n bytes from off, as far as the file goes: what punching
// a hole does for readers, on file systems that have no holes.
func zero(f *os.File, off, n int64) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	end := min(off+n, fi.Size())
	buf := make([]byte, min(n, 64<<10))
	for off < end {
		w, err := f.WriteAt(buf[:min(int64(len(buf)), end-off)], off)
		if err != nil {
			return err
		}
		off += int64(w)
	}
	return nil
}
