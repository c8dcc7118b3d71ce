package foreign

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// Samples of our own, in the shapes that the makers document.
const (
	bedrockLine  = `{"schemaType":"ModelInvocationLog","schemaVersion":"1.0","timestamp":"2026-11-20T10:00:00Z","accountId":"111122223333","identity":{"arn":"arn:aws:iam::111122223333:user/ana"},"region":"eu-west-1","requestId":"req-1","operation":"Converse","modelId":"anthropic.claude-sonnet-4-5-20250929-v1:0","input":{"inputContentType":"application/json","inputBodyJson":{"messages":[{"role":"user","content":[{"text":"What is due?"}]}]},"inputTokenCount":10},"output":{"outputContentType":"application/json","outputBodyJson":{"output":{"message":{"role":"assistant","content":[{"text":"312 euros."}]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":4,"totalTokens":14}},"outputTokenCount":4}}`
	batchRequest = `{"custom_id":"row-1","method":"POST","url":"/v1/chat/completions","body":{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Hi"}]}}`
	batchAnswer  = `{"id":"batch_req_1","custom_id":"row-1","response":{"status_code":200,"request_id":"r1","body":{"id":"chatcmpl-1","object":"chat.completion","created":1795426200,"model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}},"error":null}`
	azureRecord  = `{"time":"2026-11-20T10:00:00.1234567Z","resourceId":"/SUBSCRIPTIONS/1/OPENAI","category":"RequestResponse","operationName":"ChatCompletions_Create","resultSignature":"200","durationMs":"840","callerIPAddress":"10.0.0.***","correlationId":"c-1","properties":"{\"apiName\":\"Azure OpenAI API\",\"requestLength\":120,\"responseLength\":400,\"streamType\":\"Non-Streaming\",\"modelDeploymentName\":\"gpt4\",\"modelName\":\"gpt-4o\",\"modelVersion\":\"2024-11-20\"}"}`
	litellmRow   = `{"request_id":"chatcmpl-9","call_type":"acompletion","api_key":"88dc","spend":0.00012,"total_tokens":14,"prompt_tokens":10,"completion_tokens":4,"startTime":"2026-11-20T10:00:00.000000","endTime":"2026-11-20T10:00:00.840000","model":"gpt-4o-mini","model_group":"cheap","custom_llm_provider":"openai","user":"app","end_user":"ana","team_id":"t1","metadata":{"user_api_key_alias":"k"},"messages":[{"role":"user","content":"Hi"}],"response":{"id":"chatcmpl-9","choices":[{"message":{"role":"assistant","content":"Hello"}}]}}`
	langfuseGen  = `{"id":"obs-1","traceId":"4bf92f3577b34da6a3ce929d0e0e4736","type":"GENERATION","name":"answer","startTime":"2026-11-20T10:00:00.000Z","endTime":"2026-11-20T10:00:01.000Z","model":"gpt-4o","modelParameters":{"temperature":0.2},"input":[{"role":"user","content":"Hi"}],"output":{"role":"assistant","content":"Hello"},"usageDetails":{"input":3,"output":1,"total":4},"costDetails":{"total":0.001},"level":"DEFAULT","metadata":{"k":1}}`
)

func apimChunks() string {
	line := func(n int, request, response, more string) string {
		return fmt.Sprintf(`{"time":"2026-11-20T10:00:00Z","category":"GatewayLlmLogs","correlationId":"a-1","properties":{"sequenceNumber":%d,"requestMessages":%q,"responseMessages":%q%s}}`, n, request, response, more)
	}
	return line(1, `t":"What is due?"}]`, "", "") + "\n" + line(0, `[{"role":"user","conten`, `[{"role":"assistant","content":"312"}]`, `,"promptTokens":9,"completionTokens":2,"totalTokens":11,"modelName":"gpt-4o","deploymentName":"gpt4"`)
}

func read(t *testing.T, format string, files ...string) (good []*steno.Submission, bad []Record, left int) {
	t.Helper()
	r, err := NewReader(format, "")
	if err != nil {
		t.Fatal(err)
	}
	take := func(rec Record) bool {
		switch {
		case rec.Err != nil:
			bad = append(bad, rec)
		case rec.Submission == nil:
			left++
		default:
			good = append(good, rec.Submission)
		}
		return true
	}
	for i, f := range files {
		if err := r.Read(fmt.Sprintf("file%d", i), time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), strings.NewReader(f), take); err != nil {
			bad = append(bad, Record{Err: err})
		}
	}
	r.Rest(take)
	return good, bad, left
}

