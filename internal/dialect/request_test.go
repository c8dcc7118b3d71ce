package dialect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	chat     = Call{Dialect: OpenAI, API: "chat_completions", Operation: "chat"}
	complete = Call{Dialect: OpenAI, API: "completions", Operation: "text_completion"}
	resps    = Call{Dialect: OpenAI, API: "responses", Operation: "chat"}
	embed    = Call{Dialect: OpenAI, API: "embeddings", Operation: "embeddings"}
	messages = Call{Dialect: Anthropic, API: "messages", Operation: "chat"}
	legacy   = Call{Dialect: Anthropic, API: "complete", Operation: "text_completion"}
)

// allCalls are the calls that tests of every call go through.
var allCalls = []Call{
	chat, complete, resps, embed, messages, legacy,
	{Dialect: OpenAI, API: "models", Operation: "models"},
	{Dialect: Anthropic, API: "count_tokens", Operation: "count_tokens"},
	{Dialect: OpenAI},
	{},
	{Dialect: OpenAI, API: "images", Operation: "image_generation"},
	{Dialect: OpenAI, API: "transcriptions", Operation: "transcription"},
	{Dialect: OpenAI, API: "speech", Operation: "speech"},
	{Dialect: OpenAI, API: "moderations", Operation: "moderation"},
	{Dialect: OpenAI, API: "runs", Operation: "invoke_agent"},
	{Dialect: OpenAI, API: "threads", Operation: "manage"},
	{Dialect: Ollama, API: "chat", Operation: "chat"},
	{Dialect: Ollama, API: "generate", Operation: "text_completion"},
	{Dialect: Cohere, API: "v1_chat", Operation: "chat"},
	{Dialect: Cohere, API: "v2_chat", Operation: "chat"},
	{Dialect: Mistral, API: "fim_completions", Operation: "text_completion"},
	{Dialect: OpenAI, API: "stored", Operation: "manage"},
	{Dialect: OpenAI, API: "vector_store_search", Operation: "retrieval"},
	{Dialect: OpenAI, API: "file_content", Operation: "manage"},
	{Dialect: Anthropic, API: "message_batches", Operation: "manage"},
	{Dialect: Anthropic, API: "batch_results", Operation: "retrieve"},
}

// listing writes pieces as lines `kind bytes`, marks with their place.
func listing(pieces []steno.Piece) string {
	var b strings.Builder
	for _, p := range pieces {
		fmt.Fprintf(&b, "%v", p.Kind)
		if p.Kind == steno.KindMark {
			fmt.Fprintf(&b, " @%d", p.At)
		}
		fmt.Fprintf(&b, " %s\n", p.Bytes)
	}
	return b.String()
}

func words(body []byte, texts []Text) string {
	var b strings.Builder
	for _, t := range texts {
		fmt.Fprintf(&b, "%s %v %s\n", t.Origin, t.New, t.Words(body))
	}
	return b.String()
}

// parse reads a request and fails the test if its pieces do not make the body.
func parse(t *testing.T, c Call, body string) *Request {
	t.Helper()
	r := c.ParseRequest([]byte(body), http.Header{})
	got, err := steno.Join(r.Pieces)
	if err != nil || string(got) != body {
		t.Fatalf("pieces make %q (%v), not %q", got, err, body)
	}
	return r
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, got, want)
	}
}

