package dialect

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// A reading is an answer and what is read of it, a line for each thing.
type reading struct {
	dialect, method, path string
	media                 string // "" = application/json
	answer                string
	want                  string
}

// sent are events with their names: a line is a name and its data.
func sent(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		name, data, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, "event: %s\ndata: %s\n\n", name, data)
	}
	return b.String()
}

// read is what there is to tell of an answer.
func (c *reading) read(t *testing.T) string {
	t.Helper()
	media := c.media
	if media == "" {
		media = "application/json"
	}
	call := RouteAs(c.dialect, c.method, c.path)
	body := []byte(c.answer)
	r := call.ParseResponse(200, http.Header{"Content-Type": {media}}, body, false)
	if !r.Understood || r.Problem != "" {
		t.Errorf("%s %s: not understood: %s", c.method, c.path, r.Problem)
	}
	var out []string
	add := func(ok bool, form string, v ...any) {
		if ok {
			out = append(out, fmt.Sprintf(form, v...))
		}
	}
	add(r.Result.End != "complete", "end %s %s", r.Result.End, r.Result.ErrorType)
	add(r.Result.ID != "", "id %s", r.Result.ID)
	add(r.Result.State != "", "state %s", r.Result.State)
	add(r.Model.Answered != "", "model %s", r.Model.Answered)
	add(r.Model.ServiceTier != "", "tier %s", r.Model.ServiceTier)
	add(r.Result.FinishReasons != nil, "finish %v", r.Result.FinishReasons)
	if u := r.Result.Usage; u != nil && u.Source != "absent" {
		add(true, "usage %s", asJSON(u))
	}
	for _, call := range r.Result.ToolCalls {
		add(true, "call %s %s %s", call.ID, call.Name, call.Type)
	}
	for _, w := range r.Texts {
		add(true, "%s: %s", w.Origin, w.Words(body))
	}
	for _, d := range r.Documents {
		score := ""
		if d.Score != nil {
			score = fmt.Sprint(" ", *d.Score)
		}
		add(true, "doc %s %q %s%s", d.ID, d.Title, d.Origin, score)
	}
	for _, f := range r.Findings {
		add(true, "finding %s %s %s %v", f.Flag, f.Rule, f.Direction, f.Score)
	}
	for _, f := range r.Result.Confidence {
		add(true, "%s %v", f.Kind, f.Value)
	}
	for _, turn := range call.Transcript(nil, body, media) {
		for _, p := range turn.Parts {
			add(p.Media != "", "media %s", p.Media)
			if strings.Contains(p.Text, "QUJD") || strings.Contains(p.Media, "QUJD") {
				t.Errorf("%s: what is shown has base64 in it: %q", c.path, p.Text)
			}
		}
	}
	return strings.Join(out, "\n")
}

func testReadings(t *testing.T, all []reading) {
	t.Helper()
	for i := range all {
		c := &all[i]
		if got := strings.TrimSpace(c.read(t)); got != strings.TrimSpace(c.want) {
			t.Errorf("%s %s:\n%s\nwant\n%s", c.method, c.path, got, c.want)
		}
	}
}

func TestWhatAProviderKeeps(t *testing.T) {
	testReadings(t, []reading{
		{OpenAI, "GET", "/v1/files", "", `{"object":"list","data":[{"id":"file-1","object":"file","filename":"a"}],"has_more":false}`, ``},
		{OpenAI, "GET", "/v1/files/file-1/content", "application/octet-stream", "a,b\n1,2\n", "document: a,b\n1,2\n"},
		{OpenAI, "GET", "/v1/batches/batch_1", "", `{"id":"batch_1","object":"batch","status":"in_progress"}`, "id batch_1\nstate in_progress"},
		{
			OpenAI, "POST", "/v1/vector_stores/vs_1/search", "", `{"object":"vector_store.search_results.page","search_query":["record"],"data":[{"file_id":"file-9","filename":"law.pdf","score":0.9,"attributes":{},"content":[{"type":"text","text":"Who keeps it."}]}],"has_more":false,"next_page":null}`,
			"document: Who keeps it.\ndoc file-9 \"law.pdf\" file_search 0.9",
		},
		{OpenAI, "GET", "/v1/vector_stores/vs_1/files/file-9/content", "", `{"object":"vector_store.file_content.page","data":[{"type":"text","text":"Who keeps it."}]}`, "document: Who keeps it."},
		{
			OpenAI, "GET", "/v1/chat/completions/chatcmpl-1", "", `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`,
			"id chatcmpl-1\nmodel gpt-4o\noutput: Hello.",
		},
		{OpenAI, "GET", "/v1/chat/completions", "", `{"object":"list","data":[{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o","choices":[{"message":{"role":"assistant","content":"Hello."}}]}]}`, "output: Hello."},
		{OpenAI, "GET", "/v1/responses/resp_1/input_items", "", `{"object":"list","data":[{"id":"msg_1","type":"message","role":"user","content":[{"type":"input_text","text":"Who?"}]}]}`, "user: Who?"},
		{OpenAI, "GET", "/v1/responses/resp_1", "", `{"id":"resp_1","object":"response","status":"queued","background":true,"model":"o3","output":[],"usage":null}`, "id resp_1\nstate queued\nmodel o3"},
		{
			OpenAI, "GET", "/v1/responses/resp_1?stream=true&starting_after=4", "text/event-stream",
			sent(`response.output_text.delta {"type":"response.output_text.delta","sequence_number":5,"output_index":0,"content_index":0,"delta":"lo"}`,
				`response.completed {"type":"response.completed","sequence_number":6,"response":{"id":"resp_1","object":"response","status":"completed","model":"o3","output":[],"usage":{"input_tokens":3,"output_tokens":2,"total_tokens":5}}}`),
			"id resp_1\nstate completed\nmodel o3\nusage {\"source\":\"reported\",\"gen_ai.usage.input_tokens\":3,\"gen_ai.usage.output_tokens\":2,\"steno.usage.total_tokens\":5}",
		},
		{OpenAI, "DELETE", "/v1/responses/resp_1", "", `{"id":"resp_1","object":"response","deleted":true}`, "id resp_1"},
		{OpenAI, "POST", "/v1/responses/input_tokens", "", `{"object":"response.input_tokens","input_tokens":11}`, ""},
		{OpenAI, "POST", "/v1/conversations/conv_1/items", "", `{"object":"list","data":[{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"Who?"}]}]}`, "user: Who?"},
		{OpenAI, "POST", "/v1/containers", "", `{"id":"cntr_1","object":"container","status":"running"}`, "id cntr_1\nstate running"},
		{OpenAI, "GET", "/v1/evals/eval_1/runs/run_1", "", `{"id":"run_1","object":"eval.run","status":"completed","model":"gpt-4o"}`, "id run_1\nstate completed\nmodel gpt-4o"},
		{OpenAI, "GET", "/v1/fine_tuning/jobs/ftjob-1/events", "", `{"object":"list","data":[{"object":"fine_tuning.job.event","id":"e","level":"info","message":"Step 1","type":"metrics"}],"has_more":false}`, ""},
		{OpenAI, "POST", "/v1/videos", "", `{"id":"video_1","object":"video","model":"sora-2","status":"failed","error":{"code":"moderation_blocked","message":"no"}}`, "end error_in_answer moderation_blocked"},
	})
}

