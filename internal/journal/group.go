package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// maxGroupRead bounds what a reader takes for one group: what the writer puts into one, and a record of any size.
const maxGroupRead = 2*maxGroupBytes + steno.MaxBodySize

const readAhead = 1 << 20 // bytes read at once in recovery

// badGroup says why the bytes at some place are not a whole group. Whether that is a tear or damage depends on what
// comes after.
type badGroup struct {
	at  int64
	why string
}

func (e *badGroup) Error() string { return fmt.Sprintf("at byte %d: %s", e.at, e.why) }

// record is one of a group that was read; its slices are good until the next group is.
type record struct {
	raw  []byte
	leaf *steno.Leaf
	body []byte
}

// group is what was committed together.
type group struct {
	at, end int64 // bytes in the file, commit included
	records []record
	commit  steno.Commit
	after   edge // of the tree
	hashes  [][32]byte
	passed  *[32]byte // the root at the size that the reader watches for, if it lies in this group
}

// groupReader reads a segment from its state frame on, in one pass, holding one group in memory. Apart from the
// tree's edge before it, it believes nothing.
type groupReader struct {
	path   string
	header steno.SegmentHeader
	state  *steno.State // what the state frame says
	size   int64        // of the file
	at     int64        // of the next frame
	in     *bufio.Reader
	buf    []byte
	g      group
	// Where a signed size ends. Bodies before it may have been erased, and the root there is watched for.
	anchored uint64
}

// newGroupReader reads header and state frame. An error is a *DamageError, or it is one of reading.
func newGroupReader(f disk.File, path string, log steno.LogID, first uint64) (*groupReader, error) {
	size, err := f.Size()
	if err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	r := &groupReader{path: path, size: size, in: bufio.NewReaderSize(io.NewSectionReader(f, 0, size), int(min(size, readAhead)))}
	damaged := func(to int64, why string) (*groupReader, error) {
		return nil, &DamageError{File: path, From: 0, To: min(to, size), Why: why}
	}
	var head [steno.SegmentHeaderSize]byte
	if size < int64(len(head)) {
		return damaged(size, "the segment's header is cut off")
	}
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	if r.header, err = checkHeader(head[:], log, first); err != nil {
		return damaged(int64(len(head)), err.Error())
	}
	r.at = int64(len(head))
	h, from, err := r.frame()
	var bad *badGroup
	switch {
	case errors.As(err, &bad):
		return damaged(size, "state frame "+bad.Error())
	case err != nil:
		return nil, err
	case h.Type != steno.FrameState:
		return damaged(r.at, "the first frame is no state frame")
	}
	if r.state, err = steno.ParseState(r.buf[from:]); err != nil {
		return damaged(r.at, err.Error())
	}
	root := r.state.Root()
	if r.state.Size != first || [12]byte(root[:12]) != r.header.Root {
		return damaged(r.at, "header and state frame speak of two trees")
	}
	r.g.after = newLedger(r.state).edge
	return r, nil
}

// checkHeader reads a segment's header and says whether it is that of a log's segment from a leaf on.
func checkHeader(b []byte, log steno.LogID, first uint64) (steno.SegmentHeader, error) {
	h, err := steno.ParseSegmentHeader(b)
	switch {
	case err != nil:
		return h, err
	case h.Log != log:
		return h, fmt.Errorf("it belongs to another log (id %x, not %x): its origin is not the configured one", h.Log, log)
	case h.FirstLeaf != first:
		return h, fmt.Errorf("it begins at leaf %d, its name says %d", h.FirstLeaf, first)
	}
	return h, nil
}

// frame reads one frame and appends its payload to buf, from the index returned. Where the bytes are no whole and
// valid frame the error is a *badGroup.
func (r *groupReader) frame() (steno.FrameHeader, int, error) {
	at := r.at
	none := func(why string) (steno.FrameHeader, int, error) { return steno.FrameHeader{}, 0, &badGroup{at, why} }
	left := r.size - at
	if left < steno.FrameHeaderSize {
		return none("a frame is cut off")
	}
	var head [steno.FrameHeaderSize]byte
	if err := r.fill(head[:]); err != nil {
		return steno.FrameHeader{}, 0, err
	}
	h, err := steno.ParseFrameHeader(head[:])
	if err != nil {
		return none(err.Error())
	}
	n := steno.FrameSize(h.Length)
	if int64(n) > left || len(r.buf)+n > maxGroupRead {
		return none("a frame is cut off")
	}
	from := len(r.buf)
	n -= steno.FrameHeaderSize
	r.buf = append(r.buf, make([]byte, n)...)
	if err := r.fill(r.buf[from:]); err != nil {
		return steno.FrameHeader{}, 0, err
	}
	pad := r.buf[from+h.Length:]
	r.buf = r.buf[:from+h.Length]
	if !h.Check(&r.header, at, r.buf[from:]) || len(bytes.Trim(pad, "\x00")) > 0 {
		return none(fmt.Sprintf("the checksum of a frame of type %d is wrong", h.Type))
	}
	return h, from, nil
}

// fill reads bytes that must be there. The size was looked up before, so that an early end is an error of the disk.
func (r *groupReader) fill(p []byte) error {
	n, err := io.ReadFull(r.in, p)
	r.at += int64(n)
	if err != nil {
		return fmt.Errorf("couldn't read %s at byte %d: %w", r.path, r.at, err)
	}
	return nil
}