func TestRequestPieces(t *testing.T) {
	for _, c := range []struct {
		name, body, pieces, texts string
		call                      Call
		messages, fresh           int
	}{
		{
			name: "chat", call: chat, messages: 5, fresh: 2,
			body: `{"model":"m","messages":[{"role":"system","content":"be brief"}, {"role":"user","content":[{"type":"text","text":"one"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"q\":1}"}}]},` +
				`{"role":"tool","tool_call_id":"c1","content":"found"},{"role":"user","content":"two"}],"temperature":0.5}`,
			pieces: `
frame {"model":"m","messages":[
system {"role":"system","content":"be brief"}
history , {"role":"user","content":[{"type":"text","text":"one"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}
history ,{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"q\":1}"}}]}
tool_result ,{"role":"tool","tool_call_id":"c1","content":"found"}
input ,{"role":"user","content":"two"}
frame ],"temperature":0.5}`,
			texts: `
system false be brief
user false one
assistant false {"q":1}
tool true found
user true two`,
		},
		{
			name: "messages with tools before, system blocks, marks", call: messages, messages: 3, fresh: 1,
			body: `{"tools":[{"name":"t","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}],"system":[{"cache_control":{"type":"ephemeral"},"type":"text","text":"s1"},{"type":"text","text":"s2"}],` +
				`"messages":[{"role":"user","content":[{"type":"text","text":"q","cache_control": {"type":"ephemeral"}}]},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"AA"},{"type":"tool_use","id":"u1","name":"t","input":{"a":1}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"u1","content":[{"type":"text","text":"r"}],"cache_control":{"type":"ephemeral","ttl":"1h"}}]}],"max_tokens":9}`,
			pieces: `
tool_definition {"tools":[{"name":"t","input_schema":{"type":"object"}}]
mark @54 ,"cache_control":{"type":"ephemeral"}
system ,"system":[{"type":"text","text":"s1"}
mark @12 "cache_control":{"type":"ephemeral"},
system ,{"type":"text","text":"s2"}
history ],"messages":[{"role":"user","content":[{"type":"text","text":"q"}]}
mark @65 ,"cache_control": {"type":"ephemeral"}
history ,{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"AA"},{"type":"tool_use","id":"u1","name":"t","input":{"a":1}}]}
tool_result ,{"role":"user","content":[{"type":"tool_result","tool_use_id":"u1","content":[{"type":"text","text":"r"}]}]}
mark @106 ,"cache_control":{"type":"ephemeral","ttl":"1h"}
frame ],"max_tokens":9}`,
			texts: `
system false [{"name":"t","input_schema":{"type":"object"},"cache_control":{"type":"ephemeral"}}]
system false s1
system false s2
user false q
assistant false hm
assistant false {"a":1}
tool true r`,
		},
		{
			name: "responses with items", call: resps, messages: 5, fresh: 2,
			body: `{"model":"m","instructions":"be kind","input":[{"role":"user","content":"weather?"},{"type":"reasoning","summary":[{"type":"summary_text","text":"think"}]},{"type":"function_call","call_id":"c","name":"w","arguments":"{}"},` +
				`{"type":"function_call_output","call_id":"c","output":"sunny"},{"type":"message","role":"user","content":[{"type":"input_text","text":"and now?"}]}],"store":true}`,
			pieces: `
frame {"model":"m","instructions":
system "be kind"
history ,"input":[{"role":"user","content":"weather?"}
history ,{"type":"reasoning","summary":[{"type":"summary_text","text":"think"}]}
history ,{"type":"function_call","call_id":"c","name":"w","arguments":"{}"}
tool_result ,{"type":"function_call_output","call_id":"c","output":"sunny"}
input ,{"type":"message","role":"user","content":[{"type":"input_text","text":"and now?"}]}
frame ],"store":true}`,
			texts: `
system false be kind
user false weather?
assistant false think
assistant false {}
tool true sunny
user true and now?`,
		},
		{
			name: "responses with a text and what came before kept by the provider", call: resps, messages: 1, fresh: 1,
			body:   `{"input":"go on","instructions":"be kind","previous_response_id":"resp_1"}`,
			pieces: "input {\"input\":\"go on\"\nsystem ,\"instructions\":\"be kind\"\nframe ,\"previous_response_id\":\"resp_1\"}",
			texts:  "user true go on\nsystem false be kind",
		},
		{
			name: "tools behind messages, white space, byte order mark", call: chat, messages: 1, fresh: 1,
			body: "\xef\xbb\xbf { \"messages\" : [ {\"role\":\"user\",\"content\":\"x\"} ] ,\n \"tools\" : [ {\"type\":\"function\",\"function\":{\"name\":\"f\"}} ] }\n",
			pieces: "input \xef\xbb\xbf { \"messages\" : [ {\"role\":\"user\",\"content\":\"x\"}\n" +
				"tool_definition  ] ,\n \"tools\" : [ {\"type\":\"function\",\"function\":{\"name\":\"f\"}} ] }\n",
			texts: "user true x\nsystem true [ {\"type\":\"function\",\"function\":{\"name\":\"f\"}} ]",
		},
		{
			name: "completions", call: complete, messages: 2, fresh: 2, body: `{"prompt":["a long prompt","b"],"suffix":"end","max_tokens":1E2}`,
			pieces: "input {\"prompt\":[\"a long prompt\",\"b\"]\ninput ,\"suffix\":\"end\"\nframe ,\"max_tokens\":1E2}",
			texts:  "user true a long prompt\nuser true b\nuser true end",
		},
		{
			name: "embeddings of token numbers", call: embed, messages: 1, fresh: 1, body: `{"input":[1,2,3],"model":"e"}`,
			pieces: "input {\"input\":[1,2,3]\nframe ,\"model\":\"e\"}",
		},
		{
			name: "old text completions", call: legacy, messages: 1, fresh: 1, body: `{"prompt":"\n\nHuman: hi\n\nAssistant:","model":"c"}`,
			pieces: "input {\"prompt\":\"\\n\\nHuman: hi\\n\\nAssistant:\"\nframe ,\"model\":\"c\"}",
			texts:  "user true \n\nHuman: hi\n\nAssistant:",
		},
		{
			name: "an answer that was begun is no history", call: messages, messages: 2, fresh: 2,
			body:   `{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"{"}]}`,
			pieces: "input {\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}\ninput ,{\"role\":\"assistant\",\"content\":\"{\"}\nframe ]}",
			texts:  "user true hi\nassistant true {",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, c.call, c.body)
			if !r.Understood || !r.Model.Understood || r.Problem != "" {
				t.Fatalf("not understood: %s", r.Problem)
			}
			equal(t, "pieces", listing(r.Pieces), c.pieces)
			equal(t, "texts", words([]byte(c.body), r.Texts), c.texts)
			if r.Prompt.Messages != c.messages || r.Prompt.New != c.fresh {
				t.Errorf("%d messages, %d new; want %d, %d", r.Prompt.Messages, r.Prompt.New, c.messages, c.fresh)
			}
		})
	}
}

