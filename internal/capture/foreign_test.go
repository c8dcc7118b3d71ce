package capture

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/foreign"
	"github.com/steno-audit/steno/internal/seal"
)

// send submits a body with headers of its own.
func (r *rig) send(body string, headers ...string) (int, submitted) {
	r.t.Helper()
	resp, b, err := r.do(r.post("/v1/events", body, headers...))
	if err != nil {
		r.t.Fatal(err)
	}
	var s submitted
	if err := json.Unmarshal(b, &s); err != nil {
		r.t.Fatalf("%s: %v", b, err)
	}
	return resp.StatusCode, s
}

func (r *rig) newest() *seal.Opened {
	r.t.Helper()
	e, err := r.log.Read(r.log.Size() - 1)
	if err != nil {
		r.t.Fatal(err)
	}
	read := func(i uint64) (*steno.Leaf, []byte, error) {
		e, err := r.log.Read(i)
		if err != nil {
			return nil, nil, err
		}
		return e.Leaf, e.Body, nil
	}
	o, err := r.keys.Open(e.Leaf, e.Body, read, steno.SectionIdentity|steno.SectionMetadata|steno.SectionPrompt|steno.SectionOutput)
	if err != nil {
		r.t.Fatal(err)
	}
	return o
}

const (
	approved      = `{"system":{"action":"approve","actor":"ana","target":"gpt-4o","outcome":"approved"}}`
	cloudApproved = `{"specversion":"1.0","id":"c1","source":"/registry","type":"com.example.governance.model_approved","time":"2026-11-23T10:00:00Z","subject":"gpt-4o","datacontenttype":"application/json","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","data":` + approved + `}`
	classic       = `{"event_id":"e1","timestamp":"2026-11-23T10:00:00","user_id":"ana","model":"own-7b","prompt":"What is due?","response":"312 euros.","latency_ms":840.5,"tokens_used":52,"safety_flags":["pii","made_up"],"department":"sales"}`
)

func TestOtherFormsOfEvents(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	for _, c := range []struct {
		name, body                     string
		headers                        []string
		status                         int
		accepted, duplicates, rejected int
		reason                         string
	}{
		{"an empty batch", "[]", nil, 200, 0, 0, 0, ""},
		{"an empty batch of CloudEvents", "[]", []string{"Content-Type", "application/cloudevents-batch+json"}, 200, 0, 0, 0, ""},
		{"a structured CloudEvent", cloudApproved, []string{"Content-Type", "application/cloudevents+json; charset=utf-8"}, 200, 1, 0, 0, ""},
		{"the same, delivered again with another extension", strings.Replace(cloudApproved, `"subject"`, `"retry":"2","subject"`, 1), nil, 200, 0, 1, 0, ""},
		{"other data under its id", strings.Replace(cloudApproved, `"ana"`, `"bob"`, 1), nil, 422, 0, 0, 1, "another event was recorded"},
		{"a batch with a bad one", "[" + strings.Replace(cloudApproved, "c1", "c2", 1) + "," + strings.Replace(cloudApproved, "1.0", "0.3", 1) + "]", []string{"Content-Type", "application/cloudevents-batch+json"}, 200, 1, 0, 1, "specversion"},
		{"a binary CloudEvent", approved, []string{"Ce-Specversion", "1.0", "Ce-Id", "c3", "Ce-Source", "/registry", "Ce-Type", "governance.model_approved", "Ce-Time", "2026-11-23T10:00:00Z"}, 200, 1, 0, 0, ""},
		{"the same in structured mode", `{"specversion":"1.0","id":"c3","source":"/registry","type":"governance.model_approved","data":` + approved + `}`, nil, 200, 0, 1, 0, ""},
		{"a type that nobody knows", strings.Replace(cloudApproved, "model_approved", "model_adored", 1), nil, 422, 0, 0, 1, "model_adored"},
		{"a flat one", classic, nil, 200, 1, 0, 0, ""},
		{"flat lines, one without a model", classic + "\n" + `{"event_id":"e2","timestamp":"2026-11-23T10:00:00Z","prompt":"x"}` + "\n" + strings.Replace(classic, "e1", "e3", 1), []string{"Content-Type", "application/x-ndjson"}, 200, 1, 1, 1, "model is missing"},
		{"lines of all forms", strings.Replace(cloudApproved, "c1", "c4", 1) + "\n" + strings.Replace(classic, "e1", "e4", 1) + "\n" + event("n4", "ana"), nil, 200, 3, 0, 0, ""},
		{"a time that is none", `{"event_id":"e5","timestamp":"yesterday","model":"m"}`, nil, 422, 0, 0, 1, "timestamp is"},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, s := r.send(c.body, c.headers...)
			if status != c.status || len(s.Accepted) != c.accepted || len(s.Duplicates) != c.duplicates || len(s.Rejected) != c.rejected {
				t.Fatalf("status %d, %+v", status, s)
			}
			if c.rejected > 0 && !strings.Contains(s.Rejected[0].Reason, c.reason) {
				t.Errorf("the reason is %q", s.Rejected[0].Reason)
			}
		})
	}
	for name, headers := range map[string][]string{
		"an array as one": {"Content-Type", "application/cloudevents+json"}, "not json": {"Ce-Specversion", "1.0", "Ce-Id", "x", "Ce-Source", "x", "Ce-Type", "x", "Content-Type", "text/xml"},
	} {
		body := "[]"
		if name == "not json" {
			body = "<x/>"
		}
		if resp, b, err := r.do(r.post("/v1/events", body, headers...)); err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d %s %v", name, resp.StatusCode, b, err)
		}
	}
}

