package stub

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// dialects are a request of each dialect and endpoint that streams.
var dialects = []struct {
	name, path string
	body       func(...obj) obj
}{
	{"chat", "/v1/chat/completions", chatBody},
	{"responses", "/v1/responses", responsesBody},
	{"messages", "/v1/messages", claudeBody},
	{"completions", "/v1/completions", func(more ...obj) obj { return with(obj{"model": "davinci-002", "prompt": question}, more) }},
	{"complete", "/v1/complete", func(more ...obj) obj {
		return with(obj{"model": "claude-instant-1.2", "max_tokens_to_sample": 400, "prompt": "\n\nHuman: " + question + "\n\nAssistant:"}, more)
	}},
}

// TestHelp holds the help against the parser: every knob in it exists, and none is left out.
func TestHelp(t *testing.T) {
	known := (&knobs{}).set("no-such-knob").Error()
	n := 0
	for line := range strings.Lines(Help) {
		if name, ok := strings.CutPrefix(line, "  "); ok && name[0] != ' ' {
			name = name[:strings.IndexAny(name, "=[ ")]
			n++
			if !strings.Contains(known, name) {
				t.Errorf("no knob %q", name)
			}
		}
	}
	want(t, n, strings.Count(known, ",")+1, "knobs in the help")
}

func TestFail(t *testing.T) {
	base := start(t, Config{})
	for _, c := range []struct {
		knob              string
		openAI, anthropic int
		kind, theirs      string
	}{
		{"fail=500", 500, 500, "server_error", "api_error"},
		{"fail=429;retry-after=2", 429, 429, "requests", "rate_limit_error"},
		{"fail=quota", 429, 429, "insufficient_quota", "rate_limit_error"},
		{"fail=overloaded", 503, 529, "server_error", "overloaded_error"},
		{"fail=auth", 401, 401, "invalid_request_error", "authentication_error"},
		{"fail=404", 404, 404, "invalid_request_error", "not_found_error"},
		{"fail=too_large", 413, 413, "invalid_request_error", "request_too_large"},
		{"fail=timeout", 504, 504, "server_error", "timeout_error"},
	} {
		retry := ""
		if strings.Contains(c.knob, "retry-after") {
			retry = "2"
		}
		a := post(t, base, "/v1/chat/completions", chatBody(obj{"model": "gpt-4o-mini+" + c.knob}))
		want(t, a.status, c.openAI, c.knob)
		want(t, str(t, a.json(t), "error", "type"), c.kind, c.knob)
		want(t, a.header.Get("Retry-After"), retry, c.knob)
		a = post(t, base, "/v1/messages", claudeBody(stream), "x-stub", c.knob)
		want(t, a.status, c.anthropic, c.knob)
		want(t, str(t, a.json(t), "error", "type"), c.theirs, c.knob)
		want(t, a.header.Get("Retry-After"), retry, c.knob)
	}
}

func TestHeaderWins(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/chat/completions", chatBody(obj{"model": "gpt-4o-mini+words=5,refuse"}), "x-stub", "words=7").ok(t)
	want(t, str(t, v, "model"), "gpt-4o-mini-2024-07-18", "model")
	if at(t, v, "choices", 0, "message", "refusal") == nil {
		t.Error("the model's knob is lost")
	}
	v = post(t, base, "/v1/chat/completions", chatBody(obj{"model": "gpt-4o-mini+words=5"}), "x-stub", "words=7").ok(t)
	want(t, len(strings.Fields(str(t, v, "choices", 0, "message", "content"))), 7, "words")
}

func TestBadKnobs(t *testing.T) {
	base := start(t, Config{})
	for _, k := range []string{"fial=500", "fail", "fail=200", "fail=500;after=2", "fail=429;retry-after=x", "stall", "stall=2", "delay=-1s", "words=x", "words", "words=99999999", "cut=-1", "refuse=1"} {
		for _, a := range []answer{
			post(t, base, "/v1/chat/completions", chatBody(), "x-stub", k),
			post(t, base, "/v1/messages", claudeBody(obj{"model": "claude-opus-4-5+" + k})),
		} {
			want(t, a.status, http.StatusBadRequest, k)
			if !strings.Contains(string(a.body), `stub: knob \"`+k+`\"`) {
				t.Errorf("%s: %s", k, a.body)
			}
		}
	}
}

