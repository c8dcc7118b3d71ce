package index

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func TestFind(t *testing.T) {
	var all []call
	var leaves [][]uint64
	lone := steno.NewID(noon.Add(time.Hour))
	var loneLeaf uint64
	everywhere(t, func(l *testLog) {
		all, leaves = nil, nil
		for range 20 {
			c := newCall("ana", "gpt-5", "x", l.pass(time.Minute))
			all = append(all, c)
			leaves = append(leaves, []uint64{l.record(c.requestDraft(), steno.FlagOpens), l.record(c.responseDraft(steno.EndComplete), steno.FlagCloses)})
		}
		loneLeaf = l.record(&steno.Draft{Event: steno.Event{ID: lone, Type: "governance.model_approved", Time: noon}}, 0)
	}, func(t *testing.T, _ *testLog, x *Index) {
		f := func(id string, want Found) {
			t.Helper()
			got, err := x.Find(t.Context(), id)
			if err != nil || got.Exchange != want.Exchange || got.Record != want.Record || got.Leaf != want.Leaf || !slices.Equal(got.Leaves, want.Leaves) {
				t.Errorf("%s: got %+v (%v), want %+v", id, got, err, want)
			}
		}
		for i, c := range all {
			whole := Found{Exchange: c.exchange, Leaves: leaves[i]}
			f(c.exchange.String(), whole)
			f(strings.ToUpper(c.exchange.String()), whole)
			f(c.exchange.String()[:20], whole)
			if i > 0 { // the day's keys were opened together with the first
				f(c.exchange.String()[:10], whole) // its request's id begins alike
			}
			f(c.request.String(), Found{c.exchange, c.request, leaves[i][0], leaves[i]})
			f("chatcmpl-"+c.exchange.String()[20:], whole)
			f("chatcmpl-"+c.exchange.String()[20:28], whole)
		}
		f(lone.String(), Found{Record: lone, Leaf: loneLeaf, Leaves: []uint64{loneLeaf}})
		f(lone.String()[:16], Found{Record: lone, Leaf: loneLeaf, Leaves: []uint64{loneLeaf}})

		for _, id := range []string{"chatcmpl-nothing", strings.Repeat("0", 32), "ffff", "gpt-5"} {
			_, err := x.Find(t.Context(), id)
			var e *NotFoundError
			if !errors.As(err, &e) || e.ID != id {
				t.Errorf("%s: got %v, want that it is not found", id, err)
			}
		}
		for _, id := range []string{all[0].exchange.String()[:6], "chatcmpl-"} {
			_, err := x.Find(t.Context(), id)
			var e *AmbiguousError
			if !errors.As(err, &e) || len(e.Candidates) != maxCandidates || !e.More {
				t.Errorf("%s: got %v, want that it is ambiguous", id, err)
				continue
			}
			if _, err := x.Find(t.Context(), e.Candidates[0].String()); err != nil {
				t.Errorf("candidate %s: %v", e.Candidates[0], err)
			}
		}
		if _, err := x.Find(t.Context(), "012"); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("three characters: %v", err)
		}
		row, err := x.Exchange(t.Context(), all[3].exchange)
		if err != nil || row.ID != all[3].exchange {
			t.Errorf("got %+v, %v", row, err)
		}
		if _, err := x.Exchange(t.Context(), lone); !errors.Is(err, ErrNotFound) {
			t.Errorf("a record's id is no exchange's, got %v", err)
		}
	})
}

// The same provider's id on two exchanges is ambiguous, not the first of them.
func TestFindRepeated(t *testing.T) {
	a, b := newCall("ana", "m", "", noon), newCall("ben", "m", "", noon.Add(time.Hour))
	everywhere(t, func(l *testLog) {
		for _, c := range []call{a, b} {
			l.record(c.requestDraft(), steno.FlagOpens)
			d := c.responseDraft(steno.EndComplete)
			d.Result.ID = "resp_repeated"
			l.record(d, steno.FlagCloses)
			for range 6 {
				l.complete(newCall("cyd", "m", "", l.pass(time.Minute)))
			}
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		_, err := x.Find(t.Context(), "resp_repeated")
		var e *AmbiguousError
		if !errors.As(err, &e) || !slices.Equal(e.Candidates, []steno.ID{a.exchange, b.exchange}) {
			t.Errorf("got %v, want both exchanges", err)
		}
	})
}
