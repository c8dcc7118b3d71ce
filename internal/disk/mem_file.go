package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// memFile is a handle. It outlives the name of its file.
type memFile struct {
	m        *Mem
	n        *node
	name     string
	writable bool
	closed   bool
}

// usable says why the handle cannot be used, under the lock.
func (h *memFile) usable(write bool) error {
	switch {
	case h.closed:
		return fs.ErrClosed
	case write && !h.writable:
		return syscall.EBADF
	}
	return nil
}

func (h *memFile) read(op string, f func() error) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	if h.m.dead {
		return ErrCrashed
	}
	err := h.usable(false)
	if err == nil {
		err = f()
	}
	if errors.Is(err, io.EOF) {
		return err
	}
	return wrap(op, h.name, err)
}

func (h *memFile) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.read("read", func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		if off < int64(len(h.n.data)) {
			n = copy(p, h.n.data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (h *memFile) Size() (size int64, err error) {
	err = h.read("stat", func() error {
		size = int64(len(h.n.data))
		return nil
	})
	return size, err
}

func (h *memFile) Close() error {
	return h.read("close", func() error {
		h.closed = true
		return nil
	})
}

func (h *memFile) Write(p []byte) (n int, err error) {
	op := Op{Kind: "write", Name: h.name, Size: len(p)}
	err = h.m.mutate(op, func(f Fault, _ uint64) error {
		if err := h.usable(true); err != nil {
			return err
		}
		var err error
		switch {
		case f.Short > 0 && f.Short < len(p):
			p, err = p[:f.Short], io.ErrShortWrite
		case !f.happens():
			return nil
		}
		n = len(p)
		h.edit(edit{kind: "write", off: int64(len(h.n.data)), n: int64(n), data: bytes.Clone(p)})
		return err
	})
	if errors.Is(err, ErrCrashed) {
		n = 0
	}
	return n, err
}

func (h *memFile) Truncate(size int64) error {
	op := Op{Kind: "truncate", Name: h.name, Size: int(size)}
	return h.m.mutate(op, func(f Fault, _ uint64) error {
		if err := h.usable(true); err != nil || !f.happens() {
			return err
		}
		if size < 0 {
			return syscall.EINVAL
		}
		h.edit(edit{kind: "truncate", off: size})
		return nil
	})
}

func (h *memFile) PunchHole(off, n int64) error {
	op := Op{Kind: "punch", Name: h.name, Size: int(n)}
	return h.m.mutate(op, func(f Fault, _ uint64) error {
		if err := h.usable(true); err != nil || !f.happens() {
			return err
		}
		if off < 0 || n <= 0 {
			return syscall.EINVAL
		}
		h.edit(edit{kind: "punch", off: off, n: n})
		return nil
	})
}

func (h *memFile) edit(e edit) {
	h.m.seq++
	e.seq = h.m.seq
	h.n.data = e.apply(h.n.data)
	h.n.dirty = append(h.n.dirty, e)
}

func (h *memFile) Sync() error {
	return h.m.mutate(Op{Kind: "sync", Name: h.name}, func(f Fault, began uint64) error {
		if err := h.usable(false); err != nil {
			return err
		}
		switch {
		case f.happens():
			h.n.save(began)
		case !f.Crash:
			h.n.giveUp(began)
		}
		return nil
	})
}

// save makes durable what was changed until then.
func (n *node) save(until uint64) {
	n.dirty = slices.DeleteFunc(n.dirty, func(e edit) bool {
		if e.seq <= until {
			n.durable = e.apply(n.durable)
		}
		return e.seq <= until
	})
}

// giveUp is a sync that failed: the bytes are taken for clean, so that nothing
// will ever write them. The size that Truncate has set is not kept in pages and
// stays to be saved.
func (n *node) giveUp(until uint64) {
	n.dirty = slices.DeleteFunc(n.dirty, func(e edit) bool {
		return e.seq <= until && e.kind != "truncate"
	})
}

// apply makes the change to b, the whole content of a file.
func (e edit) apply(b []byte) []byte {
	switch size := int64(len(b)); e.kind {
	case "write":
		b = grow(b, e.off+e.n)
		copy(b[e.off:], e.data)
	case "truncate":
		if e.off < size {
			return b[:e.off:e.off]
		}
		b = grow(b, e.off)
	case "punch":
		if e.off < size {
			clear(b[e.off:min(e.off+e.n, size)])
		}
	}
	return b
}

// grow extends b with zeros up to size.
func grow(b []byte, size int64) []byte {
	if more := size - int64(len(b)); more > 0 {
		b = append(b, make([]byte, more)...)
	}
	return b
}
