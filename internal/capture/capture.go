// Package capture is the one way into the log: the gateway that stands between applications and their models, and the
// events API for what it cannot see.
//
// HTTP requests enter; sealed records leave for the journal. A request is durable before its first byte goes to the
// upstream, an answer's last byte (a stream's terminal event) is released only when the record of the answer is durable.
// Plain text lives here and in seal, in memory only: a body above 1 MiB waits in an unlinked spool file under a key that
// is never written. Credentials never enter an event; a keyed hash of them does. Nothing is dropped silently: what cannot
// be recorded is refused, or passes as a counted gap where the operator chose that.
package capture

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Recorder seals drafts and appends them to the log.
type Recorder struct {
	log  *journal.Journal
	seal *seal.Sealer

	gaps gaps
}

// NewRecorder returns a recorder that seals with s and appends to j.
func NewRecorder(j *journal.Journal, s *seal.Sealer) *Recorder {
	return &Recorder{log: j, seal: s, gaps: gaps{passed: make(chan struct{}, 1)}}
}

// Ticket is a record on its way to the disk.
type Ticket struct {
	r *Recorder
	s *seal.Sealed
	p *journal.Pending
}

// Submit seals the draft and queues it; the record counts once Wait returns without error. flags are those of the
// exchange (opens, continues, closes). The draft's slices are not kept.
func (r *Recorder) Submit(d *steno.Draft, flags steno.LeafFlags) (*Ticket, error) {
	s, err := r.seal.Seal(d, time.Now())
	if err != nil {
		return nil, fmt.Errorf("couldn't seal the %s record: %w", d.Type, err)
	}
	leaf := s.Leaf
	leaf.Flags |= flags
	return &Ticket{r, s, r.log.Append(leaf, s.Body)}, nil
}

// Wait returns the record's index once it is durable.
func (t *Ticket) Wait(ctx context.Context) (uint64, error) {
	i, err := t.p.Wait(ctx)
	if err != nil {
		return 0, err
	}
	t.r.seal.Durable(t.s, i)
	return i, nil
}

// Record is Submit and Wait. It does not stop waiting when the caller's request is gone: what is queued is recorded.
func (r *Recorder) Record(ctx context.Context, d *steno.Draft, flags steno.LeafFlags) (uint64, error) {
	t, err := r.Submit(d, flags)
	if err != nil {
		return 0, err
	}
	return t.Wait(context.WithoutCancel(ctx))
}

// CloseUnknown records the end of exchanges that a previous process left open: what came of them is unknown. Those that an
// application opened stay so: it may live, and the gateway takes them over.
func (r *Recorder) CloseUnknown(ctx context.Context, open []steno.OpenExchange, whose func(steno.OpenExchange) *steno.Event, logger *slog.Logger) error {
	var tickets []*Ticket
	for _, o := range open {
		now := time.Now().UTC()
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.response", Exchange: o.Exchange, Time: now,
			Result: &steno.Result{End: steno.EndUnknown, EndDetail: "the recorder stopped before the answer was recorded"},
		}}
		e := whose(o)
		if e != nil && e.Origin != nil {
			continue
		}
		if e != nil {
			d.Identity = e.Identity
			if e.Model != nil {
				m := steno.Model{Provider: e.Model.Provider, Operation: e.Model.Operation, Asked: e.Model.Asked, Dialect: e.Model.Dialect, API: e.Model.API, Upstream: e.Model.Upstream}
				d.Model = &m
			}
			d.Timing = &steno.Timing{}
			if e.Timing != nil {
				d.Timing.Received = e.Timing.Received
			}
		}
		t, err := r.Submit(d, steno.FlagCloses)
		if err != nil {
			return err
		}
		tickets = append(tickets, t)
	}
	for _, t := range tickets {
		if _, err := t.Wait(ctx); err != nil {
			return fmt.Errorf("couldn't record the unknown ends: %w", err)
		}
	}
	if len(tickets) > 0 {
		logger.Warn("exchanges were open when the last process stopped; recorded as unknown", "count", len(tickets))
	}
	return nil
}
