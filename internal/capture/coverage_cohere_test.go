package capture

const cohereTools = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]`

func init() {
	noCell["cohere cost"] = "Cohere bills other counts than those of the tokens that were read and written, which are on record; the table has prices of its vectors only."
	noCell["cohere v2_chat provider flags"] = "Cohere's second version says nothing of what it thinks of a text."
	for _, api := range []string{"generate", "summarize", "embed", "rerank", "classify"} {
		noCell["cohere "+api+" provider flags"] = "The method says nothing of what it thinks of a text."
		noCell["cohere "+api+" tools"] = "The method knows no tools."
	}
	noCell["cohere rerank usage"], noCell["cohere classify usage"] = "Reranking is counted in searches, not in tokens.", "Classes are counted by the texts, not in tokens."
	noCell["cohere classify streamed"], noCell["cohere summarize streamed"] = "The answer comes whole.", "The answer comes whole."
	noCell["cohere chat_completions provider flags"] = "Cohere says nothing of what it thinks of a text in this method."
	samples = append(samples,
		sample{
			dialect: "cohere", name: "an answer from documents", path: "/v2/chat",
			request: `{"model":"command-a-03-2025","messages":[{"role":"user","content":"Who keeps the record?"}],"documents":[{"id":"d1","data":{"text":"The court reporter keeps the record."}}]}`,
			answer: `{"id":"c-1","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"The court reporter."}],"citations":[{"start":4,"end":18,"text":"court reporter","sources":[{"type":"document","id":"d1","document":{"id":"d1","text":"The court reporter keeps the record."}}]}]},` +
				`"usage":{"billed_units":{"input_tokens":20,"output_tokens":4},"tokens":{"input_tokens":140,"output_tokens":6},"cached_tokens":64}}`,
			asked: "command-a-03-2025", finish: []string{"COMPLETE"}, said: []string{"The court reporter."}, usage: "input=140 output=6 cache_read=64", docs: []string{"d1", "d1"},
		},
		sample{
			dialect: "cohere", name: "a plan and two tool calls in a stream", path: "/v2/chat", contentType: "text/event-stream",
			request: `{"model":"command-a-03-2025","stream":true,"messages":[{"role":"user","content":"How is the weather?"}],` + cohereTools + `}`,
			answer: events(
				`message-start {"id":"c-2","type":"message-start","delta":{"message":{"role":"assistant"}}}`,
				`tool-plan-delta {"type":"tool-plan-delta","delta":{"message":{"tool_plan":"I will look"}}}`,
				`tool-plan-delta {"type":"tool-plan-delta","delta":{"message":{"tool_plan":" twice."}}}`,
				`tool-call-start {"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":{"id":"weather_1","type":"function","function":{"name":"weather","arguments":""}}}}}`,
				`tool-call-delta {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"{\"place\":"}}}}}`,
				`tool-call-delta {"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":{"function":{"arguments":"\"Turin\"}"}}}}}`,
				`tool-call-start {"type":"tool-call-start","index":1,"delta":{"message":{"tool_calls":{"id":"weather_2","type":"function","function":{"name":"weather","arguments":"{}"}}}}}`,
				`message-end {"type":"message-end","delta":{"finish_reason":"TOOL_CALL","usage":{"billed_units":{"input_tokens":12,"output_tokens":20},"tokens":{"input_tokens":800,"output_tokens":40}}}}`,
				`[DONE]`,
			),
			asked: "command-a-03-2025", finish: []string{"TOOL_CALL"}, said: []string{"I will look twice.", `{"place":"Turin"}`, `{}`}, tools: []string{"weather", "weather"},
			offered: []string{"weather"}, usage: "input=800 output=40",
		},
		sample{
			dialect: "cohere", name: "a model that is gone", path: "/v2/chat", status: 404, request: `{"model":"nope","messages":[{"role":"user","content":"Hello"}]}`,
			answer: `{"id":"e-1","message":"model 'nope' not found"}`, errType: "404",
		},
		sample{
			dialect: "cohere", name: "the first version", path: "/v1/chat",
			request: `{"model":"command-r","preamble":"Be brief.","chat_history":[{"role":"USER","message":"Hello"},{"role":"CHATBOT","message":"Good day."}],"message":"Who keeps the record?"}`,
			answer:  `{"response_id":"r-1","generation_id":"g-1","text":"The court reporter.","finish_reason":"COMPLETE","meta":{"billed_units":{"input_tokens":5,"output_tokens":4},"tokens":{"input_tokens":70,"output_tokens":4}}}`,
			asked:   "command-r", finish: []string{"COMPLETE"}, said: []string{"The court reporter."}, usage: "input=70 output=4",
		},
		sample{
			dialect: "cohere", name: "the first version, line by line", path: "/v1/chat", contentType: "application/stream+json",
			request: `{"model":"command-r","stream":true,"message":"How is the weather?","tools":[{"name":"weather","description":"looks"}]}`,
			answer: lines(
				`{"is_finished":false,"event_type":"stream-start","generation_id":"g-2"}`,
				`{"is_finished":false,"event_type":"text-generation","text":"I"}`, `{"is_finished":false,"event_type":"text-generation","text":" look."}`,
				`{"is_finished":false,"event_type":"tool-calls-generation","tool_calls":[{"name":"weather","parameters":{"place":"Turin"}}]}`,
				`{"is_finished":true,"event_type":"stream-end","finish_reason":"COMPLETE","response":{"response_id":"r-2","text":"I look.","generation_id":"g-2","tool_calls":[{"name":"weather","parameters":{"place":"Turin"}}],"finish_reason":"COMPLETE","meta":{"tokens":{"input_tokens":71,"output_tokens":9}}}}`,
			),
			asked: "command-r", finish: []string{"COMPLETE"}, said: []string{"I look.", `{"place":"Turin"}`}, tools: []string{"weather"}, offered: []string{"weather"}, usage: "input=71 output=9",
		},
		sample{
			dialect: "cohere", name: "what Cohere calls toxic", path: "/v1/chat", request: `{"model":"command-r","message":"something"}`,
			answer:  `{"response_id":"r-3","text":"","generation_id":"g-3","finish_reason":"ERROR_TOXIC","meta":{"tokens":{"input_tokens":9,"output_tokens":0}}}`,
			refusal: true, finish: []string{"ERROR_TOXIC"}, flags: []string{"refusal:finish_reason"},
		},
		sample{
			dialect: "cohere", name: "a wrong message", path: "/v1/chat", status: 400, request: `{"model":"command-r","message":""}`, answer: `{"message":"invalid request: message must be at least 1 token long"}`, errType: "400",
		},
		sample{
			dialect: "cohere", name: "a text goes on", path: "/v1/generate", request: `{"model":"command","prompt":"The record is kept by"}`,
			answer: `{"id":"g","generations":[{"id":"g-0","text":" the court reporter","finish_reason":"COMPLETE"}],"prompt":"The record is kept by","meta":{"billed_units":{"input_tokens":6,"output_tokens":3}}}`,
			asked:  "command", finish: []string{"COMPLETE"}, said: []string{" the court reporter"}, usage: "input=6 output=3",
		},
		sample{
			dialect: "cohere", name: "a text goes on, line by line", path: "/v1/generate", contentType: "application/stream+json", request: `{"model":"command","prompt":"The record is kept by","stream":true}`,
			answer: lines(
				`{"text":" the court","is_finished":false}`, `{"text":" reporter","is_finished":false}`,
				`{"is_finished":true,"finish_reason":"COMPLETE","response":{"id":"g2","generations":[{"id":"g2-0","text":" the court reporter","finish_reason":"COMPLETE"}],"prompt":"The record is kept by","meta":{"billed_units":{"input_tokens":6,"output_tokens":3}}}}`,
			),
			asked: "command", finish: []string{"COMPLETE"}, said: []string{" the court reporter"}, usage: "input=6 output=3",
		},
		sample{
			dialect: "cohere", name: "a summary", path: "/v1/summarize", request: `{"text":"The court reporter keeps the record.","length":"short"}`,
			answer: `{"id":"s","summary":"A record is kept.","meta":{"billed_units":{"input_tokens":9,"output_tokens":5}}}`, said: []string{"A record is kept."}, usage: "input=9 output=5",
		},
		sample{
			dialect: "cohere", name: "classes of texts", path: "/v1/classify", request: `{"inputs":["win money now"],"examples":[{"text":"free money","label":"spam"},{"text":"minutes of the meeting","label":"ham"}]}`,
			answer: `{"id":"k","classifications":[{"id":"k0","input":"win money now","prediction":"spam","confidence":0.98,"labels":{"spam":{"confidence":0.98},"ham":{"confidence":0.02}}}],"meta":{"billed_units":{"classifications":1}}}`, said: []string{"spam"},
		},
		streamedChat("cohere", "/compatibility/v1/chat/completions", "command-a-03-2025", "command-a-03-2025", ""),
		sample{
			dialect: "cohere", name: "the OpenAI-compatible side", path: "/compatibility/v1/chat/completions", request: `{"model":"command-a-03-2025",` + askChat + `}`,
			answer: `{"id":"x","object":"chat.completion","model":"command-a-03-2025",` + whole, asked: "command-a-03-2025", answered: "command-a-03-2025", finish: []string{"stop"}, said: []string{"The court reporter."},
			usage: "input=1000 output=500 cache_read=200 reasoning=100 total=1500",
		},
		sample{
			dialect: "cohere", name: "too many calls", path: "/v1/generate", status: 429, request: `{"model":"command","prompt":"x"}`, answer: `{"message":"too many requests"}`, errType: "429",
		},
		sample{
			dialect: "cohere", name: "vectors", path: "/v2/embed", request: `{"model":"embed-v4.0","texts":["a"],"input_type":"search_document","embedding_types":["float"]}`,
			answer: `{"id":"e","embeddings":{"float":[[0.1,0.2]]},"texts":["a"],"meta":{"billed_units":{"input_tokens":2}}}`, asked: "embed-v4.0", usage: "input=2", cost: "0.00000024",
		},
		sample{
			dialect: "cohere", name: "wrong vectors", path: "/v2/embed", status: 422, request: `{"texts":["a"]}`, answer: `{"message":"model is required"}`, errType: "422",
		},
		sample{
			dialect: "cohere", name: "an order of documents", path: "/v2/rerank", request: `{"model":"rerank-v3.5","query":"record","documents":["a court reporter","a lamp"]}`,
			answer: `{"id":"k","results":[{"index":0,"relevance_score":0.9}],"meta":{"billed_units":{"search_units":1}}}`, asked: "rerank-v3.5", docs: []string{"document 0 of the prompt"},
		},
		sample{
			dialect: "cohere", name: "nothing to order", path: "/v2/rerank", status: 400, request: `{"model":"rerank-v3.5","query":"record","documents":[]}`, answer: `{"message":"documents are required"}`, errType: "400",
		},
	)
}
