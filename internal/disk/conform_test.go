package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"path/filepath"
	"slices"
	"testing"
)

// each runs a test on both file systems, in an empty directory of each.
func each(t *testing.T, test func(t *testing.T, fsys FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := NewMem()
		must(t, m.MkdirAll("/tmp/test"))
		test(t, m, "/tmp/test")
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, what string, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: got error %v, want %v", what, err, target)
	}
}

// create makes a file and leaves it open. Nothing is synced.
func create(t *testing.T, fsys FS, name, content string) File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	write(t, f, content)
	return f
}

func write(t *testing.T, f File, content string) {
	t.Helper()
	n, err := f.Write([]byte(content))
	if err != nil || n != len(content) {
		t.Fatalf("write: %d of %d bytes, %v", n, len(content), err)
	}
}

func wantContent(t *testing.T, fsys FS, name, content string) {
	t.Helper()
	got, err := fsys.ReadFile(name)
	must(t, err)
	if string(got) != content {
		t.Fatalf("%s holds %q, want %q", name, got, content)
	}
}

func wantNames(t *testing.T, fsys FS, dir string, names ...string) {
	t.Helper()
	got, err := fsys.ReadDir(dir)
	must(t, err)
	if !slices.Equal(got, names) {
		t.Fatalf("%s has %q, want %q", dir, got, names)
	}
}

func TestMissingAndTaken(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		gone, deep := filepath.Join(dir, "gone"), filepath.Join(dir, "no", "such")
		_, err := fsys.Open(gone)
		want(t, "Open", err, fs.ErrNotExist)
		_, err = fsys.OpenAppend(gone)
		want(t, "OpenAppend", err, fs.ErrNotExist)
		_, err = fsys.ReadFile(gone)
		want(t, "ReadFile", err, fs.ErrNotExist)
		_, err = fsys.ReadDir(gone)
		want(t, "ReadDir", err, fs.ErrNotExist)
		_, err = fsys.Stat(gone)
		want(t, "Stat", err, fs.ErrNotExist)
		want(t, "Remove", fsys.Remove(gone), fs.ErrNotExist)
		want(t, "Rename", fsys.Rename(gone, filepath.Join(dir, "x")), fs.ErrNotExist)
		want(t, "SyncDir", fsys.SyncDir(gone), fs.ErrNotExist)
		_, err = fsys.Create(deep)
		want(t, "Create in no directory", err, fs.ErrNotExist)
		want(t, "WriteFile in no directory", WriteFile(fsys, deep, nil), fs.ErrNotExist)

		taken := filepath.Join(dir, "taken")
		must(t, create(t, fsys, taken, "mine").Close())
		_, err = fsys.Create(taken)
		want(t, "Create", err, fs.ErrExist)
		want(t, "Rename", fsys.Rename(taken, filepath.Join(dir, "no", "such")), fs.ErrNotExist)
		wantContent(t, fsys, taken, "mine")
	})
}

func TestAppendReadTruncate(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		must(t, create(t, fsys, name, "hello ").Close())
		f, err := fsys.OpenAppend(name)
		must(t, err)
		defer f.Close()
		write(t, f, "world")
		wantContent(t, fsys, name, "hello world")

		must(t, f.Truncate(5))
		write(t, f, "!")
		wantContent(t, fsys, name, "hello!")
		must(t, f.Truncate(8))
		write(t, f, "x")
		wantContent(t, fsys, name, "hello!\x00\x00x")
		must(t, f.Sync())
		if size, err := f.Size(); size != 9 || err != nil {
			t.Errorf("size %d, %v, want 9", size, err)
		}
		if f.Truncate(-1) == nil {
			t.Error("a negative size was accepted")
		}

		buf := make([]byte, 4)
		if n, err := f.ReadAt(buf, 1); n != 4 || err != nil || string(buf) != "ello" {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		if n, err := f.ReadAt(buf, 7); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("read across the end: %d, %v, want 2 and EOF", n, err)
		}
		if n, err := f.ReadAt(buf, 99); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read behind the end: %d, %v, want 0 and EOF", n, err)
		}
		if n, err := f.ReadAt(nil, 3); n != 0 || err != nil {
			t.Errorf("read of nothing: %d, %v", n, err)
		}
		if _, err := f.ReadAt(buf, -1); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("read before the start: %v, want an error", err)
		}
	})
}

