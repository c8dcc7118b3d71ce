package dialect

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	converse       = Call{Dialect: Bedrock, API: "converse", Operation: "chat", Model: "amazon.nova-lite-v1:0"}
	converseStream = Call{Dialect: Bedrock, API: "converse", Operation: "chat", Model: "amazon.nova-lite-v1:0", Stream: true}
	invoke         = Call{Dialect: Bedrock, API: "invoke_model", Operation: "chat", Model: "anthropic.claude-v2"}
	invokeStream   = Call{Dialect: Bedrock, API: "invoke_model", Operation: "chat", Model: "anthropic.claude-v2", Stream: true}
	invokeEmbed    = Call{Dialect: Bedrock, API: "invoke_model", Operation: "embeddings", Model: "amazon.titan-embed-text-v2:0"}
	guard          = Call{Dialect: Bedrock, API: "apply_guardrail", Operation: "moderation"}
	countBedrock   = Call{Dialect: Bedrock, API: "count_tokens", Operation: "count_tokens", Model: "anthropic.claude-v2"}
)

func init() {
	allCalls = append(allCalls, converse, invoke, invokeEmbed, guard, countBedrock, Call{Dialect: Bedrock})
	requestSeeds = append(requestSeeds, converseBody,
		`{"messages":[{"content":[{"toolResult":1},{"image":{}},{"document":{"source":{"content":[{}]}}},{"guardContent":{"text":[]}}]}],"toolConfig":{"tools":[{"toolSpec":{}},{"cachePoint":{}},1]},"system":[{"cachePoint":{"type":"default"}}],"promptVariables":{"a":{"text":"b"}}}`)
}

func TestBedrockPaths(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         Call
	}{
		{"POST", "/model/amazon.nova-lite-v1%3A0/converse", converse},
		{"post", "/model/amazon.nova-lite-v1:0/converse-stream?x=y", converseStream},
		{"POST", "/model/anthropic.claude-v2/invoke", invoke},
		{"POST", "/model/anthropic.claude-v2/invoke-with-response-stream", invokeStream},
		{"POST", "/model/amazon.titan-embed-text-v2%3A0/invoke", invokeEmbed},
		{"POST", "/model/anthropic.claude-v2/count-tokens", countBedrock},
		{"POST", "/guardrail/abc/version/DRAFT/apply", guard},
		{
			"POST", "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A012345678901%3Ainference-profile%2Fus.meta.llama3-1-70b-instruct-v1%3A0/invoke",
			Call{Dialect: Bedrock, API: "invoke_model", Operation: "text_completion", Model: "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.meta.llama3-1-70b-instruct-v1:0"},
		},
		{"POST", "/model/a%zz/converse", Call{Dialect: Bedrock, API: "converse", Operation: "chat", Model: "a%zz"}},
		{"POST", "/model/stability.sd3-5-large-v1:0/invoke", Call{Dialect: Bedrock, API: "invoke_model", Operation: "generate_content", Model: "stability.sd3-5-large-v1:0"}},
		{"GET", "/model/amazon.nova-lite-v1%3A0/converse", Call{Dialect: Bedrock}},
		{"POST", "/model/m/invoke-with-bidirectional-stream", Call{Dialect: Bedrock, Model: "m"}},
		{"POST", "/guardrail/abc", Call{Dialect: Bedrock}},
		{"POST", "/async-invoke", Call{Dialect: Bedrock}},
	} {
		if got := RouteAs(Bedrock, c.method, c.path); got != c.want {
			t.Errorf("%s %s is %+v, want %+v", c.method, c.path, got, c.want)
		}
		if got, ok := Route(c.method, c.path, http.Header{"Anthropic-Version": {"2023-06-01"}}); strings.HasPrefix(c.path, "/model/") && (!ok || got != c.want) {
			t.Errorf("%s %s alone is %+v, %v", c.method, c.path, got, ok)
		}
	}
}

