package steno

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// verifier holds what is known of one log while its leaves come by, from segments or over HTTP.
type verifier struct {
	r         *Report
	o         VerifyOptions
	tree      *verifyTree
	book      *sourceBook
	key       note.Verifier
	origin    string
	anchors   []anchor
	writtenAt int64            // of the last leaf
	commitAt  int64            // of the last commit
	timeOf    map[uint64]int64 // when the last leaf of a watched size was written
	nextAt    map[uint64]int64 // when the first leaf after it was written
	altered   bool             // a root is wrong and it was said: later ones are wrong with it
	gap       bool             // leaves could not be read: what is computed from all of them is not compared any more
	seeded    bool             // one segment alone: what is before it is taken from its state frame
	zeroed    map[uint32]*zeroedBodies
	destroyed map[uint32]bool
	done      int64
	total     int64
	tail      Where // bytes after the last whole group
}

// zeroedBodies are bodies erased in place, under one day key.
type zeroedBodies struct {
	first Where
	count uint64
}

func newVerifier(r *Report, o VerifyOptions) *verifier {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	r.Live = o.Live
	return &verifier{
		r: r, o: o, tree: newVerifyTree(nil), book: newSourceBook(r), timeOf: map[uint64]int64{}, nextAt: map[uint64]int64{},
		zeroed: map[uint32]*zeroedBodies{}, destroyed: map[uint32]bool{},
	}
}

// leaf takes the next leaf.
func (v *verifier) leaf(w Where, l *Leaf, err error, hash [32]byte) {
	index := v.tree.size
	w.Leaf = &index
	v.tree.add(hash)
	v.r.Counts.Records++
	if err != nil {
		v.r.broken(w, "the leaf cannot be read: %v", err)
		v.gap = true
		return
	}
	if l.WrittenAt < v.writtenAt {
		v.r.broken(w, "it was written at %s, the leaf before it at %s: times never go back in a log",
			nanoTime(l.WrittenAt).Format(time.RFC3339Nano), nanoTime(v.writtenAt).Format(time.RFC3339Nano))
	}
	if _, ok := v.tree.roots[index]; ok {
		v.nextAt[index] = l.WrittenAt
	}
	v.writtenAt = l.WrittenAt
	if _, ok := v.tree.roots[index+1]; ok {
		v.timeOf[index+1] = l.WrittenAt
	}
	v.shape(w, index, l)
	v.book.add(index, l)
}

// shape checks what the format says of a leaf beyond its layout.
func (v *verifier) shape(w Where, index uint64, l *Leaf) {
	t := l.PublicType()
	if (index == 0) != (t == TypeLogCreated) {
		v.r.broken(w, "the first leaf of a log, and no other, says log_created; this one is %s", leafName(l))
	}
	if l.Flags&FlagPublicOnly == 0 {
		v.r.Counts.Sealed++
		if l.Log != LogSealed || l.Type != 0 || len(l.Public) != 0 {
			v.r.broken(w, "a sealed record says in public what it is")
		}
		return
	}
	v.r.Counts.Public++
	if l.Sections != 0 || l.Seal != [16]byte{} || l.KeyRef != [16]byte{} || l.DayKey != 0 || l.BodyLength != 0 {
		v.r.broken(w, "a public record has sealed parts")
	}
	switch t {
	case TypeLogCreated:
		var c LogCreated
		if err := DecodePublic(l.Public, &c); err != nil {
			v.r.broken(w, "the public part of log_created is not readable: %v", err)
		} else {
			v.created(w, &c)
		}
	case TypeDayKeyDestroyed:
		var d DayKeyDestroyed
		if err := DecodePublic(l.Public, &d); err != nil {
			v.r.broken(w, "the public part of day_key_destroyed is not readable: %v", err)
		} else {
			v.destroyed[d.No] = true
		}
	}
}

func leafName(l *Leaf) string {
	if t := l.PublicType(); t != 0 {
		return t.String()
	}
	return "a sealed record"
}

