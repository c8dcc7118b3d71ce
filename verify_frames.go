package steno

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// Reading a segment is a pipeline: one goroutine walks the frames, as many as there are processors hash and parse
// them, and the caller sees them in order. Memory is bounded by the batches in flight, whatever the file says.

const (
	blockSize    = 1 << 20
	maxStateSize = 22 + 64*32 + maxStateItems*(33+32)
)

// frame is one frame as it was found, or a run of bytes that are none (kind 0).
type frame struct {
	kind     FrameType
	off, end int64
	payload  []byte // nil for a body too big to keep: then only hash and zero say what it is
	length   int64
	trouble  string // what is wrong with the frame itself
	leaf     *Leaf
	err      error // of parsing the leaf or reading the body
	hash     [32]byte
	zero     bool // a body of nothing but zeros
}

type batch struct {
	buf    []byte
	frames []frame
	hashed chan struct{}
}

// frameReader walks the frames of one segment from one offset to another. Damage does not stop it: it goes on at the
// next bytes whose checksum says that they are a frame of this segment at that place.
type frameReader struct {
	at     io.ReaderAt
	to     int64
	head   SegmentHeader
	search int64  // bytes that may still be checksummed in search of the next good frame
	body   uint64 // body length in the leaf before
}

// visit calls fn with each frame in order until it returns false. The frame and its payload are fn's until it returns.
func (w *frameReader) visit(ctx context.Context, from int64, fn func(*frame) bool) error {
	ctx, stop := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	work, ordered := make(chan *batch, workers), make(chan *batch, 2*workers)
	block := min(blockSize, max(w.to-from, 0))
	pool := sync.Pool{New: func() any { return &batch{buf: make([]byte, block)} }}
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for range workers {
		all.Go(func() {
			h := hasher{at: w.at}
			for b := range work {
				h.hash(b)
				close(b.hashed)
			}
		})
	}
	var walkErr error
	all.Go(func() {
		defer close(work)
		defer close(ordered)
		for off := from; off < w.to; {
			b := pool.Get().(*batch)
			b.frames, b.hashed = b.frames[:0], make(chan struct{})
			if off, walkErr = w.walk(b, off); walkErr != nil && len(b.frames) == 0 {
				return
			}
			select {
			case ordered <- b:
			case <-ctx.Done():
				return
			}
			work <- b // the workers never wait for anything, so this does not block for long
			if walkErr != nil {
				return
			}
		}
	})
	for b := range ordered {
		<-b.hashed
		if ctx.Err() != nil {
			break
		}
		for i := range b.frames {
			if !fn(&b.frames[i]) {
				stop()
				drain(ordered)
				return nil
			}
		}
		pool.Put(b)
	}
	if err := ctx.Err(); err != nil {
		drain(ordered)
		return err
	}
	return walkErr
}

// drain lets the walk end when what is on its way is not wanted any more.
func drain(c <-chan *batch) {
	for range c {
	}
}

// walk fills the batch with the frames of one block and returns where the next begins.
func (w *frameReader) walk(b *batch, off int64) (int64, error) {
	n := int(min(blockSize, w.to-off))
	block := b.buf[:n]
	if _, err := w.at.ReadAt(block, off); err != nil && !errors.Is(err, io.EOF) {
		return off, fmt.Errorf("couldn't read bytes %d–%d: %w", off, off+int64(n)-1, err)
	}
	for pos := 0; pos < n; {
		here, rest := off+int64(pos), block[pos:]
		left := w.to - here
		if len(rest) < FrameHeaderSize && int64(len(rest)) < left {
			return here, nil
		}
		h, why := w.header(rest, here)
		size := FrameSize(h.Length)
		switch {
		case why != "":
		case size <= len(rest):
			why = w.whole(h, here, rest[:size])
		case pos > 0 && (h.Type != FrameBody || size <= blockSize/2):
			return here, nil // it begins the next block
		case h.Type == FrameBody:
			b.frames = append(b.frames, w.bigBody(h, here))
			return here + int64(size), nil
		default:
			f, err := w.bigFrame(h, here)
			if err != nil {
				return here, err
			}
			b.frames = append(b.frames, f)
			return f.end, nil
		}
		if why != "" {
			f, err := w.damaged(h, here, why)
			if err != nil {
				return here, err
			}
			b.frames = append(b.frames, f)
			if f.end > off+int64(n) {
				return f.end, nil
			}
			pos = int(f.end - off)
			continue
		}
		payload := rest[FrameHeaderSize : FrameHeaderSize+h.Length]
		f := frame{kind: h.Type, off: here, end: here + int64(size), payload: payload, length: int64(h.Length)}
		if nonzero(rest[FrameHeaderSize+h.Length : size]) {
			f.trouble = "the padding after the frame is not zero"
		}
		w.body = bodyLength(h.Type, payload)
		b.frames = append(b.frames, f)
		pos += size
	}
	return off + int64(n), nil
}

