package journal

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// walker goes from leaf to leaf in a segment that is known to be good up to some byte.
type walker struct {
	file   disk.File
	path   string
	header steno.SegmentHeader
	at     int64 // of the next frame
	limit  int64 // bytes from here on may not be durable, or superseded

	most   int    // bytes read at once
	window []byte // read last
	base   int64  // where the window's first byte stands in the file
}

func newWalker(f disk.File, path string, h steno.SegmentHeader, at, limit int64, window int) *walker {
	return &walker{file: f, path: path, header: h, at: at, limit: limit, most: window}
}

func (w *walker) damaged(to int64, why string) error {
	return &DamageError{File: w.path, From: w.at, To: to, Why: why}
}

// read fills p from a byte of the file on, from the window where that holds it.
func (w *walker) read(p []byte, at int64) error {
	if at+int64(len(p)) > w.limit {
		return w.damaged(w.limit, "a frame is cut off")
	}
	if len(p) > w.most {
		return w.readFile(p, at)
	}
	if at < w.base || at+int64(len(p)) > w.base+int64(len(w.window)) {
		n := int(min(int64(w.most), w.limit-at))
		w.base, w.window = at, slices.Grow(w.window[:0], n)[:n]
		if err := w.readFile(w.window, at); err != nil {
			w.window = w.window[:0]
			return err
		}
	}
	copy(p, w.window[at-w.base:])
	return nil
}

func (w *walker) readFile(p []byte, at int64) error {
	n, err := w.file.ReadAt(p, at)
	switch {
	case n == len(p):
		return nil
	case errors.Is(err, io.EOF):
		return w.damaged(at+int64(n), "the file ends where a frame should go on")
	}
	return fmt.Errorf("couldn't read %s at byte %d: %w", w.path, at, err)
}

// frame reads the header of the next frame.
func (w *walker) frame() (steno.FrameHeader, error) {
	var b [steno.FrameHeaderSize]byte
	if err := w.read(b[:], w.at); err != nil {
		return steno.FrameHeader{}, err
	}
	h, err := steno.ParseFrameHeader(b[:])
	if err != nil {
		return h, w.damaged(w.at+steno.FrameHeaderSize, err.Error())
	}
	return h, nil
}

func (w *walker) skip(h steno.FrameHeader) { w.at += int64(steno.FrameSize(h.Length)) }

// payload reads and checks the payload of the frame that stands next, and goes past it.
func (w *walker) payload(h steno.FrameHeader) ([]byte, error) {
	if w.at+int64(steno.FrameSize(h.Length)) > w.limit { // before any room is made for it
		return nil, w.damaged(w.limit, "a frame is cut off")
	}
	b := make([]byte, h.Length)
	if err := w.read(b, w.at+steno.FrameHeaderSize); err != nil {
		return nil, err
	}
	if !h.Check(&w.header, w.at, b) {
		return nil, w.damaged(w.at+int64(steno.FrameSize(h.Length)), "a frame's checksum is wrong")
	}
	w.skip(h)
	return b, nil
}

// leaf goes to the next leaf's frame, over whatever stands before it.
func (w *walker) leaf() (steno.FrameHeader, error) {
	for {
		h, err := w.frame()
		if err != nil || h.Type == steno.FrameLeaf {
			return h, err
		}
		w.skip(h)
	}
}

// entry reads the next leaf, and its body if it is wanted.
func (w *walker) entry(index uint64, body bool) (*Entry, error) {
	h, err := w.leaf()
	if err != nil {
		return nil, err
	}
	at := w.at
	e := &Entry{Index: index}
	if e.Raw, err = w.payload(h); err != nil {
		return nil, err
	}
	if e.Leaf, err = steno.ParseLeaf(e.Raw); err != nil {
		return nil, &DamageError{w.path, at, w.at, err.Error()}
	}
	if !body || e.Leaf.BodyLength == 0 {
		return e, nil
	}
	if h, err = w.frame(); err != nil {
		return nil, err
	}
	if h.Type != steno.FrameBody || uint64(h.Length) != e.Leaf.BodyLength {
		return nil, w.damaged(w.at+steno.FrameHeaderSize, fmt.Sprintf("the body of leaf %d is missing", index))
	}
	e.Body, err = w.payload(h)
	return e, err
}