func TestAConversationIsShown(t *testing.T) {
	turns := RouteAs(OpenAI, "GET", "/v1/conversations/conv_1/items").Transcript(nil, []byte(`{"object":"list","data":[{"type":"message","role":"user","content":[{"type":"input_text","text":"Who?"}]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"I."}]},{"type":"function_call_output","call_id":"c","output":"3"}]}`), "application/json")
	var got []string
	for _, turn := range turns {
		for _, p := range turn.Parts {
			got = append(got, turn.Role+" "+p.Kind.String()+" "+p.Text)
		}
	}
	equal(t, "turns", strings.Join(got, "|"), "user output Who?|assistant output I.|assistant tool_result 3")
}

// However these streams are cut up, what ends them is held back, what is read is the same, and without their end they are cut.
func TestTheEndsOfOtherStreams(t *testing.T) {
	for path, c := range map[string]struct{ body, held string }{
		"/v1/images/generations": {
			sent(`image_generation.partial_image {"type":"image_generation.partial_image","b64_json":"QUJD"}`, `image_generation.completed {"type":"image_generation.completed","b64_json":"QUJD","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`),
			"event: image_generation.completed",
		},
		"/v1/audio/speech": {
			"data: {\"type\":\"speech.audio.delta\",\"audio\":\"QUJD\"}\n\ndata: {\"type\":\"speech.audio.delta\",\"audio\":\"QUJD\"}\n\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}\n\n",
			"data: {\"type\":\"speech.audio.done\"",
		},
		"/v1/audio/transcriptions": {
			sent(`transcript.text.delta {"type":"transcript.text.delta","delta":"Hel"}`, `transcript.text.delta {"type":"transcript.text.delta","delta":"lo\n"}`, `transcript.text.done {"type":"transcript.text.done","text":"Hello\n","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`),
			"event: transcript.text.done",
		},
		"/v1/threads/thread_1/runs": {
			sent(`thread.run.created {"id":"run_1","object":"thread.run","status":"queued","model":"m","usage":null}`,
				`thread.run.step.delta {"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"sql","arguments":"{"}}]}}}`,
				`thread.run.step.delta {"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[{"index":0,"type":"function","function":{"arguments":"}"}}]}}}`,
				`thread.message.delta {"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"Hello"}}]}}`,
				`thread.run.completed {"id":"run_1","object":"thread.run","status":"completed","model":"m","usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}`, `done [DONE]`),
			"event: thread.run.completed",
		},
	} {
		call := RouteAs(OpenAI, "POST", path)
		held := strings.Index(c.body, c.held)
		whole := call.NewStream("text/event-stream")
		whole.Feed([]byte(c.body))
		want := asJSON(whole.Response(200, sse))
		if !strings.Contains(want, `"steno.end":"complete"`) || !strings.Contains(want, `"steno.usage.total_tokens":3`) {
			t.Errorf("%s: %s", path, want)
		}
		for size := 1; size < 40; size++ {
			s := call.NewStream("text/event-stream")
			for at := 0; at < len(c.body); at += size {
				if free := s.Feed([]byte(c.body[at:min(at+size, len(c.body))])); free > held {
					t.Fatalf("%s: %d bytes go out, what ends it begins at %d", path, free, held)
				}
			}
			if got := asJSON(s.Response(200, sse)); got != want || !s.Finished() {
				t.Fatalf("%s in chunks of %d: %s\nwant %s", path, size, got, want)
			}
		}
		cut := call.NewStream("text/event-stream")
		if free := cut.Feed([]byte(c.body[:held])); free != held || !cut.FirstToken() {
			t.Errorf("%s: %d of %d bytes go out before its end; first token %v", path, free, held, cut.FirstToken())
		}
		if r := cut.Response(200, sse); r.Result.End != "upstream_cut" || r.Result.Usage.Source == "reported" {
			t.Errorf("%s without its end is %s, usage %s", path, r.Result.End, asJSON(r.Result.Usage))
		}
	}
}
