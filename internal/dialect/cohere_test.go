package dialect

import (
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	cohereV1   = Call{Dialect: Cohere, API: "v1_chat", Operation: "chat"}
	cohereV2   = Call{Dialect: Cohere, API: "v2_chat", Operation: "chat"}
	cohereText = Call{Dialect: Cohere, API: "generate", Operation: "text_completion"}
	cohereRank = Call{Dialect: Cohere, API: "rerank", Operation: "rerank"}
	cohereSort = Call{Dialect: Cohere, API: "classify", Operation: "classification"}
	cohereVecs = Call{Dialect: Cohere, API: "embed", Operation: "embeddings"}
)

func init() {
	allCalls = append(allCalls, cohereText, cohereRank, cohereSort, cohereVecs, Call{Dialect: Cohere}, Call{Dialect: Cohere, API: "summarize", Operation: "text_completion"},
		Call{Dialect: Cohere, API: "tokenize", Operation: "manage"}, Call{Dialect: Cohere, API: "chat_completions", Operation: "chat"})
	requestSeeds = append(requestSeeds,
		`{"model":"m","message":"q","preamble":"be","chat_history":[{"role":"USER","message":"a"},{"role":"CHATBOT","message":"b","tool_calls":[{"name":"f","parameters":{"x":"y"}}]},{"role":"TOOL","tool_results":[{"call":{"name":"f"},"outputs":[{"id":"d","text":"t"},1]}]}],"tool_results":[{"outputs":[{"a":["b"]}]}],"connectors":[{"id":"web-search"}],"documents":[{"title":"t","snippet":"s"},"d"]}`,
		`{"messages":[{"role":"assistant","tool_plan":"p","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"id":"1","data":"x"}}]}],"documents":[{"id":"d","data":{"text":"t"}}],"inputs":[{"content":[{"type":"image_url","image_url":{"url":"data:a;base64,AA"}}]}],"examples":[{"text":"e","label":"l"}],"text":"w"}`,
		`{"id":"x","message":{"content":[{"type":"thinking","thinking":"t"}],"citations":{"document_ids":[1]}},"logprobs":[{"logprobs":[null,-1]}],"classifications":[{"prediction":1,"confidence":"x"}],"results":[{"index":-1,"document":"d"}],"generations":[{"text":"g"}],"usage":{"tokens":{"input_tokens":1.5}}}`,
	)
	line := func(name string, call Call, lines, words []string, want Response) {
		l := lineStreams[0]
		l.name, l.call, l.lines, l.words, l.want = name, call, lines, words, want
		lineStreams = append(lineStreams, l)
	}
	line("cohere's first version with searches, documents and tools", cohereV1, []string{
		`{"is_finished":false,"event_type":"stream-start","generation_id":"g1"}`,
		`{"is_finished":false,"event_type":"search-queries-generation","search_queries":[{"text":"who keeps records","generation_id":"g1"}]}`,
		`{"is_finished":false,"event_type":"search-results","search_results":[],"documents":[{"id":"doc_0","title":"Courts","snippet":"The reporter."}]}`,
		`{"is_finished":false,"event_type":"text-generation","text":"The "}`,
		`{"is_finished":false,"event_type":"tool-calls-chunk","text":"I will"}`,
		`{"is_finished":false,"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"name":"look"}}`,
		`{"is_finished":false,"event_type":"tool-calls-chunk","tool_call_delta":{"index":0,"parameters":"{\"q\":"}}`,
		`{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":[{"name":"look","parameters":{"q":1}}]}`,
		`{"is_finished":false,"event_type":"citation-generation","citations":[{"start":0,"end":3,"text":"The","document_ids":["doc_0"]}]}`,
		`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"r1","generation_id":"g1","text":"The reporter.","search_queries":[{"text":"who keeps records","generation_id":"g1"}],"citations":[{"document_ids":["doc_0"]}],"documents":[{"id":"doc_0","title":"Courts"}],"tool_calls":[{"name":"look","parameters":{"q":1}}],"finish_reason":"COMPLETE","meta":{"billed_units":{"input_tokens":5,"output_tokens":6},"tokens":{"input_tokens":50.0,"output_tokens":7}}}}`,
	}, []string{"output The reporter.", "output who keeps records", `output {"q":1}`}, Response{
		Result: steno.Result{
			ID: "r1", End: steno.EndComplete, FinishReasons: []string{"COMPLETE"}, Usage: reported(50, 7, -1, -1, -1, -1),
			ToolCalls: []steno.ToolCall{{ID: "g1", Name: "search", Type: "extension"}, {Name: "look", Type: "function"}},
		},
		Documents: []steno.Document{{ID: "doc_0", Origin: "citation"}, {ID: "doc_0", Title: "Courts", Origin: "citation"}},
	})
	line("cohere's first version fails", cohereV1, []string{
		`{"is_finished":false,"event_type":"text-generation","text":"a"}`,
		`{"is_finished":true,"event_type":"stream-end","finish_reason":"ERROR","response":{"response_id":"r2","text":"a","meta":{"tokens":{"input_tokens":1,"output_tokens":1}}}}`,
	}, []string{"output a"}, Response{Result: steno.Result{
		ID: "r2", End: steno.EndErrorInAnswer, ErrorType: "error", FinishReasons: []string{"ERROR"}, Usage: partial(1, 1, -1, -1, -1, -1),
	}})
	line("cohere's generate", cohereText, []string{
		`{"text":" the court","is_finished":false}`,
		`{"text":" a clerk","index":1,"is_finished":false}`,
		`{"is_finished":true,"finish_reason":"COMPLETE","response":{"id":"g","prompt":"p","generations":[{"id":"a","text":" the court reporter","finish_reason":"COMPLETE"},{"id":"b","text":" a clerk","finish_reason":"MAX_TOKENS"}],"meta":{"billed_units":{"input_tokens":2,"output_tokens":5}}}}`,
	}, []string{"output  the court reporter", "output  a clerk"}, Response{
		Result: steno.Result{ID: "g", End: steno.EndComplete, FinishReasons: []string{"COMPLETE", "MAX_TOKENS"}, Usage: reported(2, 5, -1, -1, -1, -1)},
	})

	event := func(name, held string, lines, words []string, want Response) {
		s := streams[0]
		s.name, s.call, s.held, s.body, s.words, s.want = name, cohereV2, held, events(lines...), words, want
		streams = append(streams, s)
	}
	event("cohere with a plan, calls and thoughts", "event: message-end", []string{
		`message-start|{"id":"c1","type":"message-start","delta":{"message":{"role":"assistant","content":[],"tool_plan":"","tool_calls":[],"citations":[]}}}`,
		`content-start|{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"thinking","thinking":""}}}}`,
		`content-delta|{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"Hm"}}}}`,
		`content-delta|{"type":"content-delta","index":0,"delta":{"message":{"content":{"thinking":"."}}}}`,
		`content-end|{"type":"content-end","index":0}`,
		`tool-plan-delta|{"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I"}}}`,
		`tool-plan-delta|{"type":"tool-plan-delta","delta":{"message":{"tool_plan":" look"}}}`,
		`tool-call-start|{"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"w_1","type":"function","function":{"name":"weather","arguments":""}}}}}`,
		`tool-call-delta|{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"place\":"}}}}}`,
		`tool-call-delta|{"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"\"Turin\"}"}}}}}`,
		`tool-call-end|{"type":"tool-call-end","index":0}`,
		`message-end|{"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":12,"output_tokens":20},"tokens":{"input_tokens":800,"output_tokens":40},"cached_tokens":64}}}`,
	}, []string{"output Hm.", "output I look", `output {"place":"Turin"}`}, Response{Result: steno.Result{
		ID: "c1", End: steno.EndComplete, FinishReasons: []string{"TOOL_CALL"}, Usage: reported(800, 40, 64, -1, -1, -1),
		ToolCalls: []steno.ToolCall{{ID: "w_1", Name: "weather", Type: "function"}},
	}})
	event("cohere with citations", "event: message-end", []string{
		`message-start|{"id":"c2","type":"message-start","delta":{"message":{"role":"assistant"}}}`,
		`content-start|{"type":"content-start","index":0,"delta":{"message":{"content":{"type":"text","text":""}}}}`,
		`content-delta|{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"The "}}},"logprobs":{"token_ids":[1],"text":"The","logprobs":[-0.5]}}`,
		`content-delta|{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"clerk"}}},"logprobs":{"token_ids":[2],"text":"clerk","logprobs":[-1.5]}}`,
		`citation-start|{"type":"citation-start","index":0,"delta":{"message":{"citations":{"start":4,"end":9,"text":"clerk","sources":[{"type":"document","id":"doc:0","document":{"id":"doc:0","title":"Courts","text":"x"}},{"type":"tool","id":"look_1:0","tool_output":{"a":"b"}}]}}}}`,
		`citation-end|{"type":"citation-end","index":0}`,
		`content-end|{"type":"content-end","index":0}`,
		`message-end|{"type":"message-end","delta":{"finish_reason":"COMPLETE","usage":{"billed_units":{"input_tokens":2,"output_tokens":3}}}}`,
	}, []string{"output The clerk"}, Response{
		Result: steno.Result{
			ID: "c2", End: steno.EndComplete, FinishReasons: []string{"COMPLETE"}, Usage: reported(2, 3, -1, -1, -1, -1),
			Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -1, Tokens: 2, By: "cohere.logprobs"}, {Kind: "logprob_min", Value: -1.5, Tokens: 2, By: "cohere.logprobs"}},
		},
		Documents: []steno.Document{{ID: "doc:0", Title: "Courts", Origin: "citation"}, {ID: "look_1:0", Origin: "citation"}},
	})
	event("cohere fails at its end", "event: message-end", []string{
		`message-start|{"id":"c3","type":"message-start","delta":{"message":{"role":"assistant"}}}`,
		`content-delta|{"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"a"}}}}`,
		`message-end|{"type":"message-end","delta":{"error":"the model broke down","finish_reason":"ERROR","usage":{"billed_units":{"input_tokens":2}}}}`,
	}, []string{"output a"}, Response{Result: steno.Result{
		ID: "c3", End: steno.EndErrorInAnswer, ErrorType: "error", FinishReasons: []string{"ERROR"}, Usage: partial(2, -1, -1, -1, -1, -1),
	}})
}

