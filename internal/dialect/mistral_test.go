package dialect

import (
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	mistralChat = Call{Dialect: Mistral, API: "chat_completions", Operation: "chat"}
	mistralTalk = Call{Dialect: Mistral, API: "conversations", Operation: "chat"}
	mistralPage = Call{Dialect: Mistral, API: "ocr", Operation: "ocr"}
	mistralFill = Call{Dialect: Mistral, API: "fim_completions", Operation: "text_completion"}
	mistralHear = Call{Dialect: Mistral, API: "transcriptions", Operation: "transcription"}
)

func init() {
	allCalls = append(allCalls, mistralChat, mistralTalk, mistralPage, mistralHear, Call{Dialect: Mistral}, Call{Dialect: Mistral, API: "conversations", Operation: "manage"},
		Call{Dialect: Mistral, API: "classifications", Operation: "classification"}, Call{Dialect: Mistral, API: "moderations", Operation: "moderation"})
	requestSeeds = append(requestSeeds,
		`{"inputs":[{"type":"message.input","role":"user","content":"q"},{"type":"function.call","name":"f","arguments":"{}","tool_call_id":"c"},{"type":"function.result","tool_call_id":"c","result":"r"},{"type":"agent.handoff"},{"type":"tool.execution","name":"web_search","info":{"a":"b"}}],"agent_id":"ag"}`,
		`{"document":{"type":"document_url","document_url":"data:application/pdf;base64,QUJD","document_name":"n"},"input":[[{"role":"user","content":"deep"}],["x"]]}`,
		`{"outputs":[{"type":"message.output","content":[{"type":"text","text":"a"},{"type":"reference","reference_ids":[1,"b",{}]},{"type":"tool_file","file_id":"f"}],"model":"m"}],"pages":[{"markdown":"p","images":[{"image_base64":"AA"}]}],"detail":[{"loc":[1]}]}`,
	)
	add := func(name, held string, call Call, lines, words []string, want Response) {
		s := streams[0]
		s.name, s.call, s.held, s.body, s.words, s.want = name, call, held, events(lines...), words, want
		streams = append(streams, s)
	}
	add("mistral with thoughts and references", `data: [DONE]`, mistralChat, []string{
		`{"id":"m1","model":"magistral-medium-2509","choices":[{"index":0,"delta":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm "}]}]},"finish_reason":null}]}`,
		`{"id":"m1","model":"magistral-medium-2509","choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"yes"}],"closed":true}]},"finish_reason":null}]}`,
		`{"id":"m1","model":"magistral-medium-2509","choices":[{"index":0,"delta":{"content":[{"type":"text","text":"It "},{"type":"reference","reference_ids":[0,2]}]},"finish_reason":null}]}`,
		`{"id":"m1","model":"magistral-medium-2509","choices":[{"index":0,"delta":{"content":"rains"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}`,
		`[DONE]`,
	}, []string{"output Hm yes", "output It rains"}, Response{
		Result:    steno.Result{ID: "m1", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(9, 3, -1, -1, -1, 12)},
		Model:     steno.Model{Answered: "magistral-medium-2509", Version: "magistral-medium-2509", VersionSource: "response.model"},
		Documents: []steno.Document{{ID: "reference 0", Origin: "citation"}, {ID: "reference 2", Origin: "citation"}},
	})
	add("mistral's conversation", `event: conversation.response.done`, mistralTalk, []string{
		`conversation.response.started|{"type":"conversation.response.started","created_at":"2026-01-02T03:04:05Z","conversation_id":"conv_1"}`,
		`tool.execution.started|{"type":"tool.execution.started","output_index":0,"id":"tool_exec_1","name":"code_interpreter","arguments":""}`,
		`tool.execution.delta|{"type":"tool.execution.delta","output_index":0,"id":"tool_exec_1","name":"code_interpreter","arguments":"{\"code\":\"1+"}`,
		`tool.execution.delta|{"type":"tool.execution.delta","output_index":0,"id":"tool_exec_1","name":"code_interpreter","arguments":"1\"}"}`,
		`tool.execution.done|{"type":"tool.execution.done","output_index":0,"id":"tool_exec_1","name":"code_interpreter","info":{"code":"1+1","code_output":"2\n"}}`,
		`message.output.delta|{"type":"message.output.delta","output_index":1,"content_index":0,"id":"msg_1","model":"mistral-medium-2505","role":"assistant","content":"It "}`,
		`message.output.delta|{"type":"message.output.delta","output_index":1,"content_index":0,"id":"msg_1","model":"mistral-medium-2505","role":"assistant","content":{"type":"text","text":"is 2"}}`,
		`message.output.delta|{"type":"message.output.delta","output_index":1,"content_index":1,"id":"msg_1","model":"mistral-medium-2505","role":"assistant","content":{"type":"tool_reference","tool":"web_search","title":"Sums","url":"https://s.example"}}`,
		`function.call.delta|{"type":"function.call.delta","output_index":2,"id":"fc_1","name":"save","tool_call_id":"call_1","arguments":"{}"}`,
		`conversation.response.done|{"type":"conversation.response.done","usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":157,"connector_tokens":100,"connectors":{"code_interpreter":1}}}`,
	}, []string{`output {"code":"1+1"}`, "tool 1+1", "tool 2\n", "output It is 2", "output {}"}, Response{
		Result: steno.Result{
			ID: "conv_1", End: steno.EndComplete, Usage: reported(50, 7, -1, -1, -1, 157),
			ToolCalls: []steno.ToolCall{{Name: "code_interpreter", Type: "extension"}, {ID: "call_1", Name: "save", Type: "function"}},
		},
		Model:     steno.Model{Answered: "mistral-medium-2505", Version: "mistral-medium-2505", VersionSource: "response.model"},
		Documents: []steno.Document{{ID: "https://s.example", Title: "Sums", Origin: "citation"}},
	})
	add("mistral's conversation fails", `event: conversation.response.error`, mistralTalk, []string{
		`conversation.response.started|{"type":"conversation.response.started","conversation_id":"conv_2"}`,
		`message.output.delta|{"type":"message.output.delta","content":"a"}`,
		`conversation.response.error|{"type":"conversation.response.error","message":"it broke","code":3000}`,
	}, []string{"output a"}, Response{Result: steno.Result{ID: "conv_2", End: steno.EndErrorInAnswer, ErrorType: "conversation.response.error", Usage: &steno.Usage{Source: "absent"}}})
	add("mistral's transcript", `event: transcription.done`, mistralHear, []string{
		`transcription.language|{"type":"transcription.language","audio_language":"en"}`,
		`transcription.text.delta|{"type":"transcription.text.delta","text":"the "}`,
		`transcription.text.delta|{"type":"transcription.text.delta","text":"record"}`,
		`transcription.done|{"type":"transcription.done","model":"voxtral-mini-2507","text":"the record","language":"en","segments":[],"usage":{"prompt_audio_seconds":3,"prompt_tokens":4,"completion_tokens":2,"total_tokens":380}}`,
	}, []string{"output the record"}, Response{
		Result: steno.Result{End: steno.EndComplete, Usage: reported(4, 2, -1, -1, -1, 380)},
		Model:  steno.Model{Answered: "voxtral-mini-2507", Version: "voxtral-mini-2507", VersionSource: "response.model"},
	})
}

