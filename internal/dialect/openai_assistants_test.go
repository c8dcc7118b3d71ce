package dialect

import (
	"strings"
	"testing"
)

func TestRuns(t *testing.T) {
	const tokens = `usage {"source":"reported","gen_ai.usage.input_tokens":20,"gen_ai.usage.output_tokens":4,"steno.usage.total_tokens":24}`
	const used = `"usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24}`
	const step = `{"id":"step_1","object":"thread.run.step","type":"tool_calls","status":"completed","step_details":{"type":"tool_calls","tool_calls":[` +
		`{"id":"call_1","type":"code_interpreter","code_interpreter":{"input":"print(1)","outputs":[{"type":"logs","logs":"1"},{"type":"image","image":{"file_id":"file-2"}}]}},` +
		`{"id":"call_2","type":"file_search","file_search":{"results":[{"file_id":"file-1","file_name":"law.pdf","score":0.5,"content":[{"type":"text","text":"Who keeps it."}]}]}},` +
		`{"id":"call_3","type":"function","function":{"name":"sql","arguments":"{}","output":"3"}}]}}`
	testReadings(t, []reading{
		{OpenAI, "POST", "/v1/threads/thread_1/runs", "", `{"id":"run_1","object":"thread.run","status":"queued","model":"gpt-4o","usage":null,"required_action":null,"last_error":null}`, "id run_1\nstate queued\nmodel gpt-4o"},
		{
			OpenAI, "GET", "/v1/threads/thread_1/runs/run_1", "", `{"id":"run_1","object":"thread.run","status":"incomplete","model":"gpt-4o","incomplete_details":{"reason":"max_completion_tokens"},` + used + `}`,
			"id run_1\nstate incomplete\nmodel gpt-4o\nfinish [max_completion_tokens]\n" + tokens,
		},
		{OpenAI, "POST", "/v1/threads/thread_1/runs", "text/event-stream", sent(
			`thread.run.created {"id":"run_1","object":"thread.run","status":"queued","model":"gpt-4o","usage":null}`,
			`thread.run.step.delta {"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[{"index":0,"id":"call_1","type":"code_interpreter","code_interpreter":{"input":"print"}}]}}}`,
			`thread.run.step.delta {"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[{"index":0,"type":"code_interpreter","code_interpreter":{"input":"(1)"}}]}}}`,
			`thread.run.step.completed `+step,
			`thread.message.delta {"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"It is ","annotations":[{"type":"file_citation","text":"x","file_citation":{"file_id":"file-1"}}]}}]}}`,
			`thread.message.delta {"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"1."}}]}}`,
			`thread.message.delta {"id":"msg_2","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"Yes."}}]}}`,
			`thread.run.completed {"id":"run_1","object":"thread.run","status":"completed","model":"gpt-4o",`+used+`}`, `done [DONE]`), `
id run_1
state completed
model gpt-4o
` + tokens + `
call call_1 code_interpreter extension
call call_2 file_search datastore
call call_3 sql function
output: print(1)
tool: 1
document: Who keeps it.
output: {}
output: It is 1.
output: Yes.
doc file-1 "law.pdf" file_search 0.5
doc file-1 "" citation
media image in file file-2`},
		{
			OpenAI, "POST", "/v1/threads/runs", "text/event-stream", sent(
				`thread.created {"id":"thread_1","object":"thread"}`,
				`thread.run.requires_action {"id":"run_1","object":"thread.run","status":"requires_action","model":"gpt-4o","required_action":{"type":"submit_tool_outputs","submit_tool_outputs":{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"sql","arguments":"{}"}}]}}}`),
			"id run_1\nstate requires_action\nmodel gpt-4o\ncall call_1 sql function\noutput: {}",
		},
		{
			OpenAI, "POST", "/v1/threads/thread_1/runs", "text/event-stream", sent(`thread.run.failed {"id":"run_1","object":"thread.run","status":"failed","model":"gpt-4o","last_error":{"code":"server_error","message":"no"}}`),
			"end error_in_answer server_error\nid run_1\nstate failed\nmodel gpt-4o",
		},
		{OpenAI, "GET", "/v1/threads/thread_1/runs/run_1/steps", "", `{"object":"list","data":[` + step + `]}`, `
call call_1 code_interpreter extension
call call_2 file_search datastore
call call_3 sql function
output: print(1)
tool: 1
document: Who keeps it.
output: {}
doc file-1 "law.pdf" file_search 0.5
media image in file file-2`},
		{
			OpenAI, "GET", "/v1/threads/thread_1/messages", "", `{"object":"list","data":[{"id":"msg_1","object":"thread.message","role":"assistant","content":[{"type":"text","text":{"value":"Hello.","annotations":[]}},{"type":"image_file","image_file":{"file_id":"file-1"}}]}]}`,
			"output: Hello.\nmedia image in file file-1",
		},
	})
}

// What a run is given beside its thread is words: instructions, messages, and what the tools gave back.
func TestWhatARunIsGiven(t *testing.T) {
	run := RouteAs(OpenAI, "POST", "/v1/threads/thread_1/runs")
	const body = `{"assistant_id":"asst_1","additional_instructions":"Be kind.","additional_messages":[{"role":"user","content":"Who?"}],"tool_outputs":[{"tool_call_id":"call_1","output":"Nobody."}],"stream":true}`
	r := parse(t, run, body)
	got := strings.Join(said([]byte(body), r.Texts), "|")
	for _, want := range []string{"system Be kind.", "user Who?", "tool Nobody."} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if r.Prompt.Messages != 1 || !r.Model.Stream {
		t.Errorf("%d messages", r.Prompt.Messages)
	}
}
