package stub

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"
)

// obj and list write requests.
type (
	obj  = map[string]any
	list = []any
)

// start serves a stub and returns its URL.
func start(t testing.TB, c Config) string {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s)
	t.Cleanup(func() {
		srv.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return srv.URL
}

// request makes a request whose body is v as JSON, or v itself if it is a string.
func request(t testing.TB, base, path string, v any, headers ...string) *http.Request {
	t.Helper()
	method, body := http.MethodPost, io.Reader(nil)
	switch v := v.(type) {
	case nil:
		method = http.MethodGet
	case string:
		body = strings.NewReader(v)
	default:
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer anything")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
	resp   *http.Response
}

func send(t testing.TB, r *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, b, err, resp}
}

func post(t testing.TB, base, path string, v any, headers ...string) answer {
	t.Helper()
	return send(t, request(t, base, path, v, headers...))
}

// ok reads the JSON of a good answer.
func (a answer) ok(t testing.TB) obj {
	t.Helper()
	if a.status != http.StatusOK || a.err != nil {
		t.Fatalf("status %d, error %v, body %s", a.status, a.err, a.body)
	}
	return a.json(t)
}

func (a answer) json(t testing.TB) obj {
	t.Helper()
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Fatalf("content type %q", ct)
	}
	var v obj
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return v
}

// event is one event of a stream.
type event struct {
	name string
	data string
}

func (e event) json(t testing.TB) obj {
	t.Helper()
	var v obj
	if err := json.Unmarshal([]byte(e.data), &v); err != nil {
		t.Fatalf("%v in event %q: %s", err, e.name, e.data)
	}
	return v
}

// parseEvents reads a stream strictly: each event is an optional name line and one data line.
func parseEvents(body []byte) (events []event, rest string) {
	s := string(body)
	mark, line := "\n\n", "\n"
	if strings.Contains(s, "\r\n") {
		mark, line = "\r\n\r\n", "\r\n"
	}
	for {
		one, after, ok := strings.Cut(s, mark)
		if !ok {
			return events, s
		}
		s = after
		var e event
		if n, rest, ok := strings.Cut(one, line); ok {
			e.name, one = strings.TrimPrefix(n, "event: "), rest
			if e.name == n {
				return events, n
			}
		}
		if e.data, ok = strings.CutPrefix(one, "data: "); !ok {
			return events, one
		}
		events = append(events, e)
	}
}

func (a answer) events(t testing.TB) []event {
	t.Helper()
	if a.status != http.StatusOK || a.err != nil {
		t.Fatalf("status %d, error %v, body %s", a.status, a.err, a.body)
	}
	if ct := a.header.Get("Content-Type"); ct != "text/event-stream; charset=utf-8" {
		t.Fatalf("content type %q", ct)
	}
	if !utf8.Valid(a.body) {
		t.Fatal("the stream is not UTF-8")
	}
	events, rest := parseEvents(a.body)
	if rest != "" || len(events) == 0 {
		t.Fatalf("%d events, then what is none: %q", len(events), rest)
	}
	return events
}

// at walks into a JSON value: names and indexes.
func at(t testing.TB, v any, path ...any) any {
	t.Helper()
	for i, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(obj)
			if !ok {
				t.Fatalf("no object at %v in %v", path[:i], v)
			}
			w, ok := m[p]
			if !ok {
				t.Fatalf("no member %v in %v", path[:i+1], m)
			}
			v = w
		case int:
			l, ok := v.(list)
			if !ok || p >= len(l) {
				t.Fatalf("no element %v in %v", path[:i+1], v)
			}
			v = l[p]
		}
	}
	return v
}

func num(t testing.TB, v any, path ...any) int {
	t.Helper()
	f, ok := at(t, v, path...).(float64)
	if !ok {
		t.Fatalf("no number at %v in %v", path, v)
	}
	return int(f)
}

func str(t testing.TB, v any, path ...any) string {
	t.Helper()
	s, ok := at(t, v, path...).(string)
	if !ok {
		t.Fatalf("no string at %v in %v", path, v)
	}
	return s
}

