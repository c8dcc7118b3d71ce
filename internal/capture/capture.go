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
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Recorder seals drafts and appends them to the log.
type Recorder struct {
	log  *journal.Journal
	seal *seal.Sealer

	gapMu sync.Mutex
	gap   *steno.LogGap // calls that passed unrecorded since the log failed; nil: none
}

// NewRecorder returns a recorder that seals with s and appends to j.
func NewRecorder(j *journal.Journal, s *seal.Sealer) *Recorder {
	return &Recorder{log: j, seal: s}
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

// Pass counts a call that goes through unrecorded because the log cannot be written.
func (r *Recorder) Pass(at time.Time, why error) {
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	n, _ := r.log.Skip(1)
	if r.gap == nil {
		r.gap = &steno.LogGap{From: at.UnixNano(), FirstNumber: n, Why: gapReason(why)}
	}
	r.gap.To, r.gap.LastNumber = time.Now().UnixNano(), n
	r.gap.Calls++
}

// Gap returns the calls that passed unrecorded and are not yet written to the log as such.
func (r *Recorder) Gap() (steno.LogGap, bool) {
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	if r.gap == nil {
		return steno.LogGap{}, false
	}
	return *r.gap, true
}

// WriteGap makes the calls that passed unrecorded a record, once the log can be written again. It reports whether there is
// still a gap that is not on record.
func (r *Recorder) WriteGap() (left bool) {
	r.gapMu.Lock()
	defer r.gapMu.Unlock()
	if r.gap == nil {
		return false
	}
	if _, err := r.log.Announce(steno.TypeLogGap, *r.gap); err != nil {
		return true
	}
	r.gap = nil
	return false
}

// gapReason keeps the reason public: a class, never the text of an error, which could name what it failed on.
func gapReason(err error) string {
	var failed *journal.FailedError
	switch {
	case errors.As(err, &failed):
		return "log_failed"
	case errors.Is(err, journal.ErrBusy):
		return "log_busy"
	}
	return "seal_failed"
}

// CloseUnknown records the end of exchanges that a previous process left open: what came of them is unknown.
func (r *Recorder) CloseUnknown(ctx context.Context, open []steno.OpenExchange, whose func(steno.OpenExchange) *steno.Event, logger *slog.Logger) error {
	var tickets []*Ticket
	for _, o := range open {
		now := time.Now().UTC()
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.response", Exchange: o.Exchange, Time: now,
			Result: &steno.Result{End: steno.EndUnknown, EndDetail: "the recorder stopped before the answer was recorded"},
		}}
		if e := whose(o); e != nil {
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