const converseBody = `{"system":[{"text":"Be brief."},{"cachePoint":{"type":"default"}}],"messages":[{"role":"user","content":[{"text":"what is it?"},{"image":{"format":"png","source":{"bytes":"QUJDRA=="}}},{"document":{"format":"txt","name":"rules","source":{"text":"no running"}}},{"guardContent":{"text":{"text":"guard this","qualifiers":["query"]}}}]},` +
	`{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"AA"}}},{"toolUse":{"toolUseId":"t1","name":"look","input":{"q":1}}}]},` +
	`{"role":"user","content":[{"toolResult":{"toolUseId":"t1","status":"success","content":[{"json":{"results":[{"id":"d1","title":"D","text":"found","score":0.5}]}},{"text":"done"}]}}]}],` +
	`"toolConfig":{"tools":[{"toolSpec":{"name":"look","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}],"toolChoice":{"auto":{}}},"inferenceConfig":{"maxTokens":9},"guardrailConfig":{"guardrailIdentifier":"g1"},"requestMetadata":{"team":"tax"},"promptVariables":{"name":{"text":"Ada Lovelace"}}}`

func TestConverseRequest(t *testing.T) {
	r := parse(t, converseStream, converseBody)
	if !r.Understood || r.Problem != "" || r.Model.Asked != "amazon.nova-lite-v1:0" || !r.Model.Stream || r.Prompt.Messages != 3 || r.Prompt.New != 1 {
		t.Errorf("%+v %+v", r.Model, r.Prompt)
	}
	equal(t, "tools", strings.Join(r.Prompt.Tools, " "), "look")
	equal(t, "texts", words([]byte(converseBody), r.Texts), `
system false Be brief.
user false what is it?
document false no running
user false guard this
assistant false hm
assistant false {"q":1}
tool true {"results":[{"id":"d1","title":"D","text":"found","score":0.5}]}
tool true done
system false {"tools":[{"toolSpec":{"name":"look","inputSchema":{"json":{"type":"object"}}}},{"cachePoint":{"type":"default"}}],"toolChoice":{"auto":{}}}
user true {"guardrailIdentifier":"g1"}
user true Ada Lovelace`)
	equal(t, "documents", asJSON(r.Documents), `[{"title":"rules","origin":"document"},{"id":"d1","title":"D","score":0.5,"origin":"tool_message"}]`)
	var kinds []string
	for _, p := range r.Pieces {
		kinds = append(kinds, p.Kind.String())
	}
	equal(t, "pieces", strings.Join(kinds, " "), "system system history history tool_result tool_definition mark frame input")
	for _, name := range []string{"inferenceConfig", "guardrailConfig", "requestMetadata"} {
		if r.Model.Parameters[name] == nil {
			t.Errorf("%s is no parameter", name)
		}
	}
	if len(r.Model.Parameters) != 3 {
		t.Errorf("parameters: %s", asJSON(r.Model.Parameters))
	}
	equal(t, "transcript", scriptOf(converse.Transcript([]byte(converseBody), nil, "")), `
tools old 
  tool_definition look {"toolSpec":{"name":"look","inputSchema":{"json":{"type":"object"}}}}
  tool_definition {"cachePoint":{"type":"default"}}
system old 
  system Be brief.
user old 
  history what is it?
  history image/png, 4 bytes
  context no running [rules]
  history guard this
assistant old 
  reasoning hm
  tool_call look t1 {"q":1}
tool new lookt1
  tool_result t1 {"results":[{"id":"d1","title":"D","text":"found","score":0.5}]}
  tool_result t1 done
user new 
  input Ada Lovelace`)
}

// A cache point goes on with the conversation; what was said before stays the piece that it was.
func TestCachePointsMove(t *testing.T) {
	one := parse(t, converse, `{"messages":[{"role":"user","content":[{"text":"one"},{"cachePoint":{"type":"default"}}]}]}`)
	two := parse(t, converse, `{"messages":[{"role":"user","content":[{"text":"one"}]},{"role":"assistant","content":[{"text":"a"}]},{"role":"user","content":[{"text":"two"}, {"cachePoint":{"type":"default"}}]}]}`)
	if string(one.Pieces[0].Bytes) != string(two.Pieces[0].Bytes) {
		t.Errorf("with a cache point %q, without %q", one.Pieces[0].Bytes, two.Pieces[0].Bytes)
	}
}