func want(t testing.TB, got, want any, what string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

const question = `What does the Zanzibar ferry "schedule" cost – naïvely?`

var weather = obj{
	"name": "get_weather", "description": "Weather of a place",
	"parameters": obj{"type": "object", "properties": obj{
		"location": obj{"type": "string"}, "unit": obj{"enum": list{"celsius", "fahrenheit"}}, "days": obj{"type": "integer"},
	}},
}

var weatherClaude = obj{"name": "get_weather", "description": "Weather of a place", "input_schema": weather["parameters"]}

func chatBody(more ...obj) obj {
	return with(obj{"model": "gpt-4o-mini", "messages": list{
		obj{"role": "system", "content": "Be kind."}, obj{"role": "user", "content": question},
	}}, more)
}

func claudeBody(more ...obj) obj {
	return with(obj{"model": "claude-sonnet-4-5", "max_tokens": 4000, "messages": list{
		obj{"role": "user", "content": question},
	}}, more)
}

func responsesBody(more ...obj) obj {
	return with(obj{"model": "gpt-4o", "input": question}, more)
}

func with(o obj, more []obj) obj {
	for _, m := range more {
		for k, v := range m {
			o[k] = v
		}
	}
	return o
}

var (
	stream    = obj{"stream": true}
	askTool   = list{obj{"role": "user", "content": "How is the weather in Lisbon and Turin?"}}
	chatTool  = obj{"messages": askTool, "tools": list{obj{"type": "function", "function": weather}}}
	anthTool  = obj{"messages": askTool, "tools": list{weatherClaude}}
	respTool  = obj{"input": askTool, "tools": list{with(obj{"type": "function"}, []obj{weather})}}
	chatUsage = obj{"stream": true, "stream_options": obj{"include_usage": true}}
)

// everyCall is at least one request to each endpoint and variant.
func everyCall(t testing.TB, base string) map[string]*http.Request {
	version := []string{"anthropic-version", "2023-06-01"}
	calls := map[string]*http.Request{
		"chat":                  request(t, base, "/v1/chat/completions", chatBody()),
		"chat stream":           request(t, base, "/v1/chat/completions", chatBody(chatUsage)),
		"chat odds":             request(t, base, "/v1/chat/completions", chatBody(obj{"logprobs": true, "top_logprobs": 2, "n": 2})),
		"chat odds stream":      request(t, base, "/v1/chat/completions", chatBody(stream, obj{"logprobs": true, "top_logprobs": 2, "n": 2})),
		"chat tool":             request(t, base, "/v1/chat/completions", chatBody(chatTool)),
		"chat tool stream":      request(t, base, "/v1/chat/completions", chatBody(chatTool, stream)),
		"completion":            request(t, base, "/v1/completions", obj{"model": "davinci-002", "prompt": list{question, "b"}, "logprobs": 2}),
		"completion stream":     request(t, base, "/v1/completions", obj{"model": "davinci-002", "prompt": question, "stream": true}),
		"response":              request(t, base, "/v1/responses", responsesBody()),
		"response stream":       request(t, base, "/v1/responses", responsesBody(stream)),
		"response tool":         request(t, base, "/v1/responses", responsesBody(respTool)),
		"response tool stream":  request(t, base, "/v1/responses", responsesBody(respTool, stream)),
		"response think stream": request(t, base, "/v1/responses", responsesBody(stream, obj{"model": "gpt-5", "reasoning": obj{"summary": "auto"}})),
		"embedding":             request(t, base, "/v1/embeddings", obj{"model": "text-embedding-3-small", "input": question}),
		"embedding base64":      request(t, base, "/v1/embeddings", obj{"model": "text-embedding-3-large", "input": list{"a"}, "encoding_format": "base64"}),
		"models":                request(t, base, "/v1/models", nil),
		"model":                 request(t, base, "/v1/models/gpt-4o", nil),
		"message":               request(t, base, "/v1/messages", claudeBody(), version...),
		"message stream":        request(t, base, "/v1/messages", claudeBody(stream), version...),
		"message tool stream":   request(t, base, "/v1/messages", claudeBody(anthTool, stream), version...),
		"message think":         request(t, base, "/v1/messages", claudeBody(obj{"thinking": obj{"type": "enabled", "budget_tokens": 1024}}), version...),
		"message think stream":  request(t, base, "/v1/messages", claudeBody(stream, obj{"thinking": obj{"type": "enabled", "budget_tokens": 1024}}), version...),
		"count":                 request(t, base, "/v1/messages/count_tokens", claudeBody(), version...),
		"complete":              request(t, base, "/v1/complete", obj{"model": "claude-instant-1.2", "max_tokens_to_sample": 300, "prompt": "\n\nHuman: Hi there, Zanzibar\n\nAssistant:"}),
		"complete stream":       request(t, base, "/v1/complete", obj{"model": "claude-instant-1.2", "max_tokens_to_sample": 300, "stream": true, "prompt": "\n\nHuman: Hi there, Zanzibar\n\nAssistant:"}),
		"claude models":         request(t, base, "/v1/models", nil, version...),
		"claude model":          request(t, base, "/v1/models/claude-sonnet-4-5", nil, version...),
		"nowhere":               request(t, base, "/v1/nowhere", obj{}),
		"claude nowhere":        request(t, base, "/v1/nowhere", obj{}, version...),
		"broken":                request(t, base, "/v1/chat/completions", `{"model":`),
		"claude broken":         request(t, base, "/v1/messages", `{"model":`, version...),
	}
	return calls
}

func TestSameRequestSameAnswer(t *testing.T) {
	one, two := start(t, Config{}), start(t, Config{})
	second := everyCall(t, two)
	for name, r := range everyCall(t, one) {
		t.Run(name, func(t *testing.T) {
			r2 := second[name]
			r2.Header.Set("Authorization", "Bearer of someone else")
			a, b := send(t, r), send(t, r2)
			if a.status != b.status || !bytes.Equal(a.body, b.body) || len(a.body) == 0 {
				t.Errorf("answers differ: %d %s\n%d %s", a.status, a.body, b.status, b.body)
			}
			want(t, a.header, b.header, "headers")
			if a.header.Get("Date") == "" {
				t.Error("no date")
			}
		})
	}
}

func TestAnotherRequestAnotherAnswer(t *testing.T) {
	base := start(t, Config{})
	seen := make(map[string]int)
	for i := range 50 {
		v := post(t, base, "/v1/chat/completions", chatBody(obj{"seed": i})).ok(t)
		for _, s := range []string{str(t, v, "id"), str(t, v, "choices", 0, "message", "content")} {
			if seen[s]++; seen[s] > 1 {
				t.Errorf("again: %s", s)
			}
		}
	}
}

func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	urls, done := make(chan string, 1), make(chan error, 1)
	go func() { done <- Serve(ctx, Config{Addr: "127.0.0.1:0"}, func(url string) { urls <- url }) }()
	var base string
	select {
	case base = <-urls:
	case err := <-done:
		t.Fatal(err)
	}
	post(t, base, "/v1/chat/completions", chatBody()).ok(t)
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := Serve(t.Context(), Config{Addr: "127.0.0.1:no-port"}, nil); err == nil {
		t.Error("served at no port")
	}
}

