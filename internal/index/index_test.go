package index

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// everywhere runs a test with all rows in memory, and with all of them in files after a restart.
func everywhere(t *testing.T, write func(l *testLog), check func(t *testing.T, l *testLog, x *Index)) {
	t.Run("memory", func(t *testing.T) {
		l := newTestLog(t)
		write(l)
		cfg := l.config(disk.NewMem())
		cfg.FlushRows = 1 << 20
		check(t, l, l.index(cfg))
	})
	t.Run("files", func(t *testing.T) {
		l := newTestLog(t)
		write(l)
		cfg := l.config(disk.NewMem())
		cfg.FlushRows = 7
		if err := l.index(cfg).Close(); err != nil {
			t.Fatal(err)
		}
		x := l.index(cfg)
		if n := len(x.parts); n < 2 {
			t.Fatalf("%d parts were written, rows should be in several", n)
		}
		check(t, l, x)
	})
}

func TestRow(t *testing.T) {
	c := newCall("ana", "gpt-5", "talk-1", noon)
	var leaves []uint64
	everywhere(t, func(l *testLog) {
		leaves = []uint64{
			l.record(c.requestDraft(), steno.FlagOpens),
			l.record(c.responseDraft(steno.EndComplete), steno.FlagCloses),
			l.record(c.alertDraft("secret", "jailbreak"), 0),
		}
		for range 10 {
			l.complete(newCall("ben", "gpt-5", "talk-2", l.pass(time.Second)))
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		rows := exchanges(t, x, Query{User: "ana"})
		if len(rows) != 1 {
			t.Fatalf("%d rows of ana, want 1", len(rows))
		}
		want := Row{
			ID: c.exchange, Time: noon, User: "ana", Model: "gpt-5", AnsweredModel: "gpt-5-2026-08-01", Status: "complete",
			InputTokens: ptr(int64(120)), OutputTokens: ptr(int64(30)), Cost: ptr("0.00042"), LatencyMS: ptr(1000.0),
			Flags: []string{"jailbreak", "secret"}, Conversation: "talk-1", Role: "clerk", Team: "claims", Key: "key-of-ana",
			Address: "192.0.2.7", Provider: "openai", Operation: "chat",
			API: "chat_completions", HTTPStatus: 200, TTFT: ptr(0.25), Leaves: leaves,
		}
		if !reflect.DeepEqual(rows[0], want) {
			t.Errorf("got  %+v\nwant %+v", rows[0], want)
		}
		want.ResponseID = "chatcmpl-" + c.exchange.String()[20:]
		if one, err := x.Exchange(t.Context(), c.exchange); err != nil || !reflect.DeepEqual(one, want) {
			t.Errorf("got  %+v (%v)\nwant %+v", one, err, want)
		}
	})
}

// The command line's contract: these members, in this order, and no others.
func TestRowJSON(t *testing.T) {
	b, err := json.Marshal(Row{Time: noon, Flags: []string{}, Conversation: "c", Leaves: []uint64{1}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"","time":"2026-11-23T12:00:00Z","user":"","model":"","answered_model":"","status":"","input_tokens":null,` +
		`"output_tokens":null,"cost":null,"latency_ms":null,"flags":[]}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestStates(t *testing.T) {
	open, refused, cut, unpriced, overtaken := newCall("a", "m", "", noon), newCall("b", "m", "", noon.Add(1)), newCall("c", "m", "", noon.Add(2)),
		newCall("d", "m", "", noon.Add(3)), newCall("e", "m", "", noon.Add(4))
	sent := steno.NewID(noon)
	everywhere(t, func(l *testLog) {
		l.record(overtaken.alertDraft("injection"), 0)
		l.record(open.requestDraft(), steno.FlagOpens)
		single := refused.requestDraft()
		single.Result = &steno.Result{End: steno.EndRefused, Status: 401}
		l.record(single, steno.FlagOpens|steno.FlagCloses)
		l.record(cut.requestDraft(), steno.FlagOpens)
		part := cut.responseDraft(steno.EndUpstreamCut)
		part.Type, part.Result = "inference.response_part", &steno.Result{Part: 1}
		l.record(part, steno.FlagContinues)
		l.record(cut.responseDraft(steno.EndUpstreamCut), steno.FlagCloses)
		l.record(unpriced.requestDraft(), steno.FlagOpens)
		answer := unpriced.responseDraft(steno.EndComplete)
		answer.Result.Cost = &steno.Cost{State: "unpriced"}
		l.record(answer, steno.FlagCloses)
		l.record(overtaken.requestDraft(), steno.FlagOpens)
		l.record(overtaken.responseDraft(steno.EndComplete), steno.FlagCloses)
		l.record(&steno.Draft{Event: steno.Event{ID: sent, Exchange: sent, Type: "inference.response", Time: noon.Add(5), Identity: &steno.Identity{User: "f"}}}, steno.FlagImported)
	}, func(t *testing.T, _ *testLog, x *Index) {
		rows := exchanges(t, x, Query{})
		got := map[string]string{}
		for _, r := range rows {
			got[r.User] = r.Status
			if (r.User == "a" || r.User == "b") && (r.Cost != nil || r.InputTokens != nil) {
				t.Errorf("%s: cost %v, input tokens %v; nothing is known of them", r.User, r.Cost, r.InputTokens)
			}
			if r.User == "c" && len(r.Leaves) != 3 {
				t.Errorf("an answer in parts has leaves %v, want 3", r.Leaves)
			}
			if r.User == "d" && (r.Cost == nil || *r.Cost != Unpriced) {
				t.Errorf("cost %v, want %s", r.Cost, Unpriced)
			}
			if r.User == "e" && (!slices.Equal(r.Flags, []string{"injection"}) || len(r.Leaves) != 3 || !r.Time.Equal(overtaken.at)) {
				t.Errorf("an alert that overtook its call makes flags %v, leaves %v, time %s", r.Flags, r.Leaves, r.Time)
			}
		}
		want := map[string]string{"a": "open", "b": "refused", "c": "upstream_cut", "d": "complete", "e": "complete", "f": "unknown"}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestFilters(t *testing.T) {
	var all []call
	everywhere(t, func(l *testLog) {
		all = nil
		for i := range 40 {
			c := newCall([]string{"ana", "ben"}[i%2], []string{"gpt-5", "claude-5"}[i/2%2], []string{"x", "y", "z"}[i%3], l.pass(time.Minute))
			all = append(all, c)
			l.record(c.requestDraft(), steno.FlagOpens)
			if i%5 != 0 {
				l.record(c.responseDraft([]steno.End{steno.EndComplete, steno.EndProviderError}[i%4/3]), steno.FlagCloses)
			}
			if i%7 == 0 {
				l.record(c.alertDraft("secret"), 0)
			}
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		f := func(what string, q Query, want func(i int) bool) {
			t.Helper()
			var ids1 []steno.ID
			for i, c := range all {
				if want(i) {
					ids1 = append(ids1, c.exchange)
				}
			}
			if len(ids1) == 0 || len(ids1) == len(all) && what != "all" {
				t.Fatalf("%s: %d of %d rows are no test", what, len(ids1), len(all))
			}
			equalIDs(t, what, ids(exchanges(t, x, q)), ids1)
		}
		bad := func(i int) bool { return i%5 != 0 && i%4 == 3 }
		f("all", Query{}, func(int) bool { return true })
		f("user", Query{User: "ben"}, func(i int) bool { return i%2 == 1 })
		f("model asked", Query{Model: "claude-5"}, func(i int) bool { return i/2%2 == 1 })
		f("model answered", Query{Model: "gpt-5-2026-08-01"}, func(i int) bool { return i/2%2 == 0 && i%5 != 0 })
		f("conversation", Query{Conversation: "y"}, func(i int) bool { return i%3 == 1 })
		f("flag", Query{Flag: "secret"}, func(i int) bool { return i%7 == 0 })
		f("status", Query{Status: "open"}, func(i int) bool { return i%5 == 0 })
		f("status", Query{Status: "provider_error"}, bad)
		f("two", Query{User: "ana", Flag: "secret"}, func(i int) bool { return i%14 == 0 })
		f("since", Query{Since: all[30].at}, func(i int) bool { return i >= 30 })
		f("until", Query{Until: all[30].at}, func(i int) bool { return i < 30 })
		f("newest", Query{Limit: 5}, func(i int) bool { return i >= 35 })
		f("oldest", Query{Limit: 5, Oldest: true}, func(i int) bool { return i < 5 })
		if rows := exchanges(t, x, Query{User: "nobody"}); len(rows) != 0 {
			t.Errorf("nobody has %d rows", len(rows))
		}
		pages(t, x, all)
		buckets, err := x.Count(t.Context(), Query{}, 10*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		var n, flagged, failed int
		for _, b := range buckets {
			n, flagged, failed = n+b.N, flagged+b.Flagged, failed+b.Failed
			if !b.Start.Equal(b.Start.Truncate(10 * time.Minute)) {
				t.Errorf("a step starts at %s", b.Start)
			}
		}
		if n != 40 || flagged != 6 || failed != 8 || len(buckets) != 5 {
			t.Errorf("%d exchanges, %d flagged, %d failed in %d steps, want 40, 6, 8 in 5", n, flagged, failed, len(buckets))
		}
		if one, err := x.Count(t.Context(), Query{User: "ana", Since: all[10].at, Until: all[20].at}, time.Hour); err != nil || len(one) != 1 || one[0].N != 5 {
			t.Errorf("ana's ten minutes: %v, %v", one, err)
		}
	})
}

// pages goes through all rows page by page, both ways.
func pages(t *testing.T, x *Index, all []call) {
	t.Helper()
	var back, forth []steno.ID
	q := Query{Limit: 7}
	for {
		rows, more, err := x.Exchanges(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		back = append(ids(rows), back...)
		if !more {
			break
		}
		q.Before = rows[0].Position()
	}
	q = Query{Limit: 7, Oldest: true}
	for {
		rows, more, err := x.Exchanges(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		forth = append(forth, ids(rows)...)
		if !more {
			break
		}
		p, err := ParsePosition(rows[len(rows)-1].Position().String())
		if err != nil {
			t.Fatal(err)
		}
		q.After = p
	}
	want := make([]steno.ID, len(all))
	for i, c := range all {
		want[i] = c.exchange
	}
	equalIDs(t, "backwards", back, want)
	equalIDs(t, "forwards", forth, want)
}

func TestEvents(t *testing.T) {
	var c call
	everywhere(t, func(l *testLog) {
		for range 10 {
			c = newCall("ana", "gpt-5", "x", l.pass(time.Minute))
			l.complete(c)
		}
		l.record(c.alertDraft("secret"), 0)
	}, func(t *testing.T, l *testLog, x *Index) {
		all := events(t, x, Query{})
		if uint64(len(all)) != l.log.Size() {
			t.Fatalf("%d events, the log has %d records", len(all), l.log.Size())
		}
		for i, e := range all {
			if e.Leaf != uint64(i) {
				t.Fatalf("event %d is leaf %d", i, e.Leaf)
			}
		}
		if all[0].Type != "monitoring.log_created" {
			t.Errorf("the first event is %s", all[0].Type)
		}
		n := len(all)
		f := func(what string, q Query, want ...EventRow) {
			t.Helper()
			if got := events(t, x, q); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %+v, want %+v", what, got, want)
			}
		}
		f("exchange", Query{Exchange: c.exchange}, all[n-3:]...)
		f("type", Query{Type: "security.alert"}, all[n-1])
		f("flag", Query{Flag: "secret", User: "ana"}, all[n-1])
		f("status", Query{Status: "complete", Since: c.at}, all[n-2])
		f("model", Query{Model: "gpt-5", Limit: 1}, all[n-2])
		f("before", Query{Before: all[4].Position(), Limit: 2}, all[2:4]...)
		f("after", Query{After: all[4].Position(), Limit: 2, Oldest: true}, all[5:7]...)
		if got := all[n-1]; got.User != "ana" || got.Exchange != c.exchange || !slices.Equal(got.Flags, []string{"secret"}) {
			t.Errorf("the alert is %+v", got)
		}
	})
}

func TestValues(t *testing.T) {
	everywhere(t, func(l *testLog) {
		for i := range 12 {
			l.complete(newCall([]string{"ana", "andrea", "ben"}[i%3], "gpt-5", "x", l.pass(time.Minute)))
		}
	}, func(t *testing.T, _ *testLog, x *Index) {
		f := func(field, prefix string, want ...string) {
			t.Helper()
			got, err := x.Values(t.Context(), field, prefix, 10)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s %q: got %v (%v), want %v", field, prefix, got, err, want)
			}
		}
		f("user", "an", "ana", "andrea")
		f("model", "", "gpt-5", "gpt-5-2026-08-01")
		f("flag", "se", "secret", "self_harm", "sexual")
		f("status", "upstream", "upstream_cut", "upstream_failed")
		if _, err := x.Values(t.Context(), "text", "", 0); err == nil {
			t.Error("there are values of a field that there is not")
		}
	})
}

func TestSubscribe(t *testing.T) {
	l := newTestLog(t)
	x := l.index(l.config(disk.NewMem()))
	changes := x.Subscribe(t.Context())
	c := newCall("ana", "gpt-5", "x", noon)
	l.complete(c)
	var states []string
	for len(states) < 2 {
		if ch := <-changes; ch.Row != nil {
			states = append(states, ch.Row.Status+" "+ch.Event.Type)
		}
	}
	if want := []string{"open inference.request", "complete inference.response"}; !slices.Equal(states, want) {
		t.Errorf("got %v, want %v", states, want)
	}
	// A reader that reads nothing for long never holds up the follower, and is told what it lost at the end.
	var last uint64
	for range 3 * subscriberBuffer {
		last = l.record(c.alertDraft("secret"), 0)
	}
	l.caughtUp(x)
	n, lost := 0, 0
	for ch := range changes {
		n++
		if ch.Lost {
			lost++
			break
		}
	}
	if n != subscriberBuffer+1 || lost != 1 {
		t.Errorf("a slow reader got %d changes, %d lost", n, lost)
	}
	next := l.record(c.alertDraft("injection"), 0)
	if ch := <-changes; ch.Event == nil || ch.Event.Leaf != next || next != last+1 {
		t.Errorf("after what was lost came %+v", ch)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-changes; ok {
		t.Error("changes go on after Close")
	}
}