func TestInvokeRequests(t *testing.T) {
	for _, c := range []struct {
		body, texts string
		messages    int
	}{
		{`{"inputText":"a joke","textGenerationConfig":{"maxTokenCount":5}}`, "user true a joke", 1},
		{`{"prompt":"a joke","max_gen_len":5}`, "user true a joke", 1},
		{`{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[{"role":"user","content":"a joke"}]}`, "user true a joke", 1},
		{`{"schemaVersion":"messages-v1","messages":[{"role":"user","content":[{"text":"a joke"}]}],"system":[{"text":"be kind"}]}`, "user true a joke\nsystem true be kind", 1},
		{`{"taskType":"TEXT_IMAGE","textToImageParams":{"text":"a cat in a tree"}}`, "user true a cat in a tree", 0},
	} {
		r := parse(t, invoke, c.body)
		if !r.Understood || r.Prompt.Messages != c.messages || r.Model.Asked != "anthropic.claude-v2" {
			t.Errorf("%s: %+v", c.body, r.Prompt)
		}
		equal(t, c.body, words([]byte(c.body), r.Texts), c.texts)
	}
}

func TestConverseAnswers(t *testing.T) {
	for _, c := range []struct {
		name, body string
		call       Call
		header     http.Header
		words      []string
		want       Response
	}{
		{
			name: "converse with reasoning, a tool, a citation, caches, a router and a tier", call: converse,
			header: http.Header{"X-Amzn-Requestid": {"r1"}},
			body:   `{"metrics":{"latencyMs":361},"output":{"message":{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"hm","signature":"AA"}}},{"citationsContent":{"content":[{"text":"It says so."}],"citations":[{"title":"Rules","source":"s3://b/rules.pdf","location":{"documentPage":{"documentIndex":0,"start":1,"end":2}}}]}},{"toolUse":{"toolUseId":"t1","name":"look","input":{"q":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":10,"outputTokens":5,"totalTokens":118,"cacheReadInputTokens":100,"cacheWriteInputTokens":3},"trace":{"promptRouter":{"invokedModelId":"arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"}},"serviceTier":{"type":"priority"}}`,
			words:  []string{"output hm", "output It says so.", `output {"q":1}`},
			want: Response{
				Result: steno.Result{
					RequestID: "r1", End: steno.EndComplete, FinishReasons: []string{"tool_use"}, Usage: reported(113, 5, 100, 3, -1, 118),
					ToolCalls: []steno.ToolCall{{ID: "t1", Name: "look", Type: "function"}},
				},
				Model:     steno.Model{Answered: "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", ServiceTier: "priority"},
				Documents: []steno.Document{{ID: "s3://b/rules.pdf", Title: "Rules", Origin: "citation"}},
			},
		},
		{
			name: "converse, where a guardrail intervened", call: converse,
			body:  `{"output":{"message":{"role":"assistant","content":[{"text":"Blocked."}]}},"stopReason":"guardrail_intervened","usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0},"trace":{"guardrail":{"inputAssessment":{"g1":{"topicPolicy":{"topics":[{"name":"tax advice","type":"DENY","action":"BLOCKED"}]},"contentPolicy":{"filters":[{"type":"PROMPT_ATTACK","confidence":"MEDIUM","action":"NONE","detected":true},{"type":"HATE","confidence":"LOW","action":"NONE","detected":false}]},"wordPolicy":{"customWords":[{"match":"quote me not","action":"BLOCKED"}],"managedWordLists":[{"match":"quote me not","type":"PROFANITY","action":"BLOCKED"}]}}},"outputAssessments":{"g1":[{"sensitiveInformationPolicy":{"piiEntities":[{"type":"EMAIL","match":"quote me not","action":"ANONYMIZED"},{"type":"EMAIL","match":"nor me","action":"ANONYMIZED"}]},"contextualGroundingPolicy":{"filters":[{"type":"GROUNDING","threshold":0.7,"score":0.9,"action":"NONE"},{"type":"RELEVANCE","threshold":0.7,"score":0.1,"action":"BLOCKED"}]}}]}}}}`,
			words: []string{"output Blocked."},
			want: Response{
				Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"guardrail_intervened"}, Refusal: true, Usage: reported(0, 0, -1, -1, -1, 0)},
				Findings: []steno.Finding{
					{Flag: "refusal", Rule: "guardrail_intervened", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
					{Flag: "other", Rule: "guardrail/topic/tax advice", Source: "bedrock", Direction: "in", Score: 1, Action: "record"},
					{Flag: "jailbreak", Rule: "guardrail/content/PROMPT_ATTACK/MEDIUM", Source: "bedrock", Direction: "in", Score: 0.6, Action: "record"},
					{Flag: "harmful", Rule: "guardrail/word", Source: "bedrock", Direction: "in", Score: 1, Action: "record"},
					{Flag: "harmful", Rule: "guardrail/word/PROFANITY", Source: "bedrock", Direction: "in", Score: 1, Action: "record"},
					{Flag: "personal_data", Rule: "guardrail/pii/EMAIL", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
					{Flag: "other", Rule: "guardrail/grounding/RELEVANCE", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
				},
			},
		},
		{
			name: "a guardrail alone", call: guard,
			body:  `{"usage":{"topicPolicyUnits":1},"action":"GUARDRAIL_INTERVENED","outputs":[{"text":"Sorry."}],"assessments":[{"sensitiveInformationPolicy":{"regexes":[{"name":"account","match":"12","regex":"\\d+","action":"BLOCKED"}]}}]}`,
			words: []string{"output Sorry."},
			want: Response{
				Result: steno.Result{End: steno.EndComplete, Refusal: true},
				Findings: []steno.Finding{
					{Flag: "personal_data", Rule: "guardrail/regex/account", Source: "bedrock", Direction: "in", Score: 1, Action: "record"},
					{Flag: "refusal", Rule: "guardrail_intervened", Source: "bedrock", Direction: "in", Score: 1, Action: "record"},
				},
			},
		},
		{name: "count of tokens", call: countBedrock, body: `{"inputTokens":7}`, want: Response{Result: steno.Result{End: steno.EndComplete}}},
		{
			name: "anthropic", call: invoke,
			body:  `{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-2.0","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":4,"cache_creation_input_tokens":9,"output_tokens":2}}`,
			words: []string{"output Hi"},
			want: Response{
				Result: steno.Result{ID: "msg_bdrk_1", End: steno.EndComplete, FinishReasons: []string{"end_turn"}, Usage: reported(13, 2, -1, 9, -1, -1)},
				Model:  steno.Model{Answered: "claude-2.0"},
			},
		},
		{
			name: "titan, where a guardrail masked", call: invoke,
			body:  `{"inputTextTokenCount":28.0,"results":[{"tokenCount":7.0,"outputText":"{Account}","completionReason":"FINISH"}],"amazon-bedrock-trace":{"guardrail":{"modelOutput":["12"],"outputs":[{"g1":{"sensitiveInformationPolicy":{"regexes":[{"name":"Account","match":"12","action":"ANONYMIZED"}]}}}]}},"amazon-bedrock-guardrailAction":"INTERVENED"}`,
			words: []string{"output {Account}"},
			want: Response{
				Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"FINISH"}, Refusal: true, Usage: reported(28, 7, -1, -1, -1, -1)},
				Findings: []steno.Finding{
					{Flag: "personal_data", Rule: "guardrail/regex/Account", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
					{Flag: "refusal", Rule: "guardrail_intervened", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
				},
			},
		},
		{
			name: "mistral, with usage in headers", call: invoke,
			header: http.Header{"X-Amzn-Bedrock-Input-Token-Count": {"5"}, "X-Amzn-Bedrock-Output-Token-Count": {"11"}, "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": {"2"}, "X-Amzn-Bedrock-Service-Tier": {"flex"}},
			body:   `{"outputs":[{"text":"a","stop_reason":"stop"},{"text":"b","stop_reason":"length"}]}`,
			words:  []string{"output a", "output b"},
			want: Response{
				Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop", "length"}, Usage: reported(7, 11, 2, -1, -1, -1)},
				Model:  steno.Model{ServiceTier: "flex"},
			},
		},
		{
			name: "llama", call: invoke, body: `{"generation":"Hi","prompt_token_count":5,"generation_token_count":1,"stop_reason":"stop"}`, words: []string{"output Hi"},
			want: Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(5, 1, -1, -1, -1, -1)}},
		},
		{
			name: "cohere's chat", call: invoke,
			body:  `{"response_id":"c1","generation_id":"g1","text":"Hi","finish_reason":"COMPLETE","tool_calls":[{"name":"look","parameters":{"q":1}}],"citations":[{"start":0,"end":2,"text":"Hi","document_ids":["doc_0"]}]}`,
			words: []string{"output Hi", `output {"q":1}`},
			want: Response{
				Result:    steno.Result{ID: "c1", End: steno.EndComplete, FinishReasons: []string{"COMPLETE"}, Usage: &steno.Usage{Source: "absent"}, ToolCalls: []steno.ToolCall{{Name: "look", Type: "function"}}},
				Documents: []steno.Document{{ID: "doc_0", Origin: "citation"}},
			},
		},
		{
			name: "cohere's generations", call: invoke, body: `{"id":"c1","generations":[{"id":"x","text":"Hi","finish_reason":"ERROR_TOXIC"}],"prompt":"p"}`, words: []string{"output Hi"},
			want: Response{
				Result:   steno.Result{ID: "c1", End: steno.EndComplete, FinishReasons: []string{"ERROR_TOXIC"}, Refusal: true, Usage: &steno.Usage{Source: "absent"}},
				Findings: []steno.Finding{{Flag: "refusal", Rule: "ERROR_TOXIC", Source: "bedrock", Direction: "out", Score: 1, Action: "record"}},
			},
		},
		{
			name: "jurassic", call: invoke, body: `{"id":1234,"prompt":{"text":"p","tokens":[]},"completions":[{"data":{"text":"Hi","tokens":[]},"finishReason":{"reason":"endoftext"}}]}`, words: []string{"output Hi"},
			want: Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"endoftext"}, Usage: &steno.Usage{Source: "absent"}}},
		},
		{
			name: "jamba", call: invoke,
			body:  `{"id":"j1","model":"jamba-1.5-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}}`,
			words: []string{"output Hi"},
			want: Response{
				Result: steno.Result{ID: "j1", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(5, 1, -1, -1, -1, 6)},
				Model:  steno.Model{Answered: "jamba-1.5-mini"},
			},
		},
		{
			name: "deepseek", call: invoke, body: `{"choices":[{"text":"Hi","stop_reason":"stop"}]}`, words: []string{"output Hi"},
			want: Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: &steno.Usage{Source: "absent"}}},
		},
		{
			name: "titan's vectors", call: invokeEmbed, body: `{"embedding":[0.1,0.2],"inputTextTokenCount":3,"embeddingsByType":{"float":[0.1,0.2]}}`,
			want: Response{Result: steno.Result{End: steno.EndComplete, Usage: reported(3)}},
		},
		{
			name: "cohere's vectors", call: invokeEmbed, body: `{"id":"e1","embeddings":[[0.1,0.2]],"texts":["t"],"response_type":"embeddings_floats"}`,
			header: http.Header{"X-Amzn-Bedrock-Input-Token-Count": {"4"}},
			want:   Response{Result: steno.Result{End: steno.EndComplete, Usage: reported(4)}},
		},
		{
			name: "pictures", call: invoke, body: `{"images":["QUJDRA=="],"seeds":[1],"finish_reasons":[null]}`,
			want: Response{Result: steno.Result{End: steno.EndComplete, Usage: &steno.Usage{Source: "absent"}}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := c.header.Clone()
			if h == nil {
				h = http.Header{}
			}
			h.Set("Content-Type", "application/json")
			got := c.call.ParseResponse(200, h, []byte(c.body), false)
			if !got.Understood || got.Problem != "" {
				t.Errorf("not understood: %q", got.Problem)
			}
			compareAnswer(t, got, &c.want, c.words, c.body)
		})
	}
}

