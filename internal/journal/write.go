package journal

import (
	"crypto/sha256"
	"path/filepath"

	"github.com/steno-audit/steno"
)

// writer is what only the writer's goroutine touches. Its edge and time are those of what it has written, and run
// ahead of the ledger until that is durable.
type writer struct {
	segment   *segment
	edge      edge
	writtenAt int64
	out       frames
	hashes    [][32]byte
	scratch   []byte
}

// write is the writer: it alone appends to the log.
func (j *Journal) write() {
	for {
		b := j.take()
		if b == nil {
			break
		}
		err := j.commit(b)
		if err != nil {
			err = j.fail(err)
		}
		j.finish(b, err)
	}
	j.mu.Lock()
	left, failure := j.queue, j.failure
	j.queue = nil
	j.mu.Unlock()
	for _, b := range left { // only after a failure is there any
		j.finish(b, failure)
	}
	close(j.done)
}

// commit makes a batch durable. After an error nothing is known of the end of the segment.
func (j *Journal) commit(b *batch) error {
	w := &j.w
	if w.segment.end >= j.cfg.SegmentBytes {
		if err := j.roll(); err != nil {
			return err
		}
	}
	first := w.edge.size
	j.encode(b)
	if err := w.segment.write(w.out.buf); err != nil {
		return err
	}
	if err := w.segment.sync(); err != nil { // durable: the group, before anybody is told so
		return err
	}
	w.segment.wrote(&w.out)
	b.first = first
	j.publish(b)
	return nil
}

// encode puts a batch into the frames of one group, in order.
func (j *Journal) encode(b *batch) {
	w := &j.w
	w.writtenAt = max(w.writtenAt, j.cfg.Now().UnixNano())
	w.hashes = w.hashes[:0]
	w.out.reset(w.segment)
	c := steno.Commit{FirstLeaf: w.edge.size, Count: uint32(len(b.items)), WrittenAt: w.writtenAt, Clock: j.cfg.Clock()}
	for _, p := range b.items {
		p.leaf.WrittenAt = w.writtenAt
		w.scratch = p.leaf.Append(append(w.scratch[:0], 0)) // the tree hashes a leaf with a zero byte before it
		hash := sha256.Sum256(w.scratch)
		w.edge.add(hash)
		w.hashes = append(w.hashes, hash)
		w.out.record(w.scratch[1:], p.body)
		p.body = nil
	}
	c.Size, c.Root = w.edge.size, w.edge.root()
	w.out.commit(&c)
}

// publish lets readers and checkpoints see a group that is durable.
func (j *Journal) publish(b *batch) {
	w := &j.w
	j.segments.grow(w.segment.end, w.out.marks)
	j.tree.grow(w.hashes)
	j.stateMu.Lock()
	for i, p := range b.items {
		j.ledger.note(&p.leaf, b.first+uint64(i))
		p.leaf.Commitments, p.leaf.Public = nil, nil
	}
	j.ledger.edge = w.edge
	j.openN.Store(int64(len(j.ledger.open)))
	j.size.Store(w.edge.size)
	grown := j.grown
	j.grown = nil
	j.stateMu.Unlock()
	if grown != nil {
		close(grown)
	}
	if w.edge.size-j.Covered() >= checkpointLeaves {
		select {
		case j.due <- struct{}{}:
		default:
		}
	}
}

// roll goes on in a new segment. All that is in the old one is durable: the new one says so by being there.
func (j *Journal) roll() error {
	w := &j.w
	j.stateMu.RLock()
	state := j.ledger.state()
	j.stateMu.RUnlock()
	h := &w.segment.header
	s, err := newSegment(j.cfg.FS, filepath.Dir(w.segment.path), h.Log, h.Number+1, &state)
	if err != nil {
		return err
	}
	if err := s.install(); err != nil {
		_ = s.file.Close()
		return err
	}
	if err := w.segment.file.Close(); err != nil {
		_ = s.file.Close()
		return &FailedError{"close", w.segment.path, err}
	}
	w.segment = s
	j.segments.roll(s)
	return nil
}
