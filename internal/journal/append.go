package journal

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/bits"
	"slices"

	"github.com/steno-audit/steno"
)

const (
	maxGroupBytes = 8 << 20   // a group is closed when it has so many; its last record may be larger
	maxQueueBytes = 256 << 20 // not yet durable; what comes beyond is refused
	maxOpen       = 1 << 20   // open exchanges: a state frame takes no more
)

// batch is what will be one group: one write, one sync, one end of waiting.
type batch struct {
	items []*Pending
	bytes int
	opens int
	first uint64 // index of its first leaf, once done
	err   error
	done  chan struct{}
}

// Pending is an append that is under way.
type Pending struct {
	batch *batch
	place int // in the batch
	leaf  steno.Leaf
	body  []byte
}

// Done is closed when the append is durable or has failed; Wait then returns at once.
func (p *Pending) Done() <-chan struct{} { return p.batch.done }

// Wait returns the index of the leaf once leaf and body are durable. When ctx ends first the append goes on, and it is
// not known what became of it.
func (p *Pending) Wait(ctx context.Context) (uint64, error) {
	select {
	case <-p.batch.done:
	case <-ctx.Done():
		select {
		case <-p.batch.done: // both: what is known counts
		default:
			return 0, ctx.Err()
		}
	}
	if p.batch.err != nil {
		return 0, p.batch.err
	}
	return p.batch.first + uint64(p.place), nil
}

// refused is an append that was never queued.
func refused(err error) *Pending {
	b := &batch{err: err, done: make(chan struct{})}
	close(b.done)
	return &Pending{batch: b}
}

// Append queues a leaf and its body and returns at once; Wait tells when they are durable. It sets the leaf's source,
// number, body length and body hash, and later the time of writing. What it refuses takes no number. The body and the
// leaf's slices must not be changed afterwards.
func (j *Journal) Append(l steno.Leaf, body []byte) *Pending {
	l.Source, l.BodyLength, l.BodyHash = j.source, uint64(len(body)), [32]byte{}
	if len(body) > 0 {
		l.BodyHash = sha256.Sum256(body)
	}
	if err := checkLeaf(&l); err != nil {
		return refused(err)
	}
	n := steno.FrameSize(l.Size()) + steno.FrameSize(len(body))
	opens := 0
	if l.Flags&(steno.FlagOpens|steno.FlagCloses) == steno.FlagOpens {
		opens = 1
	}
	p := &Pending{leaf: l, body: body}

	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.failure != nil:
		return refused(j.failure)
	case j.closing:
		return refused(ErrClosed)
	case j.queued > 0 && j.queued+n > maxQueueBytes:
		return refused(ErrBusy)
	case opens > 0 && int(j.openN.Load())+j.opens >= maxOpen:
		return refused(fmt.Errorf("couldn't open another exchange: %d are open, that is the limit", maxOpen))
	}
	j.number++
	p.leaf.Number = j.number
	var b *batch
	if k := len(j.queue); k > 0 && j.queue[k-1].bytes < maxGroupBytes {
		b = j.queue[k-1]
	} else {
		b = &batch{done: make(chan struct{})}
		j.queue = append(j.queue, b)
		j.wake.Signal()
	}
	p.batch, p.place = b, len(b.items)
	b.items = append(b.items, p)
	b.bytes += n
	b.opens += opens
	j.queued += n
	j.opens += opens
	return p
}

// checkLeaf refuses what recovery could not read back.
func checkLeaf(l *steno.Leaf) error {
	const flags = steno.FlagImported | steno.FlagPublicOnly | steno.FlagOpens | steno.FlagContinues | steno.FlagCloses
	switch {
	case l.Log > steno.LogMonitoring || l.Flags&^flags != 0 || l.Sections&^allSections != 0:
		return fmt.Errorf("couldn't append a leaf: log %d, flags %#x or sections %#x are unknown", l.Log, uint16(l.Flags), uint16(l.Sections))
	case len(l.Commitments) != bits.OnesCount16(uint16(l.Sections)):
		return fmt.Errorf("couldn't append a leaf: it has %d commitments for %d sections", len(l.Commitments), bits.OnesCount16(uint16(l.Sections)))
	case l.Size() > steno.MaxLeafSize:
		return fmt.Errorf("couldn't append a leaf of %d bytes, at most %d are allowed", l.Size(), steno.MaxLeafSize)
	case l.BodyLength > steno.MaxBodySize:
		return fmt.Errorf("couldn't append a body of %d bytes, at most %d are allowed", l.BodyLength, steno.MaxBodySize)
	}
	return nil
}

var allSections = func() (all steno.Section) {
	for _, s := range steno.Sections {
		all |= s
	}
	return all
}()

// Announce appends a public record and waits until it is durable.
func (j *Journal) Announce(t steno.PublicType, v any) (uint64, error) {
	public, err := steno.EncodePublic(v)
	if err != nil {
		return 0, fmt.Errorf("couldn't encode %s: %w", t, err)
	}
	now := j.cfg.Now()
	return j.Append(steno.Leaf{
		Log: steno.Log(t >> 8), Type: uint16(t & 0xff), Flags: steno.FlagPublicOnly,
		Record: steno.NewID(now), SourceAt: now.UnixNano(), Public: public,
	}, nil).Wait(context.Background())
}

// Skip takes numbers of this source for calls that are not recorded, and returns the first and the last.
func (j *Journal) Skip(calls uint64) (first, last uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	first = j.number + 1
	j.number += calls
	return first, j.number
}

// announced says whether our source has begun to speak.
func (j *Journal) announced() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.number > 0
}

// take waits for the next batch; nil when there is no more, because the journal has failed or is closed.
func (j *Journal) take() *batch {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.queue) == 0 && !j.closing && j.failure == nil {
		j.wake.Wait()
	}
	if len(j.queue) == 0 || j.failure != nil {
		return nil
	}
	b := j.queue[0]
	j.queue = slices.Delete(j.queue, 0, 1)
	return b
}

// finish ends the waiting for a batch.
func (j *Journal) finish(b *batch, err error) {
	j.mu.Lock()
	j.queued -= b.bytes
	j.opens -= b.opens
	j.mu.Unlock()
	b.err = err
	close(b.done)
}

// fail stops the writer for good; the first failure is the one that is kept, and returned.
func (j *Journal) fail(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.failure == nil {
		j.failure = err
		j.wake.Signal()
	}
	return j.failure
}
