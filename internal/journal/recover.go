package journal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// Recovered is what Open found.
type Recovered struct {
	Fresh      bool                 // the log has no leaf yet
	Size       uint64               // leaves that were found whole; all of them are durable and anchored now
	Unanchored bool                 // no signed checkpoint was found where the newest should be, so a fork cannot be excluded
	Discarded  *steno.TailDiscarded // the torn group that was left out, nil if there was none
	Open       []steno.OpenExchange // exchanges that were opened and not closed
	Last       *steno.SourceState   // the newest source that has not stopped, nil if there is none
	LastSource *steno.SourceState   // the newest source
}

// found is a segment file.
type found struct {
	first  uint64
	path   string
	number uint64
}

// recovery reads what must be read of a log and brings it into a new segment.
type recovery struct {
	fs       disk.FS
	dir      string // of the segments
	log      steno.LogID
	anchor   string      // file of the checkpoint below
	signed   *checkpoint // the newest that is known to have been signed, nil if none is known
	anchored uint64      // leaves before are durable: they were signed, or another segment follows them
	number   uint64      // of the new segment

	names     []found // all segments, by first leaf
	ledger    *ledger
	discarded *steno.TailDiscarded
	into      *segment // nil until the first group beyond the anchored size
	out       frames
	cut       found // the file in which the new segment's first leaf would stand, and where
	cutAt     int64
	dead      []found // superseded by the new segment, or by an earlier one of that kind
}

// run does the steps of "Recovery" in docs/format.md. When it returns, the log ends with a durable new segment that
// has room for the next group, whatever the page cache held.
func (r *recovery) run(ctx context.Context) error {
	if err := r.list(); err != nil {
		return err
	}
	chain, err := r.chain()
	if err != nil {
		return err
	}
	r.ledger = newLedger(&steno.State{})
	for i, s := range chain {
		end := uint64(math.MaxUint64)
		if i+1 < len(chain) {
			end = chain[i+1].first
		}
		if err := r.read(ctx, s, end, i == 0); err != nil {
			r.drop()
			return err
		}
	}
	if size := r.ledger.edge.size; r.signed != nil && size < r.signed.size {
		r.drop()
		return &TailLostError{Anchor: r.anchor, Anchored: r.signed.size, Found: size}
	}
	if r.into == nil {
		if err := r.begin(); err != nil {
			return err
		}
	}
	if err := r.into.install(); err != nil {
		r.drop()
		return err
	}
	if err := r.clean(chain); err != nil {
		r.drop()
		return err
	}
	return nil
}

// drop closes the new segment where it is of no use.
func (r *recovery) drop() {
	if r.into != nil {
		_ = r.into.file.Close()
	}
}

// list finds the segments.
func (r *recovery) list() error {
	names, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("couldn't list the log's segments: %w", err)
	}
	for _, name := range names {
		if first, ok := parseSegmentName(name); ok {
			r.names = append(r.names, found{first: first, path: filepath.Join(r.dir, name)})
		}
	}
	slices.SortFunc(r.names, func(a, b found) int { return cmpUint(a.first, b.first) })
	return nil
}