// compareAnswer compares the facts of a whole answer of status 200.
func compareAnswer(t *testing.T, got, want *Response, words []string, body string) {
	t.Helper()
	equal(t, "words", strings.Join(said([]byte(body), got.Texts), "|"), strings.Join(words, "|"))
	w := *want
	w.Result.Status, w.Result.Bytes = 200, int64(len(body))
	for _, f := range []struct{ got, want any }{
		{got.Result, w.Result}, {got.Model, w.Model}, {got.Documents, w.Documents}, {got.Findings, w.Findings},
	} {
		if !reflect.DeepEqual(f.got, f.want) {
			t.Errorf("facts differ:\n%s\nwant\n%s", asJSON(f.got), asJSON(f.want))
		}
	}
}

const metrics = `"amazon-bedrock-invocationMetrics":{"inputTokenCount":5,"outputTokenCount":2,"invocationLatency":9,"firstByteLatency":1}`

// bedrockStreams are whole streams; the last of the lines is what must be held back.
var bedrockStreams = []struct {
	name  string
	call  Call
	lines []string
	words []string
	want  Response
}{
	{
		name: "converse with reasoning, a tool and a citation", call: converseStream,
		lines: []string{
			`messageStart|{"p":"abc","role":"assistant"}`,
			`contentBlockDelta|{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"let me "}}}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"see"}}}`,
			`contentBlockDelta|{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"AAAA"}}}`, `contentBlockStop|{"contentBlockIndex":0}`,
			`contentBlockDelta|{"contentBlockIndex":1,"delta":{"text":"It \"is"}}`, `contentBlockDelta|{"contentBlockIndex":1,"delta":{"text":"\" so"}}`,
			`contentBlockDelta|{"contentBlockIndex":1,"delta":{"citation":{"title":"Rules","location":{"web":{"url":"https://a.example"}}}}}`,
			`contentBlockStart|{"contentBlockIndex":2,"start":{"toolUse":{"name":"look","toolUseId":"t1"}}}`,
			`contentBlockDelta|{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{\"q\""}}}`, `contentBlockDelta|{"contentBlockIndex":2,"delta":{"toolUse":{"input":":1}"}}}`,
			`messageStop|{"stopReason":"tool_use"}`,
			`metadata|{"metrics":{"latencyMs":9},"usage":{"inputTokens":10,"outputTokens":5,"totalTokens":115,"cacheReadInputTokens":100,"cacheWriteInputTokens":0},"serviceTier":{"type":"default"}}`,
		},
		words: []string{"output let me see", `output It "is" so`, `output {"q":1}`},
		want: Response{
			Result: steno.Result{
				End: steno.EndComplete, FinishReasons: []string{"tool_use"}, Usage: reported(110, 5, 100, 0, -1, 115),
				ToolCalls: []steno.ToolCall{{ID: "t1", Name: "look", Type: "function"}},
			},
			Model:     steno.Model{ServiceTier: "default"},
			Documents: []steno.Document{{ID: "https://a.example", Title: "Rules", Origin: "citation"}},
		},
	},
	{
		name: "converse that was filtered", call: converseStream,
		lines: []string{
			`messageStart|{"role":"assistant"}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"No."}}`, `messageStop|{"stopReason":"content_filtered"}`,
			`metadata|{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3},"trace":{"guardrail":{"outputAssessments":{"g":[{"contentPolicy":{"filters":[{"type":"VIOLENCE","confidence":"HIGH","action":"BLOCKED"}]}}]}}}}`,
		},
		words: []string{"output No."},
		want: Response{
			Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"content_filtered"}, Refusal: true, Usage: reported(1, 2, -1, -1, -1, 3)},
			Findings: []steno.Finding{
				{Flag: "refusal", Rule: "content_filtered", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
				{Flag: "violence", Rule: "guardrail/content/VIOLENCE/HIGH", Source: "bedrock", Direction: "out", Score: 1, Action: "record"},
			},
		},
	},
	{
		name: "converse with an exception in it", call: converseStream,
		lines: []string{`messageStart|{"role":"assistant"}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"Hi"}}`, `!throttlingException|{"message":"too fast"}`},
		words: []string{"output Hi"},
		want:  Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "throttlingException", Usage: &steno.Usage{Source: "partial"}}},
	},
	{
		name: "anthropic", call: invokeStream,
		lines: []string{
			`{"type":"message_start","message":{"id":"m1","model":"claude-2.0","content":[],"usage":{"input_tokens":5,"output_tokens":1}}}`,
			`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":3}}`, `{"type":"message_stop",` + metrics + `}`,
		},
		words: []string{"output Hi"},
		want: Response{
			Result: steno.Result{ID: "m1", End: steno.EndComplete, FinishReasons: []string{"end_turn"}, Usage: reported(5, 3, -1, -1, -1, -1)},
			Model:  steno.Model{Answered: "claude-2.0"},
		},
	},
	{
		name: "anthropic's completions", call: invokeStream,
		lines: []string{`{"type":"completion","completion":"Hi","stop_reason":null}`, `{"type":"completion","completion":"!","stop_reason":"stop_sequence",` + metrics + `}`},
		words: []string{"output Hi!"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop_sequence"}, Usage: reported(5, 2, -1, -1, -1, -1)}},
	},
	{
		name: "nova", call: invokeStream,
		lines: []string{
			`{"messageStart":{"role":"assistant"}}`, `{"contentBlockDelta":{"delta":{"text":"Hi"},"contentBlockIndex":0}}`, `{"messageStop":{"stopReason":"end_turn"}}`,
			`{"metadata":{"usage":{"inputTokens":5,"outputTokens":2,"cacheReadInputTokenCount":1,"cacheWriteInputTokenCount":0}},` + metrics + `}`,
		},
		words: []string{"output Hi"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"end_turn"}, Usage: reported(6, 2, 1, 0, -1, -1)}},
	},
	{
		name: "titan", call: invokeStream,
		lines: []string{`{"outputText":"Hi","index":0,"inputTextTokenCount":5}`, `{"outputText":"!","index":0,"totalOutputTextTokenCount":2,"completionReason":"FINISH",` + metrics + `}`},
		words: []string{"output Hi!"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"FINISH"}, Usage: reported(5, 2, -1, -1, -1, -1)}},
	},
	{
		name: "llama", call: invokeStream,
		lines: []string{`{"generation":"Hi","prompt_token_count":5,"generation_token_count":1,"stop_reason":null}`, `{"generation":"","prompt_token_count":null,"generation_token_count":2,"stop_reason":"stop",` + metrics + `}`},
		words: []string{"output Hi"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(5, 2, -1, -1, -1, -1)}},
	},
	{
		name: "mistral", call: invokeStream,
		lines: []string{`{"outputs":[{"text":"Hi","stop_reason":null}]}`, `{"outputs":[{"text":"!","stop_reason":"stop"}],` + metrics + `}`},
		words: []string{"output Hi!"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(5, 2, -1, -1, -1, -1)}},
	},
	{
		name: "cohere's generations", call: invokeStream,
		lines: []string{`{"text":"Hi","is_finished":false}`, `{"is_finished":true,"finish_reason":"COMPLETE",` + metrics + `}`},
		words: []string{"output Hi"},
		want:  Response{Result: steno.Result{End: steno.EndComplete, FinishReasons: []string{"COMPLETE"}, Usage: reported(5, 2, -1, -1, -1, -1)}},
	},
	{
		name: "cohere's chat", call: invokeStream,
		lines: []string{
			`{"is_finished":false,"event_type":"text-generation","text":"Hi"}`, `{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":[{"name":"look","parameters":{"q":1}}]}`,
			`{"is_finished":false,"event_type":"citation-generation","citations":[{"document_ids":["doc_0"]}]}`,
			`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"c1","text":"Hi"},` + metrics + `}`,
		},
		words: []string{"output Hi", `output {"q":1}`},
		want: Response{
			Result: steno.Result{
				ID: "c1", End: steno.EndComplete, FinishReasons: []string{"COMPLETE"}, Usage: reported(5, 2, -1, -1, -1, -1),
				ToolCalls: []steno.ToolCall{{Name: "look", Type: "function"}},
			},
			Documents: []steno.Document{{ID: "doc_0", Origin: "citation"}},
		},
	},
	{
		name: "jamba and other chats like OpenAI's", call: invokeStream,
		lines: []string{
			`{"id":"j1","model":"jamba-1.5-mini","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":null}]}`,
			`{"id":"j1","choices":[{"index":0,"delta":{"content":"!"},"finish_reason":null,"stop_reason":"stop"}]}`, `{"choices":[],` + metrics + `}`,
		},
		words: []string{"output Hi!"},
		want: Response{
			Result: steno.Result{ID: "j1", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(5, 2, -1, -1, -1, -1)},
			Model:  steno.Model{Answered: "jamba-1.5-mini"},
		},
	},
}

