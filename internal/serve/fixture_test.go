package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
	"github.com/steno-audit/steno/internal/serve"
)

const token = "the-token-of-this-test"

// world is a log on the disk with a reader over it.
type world struct {
	t      testing.TB
	dir    string
	log    *journal.Journal
	keys   *seal.Keys
	sealer *seal.Sealer
	index  *index.Index
	reader *serve.Reader
	http   *httptest.Server

	mu     sync.Mutex
	broken error // what recording a read fails with
}

func newWorld(t testing.TB) *world {
	t.Helper()
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "data")
	w := &world{t: t, dir: dir}
	fsys := disk.OS()
	check(t, fsys.MkdirAll(dir))
	var err error
	w.keys, err = seal.Create(fsys, dir+".keys", "steno.test/serve", time.Now())
	check(t, err)
	signer, vkey, err := w.keys.Signer()
	check(t, err)
	w.log, _, err = journal.Open(ctx, journal.Config{FS: fsys, Dir: dir, AnchorDir: dir + ".anchor", Origin: "steno.test/serve", Signer: signer, VKey: vkey})
	check(t, err)
	for _, p := range []struct {
		t steno.PublicType
		v any
	}{
		{steno.TypeLogCreated, steno.LogCreated{Origin: "steno.test/serve", VKey: vkey, Created: time.Now().UnixNano()}},
		{steno.TypeSourceStarted, steno.SourceStarted{Name: "test", Version: "test", HeartbeatNS: int64(time.Hour), ExchangeTimeout: int64(time.Hour)}},
		{steno.TypeHeartbeat, steno.Heartbeat{Clock: uint32(steno.NewClockState(true, 1500)), MaxErrorNS: 1500_000}},
	} {
		_, err := w.log.Announce(p.t, p.v)
		check(t, err)
	}
	w.sealer = seal.NewSealer(w.keys, seal.Config{Announce: func(p steno.PublicType, v any) error { _, err := w.log.Announce(p, v); return err }})
	w.index, err = index.Open(ctx, index.Config{FS: fsys, Dir: filepath.Join(dir, "index"), Log: w.log, Keys: w.keys, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	w.reader = serve.NewReader(serve.Config{
		Log: w.log, Keys: w.keys, Index: w.index, Dir: dir, Version: "test", Metrics: prometheus.NewRegistry(),
		Record: func(_ context.Context, d *steno.Draft) error {
			w.mu.Lock()
			err := w.broken
			w.mu.Unlock()
			if err != nil {
				return err
			}
			w.record(d, 0)
			return nil
		},
	})
	console := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "the console") })
	w.http = httptest.NewServer(serve.CheckHost(nil, serve.Handler(w.reader, token, console)))
	t.Cleanup(func() {
		w.http.Close()
		check(t, w.index.Close())
		check(t, w.log.Close())
	})
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) fail(err error) {
	w.mu.Lock()
	w.broken = err
	w.mu.Unlock()
}

// record seals and appends, as the recorder does.
func (w *world) record(d *steno.Draft, flags steno.LeafFlags) uint64 {
	w.t.Helper()
	s, err := w.sealer.Seal(d, time.Now())
	check(w.t, err)
	leaf := s.Leaf
	leaf.Flags |= flags
	i, err := w.log.Append(leaf, s.Body).Wait(w.t.Context())
	check(w.t, err)
	w.sealer.Durable(s, i)
	return i
}

// get asks the API with the token.
func (w *world) get(path string) (int, []byte) {
	w.t.Helper()
	return w.do(http.MethodGet, path, map[string]string{"Authorization": "Bearer " + token})
}

func (w *world) do(method, path string, header map[string]string) (int, []byte) {
	w.t.Helper()
	resp := w.answer(method, path, header)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(w.t, err)
	return resp.StatusCode, b
}

func (w *world) answer(method, path string, header map[string]string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, nil)
	check(w.t, err)
	for k, v := range header {
		if k == "Host" {
			req.Host = v
			continue
		}
		req.Header.Set(k, v)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	check(w.t, err)
	return resp
}

// ask decodes an answer that must be 200.
func ask[T any](w *world, path string) T {
	w.t.Helper()
	status, b := w.get(path)
	if status != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, status, b)
	}
	var v T
	check(w.t, json.Unmarshal(b, &v))
	return v
}

// sample is one call as the gateway would record it.
type sample struct {
	id                        steno.ID
	at                        time.Time
	user                      string
	call                      dialect.Call
	path                      string
	request, response         string
	contentType, encoding     string
	found                     []steno.Finding
	cut                       int // bytes of the answer in a part of their own; 0: no parts
	end                       steno.End
	requestWire, responseWire []byte // other bytes than request and response, as compressed ones
}