func TestWhatOtherFormsBecome(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	r.send(cloudApproved)
	e := r.newest()
	if e.Origin.Source != "/registry" || e.Origin.ID != "c1" || e.Type != "governance.model_approved" || e.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" ||
		len(e.Links) != 1 || e.Links[0].Name != "gpt-4o" || e.Time.Hour() != 10 || e.System.Actor != "ana" {
		t.Errorf("the CloudEvent became %+v, %+v, %+v", e.Event, e.Origin, e.Links)
	}
	r.send(classic)
	e = r.newest()
	leaf, err := r.log.Read(r.log.Size() - 1)
	if err != nil {
		t.Fatal(err)
	}
	if e.Type != "inference.call" || e.Origin.ID != "e1" || e.Origin.Source != "app" || len(e.Origin.Assumed) != 1 || e.Time.Hour() != 10 || e.Identity.User != "ana" ||
		e.Model.Asked != "own-7b" || string(e.Prompt.Input) != `"What is due?"` || string(e.Result.Output) != `"312 euros."` || e.Timing.LatencyMS != 840.5 ||
		*e.Result.Usage.Total != 52 || len(e.Flags) != 2 || e.Flags[0] != "personal_data" || len(e.Links) != 2 || string(e.System.Details["department"]) != `"sales"` {
		t.Errorf("the flat object became %+v, origin %+v, result %+v, flags %v %v", e.Event, e.Origin, e.Result, e.Flags, e.Links)
	}
	if leaf.Leaf.Flags != steno.FlagOpens|steno.FlagCloses {
		t.Errorf("its flags are %v: it is a whole exchange", leaf.Leaf.Flags)
	}
	r.send(`{"type":"inference.call","origin":{"source":"x","id":"1"},"imported":true,"model":{"gen_ai.request.model":"?"},"result":{"steno.end":"complete"},
		"request":{"method":"POST","url":"https://api.openai.com/v1/chat/completions","body":"{\"model\":\"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}"},
		"response":{"status":200,"headers":{"content-type":["application/json"]},"body":"{\"id\":\"r1\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-mini-2024-07-18\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"message\":{\"role\":\"assistant\",\"content\":\"Hello\"}}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}"}}`)
	e = r.newest()
	if e.Model.Asked != "gpt-4o-mini" || e.Model.Answered != "gpt-4o-mini-2024-07-18" || e.Model.Provider != "openai" || *e.Result.Usage.Input != 3 || e.Result.ID != "r1" ||
		e.Result.Cost == nil || e.Result.Cost.State != "priced" || !e.Imported {
		t.Errorf("the bytes became %+v %+v", e.Model, e.Result)
	}
	if b, err := steno.Join(e.Response); err != nil || !strings.Contains(string(b), "Hello") {
		t.Errorf("%s %v", b, err)
	}
	for _, bad := range []string{
		`{"type":"governance.decision","origin":{"source":"x","id":"2"},"system":{"action":"a","actor":"b","target":"c","outcome":"approved"},"request":{"body":"x"}}`,
		`{"type":"inference.request","origin":{"source":"x","id":"3"},"request":{"body":"x"},"prompt":{"gen_ai.input.messages":"x"}}`,
		`{"type":"inference.request","origin":{"source":"x","id":"4"},"request":{"boddy":"x"}}`,
		`{"type":"inference.request","origin":{"source":"x","id":"5"},"request":{"body":"x","body_base64":"eA=="}}`,
	} {
		if status, s := r.send(bad); status != 422 || len(s.Rejected) != 1 {
			t.Errorf("%s: %d %+v", bad, status, s)
		}
	}
}