func (v *verifier) created(w Where, c *LogCreated) {
	v.r.Demo = c.Demo
	if v.origin != "" && c.Origin != v.origin {
		v.r.broken(w, "the log says that its origin is %q, expected is %q", c.Origin, v.origin)
	}
	if v.key != nil && c.VKey != v.r.VKey {
		v.r.broken(w, "the log says that its key is %s, checked was against %s", printable(c.VKey), v.r.VKey)
	}
}

// body judges a body by the leaf before it.
func (v *verifier) body(w Where, l *Leaf, hash [32]byte, zero bool, err error) bool {
	v.r.Counts.BodyBytes += int64(l.BodyLength)
	switch {
	case err != nil:
		v.r.broken(w, "%v", err)
	case hash == l.BodyHash:
		return true
	case zero:
		z := v.zeroed[l.DayKey]
		if z == nil {
			z = &zeroedBodies{first: w}
			v.zeroed[l.DayKey] = z
		}
		z.count++
	default:
		v.r.broken(w, "the body is not the one that its leaf names: its bytes were changed")
	}
	return false
}

// segmentCheck follows the groups of one segment.
type segmentCheck struct {
	v       *verifier
	name    string
	head    SegmentHeader
	at      io.ReaderAt
	until   uint64 // first leaf of the segment after it
	stated  bool
	groupAt int64
	first   uint64
	leaves  uint32
	lost    bool  // bytes of this group are no frames
	waiting *Leaf // its body is to come
	index   uint64
	upTo    int64 // where the last whole group ends
}

const noNext = math.MaxUint64

// run checks the frames up to byte to.
func (s *segmentCheck) run(ctx context.Context, to int64) error {
	s.upTo = SegmentHeaderSize
	if to <= SegmentHeaderSize {
		s.v.r.broken(Where{File: s.name}, "the segment has no state frame")
		return nil
	}
	w := &frameReader{at: s.at, to: to, head: s.head, search: 8*to + 64<<20}
	told := int64(0)
	err := w.visit(ctx, SegmentHeaderSize, func(f *frame) bool {
		if s.v.o.Progress != nil && f.end-told >= blockSize {
			told = f.end
			s.v.o.Progress(s.v.done+told, s.v.total)
		}
		return s.frame(f)
	})
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		s.v.r.broken(s.where(s.upTo, to), "%v", err)
		s.v.gap = true
	}
	if s.waiting != nil {
		s.noBody()
	}
	if s.leaves > 0 || s.lost {
		s.v.r.broken(s.where(s.groupAt, to), "the bytes here belong to no whole group")
	}
	return nil
}

func (s *segmentCheck) where(from, to int64) Where { return Where{File: s.name, From: from, To: to} }

func (s *segmentCheck) frame(f *frame) bool {
	w := s.where(f.off, f.end)
	if f.trouble != "" {
		w := w
		switch index := s.v.tree.size; f.kind {
		case FrameLeaf:
			w.Leaf = &index
		case FrameBody:
			index = s.index
			w.Leaf = &index
		}
		s.v.r.broken(w, "%s", f.trouble)
	}
	if s.leaves == 0 && !s.lost && f.kind != FrameState {
		s.groupAt, s.first = f.off, s.v.tree.size
	}
	if !s.stated && f.kind != FrameState && f.kind != 0 {
		s.stated = true
		s.v.r.broken(w, "the segment does not begin with a state frame")
	}
	if s.waiting != nil && f.kind != FrameBody {
		s.noBody()
	}
	switch f.kind {
	case FrameState:
		s.state(w, f)
		s.groupAt = f.end
	case FrameLeaf:
		s.leaves++
		s.index = s.v.tree.size
		s.v.leaf(w, f.leaf, f.err, f.hash)
		if f.err == nil && f.leaf.BodyLength > 0 {
			s.waiting = f.leaf
		}
	case FrameBody:
		s.bodyFrame(w, f)
	case FrameCommit:
		return s.commit(w, f)
	default:
		s.lost = true
	}
	return true
}