// discard is a ResponseWriter for benchmarks.
type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
func (d discard) FlushError() error           { return nil }

func BenchmarkHandler(b *testing.B) {
	s, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	long := list{}
	for range 8 {
		long = append(long, obj{"role": "user", "content": strings.Repeat("Words of a long\nconversation. ", 70)},
			obj{"role": "assistant", "content": strings.Repeat("And what was said to them. ", 70)})
	}
	long = append(long, obj{"role": "user", "content": question})
	two := list{obj{"role": "user", "content": strings.Repeat("A prompt of two kilobytes or so. ", 60)}}
	for _, c := range []struct {
		name, path string
		body       obj
	}{
		{"chat", "/v1/chat/completions", chatBody(obj{"messages": two, "model": "gpt-4o-mini+words=60"})},
		{"chat-32k", "/v1/chat/completions", chatBody(obj{"messages": long, "model": "gpt-4o-mini+words=60"})},
		{"chat-stream", "/v1/chat/completions", chatBody(stream, obj{"messages": two, "model": "gpt-4o-mini+words=30"})},
		{"messages", "/v1/messages", claudeBody(obj{"messages": two, "model": "claude-sonnet-4-5+words=100"})},
		{"responses", "/v1/responses", responsesBody(obj{"model": "gpt-4o+words=60"})},
	} {
		body, err := json.Marshal(c.body)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, c.path, bytes.NewReader(body))
				r.Header.Set("Authorization", "x")
				s.ServeHTTP(discard{make(http.Header)}, r)
			}
		})
	}
}
