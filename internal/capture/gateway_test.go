package capture

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

func TestPlainAndStreamedAnswersAreUnchangedAndRecorded(t *testing.T) {
	upstream := stubHandler(t)
	r := newRig(t, upstream, nil)
	for _, c := range []struct{ name, path, body string }{
		{"chat", "/v1/chat/completions", chatBody},
		{"chat stream", "/v1/chat/completions", streamBody},
		{"responses", "/v1/responses", `{"model":"gpt-4.1-mini","input":"Draft a reminder."}`},
		{"responses stream", "/v1/responses", `{"model":"gpt-4.1-mini","input":"Draft a reminder.","stream":true}`},
		{"embeddings", "/v1/embeddings", `{"model":"text-embedding-3-small","input":"lamp"}`},
		{"messages", "/v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":300,"messages":[{"role":"user","content":"Hello there"}]}`},
		{"messages stream", "/v1/messages", `{"model":"claude-sonnet-4-5","max_tokens":300,"stream":true,"messages":[{"role":"user","content":"Hello there"}]}`},
		{"unknown path", "/v1/no/such/thing", `{"a": 1}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			ask := r.post(c.path, c.body)
			ask.URL.Host = strings.TrimPrefix(r.upstream.URL, "http://")
			direct, err := http.DefaultTransport.RoundTrip(ask)
			if err != nil {
				t.Fatal(err)
			}
			defer direct.Body.Close()
			want, err := io.ReadAll(direct.Body)
			if err != nil {
				t.Fatal(err)
			}
			resp, got, err := r.do(r.post(c.path, c.body))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != direct.StatusCode {
				t.Errorf("status %d, the upstream says %d", resp.StatusCode, direct.StatusCode)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if string(x.request) != c.body {
				t.Errorf("the request on record is\n%s\nnot\n%s", x.request, c.body)
			}
			if !bytes.Equal(x.response, got) {
				t.Errorf("the answer on record has %d bytes, the client got %d", len(x.response), len(got))
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the answer is not what the upstream says:\n%s\n%s", got, want)
			}
			if got, want := x.flags[0], steno.FlagOpens; got != want {
				t.Errorf("first record has flags %d, want %d", got, want)
			}
			if x.last().Result.Status != resp.StatusCode {
				t.Errorf("status on record %d, answered %d", x.last().Result.Status, resp.StatusCode)
			}
		})
	}
}

func TestFactsOfACall(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	resp, _, err := r.do(r.post("/v1/chat/completions", chatBody, "X-Steno-Conversation", "c-9", "X-Steno-Document", "id=d1; index=kb; score=0.5", "X-Steno-Prompt", "care@3",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
	if err != nil {
		t.Fatal(err)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	q, a := x.events[0], x.last()
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"user", q.Identity.User, "ana"},
		{"user source", q.Identity.UserSource, "user"},
		{"key", q.Identity.Key, "k1"},
		{"tenant", q.Identity.Tenant, "acme"},
		{"conversation", q.Identity.Conversation, "c-9"},
		{"document", fmt.Sprint(len(q.Data.Documents), q.Data.Documents[0].ID, *q.Data.Documents[0].Score), "1d10.5"},
		{"prompt", q.Prompt.Name + " " + q.Prompt.Version, "care 3"},
		{"trace", q.TraceID, "0af7651916cd43dd8448eb211c80319c"},
		{"asked", q.Model.Asked, "gpt-4o-mini"},
		{"answered", a.Model.Answered, "gpt-4o-mini-2024-07-18"},
		{"end", a.Result.End, steno.EndComplete},
		{"usage", a.Result.Usage.Source, "reported"},
		{"cost", a.Result.Cost.State, "priced"},
		{"identity of the answer", a.Identity.User + a.Identity.Address, "ana"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", c.what, c.got, c.want)
		}
	}
}

// TestNothingSecretIsForwardedOrRecorded looks at what the upstream gets and what the records say of headers.
func TestNothingSecretIsForwardedOrRecorded(t *testing.T) {
	var got http.Header
	var query string
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, query = req.Header.Clone(), req.URL.RawQuery
		w.Header().Set("Set-Cookie", "session=canary-cookie")
		fmt.Fprint(w, `{}`)
	}), nil)
	resp, _, err := r.do(r.post("/v1/chat/completions?api_key=canary-query&x=1", chatBody, "X-Steno-User", "u", "Cookie", "canary-cookie", "Connection", "X-Hop", "X-Hop", "1"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range got {
		if strings.HasPrefix(name, "X-Steno") || name == "X-Hop" {
			t.Errorf("%s was forwarded", name)
		}
	}
	if got.Get("Authorization") != "Bearer provider-key" {
		t.Errorf("the upstream got Authorization %q", got.Get("Authorization"))
	}
	if query != "api_key=canary-query&x=1" {
		t.Errorf("the upstream got the query %q", query)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	for _, o := range x.events {
		for _, p := range append(o.Request, o.Response...) {
			for _, secret := range []string{"canary", testKey, "provider-key"} {
				if bytes.Contains(p.Bytes, []byte(secret)) {
					t.Errorf("a %s piece has %q: %s", p.Kind, secret, p.Bytes)
				}
			}
		}
	}
}

func TestWhoMayCall(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	for _, c := range []struct {
		name, path string
		headers    []string
		status     int
		auth       string
	}{
		{"a key where OpenAI's SDK puts it", "/v1/chat/completions", nil, 200, "key"},
		{"a key where Anthropic's SDK puts it", "/v1/chat/completions", []string{"Authorization", "", "X-Api-Key", testKey}, 200, "key"},
		{"no key", "/v1/chat/completions", []string{"Authorization", ""}, 401, "failed"},
		{"a wrong key", "/v1/chat/completions", []string{"Authorization", "Bearer nonsense"}, 401, "failed"},
		{"a wrong key in x-steno-key", "/own/v1/chat/completions", []string{"X-Steno-Key", "nonsense"}, 401, "failed"},
		{"the caller's own provider key", "/own/v1/chat/completions", []string{"Authorization", "Bearer sk-own"}, 200, "passthrough"},
		{"a steno key beside a provider key", "/own/v1/chat/completions", []string{"Authorization", "Bearer sk-own", "X-Steno-Key", testKey}, 200, "key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, body, err := r.do(r.post(c.path, chatBody, c.headers...))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, c.status, body)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if got := x.events[0].Identity.Auth; got != c.auth {
				t.Errorf("recorded as %q, want %q", got, c.auth)
			}
			if c.status == 401 && len(x.request) > 0 {
				t.Error("the body of a caller without a key was recorded")
			}
		})
	}
}

