package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const (
	maxOpenSegments = 32       // kept open for random reads, with their offsets
	pointWindow     = 1 << 10  // read at once on the way to one leaf
	scanWindow      = 64 << 10 // read at once when going through a segment
	followWindow    = 256 << 10
)

// Entry is a leaf of the log with its body.
type Entry struct {
	Index uint64
	Raw   []byte // the leaf's bytes, which the tree covers
	Leaf  *steno.Leaf
	// Body is as it stands in the segment, not compared with the leaf's hash: one that was erased is all zeros.
	Body []byte
}

// segments are all segments of the log for readers. The newest is the one that is being written.
type segments struct {
	fs  disk.FS
	dir string
	log steno.LogID

	mu     sync.Mutex
	all    []*readSegment // by first leaf
	recent []*readSegment // open ones, the one used last first
	shut   bool
}

// readSegment is one segment for readers.
type readSegment struct {
	first uint64
	path  string
	end   atomic.Int64 // durable bytes of one that we are writing or have written, 0 for others

	users  int // guarded by segments.mu; while there are any, the file stays open
	mu     sync.Mutex
	file   disk.File
	header steno.SegmentHeader
	limit  int64   // size of the file
	marks  []int64 // offset of each 64th leaf; of the segment being written it is complete as far as it is durable
}

func (s *segments) open(fsys disk.FS, dir string, log steno.LogID, firsts []uint64, last *segment) {
	s.fs, s.dir, s.log = fsys, dir, log
	for _, f := range firsts {
		s.all = append(s.all, &readSegment{first: f, path: filepath.Join(dir, segmentName(f))})
	}
	r := s.all[len(s.all)-1]
	r.marks = slices.Clone(last.marks)
	r.end.Store(last.end)
}

// grow says how far the newest segment is durable, and where some of its new leaves stand.
func (s *segments) grow(end int64, marks []int64) {
	s.mu.Lock()
	r := s.all[len(s.all)-1]
	s.mu.Unlock()
	if len(marks) > 0 {
		r.mu.Lock()
		r.marks = append(r.marks, marks...)
		r.mu.Unlock()
	}
	r.end.Store(end)
}

// roll adds a new newest segment.
func (s *segments) roll(n *segment) {
	r := &readSegment{first: n.header.FirstLeaf, path: n.path}
	r.end.Store(n.end)
	s.mu.Lock()
	s.all = append(s.all, r)
	s.mu.Unlock()
}

// after returns the first leaf behind a segment, as far as one is known.
func (s *segments) after(r *readSegment) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := sort.Search(len(s.all), func(i int) bool { return s.all[i].first > r.first })
	if i == len(s.all) {
		return math.MaxUint64
	}
	return s.all[i].first
}

// acquire returns the segment that holds a leaf, opened.
func (s *segments) acquire(index uint64) (*readSegment, error) {
	s.mu.Lock()
	if s.shut {
		s.mu.Unlock()
		return nil, ErrClosed
	}
	i := sort.Search(len(s.all), func(i int) bool { return s.all[i].first > index }) - 1
	if i < 0 {
		s.mu.Unlock()
		return nil, fmt.Errorf("couldn't read leaf %d: the log's segments begin at leaf %d", index, s.all[0].first)
	}
	r, next := s.all[i], uint64(math.MaxUint64)
	if i+1 < len(s.all) {
		next = s.all[i+1].first
	}
	r.users++
	if k := slices.Index(s.recent, r); k >= 0 {
		s.recent = slices.Delete(s.recent, k, k+1)
	}
	s.recent = slices.Insert(s.recent, 0, r)
	s.evict()
	s.mu.Unlock()
	if err := r.load(s, next); err != nil {
		s.release(r)
		return nil, err
	}
	return r, nil
}

// evict closes what was not used for long. The caller holds the lock.
func (s *segments) evict() {
	limit := maxOpenSegments
	if s.shut {
		limit = 0
	}
	for i := len(s.recent) - 1; i >= limit; i-- {
		if r := s.recent[i]; r.users == 0 {
			r.unload(r == s.all[len(s.all)-1])
			s.recent = slices.Delete(s.recent, i, i+1)
		}
	}
}

func (s *segments) release(r *readSegment) {
	s.mu.Lock()
	r.users--
	s.evict()
	s.mu.Unlock()
}

func (s *segments) close() {
	s.mu.Lock()
	s.shut = true
	s.evict()
	s.mu.Unlock()
}

// load opens the file and finds the offsets of every 64th leaf, unless they are known from writing them.
func (r *readSegment) load(s *segments, next uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		f, err := s.fs.Open(r.path)
		if err != nil {
			return fmt.Errorf("couldn't open a segment of the log: %w", err)
		}
		if err := r.check(f, s.log); err != nil {
			_ = f.Close()
			return err
		}
		r.file = f
	}
	if next == math.MaxUint64 || len(r.marks) > 0 {
		return nil
	}
	w := newWalker(r.file, r.path, r.header, steno.SegmentHeaderSize, r.limit, scanWindow)
	var marks []int64
	for i := r.first; i < next; i++ {
		h, err := w.leaf()
		if err != nil {
			return err
		}
		if (i-r.first)%offsetEvery == 0 {
			marks = append(marks, w.at)
		}
		w.skip(h)
	}
	r.marks = marks
	return nil
}