// bodyLength is what a leaf's payload says of the body that follows it.
func bodyLength(t FrameType, payload []byte) uint64 {
	if t != FrameLeaf || len(payload) < LeafFixedSize {
		return 0
	}
	return binary.BigEndian.Uint64(payload[120:])
}

func (w *frameReader) header(b []byte, off int64) (FrameHeader, string) {
	if len(b) < FrameHeaderSize {
		return FrameHeader{}, "the file ends in the middle of a frame"
	}
	h, err := ParseFrameHeader(b)
	switch {
	case err != nil:
		return FrameHeader{}, "here no frame begins"
	case int64(FrameSize(h.Length)) > w.to-off:
		return FrameHeader{}, "the frame here is longer than what is left of the file"
	case h.Type == FrameState && h.Length > maxStateSize:
		return FrameHeader{}, "the state frame is too long"
	case h.Type == FrameBody && !h.Check(&w.head, off, nil):
		return h, "the checksum of a body frame's header is wrong"
	}
	return h, ""
}

func (w *frameReader) whole(h FrameHeader, off int64, b []byte) string {
	if h.Type != FrameBody && !h.Check(&w.head, off, b[FrameHeaderSize:FrameHeaderSize+h.Length]) {
		return "the checksum of the frame is wrong"
	}
	return ""
}

// bigBody is a body that is hashed from the file, not from the block.
func (w *frameReader) bigBody(h FrameHeader, off int64) frame {
	f := frame{kind: FrameBody, off: off, end: off + int64(FrameSize(h.Length)), length: int64(h.Length)}
	pad := make([]byte, framePad(h.Length))
	if _, err := w.at.ReadAt(pad, f.end-int64(len(pad))); err == nil && nonzero(pad) {
		f.trouble = "the padding after the frame is not zero"
	}
	w.body = 0
	return f
}

func (w *frameReader) bigFrame(h FrameHeader, off int64) (frame, error) {
	b := make([]byte, FrameSize(h.Length))
	if _, err := w.at.ReadAt(b, off); err != nil {
		return frame{}, fmt.Errorf("couldn't read bytes %d–%d: %w", off, off+int64(len(b))-1, err)
	}
	if why := w.whole(h, off, b); why != "" {
		return w.damaged(h, off, why)
	}
	f := frame{kind: h.Type, off: off, end: off + int64(len(b)), payload: b[FrameHeaderSize : FrameHeaderSize+h.Length], length: int64(h.Length)}
	if nonzero(b[FrameHeaderSize+h.Length:]) {
		f.trouble = "the padding after the frame is not zero"
	}
	return f, nil
}

// damaged finds out how far the damage at off reaches: a frame whose length is still right is given as it is, with its
// trouble; otherwise bytes are skipped up to the next frame that is good.
func (w *frameReader) damaged(h FrameHeader, off int64, why string) (frame, error) {
	lengths := []struct {
		t FrameType
		n int64
	}{{h.Type, int64(h.Length)}, {FrameBody, int64(min(w.body, MaxBodySize))}, {FrameCommit, CommitSize}}
	for _, c := range lengths {
		end := off + int64(FrameSize(int(c.n)))
		if c.t == 0 || c.n == 0 || end > w.to || !w.goodAt(end) {
			continue
		}
		f := frame{kind: c.t, off: off, end: end, length: c.n, trouble: why}
		if c.t == FrameBody && c.n > blockSize {
			return f, nil
		}
		f.payload = make([]byte, c.n)
		if _, err := w.at.ReadAt(f.payload, off+FrameHeaderSize); err != nil {
			return f, fmt.Errorf("couldn't read bytes %d–%d: %w", off, end-1, err)
		}
		w.body = bodyLength(c.t, f.payload)
		return f, nil
	}
	w.body = 0
	end, err := w.nextGood(off + 8)
	return frame{off: off, end: end, trouble: why}, err
}

