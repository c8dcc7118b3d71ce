package dialect

import (
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

func TestWhatAnthropicsToolsGiveBack(t *testing.T) {
	const head = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":1},"content":[`
	const read = "id msg_1\nmodel claude-x\nfinish [end_turn]\n" + `usage {"source":"reported","gen_ai.usage.input_tokens":3,"gen_ai.usage.output_tokens":1}` + "\n"
	const fetched = `{"type":"web_fetch_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"web_fetch_result","url":"https://law.example/","retrieved_at":"2026-01-01T00:00:00Z","content":{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Who keeps it."},"title":"Law"}}}`
	testReadings(t, []reading{
		{
			Anthropic, "POST", "/v1/messages", "", head + `{"type":"server_tool_use","id":"srvtoolu_1","name":"web_fetch","input":{"url":"https://law.example/"}},` + fetched + `]}`,
			read + `call srvtoolu_1 web_fetch extension` + "\n" + `output: {"url":"https://law.example/"}` + "\ndocument: Who keeps it.\n" + `doc https://law.example/ "Law" web_fetch`,
		},
		{
			Anthropic, "POST", "/v1/messages", "", head + `{"type":"web_fetch_tool_result","tool_use_id":"s","content":{"type":"web_fetch_result","url":"https://law.example/a.pdf","content":{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"}}}}]}`,
			read + `doc https://law.example/a.pdf "" web_fetch` + "\nmedia application/pdf, 3 bytes",
		},
		{
			Anthropic, "POST", "/v1/messages", "", head + `{"type":"code_execution_tool_result","tool_use_id":"s","content":{"type":"code_execution_result","stdout":"1","stderr":"warned","return_code":0,"content":[{"type":"code_execution_output","file_id":"file_1"}]}}]}`,
			read + "tool: 1\ntool: warned\nmedia file in file file_1",
		},
		{
			Anthropic, "POST", "/v1/messages", "", head + `{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{"type":"bash_code_execution_result","stdout":"a.txt","stderr":"","return_code":0,"content":[]}},` +
				`{"type":"text_editor_code_execution_tool_result","tool_use_id":"s","content":{"type":"text_editor_code_execution_view_result","file_type":"text","content":"line one"}},` +
				`{"type":"text_editor_code_execution_tool_result","tool_use_id":"s","content":{"type":"text_editor_code_execution_str_replace_result","lines":["-old","+new"]}}]}`,
			read + "tool: a.txt\ntool: line one\ntool: -old\ntool: +new",
		},
		{
			Anthropic, "POST", "/v1/messages", "", head + `{"type":"tool_search_tool_result","tool_use_id":"s","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"weather"}]}},` +
				`{"type":"bash_code_execution_tool_result","tool_use_id":"s","content":{"type":"bash_code_execution_tool_result_error","error_code":"unavailable"}},` +
				`{"type":"mcp_tool_result","tool_use_id":"m","is_error":false,"content":[{"type":"text","text":"sunny"}]},{"type":"compaction","content":"They spoke of the weather."}]}`,
			read + "tool: weather\ntool: unavailable\ntool: sunny\noutput: They spoke of the weather.",
		},
		{
			Anthropic, "POST", "/v1/messages", "text/event-stream", sent(
				`message_start {"type":"message_start","message":{"id":"msg_1","model":"claude-x","content":[],"usage":{"input_tokens":3,"output_tokens":1}}}`,
				`content_block_start {"type":"content_block_start","index":0,"content_block":`+fetched+`}`,
				`content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"compaction","content":null}}`,
				`content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"compaction_delta","content":"In short."}}`,
				`message_delta {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`, `message_stop {"type":"message_stop"}`),
			read + "document: Who keeps it.\noutput: In short.\n" + `doc https://law.example/ "Law" web_fetch`,
		},
	})
}

func TestABatchOfMessages(t *testing.T) {
	const body = `{"requests":[{"custom_id":"a","params":{"model":"claude-x","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Who?"}]}},` +
		`{"custom_id":"b","params":{"model":"claude-x","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"What?"}]},{"role":"assistant","content":"That."},{"role":"user","content":"Why?"}]}}]}`
	call := RouteAs(Anthropic, "POST", "/v1/messages/batches")
	r := parse(t, call, body)
	equal(t, "words", strings.Join(said([]byte(body), r.Texts), "|"), "system Be brief.|user Who?|user What?|assistant That.|user Why?")
	if r.Model.Asked != "claude-x" || r.Prompt.Messages != 2 || r.Prompt.New != 2 {
		t.Errorf("%q, %d requests, %d new", r.Model.Asked, r.Prompt.Messages, r.Prompt.New)
	}
	kinds := 0
	for _, p := range r.Pieces {
		if p.Kind == steno.KindInput {
			kinds++
		}
	}
	if kinds != 2 {
		t.Errorf("%d requests are pieces:\n%s", kinds, listing(r.Pieces))
	}
	turns := call.Transcript([]byte(body), nil, "")
	if len(turns) != 2 || len(turns[1].Parts) != 3 || turns[1].Parts[2].Text != "Why?" {
		t.Errorf("turns %+v", turns)
	}
}

func TestResultsOfBatches(t *testing.T) {
	const sum = `usage {"source":"reported","gen_ai.usage.input_tokens":9,"gen_ai.usage.output_tokens":3,"gen_ai.usage.cache_read.input_tokens":2}`
	const both = `{"source":"reported","gen_ai.usage.input_tokens":4,"gen_ai.usage.output_tokens":6,"steno.usage.total_tokens":10}`
	answer := func(id, words string) string {
		return `{"id":"batch_req_1","custom_id":"` + id + `","response":{"status_code":200,"request_id":"r","body":{"id":"c","object":"chat.completion","model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"` + words + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":2,"completion_tokens":3,"total_tokens":5}}},"error":null}` + "\n"
	}
	testReadings(t, []reading{
		{
			Anthropic, "GET", "/v1/messages/batches/msgbatch_1/results", "application/x-jsonl", `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"Hello."}],"stop_reason":"end_turn","usage":{"input_tokens":3,"cache_read_input_tokens":2,"output_tokens":1}}}}` + "\n" +
				`{"custom_id":"b","result":{"type":"errored","error":{"type":"error","error":{"type":"invalid_request_error","message":"no"}}}}` + "\n" +
				`{"custom_id":"c","result":{"type":"succeeded","message":{"id":"msg_2","type":"message","role":"assistant","model":"claude-x","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"a":1}}],"stop_reason":"tool_use","usage":{"input_tokens":4,"output_tokens":2}}}}` + "\n",
			"model claude-x\ntier batch\nfinish [end_turn tool_use]\n" + sum + "\ncall toolu_1 weather function\noutput: Hello.\noutput: {\"a\":1}",
		},
		{
			OpenAI, "GET", "/v1/files/file-2/content", "application/octet-stream", answer("a", "One.") + answer("b", "T\\u0077o.") + `{"id":"x","custom_id":"c","response":null,"error":{"code":"batch_expired"}}` + "\n",
			"model gpt-4o-2024-08-06\ntier batch\nfinish [stop]\nusage " + both + "\noutput: One.\noutput: Two.",
		},
		{OpenAI, "GET", "/v1/files/file-2/content", "application/jsonl", `{"messages":[{"role":"user","content":"Who?"}]}` + "\n", `document: {"messages":[{"role":"user","content":"Who?"}]}` + "\n"},
		{Anthropic, "GET", "/v1/messages/batches/msgbatch_1", "", `{"id":"msgbatch_1","type":"message_batch","processing_status":"ended","request_counts":{"processing":0,"succeeded":2,"errored":1,"canceled":0,"expired":0}}`, "id msgbatch_1\nstate ended"},
		{Anthropic, "POST", "/v1/files", "", `{"id":"file_1","type":"file","filename":"a.pdf","mime_type":"application/pdf","size_bytes":9}`, "id file_1"},
	})
	call := RouteAs(OpenAI, "GET", "/v1/files/file-2/content")
	r := call.ParseResponse(200, plainJSON, []byte(answer("a", "One.")+"{\n"), false)
	if r.Problem == "" || len(r.Texts) != 1 {
		t.Errorf("a damaged line: %q", r.Problem)
	}
}

func FuzzResults(f *testing.F) {
	f.Add([]byte(`{"custom_id":"a","result":{"message":{"content":[{"type":"text","text":"x"}],"usage":{"input_tokens":1}}}}` + "\n\n{"))
	f.Add([]byte(`{"custom_id":1,"response":{"body":{"choices":[{"message":{"refusal":"n","tool_calls":[{"id":"a"}]}}]}}}` + "\r\n" + `{"custom_id":null,"response":{"body":{"results":[{"categories":{"hate":true}}]}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, c := range []Call{RouteAs(Anthropic, "GET", "/v1/messages/batches/b/results"), RouteAs(OpenAI, "GET", "/v1/files/f/content")} {
			r := c.ParseResponse(200, plainJSON, body, false)
			if got, err := steno.Join(r.Pieces); err != nil || string(got) != string(body) {
				t.Fatalf("the pieces do not make the body again: %v", err)
			}
			checkTexts(t, body, r.Texts)
		}
	})
}
