package dialect

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	ollamaChat     = Call{Dialect: Ollama, API: "chat", Operation: "chat", Stream: true}
	ollamaGenerate = Call{Dialect: Ollama, API: "generate", Operation: "text_completion", Stream: true}
	ollamaEmbed    = Call{Dialect: Ollama, API: "embed", Operation: "embeddings"}
	ndjson         = http.Header{"Content-Type": {"application/x-ndjson"}}
)

// lineStreams are streams with a JSON value a line: of Ollama, and of the first version of Cohere's API.
var lineStreams = []struct {
	name  string
	call  Call
	lines []string
	want  Response
	words []string
}{
	{
		name: "ollama with thoughts and tools", call: ollamaChat,
		lines: []string{
			`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","thinking":"I have "},"done":false}`,
			`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","thinking":"to \"look\"."},"done":false}`,
			`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"Let"},"logprobs":[{"token":"Let","logprob":-0.25,"top_logprobs":[{"token":"Le","logprob":-4}]}],"done":false}`,
			`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":" me.\n"},"logprobs":[{"token":" me","logprob":-0.75}],"done":false}`,
			`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","tool_calls":[{"id":"call_9","function":{"index":0,"name":"weather","arguments":{"place":"Lisbon","days":[1,2]}}},{"function":{"name":"clock","arguments":{}}}]},"done":false}`,
			`{"model":"qwen3","created_at":"2026-01-02T03:04:06Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"total_duration":5,"prompt_eval_count":120,"eval_count":31}`,
		},
		words: []string{`output I have to "look".`, "output Let me.\n", `output {"place":"Lisbon","days":[1,2]}`, "output {}"},
		want: Response{
			Result: steno.Result{
				End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(120, 31, -1, -1, -1, -1),
				ToolCalls: []steno.ToolCall{{ID: "call_9", Name: "weather", Type: "function"}, {Name: "clock", Type: "function"}},
				Confidence: []steno.Confidence{
					{Kind: "logprob_mean", Value: -0.5, Tokens: 2, By: "ollama.logprobs"}, {Kind: "logprob_min", Value: -0.75, Tokens: 2, By: "ollama.logprobs"},
				},
			},
			Model: steno.Model{Answered: "qwen3"},
		},
	},
	{
		name: "ollama goes on with a text, whose prompt it had in its cache", call: ollamaGenerate,
		lines: []string{
			`{"model":"llama3.2","response":"","thinking":"hm","done":false}`,
			`{"model":"llama3.2","response":"the court","done":false}`,
			`{"model":"llama3.2","response":" reporter","done":true,"done_reason":"length","context":[1,2,3],"eval_count":3}`,
		},
		words: []string{"output hm", "output the court reporter"},
		want: Response{
			Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"length"}, Usage: reported(-1, 3, -1, -1, -1, -1)},
			Model:  steno.Model{Answered: "llama3.2"},
		},
	},
	{
		name: "ollama only loads a model", call: ollamaGenerate,
		lines: []string{`{"model":"llama3.2","created_at":"2026-01-02T03:04:05Z","response":"","done":true,"done_reason":"load"}`},
		want: Response{
			Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"load"}, Usage: &steno.Usage{Source: "absent"}},
			Model:  steno.Model{Answered: "llama3.2"},
		},
	},
	{
		name: "ollama fails in the middle", call: ollamaChat,
		lines: []string{
			`{"model":"llama3.2","message":{"role":"assistant","content":"Th"},"done":false}`,
			`{"error":"an error was encountered while running the model: unexpected EOF"}`,
		},
		words: []string{"output Th"},
		want: Response{
			Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "error", Usage: partial(-1, -1, -1, -1, -1, -1)},
			Model:  steno.Model{Answered: "llama3.2"},
		},
	},
}

func init() {
	allCalls = append(allCalls, ollamaChat, ollamaGenerate, ollamaEmbed, Call{Dialect: Ollama, API: "tags", Operation: "models"}, Call{Dialect: Ollama},
		Call{Dialect: Ollama, API: "chat_completions", Operation: "chat"}, Call{Dialect: Ollama, API: "messages", Operation: "chat"})
	requestSeeds = append(requestSeeds,
		`{"model":"m","messages":[{"role":"user","content":"a","images":["QUJD"]},{"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"x":"y"}}}]},{"role":"tool","tool_name":"f","content":"r"}],"format":{"type":"object"},"options":{"seed":1},"keep_alive":"5m","think":true}`,
		`{"model":"m","prompt":"p","suffix":"s","system":"be","template":"{{ .Prompt }}","images":["QUJD",1],"context":[1,2],"raw":true,"stream":false}`,
		`{"model":"m","message":{"content":1,"tool_calls":[1,{"function":{"arguments":"x"}}]},"done":true,"prompt_eval_count":-1,"logprobs":[{"logprob":"x"}]}`,
	)
}