func (s *segmentCheck) noBody() {
	if !s.lost {
		s.v.r.broken(Where{File: s.name, Leaf: &s.index}, "its body of %d bytes is not there", s.waiting.BodyLength)
	}
	s.waiting = nil
}

func (s *segmentCheck) bodyFrame(w Where, f *frame) {
	l := s.waiting
	s.waiting = nil
	if l == nil {
		if !s.lost {
			s.v.r.broken(w, "a body stands here that no leaf names")
		}
		return
	}
	index := s.index
	w.Leaf = &index
	if f.length != int64(l.BodyLength) {
		s.v.r.broken(w, "the body has %d bytes, its leaf says %d", f.length, l.BodyLength)
		return
	}
	if s.v.body(w, l, f.hash, f.zero, f.err) && s.v.o.Texts != nil {
		body := f.payload
		if body == nil {
			body = make([]byte, f.length)
			if _, err := s.at.ReadAt(body, f.off+FrameHeaderSize); err != nil {
				s.v.r.broken(w, "couldn't read the body: %v", err)
				return
			}
		}
		s.v.r.Counts.Texts++
		if err := s.v.o.Texts(index, l, body); err != nil {
			s.v.r.broken(w, "the sealed text is not what its leaf commits to: %v", err)
		}
	}
}

func (s *segmentCheck) commit(w Where, f *frame) bool {
	v := s.v
	c, err := ParseCommit(f.payload)
	if err != nil {
		v.r.broken(w, "%v", err)
		s.lost = true
		return true
	}
	switch {
	case s.lost && c.Size != v.tree.size:
		from, to := s.first, c.Size
		v.r.broken(s.where(s.groupAt, f.off), "of leaves %d to %d, %d cannot be read", from, to-1, int64(to-from)-int64(s.leaves))
		v.gap = true
		v.tree.lose(c.Size)
	case c.Size != v.tree.size:
		v.r.broken(w, "the commit says that the log has %d leaves here, it has %d", c.Size, v.tree.size)
	case !s.lost && (c.FirstLeaf != s.first || c.Count != s.leaves):
		v.r.broken(w, "the commit counts leaves %d+%d, here are %d+%d", c.FirstLeaf, c.Count, s.first, s.leaves)
	}
	if !v.tree.lost && !v.altered && c.Root != v.tree.root() {
		v.r.broken(w, "the root in the commit is not that of leaves 0 to %d: one of leaves %d to %d was changed, removed, added or moved",
			c.Size-1, s.first, c.Size-1)
		v.altered = true
	}
	if !s.lost && int64(c.GroupBytes) != f.off-s.groupAt {
		v.r.broken(w, "the commit says that its group has %d bytes, it has %d", c.GroupBytes, f.off-s.groupAt)
	}
	if c.WrittenAt < v.writtenAt || c.WrittenAt < v.commitAt {
		v.r.broken(w, "the commit was written at %s, before what it commits", nanoTime(c.WrittenAt).Format(time.RFC3339Nano))
	}
	v.commitAt = max(v.commitAt, c.WrittenAt)
	s.leaves, s.lost, s.upTo, s.groupAt = 0, false, f.end, f.end
	if v.tree.size > s.until {
		v.r.broken(w, "the next segment begins at leaf %d, in the middle of this group", s.until)
	}
	return v.tree.size < s.until
}

