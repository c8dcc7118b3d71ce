package dialect

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

var plainJSON = http.Header{"Content-Type": {"application/json"}}

func TestResponses(t *testing.T) {
	for _, c := range []struct {
		name, body string
		call       Call
		words      []string
		want       Response
	}{
		{
			name: "chat", call: chat,
			body:  `{"id":"x","object":"chat.completion","model":"gpt-4o-mini","system_fingerprint":null,"service_tier":"default","choices":[{"index":1,"message":{"role":"assistant","content":"second","refusal":null},"finish_reason":"length"},{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"k","type":"custom","custom":{"name":"g","input":"go"}}],"annotations":[{"type":"url_citation","url_citation":{"url":"https://a.example/","title":"A","start_index":1,"end_index":2}}]},"logprobs":{"content":[{"token":"a","logprob":-0.5}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
			words: []string{"output second", "output {}", "output go"},
			want: Response{
				Result: steno.Result{
					ID: "x", End: steno.EndComplete, FinishReasons: []string{"tool_calls", "length"}, Usage: reported(1, 2, -1, -1, -1, 3),
					ToolCalls:  []steno.ToolCall{{ID: "c", Name: "f", Type: "function"}, {ID: "k", Name: "g", Type: "custom"}},
					Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, Tokens: 1, By: "openai.logprobs"}, {Kind: "logprob_min", Value: -0.5, Tokens: 1, By: "openai.logprobs"}},
				},
				Model:     steno.Model{Answered: "gpt-4o-mini", ServiceTier: "default"},
				Documents: []steno.Document{{ID: "https://a.example/", Title: "A", Origin: "citation"}},
			},
		},
		{
			name: "chat refused, with a prompt that the filter knows", call: chat,
			body:  `{"model":"m","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"jailbreak":{"filtered":false,"detected":true},"sexual":{"filtered":false,"severity":"low"}}}],"choices":[{"message":{"refusal":"no"},"finish_reason":"stop"}]}`,
			words: []string{"output no"},
			want: Response{
				Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop"}, Refusal: true, Usage: &steno.Usage{Source: "absent"}},
				Model:  steno.Model{Answered: "m"},
				Findings: []steno.Finding{
					{Flag: "jailbreak", Rule: "content_filter/jailbreak", Source: "openai", Version: "m", Direction: "in", Score: 1, Action: "record"},
					{Flag: "sexual", Rule: "content_filter/sexual/low", Source: "openai", Version: "m", Direction: "in", Score: 0.3, Action: "record"},
					{Flag: "refusal", Rule: "refusal", Source: "openai", Version: "m", Direction: "out", Score: 1, Action: "record", Span: &steno.Span{Body: "response", Start: 211, End: 213}},
				},
			},
		},
		{
			name: "responses, incomplete", call: resps,
			body:  `{"id":"resp_1","object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null,"model":"o-2025-04-14","output":[{"type":"reasoning","id":"rs","summary":[{"type":"summary_text","text":"think"}],"encrypted_content":"AAAA"},{"type":"web_search_call","id":"ws","status":"completed","action":{"type":"search","query":"q","sources":[{"type":"url","url":"https://s.example"}]}},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"par","annotations":[],"logprobs":[{"token":"par","logprob":-2}]}]}],"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3,"output_tokens_details":{"reasoning_tokens":1}}}`,
			words: []string{"output think", `output {"type":"search","query":"q","sources":[{"type":"url","url":"https://s.example"}]}`, "output par"},
			want: Response{
				Result: steno.Result{
					ID: "resp_1", End: steno.EndComplete, State: "incomplete", FinishReasons: []string{"max_output_tokens"}, Usage: reported(1, 2, -1, -1, 1, 3),
					ToolCalls:  []steno.ToolCall{{ID: "ws", Name: "web_search", Type: "extension"}},
					Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -2, Tokens: 1, By: "openai.logprobs"}, {Kind: "logprob_min", Value: -2, Tokens: 1, By: "openai.logprobs"}},
				},
				Model:     steno.Model{Answered: "o-2025-04-14", Version: "o-2025-04-14", VersionSource: "response.model"},
				Documents: []steno.Document{{ID: "https://s.example", Origin: "web_search"}},
			},
		},
		{
			name: "responses in the background", call: resps, body: `{"id":"resp_1","object":"response","status":"queued","background":true,"output":[],"usage":null,"model":"m"}`,
			want: Response{Result: steno.Result{ID: "resp_1", End: steno.EndComplete, State: "queued", Usage: &steno.Usage{Source: "absent"}}, Model: steno.Model{Answered: "m"}},
		},
		{
			name: "messages", call: messages,
			body:  `{"id":"msg","type":"message","role":"assistant","model":"claude-x","content":[{"type":"thinking","thinking":"hm","signature":"AA"},{"type":"text","text":"see","citations":[{"type":"search_result_location","source":"https://d.example","title":"D","search_result_index":0,"cited_text":"words"}]},{"type":"server_tool_use","id":"st","name":"web_search","input":{"query":"q"}},{"type":"web_search_tool_result","tool_use_id":"st","content":[{"type":"web_search_result","url":"https://w.example","title":"W","encrypted_content":"AAAA"}]}],"stop_reason":"end_turn","usage":{"input_tokens":1,"cache_creation_input_tokens":0,"cache_read_input_tokens":7,"output_tokens":2,"service_tier":"priority"}}`,
			words: []string{"output hm", "output see", `output {"query":"q"}`},
			want: Response{
				Result: steno.Result{
					ID: "msg", End: steno.EndComplete, FinishReasons: []string{"end_turn"}, Usage: reported(8, 2, 7, 0, -1, -1),
					ToolCalls: []steno.ToolCall{{ID: "st", Name: "web_search", Type: "extension"}},
				},
				Model:     steno.Model{Answered: "claude-x", ServiceTier: "priority"},
				Documents: []steno.Document{{ID: "https://d.example", Title: "D", Origin: "citation"}, {ID: "https://w.example", Title: "W", Origin: "web_search"}},
			},
		},
		{
			name: "embeddings", call: embed, body: `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1,-2e-5]}],"model":"text-embedding-3","usage":{"prompt_tokens":4,"total_tokens":4}}`,
			want: Response{Result: steno.Result{End: steno.EndComplete, Usage: reported(4, -1, -1, -1, -1, 4)}, Model: steno.Model{Answered: "text-embedding-3"}},
		},
		{
			name: "token count", call: Call{Dialect: Anthropic, API: "count_tokens", Operation: "count_tokens"}, body: `{"input_tokens":14}`,
			want: Response{Result: steno.Result{End: steno.EndComplete}},
		},
		{
			name: "an error in a 200", call: chat, body: `{"error":{"message":"no credit","type":"insufficient_quota","code":402}}`,
			want: Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "insufficient_quota", Usage: &steno.Usage{Source: "absent"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := c.call.ParseResponse(200, plainJSON, []byte(c.body), false)
			if !got.Understood || got.Problem != "" {
				t.Fatalf("not understood: %s", got.Problem)
			}
			if joined, err := steno.Join(got.Pieces); err != nil || string(joined) != c.body {
				t.Errorf("pieces make %q (%v)", joined, err)
			}
			equal(t, "words", strings.Join(said([]byte(c.body), got.Texts), "|"), strings.Join(c.words, "|"))
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

func TestProviderErrors(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"req_h"}, "Retry-After": {"7"}}
	for _, c := range []struct {
		call         Call
		status       int
		body         string
		typ, request string
		refusal      bool
	}{
		{chat, 404, `{"error":{"message":"gone","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, "model_not_found", "req_h", false},
		{chat, 429, `{"error":{"message":"slow","type":"tokens","code":null}}`, "tokens", "req_h", false},
		{chat, 400, `{"error":{"message":"bad words","type":"a sentence about ana@example.org","code":"another one"}}`, "400", "req_h", false},
		{chat, 400, `{"error":{"message":"filtered","type":null,"code":"content_filter","status":400}}`, "content_filter", "req_h", true},
		{chat, 400, `{"error":"plain words"}`, "400", "req_h", false},
		{chat, 502, `<html>bad gateway</html>`, "502", "req_h", false},
		{chat, 503, ``, "503", "req_h", false},
		{messages, 529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_b"}`, "overloaded_error", "req_b", false},
		{resps, 400, `{"error":{"message":"m","type":"invalid_request_error","param":"model","code":"model_not_found"}}`, "model_not_found", "req_h", false},
		{Call{Dialect: OpenAI}, 404, `{"error":{"type":"invalid_request_error"}}`, "invalid_request_error", "req_h", false},
	} {
		r := c.call.ParseResponse(c.status, h, []byte(c.body), false).Result
		if r.End != steno.EndProviderError || r.ErrorType != c.typ || r.RequestID != c.request || r.RetryAfter != "7" || r.Refusal != c.refusal || r.Status != c.status {
			t.Errorf("%d %s: %s", c.status, c.body, asJSON(r))
		}
	}
}

func TestAnswersNotUnderstood(t *testing.T) {
	for _, c := range []struct {
		call Call
		body string
		end  steno.End
	}{
		{chat, `{"choices":[{"message":{"content":"half`, steno.EndUpstreamCut},
		{chat, `plain words`, steno.EndComplete},
		{chat, `{"answer":42}`, steno.EndComplete},
		{chat, `[]`, steno.EndComplete},
		{Call{Dialect: OpenAI}, `{"id":"thread"}`, steno.EndComplete},
		{chat, "\x00\x01", steno.EndComplete},
	} {
		r := c.call.ParseResponse(200, plainJSON, []byte(c.body), false)
		if r.Understood || r.Problem == "" || r.Result.End != c.end || len(r.Pieces) != 1 || r.Pieces[0].Kind != steno.KindBody || !bytes.Equal(r.Pieces[0].Bytes, []byte(c.body)) {
			t.Errorf("%q: %s %+v", c.body, asJSON(r.Result), r)
		}
		if want := c.body[0] != 0; (len(r.Texts) == 1) != want {
			t.Errorf("%q: texts %+v", c.body, r.Texts)
		}
	}
}

// A whole body is read as a stream by its content type, or by its first bytes if it has none.
func TestStreamAsBody(t *testing.T) {
	for _, c := range streams {
		s := c.call.newStream(framingSSE)
		s.Feed([]byte(c.body))
		want := s.Response(200, sse)
		got := c.call.ParseResponse(200, nil, []byte(c.body), false)
		if joined, err := steno.Join(got.Pieces); err != nil || string(joined) != c.body || len(got.Pieces) != 1 || got.Pieces[0].Kind != steno.KindOutput {
			t.Errorf("%s: pieces make %q (%v)", c.name, joined, err)
		}
		got.Pieces = nil
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %s, want %s", c.name, asJSON(got), asJSON(want))
		}
	}
}

