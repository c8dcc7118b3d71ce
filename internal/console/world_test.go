package console_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/console"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
	"github.com/steno-audit/steno/internal/serve"
)

const (
	token  = "the-token-of-this-test"
	origin = "steno.test/console"
)

// world is a log on the disk with the console over it, behind serve's door.
type world struct {
	t      testing.TB
	log    *journal.Journal
	sealer *seal.Sealer
	http   *httptest.Server
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newWorld(t testing.TB, demo bool) *world {
	t.Helper()
	ctx, dir, fsys := t.Context(), filepath.Join(t.TempDir(), "data"), disk.OS()
	w := &world{t: t}
	check(t, fsys.MkdirAll(dir))
	keys, err := seal.Create(fsys, dir+".keys", origin, time.Now())
	check(t, err)
	signer, vkey, err := keys.Signer()
	check(t, err)
	w.log, _, err = journal.Open(ctx, journal.Config{FS: fsys, Dir: dir, AnchorDir: dir + ".anchor", Origin: origin, Signer: signer, VKey: vkey})
	check(t, err)
	for _, p := range []struct {
		t steno.PublicType
		v any
	}{
		{steno.TypeLogCreated, steno.LogCreated{Origin: origin, VKey: vkey, Created: time.Now().UnixNano(), Demo: demo}},
		{steno.TypeSourceStarted, steno.SourceStarted{Name: "test", Version: "test", HeartbeatNS: int64(time.Hour), ExchangeTimeout: int64(time.Hour)}},
		{steno.TypeHeartbeat, steno.Heartbeat{Clock: uint32(steno.NewClockState(true, 1500)), MaxErrorNS: 1500_000}},
	} {
		_, err := w.log.Announce(p.t, p.v)
		check(t, err)
	}
	w.sealer = seal.NewSealer(keys, seal.Config{Announce: func(p steno.PublicType, v any) error { _, err := w.log.Announce(p, v); return err }})
	ix, err := index.Open(ctx, index.Config{FS: fsys, Dir: filepath.Join(dir, "index"), Log: w.log, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
	check(t, err)
	reader := serve.NewReader(serve.Config{
		Log: w.log, Keys: keys, Index: ix, Dir: dir, Version: "test", Demo: demo,
		Record: func(_ context.Context, d *steno.Draft) error { w.record(d, 0); return nil },
	})
	pages := console.Handler(reader, console.Config{Gateway: "http://127.0.0.1:4600", Demo: demo})
	w.http = httptest.NewServer(serve.Handler(reader, token, pages))
	t.Cleanup(func() {
		w.http.Close()
		check(t, ix.Close())
		check(t, w.log.Close())
	})
	return w
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

// sample is one call as the gateway would record it; open leaves it without an answer.
type sample struct {
	id                steno.ID
	user              string
	request, response string
	secret            string
	open              bool
	end               steno.End
}

var chat = dialect.Call{Dialect: dialect.OpenAI, API: "chat_completions", Operation: "chat"}

func (w *world) call(s sample) sample {
	w.t.Helper()
	at := time.Now().UTC()
	s.id = steno.NewID(at)
	p := chat.ParseRequest([]byte(s.request), http.Header{})
	model := p.Model
	model.Dialect, model.API, model.Operation, model.Provider = chat.Dialect, chat.API, chat.Operation, "openai"
	model.Method, model.Path, model.Understood = "POST", "/v1/chat/completions", true
	var found []steno.Finding
	var flags []steno.Flag
	if s.secret != "" {
		i := strings.Index(s.request, s.secret)
		if i < 0 {
			w.t.Fatal("the secret is not in the request")
		}
		flags = []steno.Flag{"secret"}
		found = []steno.Finding{{
			Flag: "secret", Rule: "test-key", Source: "steno/secrets", Version: "1", Direction: "in", Score: 0.9, Action: "alert",
			Span: &steno.Span{Body: "request", Start: i, End: i + len(s.secret)},
		}}
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(at), Type: "inference.request", Exchange: s.id, Time: at, Flags: flags,
		Identity: &steno.Identity{User: s.user, UserSource: "header", Auth: "key", Key: "k1", Conversation: "c-1"}, Model: &model, Prompt: &p.Prompt,
		Safety: &steno.Safety{Checks: []steno.Check{{Name: "steno/secrets", Version: "1", Direction: "in", Outcome: "done", Micros: 40}}, Findings: found},
		Timing: &steno.Timing{Received: at, Steps: []steno.Step{{Name: "received", Start: at, End: at.Add(time.Millisecond), Outcome: "ok"}}},
	}}
	d.Request = append([]steno.Piece{w.head(map[string]any{"method": "POST", "path": "/v1/chat/completions", "proto": "HTTP/1.1"})}, p.Pieces...)
	leaf := w.record(d, steno.FlagOpens)
	if s.secret != "" {
		w.record(&steno.Draft{Event: steno.Event{
			ID: steno.NewID(at), Type: "security.alert", Exchange: s.id, Time: at, Identity: &steno.Identity{User: s.user}, Flags: flags,
			Links: []steno.Link{{Rel: "finding", Leaf: &leaf}}, Safety: &steno.Safety{Findings: found, Action: "alert"},
			System: &steno.System{Action: "alert", Outcome: "alert"},
		}}, 0)
	}
	if !s.open {
		w.finish(s, at)
	}
	return s
}

func (w *world) finish(s sample, at time.Time) {
	w.t.Helper()
	a := chat.ParseResponse(http.StatusOK, http.Header{"Content-Type": {"application/json"}}, []byte(s.response), true)
	res, model := a.Result, a.Model
	res.Status, res.End, res.Cost = http.StatusOK, s.end, &steno.Cost{State: "unpriced"}
	if res.End == "" {
		res.End = steno.EndComplete
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(at), Type: "inference.response", Exchange: s.id, Time: at.Add(time.Second), Identity: &steno.Identity{User: s.user}, Model: &model, Result: &res,
		Timing: &steno.Timing{Received: at, Finished: at.Add(time.Second), LatencyMS: 1000, Steps: []steno.Step{{Name: "answer", Start: at, End: at.Add(time.Second), Outcome: "ok"}}},
	}}
	d.Response = []steno.Piece{w.head(map[string]any{"status": 200, "proto": "HTTP/1.1"}), {Kind: steno.KindOutput, Bytes: []byte(s.response)}}
	w.record(d, steno.FlagCloses)
}

func (w *world) head(v any) steno.Piece {
	b, err := json.Marshal(v)
	check(w.t, err)
	return steno.Piece{Kind: steno.KindHead, Bytes: b}
}

// get asks for a page with the token.
func (w *world) get(path string) (int, string) {
	w.t.Helper()
	resp := w.do(http.MethodGet, path, nil)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(w.t, err)
	return resp.StatusCode, string(b)
}

func (w *world) do(method, path string, header map[string]string) *http.Response {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.http.URL+path, nil)
	check(w.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := (&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).Do(req)
	check(w.t, err)
	return resp
}

// page asks for a page that must be there.
func (w *world) page(path string) string {
	w.t.Helper()
	status, body := w.get(path)
	if status != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

const answer = `{"id":"chatcmpl-9","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Four <b>lamps</b>."},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}`

// leak is a secret that no scanner of this source finds.
func leak() string { return strings.Join([]string{"sk", "live", strings.Repeat("Zq7", 9)}, "-") }
