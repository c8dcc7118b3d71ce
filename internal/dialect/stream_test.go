package dialect

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// events makes a stream of data lines; "name: data" gives an event its name.
func events(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if name, data, ok := strings.Cut(l, "|"); ok {
			fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
		} else {
			fmt.Fprintf(&b, "data: %s\n\n", l)
		}
	}
	return b.String()
}

// streams are whole streams; held is the first words of what must be held back until the end.
var streams = []struct {
	name, body, held string
	call             Call
	want             Response
	words            []string
}{
	{
		name: "chat", call: chat, held: `data: {"id":"x","model":"gpt-4o-2024-08-06","choices":[],"usage"`,
		body: events(
			`{"id":"x","model":"gpt-4o-2024-08-06","system_fingerprint":"fp","service_tier":"default","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null}`,
			`{"id":"x","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Hel"},"logprobs":{"content":[{"token":"Hel","logprob":-0.5}]},"finish_reason":null}],"usage":null}`,
			`{"id":"x","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"lo\n"},"logprobs":{"content":[{"token":"lo","logprob":-1.5},{"token":"?","logprob":-9999.0}]},"finish_reason":null}],"usage":null}`,
			`{"id":"x","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`,
			`{"id":"x","model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":4},"completion_tokens_details":{"reasoning_tokens":1}}}`,
			`[DONE]`),
		words: []string{"output Hello\n"},
		want: Response{
			Result: steno.Result{
				ID: "x", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(10, 3, 4, -1, 1, 13),
				Confidence: []steno.Confidence{
					{Kind: "logprob_mean", Value: -1, Tokens: 2, By: "openai.logprobs"},
					{Kind: "logprob_min", Value: -9999, Tokens: 2, By: "openai.logprobs"},
				},
			},
			Model: steno.Model{Answered: "gpt-4o-2024-08-06", Version: "gpt-4o-2024-08-06", VersionSource: "response.model", Fingerprint: "fp", ServiceTier: "default"},
		},
	},
	{
		name: "chat with two choices, the second late, and no usage", call: chat, held: `data: [DONE]`,
		body: events(
			`{"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}`,
			`{"id":"x","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"x","model":"m","choices":[{"index":1,"delta":{"content":"b"}}]}`,
			`{"id":"x","model":"m","choices":[{"index":1,"delta":{},"finish_reason":"length"}]}`, `[DONE]`),
		words: []string{"output a", "output b"},
		want: Response{
			Result: steno.Result{ID: "x", End: steno.EndComplete, FinishReasons: []string{"stop", "length"}, Usage: &steno.Usage{Source: "absent"}},
			Model:  steno.Model{Answered: "m"},
		},
	},
	{
		name: "chat with tool calls in fragments, reasoning before", call: chat, held: `data: [DONE]`,
		body: events(
			`{"choices":[{"index":0,"delta":{"reasoning_content":"let me "}}]}`, `{"choices":[{"index":0,"delta":{"reasoning_content":"see"}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"look","arguments":""}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"q\""}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"find","arguments":"{}"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c3","function":{"name":"again","arguments":"[]"}}]}}]}`,
			`{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, `[DONE]`),
		words: []string{"output let me see", `output {"q":1}`, "output {}", "output []"},
		want: Response{Result: steno.Result{
			End: steno.EndComplete, FinishReasons: []string{"tool_calls"}, Usage: &steno.Usage{Source: "absent"},
			ToolCalls: []steno.ToolCall{{ID: "c1", Name: "look", Type: "function"}, {ID: "c2", Name: "find", Type: "function"}, {ID: "c3", Name: "again", Type: "function"}},
		}},
	},
	{
		name: "chat that was refused", call: chat, held: `data: [DONE]`,
		body: events(
			`{"model":"m","choices":[{"index":0,"delta":{"refusal":"I can"}}]}`, `{"model":"m","choices":[{"index":0,"delta":{"refusal":"not"}}]}`,
			`{"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"content_filter","content_filter_results":{"hate":{"filtered":true,"severity":"medium"},"violence":{"filtered":false,"severity":"safe"}}}]}`, `[DONE]`),
		words: []string{"output I cannot"},
		want: Response{
			Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"content_filter"}, Refusal: true, Usage: &steno.Usage{Source: "absent"}},
			Model:  steno.Model{Answered: "m"},
			Findings: []steno.Finding{
				{Flag: "refusal", Rule: "content_filter", Source: "openai", Version: "m", Direction: "out", Score: 1, Action: "record"},
				{Flag: "hate", Rule: "content_filter/hate/medium", Source: "openai", Version: "m", Direction: "out", Score: 1, Action: "record"},
				{Flag: "refusal", Rule: "refusal", Source: "openai", Version: "m", Direction: "out", Score: 1, Action: "record", Span: &steno.Span{Body: "response", Start: 61, End: 137}},
			},
		},
	},
	{
		name: "chat with an error in it", call: chat, held: `data: {"error"`,
		body:  events(`{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"error":{"message":"boom","type":"server_error","code":null}}`, `[DONE]`),
		words: []string{"output a"},
		want:  Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "server_error", Usage: &steno.Usage{Source: "absent"}}},
	},
	{
		name: "completions", call: complete, held: `data: [DONE]`,
		body: events(
			`{"id":"c","choices":[{"text":" a","index":0,"logprobs":{"tokens":[" a"],"token_logprobs":[null]},"finish_reason":null}],"model":"davinci-002"}`,
			`{"id":"c","choices":[{"text":"b","index":0,"logprobs":{"tokens":["b"],"token_logprobs":[-0.25]},"finish_reason":"length"}],"model":"davinci-002"}`, `[DONE]`),
		words: []string{"output  ab"},
		want: Response{
			Result: steno.Result{
				ID: "c", End: steno.EndComplete, FinishReasons: []string{"length"}, Usage: &steno.Usage{Source: "absent"},
				Confidence: []steno.Confidence{
					{Kind: "logprob_mean", Value: -0.25, Tokens: 1, By: "openai.logprobs"}, {Kind: "logprob_min", Value: -0.25, Tokens: 1, By: "openai.logprobs"},
				},
			},
			Model: steno.Model{Answered: "davinci-002"},
		},
	},
	{
		name: "responses", call: resps, held: "event: response.completed",
		body: events(
			`response.created|{"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","model":"m-2025-01-01","output":[],"usage":null}}`,
			`response.output_item.added|{"type":"response.output_item.added","output_index":0,"item":{"type":"function_call","id":"fc","call_id":"call","name":"look","arguments":""}}`,
			`response.function_call_arguments.delta|{"type":"response.function_call_arguments.delta","output_index":0,"item_id":"fc","delta":"{}"}`,
			`response.output_text.delta|{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"Hi","logprobs":[]}`,
			`response.completed|{"type":"response.completed","response":{"id":"resp_1","object":"response","status":"completed","model":"m-2025-01-01","service_tier":"default","output":[{"type":"function_call","id":"fc","call_id":"call","name":"look","arguments":"{}"},{"type":"file_search_call","id":"fs","queries":["q"],"results":[{"file_id":"file-1","filename":"a.pdf","score":0.5,"text":"words"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hi","annotations":[{"type":"file_citation","index":1,"file_id":"file-1","filename":"a.pdf"}]}]}],"tools":[{"type":"file_search","vector_store_ids":["vs_1"]}],"usage":{"input_tokens":5,"input_tokens_details":{"cached_tokens":0},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":7}}}`),
		words: []string{"output {}", `output ["q"]`, "document words", "output Hi"},
		want: Response{
			Result: steno.Result{
				ID: "resp_1", End: steno.EndComplete, State: "completed", Usage: reported(5, 2, 0, -1, 0, 7),
				ToolCalls: []steno.ToolCall{{ID: "call", Name: "look", Type: "function"}, {ID: "fs", Name: "file_search", Type: "datastore"}},
			},
			Model: steno.Model{Answered: "m-2025-01-01", Version: "m-2025-01-01", VersionSource: "response.model", ServiceTier: "default"},
			Documents: []steno.Document{
				{ID: "file-1", Title: "a.pdf", Index: "vs_1", Score: ptr(0.5), Origin: "file_search"}, {ID: "file-1", Title: "a.pdf", Origin: "citation"},
			},
		},
	},
	{
		name: "responses that failed", call: resps, held: "event: response.failed",
		body: events(
			`response.output_text.delta|{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"}`,
			`response.failed|{"type":"response.failed","response":{"id":"r","object":"response","status":"failed","error":{"code":"server_error","message":"boom"},"output":[],"usage":null}}`),
		want: Response{Result: steno.Result{ID: "r", End: steno.EndErrorInAnswer, State: "failed", ErrorType: "server_error", Usage: &steno.Usage{Source: "absent"}}},
	},
	{
		name: "responses with an error event", call: resps, held: "event: error",
		body:  events(`response.output_text.delta|{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"Hi"}`, `error|{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}`),
		words: []string{"output Hi"},
		want:  Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "rate_limit_exceeded", Usage: &steno.Usage{Source: "absent"}}},
	},
	{
		name: "messages", call: messages, held: "event: message_stop",
		body: events(
			`message_start|{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x-20250101","content":[],"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1,"service_tier":"standard"}}   }`,
			`content_block_start|{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`, `ping|{"type":"ping"}`,
			`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hmm"}}`,
			`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"AAAA"}}`,
			`content_block_start|{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
			`content_block_delta|{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Look"}}`,
			`content_block_delta|{"type":"content_block_delta","index":1,"delta":{"type":"citations_delta","citation":{"type":"char_location","cited_text":"secret words","document_index":0,"document_title":"Doc","start_char_index":3,"end_char_index":9}}}`,
			`content_block_delta|{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"ing"}}`,
			`content_block_start|{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"tu","name":"look","input":{}}}`,
			`content_block_delta|{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`,
			`content_block_delta|{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1}"}}`,
			`content_block_stop|{"type":"content_block_stop","index":2}`,
			`message_delta|{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":30}}`,
			`message_stop|{"type":"message_stop"}`),
		words: []string{"output hmm", "output Looking", `output {"a":1}`},
		want: Response{
			Result: steno.Result{
				ID: "msg_1", End: steno.EndComplete, FinishReasons: []string{"tool_use"}, Usage: reported(35, 30, 20, 5, -1, -1),
				ToolCalls: []steno.ToolCall{{ID: "tu", Name: "look", Type: "function"}},
			},
			Model:     steno.Model{Answered: "claude-x-20250101", Version: "claude-x-20250101", VersionSource: "response.model", ServiceTier: "standard"},
			Documents: []steno.Document{{Title: "Doc", Chunk: "char 3-9", Origin: "citation"}},
		},
	},
	{
		name: "messages overloaded half way", call: messages, held: "event: error",
		body: events(
			`message_start|{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}`,
			`content_block_delta|{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Look"}}`,
			`error|{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
		words: []string{"output Look"},
		want: Response{
			Result: steno.Result{ID: "msg_1", End: steno.EndErrorInAnswer, ErrorType: "overloaded_error", Usage: partial(10, 1)}, Model: steno.Model{Answered: "m"},
		},
	},
	{
		name: "messages refused", call: messages, held: "event: message_stop",
		body: events(
			`message_start|{"type":"message_start","message":{"id":"msg_1","model":"m","content":[],"usage":{"input_tokens":10,"output_tokens":1}}}`,
			`message_delta|{"type":"message_delta","delta":{"stop_reason":"refusal"},"usage":{"output_tokens":2}}`, `message_stop|{"type":"message_stop"}`),
		want: Response{
			Result: steno.Result{ID: "msg_1", End: steno.EndComplete, FinishReasons: []string{"refusal"}, Refusal: true, Usage: reported(10, 2, -1, -1, -1, -1)},
			Model:  steno.Model{Answered: "m"},
			Findings: []steno.Finding{
				{Flag: "refusal", Rule: "stop_reason", Source: "anthropic", Version: "m", Direction: "out", Score: 1, Action: "record"},
			},
		},
	},
	{
		name: "old text completions", call: legacy, held: `event: completion` + "\n" + `data: {"type":"completion","id":"c","completion":"!"`,
		body: events(
			`completion|{"type":"completion","id":"c","completion":" Hi","stop_reason":null,"model":"claude-2.1"}`,
			`completion|{"type":"completion","id":"c","completion":"!","stop_reason":"stop_sequence","model":"claude-2.1"}`),
		words: []string{"output  Hi!"},
		want: Response{
			Result: steno.Result{ID: "c", End: steno.EndComplete, FinishReasons: []string{"stop_sequence"}, Usage: &steno.Usage{Source: "absent"}},
			Model:  steno.Model{Answered: "claude-2.1"},
		},
	},
}

func ptr[T any](v T) *T { return &v }

// reported makes a usage of input, output, cache read and write, reasoning and total; -1 was not reported.
func reported(n ...int64) *steno.Usage {
	p := make([]*int64, 6)
	for i, v := range n {
		if v >= 0 {
			p[i] = &v
		}
	}
	return &steno.Usage{Source: "reported", Input: p[0], Output: p[1], CacheRead: p[2], CacheWrite: p[3], Reasoning: p[4], Total: p[5]}
}

func partial(n ...int64) *steno.Usage {
	u := reported(n...)
	u.Source = "partial"
	return u
}

var sse = http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}

func TestStreams(t *testing.T) {
	for _, c := range streams {
		t.Run(c.name, func(t *testing.T) {
			held := strings.Index(c.body, c.held)
			if held < 0 {
				t.Fatalf("the test names %q, which is not in the stream", c.held)
			}
			s := c.call.newStream(framingSSE)
			if got := s.Feed([]byte(c.body)); got != held {
				t.Errorf("released %d bytes, want %d: held is %q", got, held, c.body[got:])
			}
			if !s.Finished() {
				t.Error("not finished")
			}
			got := s.Response(200, sse)
			equal(t, "words", strings.Join(said([]byte(c.body), got.Texts), "|"), strings.Join(c.words, "|"))
			if s.FirstToken() != (len(c.words) > 0 || strings.Contains(c.body, "delta\":\"")) {
				t.Errorf("first token: %v", s.FirstToken())
			}
			want := c.want
			want.Result.Status, want.Result.Bytes = 200, int64(len(c.body))
			for _, f := range []struct{ got, want any }{
				{got.Result, want.Result}, {got.Model, want.Model}, {got.Documents, want.Documents}, {got.Findings, want.Findings},
			} {
				if !reflect.DeepEqual(f.got, f.want) {
					t.Errorf("facts differ:\n%s\nwant\n%s", asJSON(f.got), asJSON(f.want))
				}
			}
		})
	}
}

func said(body []byte, texts []Text) []string {
	var out []string
	for _, t := range texts {
		out = append(out, t.Origin+" "+string(t.Words(body)))
	}
	return out
}

// However a stream is cut up, what is released and what is read stays the same, and what is held stays held.
func TestStreamInChunks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, c := range streams {
		for _, ending := range []string{"\n", "\r\n", "\r"} {
			body := strings.ReplaceAll(c.body, "\n", ending)
			held := strings.Index(body, strings.ReplaceAll(c.held, "\n", ending))
			whole := c.call.newStream(framingSSE)
			whole.Feed([]byte(body))
			want := whole.Response(200, sse)
			for size := range 12 {
				s := c.call.newStream(framingSSE)
				released := 0
				for at := 0; at < len(body); {
					n := min(len(body)-at, size)
					if size == 0 {
						n = min(len(body)-at, 1+rnd.IntN(200))
					}
					at += n
					r := s.Feed([]byte(body[at-n : at]))
					if r < released || r > at {
						t.Fatalf("%s: %d bytes released after %d, of %d", c.name, r, released, at)
					}
					if released = r; released > held {
						t.Fatalf("%s: %d bytes released, the terminal event begins at %d", c.name, released, held)
					}
				}
				if got := s.Response(200, sse); !reflect.DeepEqual(got, want) {
					t.Fatalf("%s in chunks of %d: %s\nwant %s", c.name, size, asJSON(got), asJSON(want))
				}
				if released != held && ending != "\r" {
					t.Fatalf("%s: %d bytes released, want %d", c.name, released, held)
				}
			}
		}
	}
}

// A stream that is cut anywhere before its terminal event is whole is called cut, and its words are a beginning.
func TestCutStreams(t *testing.T) {
	for _, c := range streams {
		if c.want.Result.End != steno.EndComplete {
			continue
		}
		terminal := strings.TrimRight(c.body, "\n")
		for at := range len(c.body) {
			s := c.call.newStream(framingSSE)
			release := s.Feed([]byte(c.body[:at]))
			if release > at {
				t.Fatalf("%s cut at %d: released %d", c.name, at, release)
			}
			r := s.Response(200, sse)
			whole := at >= len(terminal)
			if (r.Result.End == steno.EndComplete) != whole {
				t.Fatalf("%s cut at %d of %d is %s: %q", c.name, at, len(c.body), r.Result.End, c.body[max(0, at-80):at])
			}
			if !whole && r.Result.End != steno.EndUpstreamCut {
				t.Fatalf("%s cut at %d is %s", c.name, at, r.Result.End)
			}
			for _, text := range r.Texts {
				start, end := text.Span([]byte(c.body), 0, len(text.Words(nil)))
				if start < 0 || end > len(c.body) || start > end {
					t.Fatalf("%s cut at %d: words at %d to %d", c.name, at, start, end)
				}
			}
		}
	}
}

func TestCutStreamsUsage(t *testing.T) {
	var chatBody, claude string
	for _, s := range streams {
		switch s.name {
		case "chat":
			chatBody = s.body
		case "messages":
			claude = s.body
		}
	}
	cut := func(c Call, body, before string, asked bool) *steno.Usage {
		return c.ParseResponse(200, sse, []byte(body[:strings.Index(body, before)]), asked).Result.Usage
	}
	for _, c := range []struct {
		what      string
		got, want *steno.Usage
	}{
		{"a chat that has a place for usage, cut before it", cut(chat, chatBody, `data: {"id":"x","model":"gpt-4o-2024-08-06","choices":[],"usage"`, false), &steno.Usage{Source: "partial"}},
		{"a chat cut after its usage", cut(chat, chatBody, `data: [DONE]`, false), reported(10, 3, 4, -1, 1, 13)},
		{"messages cut after their start", cut(messages, claude, `event: message_delta`, false), partial(35, 1, 20, 5, -1, -1)},
		{"messages cut before their end", cut(messages, claude, `event: message_stop`, false), reported(35, 30, 20, 5, -1, -1)},
		{"a chat cut in the middle", cut(chat, events(`{"choices":[{"delta":{"content":"a"}}]}`)+"x", "x", false), &steno.Usage{Source: "absent"}},
		{"a chat asked for usage, cut in the middle", cut(chat, events(`{"choices":[{"delta":{"content":"a"}}]}`)+"x", "x", true), &steno.Usage{Source: "partial"}},
		{"counts in every chunk, cut", cut(chat, events(`{"choices":[{"delta":{"content":"a"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`)+"x", "x", true), partial(3, 1, -1, -1, -1, -1)},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %s, want %s", c.what, asJSON(c.got), asJSON(c.want))
		}
	}
}

func TestStreamOddities(t *testing.T) {
	body := "\xef\xbb\xbf: keep alive\n\nretry: 10\nid: 7\ndata:{\"choices\":[{\"index\":0,\ndata: \"delta\":{\"content\":\"a\\\"b\"}}]}\n\ndata\n\ndata: not json\n\ndata: [DONE]"
	s := chat.newStream(framingSSE)
	want := strings.Index(body, "data: [DONE]")
	if got := s.Feed([]byte(body)); got != want || s.Finished() {
		t.Errorf("released %d of %d, want %d", got, len(body), want)
	}
	r := s.Response(200, sse)
	if r.Result.End != steno.EndComplete || r.Problem == "" || !r.Understood {
		t.Errorf("%+v", r)
	}
	if len(r.Texts) != 1 || string(r.Texts[0].Words(nil)) != `a"b` {
		t.Errorf("%+v", r.Texts)
	}
	start, end := r.Texts[0].Span([]byte(body), 1, 2)
	if !strings.Contains(body[start:end], `"content"`) {
		t.Errorf("the words of an event on two lines are said to stand in %q", body[start:end])
	}
	// A stream that is not understood passes event by event, up to [DONE].
	other := Call{Dialect: OpenAI}.newStream(framingSSE)
	body = events(`thread.run.created|{"id":"run"}`, `thread.message.delta|{"delta":{}}`, `done|[DONE]`)
	if got := other.Feed([]byte(body)); got != strings.Index(body, "event: done") {
		t.Errorf("released %d of %d", got, len(body))
	}
	if end := other.Response(200, nil).Result.End; end != steno.EndComplete {
		t.Errorf("ended %s", end)
	}
}

func TestStreamSpans(t *testing.T) {
	body := []byte(events(
		`{"choices":[{"index":0,"delta":{"content":"my key is \"se"}}]}`, `{"choices":[{"index":0,"delta":{"content":"cret\" you"}}]}`, `{"choices":[{"index":0,"delta":{"content":" know"}}]}`))
	s := chat.newStream(framingSSE)
	s.Feed(body)
	text := s.Response(200, sse).Texts[0]
	words := string(text.Words(body))
	if words != `my key is "secret" you know` {
		t.Fatalf("%q", words)
	}
	for _, c := range []struct{ find, first, last string }{
		{"my key", "my", "key"}, {`"secret"`, `\"se`, `cret\"`}, {" know", " kn", "know"}, {words, "my", "know"},
	} {
		at := strings.Index(words, c.find)
		start, end := text.Span(body, at, at+len(c.find))
		if got := string(body[start:end]); !strings.HasPrefix(got, c.first) || !strings.HasSuffix(got, c.last) {
			t.Errorf("%q is said to stand in %q", c.find, got)
		}
	}
}

// An adversary's stream of many tool calls costs no more than its bytes deserve.
func TestStreamOfManyItems(t *testing.T) {
	var b strings.Builder
	for i := range maxItems + 100 {
		fmt.Fprintf(&b, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c%d\",\"function\":{\"arguments\":\"1\"}}]}}]}\n\n", i)
	}
	r := chat.ParseResponse(200, sse, []byte(b.String()), false)
	if n := len(r.Result.ToolCalls); n != maxItems {
		t.Errorf("%d tool calls", n)
	}
}