func TestReader(t *testing.T) {
	csv := "request_id,call_type,startTime,endTime,model,prompt_tokens,completion_tokens,messages,response\n" +
		`c1,acompletion,2026-11-20 10:00:00,2026-11-20 10:00:01,gpt-4o,3,1,"[{""role"":""user"",""content"":""Hi""}]",""` + "\nshort,row\n" +
		`c2,acompletion,2026-11-20 10:00:00,2026-11-20 10:00:01,gpt-4o,3,1,,` + "\n"
	for _, c := range []struct {
		name            string
		files           []string
		good, bad, left int
		source, id      string
		check           func(*steno.Submission) bool
	}{
		{"bedrock lines", []string{bedrockLine + "\n" + strings.Replace(bedrockLine, "req-1", "req-2", 1)}, 2, 0, 0, "bedrock", "req-1", func(s *steno.Submission) bool {
			return s.Origin.Kind == "independent" && s.Imported && *s.Result.Usage.Input == 10 && strings.HasSuffix(s.Request.URL, "/converse") && s.Response.Status == 200 &&
				string(s.System.Details["accountId"]) == `"111122223333"`
		}},
		{"bedrock from CloudWatch", []string{`{"events":[{"timestamp":1795426200000,"message":` + fmt.Sprintf("%q", bedrockLine) + `,"eventId":"1"}],"nextToken":"x"}`}, 1, 0, 0, "bedrock", "req-1", nil},
		{"bedrock pretty", []string{strings.Replace(bedrockLine, ",", ",\n", 3)}, 1, 0, 0, "bedrock", "req-1", nil},
		{"a batch, both files", []string{batchRequest, batchAnswer}, 1, 0, 0, "openai-batch", "batch_req_1", func(s *steno.Submission) bool {
			return s.Request != nil && s.Response.Status == 200 && s.Origin.Kind == "independent" && s.Time.Unix() == 1795426200 && s.Model.Asked == "gpt-4o-mini"
		}},
		{"a batch, answers first", []string{batchAnswer, batchRequest}, 1, 0, 0, "openai-batch", "batch_req_1", nil},
		{"a batch without answers", []string{batchRequest}, 1, 0, 0, "openai-batch", "row-1", func(s *steno.Submission) bool {
			return s.Result.End == steno.EndUnknown && s.Origin.Kind == "self_reported" && s.Origin.Assumed[0] == "time"
		}},
		{"azure in a blob", []string{`{"records":[` + azureRecord + `,{"time":"2026-11-20T10:00:00Z","category":"Audit","operationName":"ListKey"}]}`}, 1, 0, 1, "azure", "c-1", func(s *steno.Submission) bool {
			return s.Model.Asked == "gpt4" && s.Model.Version == "2024-11-20" && s.Timing.LatencyMS == 840 && s.Result.Bytes == 400 && s.Identity.Address == "10.0.0.***"
		}},
		{"azure's gateway in chunks", []string{apimChunks()}, 1, 0, 0, "azure", "a-1", func(s *steno.Submission) bool {
			return strings.Contains(string(s.Prompt.Input), "What is due?") && strings.Contains(string(s.Prompt.Input), `"parts"`) && *s.Result.Usage.Total == 11 && strings.Contains(string(s.Result.Output), "312")
		}},
		{"litellm rows", []string{"[" + litellmRow + ",\n" + strings.Replace(litellmRow, "chatcmpl-9", "chatcmpl-8", 1) + "]"}, 2, 0, 0, "litellm", "chatcmpl-9", func(s *steno.Submission) bool {
			return s.Identity.User == "ana" && s.Model.Asked == "cheap" && s.Model.Answered == "gpt-4o-mini" && s.Result.Cost.USD == "0.00012" && s.Timing.LatencyMS == 840 &&
				strings.Contains(string(s.Result.Output), "Hello") && s.Origin.Kind == "self_reported" && s.Origin.Assumed[0] == "time.zone"
		}},
		{"litellm CSV", []string{csv}, 2, 1, 0, "litellm", "c1", func(s *steno.Submission) bool {
			return *s.Result.Usage.Input == 3 && strings.Contains(string(s.Prompt.Input), "Hi")
		}},
		{"langfuse", []string{`{"data":[{"id":"4bf92f3577b34da6a3ce929d0e0e4736","timestamp":"2026-11-20T10:00:00Z","name":"t","userId":"ana","sessionId":"s1"}]}`, langfuseGen + "\n" + strings.Replace(strings.Replace(langfuseGen, "obs-1", "obs-2", 1), "GENERATION", "SPAN", 1)}, 1, 0, 2, "langfuse", "obs-1", func(s *steno.Submission) bool {
			return s.Identity.User == "ana" && s.TraceID == "4bf92f3577b34da6a3ce929d0e0e4736" && *s.Result.Usage.Input == 3 && s.Result.Cost.USD == "0.001" && s.Timing.LatencyMS == 1000
		}},
		{"classic", []string{`{"event_id":"e1","timestamp":"2026-11-20T10:00:00","user_id":"ana","model":"m","prompt":"p","response":"r"}` + "\n{broken\n" + `{"event_id":"e2","timestamp":"2026-11-20T10:00:00","prompt":"p"}` + "\n"}, 1, 2, 0, "audit.log", "e1", nil},
		{"events", []string{`{"type":"governance.decision","time":"2026-11-20T10:00:00Z","origin":{"source":"app","id":"1"},"system":{"action":"decision","actor":"eva","target":"x","outcome":"approved"}}`}, 1, 0, 0, "app", "1", nil},
		{"nothing known", []string{`{"hello":"world"}`}, 0, 1, 0, "", "", nil},
		{"an array that breaks off", []string{"[" + litellmRow + ",\n{"}, 1, 1, 0, "litellm", "chatcmpl-9", nil},
		{"empty", []string{"", "\n\n"}, 0, 0, 0, "", "", nil},
		{"no table either", []string{"hello"}, 0, 1, 0, "", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			good, bad, left := read(t, "", c.files...)
			if len(good) != c.good || len(bad) != c.bad || left != c.left {
				t.Fatalf("%d good, %d bad (%+v), %d left", len(good), len(bad), bad, left)
			}
			if c.good > 0 && (good[0].Origin.Source != c.source || good[0].Origin.ID != c.id || !good[0].Imported) {
				t.Errorf("the first is from %+v", good[0].Origin)
			}
			if c.check != nil && !c.check(good[0]) {
				t.Errorf("it became %+v, %+v, %+v, %+v", good[0].Event, good[0].Model, good[0].Result, good[0].Origin)
			}
		})
	}
	_, bad, _ := read(t, "", "\n"+litellmRow+"\n\n{\"a\":}\n")
	if len(bad) != 1 || bad[0].Line != 4 || bad[0].File != "file0" {
		t.Errorf("the bad one is %+v", bad)
	}
	if _, err := NewReader("splunk", ""); err == nil {
		t.Error("a format that nobody knows")
	}
}

