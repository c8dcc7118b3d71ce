package index

import "context"

// Change is a row that is new or has changed.
type Change struct {
	Row   *Row      // of the exchange, nil if the record belongs to none
	Event *EventRow // of the record that made the change
	Lost  bool      // there were more changes than the reader took: what is shown must be asked for again
}

const subscriberBuffer = 256

// subscriber is one reader of changes. Its fields are guarded by the mu of the index; only the follower sends.
type subscriber struct {
	changes chan Change // has room for one more than is sent, so that Lost always fits
	lost    bool        // Lost was sent and is the last in the channel
	ended   bool
}

// Subscribe returns the changes from now on, in the order of the log. A reader that is too slow gets a Change with Lost in place of what it has
// missed. The channel is closed when ctx or the index ends.
func (x *Index) Subscribe(ctx context.Context) <-chan Change {
	s := &subscriber{changes: make(chan Change, subscriberBuffer+1)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.subs == nil { // closed
		s.end()
		return s.changes
	}
	x.subs[s] = struct{}{}
	context.AfterFunc(ctx, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.subs, s)
		s.end()
	})
	return s.changes
}

func (s *subscriber) end() {
	if !s.ended {
		s.ended = true
		close(s.changes)
	}
}

// publishLocked tells the subscribers of a change. The caller holds mu. It never waits for a reader.
func (x *Index) publishLocked(row *exchange, ev *event) {
	if ev.Leaf < x.told {
		return
	}
	x.told = ev.Leaf + 1
	if len(x.subs) == 0 {
		return
	}
	c := Change{Event: &ev.EventRow}
	if row != nil {
		c.Row = &row.Row
	}
	for s := range x.subs {
		s.send(c)
	}
}

func (s *subscriber) send(c Change) {
	if s.lost && len(s.changes) > 0 {
		return // Lost is still to be read, and stands for this one too
	}
	s.lost = false
	if len(s.changes) >= subscriberBuffer {
		s.lose()
		return
	}
	s.changes <- c
}

// lose puts Lost after what the reader has not read.
func (s *subscriber) lose() {
	if s.lost && len(s.changes) > 0 {
		return
	}
	s.lost = true
	s.changes <- Change{Lost: true}
}