// The pieces of a turn are the first pieces of the next one, whatever moves and follows.
func TestPiecesOfAConversationStayTheSame(t *testing.T) {
	turn := func(n, mark int) string {
		var b strings.Builder
		b.WriteString(`{"system":[{"type":"text","text":"you are a helper"}],"messages":[`)
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			role, cache := "user", ""
			if i%2 == 1 {
				role = "assistant"
			}
			if i == mark {
				cache = `, "cache_control": {"type": "ephemeral"}`
			}
			fmt.Fprintf(&b, `{"role": %q, "content": [{"type": "text", "text": "message %d"%s}]}`, role, i, cache)
		}
		b.WriteString(`],"model":"m"}`)
		return b.String()
	}
	have := map[string]bool{}
	for n := 1; n < 12; n += 2 {
		fresh := 0
		for _, p := range parse(t, messages, turn(n, n-1)).Pieces {
			if !have[string(p.Bytes)] && p.Kind != steno.KindMark {
				fresh++
			}
			have[string(p.Bytes)] = true
		}
		if want := 2; n > 1 && fresh != want {
			t.Errorf("turn of %d messages has %d pieces not seen before, want %d", n, fresh, want)
		}
	}
}

func TestDocumentsArePieces(t *testing.T) {
	doc := `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"` + strings.Repeat("long ", 80) + `"},"title":"T"}`
	r := parse(t, messages, `{"messages":[{"role":"user","content":[`+doc+`,`+doc+`,{"type":"text","text":"what?"}]}]}`)
	want := []string{`input {"messages":[{"role":"user","content":[`, `context ` + doc, `context ,` + doc, `input ,{"type":"text","text":"what?"}]}`, `frame ]}`}
	equal(t, "pieces", listing(r.Pieces), strings.Join(want, "\n"))
	if len(r.Documents) != 1 || r.Documents[0].Title != "T" || r.Documents[0].Origin != "document" {
		t.Errorf("documents: %+v", r.Documents)
	}
	if len(r.Texts) != 3 || r.Texts[0].Origin != "document" || r.Texts[2].Origin != "user" {
		t.Errorf("texts: %+v", r.Texts)
	}
}

