package capture

import "strings"

// chunks of Google's streams: as an array, and as server-sent events.
func geminiArray(chunks ...string) string { return "[" + strings.Join(chunks, "\n,\r\n") + "\n]\n" }

func geminiEvents(chunks ...string) string {
	return "data: " + strings.Join(chunks, "\r\n\r\ndata: ") + "\r\n\r\n"
}

var geminiChunks = []string{
	`{"candidates":[{"content":{"parts":[{"text":"**Whom?**","thought":true}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":900,"totalTokenCount":920,"thoughtsTokenCount":20,"promptTokensDetails":[{"modality":"TEXT","tokenCount":900}]},"modelVersion":"gemini-2.5-flash","responseId":"resp1"}`,
	`{"candidates":[{"content":{"parts":[{"text":"The court"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":2,"totalTokenCount":922,"thoughtsTokenCount":20},"modelVersion":"gemini-2.5-flash","responseId":"resp1"}`,
	`{"candidates":[{"content":{"parts":[{"text":" reporter [she]."}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":7,"totalTokenCount":927,"thoughtsTokenCount":20},"modelVersion":"gemini-2.5-flash","responseId":"resp1"}`,
	`{"candidates":[{"content":{"parts":[{"functionCall":{"name":"look_up","args":{"who":"reporter"}}}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":30,"totalTokenCount":950,"thoughtsTokenCount":20},"modelVersion":"gemini-2.5-flash","responseId":"resp1"}`,
	`{"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0,"safetyRatings":[{"category":"HARM_CATEGORY_HARASSMENT","probability":"LOW"}]}],"usageMetadata":{"promptTokenCount":900,"candidatesTokenCount":80,"totalTokenCount":1000,"cachedContentTokenCount":500,"thoughtsTokenCount":20},"modelVersion":"gemini-2.5-flash","responseId":"resp1"}`,
}

const geminiAsk = `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"Who keeps the record?"}]}],"tools":[{"functionDeclarations":[{"name":"look_up","description":"Looks a word up."}]},{"googleSearch":{}}],"generationConfig":{"temperature":0.2}}`

func init() {
	const nothing = "It passes unchanged, but has neither finish nor usage nor a model that answered."
	const whole = "The answer comes whole and is held back until it is on record, so no client can leave in the middle of it."
	for api, why := range map[string]map[string]string{
		"embed_content":        {"streamed": "Vectors come at once.", "tools": "An embedding calls no tool.", "provider flags": "Vectors are not rated."},
		"batch_embed_contents": {"streamed": "Vectors come at once.", "tools": "An embedding calls no tool.", "provider flags": "Vectors are not rated."},
		"predict": {
			"streamed": "Images and vectors come at once.", "tools": "The method knows no tools.",
			"cost": "The method's models are priced by image or by character, which the table does not have.",
		},
		"count_tokens": {
			"plain": nothing, "tools": "Nothing is generated.", "usage": "Counting tokens uses none.",
			"provider flags": "Nothing is generated.", "cost": "Counting tokens is free.", "streamed": "Counting tokens answers with one number.",
		},
		"models": {
			"plain": nothing, "streamed": "A list comes at once.", "tools": "Nothing is generated.", "usage": "Nothing is generated.", "provider flags": "Nothing is generated.",
			"cost": "Nothing is generated.",
		},
		"messages":         {"cost": "The table has no prices of Claude on Vertex AI.", "provider flags": "Anthropic's own row shows it: the format is the same."},
		"chat_completions": {"provider flags": "OpenAI's own row shows it: the format is the same."},
	} {
		for column, reason := range why {
			noCell["gemini "+api+" "+column] = reason
		}
		if _, plain := why["streamed"]; plain {
			noCell["gemini "+api+" cut by client"] = whole
		}
	}
	samples = append(samples, geminiSamples()...)
	samples = append(samples, vertexSamples()...)
}