var (
	chat     = dialect.Call{Dialect: dialect.OpenAI, API: "chat_completions", Operation: "chat"}
	messages = dialect.Call{Dialect: dialect.Anthropic, API: "messages", Operation: "chat"}
)

func head(v any) steno.Piece {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return steno.Piece{Kind: steno.KindHead, Bytes: b}
}

func (s *sample) fill() {
	if s.at.IsZero() {
		s.at = time.Now().UTC()
	}
	if s.id.IsZero() {
		s.id = steno.NewID(s.at)
	}
	if s.contentType == "" {
		s.contentType = "application/json"
	}
	if s.end == "" {
		s.end = steno.EndComplete
	}
	if s.path == "" {
		s.path = "/v1/chat/completions"
	}
}

func flagsOf(fs []steno.Finding, side string) (out []steno.Finding, flags []steno.Flag) {
	for _, f := range fs {
		if f.Span.Body == side {
			out = append(out, f)
			flags = append(flags, f.Flag)
		}
	}
	return out, flags
}

// open records the request.
func (w *world) open(s *sample) uint64 {
	w.t.Helper()
	s.fill()
	p := s.call.ParseRequest([]byte(s.request), http.Header{})
	model := p.Model
	model.Dialect, model.API, model.Operation, model.Provider = s.call.Dialect, s.call.API, s.call.Operation, s.call.Dialect
	model.Upstream, model.Method, model.Path, model.Understood = s.call.Dialect, "POST", s.path, p.Understood
	found, flags := flagsOf(s.found, "request")
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(s.at), Type: "inference.request", Exchange: s.id, Time: s.at, Flags: flags,
		Identity: &steno.Identity{User: s.user, UserSource: "header", Asserted: []string{"user.id"}, Auth: "key", Key: "k1", Address: "127.0.0.1"},
		Model:    &model, Prompt: &p.Prompt,
		Safety: &steno.Safety{Checks: []steno.Check{{Name: "steno/secrets", Version: "1", Direction: "in", Outcome: "done", Micros: 40}}, Findings: found},
		Timing: &steno.Timing{Received: s.at, Steps: []steno.Step{
			{Name: "identity", Start: s.at, End: s.at.Add(10 * time.Microsecond), Outcome: "ok", Detail: "key"},
			{Name: "received", Start: s.at, End: s.at.Add(100 * time.Microsecond), Outcome: "ok"},
			{Name: "prompt", Start: s.at.Add(100 * time.Microsecond), End: s.at.Add(150 * time.Microsecond), Outcome: "ok"},
			{Name: "checks_in", Start: s.at.Add(150 * time.Microsecond), End: s.at.Add(190 * time.Microsecond), Outcome: "ok"},
			{Name: "model", Start: s.at.Add(200 * time.Microsecond), End: s.at.Add(200 * time.Microsecond), Outcome: "ok"},
		}},
	}}
	pieces := p.Pieces
	if s.requestWire != nil {
		pieces = []steno.Piece{{Kind: steno.KindBody, Bytes: s.requestWire}}
	}
	headers := http.Header{"Content-Type": {"application/json"}}
	if s.encoding != "" && s.requestWire != nil {
		headers.Set("Content-Encoding", s.encoding)
	}
	d.Request = append([]steno.Piece{head(map[string]any{"method": "POST", "path": s.path, "proto": "HTTP/1.1", "headers": headers})}, pieces...)
	return w.record(d, steno.FlagOpens)
}

