package capture

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/journal"
)

// gaps counts the calls that passed unrecorded. The lock is never held while the log is written: it may hang, and calls pass.
type gaps struct {
	mu      sync.Mutex
	open    *steno.LogGap // not on record; nil: none
	writing *steno.LogGap // on its way into the log; what passes meanwhile is another gap
	passed  chan struct{}
}

// Pass counts a call that goes through unrecorded because the log cannot be written.
func (r *Recorder) Pass(at time.Time, why error) {
	r.gaps.mu.Lock()
	defer r.gaps.mu.Unlock()
	n, _ := r.log.Skip(1)
	one := &steno.LogGap{From: at.UnixNano(), To: time.Now().UnixNano(), FirstNumber: n, LastNumber: n, Calls: 1, Why: gapReason(why)}
	r.gaps.open = joinGaps(r.gaps.open, one)
	select {
	case r.gaps.passed <- struct{}{}:
	default: // nobody has looked since the last one
	}
}

// Passed tells that calls have passed unrecorded since it was last received from.
func (r *Recorder) Passed() <-chan struct{} { return r.gaps.passed }

// Gap returns the calls that passed unrecorded and are not yet written to the log as such.
func (r *Recorder) Gap() (steno.LogGap, bool) {
	r.gaps.mu.Lock()
	defer r.gaps.mu.Unlock()
	g := joinGaps(r.gaps.writing, r.gaps.open)
	if g == nil {
		return steno.LogGap{}, false
	}
	return *g, true
}

// WriteGap makes the calls that passed unrecorded a record, once the log can be written again. It reports whether there is
// still a gap that is not on record. One call at a time.
func (r *Recorder) WriteGap() (left bool) {
	r.gaps.mu.Lock()
	g := r.gaps.open
	r.gaps.open, r.gaps.writing = nil, g
	r.gaps.mu.Unlock()
	if g == nil {
		return false
	}
	_, err := r.log.Announce(steno.TypeLogGap, *g)
	r.gaps.mu.Lock()
	defer r.gaps.mu.Unlock()
	r.gaps.writing = nil
	if err != nil {
		// A log that failed in this very write may hold the record all the same: Unrecorded finds it at the next start.
		r.gaps.open = joinGaps(g, r.gaps.open)
	}
	return r.gaps.open != nil
}

// joinGaps returns the gap from the first of a to the last of b. It changes neither, for a reader may hold them.
func joinGaps(a, b *steno.LogGap) *steno.LogGap {
	if a == nil || b == nil {
		if a == nil {
			a = b
		}
		return a
	}
	g := *a
	g.From, g.To, g.LastNumber, g.Calls = min(a.From, b.From), max(a.To, b.To), b.LastNumber, a.Calls+b.Calls
	return &g
}

// Unrecorded returns what of a gap the log does not tell yet. The gap was let pass by source and kept outside the log; a
// process that was killed after it had written the record, or whose log failed in that write, does not know that it is there.
func Unrecorded(j *journal.Journal, source [16]byte, g steno.LogGap) (steno.LogGap, error) {
	told, first, last := uint64(0), g.FirstNumber, g.LastNumber
	for i := j.Size(); i > 0; i-- {
		e, err := j.ReadLeaf(i - 1)
		if err != nil {
			return g, fmt.Errorf("couldn't look for the record of a gap: %w", err)
		}
		l := e.Leaf
		if l.Source == source && l.Number < first {
			break // a source's records are in the order of their numbers: before the gap nothing tells of it
		}
		if l.Flags&steno.FlagPublicOnly == 0 || l.PublicType() != steno.TypeLogGap {
			continue
		}
		var v steno.LogGap
		if err := steno.DecodePublic(l.Public, &v); err != nil {
			return g, fmt.Errorf("couldn't read the gap in leaf %d: %w", i-1, err)
		}
		if v.FirstNumber < first || v.FirstNumber > last {
			continue // another one
		}
		told += v.Calls
		if v.LastNumber >= g.FirstNumber {
			g.FirstNumber, g.From = v.LastNumber+1, v.To
		}
	}
	g.Calls -= min(told, g.Calls)
	return g, nil
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