func geminiSamples() []sample {
	streamed := sample{
		dialect: "gemini", request: geminiAsk, asked: "gemini-2.5-flash", answered: "gemini-2.5-flash", finish: []string{"STOP"},
		said:  []string{"**Whom?**", "The court reporter [she].", `{"who":"reporter"}`},
		tools: []string{"look_up"}, offered: []string{"look_up", "googleSearch"},
		usage: "input=900 output=100 cache_read=500 reasoning=20 total=1000", cost: "0.000385", flags: []string{"harmful:safetyRatings/HARASSMENT/LOW"},
	}
	array, events := streamed, streamed
	array.name, array.path, array.answer = "an array of chunks", "/v1beta/models/gemini-2.5-flash:streamGenerateContent", geminiArray(geminiChunks...)
	events.name, events.path, events.answer = "chunks as server-sent events", "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", geminiEvents(geminiChunks...)
	events.contentType = "text/event-stream"
	return []sample{
		array, events,
		{
			dialect: "gemini", name: "an answer found on the web", path: "/v1beta/models/gemini-2.5-flash:generateContent", request: geminiAsk,
			answer: `{"candidates":[{"content":{"parts":[{"text":"The court reporter."}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"webSearchQueries":["court reporter"],"groundingChunks":[{"web":{"uri":"https://w.example/a","title":"w.example"}}]}}],"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":5,"totalTokenCount":40,"toolUsePromptTokenCount":25},"modelVersion":"gemini-2.5-flash","responseId":"resp2"}`,
			asked:  "gemini-2.5-flash", answered: "gemini-2.5-flash", finish: []string{"STOP"}, said: []string{"The court reporter.", `["court reporter"]`},
			tools: []string{"google_search"}, usage: "input=35 output=5 total=40", cost: "0.000023", docs: []string{"https://w.example/a"},
		},
		{
			dialect: "gemini", name: "a prompt that is blocked", path: "/v1beta/models/gemini-2.5-flash:generateContent",
			request:  `{"contents":[{"parts":[{"text":"something forbidden"}]}]}`,
			answer:   `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT","safetyRatings":[{"category":"HARM_CATEGORY_DANGEROUS_CONTENT","probability":"HIGH","blocked":true}]},"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4},"modelVersion":"gemini-2.5-flash"}`,
			answered: "gemini-2.5-flash", refusal: true, usage: "input=4 total=4", flags: []string{"refusal:blockReason/PROHIBITED_CONTENT", "harmful:safetyRatings/DANGEROUS_CONTENT/HIGH"},
		},
		{
			dialect: "gemini", name: "audio, which the table has no price of", path: "/v1beta/models/gemini-2.5-flash:generateContent",
			request:  `{"contents":[{"parts":[{"text":"What is said?"},{"inlineData":{"mimeType":"audio/wav","data":"UklGRg=="}}]}]}`,
			answer:   `{"candidates":[{"content":{"parts":[{"text":"Nothing."}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":40,"candidatesTokenCount":1,"totalTokenCount":41,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":36}]},"modelVersion":"gemini-2.5-flash"}`,
			answered: "gemini-2.5-flash", usage: "input=40 output=1 total=41", said: []string{"Nothing."},
		},
		{
			dialect: "gemini", name: "too many calls", path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent", request: geminiAsk, status: 429,
			answer:  `[{"error":{"code":429,"message":"Resource has been exhausted.","status":"RESOURCE_EXHAUSTED","details":[]}}]`,
			errType: "RESOURCE_EXHAUSTED",
		},
		{
			dialect: "gemini", name: "tokens counted", path: "/v1beta/models/gemini-2.5-flash:countTokens", request: `{"contents":[{"parts":[{"text":"How many?"}]}]}`,
			answer: `{"totalTokens":3,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]}`, asked: "gemini-2.5-flash",
		},
		geminiError("/v1beta/models/none:countTokens", `{"contents":[]}`),
		{
			dialect: "gemini", name: "a vector", path: "/v1beta/models/gemini-embedding-001:embedContent", request: `{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"the record"}]}}`,
			answer: `{"embedding":{"values":[0.1,-0.2]},"usageMetadata":{"promptTokenCount":1000}}`, asked: "gemini-embedding-001", usage: "input=1000", cost: "0.00015",
		},
		geminiError("/v1beta/models/none:embedContent", `{"content":{"parts":[{"text":"a"}]}}`),
		{
			dialect: "gemini", name: "vectors", path: "/v1beta/models/gemini-embedding-001:batchEmbedContents", request: `{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"the record"}]}}]}`,
			answer: `{"embeddings":[{"values":[0.1,-0.2]}],"usageMetadata":{"promptTokenCount":1000}}`, asked: "gemini-embedding-001", usage: "input=1000", cost: "0.00015",
		},
		geminiError("/v1beta/models/none:batchEmbedContents", `{"requests":[]}`),
		{
			dialect: "gemini", name: "the models", method: "GET", path: "/v1beta/models?pageSize=1",
			answer: `{"models":[{"name":"models/gemini-2.5-flash","displayName":"Gemini 2.5 Flash"}],"nextPageToken":"x"}`,
		},
		geminiError("/v1beta/models/none", ""),
		{
			dialect: "gemini", name: "the OpenAI-compatible side", path: "/v1beta/openai/chat/completions", request: `{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}`,
			answer: `{"id":"c1","object":"chat.completion","model":"gemini-2.5-flash","choices":[{"index":0,"message":{"role":"assistant","content":"hello","tool_calls":[{"id":"t","type":"function","function":{"name":"wave","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}`,
			asked:  "gemini-2.5-flash", answered: "gemini-2.5-flash", finish: []string{"stop"}, said: []string{"hello", "{}"}, tools: []string{"wave"},
			usage: "input=1000 output=100 total=1100", cost: "0.00055",
		},
		{
			dialect: "gemini", name: "the OpenAI-compatible side, streamed", path: "/v1beta/openai/chat/completions", request: `{"model":"gemini-2.5-flash","stream":true,"messages":[{"role":"user","content":"hi"}]}`,
			contentType: "text/event-stream",
			answer:      "data: {\"id\":\"c1\",\"model\":\"gemini-2.5-flash\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hel\"}}]}\n\ndata: {\"id\":\"c1\",\"model\":\"gemini-2.5-flash\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1000,\"completion_tokens\":100,\"total_tokens\":1100}}\n\ndata: [DONE]\n\n",
			answered:    "gemini-2.5-flash", finish: []string{"stop"}, said: []string{"hello"}, usage: "input=1000 output=100 total=1100", cost: "0.00055",
		},
		{
			dialect: "gemini", name: "the OpenAI-compatible side, an error", path: "/v1beta/openai/chat/completions", request: `{"model":"none","messages":[]}`, status: 400,
			answer: `[{"error":{"code":400,"message":"Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, errType: "INVALID_ARGUMENT",
		},
	}
}

func geminiError(path, request string) sample {
	s := sample{
		dialect: "gemini", name: "no such model", path: path, request: request, status: 404,
		answer: `{"error":{"code":404,"message":"models/none is not found","status":"NOT_FOUND"}}`, errType: "NOT_FOUND",
	}
	if request == "" {
		s.method = "GET"
	}
	return s
}

func vertexSamples() []sample {
	const google = "/v1/projects/p/locations/us-central1/publishers/google/models/"
	const claude = "/v1/projects/p/locations/us-east5/publishers/anthropic/models/claude-sonnet-4-5@20250929:"
	const ask = `{"anthropic_version":"vertex-2023-10-16","max_tokens":64,"messages":[{"role":"user","content":"Who keeps the record?"}]}`
	return []sample{
		{
			dialect: "gemini", name: "Vertex AI, by numbers", path: google + "gemini-2.5-pro:generateContent?%24alt=json%3Benum-encoding%3Dint",
			request:  `{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"labels":{"user":"ana"}}`,
			answer:   `{"candidates":[{"content":{"role":"model","parts":[{"text":"hello"}]},"finishReason":1,"avgLogprobs":-0.5}],"usageMetadata":{"promptTokenCount":1000,"candidatesTokenCount":60,"totalTokenCount":1100,"trafficType":1,"thoughtsTokenCount":40},"modelVersion":"gemini-2.5-pro","responseId":"r"}`,
			answered: "gemini-2.5-pro", finish: []string{"STOP"}, said: []string{"hello"}, usage: "input=1000 output=100 reasoning=40 total=1100", cost: "0.00225",
		},
		{
			dialect: "gemini", name: "Claude on Vertex AI", path: claude + "rawPredict", request: ask, asked: "claude-sonnet-4-5@20250929", answered: "claude-sonnet-4-5-20250929",
			answer: `{"id":"msg_vrtx_1","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{"type":"text","text":"The reporter."},{"type":"tool_use","id":"t1","name":"look_up","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":9,"output_tokens":5}}`,
			finish: []string{"tool_use"}, said: []string{"The reporter.", "{}"}, tools: []string{"look_up"}, usage: "input=9 output=5",
		},
		{
			dialect: "gemini", name: "Claude on Vertex AI, streamed", path: claude + "streamRawPredict", request: strings.Replace(ask, `{`, `{"stream":true,`, 1), contentType: "text/event-stream",
			answer: "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_vrtx_2\",\"model\":\"claude-sonnet-4-5-20250929\",\"content\":[],\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n" +
				"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
				"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"The reporter.\"}}\n\n" +
				"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
			answered: "claude-sonnet-4-5-20250929", finish: []string{"end_turn"}, said: []string{"The reporter."}, usage: "input=9 output=4",
		},
		{
			dialect: "gemini", name: "Claude on Vertex AI, overloaded", path: claude + "rawPredict", request: ask, status: 529,
			answer: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, errType: "overloaded_error",
		},
		{
			dialect: "gemini", name: "vectors of Vertex AI", path: google + "text-embedding-005:predict", request: `{"instances":[{"content":"the record"}]}`,
			answer: `{"predictions":[{"embeddings":{"values":[0.1],"statistics":{"token_count":4,"truncated":false}}}],"metadata":{"billableCharacterCount":9}}`,
			asked:  "text-embedding-005", usage: "input=4",
		},
		{
			dialect: "gemini", name: "an image that is filtered", path: google + "imagen-4.0-generate-001:predict", request: `{"instances":[{"prompt":"a courtroom"}],"parameters":{"sampleCount":1}}`,
			answer: `{"predictions":[{"raiFilteredReason":"Unable to show generated images."}]}`, asked: "imagen-4.0-generate-001", refusal: true, flags: []string{"refusal:raiFilteredReason"},
		},
		geminiError(google+"none:predict", `{"instances":[]}`),
	}
}
