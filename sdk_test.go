package steno_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// outage makes an event server that can be away.
type outage struct {
	*eventServer
	away atomic.Bool
	mu   sync.Mutex
	ids  []string // origins in the order in which they were recorded
}

func newOutage(t *testing.T) *outage {
	o := &outage{eventServer: newEventServer(t)}
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		for line := range bytes.Lines(b) {
			var e steno.Event
			if err := json.Unmarshal(line, &e); err != nil {
				t.Error(err)
			}
			if !slices.Contains(o.ids, e.Origin.ID) {
				o.ids = append(o.ids, e.Origin.ID)
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		inner.ServeHTTP(w, r)
	})
	return o
}

func (o *outage) client(t *testing.T, spool string, edit func(*steno.Client)) *steno.Client {
	c := &steno.Client{URL: o.URL, Key: "k", Source: "test", Spool: spool, OnError: func(err error) { t.Errorf("not recorded: %v", err) }}
	if edit != nil {
		edit(c)
	}
	return c
}

func flush(t *testing.T, c *steno.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestSpool(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	for _, sealed := range []bool{false, true} {
		t.Run(fmt.Sprintf("sealed %v", sealed), func(t *testing.T) {
			o := newOutage(t)
			path := filepath.Join(t.TempDir(), "spool")
			use := func(c *steno.Client) {
				if sealed {
					c.SpoolKey = key
				}
			}
			c := o.client(t, path, use)
			if err := c.Record(t.Context(), reviewed("1")); err != nil {
				t.Fatal(err)
			}
			o.away.Store(true)
			for i := 2; i < 6; i++ {
				if err := c.Record(t.Context(), reviewed(fmt.Sprint(i))); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v %v", info, err)
			}
			b, err := os.ReadFile(path)
			if err != nil || bytes.Contains(b, []byte("governance.output_reviewed")) == sealed || bytes.Count(b, []byte("\n")) != 5 {
				t.Errorf("the spool has %q, %v", b, err)
			}
			// A write that was torn by a crash was never acknowledged.
			if err := os.WriteFile(path, append(b, `{"type":"half`...), 0o600); err != nil {
				t.Fatal(err)
			}
			if sealed {
				c := o.client(t, path, func(c *steno.Client) { c.SpoolKey = bytes.Repeat([]byte{8}, 32) })
				if err := c.Record(t.Context(), reviewed("x")); err == nil || !strings.Contains(err.Error(), "another key") {
					t.Errorf("with another key: %v", err)
				}
			}
			c = o.client(t, path, use)
			if err := c.Record(t.Context(), reviewed("6")); err != nil { // goes behind what lies there
				t.Fatal(err)
			}
			other := o.client(t, path, use)
			if err := other.Record(t.Context(), reviewed("x")); err == nil || !strings.Contains(err.Error(), "another client has it") {
				t.Errorf("a second client: %v", err)
			}
			o.away.Store(false)
			flush(t, c)
			if err := c.Record(t.Context(), reviewed("7")); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if want := []string{"1", "2", "3", "4", "5", "6", "7"}; !slices.Equal(o.ids, want) || len(o.seen) != 7 {
				t.Errorf("recorded are %v", o.ids)
			}
			if b, err := os.ReadFile(path); err != nil || bytes.Count(b, []byte("\n")) != 1 {
				t.Errorf("the spool still has %q, %v", b, err)
			}
		})
	}
}

func TestSpoolKeepsWhatIsRefused(t *testing.T) {
	o := newOutage(t)
	path := filepath.Join(t.TempDir(), "spool")
	heard := make(chan error, 8)
	c := o.client(t, path, func(c *steno.Client) { c.OnError = func(err error) { heard <- err } })
	o.away.Store(true)
	bad := reviewed("bad")
	bad.System.Actor = ""
	for _, e := range []steno.Event{reviewed("1"), bad, reviewed("2")} {
		if err := c.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	o.away.Store(false)
	flush(t, c)
	var rejected *steno.RejectedError
	if err := <-heard; !errors.As(err, &rejected) || rejected.ID != "bad" {
		t.Errorf("it says %v", err)
	}
	b, err := os.ReadFile(path + ".rejected")
	if err != nil || !strings.Contains(string(b), `/system/actor is missing`) || len(o.seen) != 2 {
		t.Errorf("kept is %q, %v; recorded %d", b, err, len(o.seen))
	}
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestSpoolBounds(t *testing.T) {
	o := newOutage(t)
	o.away.Store(true)
	dir := t.TempDir()
	c := o.client(t, filepath.Join(dir, "spool"), func(c *steno.Client) { c.SpoolMax = 1000 })
	var err error
	for i := 0; err == nil && i < 100; i++ {
		err = c.Record(t.Context(), reviewed(fmt.Sprint(i)))
	}
	if err == nil || !strings.Contains(err.Error(), "is full") {
		t.Errorf("a full spool: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	foreign := filepath.Join(dir, "foreign")
	if err := os.WriteFile(foreign, []byte(strings.Repeat("precious data\n", 20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := o.client(t, foreign, nil).Record(t.Context(), reviewed("1")); err == nil || !strings.Contains(err.Error(), "no spool of steno's") {
		t.Errorf("a file of somebody else's: %v", err)
	}
	if b, err := os.ReadFile(foreign); err != nil || !bytes.HasPrefix(b, []byte("precious")) || len(b) != 280 {
		t.Errorf("it was changed: %d bytes, %v", len(b), err)
	}
	if err := o.client(t, filepath.Join(dir, "key"), func(c *steno.Client) { c.SpoolKey = []byte("short") }).Record(t.Context(), reviewed("1")); err == nil {
		t.Error("a key that is too short")
	}
}

func TestRecordWithoutSpool(t *testing.T) {
	o := newOutage(t)
	c := o.client(t, "", nil)
	bad := reviewed("bad")
	bad.System.Actor = ""
	var rejected *steno.RejectedError
	if err := c.Record(t.Context(), bad); !errors.As(err, &rejected) || !strings.Contains(rejected.Reason, "actor") {
		t.Errorf("a bad one: %v", err)
	}
	noOrigin := reviewed("")
	noOrigin.Origin = nil
	if err := c.Record(t.Context(), noOrigin); err != nil {
		t.Error(err)
	}
	const n = 200
	errs := make(chan error, n)
	before := o.requests
	for i := range n {
		go func() { errs <- c.Record(t.Context(), reviewed(fmt.Sprint(i))) }()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if len(o.seen) != n+1 {
		t.Errorf("%d are recorded", len(o.seen))
	}
	if o.requests-before >= n {
		t.Errorf("%d events at once took %d requests", n, o.requests-before)
	}
	o.away.Store(true)
	var refused *steno.SubmitError
	if err := c.Record(t.Context(), reviewed("late")); !errors.As(err, &refused) || refused.Status != 503 {
		t.Errorf("away: %v", err)
	}
	o.away.Store(false)
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Record(t.Context(), reviewed("x")); !errors.Is(err, steno.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := c.Flush(t.Context()); !errors.Is(err, steno.ErrClosed) {
		t.Errorf("flushed when closed: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestBackPressure(t *testing.T) {
	stall, arrived := make(chan struct{}), make(chan struct{}, 100)
	o := newOutage(t)
	inner := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-stall
		inner.ServeHTTP(w, r)
	})
	free := sync.OnceFunc(func() { close(stall) })
	defer free()
	c := o.client(t, "", func(c *steno.Client) { c.Queue, c.FailWhenFull = 2, true })
	if err := c.Enqueue(t.Context(), reviewed("1")); err != nil {
		t.Fatal(err)
	}
	<-arrived // it is on its way, and the queue is empty
	for _, id := range []string{"2", "3"} {
		if err := c.Enqueue(t.Context(), reviewed(id)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Enqueue(t.Context(), reviewed("4")); !errors.Is(err, steno.ErrQueueFull) {
		t.Errorf("a full queue: %v", err)
	}
	waits := o.client(t, "", func(c *steno.Client) { c.Queue = 1 })
	if err := waits.Enqueue(t.Context(), reviewed("5")); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := waits.Enqueue(t.Context(), reviewed("6")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := waits.Enqueue(ctx, reviewed("7")); !errors.Is(err, steno.ErrQueueFull) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting in vain: %v", err)
	}
	done := make(chan error)
	go func() { done <- waits.Enqueue(t.Context(), reviewed("8")) }()
	free()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for _, c := range []*steno.Client{c, waits} {
		flush(t, c)
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if len(o.seen) != 6 {
		t.Errorf("recorded are %v", o.ids)
	}
}

func TestLogHandler(t *testing.T) {
	s := newEventServer(t)
	heard := []string{}
	c := &steno.Client{URL: s.URL, Key: "k", Source: "registry", OnError: func(err error) { heard = append(heard, err.Error()) }}
	var next bytes.Buffer
	log := slog.New(steno.NewLogHandler(c, slog.NewTextHandler(&next, nil)))
	ctx := steno.WithTrace(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	log.InfoContext(ctx, "passed the review", "event", "governance.model_approved", "actor", "eva", "target", "own-7b", "outcome", "approved", "ticket", 42)
	log.With("event", "governance.output_reviewed").WithGroup("system").Info("spot check", "actor", "eva", "outcome", "fine", slog.Group("", slog.Any("why", errors.New("unsure"))))
	log.Info("only a line", "actor", "eva")
	log.Debug("an event for all that", "event", "governance.model_approved", "actor", "eva", slog.Group("model", "gen_ai.request.model", "own-7b"), "target", "x", "outcome", "approved")
	log.Info("no such type", "event", "governance.model_adored")
	log.Info("no actor", "event", "governance.output_reviewed")
	flush(t, c)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var all []steno.Event
	for _, line := range s.seen {
		var e steno.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b steno.Event) int { return strings.Compare(a.Origin.ID, b.Origin.ID) })
	if len(all) != 3 || len(heard) != 2 || !strings.Contains(heard[0], "model_adored") {
		t.Fatalf("%d events, heard %q", len(all), heard)
	}
	if e := all[0]; e.System.Actor != "eva" || e.System.Reason != "passed the review" || string(e.System.Details["ticket"]) != "42" || e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.Time.IsZero() {
		t.Errorf("the first is %+v %+v", e, e.System)
	}
	if e := all[1]; e.System.Outcome != "fine" || string(e.System.Details["system.why"]) != `"unsure"` {
		t.Errorf("the second is %+v", e.System)
	}
	if e := all[2]; e.Model == nil || e.Model.Asked != "own-7b" {
		t.Errorf("the third is %+v", e)
	}
	if lines := strings.Count(next.String(), "\n"); lines != 5 {
		t.Errorf("%d lines went on: %s", lines, next.String())
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"method":"POST","url":"https://x/y","headers":{"a":["b"]},"body":"text"}`))
	f.Add([]byte(`{"status":200,"body_base64":"/w=="}`))
	f.Add([]byte(`{"body":"\ud800"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m steno.Message
		if json.Unmarshal(b, &m) != nil {
			return
		}
		out, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("%q cannot be written: %v", b, err)
		}
		var again steno.Message
		if err := json.Unmarshal(out, &again); err != nil || !bytes.Equal(again.Body, m.Body) || again.URL != m.URL || again.Status != m.Status {
			t.Errorf("%q became %q: %v", b, out, err)
		}
	})
}
