package capture

func init() {
	for _, column := range []string{"usage", "cost"} {
		noCell["anthropic complete "+column] = "The old completions say nothing of tokens."
	}
	noCell["anthropic complete tools"], noCell["anthropic complete provider flags"] = "The method knows no tools.", "The method says nothing of what it thinks of a text."
	samples = append(samples,
		sample{
			dialect: "anthropic", name: "a message", path: "/v1/messages",
			request:  `{"model":"claude-haiku-4-5","max_tokens":64,"system":"Be brief.","messages":[{"role":"user","content":"Who keeps the record?"}]}`,
			answer:   `{"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"The court reporter."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1000,"cache_read_input_tokens":200,"cache_creation_input_tokens":0,"output_tokens":500}}`,
			asked:    "claude-haiku-4-5",
			answered: "claude-haiku-4-5-20251001", finish: []string{"end_turn"}, said: []string{"The court reporter."},
			usage: "input=1200 output=500 cache_read=200 cache_write=0", cost: "0.00352",
		},
		sample{
			dialect: "anthropic", name: "a thought and a tool call in a stream", path: "/v1/messages", contentType: "text/event-stream",
			request: `{"model":"claude-haiku-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"How is the weather?"}],"tools":[{"name":"weather","input_schema":{"type":"object"}}]}`,
			answer: events(
				`message_start {"type":"message_start","message":{"id":"msg_02","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":null,"usage":{"input_tokens":100,"output_tokens":1}}}`,
				`content_block_start {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
				`content_block_delta {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"I look."}}`,
				`content_block_start {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`,
				`content_block_delta {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"place\":\"Turin\"}"}}`,
				`message_delta {"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":40}}`,
				`message_stop {"type":"message_stop"}`,
			),
			asked: "claude-haiku-4-5", answered: "claude-haiku-4-5-20251001", finish: []string{"tool_use"}, said: []string{"I look.", `{"place":"Turin"}`}, tools: []string{"weather"},
			offered: []string{"weather"}, usage: "input=100 output=40", cost: "0.0003",
		},
		sample{
			dialect: "anthropic", name: "a refusal", path: "/v1/messages", request: `{"model":"claude-haiku-4-5","max_tokens":64,"messages":[{"role":"user","content":"something"}]}`,
			answer:  `{"id":"msg_03","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":"refusal","usage":{"input_tokens":5,"output_tokens":1}}`,
			refusal: true, finish: []string{"refusal"}, flags: []string{"refusal:stop_reason"},
		},
		sample{
			dialect: "anthropic", name: "an error in a stream", path: "/v1/messages", contentType: "text/event-stream", request: `{"model":"claude-haiku-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"Hello"}]}`,
			answer: events(`error {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`), end: "error_in_answer", errType: "overloaded_error",
		},
		sample{
			dialect: "anthropic", name: "a text goes on", path: "/v1/complete", request: `{"model":"claude-2.1","max_tokens_to_sample":9,"prompt":"\n\nHuman: Hello\n\nAssistant:"}`,
			answer: `{"type":"completion","id":"compl_1","completion":" Good day.","stop_reason":"stop_sequence","model":"claude-2.1"}`,
			asked:  "claude-2.1", answered: "claude-2.1", finish: []string{"stop_sequence"}, said: []string{" Good day."},
		},
		sample{
			dialect: "anthropic", name: "a text goes on in a stream", path: "/v1/complete", contentType: "text/event-stream", request: `{"model":"claude-2.1","max_tokens_to_sample":9,"stream":true,"prompt":"\n\nHuman: Hello\n\nAssistant:"}`,
			answer: events(
				`completion {"type":"completion","id":"compl_2","completion":" Good","stop_reason":null,"model":"claude-2.1"}`,
				`completion {"type":"completion","id":"compl_2","completion":" day.","stop_reason":"stop_sequence","model":"claude-2.1"}`,
			),
			answered: "claude-2.1", finish: []string{"stop_sequence"}, said: []string{" Good day."},
		},
		sample{
			dialect: "anthropic", name: "how many tokens", path: "/v1/messages/count_tokens", request: `{"model":"claude-haiku-4-5","messages":[{"role":"user","content":"Hello"}]}`, answer: `{"input_tokens":8}`, asked: "claude-haiku-4-5",
		},
		sample{
			dialect: "anthropic", name: "which models there are", method: "GET", path: "/v1/models", answer: `{"data":[{"type":"model","id":"claude-haiku-4-5-20251001"}],"has_more":false}`,
		},
	)
}
