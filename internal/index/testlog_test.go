package index

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

const testOrigin = "log.example.org/steno-test"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// testLog is a real log with real keys, on a disk of its own.
type testLog struct {
	t      testing.TB
	keys   *seal.Keys
	sealer *seal.Sealer
	log    *journal.Journal
	cfg    journal.Config

	mu  sync.Mutex
	now time.Time // for the log and for what is sealed
}

func newTestLog(t testing.TB) *testLog {
	t.Helper()
	l := &testLog{t: t, now: noon}
	fsys := disk.NewMem()
	var err error
	if l.keys, err = seal.Create(fsys, "/data.keys", testOrigin, noon); err != nil {
		t.Fatal(err)
	}
	var signer note.Signer
	var vkey string
	if signer, vkey, err = l.keys.Signer(); err != nil {
		t.Fatal(err)
	}
	l.cfg = journal.Config{
		FS: fsys, Dir: "/data", AnchorDir: "/data.anchor", Origin: testOrigin, Signer: signer, VKey: vkey,
		CheckpointEvery: -1, Now: l.clock,
	}
	l.open()
	l.announce(steno.TypeLogCreated, steno.LogCreated{Origin: testOrigin, VKey: vkey, Created: noon.UnixNano()})
	l.sealer = seal.NewSealer(l.keys, seal.Config{Announce: func(p steno.PublicType, v any) error {
		_, err := l.log.Announce(p, v)
		return err
	}})
	return l
}

func (l *testLog) open() {
	l.t.Helper()
	var err error
	if l.log, _, err = journal.Open(l.t.Context(), l.cfg); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = l.log.Close() })
}

func (l *testLog) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// pass lets time go by.
func (l *testLog) pass(d time.Duration) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
	return l.now
}

func (l *testLog) announce(p steno.PublicType, v any) {
	l.t.Helper()
	if _, err := l.log.Announce(p, v); err != nil {
		l.t.Fatal(err)
	}
}

// queue appends a record without waiting for it.
func (l *testLog) queue(d *steno.Draft, flags steno.LeafFlags) *journal.Pending {
	l.t.Helper()
	s, err := l.sealer.Seal(d, l.clock())
	if err != nil {
		l.t.Fatal(err)
	}
	s.Leaf.Flags |= flags
	return l.log.Append(s.Leaf, s.Body)
}

func (l *testLog) record(d *steno.Draft, flags steno.LeafFlags) uint64 {
	l.t.Helper()
	i, err := l.queue(d, flags).Wait(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return i
}

// call is a model call as the gateway records it.
type call struct {
	exchange steno.ID
	user     string
	model    string
	talk     string
	request  steno.ID
	at       time.Time
}

func newCall(user, model, talk string, at time.Time) call {
	return call{steno.NewID(at), user, model, talk, steno.NewID(at), at}
}

func (c *call) identity() *steno.Identity {
	return &steno.Identity{
		User: c.user, Role: "clerk", Team: "claims", Key: "key-of-" + c.user, Conversation: c.talk, Address: "192.0.2.7", Auth: "key",
	}
}

func (c *call) requestDraft() *steno.Draft {
	return &steno.Draft{Event: steno.Event{
		ID: c.request, Type: "inference.request", Exchange: c.exchange, Time: c.at, Identity: c.identity(),
		Model:  &steno.Model{Provider: "openai", Operation: "chat", API: "chat_completions", Asked: c.model},
		Timing: &steno.Timing{Received: c.at},
	}}
}

func (c *call) responseDraft(end steno.End) *steno.Draft {
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(c.at.Add(time.Second)), Type: "inference.response", Exchange: c.exchange, Time: c.at.Add(time.Second), Identity: c.identity(),
		Model: &steno.Model{Provider: "openai", Operation: "chat", Asked: c.model, Answered: c.model + "-2026-08-01"},
		Result: &steno.Result{
			ID: "chatcmpl-" + c.exchange.String()[20:], End: end, Status: 200,
			Usage: &steno.Usage{Source: "reported", Input: ptr(int64(120)), Output: ptr(int64(30))},
			Cost:  &steno.Cost{State: "priced", USD: "0.00042", Row: "r1"},
		},
		Timing: &steno.Timing{Received: c.at, Finished: c.at.Add(time.Second), LatencyMS: 1000, TTFT: 0.25},
	}}
	if end != steno.EndComplete {
		d.Result.Cost, d.Result.Usage, d.Result.Status = nil, nil, 0
	}
	return d
}

func (c *call) alertDraft(flags ...steno.Flag) *steno.Draft {
	return &steno.Draft{Event: steno.Event{
		ID: steno.NewID(c.at.Add(2 * time.Second)), Type: "security.alert", Exchange: c.exchange, Time: c.at.Add(2 * time.Second),
		Identity: &steno.Identity{User: c.user}, Flags: flags,
	}}
}

// complete records both sides of a call.
func (l *testLog) complete(c call) {
	l.t.Helper()
	l.record(c.requestDraft(), steno.FlagOpens)
	l.record(c.responseDraft(steno.EndComplete), steno.FlagCloses)
}

// logWriter puts what the index says into the test's output.
type logWriter struct{ t testing.TB }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

func (l *testLog) config(fsys disk.FS) Config {
	return Config{FS: fsys, Dir: "/data/index", Log: l.log, Keys: l.keys, FlushRows: 50, Logger: slog.New(slog.NewTextHandler(logWriter{l.t}, nil))}
}

// index opens an index that has read everything.
func (l *testLog) index(cfg Config) *Index {
	l.t.Helper()
	x, err := Open(l.t.Context(), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = x.Close() })
	l.caughtUp(x)
	return x
}

func (l *testLog) caughtUp(x *Index) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	if err := x.CatchUp(ctx); err != nil {
		l.t.Fatal(err)
	}
}

func exchanges(t testing.TB, x *Index, q Query) []Row {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = MaxLimit
	}
	rows, _, err := x.Exchanges(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func events(t testing.TB, x *Index, q Query) []EventRow {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = MaxLimit
	}
	rows, _, err := x.Events(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// answers is everything that the index knows, for comparison.
func answers(t testing.TB, x *Index) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", " ")
	type whole struct {
		Row
		More []any
	}
	for _, r := range exchanges(t, x, Query{}) {
		w := whole{r, []any{
			r.Conversation, r.Role, r.Team, r.Tenant, r.Key, r.Address, r.ResponseID, r.Provider, r.Operation, r.API, r.HTTPStatus, r.TTFT, r.Leaves,
		}}
		if err := enc.Encode(w); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range events(t, x, Query{}) {
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
	}
	counts, err := x.Count(t.Context(), Query{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := enc.Encode(counts); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func ids(rows []Row) []steno.ID {
	out := make([]steno.ID, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out
}

func equalIDs(t testing.TB, what string, got, want []steno.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