func (r *readSegment) check(f disk.File, log steno.LogID) error {
	b := make([]byte, steno.SegmentHeaderSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("couldn't read %s: %w", r.path, err)
	}
	if r.header, err = checkHeader(b[:n], log, r.first); err != nil {
		return &DamageError{r.path, 0, int64(n), err.Error()}
	}
	if r.limit, err = f.Size(); err != nil {
		return fmt.Errorf("couldn't read %s: %w", r.path, err)
	}
	return nil
}

// unload closes the file. The offsets of the segment being written stay: they would have to be complete.
func (r *readSegment) unload(newest bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file != nil {
		_ = r.file.Close()
	}
	r.file = nil
	if !newest {
		r.marks = nil
	}
}

// walker returns a walker that stands before a leaf of an acquired segment, at most 63 leaves before it.
func (r *readSegment) walker(index uint64, window int) (w *walker, from uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := (index - r.first) / offsetEvery
	if k >= uint64(len(r.marks)) {
		return nil, 0, fmt.Errorf("couldn't read leaf %d: %w", index, ErrBeyondEnd)
	}
	return newWalker(r.file, r.path, r.header, r.marks[k], r.readable(), window), r.first + k*offsetEvery, nil
}

// readable returns how many bytes of the file may be looked at.
func (r *readSegment) readable() int64 {
	if end := r.end.Load(); end != 0 {
		return end
	}
	return r.limit
}

// Read returns a durable entry.
func (j *Journal) Read(index uint64) (*Entry, error) { return j.read(index, true) }

// ReadLeaf returns a durable entry without its body.
func (j *Journal) ReadLeaf(index uint64) (*Entry, error) { return j.read(index, false) }

func (j *Journal) read(index uint64, body bool) (*Entry, error) {
	if size := j.Size(); index >= size {
		return nil, fmt.Errorf("couldn't read leaf %d of %d: %w", index, size, ErrBeyondEnd)
	}
	r, err := j.segments.acquire(index)
	if err != nil {
		return nil, err
	}
	defer j.segments.release(r)
	w, at, err := r.walker(index, pointWindow)
	if err != nil {
		return nil, err
	}
	if err := w.pass(index - at); err != nil {
		return nil, err
	}
	return w.entry(index, body)
}

// pass goes over so many leaves.
func (w *walker) pass(leaves uint64) error {
	for range leaves {
		h, err := w.leaf()
		if err != nil {
			return err
		}
		w.skip(h)
	}
	return nil
}

// cursor reads entries in order. It keeps its segment open from one to the next.
type cursor struct {
	j    *Journal
	body bool
	at   uint64 // index of the next entry
	to   uint64 // the walker may go up to here
	r    *readSegment
	w    *walker
}

func (c *cursor) close() {
	if c.r != nil {
		c.j.segments.release(c.r)
		c.r = nil
	}
}

// next returns the entry at the cursor, which must be within size, and goes on. size was looked up before the call.
func (c *cursor) next(size uint64) (*Entry, error) {
	if c.at >= c.to {
		if err := c.move(size); err != nil {
			return nil, err
		}
	}
	e, err := c.w.entry(c.at, c.body)
	if err == nil {
		c.at++
	}
	return e, err
}

// move finds out how far the cursor may go, in its segment or in the next.
func (c *cursor) move(size uint64) error {
	if c.r != nil {
		if next := c.j.segments.after(c.r); c.at < next {
			c.to, c.w.limit = min(size, next), c.r.readable()
			return nil
		}
		c.close()
	}
	r, err := c.j.segments.acquire(c.at)
	if err != nil {
		return err
	}
	c.r = r
	window, at := followWindow, uint64(0)
	if c.w, at, err = r.walker(c.at, window); err == nil {
		err = c.w.pass(c.at - at)
	}
	if err != nil {
		c.close()
		return err
	}
	c.to = min(size, c.j.segments.after(r))
	return nil
}

// Follow yields the durable entries from an index on, in order, and waits at the end of the log for more. It ends when
// ctx does; with an error, as the last, when an entry cannot be read, and after the last entry when the log has failed
// or was closed.
func (j *Journal) Follow(ctx context.Context, from uint64) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		c := cursor{j: j, body: true, at: from}
		defer c.close()
		for ctx.Err() == nil {
			size, grown := j.await(c.at)
			for c.at < size && ctx.Err() == nil {
				e, err := c.next(size)
				if !yield(e, err) || err != nil {
					return
				}
			}
			if grown == nil {
				continue
			}
			select {
			case <-ctx.Done():
				return
			case <-grown:
			case <-j.done:
				if j.Size() > c.at {
					continue
				}
				err := j.Failed()
				if err == nil {
					err = ErrClosed
				}
				yield(nil, err)
				return
			}
		}
	}
}

// await returns the size of the log, and a channel that is closed when it grows beyond that. Where a leaf is there
// already, there is nothing to wait for.
func (j *Journal) await(from uint64) (uint64, <-chan struct{}) {
	j.stateMu.Lock()
	defer j.stateMu.Unlock()
	size := j.size.Load()
	if from < size {
		return size, nil
	}
	if j.grown == nil {
		j.grown = make(chan struct{})
	}
	return size, j.grown
}

// leafHashes returns the hashes of leaves that are durable.
func (j *Journal) leafHashes(from, to uint64) ([][32]byte, error) {
	c := cursor{j: j, at: from}
	defer c.close()
	hashes := make([][32]byte, 0, to-from)
	for size := j.Size(); c.at < min(to, size); {
		e, err := c.next(size)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, steno.LeafHash(e.Raw))
	}
	if c.at < to {
		return nil, fmt.Errorf("couldn't read leaves %d to %d: %w", c.at, to, ErrBeyondEnd)
	}
	return hashes, nil
}