// jsonLines makes a stream of the lines.
func jsonLines(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// The last line is held; however the stream is cut up, what is read is the same.
func TestLineStreams(t *testing.T) {
	for _, c := range lineStreams {
		t.Run(c.name, func(t *testing.T) {
			body := jsonLines(c.lines)
			held := strings.Index(body, c.lines[len(c.lines)-1])
			want := c.want
			want.Result.Status, want.Result.Bytes = 200, int64(len(body))
			for size := 1; size <= len(body); size += 1 + size/3 {
				s := c.call.NewStream(ndjson.Get("Content-Type"))
				released := 0
				for at := 0; at < len(body); at += size {
					if released = s.Feed([]byte(body[at:min(at+size, len(body))])); released > held {
						t.Fatalf("in chunks of %d: released %d, held is from %d", size, released, held)
					}
				}
				if released != held || !s.Finished() || s.FirstToken() != (len(c.words) > 0) {
					t.Errorf("in chunks of %d: released %d, want %d; finished %v; a first token %v", size, released, held, s.Finished(), s.FirstToken())
				}
				got := s.Response(200, ndjson)
				equal(t, "words", strings.Join(said([]byte(body), got.Texts), "|"), strings.Join(c.words, "|"))
				for _, f := range []struct{ got, want any }{
					{got.Result, want.Result}, {got.Model, want.Model}, {got.Documents, want.Documents}, {got.Findings, want.Findings},
				} {
					if !reflect.DeepEqual(f.got, f.want) {
						t.Fatalf("in chunks of %d:\n%s\nwant\n%s", size, asJSON(f.got), asJSON(f.want))
					}
				}
			}
		})
	}
}

// A stream that is cut anywhere before its last line is whole is called cut, and its counts are not all.
func TestCutLineStreams(t *testing.T) {
	for _, c := range lineStreams {
		body := strings.TrimSpace(jsonLines(c.lines))
		for at := range len(body) {
			r := c.call.ParseResponse(200, ndjson, []byte(body[:at]), true)
			if r.Result.End != steno.EndUpstreamCut || r.Result.Usage.Source != "partial" {
				t.Fatalf("%s cut at %d of %d is %s, usage %s", c.name, at, len(body), r.Result.End, r.Result.Usage.Source)
			}
		}
	}
}

func TestOllamaAtOnce(t *testing.T) {
	for _, c := range []struct {
		name, body, words string
		call              Call
		status            int
		want              steno.Result
	}{
		{
			name: "a chat", call: ollamaChat, status: 200, words: `output hm|output It rains.|output {"a":1}`,
			body: `{"model":"m","message":{"role":"assistant","content":"It rains.","thinking":"hm","tool_calls":[{"function":{"name":"f","arguments":{"a":1}}}]},"done_reason":"stop","done":true,"prompt_eval_count":26,"eval_count":4}`,
			want: steno.Result{End: "complete", FinishReasons: []string{"stop"}, Usage: reported(26, 4, -1, -1, -1, -1), ToolCalls: []steno.ToolCall{{Name: "f", Type: "function"}}},
		},
		{
			name: "a text", call: ollamaGenerate, status: 200, words: "output hm|output Good day.",
			body: `{"model":"m","response":"Good day.","thinking":"hm","done":true,"done_reason":"stop","context":[1],"prompt_eval_count":2,"eval_count":3}`,
			want: steno.Result{End: "complete", FinishReasons: []string{"stop"}, Usage: reported(2, 3, -1, -1, -1, -1)},
		},
		{
			name: "vectors", call: ollamaEmbed, status: 200, body: `{"model":"m","embeddings":[[0.1,0.2],[0.3,0.4]],"prompt_eval_count":8}`,
			want: steno.Result{End: "complete", Usage: reported(8, -1, -1, -1, -1, -1)},
		},
		{
			name: "a vector, as it was before", call: ollamaEmbed, status: 200, body: `{"embedding":[0.1,0.2]}`,
			want: steno.Result{End: "complete", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "no such model", call: ollamaChat, status: 404, body: `{"error":"model 'x' not found"}`,
			want: steno.Result{End: "provider_error", ErrorType: "404", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "its own error", call: ollamaChat, status: 403, body: string(ollamaChat.Error(403, "policy", "no")),
			want: steno.Result{End: "provider_error", ErrorType: "403", Usage: &steno.Usage{Source: "absent"}},
		},
		{name: "models", call: RouteAs(Ollama, "GET", "/api/tags"), status: 200, body: `{"models":[{"name":"m:latest"}]}`, want: steno.Result{End: "complete"}},
		{name: "a model", call: RouteAs(Ollama, "POST", "/api/show"), status: 200, body: `{"modelfile":"FROM x","details":{"family":"llama"}}`, want: steno.Result{End: "complete"}},
		{name: "models as OpenAI lists them", call: RouteAs(Ollama, "GET", "/v1/models"), status: 200, body: `{"object":"list","data":[{"id":"m","object":"model"}]}`, want: steno.Result{End: "complete"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.call.ParseResponse(c.status, plainJSON, []byte(c.body), false)
			c.want.Status, c.want.Bytes = c.status, int64(len(c.body))
			if !r.Understood || r.Problem != "" || !reflect.DeepEqual(r.Result, c.want) {
				t.Errorf("%q %s\nwant %s", r.Problem, asJSON(r.Result), asJSON(c.want))
			}
			equal(t, "words", strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
		})
	}
}

func TestOllamaRequests(t *testing.T) {
	body := `{"model":"llama3.2","messages":[{"role":"system","content":"be brief"},{"role":"user","content":"what is this","images":["QUJDRA=="]},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"look","arguments":{"q":"cat"}}}]},{"role":"tool","tool_name":"look","content":"a cat"}],"tools":[{"type":"function","function":{"name":"look"}}],"format":"json","options":{"temperature":0.5},"keep_alive":"5m"}`
	r := parse(t, ollamaChat, body)
	equal(t, "pieces", listing(r.Pieces), `
frame {"model":"llama3.2","messages":[
system {"role":"system","content":"be brief"}
history ,{"role":"user","content":"what is this","images":["QUJDRA=="]}
history ,{"role":"assistant","content":"","tool_calls":[{"function":{"name":"look","arguments":{"q":"cat"}}}]}
tool_result ,{"role":"tool","tool_name":"look","content":"a cat"}
tool_definition ],"tools":[{"type":"function","function":{"name":"look"}}]
frame ,"format":"json","options":{"temperature":0.5},"keep_alive":"5m"}`)
	equal(t, "texts", words([]byte(body), r.Texts), `
system false be brief
user false what is this
assistant false {"q":"cat"}
tool true a cat
system false [{"type":"function","function":{"name":"look"}}]`)
	if !r.Model.Stream || string(r.Model.Parameters["options"]) != `{"temperature":0.5}` || string(r.Model.Parameters["format"]) != `"json"` || r.Model.Parameters["keep_alive"] == nil || len(r.Model.Parameters) != 3 {
		t.Errorf("%s", asJSON(r.Model))
	}
	turns := ollamaChat.Transcript([]byte(body), nil, "")
	if last := turns[len(turns)-1]; last.Role != "tool" || last.Name != "look" || last.Parts[0].Name != "look" {
		t.Errorf("the tool's turn is %s", asJSON(last))
	}
	if user := turns[2]; len(user.Parts) != 2 || user.Parts[1].Media != "image, 4 bytes" {
		t.Errorf("the turn with an image is %s", asJSON(user))
	}
	body = `{"model":"m","prompt":"go on","suffix":"the end","system":"be brief","images":["QUJDRA=="],"context":[1,2,3],"stream":false}`
	r = parse(t, ollamaGenerate, body)
	equal(t, "texts", words([]byte(body), r.Texts), "user true go on\nuser true the end\nsystem true be brief")
	if r.Model.Stream || string(r.Model.Parameters["stream"]) != "false" {
		t.Errorf("a call that asks for no stream is %s", asJSON(r.Model))
	}
	if got := ollamaEmbed.Transcript(nil, []byte(`{"model":"m","embeddings":[[1,2,3],[4,5,6]]}`), "application/json"); len(got) != 1 || got[0].Parts[0].Media != "2 vectors of 3 numbers" {
		t.Errorf("vectors are shown as %s", asJSON(got))
	}
}

func TestOllamaCalls(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Call
	}{
		{"POST", "/api/chat", ollamaChat},
		{"POST", "/api/generate", ollamaGenerate},
		{"POST", "/api/embed", ollamaEmbed},
		{"POST", "/api/embeddings", ollamaEmbed},
		{"GET", "/api/tags", Call{Dialect: Ollama, API: "tags", Operation: "models"}},
		{"GET", "/api/ps", Call{Dialect: Ollama, API: "tags", Operation: "models"}},
		{"GET", "/api/version", Call{Dialect: Ollama, API: "tags", Operation: "models"}},
		{"POST", "/api/show", Call{Dialect: Ollama, API: "tags", Operation: "models"}},
		{"POST", "/api/pull", Call{Dialect: Ollama}},
		{"POST", "/api/create", Call{Dialect: Ollama}},
		{"DELETE", "/api/delete", Call{Dialect: Ollama}},
		{"GET", "/api/chat", Call{Dialect: Ollama}},
		{"GET", "/", Call{Dialect: Ollama}},
		{"POST", "/v1/chat/completions", Call{Dialect: Ollama, API: "chat_completions", Operation: "chat"}},
		{"POST", "/v1/embeddings", Call{Dialect: Ollama, API: "embeddings", Operation: "embeddings"}},
		{"POST", "/v1/messages", Call{Dialect: Ollama, API: "messages", Operation: "chat"}},
		{"POST", "/v1/messages/count_tokens", Call{Dialect: Ollama, API: "count_tokens", Operation: "count_tokens"}},
	} {
		if got := RouteAs(Ollama, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
	for path, body := range map[string]string{
		"/v1/chat/completions":      `{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
		"/v1/messages":              `{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`,
		"/v1/messages/count_tokens": `{"input_tokens":3}`,
	} {
		if r := RouteAs(Ollama, "POST", path).ParseResponse(200, plainJSON, []byte(body), false); !r.Understood || r.Result.End != steno.EndComplete {
			t.Errorf("%s: %q %s", path, r.Problem, asJSON(r.Result))
		}
	}
	var e struct{ Error any }
	for path, object := range map[string]bool{"/api/chat": false, "/v1/chat/completions": true, "/v1/messages": true} {
		if err := json.Unmarshal(RouteAs(Ollama, "POST", path).Error(403, "code", "no"), &e); err != nil {
			t.Fatal(err)
		}
		if _, ok := e.Error.(map[string]any); ok != object {
			t.Errorf("%s: a refusal is %v", path, e)
		}
	}
}

func FuzzLines(f *testing.F) {
	kinds := map[string]uint8{}
	for i, c := range allCalls {
		kinds[c.Dialect+c.API] = uint8(i)
	}
	for _, s := range lineStreams {
		f.Add(kinds[s.call.Dialect+s.call.API], []byte{3, 1, 200}, []byte(jsonLines(s.lines)))
	}
	f.Add(uint8(0), []byte{1}, []byte("\r\n {\"done\":true}\r\n[1]\n\"x\" {\n\n{}"))
	f.Fuzz(func(t *testing.T, kind uint8, sizes, body []byte) {
		c := allCalls[int(kind)%len(allCalls)]
		whole := c.newStream(framingLines)
		all := whole.Feed(body)
		want := whole.Response(200, ndjson)
		s := c.newStream(framingLines)
		released, at := 0, 0
		for i := 0; at < len(body); i++ {
			n := len(body) - at
			if len(sizes) > 0 {
				n = min(n, 1+int(sizes[i%len(sizes)]))
			}
			at += n
			r := s.Feed(body[at-n : at])
			if r < released || r > at {
				t.Fatalf("released %d, then %d, of %d", released, r, at)
			}
			released = r
		}
		if got := s.Response(200, ndjson); released != all || !reflect.DeepEqual(got, want) {
			t.Fatalf("in chunks: released %d, want %d: %s\nwant %s", released, all, asJSON(got), asJSON(want))
		}
		checkTexts(t, body, want.Texts)
	})
}