func TestVersion(t *testing.T) {
	for _, c := range []struct{ asked, answered, want string }{
		{"gpt-4o", "gpt-4o-2024-08-06", "gpt-4o-2024-08-06"},
		{"gpt-4o", "gpt-4o", ""},
		{"gpt-4-0613", "gpt-4-0613", "gpt-4-0613"},
		{"claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929", "claude-sonnet-4-5-20250929"},
		{"text-embedding-ada-002", "text-embedding-ada-002-v2", "text-embedding-ada-002-v2"},
		{"gpt-4-turbo-preview", "gpt-4-0125-preview", "gpt-4-0125-preview"},
		{"claude-2.1", "claude-2.1", ""},
		{"m@20240101", "m@20240101", "m@20240101"},
		{"x", "", ""},
		{"", "m", ""},
	} {
		version, source := Version(c.asked, c.answered)
		if version != c.want || (source == "response.model") != (c.want != "") {
			t.Errorf("asked %q, answered %q: version %q from %q", c.asked, c.answered, version, source)
		}
	}
}

// No words of an answer become metadata.
func TestAnswersFactsHoldNoWords(t *testing.T) {
	const canary = "a canary of several words"
	for _, c := range []struct {
		call Call
		body string
	}{
		{chat, `{"choices":[{"message":{"content":"` + canary + `","reasoning_content":"` + canary + `","refusal":"` + canary + `","tool_calls":[{"function":{"name":"f","arguments":"` + canary + `"}}]}}]}`},
		{messages, `{"content":[{"type":"text","text":"` + canary + `","citations":[{"cited_text":"` + canary + `","document_title":"t"}]},{"type":"unheard_of","words":"` + canary + `"}]}`},
		{resps, `{"object":"response","error":{"code":"` + canary + `","message":"` + canary + `"},"output":[{"type":"file_search_call","results":[{"file_id":"f","text":"` + canary + `"}]},{"type":"message","content":[{"type":"output_text","text":"` + canary + `"}]}]}`},
		{chat, `{"error":{"type":"` + canary + `","code":"` + canary + `","message":"` + canary + `"}}`},
	} {
		r := c.call.ParseResponse(200, plainJSON, []byte(c.body), false)
		for _, facts := range []any{r.Result, r.Model, r.Documents, r.Findings, r.Problem} {
			if strings.Contains(asJSON(facts), canary) {
				t.Errorf("%s has the words", asJSON(facts))
			}
		}
	}
}
