package serve

import (
	"context"
	"errors"
	"fmt"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

const shownMax = 8192 // rows whose last state is remembered; one that is forgotten may be shown again

// follower is one Follow under way.
type follower struct {
	r      *Reader
	who    Actor
	q      Query
	events bool
	what   string
	shown  map[steno.ID]string // what was last said of a row
	leaf   uint64              // events before it were shown
	yield  func(Change, error) bool
	rows   int
	over   bool // the reader has had enough
}

var errIndexStopped = errors.New("the index has stopped, so that nothing new is seen")

func (f *follower) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changes := f.r.cfg.Index.Subscribe(ctx) // before the first look, so that nothing falls between
	if err := f.look(ctx, f.q); err != nil {
		return err
	}
	for !f.over {
		c, ok := <-changes
		if !ok {
			if ctx.Err() != nil {
				return nil
			}
			return errIndexStopped
		}
		if err := f.r.audit.session(ctx, f.who, access{what: f.what, query: queryWords(&f.q), user: f.q.User, rows: f.rows}); err != nil {
			return err
		}
		if c.Lost {
			again := f.q
			again.Limit = maxLimit
			if err := f.look(ctx, again); err != nil {
				return err
			}
			continue
		}
		f.change(c)
	}
	return nil
}

// look says all that a query gives and that was not said before.
func (f *follower) look(ctx context.Context, q Query) error {
	if f.events {
		rows, _, err := f.r.eventRows(ctx, q)
		for i := range rows {
			f.event(&rows[i])
		}
		return err
	}
	rows, _, err := f.r.rows(ctx, q)
	for i := range rows {
		f.row(&rows[i])
	}
	return err
}

func (f *follower) change(c index.Change) {
	if !f.events {
		if c.Row != nil && f.q.Row(c.Row) {
			f.row(c.Row)
		}
		return
	}
	if c.Event == nil || !f.q.Event(c.Event) {
		return
	}
	// What the event's row does not tell, its exchange's does.
	if rest := (Query{Model: f.q.Model, Status: f.q.Status, Conversation: f.q.Conversation}); rest != (Query{}) && (c.Row == nil || !rest.Row(c.Row)) {
		return
	}
	f.event(c.Event)
}

func (f *follower) event(e *EventRow) {
	if e.Leaf < f.leaf || f.over {
		return
	}
	f.leaf = e.Leaf + 1
	f.rows++
	f.over = !f.yield(Change{Event: e}, nil)
}

func (f *follower) row(r *Row) {
	if f.over {
		return
	}
	state := fmt.Sprint(r.Status, r.Flags, r.AnsweredModel)
	if f.shown[r.ID] == state {
		return
	}
	if len(f.shown) >= shownMax {
		clear(f.shown)
	}
	f.shown[r.ID] = state
	f.rows++
	f.over = !f.yield(Change{Row: r}, nil)
}