// goodAt says whether a frame with a right checksum begins at off, or the walk ends there.
func (w *frameReader) goodAt(off int64) bool {
	if off == w.to {
		return true
	}
	var b [FrameHeaderSize]byte
	if _, err := w.at.ReadAt(b[:], off); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return w.goodFrame(b[:], off)
}

func (w *frameReader) goodFrame(head []byte, off int64) bool {
	h, why := w.header(head, off)
	if why != "" || h.Type == FrameState {
		return false
	}
	if h.Type == FrameBody {
		return true
	}
	w.search -= int64(h.Length)
	if w.search < 0 {
		return false
	}
	p := make([]byte, h.Length)
	if _, err := w.at.ReadAt(p, off+FrameHeaderSize); err != nil {
		return false
	}
	return h.Check(&w.head, off, p)
}

// nextGood searches from off on. Frames begin at multiples of 8.
func (w *frameReader) nextGood(off int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for off < w.to {
		n, err := w.at.ReadAt(buf[:min(int64(len(buf)), w.to-off)], off)
		if n == 0 && err != nil {
			return w.to, fmt.Errorf("couldn't read on at byte %d: %w", off, err)
		}
		b := buf[:n]
		if len(b) < FrameHeaderSize {
			break
		}
		for ; len(b) >= FrameHeaderSize; b, off = b[8:], off+8 {
			if t := FrameType(b[4]); t < FrameLeaf || t > FrameCommit || b[5] != 0 || b[6] != 0 || b[7] != 0 {
				continue
			}
			if w.goodFrame(b[:FrameHeaderSize], off) {
				return off, nil
			}
			if w.search < 0 {
				return w.to, errTooDamaged
			}
		}
	}
	return w.to, nil
}

// lastCommit finds the end of the last whole commit between from and to, and what it says; end is from if there is none.
// It reads backwards: in a sound file the first look finds it.
func (w *frameReader) lastCommit(from int64) (end int64, c Commit) {
	size := int64(FrameSize(CommitSize))
	var b [FrameHeaderSize + CommitSize]byte
	want := []byte{0, 0, 0, CommitSize, byte(FrameCommit), 0, 0, 0}
	const step = 64 << 10
	buf := make([]byte, step+len(want))
	for hi := (w.to - size) &^ 7; hi >= from; {
		lo := max(from, hi-step+8)
		n, _ := w.at.ReadAt(buf[:hi-lo+int64(len(want))], lo)
		for off := hi; off >= lo; off -= 8 {
			if i := int(off - lo); i+len(want) > n || !bytes.Equal(buf[i:i+len(want)], want) {
				continue
			}
			if _, err := w.at.ReadAt(b[:], off); err != nil {
				continue
			}
			h, why := w.header(b[:], off)
			if why != "" || !h.Check(&w.head, off, b[FrameHeaderSize:]) {
				continue
			}
			if c, err := ParseCommit(b[FrameHeaderSize:]); err == nil {
				return off + size, c
			}
		}
		hi = lo - 8
	}
	return from, Commit{}
}

// hasher is the part of the pipeline that costs time.
type hasher struct {
	at      io.ReaderAt
	scratch []byte
}

func (h *hasher) hash(b *batch) {
	for i := range b.frames {
		f := &b.frames[i]
		switch f.kind {
		case FrameLeaf:
			h.scratch = append(append(h.scratch[:0], 0), f.payload...)
			f.hash = sha256.Sum256(h.scratch)
			f.leaf, f.err = ParseLeaf(f.payload)
		case FrameBody:
			if f.payload == nil {
				f.hash, f.zero, f.err = hashRange(h.at, f.off+FrameHeaderSize, f.length)
				continue
			}
			f.hash, f.zero = sha256.Sum256(f.payload), !nonzero(f.payload)
		}
	}
}

func hashRange(at io.ReaderAt, off, n int64) (sum [32]byte, zero bool, err error) {
	d, buf := sha256.New(), make([]byte, 256<<10)
	zero = true
	for r := io.NewSectionReader(at, off, n); ; {
		k, err := r.Read(buf)
		d.Write(buf[:k])
		zero = zero && !nonzero(buf[:k])
		if errors.Is(err, io.EOF) {
			d.Sum(sum[:0])
			return sum, zero, nil
		}
		if err != nil {
			return sum, false, fmt.Errorf("couldn't read the body: %w", err)
		}
	}
}

func nonzero(b []byte) bool {
	for len(b) >= 8 {
		if binary.BigEndian.Uint64(b) != 0 {
			return true
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return true
		}
	}
	return false
}