// next returns the next whole group; it is good until the next call. At the end of the file the error is io.EOF;
// where no whole valid group stands it is a *badGroup, and the group's beginning remains in g.at; else it is one of
// reading, or a *DamageError.
func (r *groupReader) next() (*group, error) {
	start := r.at
	before := r.g.after
	r.g = group{at: start, records: r.g.records[:0], hashes: r.g.hashes[:0], after: before}
	r.buf = r.buf[:0]
	if r.at == r.size {
		return nil, io.EOF
	}
	g := &r.g
	fail := func(err error) (*group, error) {
		r.g.after = before
		return nil, err
	}
	type span struct{ leaf, end, body int }
	var spans []span
	for {
		at := r.at
		h, from, err := r.frame()
		if err != nil {
			return fail(err)
		}
		bad := func(why string) (*group, error) { return fail(&badGroup{at, why}) }
		switch h.Type {
		case steno.FrameLeaf:
			if n := len(g.records); n > 0 && g.records[n-1].leaf.BodyLength > 0 && spans[n-1].body == 0 {
				return bad("the body of the leaf before is missing")
			}
			leaf, err := steno.ParseLeaf(r.buf[from:])
			if err != nil { // its checksum is right, so it was written like that
				return fail(&DamageError{r.path, at, r.at, err.Error()})
			}
			g.records = append(g.records, record{leaf: leaf})
			spans = append(spans, span{leaf: from, end: len(r.buf)})
			hash := steno.LeafHash(r.buf[from:])
			g.hashes = append(g.hashes, hash)
			g.after.add(hash)
			if g.after.size == r.anchored {
				root := g.after.root()
				g.passed = &root
			}
		case steno.FrameBody:
			n := len(spans)
			if n == 0 || spans[n-1].body != 0 || g.records[n-1].leaf.BodyLength != uint64(h.Length) || h.Length == 0 {
				return bad("a body stands where none belongs")
			}
			if why := r.checkBody(g.records[n-1].leaf, r.buf[from:], g.after.size-1); why != "" {
				return bad(why)
			}
			spans[n-1].body = from
		case steno.FrameCommit:
			c, err := steno.ParseCommit(r.buf[from:])
			if err != nil {
				return bad(err.Error())
			}
			g.commit, g.end = c, r.at
			for i, s := range spans {
				g.records[i].raw = r.buf[s.leaf:s.end]
				if n := g.records[i].leaf.BodyLength; n > 0 {
					if s.body == 0 {
						return bad("the body of a leaf is missing")
					}
					g.records[i].body = r.buf[s.body : s.body+int(n)]
				}
			}
			if why := g.check(before.size, at); why != "" {
				return bad(why)
			}
			return g, nil
		default:
			return bad("a state frame stands in the middle")
		}
	}
}

// checkBody compares a body with the hash in its leaf. Under a signed checkpoint it may have been erased: a body is
// only ever erased when that is covered.
func (r *groupReader) checkBody(l *steno.Leaf, body []byte, index uint64) string {
	if sha256.Sum256(body) == l.BodyHash || index < r.anchored && erased(body) {
		return ""
	}
	return fmt.Sprintf("the body of leaf %d does not have its hash", index)
}

// erased says whether a body was zeroed. Sealed bytes are never all zero.
func erased(body []byte) bool { return len(bytes.Trim(body, "\x00")) == 0 }

// check compares the commit with what stands before it.
func (g *group) check(first uint64, at int64) string {
	c := &g.commit
	switch {
	case c.FirstLeaf != first:
		return fmt.Sprintf("a commit says that its group begins at leaf %d, it is %d", c.FirstLeaf, first)
	case int(c.Count) != len(g.records) || c.Size != g.after.size:
		return fmt.Sprintf("a commit counts %d leaves, its group has %d", c.Count, len(g.records))
	case int64(c.GroupBytes) != at-g.at:
		return fmt.Sprintf("a commit counts %d bytes, its group has %d", c.GroupBytes, at-g.at)
	case c.Root != g.after.root():
		return "a commit has another root than its leaves"
	}
	return ""
}

// commitAfter looks for a valid commit of a later group than the one that begins with leaf next, anywhere in the
// file from a byte on. A group's own commit says nothing: the sectors of one write reach the disk in any order.
func commitAfter(f disk.File, h *steno.SegmentHeader, from, size int64, next uint64) (*steno.Commit, int64, error) {
	const frame = (steno.FrameHeaderSize + steno.CommitSize + 7) &^ 7
	window := make([]byte, min(max(size-from, 0)+8, readAhead))
	for base := from &^ 7; base+frame <= size; {
		w := window[:min(int64(len(window)), size-base)]
		if _, err := f.ReadAt(w, base); err != nil && !errors.Is(err, io.EOF) {
			return nil, 0, err
		}
		at := 0
		for ; at+frame <= len(w); at += 8 {
			if w[at+4] != byte(steno.FrameCommit) || w[at+3] != steno.CommitSize {
				continue
			}
			fh, err := steno.ParseFrameHeader(w[at:])
			if err != nil || fh.Type != steno.FrameCommit {
				continue
			}
			payload := w[at+steno.FrameHeaderSize:][:steno.CommitSize]
			if !fh.Check(h, base+int64(at), payload) {
				continue
			}
			if c, err := steno.ParseCommit(payload); err == nil && c.FirstLeaf > next {
				return &c, base + int64(at), nil
			}
		}
		base += int64(at)
	}
	return nil, 0, nil
}