func TestAFloodOfWrongKeysIsCounted(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	const calls = 40
	recorded := 0
	for range calls {
		resp, _, err := r.do(r.post("/v1/chat/completions", chatBody, "Authorization", "Bearer nonsense"))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("X-Steno-Exchange") != "" {
			recorded++
		}
	}
	if recorded == calls {
		t.Fatalf("all %d refusals were recorded one by one", calls)
	}
	r.gateway.failures.flush()
	counted := 0
	for i := range r.log.Size() {
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
		n := 1
		if d, ok := o.System.Details["count"]; ok {
			if _, err := fmt.Sscan(string(d), &n); err != nil {
				t.Fatal(err)
			}
		}
		counted += n
	}
	if counted != calls {
		t.Errorf("the log accounts for %d refusals, there were %d", counted, calls)
	}
}

// TestTheRequestIsDurableBeforeItIsForwarded stalls every sync: the upstream must not hear of the call until one returns.
func TestTheRequestIsDurableBeforeItIsForwarded(t *testing.T) {
	var mu sync.Mutex
	var durable uint64
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"x"}`)
	}), nil)
	before := r.log.Size()
	release := make(chan struct{})
	stalled := make(chan struct{}, 64)
	r.fs.Fault(func(op disk.Op) disk.Fault {
		if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") {
			stalled <- struct{}{}
			<-release
		}
		return disk.Fault{}
	})
	answered := make(chan *http.Response, 1)
	go func() {
		resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/chat/completions", chatBody))
		if err == nil {
			answered <- resp
		}
		close(answered)
	}()
	<-stalled
	mu.Lock()
	durable = r.log.Size()
	mu.Unlock()
	if durable != before {
		t.Fatalf("the log has grown from %d to %d leaves before a sync returned", before, durable)
	}
	select {
	case <-answered:
		t.Fatal("the call was answered before its request was durable")
	default:
	}
	close(release)
	resp, ok := <-answered
	if !ok {
		t.Fatal("no answer")
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

// TestTheEndOfAStreamIsHeldBack lets the upstream send everything while the log cannot sync: all but the terminal events
// arrives.
func TestTheEndOfAStreamIsHeldBack(t *testing.T) {
	for _, encoding := range []string{"", "gzip"} {
		t.Run("encoding "+encoding, func(t *testing.T) {
			release := make(chan struct{})
			var once sync.Once
			seen := make(chan struct{})
			var hold atomic.Bool
			var r *rig
			r = newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				r.fs.Fault(func(op disk.Op) disk.Fault {
					if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") && hold.Load() {
						<-release
					}
					return disk.Fault{}
				})
				hold.Store(true)
				w.Header().Set("Content-Type", "text/event-stream")
				var out io.Writer = w
				flush := func() {}
				if encoding == "gzip" {
					w.Header().Set("Content-Encoding", "gzip")
					z := gzip.NewWriter(w)
					defer z.Close()
					out, flush = z, func() { z.Flush() }
				}
				for _, data := range []string{
					`{"id":"c1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{"content":"Hello"}}]}`,
					`{"id":"c1","object":"chat.completion.chunk","model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
					`[DONE]`,
				} {
					fmt.Fprintf(out, "data: %s\n\n", data)
					flush()
					w.(http.Flusher).Flush()
					<-seen
				}
			}), nil)
			defer once.Do(func() { close(release) })
			req := r.post("/v1/chat/completions", streamBody, "Accept-Encoding", encoding)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var in io.Reader = resp.Body
			if encoding == "gzip" {
				if in, err = gzip.NewReader(resp.Body); err != nil {
					t.Fatal(err)
				}
			}
			lines := bufio.NewReader(in)
			first, err := lines.ReadString('\n')
			if err != nil || !strings.Contains(first, "Hello") {
				t.Fatalf("the stream begins with %q, %v", first, err)
			}
			close(seen)
			rest := make(chan string, 1)
			go func() {
				b, err := io.ReadAll(lines)
				if err != nil {
					b = append(b, []byte(err.Error())...)
				}
				rest <- string(b)
			}()
			select {
			case s := <-rest:
				t.Fatalf("the stream ended before its record was durable: %q", s)
			case <-time.After(50 * time.Millisecond): // it only makes a wrong pass less likely, never a right one fail
			}
			once.Do(func() { close(release) })
			if s := <-rest; !strings.HasSuffix(s, "data: [DONE]\n\n") {
				t.Fatalf("the stream ends with %q", s)
			}
		})
	}
}

func TestHowCallsEnd(t *testing.T) {
	r := newRig(t, stubHandler(t), func(c *Config) { c.IdleTimeout = 300 * time.Millisecond; c.MaxBody = 4 << 10 })
	for _, c := range []struct {
		name, body, knob string
		status           int
		end              steno.End
		cut              bool
	}{
		{"an error of the provider", chatBody, "fail=500", 500, steno.EndProviderError, false},
		{"too many requests", chatBody, "fail=429;retry-after=7", 429, steno.EndProviderError, false},
		{"an error inside a 200", streamBody, "error-in-stream=2", 200, steno.EndErrorInAnswer, false},
		{"cut in the middle of an event", streamBody, "cut", 200, steno.EndUpstreamCut, true},
		{"cut after an event", streamBody, "cut=3", 200, steno.EndUpstreamCut, true},
		{"cut in the middle of a body", chatBody, "cut=20", 503, steno.EndUpstreamCut, true},
		{"silent in the middle", streamBody, "stall-mid=5s", 200, steno.EndTimedOut, true},
		{"an empty body", chatBody, "empty", 200, steno.EndComplete, false},
		{"broken JSON", chatBody, "badjson", 200, steno.EndErrorInAnswer, false},
		{"trailers", chatBody, "trailers", 200, steno.EndComplete, false},
		{"a slow body", streamBody, "slow-body=1ms", 200, steno.EndComplete, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := r.post("/v1/chat/completions", c.body, "X-Stub", c.knob)
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				if c.cut && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)) {
					return // nothing of a held-back answer was sent
				}
				t.Fatal(err)
			}
			got, readErr := io.ReadAll(resp.Body)
			resp.Body.Close()
			if (readErr != nil) != c.cut {
				t.Errorf("reading the answer: %v", readErr)
			}
			if resp.StatusCode != c.status && !c.cut {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if end := x.last().Result.End; end != c.end {
				t.Errorf("it ended %q, want %q", end, c.end)
			}
			if !bytes.HasPrefix(x.response, got) {
				t.Errorf("the client got %d bytes that are not on record (%d bytes)", len(got), len(x.response))
			}
			if strings.HasPrefix(c.knob, "fail=429") && (resp.Header.Get("Retry-After") != "7" || x.last().Result.RetryAfter != "7") {
				t.Errorf("Retry-After %q, on record %q", resp.Header.Get("Retry-After"), x.last().Result.RetryAfter)
			}
			if c.knob == "trailers" && len(resp.Trailer) == 0 {
				t.Error("the trailers were not passed on")
			}
		})
	}
	t.Run("a body over the limit", func(t *testing.T) {
		resp, _, err := r.do(r.post("/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"`+strings.Repeat("x", 5<<10)+`"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("status %d", resp.StatusCode)
		}
		if end := r.exchange(resp.Header.Get("X-Steno-Exchange")).last().Result.End; end != steno.EndRefused {
			t.Errorf("it ended %q", end)
		}
	})
	t.Run("a client that leaves", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/chat/completions", streamBody, "X-Stub", "delay=20ms,words=400").WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close() // it is left
		if end := r.exchange(resp.Header.Get("X-Steno-Exchange")).last().Result.End; end != steno.EndClientGone {
			t.Errorf("it ended %q", end)
		}
	})
	t.Run("no upstream", func(t *testing.T) {
		r.upstream.Close()
		resp, _, err := r.do(r.post("/v1/chat/completions", chatBody))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", resp.StatusCode)
		}
		if end := r.exchange(resp.Header.Get("X-Steno-Exchange")).last().Result.End; end != steno.EndUpstreamFailed {
			t.Errorf("it ended %q", end)
		}
	})
}

// TestALongStreamIsRecordedInParts sends more than partBytes and checks that the client never has more than that unrecorded.
func TestALongStreamIsRecordedInParts(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	resp, got, err := r.do(r.post("/v1/chat/completions", streamBody, "X-Stub", "words=3000"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) < 3*partBytes {
		t.Fatalf("the answer has %d bytes only", len(got))
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	if parts := len(x.events) - 2; parts < len(got)/(partBytes+readSize)-1 {
		t.Errorf("%d parts for %d bytes", parts, len(got))
	}
	if !bytes.Equal(x.response, got) {
		t.Errorf("the parts have %d bytes, the client got %d", len(x.response), len(got))
	}
	if x.last().Result.Parts != len(x.events)-2 {
		t.Errorf("the last record counts %d parts, there are %d", x.last().Result.Parts, len(x.events)-2)
	}
}

func TestALargeBodyIsSpooledAndForwardedWhole(t *testing.T) {
	var got [32]byte
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, req.Body); err != nil {
			t.Error(err)
		}
		got = [32]byte(h.Sum(nil))
		fmt.Fprint(w, `{}`)
	}), nil)
	body := `{"model":"m","messages":[{"role":"user","content":"` + strings.Repeat("many words ", 300_000) + `"}]}`
	resp, _, err := r.do(r.post("/v1/chat/completions", body))
	if err != nil {
		t.Fatal(err)
	}
	if got != sha256.Sum256([]byte(body)) {
		t.Error("the upstream got another body")
	}
	if x := r.exchange(resp.Header.Get("X-Steno-Exchange")); string(x.request) != body {
		t.Errorf("the record has %d bytes, the body %d", len(x.request), len(body))
	}
}

func TestWhenTheLogFails(t *testing.T) {
	for _, policy := range []string{"block", "allow"} {
		t.Run(policy, func(t *testing.T) {
			forwarded := 0
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				forwarded++
				fmt.Fprint(w, `{"id":"x"}`)
			}), func(c *Config) { c.OnLogFailure = policy })
			r.fs.Fault(func(op disk.Op) disk.Fault {
				if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") {
					return disk.Fault{Err: syscall.EIO}
				}
				return disk.Fault{}
			})
			resp, body, err := r.do(r.post("/v1/chat/completions", chatBody))
			if err != nil {
				t.Fatal(err)
			}
			gap, counted := r.gateway.rec.Gap()
			if policy == "block" {
				if resp.StatusCode != http.StatusServiceUnavailable || forwarded != 0 || !strings.Contains(string(body), "log") {
					t.Errorf("status %d, forwarded %d: %s", resp.StatusCode, forwarded, body)
				}
				return
			}
			if resp.StatusCode != http.StatusOK || forwarded != 1 {
				t.Errorf("status %d, forwarded %d", resp.StatusCode, forwarded)
			}
			if !counted || gap.Calls != 1 || gap.Why != "log_failed" {
				t.Errorf("the gap is %+v", gap)
			}
			if !r.gateway.rec.WriteGap() {
				t.Error("a log that failed took the record of the gap")
			}
		})
	}
}

func TestFindingsRaiseAlerts(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	key := "AKIA" + "Q3EGWZ7JX5" + "PLM2RT"
	body := `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"aws_access_key_id = ` + key + `"}]}`
	resp, _, err := r.do(r.post("/v1/chat/completions", body))
	if err != nil {
		t.Fatal(err)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	s := x.events[0].Safety
	if len(s.Findings) != 1 || s.Findings[0].Flag != "secret" || body[s.Findings[0].Span.Start:s.Findings[0].Span.End] != key {
		t.Fatalf("findings %+v", s.Findings)
	}
	if len(x.events) < 3 || x.events[1].Type != "security.alert" {
		t.Fatalf("no alert among %d records", len(x.events))
	}
}

func TestABlockedRequestIsNotForwarded(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded") }), func(c *Config) { c.Checks["secret"] = "block" })
	resp, body, err := r.do(r.post("/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"AKIA`+`Q3EGWZ7JX5PLM2RT"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(body), "content_blocked") {
		t.Errorf("status %d: %s", resp.StatusCode, body)
	}
	if end := r.exchange(resp.Header.Get("X-Steno-Exchange")).last().Result.End; end != steno.EndBlocked {
		t.Errorf("it ended %q", end)
	}
}
