package monitor

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig is a real log with its index, on a disk in memory, at a time of its own.
type rig struct {
	t      *testing.T
	fs     *disk.Mem
	keys   *seal.Keys
	sealer *seal.Sealer
	log    *journal.Journal
	index  *index.Index

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, fs: disk.NewMem(), now: noon}
	const origin = "steno.test/monitor"
	var err error
	if r.keys, err = seal.Create(r.fs, "/d.keys", origin, noon); err != nil {
		t.Fatal(err)
	}
	signer, vkey, err := r.keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	r.log, _, err = journal.Open(t.Context(), journal.Config{FS: r.fs, Dir: "/d", AnchorDir: "/d.anchor", Origin: origin, Signer: signer, VKey: vkey, CheckpointEvery: -1, Now: r.clock})
	if err != nil {
		t.Fatal(err)
	}
	r.sealer = seal.NewSealer(r.keys, seal.Config{
		Announce: func(p steno.PublicType, v any) error { _, err := r.log.Announce(p, v); return err }, Class: "standard", KeepMonths: 24,
	})
	if r.index, err = index.Open(t.Context(), index.Config{FS: r.fs, Dir: "/d/index", Log: r.log, Keys: r.keys, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.index.Close(); err != nil {
			t.Error(err)
		}
		if err := r.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) at(t time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = t
}

func (r *rig) record(d *steno.Draft, flags steno.LeafFlags) uint64 {
	r.t.Helper()
	i, err := r.append(r.t.Context(), d, flags)
	if err != nil {
		r.t.Fatal(err)
	}
	return i
}

func (r *rig) append(ctx context.Context, d *steno.Draft, flags steno.LeafFlags) (uint64, error) {
	if err := steno.Validate(&d.Event); err != nil {
		return 0, err
	}
	s, err := r.sealer.Seal(d, r.clock())
	if err != nil {
		return 0, err
	}
	s.Leaf.Flags |= flags
	i, err := r.log.Append(s.Leaf, s.Body).Wait(ctx)
	if err == nil {
		r.sealer.Durable(s, i)
	}
	return i, err
}

// start follows the log until done is called; done waits until all was looked at.
func (r *rig) start() (done func()) {
	r.t.Helper()
	f, err := Start(context.WithoutCancel(r.t.Context()), Config{
		FS: r.fs, Dir: "/d/followers", Log: r.log, Keys: r.keys, Index: r.index, Logger: quiet(), Now: r.clock,
		Record: func(ctx context.Context, d *steno.Draft) error { _, err := r.append(ctx, d, 0); return err },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return func() {
		r.t.Helper()
		deadline := time.Now().Add(20 * time.Second)
		for f.Passed() < r.log.Size() {
			if time.Now().After(deadline) {
				r.t.Fatalf("the follower is at %d of %d", f.Passed(), r.log.Size())
			}
			<-time.After(time.Millisecond)
		}
		if err := f.Close(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// call is one model call as the gateway records it.
type call struct {
	key, asked, answered, fingerprint string
	at                                time.Time
	output                            int64
	finish                            string
	refused                           bool
	tool                              string
	body                              string
}

func (r *rig) call(c call) steno.ID {
	r.t.Helper()
	if c.at.IsZero() {
		c.at = r.clock()
	}
	id := steno.NewID(c.at)
	who := &steno.Identity{Key: c.key, Tenant: "acme", User: "ana"}
	m := steno.Model{Provider: "openai", Operation: "chat", Dialect: "openai", API: "chat_completions", Upstream: "openai", Asked: c.asked}
	r.record(&steno.Draft{Event: steno.Event{
		ID: steno.NewID(c.at), Type: "inference.request", Exchange: id, Time: c.at, Identity: who, Model: &m,
		Prompt: &steno.Prompt{Bytes: 10}, Timing: &steno.Timing{Received: c.at},
	}}, steno.FlagOpens)
	m.Answered, m.Fingerprint = c.answered, c.fingerprint
	if c.finish == "" {
		c.finish = "stop"
	}
	in := int64(100)
	res := &steno.Result{
		End: steno.EndComplete, Status: 200, FinishReasons: []string{c.finish}, Refusal: c.refused,
		Usage: &steno.Usage{Source: "reported", Input: &in, Output: &c.output}, Cost: &steno.Cost{State: "priced", USD: "0.001", Row: "r"},
	}
	if c.tool != "" {
		res.ToolCalls = []steno.ToolCall{{Name: c.tool}}
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(c.at), Type: "inference.response", Exchange: id, Time: c.at, Identity: &steno.Identity{Tenant: "acme", User: "ana"}, Model: &m,
		Result: res, Timing: &steno.Timing{Received: c.at, LatencyMS: 800},
	}}
	if c.body != "" {
		d.Response = []steno.Piece{{Kind: steno.KindHead, Bytes: []byte(`{"status":200,"headers":{"Content-Type":["application/json"]}}`)}, {Kind: steno.KindOutput, Bytes: []byte(c.body)}}
		res.Bytes = int64(len(c.body))
	}
	r.record(d, steno.FlagCloses)
	return id
}

// events opens all records of a type.
func (r *rig) events(typ string) []*seal.Opened {
	r.t.Helper()
	var out []*seal.Opened
	for i := range r.log.Size() {
		e, err := r.log.Read(i)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Leaf.Flags&steno.FlagPublicOnly != 0 || e.Leaf.DayKey == 0 {
			continue
		}
		o, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata)
		if err != nil {
			r.t.Fatal(err)
		}
		if o.Type == typ {
			out = append(out, o)
		}
	}
	return out
}

func get[T any](t *testing.T, s *steno.System, name string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(s.Details[name], &v); err != nil {
		t.Fatalf("%s: %v in %s", name, err, s.Details[name])
	}
	return v
}