func TestMistralAtOnce(t *testing.T) {
	for _, c := range []struct {
		name, body, words, model string
		call                     Call
		status                   int
		want                     steno.Result
		docs                     []steno.Document
	}{
		{
			name: "thoughts and references", call: mistralChat, status: 200, model: "m", words: "output Hm|output It rains",
			body: `{"id":"x","model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},{"type":"text","text":"It rains"},{"type":"reference","reference_ids":[ 3 ,"a"]}]}}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"num_cached_tokens":4}}`,
			want: steno.Result{ID: "x", End: "complete", FinishReasons: []string{"stop"}, Usage: reported(9, 3, 4, -1, -1, 12)},
			docs: []steno.Document{{ID: "reference 3", Origin: "citation"}, {ID: "reference a", Origin: "citation"}},
		},
		{
			name: "a conversation", call: mistralTalk, status: 200, model: "mistral-medium-2505", words: `output {"query":"sums"}|tool found|output It is 2|output {"a":1}`,
			body: `{"object":"conversation.response","conversation_id":"conv_1","outputs":[{"type":"tool.execution","id":"t","name":"web_search","arguments":"{\"query\":\"sums\"}","info":{"text":"found"}},{"type":"message.output","role":"assistant","model":"mistral-medium-2505","content":[{"type":"text","text":"It is 2"},{"type":"tool_reference","tool":"web_search","title":"Sums","url":"https://s.example"}]},{"type":"function.call","tool_call_id":"call_1","name":"save","arguments":"{\"a\":1}"},{"type":"agent.handoff","previous_agent_name":"a","next_agent_name":"b"}],"usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":57}}`,
			want: steno.Result{
				ID: "conv_1", End: "complete", Usage: reported(50, 7, -1, -1, -1, 57),
				ToolCalls: []steno.ToolCall{{ID: "t", Name: "web_search", Type: "extension"}, {ID: "call_1", Name: "save", Type: "function"}},
			},
			docs: []steno.Document{{ID: "https://s.example", Title: "Sums", Origin: "citation"}},
		},
		{
			name: "what is kept of a conversation", call: Call{Dialect: Mistral, API: "conversations", Operation: "manage"}, status: 200, words: "output hello",
			body: `{"object":"conversation.history","conversation_id":"conv_1","entries":[{"type":"message.input","role":"user","content":"hello"}]}`,
			want: steno.Result{ID: "conv_1", End: "complete"},
		},
		{
			name: "code that is filled in", call: mistralFill, status: 200, model: "codestral-2508", words: "output return 1",
			body: `{"id":"f","model":"codestral-2508","choices":[{"index":0,"finish_reason":"length","message":{"role":"assistant","content":"return 1"}}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`,
			want: steno.Result{ID: "f", End: "complete", FinishReasons: []string{"length"}, Usage: reported(8, 2, -1, -1, -1, 10)},
		},
		{
			name: "pages", call: mistralPage, status: 200, model: "mistral-ocr-2505", words: "output # Title|output {}",
			body: `{"pages":[{"index":0,"markdown":"# Title","images":[{"id":"i","image_base64":"data:image/jpeg;base64,QUJD"}],"dimensions":{"dpi":200}}],"model":"mistral-ocr-2505","document_annotation":"{}","usage_info":{"pages_processed":1,"doc_size_bytes":3}}`,
			want: steno.Result{End: "complete", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "classes", call: RouteAs(Mistral, "POST", "/v1/classifications"), status: 200, body: `{"id":"k","model":"ft:c","results":[{"intent":{"scores":{"buy":0.9}}}]}`, model: "ft:c",
			want: steno.Result{ID: "k", End: "complete", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "an error", call: mistralChat, status: 400, body: `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}`,
			want: steno.Result{End: "provider_error", ErrorType: "invalid_model", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "a wrong key", call: mistralChat, status: 401, body: `{"message":"Unauthorized","request_id":"r9"}`,
			want: steno.Result{End: "provider_error", ErrorType: "401", RequestID: "r9", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "a wrong request", call: mistralPage, status: 422, body: `{"detail":[{"type":"missing","loc":["body","document"],"msg":"Field required"}]}`,
			want: steno.Result{End: "provider_error", ErrorType: "422", Usage: &steno.Usage{Source: "absent"}},
		},
		{
			name: "its own error", call: mistralTalk, status: 403, body: string(mistralTalk.Error(403, "policy", "no")),
			want: steno.Result{End: "provider_error", ErrorType: "policy", Usage: &steno.Usage{Source: "absent"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.call.ParseResponse(c.status, plainJSON, []byte(c.body), false)
			c.want.Status, c.want.Bytes = c.status, int64(len(c.body))
			if !r.Understood || r.Problem != "" || !reflect.DeepEqual(r.Result, c.want) || r.Model.Answered != c.model {
				t.Errorf("%q %s %q\nwant %s", r.Problem, asJSON(r.Result), r.Model.Answered, asJSON(c.want))
			}
			equal(t, "words", strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
			if !reflect.DeepEqual(r.Documents, c.docs) {
				t.Errorf("documents are %s", asJSON(r.Documents))
			}
		})
	}
	verdict := RouteAs(Mistral, "POST", "/v1/chat/moderations").ParseResponse(200, plainJSON,
		[]byte(`{"id":"v","model":"mistral-moderation-2411","results":[{"categories":{"jailbreaking":true,"pii":false,"hate_and_discrimination":true},"category_scores":{"jailbreaking":0.75,"pii":0.1,"hate_and_discrimination":0.5}}]}`), false)
	var flags []string
	for _, f := range verdict.Findings {
		flags = append(flags, string(f.Flag))
	}
	if !verdict.Understood || !reflect.DeepEqual(flags, []string{"jailbreak", "hate"}) {
		t.Errorf("%q %v", verdict.Problem, flags)
	}
}

func TestMistralRequests(t *testing.T) {
	body := `{"agent_id":"ag_1","inputs":[{"type":"message.input","role":"user","content":"one"},{"type":"message.output","role":"assistant","content":"two"},{"type":"function.call","name":"f","arguments":"{\"q\":1}","tool_call_id":"c"},{"type":"function.result","tool_call_id":"c","result":"found"}],"instructions":"be brief","tools":[{"type":"web_search"}],"stream":true}`
	r := parse(t, mistralTalk, body)
	equal(t, "pieces of a conversation", listing(r.Pieces), `
frame {"agent_id":"ag_1","inputs":[
history {"type":"message.input","role":"user","content":"one"}
history ,{"type":"message.output","role":"assistant","content":"two"}
history ,{"type":"function.call","name":"f","arguments":"{\"q\":1}","tool_call_id":"c"}
tool_result ,{"type":"function.result","tool_call_id":"c","result":"found"}
system ],"instructions":"be brief"
tool_definition ,"tools":[{"type":"web_search"}]
frame ,"stream":true}`)
	equal(t, "texts of a conversation", words([]byte(body), r.Texts), "user false one\nassistant false two\nassistant false {\"q\":1}\ntool true found\nsystem false be brief")
	for _, c := range []struct {
		call        Call
		body, texts string
	}{
		{mistralFill, `{"model":"codestral-latest","prompt":"def f(","suffix":"return"}`, "user true def f(\nuser true return"},
		{mistralTalk, `{"model":"m","inputs":"hello"}`, "user true hello"},
		{RouteAs(Mistral, "POST", "/v1/chat/moderations"), `{"model":"m","input":[[{"role":"user","content":"bad"},{"role":"assistant","content":"words"}]]}`, "user true bad\nuser true words"},
		{mistralPage, `{"model":"mistral-ocr-latest","document":{"type":"document_url","document_url":"https://d.example/a.pdf","document_name":"a.pdf"}}`, ""},
	} {
		r := parse(t, c.call, c.body)
		equal(t, c.body, words([]byte(c.body), r.Texts), c.texts)
		if c.call == mistralPage {
			if want := []steno.Document{{ID: "https://d.example/a.pdf", Title: "a.pdf", Origin: "document"}}; !reflect.DeepEqual(r.Documents, want) {
				t.Errorf("documents are %s", asJSON(r.Documents))
			}
			if turns := c.call.Transcript([]byte(c.body), nil, ""); len(turns) != 1 || turns[0].Parts[0].Media != "document at https://d.example/a.pdf" {
				t.Errorf("the document is shown as %s", asJSON(turns))
			}
		}
	}
}

func TestMistralCalls(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Call
	}{
		{"POST", "/v1/chat/completions", mistralChat},
		{"POST", "/v1/agents/completions", mistralChat},
		{"POST", "/v1/fim/completions", mistralFill},
		{"POST", "/v1/embeddings", Call{Dialect: Mistral, API: "embeddings", Operation: "embeddings"}},
		{"POST", "/v1/moderations", Call{Dialect: Mistral, API: "moderations", Operation: "moderation"}},
		{"POST", "/v1/chat/moderations", Call{Dialect: Mistral, API: "moderations", Operation: "moderation"}},
		{"POST", "/v1/ocr", mistralPage},
		{"POST", "/v1/conversations", mistralTalk},
		{"POST", "/v1/conversations/conv_1", mistralTalk},
		{"POST", "/v1/conversations/conv_1/restart", mistralTalk},
		{"GET", "/v1/conversations/conv_1/history", Call{Dialect: Mistral, API: "conversations", Operation: "manage"}},
		{"POST", "/v1/agents", Call{Dialect: Mistral, API: "agents", Operation: "manage"}},
		{"POST", "/v1/audio/transcriptions", mistralHear},
		{"GET", "/v1/models", Call{Dialect: Mistral, API: "models", Operation: "models"}},
		{"POST", "/v1/nothing", Call{Dialect: Mistral}},
	} {
		if got := RouteAs(Mistral, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
}