func TestReadOnlyAndClosed(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		must(t, create(t, fsys, name, "content").Close())
		f, err := fsys.Open(name)
		must(t, err)
		if _, err := f.Write([]byte("x")); err == nil {
			t.Error("a file opened for reading was written")
		}
		if f.Truncate(1) == nil {
			t.Error("a file opened for reading was truncated")
		}
		if f.PunchHole(0, 1) == nil {
			t.Error("a file opened for reading was punched")
		}
		must(t, f.Sync())
		wantContent(t, fsys, name, "content")

		must(t, f.Close())
		_, err = f.Write([]byte("x"))
		want(t, "Write", err, fs.ErrClosed)
		_, err = f.ReadAt(make([]byte, 1), 0)
		want(t, "ReadAt", err, fs.ErrClosed)
		_, err = f.Size()
		want(t, "Size", err, fs.ErrClosed)
		want(t, "Sync", f.Sync(), fs.ErrClosed)
		want(t, "Truncate", f.Truncate(0), fs.ErrClosed)
		want(t, "PunchHole", f.PunchHole(0, 1), fs.ErrClosed)
		want(t, "Close", f.Close(), fs.ErrClosed)
	})
}

func TestPunchHole(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		content := bytes.Repeat([]byte("x"), 20000)
		f := create(t, fsys, name, string(content))
		defer f.Close()
		for _, hole := range [][2]int64{{100, 9000}, {19990, 500}, {30000, 10}} {
			must(t, f.PunchHole(hole[0], hole[1]))
			clear(content[min(hole[0], 20000):min(hole[0]+hole[1], 20000)])
			wantContent(t, fsys, name, string(content))
		}
		for _, hole := range [][2]int64{{-1, 5}, {0, 0}, {0, -5}} {
			if f.PunchHole(hole[0], hole[1]) == nil {
				t.Errorf("a hole of %d bytes at %d was accepted", hole[1], hole[0])
			}
		}
		write(t, f, "end")
		wantContent(t, fsys, name, string(content)+"end")
	})
}

func TestNames(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		in := func(name string) string { return filepath.Join(dir, name) }
		wantNames(t, fsys, dir)
		old := create(t, fsys, in("b"), "old")
		defer old.Close()
		must(t, create(t, fsys, in("a"), "new").Close())
		must(t, fsys.MkdirAll(in("c/d")))
		wantNames(t, fsys, dir, "a", "b", "c")

		must(t, fsys.Rename(in("a"), in("b")))
		wantNames(t, fsys, dir, "b", "c")
		wantContent(t, fsys, in("b"), "new")
		must(t, fsys.Rename(in("b"), in("b")))
		wantContent(t, fsys, in("b"), "new")
		buf := make([]byte, 3)
		if _, err := old.ReadAt(buf, 0); err != nil || string(buf) != "old" {
			t.Errorf("the replaced file reads %q, %v", buf, err)
		}
		want(t, "file over directory", fsys.Rename(in("b"), in("c")), fs.ErrExist)
		if fsys.Rename(in("c"), in("b")) == nil || fsys.Rename(in("c"), in("c/d/e")) == nil {
			t.Error("a directory was renamed over a file or into itself")
		}
		if fsys.Remove(in("c")) == nil {
			t.Error("a directory that is not empty was removed")
		}
		must(t, fsys.Rename(in("b"), in("c/b")))
		must(t, fsys.SyncDir(dir))
		must(t, fsys.SyncDir(in("c")))
		wantNames(t, fsys, in("c"), "b", "d")
		must(t, fsys.Remove(in("c/d")))
		must(t, fsys.Rename(in("c"), in("e")))
		wantContent(t, fsys, in("e/b"), "new")

		if info, err := fsys.Stat(in("e/b")); err != nil || info != (Info{Size: 3}) {
			t.Errorf("stat: %+v, %v", info, err)
		}
		if info, err := fsys.Stat(in("e")); err != nil || !info.Dir {
			t.Errorf("stat: %+v, %v", info, err)
		}
		if _, err := fsys.ReadDir(in("e/b")); err == nil {
			t.Error("a file was listed as a directory")
		}
		if _, err := fsys.ReadFile(in("e")); err == nil {
			t.Error("a directory was read as a file")
		}
		if _, err := fsys.Stat(in("e/b/x")); err == nil {
			t.Error("a name was found below a file")
		}
		must(t, fsys.Remove(in("e/b")))
		wantNames(t, fsys, in("e"))
	})
}

