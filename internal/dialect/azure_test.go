package dialect

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	azureChat  = Call{Dialect: Azure, API: "chat_completions", Operation: "chat", Model: "our-gpt"}
	azureResps = Call{Dialect: Azure, API: "responses", Operation: "chat"}
)

func azureFinding(flag steno.Flag, rule, direction string, score float64) steno.Finding {
	return steno.Finding{Flag: flag, Rule: rule, Source: "azure", Version: "gpt-4o-2024-08-06", Direction: direction, Score: score, Action: "record"}
}

func init() {
	allCalls = append(allCalls, azureChat, azureResps, Call{Dialect: Azure}, Call{Dialect: Azure, API: "images", Operation: "image_generation", Model: "d"}, Call{Dialect: Azure, API: "messages", Operation: "chat"})
	requestSeeds = append(requestSeeds,
		`{"messages":[{"role":"user","content":"q"}],"data_sources":[{"type":"azure_search","parameters":{"endpoint":"e","authentication":{"type":"api_key","key":"k"}}}]}`,
		`{"choices":[{"message":{"content":"a","context":{"citations":[{"content":"c","url":"u","rerank_score":"x"},1]}},"content_filter_results":{"custom_blocklists":[{"filtered":true,"id":"l"}],"error":1,"hate":{"severity":"low"}}}],"prompt_filter_results":[{"content_filter_results":[1]}]}`,
	)
	s := streams[0]
	s.name, s.call, s.held = "azure with a filter, prompt first, verdicts last", azureChat, `data: {"id":"","model":"","choices":[{"index":0,"finish_reason":null`
	s.body = events(
		`{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"jailbreak":{"filtered":false,"detected":true},"violence":{"filtered":false,"severity":"low"}}}]}`,
		`{"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"role":"assistant","context":{"citations":[{"content":"found words","title":"Leave","url":"https://d.example/1","chunk_id":"4","rerank_score":2.5}],"intent":"[\"leave\"]"}},"finish_reason":null}]}`,
		`{"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"30 days"},"finish_reason":null,"content_filter_results":{}}]}`,
		`{"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{},"finish_reason":"stop","content_filter_results":{}}]}`,
		`{"id":"","model":"","choices":[{"index":0,"finish_reason":null,"content_filter_results":{"protected_material_code":{"filtered":false,"detected":true,"citation":{"URL":"https://g.example/r","license":"MIT"}},"sexual":{"filtered":false,"severity":"safe"}},"content_filter_offsets":{"check_offset":10,"start_offset":10,"end_offset":17}}]}`,
		`[DONE]`)
	s.words = []string{"document found words", "output 30 days"}
	s.want = Response{
		Result: steno.Result{ID: "c", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: &steno.Usage{Source: "absent"}},
		Model:  steno.Model{Answered: "gpt-4o-2024-08-06", Version: "gpt-4o-2024-08-06", VersionSource: "response.model"},
		Documents: []steno.Document{
			{ID: "https://d.example/1", Title: "Leave", Chunk: "4", Score: ptr(2.5), Origin: "citation"}, {ID: "https://g.example/r", Title: "MIT", Origin: "citation"},
		},
		Findings: []steno.Finding{
			azureFinding("jailbreak", "content_filter/jailbreak", "in", 1), azureFinding("violence", "content_filter/violence/low", "in", 0.3),
			azureFinding("copyright", "content_filter/protected_material_code", "out", 1),
		},
	}
	streams = append(streams, s)
}