// state compares a state frame with what was computed from all leaves before it.
func (s *segmentCheck) state(w Where, f *frame) {
	v := s.v
	if s.stated || f.off != SegmentHeaderSize {
		v.r.broken(w, "a state frame stands here; it has its place at the beginning of a segment alone")
		return
	}
	s.stated = true
	st, err := ParseState(f.payload)
	if err != nil {
		v.r.broken(w, "%v", err)
		return
	}
	if v.seeded {
		s.seed(w, st, f.payload)
		return
	}
	if st.Size != s.head.FirstLeaf {
		v.r.broken(w, "the state frame says %d leaves, its segment begins at leaf %d", st.Size, s.head.FirstLeaf)
	}
	switch {
	case v.tree.lost || v.altered:
		// What comes can be proven again if the edge given here leads to a root that was signed.
		if st.Size == s.head.FirstLeaf && [12]byte(sum(st.Root())) == s.head.Root {
			v.tree.resume(st.Size, st.Edge)
			v.altered = false
		}
	case !v.tree.sameEdge(st.Edge):
		v.r.broken(w, "the tree's edge in the state frame is not that of the leaves before it")
	}
	if v.gap {
		return
	}
	if st.WrittenAt != v.writtenAt {
		v.r.broken(w, "the state frame says that the leaf before it was written at %d, it was at %d", st.WrittenAt, v.writtenAt)
	}
	want := v.book.state()
	want.Size, want.WrittenAt, want.Edge = st.Size, st.WrittenAt, st.Edge
	if !bytes.Equal(want.Append(nil), f.payload) {
		v.r.broken(w, "the sources or open exchanges in the state frame are not those of the leaves before it")
	}
}

// seed begins with what a state frame says, for a segment without those before it.
func (s *segmentCheck) seed(w Where, st *State, payload []byte) {
	v := s.v
	if st.Size != s.head.FirstLeaf || [12]byte(sum(st.Root())) != s.head.Root {
		v.r.broken(w, "the state frame does not fit the segment's header")
	}
	if !bytes.Equal(st.Append(nil), payload) {
		v.r.broken(w, "the state frame is not in order")
	}
	v.tree.resume(st.Size, st.Edge)
	v.writtenAt = st.WrittenAt
	for _, x := range st.Sources {
		v.book.sources[x.Source] = &sourceAccount{SourceState: x, started: true, begins: st.Size, beat: x.WrittenAt}
	}
	for _, x := range st.Open {
		v.book.exchanges[x.Exchange] = &exchangeAccount{x, math.MaxInt64}
	}
}

func sum(h [32]byte) []byte { return h[:12] }

// header compares a segment's header with the log that it is a part of, and returns the one to go by: where the
// header cannot be read, it is known from what is around it.
func (v *verifier) header(file segmentFile, number uint64) SegmentHeader {
	w := Where{File: file.name, To: SegmentHeaderSize}
	h := file.head
	if file.headErr != nil {
		v.r.broken(w, "%v", file.headErr)
		return SegmentHeader{Log: NewLogID(v.origin), Number: number, FirstLeaf: file.first}
	}
	switch {
	case v.origin != "" && h.Log != NewLogID(v.origin):
		v.r.broken(w, "the segment belongs to another log than %q", v.origin)
	case h.Number < number: // a start that found nothing to add leaves out a number
		v.r.broken(w, "the segment has number %d, expected is %d or more: it was moved", h.Number, number)
	case h.FirstLeaf != file.first:
		v.r.broken(w, "the segment begins at leaf %d, its name says %d", h.FirstLeaf, file.first)
	case !v.tree.lost && !v.altered && h.FirstLeaf == v.tree.size && [12]byte(sum(v.tree.root())) != h.Root:
		v.r.broken(w, "the root in the header is not that of the leaves before it")
	}
	return h
}

// segmentFile is a segment as it was found.
type segmentFile struct {
	name    string // as findings name it
	path    string
	first   uint64 // from its name
	size    int64
	head    SegmentHeader
	headErr error
}

func readHeader(at io.ReaderAt, size int64) (SegmentHeader, error) {
	b := make([]byte, min(size, SegmentHeaderSize))
	if _, err := at.ReadAt(b, 0); err != nil {
		return SegmentHeader{}, fmt.Errorf("couldn't read the header: %w", err)
	}
	return ParseSegmentHeader(b)
}
