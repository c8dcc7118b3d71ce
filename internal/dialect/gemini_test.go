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
	generate = Call{Dialect: Gemini, API: "generate_content", Operation: "generate_content", Model: "gemini-2.5-flash"}
	streamed = Call{Dialect: Gemini, API: "generate_content", Operation: "generate_content", Model: "gemini-2.5-flash", Stream: true}
	vectors  = Call{Dialect: Gemini, API: "batch_embed_contents", Operation: "embeddings", Model: "gemini-embedding-001"}
	predict  = Call{Dialect: Gemini, API: "predict", Operation: "embeddings", Model: "text-embedding-005"}
	vertexed = Call{Dialect: Gemini, API: "messages", Operation: "chat", Model: "claude-sonnet-4-5@20250929", Stream: true}
)

// geminiStreams are as server-sent events here; TestGeminiArrays makes arrays of them.
var geminiStreams = []struct {
	name  string
	lines []string
	want  Response
	words []string
}{
	{
		name: "gemini with thoughts, a function and grounding",
		lines: []string{
			`{"candidates":[{"content":{"parts":[{"text":"Let me ","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":20,"totalTokenCount":20},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
			`{"candidates":[{"content":{"parts":[{"text":"see","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":20,"totalTokenCount":25,"thoughtsTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
			`{"candidates":[{"content":{"parts":[{"text":"It \"is"}],"role":"model"},"index":0,"safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"LOW"},{"category":"HARM_CATEGORY_HATE_SPEECH","probability":"NEGLIGIBLE"}]}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":2,"totalTokenCount":27,"thoughtsTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
			`{"candidates":[{"content":{"parts":[{"text":"\" sun[ny]"},{"functionCall":{"id":"f1","name":"look","args":{"where":"P{ar]is"}},"thoughtSignature":"AAAA"},{"functionCall":{"name":"look","args":{}}},{"text":"!"}],"role":"model"},"index":0,"safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"MEDIUM"}]}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":9,"totalTokenCount":34,"thoughtsTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
			`{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"webSearchQueries":["weather paris"],"groundingChunks":[{"web":{"uri":"https://w.example/1","title":"w.example"}},{"retrievedContext":{"uri":"gs://b/d.txt","title":"d","text":"found words"}}],"groundingSupports":[{"segment":{"endIndex":5},"groundingChunkIndices":[0],"confidenceScores":[0.75]}]},"citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":5,"uri":"https://c.example","license":""}]}}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":10,"totalTokenCount":38,"cachedContentTokenCount":8,"toolUsePromptTokenCount":3,"thoughtsTokenCount":5},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
		},
		words: []string{`output Let me see`, `output It "is" sun[ny]`, `output {"where":"P{ar]is"}`, "output {}", "output !", `output ["weather paris"]`, "document found words"},
		want: Response{
			Result: steno.Result{
				ID: "r1", End: steno.EndComplete, FinishReasons: []string{"STOP"}, Usage: reported(23, 15, 8, -1, 5, 38),
				ToolCalls: []steno.ToolCall{{ID: "f1", Name: "look", Type: "function"}, {Name: "look", Type: "function"}, {Name: "google_search", Type: "extension"}},
			},
			Model: steno.Model{Answered: "gemini-2.5-flash"},
			Documents: []steno.Document{
				{ID: "https://c.example", Chunk: "char 1-5", Origin: "citation"},
				{ID: "https://w.example/1", Title: "w.example", Score: ptr(0.75), Origin: "web_search"},
				{ID: "gs://b/d.txt", Title: "d", Origin: "file_search"},
			},
			Findings: []steno.Finding{
				{Flag: "harmful", Rule: "safetyRatings/HARASSMENT/MEDIUM", Source: "gemini", Version: "gemini-2.5-flash", Direction: "out", Score: 0.6, Action: "record"},
			},
		},
	},
	{
		name: "gemini with two candidates, the second withheld",
		lines: []string{
			`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"MAX_TOKENS","avgLogprobs":-0.5},{"content":{"parts":[{"text":"b"}]},"index":1}],"modelVersion":"m"}`,
			`{"candidates":[{"content":{"parts":[{"text":"c"}]},"index":1}],"modelVersion":"m"}`,
			`{"candidates":[{"finishReason":"PROHIBITED_CONTENT","index":1,"finishMessage":"no"}],"modelVersion":"m","usageMetadata":{"trafficType":"ON_DEMAND"}}`,
		},
		words: []string{"output a", "output bc"},
		want: Response{
			Result: steno.Result{
				End: steno.EndComplete, FinishReasons: []string{"MAX_TOKENS", "PROHIBITED_CONTENT"}, Refusal: true, Usage: &steno.Usage{Source: "absent"},
				Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, By: "gemini.avgLogprobs"}},
			},
			Model:    steno.Model{Answered: "m", ServiceTier: "ON_DEMAND"},
			Findings: []steno.Finding{{Flag: "refusal", Rule: "finishReason/PROHIBITED_CONTENT", Source: "gemini", Version: "m", Direction: "out", Score: 1, Action: "record"}},
		},
	},
	{
		name: "gemini, the prompt blocked",
		lines: []string{
			`{"promptFeedback":{"blockReason":"SAFETY","safetyRatings":[{"category":"HARM_CATEGORY_DANGEROUS_CONTENT","probability":"HIGH","blocked":true}]},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"m"}`,
		},
		want: Response{
			Result: steno.Result{End: steno.EndComplete, Refusal: true, Usage: reported(9, -1, -1, -1, -1, 9)},
			Model:  steno.Model{Answered: "m"},
			Findings: []steno.Finding{
				{Flag: "refusal", Rule: "blockReason/SAFETY", Source: "gemini", Version: "m", Direction: "in", Score: 1, Action: "record"},
				{Flag: "harmful", Rule: "safetyRatings/DANGEROUS_CONTENT/HIGH", Source: "gemini", Version: "m", Direction: "in", Score: 1, Action: "record"},
			},
		},
	},
	{
		name: "gemini with a function's arguments in fragments, code that ran, an image",
		lines: []string{
			`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"book","id":"b","willContinue":true}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.city","stringValue":"Par"}],"willContinue":true}}]}}]}`,
			`{"candidates":[{"content":{"parts":[{"functionCall":{"partialArgs":[{"jsonPath":"$.city","stringValue":"is"}]}},{"functionCall":{}},{"executableCode":{"language":"PYTHON","code":"print(1)"}},{"codeExecutionResult":{"outcome":"OUTCOME_OK","output":"1\n"}},{"inlineData":{"mimeType":"image/png","data":"QUJD"}}]},"finishReason":"STOP","logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.25},{"token":"b","logProbability":-0.75}]}}],"usageMetadata":{"promptTokenCount":1,"totalTokenCount":1}}`,
		},
		words: []string{"output Paris", "output print(1)", "tool 1\n"},
		want: Response{Result: steno.Result{
			End: steno.EndComplete, FinishReasons: []string{"STOP"}, Usage: reported(1, -1, -1, -1, -1, 1),
			ToolCalls: []steno.ToolCall{{ID: "b", Name: "book", Type: "function"}, {Name: "code_execution", Type: "extension"}},
			Confidence: []steno.Confidence{
				{Kind: "logprob_mean", Value: -0.5, Tokens: 2, By: "gemini.logprobs"}, {Kind: "logprob_min", Value: -0.75, Tokens: 2, By: "gemini.logprobs"},
			},
		}},
	},
	{
		name:  "gemini with an error in it",
		lines: []string{`{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}`, `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`},
		words: []string{"output a"},
		want:  Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "UNAVAILABLE", Usage: &steno.Usage{Source: "absent"}}},
	},
}

// Google's calls and streams go through the tests of all dialects.
func init() {
	allCalls = append(allCalls, generate, streamed, vectors, predict, vertexed, Call{Dialect: Gemini},
		Call{Dialect: Gemini, API: "chat_completions", Operation: "chat"}, Call{Dialect: Gemini, API: "google_resource", Operation: "manage"})
	for _, g := range geminiStreams {
		s := streams[0]
		s.name, s.call, s.body, s.want, s.words = g.name, streamed, events(g.lines...), g.want, g.words
		s.held = "data: " + g.lines[len(g.lines)-1]
		streams = append(streams, s)
	}
	requestSeeds = append(requestSeeds,
		`{"contents":[{"role":"user","parts":[{"text":"a"},{"inlineData":{"mimeType":"text/plain","data":"QQ=="}}]},{"role":"model","parts":{"functionCall":{"name":"f","args":{}}}},{"parts":[{"functionResponse":{"name":"f","response":{"x":"y"}}}]}],"systemInstruction":{"parts":{"text":"s"}},"tools":[{"functionDeclarations":[{"name":"f"}],"googleSearch":{}}],"generationConfig":{"topK":1},"labels":{"user":"u"}}`,
		`{"contents":{"parts":["x",{"unknown":{"deep":["w"]}}]},"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`,
		`{"requests":[{"model":"m","content":{"parts":[{"text":"t"}]}},1]}`, `{"instances":[{"content":"c"},{"prompt":"p","image":{"bytesBase64Encoded":"AA=="}}]}`,
		`{"candidates":[{"index":3,"content":{"parts":[{"text":1},{}]},"finishReason":2,"groundingMetadata":{"groundingSupports":[{"groundingChunkIndices":[0,9],"confidenceScores":[1,"x"]}]}}],"usageMetadata":{"promptTokenCount":9223372036854775807,"toolUsePromptTokenCount":9}}`,
	)
}

func arrayOf(lines []string) string { return "[" + strings.Join(lines, "\n,\r\n") + "\n]\n" }

// Without alt=sse the same stream is an array. Its last chunk is held as well as its bracket: a reader may stop at either.
func TestGeminiArrays(t *testing.T) {
	for _, c := range geminiStreams {
		body := arrayOf(c.lines)
		held := strings.Index(body, c.lines[len(c.lines)-1])
		if len(c.lines) > 1 {
			held -= len("\n,\r\n")
		} else {
			held = 0
		}
		want := c.want
		want.Result.Status, want.Result.Bytes = 200, int64(len(body))
		for size := 1; size <= len(body); size += 1 + size/3 {
			s := streamed.NewStream("application/json; charset=UTF-8")
			released := 0
			for at := 0; at < len(body); at += size {
				if released = s.Feed([]byte(body[at:min(at+size, len(body))])); released > held {
					t.Fatalf("%s in chunks of %d: released %d, held is from %d", c.name, size, released, held)
				}
			}
			got := s.Response(200, plainJSON)
			if released != held || !s.Finished() {
				t.Errorf("%s in chunks of %d: released %d, want %d; finished %v", c.name, size, released, held, s.Finished())
			}
			equal(t, "words", strings.Join(said([]byte(body), got.Texts), "|"), strings.Join(c.words, "|"))
			for _, f := range []struct{ got, want any }{
				{got.Result, want.Result}, {got.Model, want.Model}, {got.Documents, want.Documents}, {got.Findings, want.Findings},
			} {
				if !reflect.DeepEqual(f.got, f.want) {
					t.Fatalf("%s in chunks of %d:\n%s\nwant\n%s", c.name, size, asJSON(f.got), asJSON(f.want))
				}
			}
		}
	}
}

// An array that is cut anywhere before its bracket is called cut, though its last chunk may be there.
func TestCutGeminiArrays(t *testing.T) {
	for _, c := range geminiStreams {
		if c.want.Result.End != steno.EndComplete {
			continue
		}
		body := strings.TrimSpace(arrayOf(c.lines))
		for at := range len(body) {
			r := streamed.ParseResponse(200, plainJSON, []byte(body[:at]), false)
			if r.Result.End != steno.EndUpstreamCut {
				t.Fatalf("%s cut at %d of %d is %s", c.name, at, len(body), r.Result.End)
			}
		}
		for detail, at := range map[string]int{"the array's end": len(body) - 1, "its terminal event": len(c.lines[0]) / 2} {
			if r := streamed.ParseResponse(200, plainJSON, []byte(body[:at]), false); !strings.Contains(r.Result.EndDetail, detail) {
				t.Errorf("%s cut at %d: %q", c.name, at, r.Result.EndDetail)
			}
		}
	}
}

func TestOddArrays(t *testing.T) {
	const one = `{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`
	for _, c := range []struct {
		body    string
		status  int
		end     steno.End
		typ     string
		problem bool
		words   string
	}{
		{"\xef\xbb\xbf [ " + one + " ] \n", 200, steno.EndComplete, "", false, "output a"},
		{one, 200, steno.EndComplete, "", false, "output a"},
		{"[" + one + "] [" + one + "]", 200, steno.EndComplete, "", false, "output a"},
		{"[1, \"x]\" , " + one + ",null]", 200, steno.EndComplete, "", true, "output a"},
		{"[{\"a\":1]," + one + "]", 200, steno.EndComplete, "", true, "output a"},
		{"[]", 200, steno.EndComplete, "", false, ""},
		{`[{"error":{"code":429,"message":"slow down","status":"RESOURCE_EXHAUSTED","details":[]}}]`, 429, steno.EndProviderError, "RESOURCE_EXHAUSTED", false, ""},
		{`{"error":{"code":400,"message":"bad key","status":"INVALID_ARGUMENT"}}`, 400, steno.EndProviderError, "INVALID_ARGUMENT", false, ""},
		{`[{"error":{"code":500,"message":"oops","status":"INTERNAL"}}]`, 200, steno.EndErrorInAnswer, "INTERNAL", false, ""},
		{"<html>no</html>", 502, steno.EndProviderError, "502", true, ""},
		{"<html>no</html>", 200, steno.EndUpstreamCut, "", true, ""},
		{"", 200, steno.EndUpstreamCut, "", false, ""},
		{"]}", 200, steno.EndUpstreamCut, "", true, ""},
	} {
		r := streamed.ParseResponse(c.status, plainJSON, []byte(c.body), false)
		if r.Result.End != c.end || r.Result.ErrorType != c.typ || (r.Problem != "") != c.problem {
			t.Errorf("%q: %s %q", c.body, asJSON(r.Result), r.Problem)
		}
		equal(t, c.body, strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
	}
}

// A candidate that turns up when the others have finished lets go of what was held; counts may follow the end.
func TestLateCandidate(t *testing.T) {
	first := events(`{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}`)
	second := events(`{"candidates":[{"content":{"parts":[{"text":"b"}]},"index":1}]}`)
	third := events(`{"candidates":[{"finishReason":"STOP","index":1}]}`)
	fourth := events(`{"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2,"totalTokenCount":3}}`)
	s := streamed.NewStream("text/event-stream")
	for i, step := range []struct {
		body     string
		released int
		finished bool
	}{
		{first, 0, true},
		{second, len(first + second), false},
		{third, len(first + second), true},
		{fourth, len(first + second), true},
	} {
		if got := s.Feed([]byte(step.body)); got != step.released || s.Finished() != step.finished {
			t.Errorf("step %d: released %d, want %d; finished %v", i, got, step.released, s.Finished())
		}
	}
	r := s.Response(200, sse).Result
	if r.End != steno.EndComplete || !reflect.DeepEqual(r.Usage, reported(1, 2, -1, -1, -1, 3)) || len(r.FinishReasons) != 2 {
		t.Errorf("%s", asJSON(r))
	}
}

func FuzzArray(f *testing.F) {
	for _, s := range geminiStreams {
		f.Add([]byte{3, 1, 200}, []byte(arrayOf(s.lines)))
	}
	f.Add([]byte{1}, []byte("\xef\xbb\xbf[\"\\\"]\",{\"a\":[}],1] x"))
	f.Add([]byte{0}, []byte(`]`))
	f.Fuzz(func(t *testing.T, sizes, body []byte) {
		one := streamed.NewStream("application/json")
		all := one.Feed(body)
		if all > len(body) {
			t.Fatalf("released %d of %d", all, len(body))
		}
		want := one.Response(200, plainJSON)
		s := streamed.NewStream("application/json")
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
		if got := s.Response(200, plainJSON); released != all || s.Finished() != one.Finished() || !reflect.DeepEqual(got, want) {
			t.Fatalf("in chunks: released %d, want %d: %s\nwant %s", released, all, asJSON(got), asJSON(want))
		}
		checkTexts(t, body, want.Texts)
	})
}

func TestGoogleCalls(t *testing.T) {
	const vertex = "/v1/projects/p/locations/l"
	google := func(api, operation, model string) Call {
		return Call{Dialect: Gemini, API: api, Operation: operation, Model: model}
	}
	streaming := func(c Call) Call { c.Stream = true; return c }
	for _, c := range []struct {
		method, path string
		want         Call
		routed       bool // without an upstream's name too
	}{
		{"POST", "/v1beta/models/gemini-2.5-flash:generateContent", generate, true},
		{"POST", "/v1/models/gemini-2.5-flash:generateContent", generate, true},
		{"GET", "/v1/models/gemini-2.5-flash", google("models", "models", ""), false},
		{"DELETE", "/v1/models/ft:mine", google("google_resource", "manage", ""), false},
		{"POST", "/models/gemini-2.5-flash:generateContent", generate, false},
		{"POST", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", streamed, true},
		{"POST", "/v1alpha/models/gemini-2.5-flash%3AstreamGenerateContent", streamed, true},
		{"POST", "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:streamGenerateContent", streamed, true},
		{"POST", "/v1/publishers/google/models/gemini-2.5-flash:generateContent", generate, true},
		{"POST", vertex + "/endpoints/123:generateContent", google("generate_content", "generate_content", "endpoints/123"), true},
		{"POST", "/v1beta/tunedModels/mine-1:generateContent", google("generate_content", "generate_content", "tunedModels/mine-1"), true},
		{"POST", "/v1beta/models/gemini-2.5-flash:countTokens", google("count_tokens", "count_tokens", "gemini-2.5-flash"), true},
		{"POST", "/v1beta/models/gemini-embedding-001:embedContent", google("embed_content", "embeddings", "gemini-embedding-001"), true},
		{"POST", "/v1beta/models/gemini-embedding-001:batchEmbedContents", vectors, true},
		{"POST", vertex + "/publishers/google/models/text-embedding-005:predict", predict, true},
		{"POST", vertex + "/publishers/google/models/imagen-4.0:predict", google("predict", "generate_content", "imagen-4.0"), true},
		{"POST", "/v1beta/models/veo-3:predictLongRunning", google("predict_long_running", "generate_content", "veo-3"), true},
		{"POST", "/v1beta/models/gemini-2.5-flash:batchGenerateContent", google("batch_generate_content", "manage", "gemini-2.5-flash"), true},
		{"POST", vertex + "/publishers/anthropic/models/claude-sonnet-4-5%4020250929:streamRawPredict", vertexed, true},
		{"POST", vertex + "/publishers/anthropic/models/claude-sonnet-4-5@20250929:rawPredict", google("messages", "chat", "claude-sonnet-4-5@20250929"), true},
		{"POST", vertex + "/publishers/anthropic/models/count-tokens:rawPredict", google("count_tokens", "count_tokens", ""), true},
		{"POST", vertex + "/publishers/mistralai/models/mistral-medium-3:rawPredict", google("chat_completions", "chat", "mistral-medium-3"), true},
		{"POST", vertex + "/publishers/else/models/x:streamRawPredict", google("", "", "x"), true},
		{"POST", "/v1beta/openai/chat/completions", google("chat_completions", "chat", ""), true},
		{"GET", "/v1beta/openai/models", google("models", "models", ""), true},
		{"POST", vertex + "/endpoints/openapi/chat/completions", google("chat_completions", "chat", ""), true},
		{"POST", vertex + "/endpoints/77/chat/completions", google("chat_completions", "chat", "endpoints/77"), true},
		{"GET", "/v1beta/models", google("models", "models", ""), true},
		{"GET", "/v1beta/models/gemini-2.5-flash", google("models", "models", ""), true},
		{"GET", "/v1beta1/publishers/google/models", google("models", "models", ""), true},
		{"POST", "/v1beta/cachedContents", google("google_resource", "manage", ""), true},
		{"DELETE", "/v1beta/files/abc", google("google_resource", "manage", ""), true},
		{"GET", vertex + "/operations/1", google("google_resource", "manage", ""), true},
		{"GET", vertex + "/publishers/google/models/veo-3/operations/1", google("google_resource", "manage", ""), true},
		{"POST", vertex + "/publishers/google/models/veo-3:fetchPredictOperation", google("google_resource", "manage", "veo-3"), true},
		{"POST", "/v1beta/models/gemini-2.5-flash:sing", google("", "", "gemini-2.5-flash"), true},
		{"POST", "/upload/v1beta/files", google("", "", ""), false},
		{"GET", "/v1beta/models/gemini-2.5-flash:generateContent", google("models", "models", ""), true},
	} {
		if got := RouteAs(Gemini, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
		if got, ok := Route(c.method, c.path, nil); (ok && got == c.want) != c.routed {
			t.Errorf("%s %s is routed to %+v, %v", c.method, c.path, got, ok)
		}
	}
	if f := streaming(generate).framing("text/event-stream"); f != framingSSE {
		t.Errorf("alt=sse: %v", f)
	}
	for _, other := range []struct {
		c     Call
		media string
	}{{generate, "application/json"}, {streamed, "text/html"}, {streaming(messages), "application/json"}} {
		if other.c.NewStream(other.media) != nil {
			t.Errorf("%+v with %s is taken for a stream", other.c, other.media)
		}
	}
}

func TestGeminiRequests(t *testing.T) {
	const doc = `{"inlineData":{"mimeType":"application/pdf","displayName":"a.pdf","data":"` // longer than minDocument
	pdf := doc + strings.Repeat("QUJD", 80) + `"}}`
	for _, c := range []struct {
		name, body, pieces, texts string
		call                      Call
		messages, fresh           int
	}{
		{
			name: "a conversation with tools", call: generate, messages: 4, fresh: 2,
			body: `{"systemInstruction":{"role":"user","parts":[{"text":"be brief"}]},"contents":[{"role":"user","parts":[{"text":"one"},` + pdf + `]},` +
				`{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"name":"look","args":{"q":1}},"thoughtSignature":"AAAA"}]},` +
				`{"role":"user","parts":[{"functionResponse":{"name":"look","response":{"result":"found \"it\""}}}]},{"role":"user","parts":[{"text":"two"}]}],` +
				`"tools":[{"functionDeclarations":[{"name":"look","description":"looks"}]}],"generationConfig":{"temperature":0.5}}`,
			pieces: `
system {"systemInstruction":{"role":"user","parts":[{"text":"be brief"}]}
history ,"contents":[{"role":"user","parts":[{"text":"one"}
context ,` + pdf + `
history ]}
history ,{"role":"model","parts":[{"text":"hm","thought":true},{"functionCall":{"name":"look","args":{"q":1}},"thoughtSignature":"AAAA"}]}
tool_result ,{"role":"user","parts":[{"functionResponse":{"name":"look","response":{"result":"found \"it\""}}}]}
input ,{"role":"user","parts":[{"text":"two"}]}
tool_definition ],"tools":[{"functionDeclarations":[{"name":"look","description":"looks"}]}]
frame ,"generationConfig":{"temperature":0.5}}`,
			texts: `
system false be brief
user false one
assistant false hm
assistant false {"q":1}
tool true found "it"
user true two
system false [{"functionDeclarations":[{"name":"look","description":"looks"}]}]`,
		},
		{
			name: "one of everything, in snake case", call: generate, messages: 1, fresh: 1,
			body: `{"system_instruction":{"parts":{"text":"s"}},"contents":{"parts":{"text":"u"}},"tool_config":{"function_calling_config":{"mode":"AUTO"}}}`,
			pieces: `
system {"system_instruction":{"parts":{"text":"s"}}
input ,"contents":{"parts":{"text":"u"}}
frame ,"tool_config":{"function_calling_config":{"mode":"AUTO"}}}`,
			texts: "system true s\nuser true u\nuser true {\"function_calling_config\":{\"mode\":\"AUTO\"}}",
		},
		{
			name: "vectors", call: vectors, messages: 2, fresh: 2,
			body:   `{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]}},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},"title":"t"}]}`,
			pieces: `input {"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]}},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},"title":"t"}]}`,
			texts:  "user true a\nuser true t\nuser true b",
		},
		{
			name: "predictions", call: predict, messages: 1, fresh: 1,
			body: `{"instances":[{"content":"words"}],"parameters":{"autoTruncate":true}}`, pieces: "input {\"instances\":[{\"content\":\"words\"}]\nframe ,\"parameters\":{\"autoTruncate\":true}}", texts: "user true words",
		},
		{
			name: "tokens of a whole request", call: Call{Dialect: Gemini, API: "count_tokens", Operation: "count_tokens"},
			body: `{"generateContentRequest":{"model":"models/m","systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"u"}]}]}}`, texts: "system true s\nuser true u",
			pieces: `input {"generateContentRequest":{"model":"models/m","systemInstruction":{"parts":[{"text":"s"}]},"contents":[{"parts":[{"text":"u"}]}]}}`,
		},
		{
			name: "a batch", call: Call{Dialect: Gemini, API: "batch_generate_content", Operation: "manage"},
			body:   `{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"u"}]}]}}]}}}}`,
			pieces: `input {"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"u"}]}]}}]}}}}`, texts: "user true u",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, c.call, c.body)
			if !r.Understood || r.Problem != "" {
				t.Errorf("not understood: %s", r.Problem)
			}
			equal(t, "pieces", listing(r.Pieces), c.pieces)
			equal(t, "texts", words([]byte(c.body), r.Texts), c.texts)
			if r.Prompt.Messages != c.messages || r.Prompt.New != c.fresh {
				t.Errorf("%d messages, %d new; want %d, %d", r.Prompt.Messages, r.Prompt.New, c.messages, c.fresh)
			}
		})
	}
}

func TestGeminiRequestFacts(t *testing.T) {
	r := parse(t, streamed, `{"model":"models/other","contents":[{"role":"user","parts":[{"fileData":{"mimeType":"application/pdf","fileUri":"gs://b/a.pdf"}},{"inline_data":{"mime_type":"image/png","data":"QUJD"}}]}],`+
		`"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}],"googleSearch":{}},{"code_execution":{}},{"newThing":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},`+
		`"generationConfig":{"temperature":0.5,"thinkingConfig":{"thinkingBudget":0}},"cachedContent":"cachedContents/x","safetySettings":[],"labels":{"user_id":"ana","team":"x"}}`)
	if r.Model.Asked != "gemini-2.5-flash" || !r.Model.Stream || r.User != "ana" || r.UserSource != "labels.user_id" {
		t.Errorf("%s %s %s", asJSON(r.Model), r.User, r.UserSource)
	}
	equal(t, "tools", asJSON(r.Prompt.Tools), `["a","b","googleSearch","code_execution"]`)
	equal(t, "documents", asJSON(r.Documents), `[{"id":"gs://b/a.pdf","origin":"document"}]`)
	equal(t, "parameters", asJSON(r.Model.Parameters), `{"cachedContent":"cachedContents/x","labels":{"team":"x"},"safetySettings":[],"temperature":0.5,"thinkingConfig":{"thinkingBudget":0},"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}}`)
}

func TestGeminiAnswers(t *testing.T) {
	for _, c := range []struct {
		name, body string
		call       Call
		words      string
		want       steno.Result
		model      steno.Model
	}{
		{
			name: "numbers instead of names", call: generate, words: "output hi",
			body:  `{"candidates":[{"content":{"role":"model","parts":[{"text":"hi"}]},"finishReason":1,"safetyRatings":[{"category":4,"probability":4}]},{"index":1,"finishReason":3},{"index":2,"finishReason":8},{"index":3,"finishReason":99}],"usageMetadata":{"promptTokenCount":5,"totalTokenCount":9,"trafficType":1,"thoughtsTokenCount":4},"modelVersion":"models/gemini-2.5-pro","responseId":"x"}`,
			want:  steno.Result{ID: "x", FinishReasons: []string{"STOP", "SAFETY", "8", "99"}, Refusal: true, Usage: reported(5, 4, -1, -1, 4, 9)},
			model: steno.Model{Answered: "gemini-2.5-pro", ServiceTier: "ON_DEMAND"},
		},
		{name: "tokens", call: Call{Dialect: Gemini, API: "count_tokens", Operation: "count_tokens"}, body: `{"totalTokens":31}`},
		{name: "vectors", call: vectors, body: `{"embeddings":[{"values":[0.1,0.2]}],"usageMetadata":{"promptTokenCount":4}}`, want: steno.Result{Usage: reported(4, -1, -1, -1, -1, -1)}},
		{
			name: "predicted vectors", call: predict, want: steno.Result{Usage: reported(7, -1, -1, -1, -1, -1)},
			body: `{"predictions":[{"embeddings":{"statistics":{"token_count":4,"truncated":false},"values":[0.1]}},{"embeddings":{"statistics":{"token_count":3},"values":[0.1]}}],"metadata":{"billableCharacterCount":9}}`,
		},
		{
			name: "images, one filtered", call: Call{Dialect: Gemini, API: "predict", Operation: "generate_content"}, words: "output a finer prompt",
			body: `{"predictions":[{"mimeType":"image/png","bytesBase64Encoded":"QUJD","prompt":"a finer prompt"},{"raiFilteredReason":"Unable to show images."}]}`, want: steno.Result{Refusal: true, Usage: &steno.Usage{Source: "absent"}},
		},
		{name: "models", call: Call{Dialect: Gemini, API: "models", Operation: "models"}, body: `{"models":[{"name":"models/m"}]}`},
		{name: "a job", call: Call{Dialect: Gemini, API: "predict_long_running", Operation: "generate_content"}, body: `{"name":"operations/1"}`, want: steno.Result{Usage: &steno.Usage{Source: "absent"}}},
		{
			name: "Claude on Vertex", call: RouteAs(Gemini, "POST", "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x:rawPredict"), words: "output hi",
			body:  `{"id":"msg","model":"claude-x-20250929","type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":2,"output_tokens":1}}`,
			want:  steno.Result{ID: "msg", FinishReasons: []string{"end_turn"}, Usage: reported(5, 1, 2, -1, -1, -1)},
			model: steno.Model{Answered: "claude-x-20250929", Version: "claude-x-20250929", VersionSource: "response.model"},
		},
		{
			name: "the OpenAI-compatible side", call: RouteAs(Gemini, "POST", "/v1beta/openai/chat/completions"), words: "output hi",
			body:  `{"id":"c","object":"chat.completion","model":"gemini-2.5-flash","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
			want:  steno.Result{ID: "c", FinishReasons: []string{"stop"}, Usage: reported(1, 2, -1, -1, -1, 3)},
			model: steno.Model{Answered: "gemini-2.5-flash"},
		},
	} {
		r := c.call.ParseResponse(200, plainJSON, []byte(c.body), false)
		if !r.Understood || r.Problem != "" {
			t.Errorf("%s: not understood: %s", c.name, r.Problem)
		}
		c.want.End, c.want.Status, c.want.Bytes = steno.EndComplete, 200, int64(len(c.body))
		if !reflect.DeepEqual(r.Result, c.want) || !reflect.DeepEqual(r.Model, c.model) {
			t.Errorf("%s:\n%s\nwant\n%s\n%s", c.name, asJSON(r.Result), asJSON(c.want), asJSON(r.Model))
		}
		equal(t, c.name, strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
	}
}

func TestGeminiErrors(t *testing.T) {
	compatible := RouteAs(Gemini, http.MethodPost, "/v1beta/openai/chat/completions")
	for _, c := range []struct {
		call Call
		body string
		typ  string
	}{
		{generate, `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[]}}`, "INVALID_ARGUMENT"},
		{compatible, `[{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT"}}]`, "INVALID_ARGUMENT"},
		{Call{Dialect: Gemini}, `[{"error":{"code":404,"status":"NOT_FOUND"}}]`, "NOT_FOUND"},
		{vertexed, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, "overloaded_error"},
	} {
		if r := c.call.ParseResponse(400, plainJSON, []byte(c.body), false); r.Result.End != steno.EndProviderError || r.Result.ErrorType != c.typ {
			t.Errorf("%s: %s", c.body, asJSON(r.Result))
		}
	}
	for status, want := range map[int]string{
		400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 413: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED",
		500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED",
	} {
		var e struct {
			Error struct {
				Code            int
				Message, Status string
				Details         []struct{ Reason, Domain string }
			}
		}
		own := generate.Error(status, "code_word", `say "no"`)
		if err := json.Unmarshal(own, &e); err != nil {
			t.Fatal(err)
		}
		if e.Error.Code != status || e.Error.Status != want || e.Error.Message != `say "no"` || len(e.Error.Details) != 1 || e.Error.Details[0].Reason != "code_word" {
			t.Errorf("%d: %s", status, own)
		}
		if r := streamed.ParseResponse(status, plainJSON, own, false); r.Result.ErrorType != want || r.Result.End != steno.EndProviderError || !r.Understood {
			t.Errorf("reads its own error %d as %s", status, asJSON(r.Result))
		}
	}
	// Callers of another publisher's format know its errors.
	for call, has := range map[Call]string{vertexed: `"authentication_error"`, compatible: `"param":null`} {
		if got := string(call.Error(401, "c", "m")); !strings.Contains(got, has) {
			t.Errorf("%+v: %s", call, got)
		}
	}
}

func TestGeminiTranscript(t *testing.T) {
	request := `{"contents":[{"role":"user","parts":[{"text":"what is it?"},{"inlineData":{"mimeType":"image/png","data":"QUJDRA=="}},{"fileData":{"mimeType":"video/mp4","fileUri":"https://v.example/1"}}]},` +
		`{"role":"model","parts":[{"functionCall":{"id":"c1","name":"look","args":{"a":"é"}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"look","response":{"found":["cat"]}}}]}],` +
		`"systemInstruction":{"parts":[{"text":"brief"}]},"tools":[{"functionDeclarations":[{"name":"look"}]},{"googleSearch":{}}],"toolConfig":{}}`
	const want = `
tools old 
  tool_definition look {"name":"look"}
  tool_definition googleSearch {}
system old 
  system brief
user old 
  history what is it?
  history image/png, 4 bytes
  context video/mp4 at https://v.example/1 [https://v.example/1]
assistant old 
  tool_call look c1 {"a":"é"}
tool new lookc1
  tool_result look c1 {"found":["cat"]}
assistant new 
  reasoning hm
  output A cat.
  output image/png, 3 bytes`
	answer := `{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"text":"A cat."},{"inlineData":{"mimeType":"image/png","data":"QUJD"}}]},"finishReason":"STOP"}]}`
	equal(t, "plain", scriptOf(generate.Transcript([]byte(request), []byte(answer), "application/json")), want)
	equal(t, "array", scriptOf(streamed.Transcript([]byte(request), []byte("["+answer+"]"), "application/json")), want)
	equal(t, "vectors", scriptOf(vectors.Transcript(nil, []byte(`{"embeddings":[{"values":[1,2,3]},{"values":[1,2,3]}]}`), "application/json")), "assistant new \n  output 2 vectors of 3 numbers")
}