func cmpUint(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// chain returns the segments that are to be read, in order: from the newest that begins at or below the anchored
// size. Where nothing was signed, the newest segment's own beginning is that size, because a segment is only begun when
// all before it is durable. A segment of a higher number supersedes everything from its first leaf on, which a crash
// between the last two steps of a recovery leaves in whole files.
func (r *recovery) chain() ([]found, error) {
	if r.signed != nil {
		r.anchored = r.signed.size
	}
	var seen []found
	for _, s := range slices.Backward(r.names) {
		h, err := r.head(s)
		if err != nil {
			return nil, err
		}
		s.number = h.Number
		seen = append(seen, s)
		r.number = max(r.number, s.number+1)
		if r.signed != nil && s.first <= r.anchored {
			break
		}
	}
	slices.SortFunc(seen, func(a, b found) int { return cmpUint(b.number, a.number) })
	var live []found
	for _, s := range seen {
		if len(live) > 0 && s.first >= live[len(live)-1].first {
			r.dead = append(r.dead, s)
		} else {
			live = append(live, s)
		}
	}
	if len(live) == 0 {
		return nil, nil
	}
	if r.signed == nil {
		r.anchored = live[0].first
		live = live[:1]
	}
	slices.Reverse(live)
	if first := live[0]; first.first > r.anchored {
		return nil, &DamageError{
			File: filepath.Join(r.dir, segmentName(0)),
			Why:  fmt.Sprintf("the segments before leaf %d are missing", first.first),
		}
	}
	return live, nil
}

// head reads a segment's header.
func (r *recovery) head(s found) (steno.SegmentHeader, error) {
	f, err := r.fs.Open(s.path)
	if err != nil {
		return steno.SegmentHeader{}, fmt.Errorf("couldn't open a segment of the log: %w", err)
	}
	defer f.Close()
	b := make([]byte, steno.SegmentHeaderSize)
	if n, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return steno.SegmentHeader{}, fmt.Errorf("couldn't read a segment of the log: %w", err)
	} else if n < len(b) {
		return steno.SegmentHeader{}, &DamageError{s.path, 0, int64(n), "the segment's header is cut off"}
	}
	h, err := checkHeader(b, r.log, s.first)
	if err != nil {
		return h, &DamageError{s.path, 0, int64(len(b)), err.Error()}
	}
	return h, nil
}

// read goes through one segment up to the leaf at which the next begins, and copies what is beyond the anchored size.
func (r *recovery) read(ctx context.Context, s found, end uint64, isFirst bool) error {
	f, err := r.fs.Open(s.path)
	if err != nil {
		return fmt.Errorf("couldn't open a segment of the log: %w", err)
	}
	defer f.Close()
	in, err := newGroupReader(f, s.path, r.log, s.first)
	if err != nil {
		return err
	}
	in.anchored = r.anchored
	switch ours := r.ledger.edge.root(); {
	case isFirst:
		r.ledger = newLedger(in.state)
		if s.first == r.anchored {
			if err := r.checkSigned(r.ledger.edge.root()); err != nil {
				return err
			}
		}
	case [12]byte(ours[:12]) != in.header.Root:
		return &DamageError{s.path, 0, in.at, "the segment continues another tree than the one before it"}
	}
	for r.ledger.edge.size < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		g, err := in.next()
		var bad *badGroup
		switch {
		case errors.As(err, &bad), errors.Is(err, io.EOF):
			return r.ends(f, in, end, bad)
		case err != nil:
			return err
		}
		if g.passed != nil {
			if err := r.checkSigned(*g.passed); err != nil {
				return err
			}
		}
		if err := r.take(s, g); err != nil {
			return err
		}
	}
	if size := r.ledger.edge.size; end != math.MaxUint64 && size != end {
		return &DamageError{s.path, in.g.at, in.at, fmt.Sprintf("a group goes on to leaf %d, the next segment begins at %d", size, end)}
	}
	r.cut, r.cutAt = r.endsAt(s, in.at)
	return nil
}

// endsAt remembers where the log ended so far, unless the place of the new segment is known already.
func (r *recovery) endsAt(s found, at int64) (found, int64) {
	if r.into != nil {
		return r.cut, r.cutAt
	}
	return s, at
}

// ends decides what the end of the whole groups in a segment means.
func (r *recovery) ends(f disk.File, in *groupReader, end uint64, bad *badGroup) error {
	size, at := r.ledger.edge.size, in.g.at
	why := "leaves are missing"
	if bad != nil {
		why = bad.Error()
	}
	if end != math.MaxUint64 { // the next segment was begun when all of this one was durable
		return &DamageError{in.path, at, in.size, fmt.Sprintf("%s, and another segment goes on at leaf %d", why, end)}
	}
	if bad != nil {
		c, cat, err := commitAfter(f, &in.header, at, in.size, size)
		if err != nil {
			return fmt.Errorf("couldn't read %s: %w", in.path, err)
		}
		if c != nil {
			return &DamageError{in.path, at, max(at, cat-int64(c.GroupBytes)), fmt.Sprintf("%s, and a valid commit of leaves %d to %d follows", why, c.FirstLeaf, c.Size-1)}
		}
		if r.signed == nil || size >= r.signed.size { // else the tail is lost, which is said later
			h := sha256.New()
			if _, err := io.Copy(h, io.NewSectionReader(f, at, in.size-at)); err != nil {
				return fmt.Errorf("couldn't read %s: %w", in.path, err)
			}
			r.discarded = &steno.TailDiscarded{
				Segment: in.header.Number, Offset: at, Bytes: in.size - at, Hash: h.Sum(nil), RecoveredSize: size,
			}
		}
	}
	r.cut, r.cutAt = r.endsAt(found{first: in.header.FirstLeaf, path: in.path}, at)
	return nil
}