func TestReaderUndoesGzip(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(bedrockLine)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	if good, bad, _ := read(t, "bedrock", b.String()); len(good) != 1 || len(bad) != 0 {
		t.Errorf("%d, %+v", len(good), bad)
	}
	if _, bad, _ := read(t, "bedrock", b.String()[:40]); len(bad) != 1 {
		t.Errorf("half of it: %+v", bad)
	}
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{
		bedrockLine, batchRequest + "\n" + batchAnswer, `{"records":[` + azureRecord + `]}`, apimChunks(), "[" + litellmRow + "]", langfuseGen,
		"a,b\n1,\"{}\"\n", "{\n\"events\":[{\"timestamp\":1,\"message\":\"{}\"}]}", "\x1f\x8b", "[[{}]]", "{}\n{", "{\"data\":[[[]]]}",
	} {
		f.Add("", []byte(s))
	}
	for _, format := range Formats {
		f.Add(format, []byte(bedrockLine+"\n"+litellmRow+"\n"+batchAnswer))
	}
	f.Fuzz(func(t *testing.T, format string, b []byte) {
		r, err := NewReader(format, "")
		if err != nil {
			return
		}
		n := 0
		take := func(rec Record) bool {
			n++
			if (rec.Submission == nil) == (rec.Err == nil && rec.Left == "") {
				t.Errorf("%q became neither one thing nor another: %+v", b, rec)
			}
			if s := rec.Submission; s != nil && (s.Origin.Source == "" || s.Origin.ID == "" || s.Time.IsZero() || !s.Imported) {
				t.Errorf("%q became an event that cannot be recorded: %+v", b, s)
			}
			return n < 1000
		}
		_ = r.Read("f", time.Unix(1e9, 0), bytes.NewReader(b), take) // what cannot be cut is an error, and no more
		r.Rest(take)
	})
}
