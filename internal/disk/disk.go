// Package disk is the only place in steno that makes bytes durable.
//
// What enters are names and bytes; what leaves are files and directories. Bytes
// of a file are durable when [File.Sync] has returned nil, a name (created,
// renamed, removed) when [FS.SyncDir] of its directory has. Before that a power
// loss may keep all, some or none of it, in any order.
//
// There are two file systems: [OS], and [Mem], which lives in memory, can lose
// its power at any moment and fails on demand. Both pass the same tests.
//
// Never done here: retrying a failed Sync. The kernel marks the pages it could
// not write as clean, so that a second Sync succeeds and means nothing.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// File is an open file. Its methods may be called concurrently, but one handle
// at a time should append to a file.
type File interface {
	// ReadAt follows io.ReaderAt: fewer bytes than asked come with io.EOF.
	io.ReaderAt
	// Write appends at the end of the file, wherever that is now. A file from
	// Open refuses it. After a short write the bytes counted are at the end of
	// the file.
	io.Writer
	// Close releases the file. It makes nothing durable.
	io.Closer
	// Sync returns nil once everything written, truncated or punched before the
	// call is durable. After an error nothing that was not durable before may
	// be trusted, ever, even where it reads back and a later Sync returns nil:
	// stop writing to the file.
	Sync() error
	// Size is the size as reads see it.
	Size() (int64, error)
	// Truncate cuts the file, or extends it with zero bytes.
	Truncate(size int64) error
	// PunchHole makes n bytes from off read as zeros and gives their space back
	// where the file system can. The size stays. It is no secure erasure.
	PunchHole(off, n int64) error
}

// Info is what Stat tells.
type Info struct {
	Size int64
	Dir  bool
}

// FS is a file system. A missing name is fs.ErrNotExist and a taken one
// fs.ErrExist, by errors.Is.
type FS interface {
	// Create makes a file of mode 0600, open for reading and appending. The name
	// must be free.
	Create(name string) (File, error)
	// OpenAppend opens an existing file for reading and appending.
	OpenAppend(name string) (File, error)
	// Open opens an existing file for reading. Sync works on it all the same:
	// what a killed process left unsynced can be made durable before it is
	// relied upon.
	Open(name string) (File, error)
	// ReadFile returns the whole content.
	ReadFile(name string) ([]byte, error)
	// ReadDir returns the names in a directory, sorted.
	ReadDir(name string) ([]string, error)
	// Rename moves a name atomically, over an existing file if there is one.
	Rename(old, new string) error
	// Remove removes a file or an empty directory.
	Remove(name string) error
	// MkdirAll makes a directory of mode 0700 and those above it that are
	// missing. When it returns nil they are durable: it syncs the parents itself.
	MkdirAll(name string) error
	// SyncDir returns nil once the names in the directory are durable.
	SyncDir(name string) error
	// Stat tells size and kind.
	Stat(name string) (Info, error)
}

// WriteFile replaces the content of a file, or makes the file, durably: when it
// returns nil the new content survives a power loss, and whatever happens
// meanwhile, the file holds either the old content or the new, whole. After an
// error it is not known which of the two.
//
// The bytes go to name.tmp first. One left behind by a crash is harmless and
// replaced by the next call. Two calls for one name must not overlap.
//
// On Linux:
//
//	openat(AT_FDCWD, "name.tmp", O_RDWR|O_CREAT|O_EXCL|O_CLOEXEC, 0600) = 3
//	lseek(3, 0, SEEK_END)
//	write(3, …)
//	fdatasync(3)                      the bytes, before any name leads to them
//	close(3)
//	renameat(AT_FDCWD, "name.tmp", AT_FDCWD, "name")
//	openat(AT_FDCWD, "dir", O_RDONLY|O_CLOEXEC) = 3
//	fsync(3)                          the name, before the caller is told
//	close(3)
func WriteFile(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	if err := writeNew(fsys, tmp, data); err != nil {
		return fmt.Errorf("couldn't replace %s: %w", name, err)
	}
	if err := fsys.Rename(tmp, name); err != nil {
		_ = fsys.Remove(tmp)
		return fmt.Errorf("couldn't replace %s: %w", name, err)
	}
	if err := fsys.SyncDir(filepath.Dir(name)); err != nil { // durable: the name, before the caller is told
		return fmt.Errorf("couldn't make the name %s durable: %w", name, err)
	}
	return nil
}

// writeNew writes a file that holds data, durable but for its name. It removes
// what it could not finish, as far as the file system still lets it.
func writeNew(fsys FS, name string, data []byte) error {
	f, err := fsys.Create(name)
	if errors.Is(err, fs.ErrExist) {
		if err = fsys.Remove(name); err == nil {
			f, err = fsys.Create(name)
		}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync() // durable: the bytes, before any name leads to them
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		_ = fsys.Remove(name)
	}
	return err
}

// mkdirAll is MkdirAll over one file system's own steps. Each level is durable
// before the next is made. So where an earlier attempt was cut off, at most the
// deepest directory that exists can lack its sync: that one is synced again.
func mkdirAll(name string, stat func(string) (Info, error), mkdir, syncDir func(string) error) error {
	name = filepath.Clean(name)
	parent := filepath.Dir(name)
	info, err := stat(name)
	switch {
	case err == nil && !info.Dir:
		return fmt.Errorf("couldn't make directory %s: a file of that name is there", name)
	case err == nil && parent == name:
		return nil
	case err == nil:
		// A parent that we may not even read was made by somebody else.
		if err := syncDir(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist) || parent == name:
		return err
	}
	if err := mkdirAll(parent, stat, mkdir, syncDir); err != nil {
		return err
	}
	if err := mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(parent)
}
