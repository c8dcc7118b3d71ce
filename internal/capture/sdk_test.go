package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

func (r *rig) client() *steno.Client {
	c := &steno.Client{URL: r.server.URL, Key: testKey, Source: "app"}
	r.t.Cleanup(func() {
		if err := c.Close(context.WithoutCancel(r.t.Context())); err != nil && r.log.Failed() == nil {
			r.t.Error(err)
		}
	})
	return c
}

// direct calls a model through the SDK's Transport, without the gateway.
func (r *rig) direct(c *steno.Client, method, url, body string, headers ...string) (*http.Response, error) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+"provider-secret")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return (&steno.Transport{Client: c}).RoundTrip(req)
}

func (r *rig) closings(n int) []string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	var ids []string
	for e, err := range r.log.Follow(ctx, 0) {
		if err != nil {
			r.t.Fatalf("%d exchanges closed, want %d: %v", len(ids), n, err)
		}
		if e.Leaf.Flags&steno.FlagCloses != 0 {
			if ids = append(ids, e.Leaf.Exchange.String()); len(ids) == n {
				break
			}
		}
	}
	return ids
}

// TestTransportRecordsWhatTheGatewayDoes makes the same calls through the gateway and through the Transport: bytes, facts
// and pieces on record are the same.
func TestTransportRecordsWhatTheGatewayDoes(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	c := r.client()
	for _, k := range []struct{ name, path, body string }{
		{"plain", "/v1/chat/completions", chatBody},
		{"stream", "/v1/chat/completions", streamBody},
		{"anthropic", "/v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":100,"messages":[{"role":"user","content":"What does a court reporter do?"}]}`},
		{"anthropic stream", "/v1/messages", `{"stream":true,"model":"claude-sonnet-4-5","max_tokens":100,"messages":[{"role":"user","content":"What does a court reporter do?"}]}`},
		{"responses stream", "/v1/responses", `{"stream":true,"model":"gpt-4o-mini","input":"What does a court reporter do?"}`},
		{"an error", "/v1/chat/completions", `{"model":"no-such-model","messages":[]}`},
	} {
		t.Run(k.name, func(t *testing.T) {
			through, _, err := r.do(r.post(k.path, k.body, "X-Steno-User", "ana"))
			if err != nil {
				t.Fatal(err)
			}
			want := r.exchange(through.Header.Get("X-Steno-Exchange"))
			start := r.log.Size()
			resp, err := r.direct(c, http.MethodPost, r.upstream.URL+k.path, k.body, "X-Steno-User", "ana")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			e, err := r.log.Read(start)
			if err != nil {
				t.Fatal(err)
			}
			got := r.exchange(e.Leaf.Exchange.String())
			if string(got.request) != k.body || !bytes.Equal(got.response, body) {
				t.Errorf("on record are %d and %d bytes, on the wire were %d and %d", len(got.request), len(got.response), len(k.body), len(body))
			}
			if len(got.events[0].Request) != len(want.events[0].Request) {
				t.Errorf("%d pieces, through the gateway %d", len(got.events[0].Request), len(want.events[0].Request))
			}
			for _, p := range got.events[0].Request {
				if bytes.Contains(p.Bytes, []byte("provider-secret")) {
					t.Error("the provider's key is on record")
				}
			}
			a, b := got.last(), want.last()
			if a.Result.End != b.Result.End || a.Result.Status != b.Result.Status || fmt.Sprint(a.Result.FinishReasons) != fmt.Sprint(b.Result.FinishReasons) ||
				usage(a.Result) != usage(b.Result) || a.Result.ErrorType != b.Result.ErrorType {
				t.Errorf("the result is %+v (usage %s), through the gateway %+v (usage %s)", a.Result, usage(a.Result), b.Result, usage(b.Result))
			}
			if a.Model.Answered != b.Model.Answered || a.Model.Asked != b.Model.Asked || a.Model.API != b.Model.API || a.Model.Operation != b.Model.Operation || a.Model.Dialect != b.Model.Dialect {
				t.Errorf("the model is %+v, through the gateway %+v", a.Model, b.Model)
			}
			if fmt.Sprint(a.Result.Cost) != fmt.Sprint(b.Result.Cost) {
				t.Errorf("it cost %+v, through the gateway %+v", a.Result.Cost, b.Result.Cost)
			}
			if id := got.events[0].Identity; id.User != "ana" || id.UserSource != "event" {
				t.Errorf("it is %+v", id)
			}
			if first := got.events[0]; len(first.TraceID) != 32 || first.TraceID != a.TraceID {
				t.Errorf("traces %q and %q", first.TraceID, a.TraceID)
			}
		})
	}
}

func usage(r *steno.Result) string {
	if r.Usage == nil {
		return "none"
	}
	return fmt.Sprintf("%s %d %d", r.Usage.Source, value(r.Usage.Input), value(r.Usage.Output))
}

func TestTransportSendsNothingUnrecorded(t *testing.T) {
	var r *rig
	asked := 0
	var recorded atomic.Bool
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		recorded.Store(len(r.log.State().Open) == 1)
		if req.Header.Get("X-Steno-User") != "" || req.Header.Get("Traceparent") == "" {
			t.Errorf("it was sent %v", req.Header)
		}
		fmt.Fprint(w, `{"id":"x","choices":[]}`)
	}))
	defer up.Close()
	r = newRig(t, http.NotFoundHandler(), nil)
	c := r.client()
	resp, err := r.direct(c, http.MethodPost, up.URL+"/v1/chat/completions", chatBody, "X-Steno-User", "ana")
	if err != nil || !recorded.Load() {
		t.Fatalf("the request was durable when it was sent: %v; %v", recorded.Load(), err)
	}
	// From now on the log cannot be written: the answer is withheld, and no other call is made.
	r.fs.Fault(func(op disk.Op) disk.Fault {
		if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") {
			return disk.Fault{Err: syscall.EIO}
		}
		return disk.Fault{}
	})
	b, err := io.ReadAll(resp.Body)
	if err == nil || len(b) > 0 {
		t.Errorf("an answer whose record failed: %q, %v", b, err)
	}
	resp.Body.Close()
	if _, err := r.direct(c, http.MethodPost, up.URL+"/v1/chat/completions", chatBody, "X-Steno-User", "ana"); err == nil || asked != 1 {
		t.Errorf("%d calls were made: %v", asked, err)
	}
}

// TestTransportHoldsTheEnd has the log stall: of a stream all but its end is shown.
func TestTransportHoldsTheEnd(t *testing.T) {
	stall := make(chan struct{})
	free := sync.OnceFunc(func() { close(stall) })
	defer free()
	var hold atomic.Bool
	r := newRig(t, http.NotFoundHandler(), nil)
	r.fs.Fault(func(op disk.Op) disk.Fault {
		if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") && hold.Load() {
			<-stall
		}
		return disk.Fault{}
	})
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hold.Store(true)
		w.Header().Set("Content-Type", "text/event-stream")
		for _, data := range []string{
			`{"id":"c1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"content":"Hello"}}]}`,
			`{"id":"c1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, `[DONE]`,
		} {
			fmt.Fprintf(w, "data: %s\n\n", data)
		}
	}))
	defer up.Close()
	resp, err := r.direct(r.client(), http.MethodPost, up.URL+"/v1/chat/completions", streamBody)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 4096)
	n, err := resp.Body.Read(buf)
	if err != nil || !strings.Contains(string(buf[:n]), "Hello") || strings.Contains(string(buf[:n]), "stop") {
		t.Fatalf("first is shown %q, %v", buf[:n], err)
	}
	rest := make(chan []byte)
	go func() {
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Error(err)
		}
		rest <- b
	}()
	select {
	case b := <-rest:
		t.Fatalf("before the record is durable %q is shown", b)
	default:
	}
	free()
	if b := <-rest; !strings.HasSuffix(string(b), "data: [DONE]\n\n") {
		t.Errorf("the rest is %q", b)
	}
}

func TestTransportEnds(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	c := r.client()
	long := strings.Repeat("x", 300<<10)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.URL.Path {
		case "/v1/cut":
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case "/v1/long":
			fmt.Fprint(w, long)
		case "/v1/endless":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "data: 1\n\ndata: 2\n\n")
			w.(http.Flusher).Flush()
			<-req.Context().Done()
		}
	}))
	defer up.Close()
	last := func(n int) *taken {
		ids := r.closings(n)
		return r.exchange(ids[n-1])
	}
	resp, err := r.direct(c, http.MethodPost, up.URL+"/v1/cut", "{}")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) || string(b) != "half" {
		t.Errorf("%q, %v", b, err)
	}
	resp.Body.Close()
	x := last(1)
	x.ended(t, steno.EndUpstreamCut, 200)
	if string(x.response) != "half" {
		t.Errorf("on record is %q", x.response)
	}
	if resp, err = r.direct(c, http.MethodGet, up.URL+"/v1/long?key=hush&page=2", ""); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != long {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	resp.Body.Close()
	x = last(2)
	x.ended(t, steno.EndComplete, 200)
	if string(x.response) != long || len(x.events) < 3 || x.last().Result.Parts == 0 {
		t.Errorf("on record are %d bytes in %d records", len(x.response), len(x.events))
	}
	if head := string(x.events[0].Request[0].Bytes); strings.Contains(head, "hush") || !strings.Contains(head, "page=2") {
		t.Errorf("the head is %s", head)
	}
	if resp, err = r.direct(c, http.MethodPost, up.URL+"/v1/endless", "{}"); err != nil {
		t.Fatal(err)
	}
	if _, err := resp.Body.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	last(3).ended(t, steno.EndClientGone, 200)
	up.Close()
	if _, err = r.direct(c, http.MethodPost, up.URL+"/v1/none", "{}"); err == nil {
		t.Fatal("an answer without a server")
	}
	last(4).ended(t, steno.EndUpstreamFailed, 0)
}

func TestTransportIsBlockedByACheck(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), func(c *Config) { c.Checks["secret"] = "block" })
	up := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	defer up.Close()
	_, err := r.direct(r.client(), http.MethodPost, up.URL+"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"AKIA`+`Q3EGWZ7JX5PLM2RT"}]}`)
	if !errors.Is(err, steno.ErrBlocked) {
		t.Fatal(err)
	}
	x := r.only()
	x.ended(t, steno.EndBlocked, 0)
	if x.events[0].Safety.Action != "block" || len(x.events[0].Flags) != 1 {
		t.Errorf("on record is %+v", x.events[0].Safety)
	}
}

func TestBegin(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	c := r.client()
	ctx := steno.WithTrace(t.Context(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	x, err := c.Begin(ctx, steno.Event{})
	if err != nil {
		t.Fatal(err)
	}
	if open := r.log.State().Open; len(open) != 1 || open[0].Exchange != x.ID() {
		t.Fatalf("open are %v when Begin returns", open)
	}
	one := int64(11)
	for _, step := range []func() error{
		func() error { return x.Identity(ctx, steno.Identity{User: "ana", Role: "clerk"}) },
		func() error { return x.Prompt(ctx, "What is due on 1042?") },
		func() error { return x.Model(ctx, steno.Model{Asked: "own-7b", Version: "3"}) },
		func() error {
			return x.Check(ctx, steno.Check{Name: "own/pii", Version: "1", Direction: "in", Outcome: "done"},
				steno.Finding{Flag: "personal_data", Rule: "name", Source: "own/pii", Version: "1", Direction: "in", Score: 0.9, Action: "record"})
		},
		func() error { return x.Respond(ctx, "312 ") },
		func() error { return x.Respond(ctx, "euros.") },
		func() error {
			return x.End(ctx, steno.Result{FinishReasons: []string{"stop"}, Usage: &steno.Usage{Source: "reported", Output: &one}})
		},
	} {
		before := r.log.Size()
		if err := step(); err != nil {
			t.Fatal(err)
		}
		if r.log.Size() == before {
			t.Error("it returned and nothing was recorded")
		}
	}
	if err := x.End(ctx, steno.Result{}); !errors.Is(err, steno.ErrEnded) {
		t.Errorf("ended twice: %v", err)
	}
	got := r.exchange(x.ID().String())
	last := got.last()
	if got.flags[0] != steno.FlagOpens || got.flags[len(got.flags)-1] != steno.FlagCloses || len(r.log.State().Open) != 0 {
		t.Errorf("flags %v", got.flags)
	}
	if string(last.Result.Output) != `"312 euros."` || string(last.Prompt.Input) != `"What is due on 1042?"` || last.Identity.User != "ana" ||
		last.Model.Asked != "own-7b" || last.Result.End != steno.EndComplete || last.Result.Parts != 2 {
		t.Errorf("the last record says %+v %+v %+v %+v", last.Identity, last.Model, last.Prompt, last.Result)
	}
	names := ""
	for _, e := range []*steno.Event{&got.events[0].Event, &last.Event} {
		for _, step := range e.Timing.Steps {
			names += step.Name + " "
		}
	}
	if names != "received identity prompt model checks_in answer output output " {
		t.Errorf("the steps are %s", names)
	}
	for _, e := range got.events {
		if e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || e.Parent != "00f067aa0ba902b7" {
			t.Errorf("%s is of the trace %q %q", e.Type, e.TraceID, e.Parent)
		}
	}
}

func TestAnExchangeThatIsNeverEnded(t *testing.T) {
	t.Run("closed by the client", func(t *testing.T) {
		r := newRig(t, http.NotFoundHandler(), nil)
		c := r.client()
		x, err := c.Begin(t.Context(), steno.Event{Model: &steno.Model{Asked: "own-7b"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.exchange(x.ID().String()).ended(t, steno.EndUnknown, 0)
	})
	t.Run("closed by steno", func(t *testing.T) {
		r := newRig(t, http.NotFoundHandler(), func(c *Config) { c.OpenTimeout = 50 * time.Millisecond })
		c := &steno.Client{URL: r.server.URL, Key: testKey, Source: "app"}
		x, err := c.Begin(t.Context(), steno.Event{Model: &steno.Model{Asked: "own-7b"}})
		if err != nil {
			t.Fatal(err)
		}
		got := r.exchange(x.ID().String())
		got.ended(t, steno.EndUnknown, 0)
		if got.last().Model.Asked != "own-7b" {
			t.Errorf("the model is %+v", got.last().Model)
		}
		// A late end is recorded beside it, and is no second closing.
		if err := x.End(t.Context(), steno.Result{}); err != nil {
			t.Fatal(err)
		}
		e, err := r.log.Read(r.log.Size() - 1)
		if err != nil || e.Leaf.Exchange != x.ID() || e.Leaf.Flags != 0 {
			t.Errorf("%v %v", e, err)
		}
	})
}

// TestOthersExchangesAreLeftAlone: a submitted event neither opens nor closes what is not its tenant's, nor what goes
// through the gateway.
func TestOthersExchangesAreLeftAlone(t *testing.T) {
	release := make(chan struct{})
	up := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, `{"id":"x"}`)
	})
	r := newRig(t, up, nil)
	done := make(chan string)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/chat/completions", chatBody))
		if err != nil {
			t.Error(err)
			close(done)
			return
		}
		resp.Body.Close()
		done <- resp.Header.Get("X-Steno-Exchange")
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var id steno.ID
	for e, err := range r.log.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Leaf.Flags&steno.FlagOpens != 0 {
			id = e.Leaf.Exchange
			break
		}
	}
	for i, kind := range []string{`"inference.request"`, `"inference.response","result":{"steno.end":"complete"}`, `"inference.response_part","result":{"steno.part":1}`} {
		_, s := r.submit(fmt.Sprintf(`{"type":%s,"origin":{"source":"x","id":"%d"},"exchange":%q}`, kind, i, id))
		if len(s.Accepted) != 1 {
			t.Fatalf("%s: %+v", kind, s)
		}
		if e, err := r.log.Read(r.log.Size() - 1); err != nil || e.Leaf.Flags != 0 {
			t.Errorf("%s has the flags %v: %v", kind, e.Leaf.Flags, err)
		}
	}
	close(release)
	if got := <-done; got != id.String() {
		t.Errorf("%s, %s", got, id)
	}
}

// TestARestartLeavesExchangesOpen: an exchange that an application opened outlives the process, one of the gateway does not.
func TestARestartLeavesExchangesOpen(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	c := &steno.Client{URL: r.server.URL, Key: testKey, Source: "app"}
	x, err := c.Begin(t.Context(), steno.Event{Model: &steno.Model{Asked: "own-7b"}})
	if err != nil {
		t.Fatal(err)
	}
	mine, err := r.gateway.rec.Submit(&steno.Draft{Event: steno.Event{ID: steno.NewID(time.Now()), Exchange: steno.NewID(time.Now()), Type: "inference.request", Time: time.Now()}}, steno.FlagOpens)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	open := r.log.State().Open
	if len(open) != 2 {
		t.Fatalf("open are %v", open)
	}
	// What the next start does: it closes what the gateway left open, and a new gateway takes over the rest.
	whose := func(o steno.OpenExchange) *steno.Event {
		e, err := r.log.Read(o.FirstLeaf)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata)
		if err != nil {
			t.Fatal(err)
		}
		return &opened.Event
	}
	if err := r.gateway.rec.CloseUnknown(t.Context(), open, whose, r.gateway.cfg.Logger); err != nil {
		t.Fatal(err)
	}
	if open = r.log.State().Open; len(open) != 1 || open[0].Exchange != x.ID() {
		t.Fatalf("open after the start are %v", open)
	}
	r.gateway.open.close()
	r.gateway.open = newOpenCalls(r.gateway, time.Hour)
	if err := x.Respond(t.Context(), "312 euros."); err != nil {
		t.Fatal(err)
	}
	if err := x.End(t.Context(), steno.Result{}); err != nil {
		t.Fatal(err)
	}
	got := r.exchange(x.ID().String())
	if got.ended(t, steno.EndComplete, 0); fmt.Sprint(got.flags) != fmt.Sprint([]steno.LeafFlags{steno.FlagOpens, steno.FlagContinues, steno.FlagCloses}) {
		t.Errorf("flags %v", got.flags)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestWhatIsTakenOverRaisesNoAlert: the checks look at it, and nothing is done about it.
func TestWhatIsTakenOverRaisesNoAlert(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), func(c *Config) { c.Checks["secret"] = "block" })
	before := r.log.Size()
	_, s := r.submit(`{"type":"inference.call","imported":true,"time":"2026-01-01T00:00:00Z","origin":{"source":"x","id":"1","kind":"independent"},"model":{"gen_ai.request.model":"m"},"result":{"steno.end":"complete"},
		"request":{"method":"POST","url":"/v1/chat/completions","body":"{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"AKIA` + `Q3EGWZ7JX5PLM2RT\"}]}"}}`)
	if len(s.Accepted) != 1 {
		t.Fatalf("%+v", s)
	}
	for i := before; i < r.log.Size(); i++ {
		e, err := r.log.Read(i)
		if err != nil {
			t.Fatal(err)
		}
		if e.Leaf.Flags&steno.FlagPublicOnly != 0 {
			continue
		}
		o, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionMetadata)
		if err != nil {
			t.Fatal(err)
		}
		if o.Type != "inference.call" || len(o.Flags) != 1 || o.Safety.Action != "record" || e.Leaf.Flags != steno.FlagImported|steno.FlagOpens|steno.FlagCloses || o.Result.End != steno.EndComplete {
			t.Errorf("it is %s, %v, %+v, %+v", o.Type, e.Leaf.Flags, o.Safety, o.Result)
		}
	}
}
