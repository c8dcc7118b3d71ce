package capture

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/steno-audit/steno"
)

// awsFrames makes an event stream of `name|payload` lines. A name with ! is an exception; lines without a name are chunks
// of InvokeModelWithResponseStream.
func awsFrames(lines ...string) string {
	var out []byte
	for _, l := range lines {
		name, payload, ok := strings.Cut(l, "|")
		if !ok || strings.HasPrefix(l, "{") {
			name, payload = "chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(l))+`","p":"abcdefg"}`
		}
		kind, of := "event", ":event-type"
		if n, exception := strings.CutPrefix(name, "!"); exception {
			name, kind, of = n, "exception", ":exception-type"
		}
		var h []byte
		for _, pair := range [][2]string{{of, name}, {":content-type", "application/json"}, {":message-type", kind}} {
			h = append(append(h, byte(len(pair[0]))), pair[0]...)
			h = append(binary.BigEndian.AppendUint16(append(h, 7), uint16(len(pair[1]))), pair[1]...)
		}
		f := binary.BigEndian.AppendUint32(nil, uint32(16+len(h)+len(payload)))
		f = binary.BigEndian.AppendUint32(f, uint32(len(h)))
		f = binary.BigEndian.AppendUint32(f, crc32.ChecksumIEEE(f))
		f = append(append(f, h...), payload...)
		out = append(out, binary.BigEndian.AppendUint32(f, crc32.ChecksumIEEE(f))...)
	}
	return string(out)
}

const (
	eventStream = "application/vnd.amazon.eventstream"
	novaAsk     = `{"system":[{"text":"Be brief."}],"messages":[{"role":"user","content":[{"text":"Who keeps the record?"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"look_up","inputSchema":{"json":{"type":"object"}}}}]},"guardrailConfig":{"guardrailIdentifier":"g1","guardrailVersion":"1","trace":"enabled"}}`
	novaModel   = "us.amazon.nova-lite-v1:0"
	novaPath    = "/model/us.amazon.nova-lite-v1%3A0/"
	haikuModel  = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
	haikuPath   = "/model/global.anthropic.claude-haiku-4-5-20251001-v1%3A0/"
	piiTrace    = `{"guardrail":{"outputAssessments":{"g1":[{"sensitiveInformationPolicy":{"piiEntities":[{"type":"NAME","match":"Ana","action":"ANONYMIZED"}]}}]}}}`
	metricsEnd  = `"amazon-bedrock-invocationMetrics":{"inputTokenCount":1000,"outputTokenCount":100,"invocationLatency":9,"firstByteLatency":1}`
)

func init() {
	const whole = "The answer comes whole and is held back until it is on record, so no client can leave in the middle of it."
	for key, why := range map[string]string{
		"apply_guardrail plain":         "It passes unchanged, but has neither finish nor usage nor a model that answered.",
		"apply_guardrail streamed":      "A guardrail's judgement comes at once.",
		"apply_guardrail tools":         "A guardrail calls no tool.",
		"apply_guardrail cut by client": whole,
		"apply_guardrail usage":         "What a guardrail uses is counted in units of text and not in tokens.",
		"apply_guardrail cost":          "A guardrail is priced by units of text, which the table does not have.",
		"count_tokens plain":            "It passes unchanged, but has neither finish nor usage nor a model that answered.",
		"count_tokens streamed":         "Counting tokens answers with one number.",
		"count_tokens tools":            "Nothing is generated.",
		"count_tokens cut by client":    whole,
		"count_tokens usage":            "Counting tokens uses none.",
		"count_tokens provider flags":   "Nothing is generated.",
		"count_tokens cost":             "Counting tokens is free.",
	} {
		noCell["bedrock "+key] = why
	}
	samples = append(samples, converseSamples()...)
	samples = append(samples, invokeSamples()...)
	for i := range samples {
		if s := &samples[i]; s.dialect == "bedrock" && s.status == 0 {
			s.offered = map[bool][]string{true: {"look_up"}}[strings.Contains(s.request, "look_up")]
		}
	}
}

func converseSamples() []sample {
	return []sample{
		{
			dialect: "bedrock", name: "a conversation", path: novaPath + "converse", request: novaAsk,
			answer: `{"metrics":{"latencyMs":361},"output":{"message":{"role":"assistant","content":[{"text":"{NAME} does."},{"toolUse":{"toolUseId":"t1","name":"look_up","input":{"who":"reporter"}}}]}},"stopReason":"tool_use","trace":` + piiTrace + `,"usage":{"inputTokens":1000,"outputTokens":100,"totalTokens":2100,"cacheReadInputTokens":1000,"cacheWriteInputTokens":0}}`,
			asked:  novaModel, finish: []string{"tool_use"}, said: []string{"{NAME} does.", `{"who":"reporter"}`}, tools: []string{"look_up"},
			usage: "input=2000 output=100 cache_read=1000 cache_write=0 total=2100", cost: "0.000099", flags: []string{"personal_data:guardrail/pii/NAME"},
		},
		{
			dialect: "bedrock", name: "a conversation, streamed", path: novaPath + "converse-stream", request: novaAsk, contentType: eventStream,
			answer: awsFrames(`messageStart|{"p":"abc","role":"assistant"}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"{NAME} "}}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"does."}}`,
				`contentBlockStop|{"contentBlockIndex":0}`, `contentBlockStart|{"contentBlockIndex":1,"start":{"toolUse":{"name":"look_up","toolUseId":"t1"}}}`, `contentBlockDelta|{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{\"who\":"}}}`,
				`contentBlockDelta|{"contentBlockIndex":1,"delta":{"toolUse":{"input":"1}"}}}`, `contentBlockStop|{"contentBlockIndex":1}`, `messageStop|{"stopReason":"tool_use"}`,
				`metadata|{"metrics":{"latencyMs":9},"trace":`+piiTrace+`,"usage":{"inputTokens":1000,"outputTokens":100,"totalTokens":1100}}`),
			asked: novaModel, finish: []string{"tool_use"}, said: []string{"{NAME} does.", `{"who":1}`}, tools: []string{"look_up"},
			usage: "input=1000 output=100 total=1100", cost: "0.000084", flags: []string{"personal_data:guardrail/pii/NAME"},
		},
		{
			dialect: "bedrock", name: "a guardrail that intervened", path: novaPath + "converse", request: novaAsk,
			answer: `{"output":{"message":{"role":"assistant","content":[{"text":"Blocked."}]}},"stopReason":"guardrail_intervened","trace":{"guardrail":{"inputAssessment":{"g1":{"topicPolicy":{"topics":[{"name":"records","type":"DENY","action":"BLOCKED"}]}}}}},"usage":{"inputTokens":0,"outputTokens":0,"totalTokens":0}}`,
			finish: []string{"guardrail_intervened"}, refusal: true, said: []string{"Blocked."}, flags: []string{"other:guardrail/topic/records", "refusal:guardrail_intervened"},
			usage: "input=0 output=0 total=0",
		},
		{
			dialect: "bedrock", name: "an exception in a stream", path: novaPath + "converse-stream", request: novaAsk, contentType: eventStream,
			answer: awsFrames(`messageStart|{"role":"assistant"}`, `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"The"}}`, `!modelStreamErrorException|{"message":"it broke","originalStatusCode":500}`),
			end:    steno.EndErrorInAnswer, errType: "modelStreamErrorException",
		},
		bedrockError(novaPath+"converse", novaAsk),
		{
			dialect: "bedrock", name: "tokens counted", path: haikuPath + "count-tokens", request: `{"input":{"converse":{"messages":[{"role":"user","content":[{"text":"How many?"}]}]}}}`,
			answer: `{"inputTokens":9}`, asked: haikuModel,
		},
		bedrockError(haikuPath+"count-tokens", `{"input":{}}`),
		{
			dialect: "bedrock", name: "a guardrail alone", path: "/guardrail/g1/version/1/apply", request: `{"source":"OUTPUT","content":[{"text":{"text":"Ana keeps it."}}]}`,
			answer: `{"action":"GUARDRAIL_INTERVENED","assessments":[{"sensitiveInformationPolicy":{"piiEntities":[{"type":"NAME","match":"Ana","action":"ANONYMIZED"}]}}],"outputs":[{"text":"{NAME} keeps it."}],"usage":{"sensitiveInformationPolicyUnits":1}}`,
			said:   []string{"{NAME} keeps it."}, refusal: true, flags: []string{"personal_data:guardrail/pii/NAME", "refusal:guardrail_intervened"},
		},
		bedrockError("/guardrail/g1/version/1/apply", `{"source":"OUTPUT","content":[]}`),
	}
}

func bedrockError(path, request string) sample {
	return sample{
		dialect: "bedrock", name: "a request that is wrong", path: path, request: request, status: 400, answer: `{"message":"The provided model identifier is invalid."}`,
		says: map[string]string{"x-amzn-ErrorType": "ValidationException:http://internal.example/coral/"}, errType: "ValidationException",
	}
}

// invokeSamples have the bodies of the models' makers.
func invokeSamples() []sample {
	const tool = `"tools":[{"name":"look_up","input_schema":{"type":"object"}}]`
	const ask = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":64,"messages":[{"role":"user","content":"Who keeps the record?"}],` + tool + `}`
	plain := func(name, model, request, answer, usage string, said, finish []string) sample {
		return sample{dialect: "bedrock", name: name, path: "/model/" + model + "/invoke", request: request, answer: answer, asked: model, usage: usage, said: said, finish: finish}
	}
	stream := func(name, model, request string, said, finish []string, chunks ...string) sample {
		return sample{
			dialect: "bedrock", name: name + ", streamed", path: "/model/" + model + "/invoke-with-response-stream", request: request, contentType: eventStream,
			answer: awsFrames(chunks...), asked: model, usage: "input=1000 output=100", said: said, finish: finish,
		}
	}
	claude := sample{
		dialect: "bedrock", name: "Claude", path: haikuPath + "invoke", request: ask,
		answer: `{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"The court reporter."},{"type":"tool_use","id":"t1","name":"look_up","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":1000,"cache_read_input_tokens":200,"cache_creation_input_tokens":0,"output_tokens":500},"amazon-bedrock-trace":{"guardrail":{"input":{"g1":{"contentPolicy":{"filters":[{"type":"PROMPT_ATTACK","confidence":"HIGH","action":"NONE","detected":true}]}}}}}}`,
		asked:  haikuModel, answered: "claude-haiku-4-5-20251001", finish: []string{"tool_use"}, said: []string{"The court reporter.", "{}"}, tools: []string{"look_up"},
		usage: "input=1200 output=500 cache_read=200 cache_write=0", cost: "0.00352", flags: []string{"jailbreak:guardrail/content/PROMPT_ATTACK/HIGH"},
	}
	claudeStream := claude
	claudeStream.name, claudeStream.path, claudeStream.contentType = "Claude, streamed", haikuPath+"invoke-with-response-stream", eventStream
	claudeStream.said, claudeStream.flags, claudeStream.usage, claudeStream.cost = []string{"The court reporter.", `{"a":1}`}, nil, "input=1000 output=500", "0.0035"
	claudeStream.answer = awsFrames(
		`{"type":"message_start","message":{"id":"msg_bdrk_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"usage":{"input_tokens":1000,"output_tokens":1}}}`,
		`{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"The court "}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"reporter."}}`, `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t1","name":"look_up","input":{}}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}`, `{"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":500}}`,
		`{"type":"message_stop",`+metricsEnd+`}`)
	headers := plain("Mistral, usage in headers", "mistral.mistral-7b-instruct-v0:2", `{"prompt":"<s>[INST] Who? [/INST]"}`, `{"outputs":[{"text":"She.","stop_reason":"stop"}]}`, "input=10 output=2", []string{"She."}, []string{"stop"})
	headers.says = map[string]string{"X-Amzn-Bedrock-Input-Token-Count": "10", "X-Amzn-Bedrock-Output-Token-Count": "2"}
	vector := plain("a vector", "amazon.titan-embed-text-v2:0", `{"inputText":"the record"}`, `{"embedding":[0.1,-0.2],"inputTextTokenCount":3}`, "input=3", nil, nil)
	return []sample{
		claude, claudeStream, headers, vector, bedrockError(haikuPath+"invoke", ask),
		plain("Titan", "amazon.titan-text-express-v1", `{"inputText":"Who?"}`, `{"inputTextTokenCount":5,"results":[{"tokenCount":2,"outputText":"She.","completionReason":"FINISH"}]}`, "input=5 output=2", []string{"She."}, []string{"FINISH"}),
		stream("Titan", "amazon.titan-text-express-v1", `{"inputText":"Who?"}`, []string{"She."}, []string{"FINISH"}, `{"outputText":"Sh","index":0,"inputTextTokenCount":1000}`,
			`{"outputText":"e.","index":0,"totalOutputTextTokenCount":100,"completionReason":"FINISH",`+metricsEnd+`}`),
		plain("Nova", "us.amazon.nova-lite-v1:0", novaAsk, `{"output":{"message":{"role":"assistant","content":[{"text":"She."}]}},"stopReason":"end_turn","usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7,"cacheReadInputTokenCount":0,"cacheWriteInputTokenCount":0}}`,
			"input=5 output=2 cache_read=0 cache_write=0 total=7", []string{"She."}, []string{"end_turn"}),
		stream("Nova", "us.amazon.nova-lite-v1:0", novaAsk, []string{"She."}, []string{"end_turn"}, `{"messageStart":{"role":"assistant"}}`, `{"contentBlockDelta":{"delta":{"text":"Sh"},"contentBlockIndex":0}}`,
			`{"contentBlockDelta":{"delta":{"text":"e."},"contentBlockIndex":0}}`, `{"messageStop":{"stopReason":"end_turn"}}`, `{"metadata":{"usage":{"inputTokens":1000,"outputTokens":100}},`+metricsEnd+`}`),
		plain("Llama", "meta.llama3-1-70b-instruct-v1:0", `{"prompt":"Who?"}`, `{"generation":"She.","prompt_token_count":5,"generation_token_count":2,"stop_reason":"stop"}`, "input=5 output=2", []string{"She."}, []string{"stop"}),
		stream("Llama", "meta.llama3-1-70b-instruct-v1:0", `{"prompt":"Who?"}`, []string{"She."}, []string{"stop"}, `{"generation":"Sh","prompt_token_count":1000,"generation_token_count":1,"stop_reason":null}`,
			`{"generation":"e.","prompt_token_count":null,"generation_token_count":100,"stop_reason":"stop",`+metricsEnd+`}`),
		stream("Mistral", "mistral.mistral-7b-instruct-v0:2", `{"prompt":"Who?"}`, []string{"She."}, []string{"stop"}, `{"outputs":[{"text":"Sh","stop_reason":null}]}`, `{"outputs":[{"text":"e.","stop_reason":"stop"}],`+metricsEnd+`}`),
		plain("Cohere", "cohere.command-r-v1:0", `{"message":"Who?"}`, `{"response_id":"c1","generation_id":"g1","text":"She.","finish_reason":"COMPLETE"}`, "", []string{"She."}, []string{"COMPLETE"}),
		stream("Cohere", "cohere.command-r-v1:0", `{"message":"Who?"}`, []string{"She."}, []string{"COMPLETE"}, `{"is_finished":false,"event_type":"text-generation","text":"She."}`,
			`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"c1","text":"She."},`+metricsEnd+`}`),
		plain("Jurassic", "ai21.j2-mid-v1", `{"prompt":"Who?"}`, `{"id":1,"completions":[{"data":{"text":"She."},"finishReason":{"reason":"endoftext"}}]}`, "", []string{"She."}, []string{"endoftext"}),
		plain("DeepSeek", "us.deepseek.r1-v1:0", `{"prompt":"Who?"}`, `{"choices":[{"text":"She.","stop_reason":"stop"}]}`, "", []string{"She."}, []string{"stop"}),
	}
}