func FuzzSplitRequest(f *testing.F) {
	f.Add("application/cloudevents-batch+json", "", []byte("["+cloudApproved+"]"))
	f.Add("application/x-ndjson", "", []byte(classic+"\n"+classic))
	f.Add("application/json", "1.0", []byte(approved))
	f.Fuzz(func(t *testing.T, media, spec string, body []byte) {
		h := http.Header{"Content-Type": {media}, "Ce-Id": {spec}}
		if spec != "" {
			h.Set("Ce-Specversion", spec)
		}
		raws, err := splitRequest(h, body)
		if err != nil {
			return
		}
		for _, raw := range raws {
			if len(raw) == 0 {
				t.Errorf("%q has an event without bytes", body)
			}
		}
	})
}

// TestImportedBytesAreTakenApart sends what is read from a provider's log, and looks at what the dialects make of it.
func TestImportedBytesAreTakenApart(t *testing.T) {
	r := newRig(t, http.NotFoundHandler(), nil)
	for _, c := range []struct{ line, model, finish string }{
		{
			`{"schemaType":"ModelInvocationLog","timestamp":"2026-11-20T10:00:00Z","region":"eu-west-1","requestId":"req-1","operation":"ConverseStream","modelId":"anthropic.claude-sonnet-4-5-20250929-v1:0",
			"input":{"inputBodyJson":{"messages":[{"role":"user","content":[{"text":"What is due?"}]}]},"inputTokenCount":10},
			"output":{"outputBodyJson":{"output":{"message":{"role":"assistant","content":[{"text":"312 euros."}]}},"stopReason":"end_turn","usage":{"inputTokens":10,"outputTokens":4}},"outputTokenCount":4}}`,
			"anthropic.claude-sonnet-4-5-20250929-v1:0", "end_turn",
		},
		{
			`{"schemaType":"ModelInvocationLog","timestamp":"2026-11-20T10:00:00Z","region":"eu-west-1","requestId":"req-2","operation":"InvokeModel","modelId":"anthropic.claude-3-haiku-20240307-v1:0",
			"input":{"inputBodyJson":{"anthropic_version":"bedrock-2023-05-31","max_tokens":10,"messages":[{"role":"user","content":"What is due?"}]},"inputTokenCount":10},
			"output":{"outputBodyJson":{"id":"msg_1","type":"message","role":"assistant","model":"claude-3-haiku-20240307","content":[{"type":"text","text":"312 euros."}],"stop_reason":"end_turn","usage":{"input_tokens":10,"output_tokens":4}},"outputTokenCount":4}}`,
			"anthropic.claude-3-haiku-20240307-v1:0", "end_turn",
		},
	} {
		reader, err := foreign.NewReader("", "")
		if err != nil {
			t.Fatal(err)
		}
		var all []steno.Submission
		err = reader.Read("x", time.Now(), strings.NewReader(strings.ReplaceAll(c.line, "\n", "")), func(rec foreign.Record) bool {
			if rec.Err != nil {
				t.Fatal(rec.Err)
			}
			all = append(all, *rec.Submission)
			return true
		})
		if err != nil || len(all) != 1 {
			t.Fatalf("%d, %v", len(all), err)
		}
		result, err := r.client().SubmitCalls(t.Context(), all...)
		if err != nil || len(result.Accepted) != 1 {
			t.Fatalf("%+v %v", result, err)
		}
		e := r.newest()
		if e.Model.Asked != c.model || e.Model.Provider != "aws.bedrock" || !e.Model.Understood || *e.Result.Usage.Input != 10 || *e.Result.Usage.Output != 4 ||
			len(e.Result.FinishReasons) != 1 || e.Result.FinishReasons[0] != c.finish || e.Result.End != steno.EndComplete || e.Origin.Kind != "independent" || !e.Imported {
			t.Errorf("it became %+v, %+v, %+v", e.Model, e.Result, e.Origin)
		}
		if b, err := steno.Join(e.Request); err != nil || !strings.Contains(string(b), "What is due?") {
			t.Errorf("the request is %s, %v", b, err)
		}
	}
}