func TestAzureFilter(t *testing.T) {
	in := func(flag steno.Flag, rule string, score float64) steno.Finding {
		f := azureFinding(flag, rule, "in", score)
		f.Version = ""
		return f
	}
	out := func(flag steno.Flag, rule string, score float64) steno.Finding {
		f := in(flag, rule, score)
		f.Direction = "out"
		return f
	}
	const custom = `{"custom_blocklists":{"filtered":true,"details":[{"filtered":true,"id":"rivals"},{"filtered":false,"id":"names"}]},"custom_topics":{"filtered":false},"hate":{"filtered":true,"severity":"high"},"indirect_attack":{"filtered":false,"detected":true},"profanity":{"filtered":true,"detected":true}}`
	verdicts := func(of func(steno.Flag, string, float64) steno.Finding) []steno.Finding {
		return []steno.Finding{
			of("other", "content_filter/custom_blocklists/rivals", 1), of("hate", "content_filter/hate/high", 1),
			of("injection", "content_filter/indirect_attack", 1), of("harmful", "content_filter/profanity", 1),
		}
	}
	for _, c := range []struct {
		name, body, typ string
		call            Call
		status          int
		refusal         bool
		want            []steno.Finding
	}{
		{
			name: "a prompt that is not answered", call: azureChat, status: 400, typ: "content_filter", refusal: true,
			body: `{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":` + custom + `}}}`,
			want: append(verdicts(in), in("refusal", "content_filter", 1)),
		},
		{
			name: "a prompt of Responses that is not answered", call: azureResps, status: 400, typ: "content_filter", refusal: true,
			body: `{"error":{"message":"filtered","type":"invalid_request_error","param":"prompt","code":"content_filter","content_filters":[{"blocked":true,"source_type":"prompt","content_filter_results":{"jailbreak":{"filtered":true,"detected":true}}}]}}`,
			want: []steno.Finding{in("refusal", "content_filter", 1), in("jailbreak", "content_filter/jailbreak", 1)},
		},
		{
			name: "an answer of Responses", call: azureResps, status: 200,
			body: `{"id":"resp_1","object":"response","status":"completed","error":null,"output":[],"content_filters":[{"blocked":false,"source_type":"prompt","content_filter_results":{"jailbreak":{"filtered":false,"detected":false}}},{"blocked":false,"source_type":"completion","content_filter_results":{"self_harm":{"filtered":false,"severity":"medium"}}}]}`,
			want: []steno.Finding{out("self_harm", "content_filter/self_harm/medium", 0.6)},
		},
		{
			name: "an answer that is held back", call: azureChat, status: 200, refusal: true,
			body: `{"id":"c","choices":[{"index":0,"finish_reason":"content_filter","message":{"role":"assistant"},"content_filter_results":` + custom + `}],"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"custom_blocklists":[{"filtered":true,"id":"old"}]}}]}`,
			want: append(append([]steno.Finding{in("other", "content_filter/custom_blocklists/old", 1)}, out("refusal", "content_filter", 1)), verdicts(out)...),
		},
		{
			name: "a filter that did not work", call: azureChat, status: 200,
			body: `{"id":"c","choices":[{"index":0,"finish_reason":"stop","message":{"content":"a"},"content_filter_results":{"error":{"code":"content_filter_error","message":"The contents are not filtered"}}}]}`,
			want: []steno.Finding{out("other", "content_filter/not_done", 0)},
		},
		{
			name: "an image", call: Call{Dialect: Azure, API: "images", Operation: "image_generation"}, status: 200,
			body: `{"created":1,"data":[{"url":"https://i.example","revised_prompt":"a cat","content_filter_results":{"sexual":{"filtered":false,"severity":"low"}},"prompt_filter_results":{"profanity":{"filtered":false,"detected":true}}}]}`,
			want: []steno.Finding{in("harmful", "content_filter/profanity", 1), out("sexual", "content_filter/sexual/low", 0.3)},
		},
		{
			name: "an image that is not made", call: Call{Dialect: Azure, API: "images", Operation: "image_generation"}, status: 400, typ: "contentFilter", refusal: true,
			body: `{"error":{"code":"contentFilter","message":"Your task failed","inner_error":{"content_filter_results":{"violence":{"filtered":true,"severity":"high"}}}}}`,
			want: []steno.Finding{in("violence", "content_filter/violence/high", 1), in("refusal", "content_filter", 1)},
		},
		{name: "a wrong key", call: azureChat, status: 401, typ: "401", body: `{"error":{"code":"401","message":"Access denied due to invalid subscription key."}}`},
		{name: "no such deployment", call: azureChat, status: 404, typ: "DeploymentNotFound", body: `{"error":{"code":"DeploymentNotFound","message":"no"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.call.ParseResponse(c.status, plainJSON, []byte(c.body), false)
			if !r.Understood || r.Result.Refusal != c.refusal || r.Result.ErrorType != c.typ || !reflect.DeepEqual(r.Findings, c.want) {
				t.Errorf("%q %s\n%s\nwant\n%s", r.Problem, asJSON(r.Result), asJSON(r.Findings), asJSON(c.want))
			}
		})
	}
}

func TestAzureCalls(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Call
	}{
		{"POST", "/openai/deployments/our-gpt/chat/completions?api-version=2024-10-21", azureChat},
		{"POST", "/openai/deployments/our-gpt/extensions/chat/completions", azureChat},
		{"POST", "/openai/deployments/vec/embeddings", Call{Dialect: Azure, API: "embeddings", Operation: "embeddings", Model: "vec"}},
		{"POST", "/openai/deployments/w/audio/transcriptions", Call{Dialect: Azure, API: "transcriptions", Operation: "transcription", Model: "w"}},
		{"POST", "/openai/v1/chat/completions", Call{Dialect: Azure, API: "chat_completions", Operation: "chat"}},
		{"POST", "/openai/v1/responses?api-version=preview", azureResps},
		{"POST", "/openai/responses?api-version=2025-04-01-preview", azureResps},
		{"GET", "/openai/models", Call{Dialect: Azure, API: "models", Operation: "models"}},
		{"POST", "/models/chat/completions?api-version=2024-05-01-preview", Call{Dialect: Azure, API: "chat_completions", Operation: "chat"}},
		{"GET", "/models/info", Call{Dialect: Azure, API: "models", Operation: "models"}},
		{"POST", "/anthropic/v1/messages", Call{Dialect: Azure, API: "messages", Operation: "chat"}},
		{"POST", "/openai/deployments/our-gpt", Call{Dialect: Azure, Model: "our-gpt"}},
		{"POST", "/language/:analyze-text", Call{Dialect: Azure}},
	} {
		if got := RouteAs(Azure, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
	}
	claude := RouteAs(Azure, "POST", "/anthropic/v1/messages").ParseResponse(200, plainJSON,
		[]byte(`{"id":"m","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2}}`), false)
	if !claude.Understood || !reflect.DeepEqual(claude.Result.Usage, reported(1, 2, -1, -1, -1, -1)) {
		t.Errorf("%q %s", claude.Problem, asJSON(claude.Result))
	}
	info := RouteAs(Azure, "GET", "/models/info").ParseResponse(200, plainJSON, []byte(`{"model_name":"Phi-4","model_type":"chat-completion"}`), false)
	if !info.Understood {
		t.Errorf("%q", info.Problem)
	}
	if r := azureChat.ParseResponse(200, http.Header{"Apim-Request-Id": {"a1"}}, []byte(`{"choices":[]}`), false); r.Result.RequestID != "a1" {
		t.Errorf("request id %q", r.Result.RequestID)
	}
}

// What names the customer's own data is offered to the model as a tool is, and its key is no parameter.
func TestAzureData(t *testing.T) {
	body := `{"model":"gpt-4o","messages":[{"role":"user","content":"q"}],"data_sources":[{"type":"azure_search","parameters":{"endpoint":"https://s.example","authentication":{"type":"api_key","key":"do-not-keep"}}}],"temperature":0}`
	r := parse(t, azureChat, body)
	if r.Model.Asked != "our-gpt" || !reflect.DeepEqual(r.Prompt.Tools, []string{"azure_search"}) || strings.Contains(asJSON(r.Model), "do-not-keep") || len(r.Model.Parameters) != 1 {
		t.Errorf("%s %s", asJSON(r.Model), asJSON(r.Prompt))
	}
	equal(t, "pieces", listing(r.Pieces), `
frame {"model":"gpt-4o","messages":[
input {"role":"user","content":"q"}
tool_definition ],"data_sources":[{"type":"azure_search","parameters":{"endpoint":"https://s.example","authentication":{"type":"api_key","key":"do-not-keep"}}}]
frame ,"temperature":0}`)
}