func TestLongPiecesAreSplit(t *testing.T) {
	body := `{"messages":[{"role":"user","content":[{"type":"text","text":"` + strings.Repeat("x", MaxPiece) + `","cache_control":{"type":"ephemeral"}},{"type":"text","text":"` +
		strings.Repeat("y", MaxPiece) + `","cache_control":{}}]}]}`
	r := parse(t, messages, body)
	marks := 0
	for _, p := range r.Pieces {
		if len(p.Bytes) > MaxPiece {
			t.Errorf("a piece of %d bytes", len(p.Bytes))
		}
		if p.Kind == steno.KindMark {
			marks++
		}
	}
	if marks != 2 || len(r.Pieces) != 6 {
		t.Errorf("%d pieces, %d marks", len(r.Pieces), marks)
	}
}

func TestParameters(t *testing.T) {
	r := parse(t, chat, `{"model":"gpt-x","stream":true,"stream_options":{ "include_usage" : true },"messages":[],"tools":[],"temperature":1E-1,"user":"u",
		"metadata":{"user_id":"m","team":"a"},"stop":["a", "b"],"seed":null,"Odd":{"a": [1, 2]},"schema":"`+strings.Repeat("s", maxParameter)+`"}`)
	got := map[string]string{}
	for k, v := range r.Model.Parameters {
		got[k] = string(v)
	}
	want := map[string]string{
		"stream": "true", "stream_options": `{"include_usage":true}`, "temperature": "1E-1", "stop": `["a","b"]`, "seed": "null",
		"Odd": `{"a":[1,2]}`, "metadata": `{"team":"a"}`, "schema": `"8194 bytes, not kept as a parameter"`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("parameters are\n%v, want\n%v", got, want)
	}
	if !r.Model.Stream || !r.UsageRequested || r.Model.Asked != "gpt-x" {
		t.Errorf("%+v", r.Model)
	}
	if _, err := json.Marshal(r.Model); err != nil {
		t.Error(err)
	}
}

// Whatever a body holds, the facts can be written as JSON: a parameter that cannot would lose the record.
func TestFactsAreValidJSON(t *testing.T) {
	r := parse(t, chat, "{\"model\":\"\xff\",\"temp\xfferature\":\"\xff\\ud800\",\"metadata\":{\"\xff\":\"\xfe\"},\"messages\":[{\"role\":\"\xff\"}],\"x\":[\"\xff\"]}")
	if _, err := json.Marshal(r.Model); err != nil || len(r.Model.Parameters) != 3 {
		t.Errorf("%v %v", err, r.Model.Parameters)
	}
}

func TestUser(t *testing.T) {
	for _, c := range []struct{ body, user, source string }{
		{`{"user":"a"}`, "a", "user"},
		{`{"user":"a","safety_identifier":"b","metadata":{"user_id":"c"}}`, "b", "safety_identifier"},
		{`{"metadata":{"user_id":"c"}}`, "c", "metadata.user_id"},
		{`{"user":"","metadata":{"user_id":"c"}}`, "c", "metadata.user_id"},
		{`{"user":{"id": 7}}`, `{"id":7}`, "user"},
		{`{"user":7}`, "7", "user"},
		{`{"user":false}`, "false", "user"},
		{`{"user":null}`, "", ""},
		{`{"user":"` + strings.Repeat("u", 257) + `"}`, "", ""},
		{`{"user":["` + strings.Repeat("u", 257) + `"]}`, "", ""},
		{`{"user":"a","us\u0065r":"\u00e9"}`, "é", "user"},
	} {
		for _, call := range []Call{chat, messages, resps, {Dialect: OpenAI}} {
			r := parse(t, call, c.body)
			if r.User != c.user || r.UserSource != c.source {
				t.Errorf("%s: %q from %q, want %q from %q", c.body, r.User, r.UserSource, c.user, c.source)
			}
			if _, ok := r.Model.Parameters["user"]; ok {
				t.Errorf("%s: a user is a parameter", c.body)
			}
		}
	}
}

