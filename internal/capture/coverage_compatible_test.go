package capture

// OpenAI's own format, and those of Azure and Mistral, which differ from it in a few places.

const (
	askChat   = `"messages":[{"role":"user","content":"Who keeps the record?"}]`
	chatTools = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]`
	whole     = `"choices":[{"index":0,"message":{"role":"assistant","content":"The court reporter."},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":200},"completion_tokens_details":{"reasoning_tokens":100}}}`
	filtered  = `{"hate":{"filtered":false,"severity":"safe"},"violence":{"filtered":true,"severity":"medium"},"jailbreak":{"filtered":false,"detected":true}}`
)

func chatStream(id, model string, extra string) string {
	head := `{"id":"` + id + `","object":"chat.completion.chunk","model":"` + model + `",`
	return events(
		head+`"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}`,
		head+`"choices":[{"index":0,"delta":{"content":"I look."},"finish_reason":null}]}`,
		head+`"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]},"finish_reason":null}]}`,
		head+`"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"place\":\"Turin\"}"}}]},"finish_reason":null}]}`,
		head+`"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"`+extra+`}]}`,
		head+`"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120}}`,
		`[DONE]`,
	)
}

func streamedChat(dialect, path, asked, answered, cost string) sample {
	return sample{
		dialect: dialect, name: "a tool call in a stream", path: path, contentType: "text/event-stream",
		request: `{"model":"` + asked + `","stream":true,"stream_options":{"include_usage":true},` + askChat + `,` + chatTools + `}`,
		answer:  chatStream("chatcmpl-2", answered, ""), asked: asked, answered: answered, finish: []string{"tool_calls"}, said: []string{"I look.", `{"place":"Turin"}`},
		tools: []string{"weather"}, offered: []string{"weather"}, usage: "input=100 output=20 total=120", cost: cost,
	}
}

func wholeChat(dialect, path, asked, answered, cost string) sample {
	return sample{
		dialect: dialect, name: "an answer at once", path: path, request: `{"model":"` + asked + `",` + askChat + `}`,
		answer: `{"id":"chatcmpl-1","object":"chat.completion","model":"` + answered + `","system_fingerprint":"fp_1",` + whole,
		asked:  asked, answered: answered, finish: []string{"stop"}, said: []string{"The court reporter."},
		usage: "input=1000 output=500 cache_read=200 reasoning=100 total=1500", cost: cost,
	}
}

func init() {
	const vectors = "Vectors come at once."
	for _, d := range []string{"openai", "azure", "mistral"} {
		noCell[d+" embeddings tools"], noCell[d+" embeddings provider flags"] = "An embedding calls no tool.", "Vectors are not rated."
	}
	noCell["embeddings streamed"], noCell["embeddings cut by client"] = vectors, "The answer comes whole and is held back until it is on record, so no client can leave in the middle of it."
	for _, op := range []string{"models", "count_tokens", "rerank"} {
		for column, why := range map[string]string{
			"streamed": "The answer comes whole.", "tools": "Nothing is generated.", "usage": "Nothing is generated.", "provider flags": "Nothing is generated.", "cost": "Nothing is generated.",
			"plain": "It passes unchanged, but has neither finish nor usage nor a model that answered.",
		} {
			noCell[op+" "+column] = why
		}
	}
	noCell["rerank cost"] = "The table has no prices of reranking."
	noCell["cut by client"] = "The answer comes whole and is held back until it is on record, so no client can leave in the middle of it."
	noCell["error"] = "An error of this method looks like those of the dialect's others."
	noCell["azure cost"] = "Azure's prices depend on the kind of deployment, which no answer names."
	for _, api := range []string{"chat_completions", "fim_completions", "embeddings"} {
		noCell["mistral "+api+" provider flags"] = "Mistral says nothing of what it thinks of a text in this method."
	}
	noCell["mistral embeddings cost"] = "No source says since when its price holds."
	noCell["mistral fim_completions tools"] = "The method knows no tools."
	noCell["openai completions tools"] = "The method knows no tools."
	noCell["openai completions provider flags"] = "OpenAI's content filter is shown by chat_completions and by Azure's rows: the members are the same."
	noCell["openai embeddings provider flags"] = "Vectors are not rated."
	samples = append(samples,
		wholeChat("openai", "/v1/chat/completions", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "0.000435"),
		streamedChat("openai", "/v1/chat/completions", "gpt-4o-mini", "gpt-4o-mini-2024-07-18", "0.000027"),
		sample{
			dialect: "openai", name: "a refusal", path: "/v1/chat/completions", request: `{"model":"gpt-4o-mini",` + askChat + `}`,
			answer:  `{"id":"chatcmpl-3","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":null,"refusal":"I can't help with that."},"finish_reason":"stop"}]}`,
			refusal: true, finish: []string{"stop"}, said: []string{"I can't help with that."}, flags: []string{"refusal:refusal"},
		},
		sample{
			dialect: "openai", name: "a wrong key", path: "/v1/chat/completions", status: 401, request: `{"model":"gpt-4o-mini",` + askChat + `}`,
			answer: `{"error":{"message":"Incorrect API key provided.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, errType: "invalid_api_key",
		},
		sample{
			dialect: "openai", name: "an answer of Responses", path: "/v1/responses", request: `{"model":"gpt-4.1-mini","input":"Who keeps the record?","instructions":"Be brief."}`,
			answer: `{"id":"resp_1","object":"response","status":"incomplete","incomplete_details":{"reason":"content_filter"},"error":null,"model":"gpt-4.1-mini-2025-04-14","output":[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"The court reporter.","annotations":[]}]},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"weather","arguments":"{}"}],"usage":{"input_tokens":1000,"input_tokens_details":{"cached_tokens":0},"output_tokens":100,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":1100}}`,
			asked:  "gpt-4.1-mini", answered: "gpt-4.1-mini-2025-04-14", finish: []string{"content_filter"}, said: []string{"The court reporter.", "{}"}, tools: []string{"weather"},
			usage: "input=1000 output=100 cache_read=0 reasoning=0 total=1100", refusal: true, flags: []string{"refusal:content_filter"}, cost: "0.00056",
		},
		sample{
			dialect: "openai", name: "Responses in a stream", path: "/v1/responses", contentType: "text/event-stream", request: `{"model":"gpt-4.1-mini","stream":true,"input":"Who keeps the record?"}`,
			answer: events(
				`response.created {"type":"response.created","response":{"id":"resp_2","object":"response","status":"in_progress","model":"gpt-4.1-mini-2025-04-14","output":[]}}`,
				`response.output_item.added {"type":"response.output_item.added","output_index":0,"item":{"type":"message","id":"msg_1","role":"assistant","content":[]}}`,
				`response.output_text.delta {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"The court"}`,
				`response.output_text.delta {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":" reporter."}`,
				`response.completed {"type":"response.completed","response":{"id":"resp_2","object":"response","status":"completed","model":"gpt-4.1-mini-2025-04-14","output":[{"type":"message","id":"msg_1","role":"assistant","content":[{"type":"output_text","text":"The court reporter."}]}],"usage":{"input_tokens":10,"output_tokens":5,"total_tokens":15}}}`,
			),
			answered: "gpt-4.1-mini-2025-04-14", said: []string{"The court reporter."}, usage: "input=10 output=5 total=15",
		},
		sample{
			dialect: "openai", name: "Responses that fail", path: "/v1/responses", status: 400, request: `{"model":"x","input":"y"}`,
			answer: `{"error":{"message":"The requested model 'x' does not exist.","type":"invalid_request_error","param":"model","code":"model_not_found"}}`, errType: "model_not_found",
		},
		sample{
			dialect: "openai", name: "a text goes on", path: "/v1/completions", request: `{"model":"gpt-3.5-turbo-instruct","prompt":"The record is kept by"}`,
			answer: `{"id":"cmpl-1","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":" the court reporter","index":0,"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}`,
			asked:  "gpt-3.5-turbo-instruct", answered: "gpt-3.5-turbo-instruct", finish: []string{"length"}, said: []string{" the court reporter"}, usage: "input=1000 output=500 total=1500", cost: "0.0025",
		},
		sample{
			dialect: "openai", name: "a text goes on in a stream", path: "/v1/completions", contentType: "text/event-stream", request: `{"model":"gpt-3.5-turbo-instruct","prompt":"The record is kept by","stream":true}`,
			answer: events(
				`{"id":"cmpl-2","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":" the court","index":0,"finish_reason":null}]}`,
				`{"id":"cmpl-2","object":"text_completion","model":"gpt-3.5-turbo-instruct","choices":[{"text":" reporter","index":0,"finish_reason":"stop"}]}`, `[DONE]`,
			),
			answered: "gpt-3.5-turbo-instruct", finish: []string{"stop"}, said: []string{" the court reporter"},
		},
		sample{
			dialect: "openai", name: "a completion that fails", path: "/v1/completions", status: 500, request: `{"model":"x","prompt":"y"}`, answer: `{"error":{"message":"The server had an error.","type":"server_error","param":null,"code":null}}`, errType: "server_error",
		},
		sample{
			dialect: "openai", name: "vectors", path: "/v1/embeddings", request: `{"model":"text-embedding-3-small","input":"a"}`,
			answer: `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":1000,"total_tokens":1000}}`,
			asked:  "text-embedding-3-small", answered: "text-embedding-3-small", usage: "input=1000 total=1000", cost: "0.00002",
		},
		sample{
			dialect: "openai", name: "Voyage orders documents", path: "/v1/rerank", request: `{"model":"rerank-2","query":"record","documents":["a court reporter"]}`,
			answer: `{"object":"list","data":[{"relevance_score":0.9,"index":0}],"model":"rerank-2","usage":{"total_tokens":43}}`, asked: "rerank-2", answered: "rerank-2", usage: "input=43 total=43", docs: []string{"document 0 of the prompt"},
		},
		sample{
			dialect: "openai", name: "which models there are", method: "GET", path: "/v1/models", answer: `{"object":"list","data":[{"id":"gpt-4o-mini","object":"model"}]}`,
		},
		sample{
			dialect: "openai", name: "Groq, by its prefix", path: "/openai/v1/chat/completions", contentType: "text/event-stream", request: `{"model":"llama3-8b-8192","stream":true,` + askChat + `}`,
			answer: events(
				`{"id":"chatcmpl-9","object":"chat.completion.chunk","model":"llama3-8b-8192","choices":[{"index":0,"delta":{"content":"The court reporter."},"finish_reason":null}],"x_groq":{"id":"req_1"}}`,
				`{"id":"chatcmpl-9","object":"chat.completion.chunk","model":"llama3-8b-8192","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"prompt_tokens":18,"completion_tokens":4,"total_tokens":22}}}`, `[DONE]`,
			),
			answered: "llama3-8b-8192", finish: []string{"stop"}, said: []string{"The court reporter."}, usage: "input=18 output=4 total=22",
		},

		wholeChat("azure", "/openai/deployments/support/chat/completions?api-version=2024-10-21", "support", "gpt-4o-2024-08-06", ""),
		streamedChat("azure", "/openai/v1/chat/completions", "gpt-4o", "gpt-4o-2024-08-06", ""),
		sample{
			dialect: "azure", name: "what the content filter found", path: "/openai/deployments/support/chat/completions?api-version=2024-10-21", request: `{` + askChat + `}`,
			answer: `{"id":"chatcmpl-4","object":"chat.completion","model":"gpt-4o-2024-08-06","prompt_filter_results":[{"prompt_index":0,"content_filter_results":` + filtered + `}],"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Yes."},"content_filter_results":{"protected_material_text":{"filtered":false,"detected":true}}}]}`,
			asked:  "support", answered: "gpt-4o-2024-08-06", finish: []string{"stop"}, said: []string{"Yes."},
			flags: []string{"violence:content_filter/violence/medium", "jailbreak:content_filter/jailbreak", "copyright:content_filter/protected_material_text"},
		},
		sample{
			dialect: "azure", name: "a prompt that is filtered", path: "/openai/deployments/support/chat/completions?api-version=2024-10-21", status: 400, request: `{` + askChat + `}`,
			answer: `{"error":{"message":"The response was filtered","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation","content_filter_result":` + filtered + `}}}`,
			asked:  "support", errType: "content_filter", refusal: true, flags: []string{"refusal:content_filter", "violence:content_filter/violence/medium", "jailbreak:content_filter/jailbreak"},
		},
		sample{
			dialect: "azure", name: "vectors", path: "/openai/deployments/vectors/embeddings?api-version=2024-10-21", request: `{"input":"a"}`,
			answer: `{"object":"list","data":[{"object":"embedding","index":0,"embedding":"AAAA"}],"model":"text-embedding-3-small","usage":{"prompt_tokens":1,"total_tokens":1}}`, asked: "vectors", answered: "text-embedding-3-small", usage: "input=1 total=1",
		},

		wholeChat("mistral", "/v1/chat/completions", "mistral-small-2603", "mistral-small-2603", "0.000423"),
		streamedChat("mistral", "/v1/chat/completions", "mistral-small-2603", "mistral-small-2603", "0.000027"),
		sample{
			dialect: "mistral", name: "a thought in blocks", path: "/v1/chat/completions", request: `{"model":"magistral-medium-latest",` + askChat + `}`,
			answer: `{"id":"m1","object":"chat.completion","model":"magistral-medium-latest","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":[{"type":"thinking","thinking":[{"type":"text","text":"Whom?"}]},{"type":"text","text":"The court reporter."}]}}]}`,
			finish: []string{"stop"}, said: []string{"Whom?", "The court reporter."}, answered: "magistral-medium-latest",
		},
		sample{
			dialect: "mistral", name: "a wrong model", path: "/v1/chat/completions", status: 400, request: `{"model":"x",` + askChat + `}`,
			answer: `{"object":"error","message":"Invalid model: x","type":"invalid_model","param":null,"code":"1500"}`, errType: "invalid_model",
		},
		sample{
			dialect: "mistral", name: "code between two parts", path: "/v1/fim/completions", request: `{"model":"codestral-2508","prompt":"def f(","suffix":"return a"}`,
			answer: `{"id":"f1","object":"chat.completion","model":"codestral-2508","choices":[{"index":0,"message":{"role":"assistant","content":"a):"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`,
			asked:  "codestral-2508", answered: "codestral-2508", finish: []string{"stop"}, said: []string{"a):"}, usage: "input=8 output=2 total=10", cost: "0.0000042",
		},
		sample{
			dialect: "mistral", name: "code in a stream", path: "/v1/fim/completions", contentType: "text/event-stream", request: `{"model":"codestral-latest","prompt":"def f(","stream":true}`,
			answer: events(
				`{"id":"f2","object":"chat.completion.chunk","model":"codestral-latest","choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"finish_reason":null}]}`,
				`{"id":"f2","object":"chat.completion.chunk","model":"codestral-latest","choices":[{"index":0,"delta":{"content":"):"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`, `[DONE]`,
			),
			answered: "codestral-latest", finish: []string{"stop"}, said: []string{"a):"}, usage: "input=8 output=2 total=10",
		},
		sample{
			dialect: "mistral", name: "vectors", path: "/v1/embeddings", request: `{"model":"mistral-embed","input":["a"]}`,
			answer: `{"id":"e1","object":"list","data":[{"object":"embedding","embedding":[0.1],"index":0}],"model":"mistral-embed","usage":{"prompt_tokens":4,"total_tokens":4,"completion_tokens":0}}`, asked: "mistral-embed", answered: "mistral-embed", usage: "input=4 output=0 total=4",
		},
	)
}
