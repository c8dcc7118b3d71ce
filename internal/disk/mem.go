package disk

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ErrCrashed is what every operation of a Mem returns once a Fault has crashed
// it: the process that wrote is dead. What it left is seen by Mem.Crash.
var ErrCrashed = errors.New("the machine has crashed")

// Op is one mutating operation that is about to happen.
type Op struct {
	N    int    // counts all mutating operations from 0
	Kind string // create write sync rename remove mkdir syncdir truncate punch
	Name string // the cleaned path; of a rename, the new one
	Size int    // bytes of a write or punch, new size of a truncate
}

// Fault says how an operation fails. The zero Fault lets it pass.
type Fault struct {
	// Err is returned. Without Applied nothing happened, but that a failed sync
	// has marked the unsynced bytes as clean: they read back, and no later sync
	// saves them.
	Err error
	// Applied makes the operation happen in full though it fails.
	Applied bool
	// Short makes a write stop after so many bytes; with no Err it returns
	// io.ErrShortWrite.
	Short int
	// Crash kills the process in this operation, before it has an effect or,
	// with Applied, after.
	Crash bool
}

func (f Fault) happens() bool { return f.Applied || f.Err == nil && !f.Crash }

// Mem is a file system in memory that can lose its power, for tests. Paths are
// those of a machine with nothing but a root directory; a relative path starts
// there too. Safe for concurrent use.
type Mem struct {
	mu      sync.Mutex
	root    *node
	pending []*relink // not yet durable, oldest first
	seq     uint64    // of the newest change, to data or names
	ops     int
	ask     func(Op) Fault
	dead    bool
}

// node is a file or a directory, whatever its name. The lock of its Mem guards it.
type node struct {
	// Of a file: what reads see, what is surely on the disk, and the changes
	// between that a sync would save, oldest first. Bytes that a failed sync
	// gave up are in data only.
	data    []byte
	durable []byte
	dirty   []edit

	// Of a directory: its names now, and as they are surely on the disk.
	names  map[string]*node
	stable map[string]entry
}

// edit is one change to the bytes of a file.
type edit struct {
	seq  uint64
	kind string // write truncate punch
	off  int64  // new size of a truncate
	n    int64
	data []byte // of a write
}

// entry is a durable name, or with a nil node the durable absence of one. Names
// may become durable out of order; the change made last wins.
type entry struct {
	seq  uint64
	node *node
}

// relink is one change to names that a crash keeps or loses as a whole. A
// directory's sync saves its links up to the last one in that directory: for a
// move between directories, syncing the new one may leave the file under both
// names, but syncing the old one can never leave it under none.
type relink struct {
	seq   uint64
	links []link
}

type link struct {
	dir  *node
	name string
	node *node // nil removes the name
}

// NewMem returns an empty file system.
func NewMem() *Mem { return &Mem{root: newDir()} }

func newDir() *node {
	return &node{names: map[string]*node{}, stable: map[string]entry{}}
}

// Fault sets what is asked before each mutating operation; nil lets all pass. f
// may be called by several goroutines at once. It may block, to hold one
// operation back while others go on, and it may call Ops and Crash.
func (m *Mem) Fault(f func(op Op) Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ask = f
}

// Ops counts the mutating operations so far.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// mutate runs one mutating operation: effect is called under the lock, knows the
// fault, and gets the newest change made before the operation began, which is all
// that a sync vouches for.
func (m *Mem) mutate(op Op, effect func(f Fault, began uint64) error) error {
	m.mu.Lock()
	if m.dead {
		m.mu.Unlock()
		return ErrCrashed
	}
	op.N = m.ops
	m.ops++
	ask, began := m.ask, m.seq
	m.mu.Unlock()

	var f Fault
	if ask != nil {
		f = ask(op)
	}

	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return ErrCrashed
	}
	m.dead = f.Crash
	err := effect(f, began)
	if f.Crash {
		return ErrCrashed
	}
	if f.Err != nil {
		err = f.Err
	}
	return wrap(op.Kind, op.Name, err)
}

// change runs a mutating operation on names, which happens in full or not at all.
func (m *Mem) change(kind, name string, effect func() error) error {
	return m.mutate(Op{Kind: kind, Name: name}, func(f Fault, _ uint64) error {
		if !f.happens() {
			return nil
		}
		return effect()
	})
}