func TestKnobsKeepTheWords(t *testing.T) {
	base := start(t, Config{})
	for _, d := range dialects {
		for _, more := range []obj{{}, stream} {
			plain := post(t, base, d.path, d.body(more))
			for _, k := range []string{"stall=1ms", "stall-mid=1ms", "delay=10us", "slow-body=10us", "trailers"} {
				got := post(t, base, d.path, d.body(more), "x-stub", k)
				if got.err != nil || !bytes.Equal(got.body, plain.body) || got.status != plain.status {
					t.Errorf("%s with %s: %v, %d %s", d.name, k, got.err, got.status, got.body)
				}
				if k == "trailers" {
					sum := sha256.Sum256(got.body)
					want(t, got.resp.Trailer.Get(trailerSum), hex.EncodeToString(sum[:]), "trailer")
				}
			}
			zipped := post(t, base, d.path, d.body(more), "x-stub", "gzip", "accept-encoding", "gzip")
			want(t, zipped.header.Get("Content-Encoding"), "gzip", d.name)
			z, err := gzip.NewReader(bytes.NewReader(zipped.body))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain.body) {
				t.Errorf("%s gzipped: %v, %s", d.name, err, got)
			}
			refused := post(t, base, d.path, d.body(more), "x-stub", "gzip", "accept-encoding", "identity")
			if !bytes.Equal(refused.body, plain.body) {
				t.Errorf("%s: zipped for one who didn't ask", d.name)
			}
		}
	}
}

func TestCut(t *testing.T) {
	base := start(t, Config{})
	for _, d := range dialects {
		whole := post(t, base, d.path, d.body(stream))
		events, _ := parseEvents(whole.body)
		a := post(t, base, d.path, d.body(stream), "x-stub", "cut")
		if a.err == nil || !bytes.HasPrefix(whole.body, a.body) {
			t.Errorf("%s: cut ended with %v after %d bytes", d.name, a.err, len(a.body))
		}
		if got, rest := parseEvents(a.body); rest == "" || len(got) != len(events)/2 {
			t.Errorf("%s: cut after %d events, then %q", d.name, len(got), rest)
		}
		a = post(t, base, d.path, d.body(stream), "x-stub", "cut=2")
		if got, rest := parseEvents(a.body); a.err == nil || rest != "" || len(got) != 2 {
			t.Errorf("%s: cut=2 ended with %v after %d events and %q", d.name, a.err, len(got), rest)
		}
		plain := post(t, base, d.path, d.body())
		a = post(t, base, d.path, d.body(), "x-stub", "cut")
		if a.err == nil || len(a.body) != len(plain.body)/2 {
			t.Errorf("%s: a plain body cut ended with %v after %d bytes", d.name, a.err, len(a.body))
		}
		a = post(t, base, d.path, d.body(), "x-stub", "cut=9")
		if a.err == nil || len(a.body) != 9 {
			t.Errorf("%s: a plain body cut=9 ended with %v after %d bytes", d.name, a.err, len(a.body))
		}
	}
}

func TestErrorInStream(t *testing.T) {
	base := start(t, Config{})
	for _, d := range dialects {
		whole, _ := parseEvents(post(t, base, d.path, d.body(stream)).body)
		for _, k := range []struct {
			knob string
			n    int
		}{{"error-in-stream", len(whole) / 2}, {"error-in-stream=2", 2}, {"error-in-stream=0", 0}} {
			events := post(t, base, d.path, d.body(stream), "x-stub", k.knob).events(t)
			want(t, events[:k.n], whole[:k.n], d.name+": before the error")
			e := events[k.n].json(t)
			switch d.name {
			case "chat", "completions":
				want(t, str(t, e, "error", "type"), "server_error", d.name)
				want(t, len(events), k.n+1, d.name+": events")
			case "responses":
				want(t, str(t, e, "type"), "error", d.name)
				failed := events[k.n+1].json(t)
				want(t, str(t, failed, "response", "status"), "failed", d.name)
				want(t, num(t, failed, "sequence_number"), k.n+1, d.name)
				want(t, len(events), k.n+2, d.name+": events")
			default:
				want(t, events[k.n].name, "error", d.name)
				want(t, str(t, e, "error", "type"), "overloaded_error", d.name)
				want(t, len(events), k.n+1, d.name+": events")
			}
		}
	}
}