// checkSigned compares the root at the signed size with the signed one.
func (r *recovery) checkSigned(root [32]byte) error {
	if r.signed == nil || root == r.signed.root {
		return nil
	}
	return &ForkError{
		Anchor: r.anchor, Size: r.signed.size, Anchored: r.signed.root, Ours: root,
		Why: "what was signed is not what the log holds",
	}
}

// take brings a group into the ledger, and into the new segment if it is beyond the anchored size. Then it is written
// from memory, from the bytes that were checked: reading it a second time could give others.
func (r *recovery) take(s found, g *group) error {
	if r.into == nil && g.after.size > r.anchored {
		r.cut, r.cutAt = s, g.at
		if err := r.begin(); err != nil {
			return err
		}
	}
	if r.into != nil {
		r.out.reset(r.into)
		for _, x := range g.records {
			r.out.record(x.raw, x.body)
		}
		c := g.commit
		r.out.commit(&c)
		if err := r.into.write(r.out.buf); err != nil {
			return err
		}
		r.into.wrote(&r.out)
	}
	for i, x := range g.records {
		r.ledger.note(x.leaf, g.commit.FirstLeaf+uint64(i))
	}
	r.ledger.edge = g.after
	return nil
}

// begin starts the new segment at the ledger's size.
func (r *recovery) begin() error {
	state := r.ledger.state()
	s, err := newSegment(r.fs, r.dir, r.log, r.number, &state)
	r.into = s
	return err
}

// clean removes what the new segment supersedes. A crash before the end of it leaves superseded bytes, which the
// numbers of the segments tell from the log.
func (r *recovery) clean(chain []found) error {
	first := r.into.header.FirstLeaf
	dead := r.dead
	for _, s := range chain {
		if s.first > first {
			dead = append(dead, s)
		}
	}
	for _, s := range dead {
		if s.path == r.into.path {
			continue // replaced already, under its name
		}
		if err := r.fs.Remove(s.path); err != nil {
			return fmt.Errorf("couldn't remove a superseded segment: %w", err)
		}
	}
	if r.cut.path != "" && r.cut.path != r.into.path {
		if err := r.truncate(); err != nil {
			return fmt.Errorf("couldn't cut a segment where the next begins: %w", err)
		}
	}
	names, err := r.fs.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("couldn't list the log's segments: %w", err)
	}
	for _, name := range names { // segments that a crash left unfinished
		if _, ok := parseSegmentName(strings.TrimSuffix(name, unfinishedSuffix)); ok && strings.HasSuffix(name, unfinishedSuffix) {
			if err := r.fs.Remove(filepath.Join(r.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("couldn't remove an unfinished segment: %w", err)
			}
		}
	}
	if err := r.fs.SyncDir(r.dir); err != nil { // durable: superseded names are gone before the anchor passes them
		return fmt.Errorf("couldn't sync the directory of the log: %w", err)
	}
	return nil
}

func (r *recovery) truncate() error {
	f, err := r.fs.OpenAppend(r.cut.path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size <= r.cutAt {
		return err
	}
	return f.Truncate(r.cutAt)
}

// segments returns the first leaves of all segments that count, after run.
func (r *recovery) segments() []uint64 {
	var firsts []uint64
	for _, s := range r.names {
		if s.first < r.into.header.FirstLeaf && !slices.ContainsFunc(r.dead, func(d found) bool { return d.path == s.path }) {
			firsts = append(firsts, s.first)
		}
	}
	return append(firsts, r.into.header.FirstLeaf)
}