func wrap(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func clean(name string) string {
	return path.Clean("/" + filepath.ToSlash(name))
}

// find returns the node of a clean path.
func (m *Mem) find(name string) (*node, error) {
	n := m.root
	for part := range strings.SplitSeq(strings.Trim(name, "/"), "/") {
		if part == "" {
			continue
		}
		if n.names == nil {
			return nil, syscall.ENOTDIR
		}
		if n = n.names[part]; n == nil {
			return nil, syscall.ENOENT
		}
	}
	return n, nil
}

// parent returns the directory of a clean path and the last part of it.
func (m *Mem) parent(name string) (*node, string, error) {
	dir, base := path.Split(name)
	if base == "" {
		return nil, "", syscall.EBUSY
	}
	d, err := m.find(path.Clean(dir))
	if err != nil {
		return nil, "", err
	}
	if d.names == nil {
		return nil, "", syscall.ENOTDIR
	}
	return d, base, nil
}

// relink changes names, for now.
func (m *Mem) relink(links ...link) {
	for _, l := range links {
		if l.node == nil {
			delete(l.dir.names, l.name)
		} else {
			l.dir.names[l.name] = l.node
		}
	}
	m.seq++
	m.pending = append(m.pending, &relink{m.seq, links})
}

// settle makes one change of a name durable.
func (l link) settle(seq uint64) {
	if l.dir.stable[l.name].seq < seq {
		l.dir.stable[l.name] = entry{seq, l.node}
	}
}

// Create makes a file.
func (m *Mem) Create(name string) (File, error) {
	name = clean(name)
	n := &node{}
	err := m.change("create", name, func() error { return m.add(name, n) })
	if err != nil {
		return nil, err
	}
	return &memFile{m: m, n: n, name: name, writable: true}, nil
}

func (m *Mem) add(name string, n *node) error {
	if _, err := m.find(name); err == nil {
		return syscall.EEXIST
	}
	d, base, err := m.parent(name)
	if err != nil {
		return err
	}
	m.relink(link{d, base, n})
	return nil
}

// OpenAppend opens an existing file for reading and appending.
func (m *Mem) OpenAppend(name string) (File, error) { return m.open(name, true) }

// Open opens an existing file for reading.
func (m *Mem) Open(name string) (File, error) { return m.open(name, false) }

func (m *Mem) open(name string, writable bool) (File, error) {
	name = clean(name)
	n, err := look(m, "open", name, func(n *node) (*node, error) {
		if n.names != nil {
			return nil, syscall.EISDIR
		}
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	return &memFile{m: m, n: n, name: name, writable: writable}, nil
}

// look reads something from the node of a name.
func look[T any](m *Mem, op, name string, read func(*node) (T, error)) (T, error) {
	var zero T
	name = clean(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return zero, ErrCrashed
	}
	n, err := m.find(name)
	if err != nil {
		return zero, wrap(op, name, err)
	}
	v, err := read(n)
	return v, wrap(op, name, err)
}

// ReadFile returns the whole content.
func (m *Mem) ReadFile(name string) ([]byte, error) {
	return look(m, "read", name, func(n *node) ([]byte, error) {
		if n.names != nil {
			return nil, syscall.EISDIR
		}
		return append([]byte{}, n.data...), nil
	})
}

// ReadDir returns the names in a directory, sorted.
func (m *Mem) ReadDir(name string) ([]string, error) {
	return look(m, "readdir", name, func(n *node) ([]string, error) {
		if n.names == nil {
			return nil, syscall.ENOTDIR
		}
		return slices.Sorted(maps.Keys(n.names)), nil
	})
}

// Stat tells size and kind.
func (m *Mem) Stat(name string) (Info, error) {
	return look(m, "stat", name, func(n *node) (Info, error) {
		return Info{Size: int64(len(n.data)), Dir: n.names != nil}, nil
	})
}

// Rename moves a name. A crash shows it done or not done, never halfway.
func (m *Mem) Rename(old, new string) error {
	old, new = clean(old), clean(new)
	return m.change("rename", new, func() error {
		from, a, err := m.parent(old)
		if err != nil {
			return err
		}
		to, b, err := m.parent(new)
		if err != nil {
			return err
		}
		n, over := from.names[a], to.names[b]
		switch {
		case n == nil:
			return syscall.ENOENT
		case over != nil && over.names != nil:
			return syscall.EEXIST // os.Rename refuses even an empty directory
		case n == over:
			return nil
		case n.names != nil && strings.HasPrefix(new, old+"/"):
			return syscall.EINVAL
		case over != nil && n.names != nil:
			return syscall.ENOTDIR
		}
		m.relink(link{to, b, n}, link{from, a, nil})
		return nil
	})
}

// Remove removes a file or an empty directory.
func (m *Mem) Remove(name string) error {
	name = clean(name)
	return m.change("remove", name, func() error {
		d, base, err := m.parent(name)
		if err != nil {
			return err
		}
		n := d.names[base]
		if n == nil {
			return syscall.ENOENT
		}
		if len(n.names) > 0 {
			return syscall.ENOTEMPTY
		}
		m.relink(link{d, base, nil})
		return nil
	})
}

// MkdirAll makes a directory and those above it, durably.
func (m *Mem) MkdirAll(name string) error {
	mkdir := func(name string) error {
		return m.change("mkdir", name, func() error { return m.add(name, newDir()) })
	}
	return mkdirAll(clean(name), m.Stat, mkdir, m.SyncDir)
}

// SyncDir makes durable what was done to the names of the directory before the
// call. After it failed they can still be saved by another.
func (m *Mem) SyncDir(name string) error {
	name = clean(name)
	return m.mutate(Op{Kind: "syncdir", Name: name}, func(f Fault, began uint64) error {
		d, err := m.find(name)
		if err != nil || !f.happens() {
			return err
		}
		if d.names == nil {
			return syscall.ENOTDIR
		}
		m.pending = slices.DeleteFunc(m.pending, func(r *relink) bool {
			if r.seq > began {
				return false
			}
			last := -1
			for i, l := range r.links {
				if l.dir == d {
					last = i
				}
			}
			for _, l := range r.links[:last+1] {
				l.settle(r.seq)
			}
			r.links = r.links[last+1:]
			return len(r.links) == 0
		})
		return nil
	})
}