func TestEmptyAndBadJSON(t *testing.T) {
	base := start(t, Config{})
	for _, d := range dialects {
		for _, more := range []obj{{}, stream} {
			a := post(t, base, d.path, d.body(more), "x-stub", "empty")
			if a.err != nil || a.status != 200 || len(a.body) != 0 {
				t.Errorf("%s: empty is %d %v %q", d.name, a.status, a.err, a.body)
			}
		}
		a := post(t, base, d.path, d.body(), "x-stub", "badjson")
		if a.err != nil || a.status != 200 || len(a.body) == 0 || json.Valid(a.body) {
			t.Errorf("%s: badjson is %d %v %q", d.name, a.status, a.err, a.body)
		}
		bad := 0
		events := post(t, base, d.path, d.body(stream), "x-stub", "badjson").events(t)
		for _, e := range events {
			if e.data != "[DONE]" && !json.Valid([]byte(e.data)) {
				bad++
			}
		}
		whole, _ := parseEvents(post(t, base, d.path, d.body(stream)).body)
		want(t, bad, 1, d.name+": bad events")
		want(t, len(events), len(whole), d.name+": events")
	}
}

func TestRefuseAndFilter(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/chat/completions", chatBody(), "x-stub", "refuse").ok(t)
	refusal := str(t, v, "choices", 0, "message", "refusal")
	want(t, at(t, v, "choices", 0, "message", "content"), nil, "content")
	want(t, str(t, v, "choices", 0, "finish_reason"), "stop", "finish")
	joined := ""
	for _, e := range post(t, base, "/v1/chat/completions", chatBody(obj{"model": "gpt-4o-mini"}, stream), "x-stub", "refuse").events(t) {
		if e.data != "[DONE]" {
			if s, ok := at(t, e.json(t), "choices", 0, "delta").(obj)["refusal"].(string); ok {
				joined += s
			}
		}
	}
	if refusal == "" || joined == "" {
		t.Errorf("refusals %q and %q", refusal, joined)
	}
	v = post(t, base, "/v1/responses", responsesBody(), "x-stub", "refuse").ok(t)
	want(t, str(t, v, "output", 0, "content", 0, "type"), "refusal", "part")
	v = post(t, base, "/v1/messages", claudeBody(), "x-stub", "refuse").ok(t)
	want(t, str(t, v, "stop_reason"), "refusal", "stop")
	_, end := follow(t, post(t, base, "/v1/messages", claudeBody(stream), "x-stub", "refuse").events(t))
	want(t, str(t, end, "delta", "stop_reason"), "refusal", "stop of a stream")

	v = post(t, base, "/v1/chat/completions", chatBody(), "x-stub", "filter").ok(t)
	want(t, str(t, v, "choices", 0, "finish_reason"), "content_filter", "finish")
	v = post(t, base, "/v1/responses", responsesBody(), "x-stub", "filter").ok(t)
	want(t, str(t, v, "incomplete_details", "reason"), "content_filter", "reason")
}

// clocked notes when each write came.
type clocked struct {
	*httptest.ResponseRecorder
	start time.Time
	at    []time.Duration
	sizes []int
}

func (c *clocked) Write(b []byte) (int, error) {
	c.at, c.sizes = append(c.at, time.Since(c.start)), append(c.sizes, len(b))
	return c.ResponseRecorder.Write(b)
}

// TestWaits runs on the fake clock of a bubble, so that times are exact.
func TestWaits(t *testing.T) {
	for _, c := range []struct {
		knob        string
		more        obj
		first, last time.Duration
		writes      int // 0 for as many as there are events
	}{
		{"stall=2s", obj{}, 2 * time.Second, 2 * time.Second, 1},
		{"stall-mid=3s", obj{}, 0, 3 * time.Second, 2},
		{"stall-mid=3s", stream, 0, 3 * time.Second, 0},
		{"stall=1s,stall-mid=3s", stream, time.Second, 4 * time.Second, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := play(t, c.knob, c.more)
			n := c.writes
			if n == 0 {
				events, _ := parseEvents(w.Body.Bytes())
				n = len(events)
			}
			want(t, len(w.at), n, c.knob+": writes")
			want(t, w.at[0], c.first, c.knob+": first write")
			want(t, w.at[len(w.at)-1], c.last, c.knob+": last write")
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := play(t, "delay=7ms", stream)
		for i, at := range w.at {
			want(t, at, time.Duration(i)*7*time.Millisecond, "event")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := play(t, "slow-body", obj{})
		for i, at := range w.at {
			want(t, at, time.Duration(i)*5*time.Millisecond, "piece")
			if w.sizes[i] > slowPiece {
				t.Errorf("a piece of %d bytes", w.sizes[i])
			}
		}
	})
}

func play(t *testing.T, knob string, more obj) *clocked {
	t.Helper()
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &clocked{ResponseRecorder: httptest.NewRecorder(), start: time.Now()}
	s.ServeHTTP(w, request(t, "", "/v1/chat/completions", chatBody(more), "x-stub", knob))
	return w
}

// TestClientGone leaves in the middle and waits for the stub to notice.
func TestClientGone(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	entered, over := make(chan bool, 1), make(chan any, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- true
		defer func() { over <- recover() }()
		s.ServeHTTP(w, r)
	}))
	defer srv.Close()
	for _, k := range []string{"words=2000,delay=1ms", "words=2000,slow-body=1ms", "stall-mid=1h", "stall=1h"} {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		r := request(t, srv.URL, "/v1/chat/completions", chatBody(stream), "x-stub", k).WithContext(ctx)
		beforeHeaders := k == "stall=1h"
		if beforeHeaders {
			go func() { <-entered; leave() }()
		}
		resp, err := http.DefaultClient.Do(r)
		switch {
		case beforeHeaders && err == nil:
			t.Errorf("%s: answered", k)
			resp.Body.Close()
		case beforeHeaders:
		case err != nil:
			t.Fatal(err)
		default:
			<-entered
			if _, err := resp.Body.Read(make([]byte, 10)); err != nil {
				t.Errorf("%s: %v", k, err)
			}
			leave()
			resp.Body.Close()
		}
		if got := <-over; got != http.ErrAbortHandler { //nolint:errorlint // a panic's value
			t.Errorf("%s: ended with %v", k, got)
		}
	}
}