func TestCohereAtOnce(t *testing.T) {
	for _, c := range []struct {
		name, body, words string
		call              Call
		status            int
		want              steno.Result
		docs              []steno.Document
	}{
		{
			name: "a chat", call: cohereV2, status: 200, words: "output I look|output The clerk.|output {}",
			body: `{"id":"c","finish_reason":"COMPLETE","message":{"role":"assistant","tool_plan":"I look","content":[{"type":"text","text":"The clerk."}],"tool_calls":[{"id":"t","type":"function","function":{"name":"f","arguments":"{}"}}],"citations":[{"start":0,"end":3,"sources":[{"type":"document","id":"d1","document":{"id":"d1"}}]}]},"usage":{"billed_units":{"input_tokens":20,"output_tokens":4},"tokens":{"input_tokens":140,"output_tokens":6}},"logprobs":[{"token_ids":[1,2],"text":"The","logprobs":[-0.25,-0.75]}]}`,
			want: steno.Result{
				ID: "c", End: "complete", FinishReasons: []string{"COMPLETE"}, Usage: reported(140, 6, -1, -1, -1, -1), ToolCalls: []steno.ToolCall{{ID: "t", Name: "f", Type: "function"}},
				Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, Tokens: 2, By: "cohere.logprobs"}, {Kind: "logprob_min", Value: -0.75, Tokens: 2, By: "cohere.logprobs"}},
			},
			docs: []steno.Document{{ID: "d1", Origin: "citation"}},
		},
		{
			name: "a refusal of the first version", call: cohereV1, status: 200, words: "output x",
			body: `{"response_id":"r","generation_id":"g","text":"x","finish_reason":"ERROR_TOXIC","meta":{"billed_units":{"input_tokens":2,"output_tokens":0}}}`,
			want: steno.Result{ID: "r", End: "complete", Refusal: true, FinishReasons: []string{"ERROR_TOXIC"}, Usage: reported(2, 0, -1, -1, -1, -1)},
		},
		{
			name: "an order", call: cohereRank, status: 200, words: "document found",
			body: `{"id":"k","results":[{"index":3,"relevance_score":0.5,"document":{"text":"found"}},{"index":0,"relevance_score":0.25,"document":{"id":"d7","text":""}}],"meta":{"billed_units":{"search_units":1}}}`,
			want: steno.Result{ID: "k", End: "complete", Usage: &steno.Usage{Source: "absent"}},
			docs: []steno.Document{{ID: "document 3 of the prompt", Score: ptr(0.5), Origin: "rerank"}, {ID: "d7", Score: ptr(0.25), Origin: "rerank"}},
		},
		{
			name: "classes", call: cohereSort, status: 200, words: "output spam|output ham",
			body: `{"id":"s","classifications":[{"input":"a","prediction":"spam","confidence":0.5,"labels":{"spam":{"confidence":0.5}}},{"input":"b","prediction":"ham","confidence":1}],"meta":{"billed_units":{"classifications":2}}}`,
			want: steno.Result{ID: "s", End: "complete", Usage: &steno.Usage{Source: "absent"}, Confidence: []steno.Confidence{{Kind: "reported", Value: 0.75, By: "cohere.confidence"}}},
		},
		{
			name: "vectors", call: cohereVecs, status: 200, body: `{"id":"e","embeddings":{"float":[[0.1,0.2]],"int8":[[1,2]]},"texts":["a"],"meta":{"billed_units":{"input_tokens":2}}}`,
			want: steno.Result{ID: "e", End: "complete", Usage: reported(2, -1, -1, -1, -1, -1)},
		},
		{
			name: "a summary", call: RouteAs(Cohere, "POST", "/v1/summarize"), status: 200, words: "output short", body: `{"id":"y","summary":"short","meta":{"billed_units":{"input_tokens":9,"output_tokens":1}}}`,
			want: steno.Result{ID: "y", End: "complete", Usage: reported(9, 1, -1, -1, -1, -1)},
		},
		{name: "tokens", call: RouteAs(Cohere, "POST", "/v1/tokenize"), status: 200, body: `{"tokens":[1,2],"token_strings":["a","b"]}`, want: steno.Result{End: "complete"}},
		{name: "text of tokens", call: RouteAs(Cohere, "POST", "/v1/detokenize"), status: 200, body: `{"text":"ab"}`, want: steno.Result{End: "complete"}},
		{name: "models", call: RouteAs(Cohere, "GET", "/v1/models"), status: 200, body: `{"models":[{"name":"command-r"}]}`, want: steno.Result{End: "complete"}},
		{
			name: "a wrong key", call: cohereV2, status: 401, body: `{"id":"x","message":"invalid api token"}`,
			want: steno.Result{ID: "x", End: "provider_error", ErrorType: "401", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "its own error", call: cohereV1, status: 403, body: string(cohereV1.Error(403, "policy", "no")),
			want: steno.Result{End: "provider_error", ErrorType: "403", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "the compatible side", call: RouteAs(Cohere, "POST", "/compatibility/v1/chat/completions"), status: 200, words: "output a",
			body: `{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
			want: steno.Result{ID: "x", End: "complete", FinishReasons: []string{"stop"}, Usage: reported(1, 2, -1, -1, -1, 3)},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.call.ParseResponse(c.status, plainJSON, []byte(c.body), false)
			c.want.Status, c.want.Bytes = c.status, int64(len(c.body))
			if !r.Understood || r.Problem != "" || !reflect.DeepEqual(r.Result, c.want) {
				t.Errorf("%q %s\nwant %s", r.Problem, asJSON(r.Result), asJSON(c.want))
			}
			equal(t, "words", strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
			if !reflect.DeepEqual(r.Documents, c.docs) {
				t.Errorf("documents are %s", asJSON(r.Documents))
			}
		})
	}
	if got := cohereVecs.Transcript(nil, []byte(`{"embeddings":{"float":[[1,2,3]],"int8":[[1,2,3]]}}`), "application/json"); len(got) != 1 || got[0].Parts[0].Media != "1 vectors of 3 numbers" {
		t.Errorf("vectors are shown as %s", asJSON(got))
	}
}

func TestCohereRequests(t *testing.T) {
	body := `{"model":"command-r","preamble":"be brief","chat_history":[{"role":"USER","message":"one"},{"role":"CHATBOT","message":"","tool_calls":[{"name":"look","parameters":{"q":1}}]},{"role":"TOOL","tool_results":[{"call":{"name":"look","parameters":{}},"outputs":[{"id":"d0","text":"found then"}]}]}],` +
		`"message":"two","tool_results":[{"call":{"name":"look","parameters":{"q":2}},"outputs":[{"id":"d9","text":"found now"}]}],"documents":[{"id":"d1","title":"Leave","snippet":"30 days"}],"connectors":[{"id":"web-search","user_access_token":"t"}],"conversation_id":"conv","temperature":0.3}`
	r := parse(t, cohereV1, body)
	equal(t, "pieces", listing(r.Pieces), `
frame {"model":"command-r","preamble":
system "be brief"
history ,"chat_history":[{"role":"USER","message":"one"}
history ,{"role":"CHATBOT","message":"","tool_calls":[{"name":"look","parameters":{"q":1}}]}
history ,{"role":"TOOL","tool_results":[{"call":{"name":"look","parameters":{}},"outputs":[{"id":"d0","text":"found then"}]}]}
input ],"message":"two"
tool_result ,"tool_results":[{"call":{"name":"look","parameters":{"q":2}},"outputs":[{"id":"d9","text":"found now"}]}]
context ,"documents":[{"id":"d1","title":"Leave","snippet":"30 days"}
tool_definition ],"connectors":[{"id":"web-search","user_access_token":"t"}]
frame ,"conversation_id":"conv","temperature":0.3}`)
	equal(t, "texts", words([]byte(body), r.Texts), `
system false be brief
user false one
assistant false {"q":1}
tool false found then
user true two
tool true look
tool true found now
document true Leave
document true 30 days
system false [{"id":"web-search","user_access_token":"t"}]`)
	if want := []string{"web-search"}; !reflect.DeepEqual(r.Prompt.Tools, want) || r.Conversation != "conv" || len(r.Model.Parameters) != 2 || r.Prompt.Messages != 4 || r.Prompt.New != 1 {
		t.Errorf("tools %v, conversation %q, %s, %s", r.Prompt.Tools, r.Conversation, asJSON(r.Model), asJSON(r.Prompt))
	}
	want := []steno.Document{{ID: "d0", Origin: "tool_message"}, {ID: "d9", Origin: "tool_message"}, {ID: "d1", Title: "Leave", Origin: "document"}}
	if !reflect.DeepEqual(r.Documents, want) {
		t.Errorf("documents: %s", asJSON(r.Documents))
	}

	body = `{"model":"command-a","messages":[{"role":"user","content":"q"},{"role":"assistant","tool_plan":"look first","tool_calls":[{"id":"c","type":"function","function":{"name":"look","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"document","document":{"id":"7","data":"raw words"}}]}],"documents":[{"id":"d1","data":{"title":"Leave","text":"30 days"}},"plain"],"safety_mode":"STRICT"}`
	r = parse(t, cohereV2, body)
	equal(t, "texts of version 2", words([]byte(body), r.Texts), `
user false q
assistant false look first
assistant false {}
document true raw words
document true Leave
document true 30 days
document true plain`)
	want = []steno.Document{{ID: "7", Origin: "document"}, {ID: "d1", Title: "Leave", Origin: "document"}}
	if !reflect.DeepEqual(r.Documents, want) {
		t.Errorf("documents of version 2: %s", asJSON(r.Documents))
	}
	turns := cohereV2.Transcript([]byte(body), nil, "")
	if last := turns[len(turns)-1]; last.Parts[0].Document == nil || last.Parts[0].Document.ID != "d1" {
		t.Errorf("the documents are shown as %s", asJSON(last))
	}

	for _, c := range []struct {
		call        Call
		body, texts string
	}{
		{cohereSort, `{"inputs":["a","b"],"examples":[{"text":"win money","label":"spam"}]}`, "user true a\nuser true b\nuser true win money\nuser true spam"},
		{cohereVecs, `{"inputs":[{"content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}}]}],"input_type":"search_query"}`, "user true a"},
		{RouteAs(Cohere, "POST", "/v1/tokenize"), `{"text":"count these","model":"m"}`, "user true count these"},
		{cohereRank, `{"query":"who","documents":["a","b"],"top_n":1}`, "user true who\ndocument true a\ndocument true b"},
	} {
		r := parse(t, c.call, c.body)
		equal(t, c.body, words([]byte(c.body), r.Texts), c.texts)
	}
	if r := parse(t, resps, `{"input":"x","text":{"format":{"type":"text"}}}`); string(r.Model.Parameters["text"]) != `{"format":{"type":"text"}}` {
		t.Errorf("the setting of Responses is %s", asJSON(r.Model))
	}
}

func TestCohereCalls(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Call
	}{
		{"POST", "/v2/chat", cohereV2},
		{"POST", "/v1/chat", cohereV1},
		{"POST", "/v1/generate", cohereText},
		{"POST", "/v2/embed", cohereVecs},
		{"POST", "/v1/embed", cohereVecs},
		{"POST", "/v2/rerank", cohereRank},
		{"POST", "/v1/classify", cohereSort},
		{"GET", "/v1/models/command-r", Call{Dialect: Cohere, API: "models", Operation: "models"}},
		{"POST", "/compatibility/v1/embeddings", Call{Dialect: Cohere, API: "embeddings", Operation: "embeddings"}},
		{"POST", "/v1/datasets", Call{Dialect: Cohere}},
		{"GET", "/v2/chat", Call{Dialect: Cohere}},
	} {
		if got := RouteAs(Cohere, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
}

// A stream of the first version that is cut after its tool call came in fragments has the call once.
func TestCutCohereCalls(t *testing.T) {
	for _, s := range lineStreams {
		if s.name != "cohere's first version with searches, documents and tools" {
			continue
		}
		r := cohereV1.ParseResponse(200, ndjson, []byte(jsonLines(s.lines[:8])), false)
		if len(r.Result.ToolCalls) != 2 || r.Result.End != steno.EndUpstreamCut {
			t.Errorf("%s", asJSON(r.Result))
		}
		equal(t, "words", strings.Join(said(nil, r.Texts), "|"), `output who keeps records|output The |output I will|output {"q":1}`)
		r = cohereV1.ParseResponse(200, ndjson, []byte(jsonLines(s.lines[:7])), false)
		equal(t, "words of a call in fragments", strings.Join(said(nil, r.Texts), "|"), `output who keeps records|output The |output I will|output {"q":`)
	}
}