// Whatever the network makes of a stream, its facts are the same; its last event is held back, and without it it is cut.
func TestBedrockStreams(t *testing.T) {
	for _, c := range bedrockStreams {
		t.Run(c.name, func(t *testing.T) {
			body := framesOf(c.lines...)
			held := len(framesOf(c.lines[:len(c.lines)-1]...))
			for _, size := range []int{len(body), 1, 13} {
				s := c.call.NewStream(frameHeader.Get("Content-Type"))
				release := 0
				for at := 0; at < len(body); at += size {
					if release = s.Feed([]byte(body[at:min(at+size, len(body))])); release > held {
						t.Fatalf("released %d bytes, the last event begins at %d", release, held)
					}
				}
				if release != held || !s.Finished() || !s.FirstToken() {
					t.Errorf("released %d bytes, want %d; finished %v", release, held, s.Finished())
				}
				got := s.Response(200, frameHeader)
				if got.Problem != "" || !got.Understood {
					t.Errorf("problem %q", got.Problem)
				}
				compareAnswer(t, got, &c.want, c.words, body)
			}
			for at := 0; at < len(body); at += 5 {
				r := c.call.ParseResponse(200, frameHeader, []byte(body[:at]), false)
				if r.Result.End != steno.EndUpstreamCut {
					t.Fatalf("cut at %d of %d it is %s", at, len(body), r.Result.End)
				}
			}
			turns := c.call.Transcript(nil, []byte(body), frameHeader.Get("Content-Type"))
			if len(turns) != 1 || turns[0].Role != "assistant" {
				t.Errorf("transcript: %+v", turns)
			}
		})
	}
}