func TestNotUnderstood(t *testing.T) {
	for _, c := range []struct {
		call          Call
		body, problem string
	}{
		{chat, `{"messages":[`, "the body is not JSON that can be read: it ends too early at byte 13"},
		{chat, `{"messages":x}`, "the body is not JSON that can be read: unexpected byte at byte 12"},
		{chat, `[1]`, "the body is no JSON object"},
		{chat, ``, "the body is empty"},
		{Call{Dialect: OpenAI}, `{"prompt":"a cat"}`, "this path is not understood"},
		{chat, strings.Repeat(`{"a":`, 600) + "1" + strings.Repeat("}", 600), "the body is not JSON that can be read: it is nested too deep at byte 2560"},
	} {
		r := parse(t, c.call, c.body)
		if r.Understood || r.Model.Understood || r.Problem != c.problem {
			t.Errorf("%.40s: %q, want %q", c.body, r.Problem, c.problem)
		}
		if len(c.body) > 0 && (len(r.Pieces) != 1 || r.Pieces[0].Kind != steno.KindBody || len(r.Texts) != 1) {
			t.Errorf("%.40s: %d pieces, %d texts", c.body, len(r.Pieces), len(r.Texts))
		}
	}
	if r := (Call{Dialect: OpenAI, API: "models", Operation: "models"}).ParseRequest(nil, nil); !r.Understood {
		t.Error("a request without a body for models is not understood")
	}
}

func TestOddRequests(t *testing.T) {
	r := parse(t, chat, `{"messages":[{"role":"user","content":"one"}],"messages":[{"role":"user","content":"two"}]} ignore this`)
	if !r.Understood || r.Problem == "" {
		t.Errorf("%+v", r)
	}
	if r.Prompt.Messages != 1 {
		t.Errorf("%d messages", r.Prompt.Messages)
	}
	body := []byte(`{"messages":[{"role":"user","content":"one"}],"messages":[{"role":"user","content":"two"}]} ignore this`)
	equal(t, "checks see both and what follows", words(body, r.Texts), "user true one\nuser true two\nuser true ignore this")
}

