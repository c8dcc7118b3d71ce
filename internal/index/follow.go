package index

import (
	"context"
	"errors"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
)

// run follows the log until ctx ends, beginning anew where the index turns out to be damaged.
func (x *Index) run(ctx context.Context) {
	defer close(x.done)
	for {
		life, again := context.WithCancel(ctx)
		x.mu.Lock()
		x.again = again
		if x.rebuild != nil { // found damaged since it began
			again()
		}
		x.mu.Unlock()
		err := x.follow(life)
		again()
		why := x.damage()
		if why == nil || ctx.Err() != nil {
			x.end(err)
			return
		}
		x.cfg.Logger.Warn("the index is built again from the log", "dir", x.cfg.Dir, "reason", why)
		x.restart()
	}
}

// end says why no more rows come.
func (x *Index) end(err error) {
	if err != nil && !errors.Is(err, journal.ErrClosed) && !errors.Is(err, context.Canceled) {
		x.cfg.Logger.Error("the index has stopped following the log", "error", err)
	}
	if err == nil {
		err = journal.ErrClosed
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.failed = err
	x.wakeLocked()
}

// spoil says that the index is damaged; the follower will build it again.
func (x *Index) spoil(why error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spoilLocked(why)
}

func (x *Index) spoilLocked(why error) {
	if x.rebuild == nil {
		x.rebuild = why
		if x.again != nil {
			x.again()
		}
	}
}

// restart throws everything away. The follower calls it.
func (x *Index) restart() {
	x.compacting.Wait()
	x.mu.RLock()
	old := x.parts
	x.mu.RUnlock()
	x.reset(manifest{Began: x.cfg.Log.Size()})
	x.tables.retire(old...)
	x.sweep()
	x.mu.Lock()
	for s := range x.subs {
		s.lose()
	}
	x.mu.Unlock()
}

// follow reads the log from the cursor on.
func (x *Index) follow(ctx context.Context) error {
	for e, err := range x.cfg.Log.Follow(ctx, x.Cursor()) {
		if err != nil {
			return err
		}
		r, err := x.open(e)
		if err != nil {
			x.cfg.Logger.Error("a record cannot be opened; its row says no more than the leaf", "leaf", e.Index, "error", err)
		}
		if x.forgets(e) {
			x.spoil(errors.New("something was erased since it was built"))
			return nil
		}
		if err := x.apply(r, steno.LeafHash(e.Raw)); err != nil {
			x.spoil(err)
			return nil
		}
		if err := x.makeRoom(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// forgets says whether the entry tells of a destruction that came after the index was begun: rows may know what was
// destroyed. (All are made again; what was erased opens no more.)
func (x *Index) forgets(e *journal.Entry) bool {
	switch e.Leaf.PublicType() {
	case steno.TypeDayKeyDestroyed, steno.TypeErasureCompleted:
		x.writing.Lock()
		defer x.writing.Unlock()
		return e.Index >= x.saved.Began
	}
	return false
}

// apply makes the rows of a record visible.
func (x *Index) apply(r *record, hash [32]byte) error {
	ev := r.row()
	var row *exchange
	var from *part // that holds an older state of the row
	var missing bool
	if id := r.entry.Exchange; !id.IsZero() {
		// Only the follower changes rows, so what it looks at stays as it is.
		x.mu.RLock()
		row = x.newest.exchanges[id]
		x.mu.RUnlock()
		if row == nil && !r.fresh() {
			var err error
			if row, from, err = x.stored(id); err != nil {
				return err
			}
		}
		missing = row == nil && !r.begins()
	}
	switch {
	case missing || r.entry.Exchange.IsZero():
		row = nil
	case row == nil:
		row = r.begin()
		fallthrough
	default:
		row = row.add(r)
	}
	if row != nil {
		for _, p := range x.takePending(row.ID) {
			late, err := x.reopen(p.Leaf)
			if err != nil {
				return err
			}
			row = row.add(late)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	n := &x.newest
	n.events = append(n.events, ev)
	if r.event != nil {
		n.day = r.entry.DayKey
	}
	if missing {
		n.pending = append(n.pending, pendingRecord{r.entry.Exchange, r.leaf})
		if len(n.pending) > maxPending {
			n.pending = n.pending[1:]
		}
	}
	if row != nil {
		if from != nil {
			from.now().over[row.ID] = struct{}{}
		}
		x.putLocked(row)
	}
	x.cursor = r.leaf + 1
	n.last = hash
	if r.leaf >= x.until {
		x.wakeLocked()
	}
	x.publishLocked(row, ev)
	return nil
}

// putLocked puts a new state of a row into memory.
func (x *Index) putLocked(row *exchange) {
	n := &x.newest
	delete(n.clean, row.ID)
	n.exchanges[row.ID] = row
}

// takePending returns the records that spoke of an exchange before it began. They are few.
func (x *Index) takePending(id steno.ID) []pendingRecord {
	x.mu.Lock()
	defer x.mu.Unlock()
	var out, rest []pendingRecord
	for _, p := range x.newest.pending {
		if p.Exchange == id {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil
	}
	for _, p := range x.newest.pending {
		if p.Exchange != id {
			rest = append(rest, p)
		}
	}
	x.newest.pending = rest
	return out
}

func (x *Index) reopen(leaf uint64) (*record, error) {
	e, err := x.cfg.Log.Read(leaf)
	if err != nil {
		return nil, err
	}
	r, _ := x.open(e) // what doesn't open was said when it was read first
	return r, nil
}

// makeRoom writes the newest rows to files when there are many. Where that fails the log is followed all the same, up to
// some more rows; then the follower waits for the disk.
func (x *Index) makeRoom(ctx context.Context) error {
	rows := func() int {
		x.mu.RLock()
		defer x.mu.RUnlock()
		return x.newest.rows()
	}
	x.mu.RLock()
	at := max(x.cfg.FlushRows, x.newest.retryAt)
	x.mu.RUnlock()
	for n := rows(); n >= at; {
		err := x.flush()
		if err == nil {
			return nil
		}
		x.cfg.Logger.Error("couldn't write the index; its newest rows stay in memory", "rows", n, "error", err)
		x.mu.Lock()
		x.newest.retryAt = n + x.cfg.FlushRows/4 + 1
		x.mu.Unlock()
		if n < 4*x.cfg.FlushRows {
			return nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