// finish records the answer.
func (w *world) finish(s *sample) uint64 {
	w.t.Helper()
	s.fill()
	answer := []byte(s.response)
	if s.responseWire != nil {
		answer = s.responseWire
	}
	headers := http.Header{"Content-Type": {s.contentType}}
	if s.encoding != "" && s.responseWire != nil {
		headers.Set("Content-Encoding", s.encoding)
	}
	a := s.call.ParseResponse(http.StatusOK, headers, []byte(s.response), true)
	subject := &steno.Identity{User: s.user}
	if s.cut > 0 {
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(s.at), Type: "inference.response_part", Exchange: s.id, Time: s.at.Add(time.Millisecond), Identity: subject,
			Result: &steno.Result{Part: 1, Bytes: int64(s.cut)},
		}}
		d.Response = []steno.Piece{{Kind: steno.KindOutput, Bytes: answer[:s.cut]}}
		w.record(d, steno.FlagContinues)
		answer = answer[s.cut:]
	}
	res := a.Result
	res.Status, res.End, res.Bytes = http.StatusOK, s.end, int64(len(s.response))
	res.Cost = &steno.Cost{USD: "0.00042", Row: "abcd1234", Date: "2026-01-01", State: "priced"}
	model := a.Model
	model.Dialect, model.API, model.Operation, model.Provider = s.call.Dialect, s.call.API, s.call.Operation, s.call.Dialect
	found, flags := flagsOf(s.found, "response")
	finished := s.at.Add(900 * time.Millisecond)
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(finished), Type: "inference.response", Exchange: s.id, Time: finished, Identity: subject, Model: &model, Result: &res, Flags: flags,
		Safety: &steno.Safety{Checks: []steno.Check{{Name: "steno/secrets", Version: "1", Direction: "out", Outcome: "done", Micros: 30}}, Findings: found},
		Timing: &steno.Timing{
			Received: s.at, Forwarded: s.at.Add(2 * time.Millisecond), FirstByte: s.at.Add(300 * time.Millisecond), Finished: finished, LatencyMS: 900,
			Steps: []steno.Step{{Name: "answer", Start: s.at.Add(2 * time.Millisecond), End: finished, Outcome: "ok", Detail: string(s.end)}},
		},
	}}
	d.Response = []steno.Piece{head(map[string]any{"status": 200, "proto": "HTTP/1.1", "headers": headers}), {Kind: steno.KindOutput, Bytes: answer}}
	return w.record(d, steno.FlagCloses)
}

func (w *world) call(s *sample) *sample {
	w.t.Helper()
	w.open(s)
	w.finish(s)
	return s
}

// alert records what the gateway records for a finding that asks for it.
func (w *world) alert(s *sample, leaf uint64) uint64 {
	w.t.Helper()
	now := s.at.Add(time.Millisecond)
	return w.record(&steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "security.alert", Exchange: s.id, Time: now, Identity: &steno.Identity{User: s.user},
		Links: []steno.Link{{Rel: "finding", Leaf: &leaf}}, Flags: []steno.Flag{s.found[0].Flag},
		Safety: &steno.Safety{Findings: s.found[:1], Action: "alert"}, System: &steno.System{Action: "alert", Outcome: "alert"},
	}}, 0)
}

// leak is a secret that no scanner of this source finds.
func leak() string { return strings.Join([]string{"sk", "live", strings.Repeat("Zq7", 9)}, "-") }

// finding points at words in a body.
func finding(t testing.TB, side, body, words string, flag steno.Flag, rule string) steno.Finding {
	t.Helper()
	i := strings.Index(body, words)
	if i < 0 {
		t.Fatalf("%q is not in the %s", words, side)
	}
	direction := map[string]string{"request": "in", "response": "out"}[side]
	return steno.Finding{
		Flag: flag, Rule: rule, Source: "steno/secrets", Version: "1", Direction: direction, Score: 0.9, Action: "alert",
		Span: &steno.Span{Body: side, Start: i, End: i + len(words)},
	}
}

// reads returns the records of reads, the oldest first.
func (w *world) reads(kind string) []*steno.Event {
	w.t.Helper()
	var out []*steno.Event
	for i := range w.log.Size() {
		e, err := w.log.Read(i)
		check(w.t, err)
		if e.Leaf.Flags&steno.FlagPublicOnly != 0 {
			continue
		}
		o, err := w.keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata)
		check(w.t, err)
		if o.Type == kind {
			out = append(out, &o.Event)
		}
	}
	return out
}

const (
	askBody = `{"model":"gpt-4o","temperature":0.2,"messages":[{"role":"system","content":"You are brief."},{"role":"user","content":"What is 2+2?"}]}`
	okBody  = `{"id":"chatcmpl-A1b2C3","object":"chat.completion","model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"Four."},"finish_reason":"stop"}],"usage":{"prompt_tokens":21,"completion_tokens":2,"total_tokens":23}}`
)

func mustContain(t testing.TB, b []byte, words ...string) {
	t.Helper()
	for _, s := range words {
		if !bytes.Contains(b, []byte(s)) {
			t.Errorf("%q is not in %s", s, b)
		}
	}
}

func mustNotContain(t testing.TB, b []byte, words ...string) {
	t.Helper()
	for _, s := range words {
		if bytes.Contains(b, []byte(s)) {
			t.Errorf("%q is in %s", s, b)
		}
	}
}
