package capture

func init() {
	for _, column := range []string{"usage", "cost"} {
		noCell["anthropic complete "+column] = "The old completions say nothing of tokens."
	}
	noCell["anthropic complete tools"], noCell["anthropic complete provider flags"] = "The method knows no tools.", "The method says nothing of what it thinks of a text."
	noCell["anthropic batch_results streamed"] = "The results come as a file."
	noCell["anthropic batch_results cost"] = "A batch has prices of its own, which the table does not have."
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
		sample{
			dialect: "anthropic", name: "a page that Anthropic fetched", path: "/v1/messages", request: `{"model":"claude-haiku-4-5","max_tokens":64,"messages":[{"role":"user","content":"Who?"}],"tools":[{"type":"web_fetch_20250910","name":"web_fetch"}]}`,
			answer:   `{"id":"msg_04","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"server_tool_use","id":"srvtoolu_1","name":"web_fetch","input":{"url":"https://law.example/"}},{"type":"web_fetch_tool_result","tool_use_id":"srvtoolu_1","content":{"type":"web_fetch_result","url":"https://law.example/","content":{"type":"document","source":{"type":"text","media_type":"text/plain","data":"The reporter keeps it."},"title":"Law"}}},{"type":"text","text":"The reporter."}],"stop_reason":"end_turn","usage":{"input_tokens":1000,"output_tokens":100,"server_tool_use":{"web_fetch_requests":1}}}`,
			answered: "claude-haiku-4-5-20251001", finish: []string{"end_turn"}, tools: []string{"web_fetch"}, offered: []string{"web_fetch"}, docs: []string{"https://law.example/"}, usage: "input=1000 output=100",
		},
		sample{
			dialect: "anthropic", name: "a batch", path: "/v1/messages/batches", request: `{"requests":[{"custom_id":"a","params":{"model":"claude-haiku-4-5","max_tokens":64,"messages":[{"role":"user","content":"Who?"}]}}]}`,
			answer: `{"id":"msgbatch_1","type":"message_batch","processing_status":"in_progress","request_counts":{"processing":1,"succeeded":0,"errored":0,"canceled":0,"expired":0}}`, asked: "claude-haiku-4-5",
		},
		sample{
			dialect: "anthropic", name: "a batch's results", method: "GET", path: "/v1/messages/batches/msgbatch_1/results", contentType: "application/x-jsonl",
			answer: `{"custom_id":"a","result":{"type":"succeeded","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":8,"output_tokens":2,"service_tier":"batch"}}}}` + "\n" +
				`{"custom_id":"b","result":{"type":"succeeded","message":{"id":"msg_2","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[],"stop_reason":"refusal","usage":{"input_tokens":9,"output_tokens":1,"service_tier":"batch"}}}}` + "\n",
			answered: "claude-haiku-4-5-20251001", finish: []string{"tool_use", "refusal"}, tools: []string{"weather"}, refusal: true, flags: []string{"refusal:stop_reason"}, usage: "input=17 output=3",
		},
		sample{
			dialect: "anthropic", name: "a file", path: "/v1/files", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x7"},
			request: "--x7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"law.txt\"\r\nContent-Type: text/plain\r\n\r\nThe reporter keeps it.\r\n--x7--\r\n",
			answer:  `{"id":"file_1","type":"file","filename":"law.txt","mime_type":"text/plain","size_bytes":22}`, docs: []string{"law.txt"},
		},
		sample{dialect: "anthropic", name: "a file's bytes", method: "GET", path: "/v1/files/file_1/content", contentType: "text/plain", answer: "The reporter keeps it."},
	)
}