func TestRequestDocuments(t *testing.T) {
	hits := `{"matches":[{"id":"v1","score":0.91,"metadata":{"title":"Leave policy","source":"hr.pdf","version":"3","text":"Ana has 30 days"}},{"id":"v2","score":0.5}],"namespace":"hr"}`
	escaped, err := json.Marshal(hits)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"search","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":` +
		string(escaped) + `}],"tools":[{"type":"function","function":{"name":"search"}},{"type":"web_search"}],"documents":[{"id":"d1","text":"given"}]}`
	r := parse(t, chat, body)
	score := 0.91
	half := 0.5
	want := []steno.Document{
		{ID: "v1", Version: "3", Title: "Leave policy", Score: &score, Origin: "tool_message"},
		{ID: "v2", Score: &half, Origin: "tool_message"},
		{ID: "d1", Origin: "document"},
	}
	if !reflect.DeepEqual(r.Documents, want) {
		t.Errorf("documents: %+v", r.Documents)
	}
	facts, err := json.Marshal([]any{r.Documents, r.Model, r.Prompt})
	if err != nil || bytes.Contains(facts, []byte("30 days")) {
		t.Errorf("words became metadata: %s %v", facts, err)
	}
	if !reflect.DeepEqual(r.Prompt.Tools, []string{"search", "web_search"}) {
		t.Errorf("tools: %v", r.Prompt.Tools)
	}
	for _, plain := range []string{`sunny, 65 degrees`, `{"temperature":65}`, `[1,2]`, `{"results":["a"]}`, `{"id":"order 7"}`} {
		var d documents
		d.fromToolText([]byte(plain))
		if len(d.list) > 0 {
			t.Errorf("%s is taken for documents: %+v", plain, d.list)
		}
	}
}

func TestRoute(t *testing.T) {
	version := http.Header{"Anthropic-Version": {"2023-06-01"}}
	for _, c := range []struct {
		method, path string
		header       http.Header
		want         Call
		ok           bool
	}{
		{"POST", "/v1/chat/completions", nil, chat, true},
		{"GET", "/v1/chat/completions", nil, Call{Dialect: OpenAI, API: "stored", Operation: "manage"}, true},
		{"POST", "/v1/completions", nil, complete, true},
		{"POST", "/v1/responses", nil, resps, true},
		{"GET", "/v1/responses/resp_1", nil, Call{Dialect: OpenAI, API: "responses", Operation: "retrieve"}, true},
		{"DELETE", "/v1/responses/resp_1", nil, Call{Dialect: OpenAI, API: "stored", Operation: "manage"}, true},
		{"GET", "/v1/responses/resp_1/input_items", nil, Call{Dialect: OpenAI, API: "stored", Operation: "manage"}, true},
		{"POST", "/v1/embeddings", nil, embed, true},
		{"GET", "/v1/models", nil, Call{Dialect: OpenAI, API: "models", Operation: "models"}, true},
		{"GET", "/v1/models/gpt-x", nil, Call{Dialect: OpenAI, API: "models", Operation: "models"}, true},
		{"GET", "/v1/models", version, Call{Dialect: Anthropic, API: "models", Operation: "models"}, true},
		{"POST", "/v1/messages", nil, messages, true},
		{"POST", "/v1/messages?beta=true", nil, messages, true},
		{"POST", "/v1/messages/count_tokens", nil, Call{Dialect: Anthropic, API: "count_tokens", Operation: "count_tokens"}, true},
		{"POST", "/v1/messages/batches", nil, Call{Dialect: Anthropic, API: "message_batches", Operation: "manage"}, true},
		{"POST", "/v1/complete", nil, legacy, true},
		{"POST", "/v1/threads", nil, Call{Dialect: OpenAI, API: "threads", Operation: "manage"}, true},
		{"POST", "/v1/threads/thread_1/runs", nil, Call{Dialect: OpenAI, API: "runs", Operation: "invoke_agent"}, true},
		{"GET", "/v1/threads/thread_1/runs/run_1", nil, Call{Dialect: OpenAI, API: "runs", Operation: "retrieve"}, true},
		{"GET", "/v1/threads/thread_1/runs", nil, Call{Dialect: OpenAI, API: "threads", Operation: "manage"}, true},
		{"POST", "/v1/files", nil, Call{Dialect: OpenAI, API: "files", Operation: "manage"}, true},
		{"GET", "/v1/files/file-1/content", nil, Call{Dialect: OpenAI, API: "file_content", Operation: "manage"}, true},
		{"DELETE", "/v1/models/ft:x", nil, Call{Dialect: OpenAI, API: "models", Operation: "manage"}, true},
		{"POST", "/v1/audio/speech", nil, Call{Dialect: OpenAI, API: "speech", Operation: "speech"}, true},
		{"POST", "/v1/none/such", nil, Call{Dialect: OpenAI}, true},
		{"POST", "/v2/rerank", nil, Call{}, false},
		{"POST", "/v2/rerank", version, Call{Dialect: Anthropic}, true},
		{"GET", "/", nil, Call{}, false},
	} {
		if got, ok := Route(c.method, c.path, c.header); got != c.want || ok != c.ok {
			t.Errorf("%s %s is %+v %v, want %+v", c.method, c.path, got, ok, c.want)
		}
	}
	if got := RouteAs(OpenAI, "POST", "/chat/completions"); got != chat {
		t.Errorf("without /v1: %+v", got)
	}
}

func TestErrors(t *testing.T) {
	var e struct {
		Type  string
		Error struct{ Type, Message, Code string }
	}
	for _, c := range []struct {
		call   Call
		status int
		typ    string
	}{
		{chat, 401, "authentication_error"},
		{chat, 503, "server_error"},
		{chat, 400, "invalid_request_error"},
		{Call{}, 404, "invalid_request_error"},
		{messages, 401, "authentication_error"},
		{messages, 404, "not_found_error"},
		{messages, 413, "request_too_large"},
		{messages, 503, "overloaded_error"},
		{messages, 502, "api_error"},
	} {
		e.Type = ""
		if err := json.Unmarshal(c.call.Error(c.status, "code_word", `say "no"`), &e); err != nil {
			t.Fatal(err)
		}
		if e.Error.Type != c.typ || e.Error.Message != `say "no"` || e.Error.Code != "code_word" || (e.Type == "error") != (c.call.Dialect == Anthropic) {
			t.Errorf("%v %d: %+v", c.call, c.status, e)
		}
		r := c.call.ParseResponse(c.status, nil, c.call.Error(c.status, "code_word", "m"), false)
		if c.call.API != "" && (r.Result.End != steno.EndProviderError || r.Result.ErrorType != "code_word" || !r.Understood) {
			t.Errorf("%v reads its own error as %+v", c.call, r.Result)
		}
	}
}