func TestBedrockErrors(t *testing.T) {
	h := http.Header{"Content-Type": {"application/json"}, "X-Amzn-Errortype": {"ValidationException:http://internal.example/"}, "X-Amzn-Requestid": {"r1"}}
	for _, c := range []Call{converse, converseStream, invoke, invokeStream, guard, countBedrock} {
		r := c.ParseResponse(400, h, []byte(`{"message":"The provided model identifier is invalid."}`), false)
		if !r.Understood || r.Result.End != steno.EndProviderError || r.Result.ErrorType != "ValidationException" || r.Result.RequestID != "r1" {
			t.Errorf("%s: %+v %q", c.API, r.Result, r.Problem)
		}
	}
	r := converse.ParseResponse(403, plainJSON, []byte(`{"__type":"com.amazon.coral.service#AccessDeniedException","Message":"no"}`), false)
	if r.Result.ErrorType != "AccessDeniedException" {
		t.Errorf("%+v", r.Result)
	}
	if r := converse.ParseResponse(500, plainJSON, []byte(`{"message":"no"}`), false); r.Result.ErrorType != "500" {
		t.Errorf("%+v", r.Result)
	}
	for status, want := range map[int]string{
		400: "ValidationException", 401: "AccessDeniedException", 403: "AccessDeniedException", 404: "ResourceNotFoundException", 413: "ValidationException",
		429: "ThrottlingException", 500: "InternalServerException", 503: "ServiceUnavailableException", 504: "ModelTimeoutException",
	} {
		if name, value := converse.ErrorHeader(status); name != "x-amzn-errortype" || value != want {
			t.Errorf("%d: %s: %s, want %s", status, name, value, want)
		}
		equal(t, "body", string(converse.Error(status, "code", "because")), `{"message":"because"}`)
	}
	if name, _ := chat.ErrorHeader(400); name != "" {
		t.Errorf("OpenAI's errors have a header %s", name)
	}
}