func TestMkdirAll(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		deep := filepath.Join(dir, "a", "b", "c")
		must(t, fsys.MkdirAll(deep))
		must(t, fsys.MkdirAll(deep))
		wantNames(t, fsys, filepath.Join(dir, "a"), "b")
		file := filepath.Join(deep, "f")
		must(t, create(t, fsys, file, "").Close())
		if fsys.MkdirAll(file) == nil || fsys.MkdirAll(filepath.Join(file, "d")) == nil {
			t.Error("a directory was made of a file")
		}
		must(t, fsys.MkdirAll("/"))
	})
}

func TestWriteFile(t *testing.T) {
	each(t, func(t *testing.T, fsys FS, dir string) {
		name := filepath.Join(dir, "f")
		must(t, create(t, fsys, name+".tmp", "left behind, and longer than what follows").Close())
		for _, content := range []string{"one", "", "three"} {
			must(t, WriteFile(fsys, name, []byte(content)))
			wantContent(t, fsys, name, content)
			wantNames(t, fsys, dir, "f")
		}
	})
}

// TestSameAnswers puts the same random operations to both file systems.
func TestSameAnswers(t *testing.T) {
	for seed := range int64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			mem := NewMem()
			must(t, mem.MkdirAll("/r"))
			a := &walker{fs: OS(), root: t.TempDir(), r: rand.New(rand.NewSource(seed))}
			b := &walker{fs: mem, root: "/r", r: rand.New(rand.NewSource(seed))}
			defer a.close()
			for i := range 1500 {
				x, y := a.step(), b.step()
				if x != y {
					t.Fatalf("step %d: the machine says %s, memory says %s", i, x, y)
				}
			}
		})
	}
}

// walker does random operations and tells what came of them.
type walker struct {
	fs   FS
	root string
	r    *rand.Rand
	open []File
}

func (w *walker) close() {
	for _, f := range w.open {
		_ = f.Close()
	}
}

func (w *walker) name() string {
	names := []string{"a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "d/d"}
	return filepath.Join(w.root, names[w.r.Intn(len(names))])
}

func (w *walker) step() string {
	switch k := w.r.Intn(16); k {
	case 0, 1, 2, 3:
		name := w.name()
		open := []func(string) (File, error){w.fs.Create, w.fs.OpenAppend, w.fs.Create, w.fs.OpenAppend}[k]
		// Opening a directory may work or not, what counts is that it is no file.
		if info, err := w.fs.Stat(name); err == nil && info.Dir {
			return "directory"
		}
		f, err := open(name)
		if err == nil {
			w.open = append(w.open, f)
		}
		return fmt.Sprintf("open %d: %s", k, class(err))
	case 4:
		return "rename: " + class(w.fs.Rename(w.name(), w.name()))
	case 5:
		return "remove: " + class(w.fs.Remove(w.name()))
	case 6:
		return "mkdir: " + class(w.fs.MkdirAll(w.name()))
	case 7:
		return "syncdir: " + class(w.fs.SyncDir(w.root))
	case 8:
		names, err := w.fs.ReadDir(w.root)
		return fmt.Sprintf("readdir: %q %s", names, class(err))
	case 9:
		info, err := w.fs.Stat(w.name())
		if info.Dir {
			info.Size = 0
		}
		return fmt.Sprintf("stat: %v %s", info, class(err))
	case 10:
		content, err := w.fs.ReadFile(w.name())
		return fmt.Sprintf("read: %x %s", content, class(err))
	case 11:
		name := w.name()
		return "writefile: " + class(WriteFile(w.fs, name, []byte(name[len(w.root):])))
	default:
		if len(w.open) == 0 {
			return "nothing open"
		}
		return w.fileStep(w.open[w.r.Intn(len(w.open))], k)
	}
}

func (w *walker) fileStep(f File, k int) string {
	off, n := w.r.Int63n(3000), w.r.Int63n(3000)+1
	switch k {
	case 12:
		return "truncate: " + class(f.Truncate(off))
	case 13:
		return "punch: " + class(f.PunchHole(off, n))
	case 14:
		p := make([]byte, n)
		got, err := f.ReadAt(p, off)
		size, serr := f.Size()
		return fmt.Sprintf("readat: %x %s, size %d %s", p[:got], class(err), size, class(serr))
	default:
		p := bytes.Repeat([]byte{byte('a' + w.r.Intn(26))}, int(n))
		wrote, err := f.Write(p)
		return fmt.Sprintf("write: %d %s, sync %s", wrote, class(err), class(f.Sync()))
	}
}

func class(err error) string {
	for _, known := range []error{nil, io.EOF, fs.ErrNotExist, fs.ErrExist, fs.ErrClosed} {
		if errors.Is(err, known) {
			return fmt.Sprint(known)
		}
	}
	return "other error"
}