func FuzzKnobs(f *testing.F) {
	for _, s := range []string{"", "fail=429;retry-after=2", "cut,words=3", "stall=1s,delay=2ms,gzip", "cut=99999999999999", "a=b=c;d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		k := noKnobs()
		if err := k.set(s); err != nil {
			if !strings.HasPrefix(err.Error(), "stub: knob ") {
				t.Error(err)
			}
			return
		}
		if k.stall < 0 || k.stallMid < 0 || k.delay < 0 || k.slow < 0 || k.words > maxWords || k.fail != 0 && (k.fail < 400 || k.fail > 599) {
			t.Errorf("%q made %+v", s, k)
		}
	})
}

// FuzzAnswer sends any body anywhere: an answer is whole and well formed, and the same twice.
func FuzzAnswer(f *testing.F) {
	for i, d := range dialects {
		for _, more := range []obj{{}, stream, chatTool} {
			b, err := json.Marshal(d.body(more))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), "", b)
			f.Add(uint8(i), "badjson,error-in-stream", b)
		}
	}
	f.Add(uint8(5), "", []byte(`{"model":"text-embedding-3-small","input":[[1],"x"],"dimensions":3}`))
	f.Add(uint8(6), "", []byte(`{"model":"claude-x","messages":[{"role":"user","content":[{"type":"text"}]}]}`))
	paths := []string{"/v1/embeddings", "/v1/messages/count_tokens", "/v1/models/x"}
	for i := len(dialects) - 1; i >= 0; i-- {
		paths = append([]string{dialects[i].path}, paths...)
	}
	f.Fuzz(func(t *testing.T, where uint8, knob string, body []byte) {
		k := noKnobs()
		if err := k.set(knob); err == nil && (k.cut != unset || k.words > 1000 || k.stall+k.stallMid+k.delay+k.slow > 0) {
			return // what aborts, waits or is large
		}
		if len(body) > 4<<10 || bytes.Contains(body, []byte("+")) {
			return // the model's name may have such knobs too
		}
		var got [2]*httptest.ResponseRecorder
		for i := range got {
			s, err := New(Config{})
			if err != nil {
				t.Fatal(err)
			}
			got[i] = httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, paths[int(where)%len(paths)], bytes.NewReader(body))
			r.Header["X-Stub"], r.Header["Authorization"] = []string{knob}, []string{"x"}
			s.ServeHTTP(got[i], r)
		}
		a, b := got[0], got[1]
		if a.Code != b.Code || !bytes.Equal(a.Body.Bytes(), b.Body.Bytes()) {
			t.Fatalf("two answers to one request: %q and %q", a.Body, b.Body)
		}
		if k.empty || k.badJSON {
			return
		}
		if a.Header().Get("Content-Type") == "application/json" {
			if !json.Valid(a.Body.Bytes()) {
				t.Errorf("answered %q", a.Body)
			}
			return
		}
		events, rest := parseEvents(a.Body.Bytes())
		if rest != "" {
			t.Errorf("a stream with %q in %q", rest, a.Body)
		}
		for _, e := range events {
			if e.data != "[DONE]" && !json.Valid([]byte(e.data)) {
				t.Errorf("event %q", e.data)
			}
		}
	})
}
