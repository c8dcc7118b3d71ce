package capture

func init() {
	const priced = "The table has prices by token of text; this method's are by image, minute or run."
	for _, api := range []string{"images", "speech", "transcriptions", "runs"} {
		noCell["openai "+api+" cost"] = priced
		noCell["openai "+api+" provider flags"] = "The method says nothing of what it thinks of a text."
	}
	for _, api := range []string{"images", "speech", "transcriptions"} {
		noCell["openai "+api+" tools"] = "The method knows no tools."
	}
	noCell["openai speech plain"] = "It passes unchanged, but sound has neither finish nor usage nor a model that answered beside it."
	for _, op := range []string{"moderation", "manage", "retrieval"} {
		for column, why := range map[string]string{
			"streamed": "The answer comes whole.", "tools": "Nothing is generated.", "usage": "Nothing is generated.", "cost": "Nothing is generated.",
			"provider flags": "Nothing is generated.", "plain": "It passes unchanged, but has neither finish nor usage nor a model that answered.",
		} {
			noCell[op+" "+column] = why
		}
	}
	samples = append(samples,
		sample{
			dialect: "openai", name: "an image", path: "/v1/images/generations", request: `{"model":"gpt-image-1","prompt":"a white cat","size":"256x256"}`,
			answer: `{"created":1,"data":[{"b64_json":"aGVsbG8="}],"usage":{"input_tokens":12,"output_tokens":196,"total_tokens":208}}`,
			asked:  "gpt-image-1", usage: "input=12 output=196 total=208",
		},
		sample{
			dialect: "openai", name: "an image, part by part", path: "/v1/images/generations", contentType: "text/event-stream", request: `{"model":"gpt-image-1","prompt":"a white cat","stream":true,"partial_images":1}`,
			answer: events(
				`image_generation.partial_image {"type":"image_generation.partial_image","b64_json":"aGVs","partial_image_index":0}`,
				`image_generation.completed {"type":"image_generation.completed","b64_json":"aGVsbG8=","usage":{"input_tokens":12,"output_tokens":196,"total_tokens":208}}`,
			),
			asked: "gpt-image-1", usage: "input=12 output=196 total=208",
		},
		sample{
			dialect: "openai", name: "an image that is refused", path: "/v1/images/generations", status: 400, request: `{"model":"dall-e-3","prompt":"something"}`,
			answer: `{"error":{"code":"content_policy_violation","message":"Your request was rejected.","param":null,"type":"invalid_request_error"}}`, errType: "content_policy_violation",
		},
		sample{
			dialect: "openai", name: "speech", path: "/v1/audio/speech", contentType: "audio/mpeg", request: `{"model":"tts-1","voice":"alloy","input":"The court reporter."}`, answer: "ID3\x04\x00\xff\xfbsound", asked: "tts-1",
		},
		sample{
			dialect: "openai", name: "a talk becomes text", path: "/v1/audio/transcriptions", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x7"},
			request: "--x7\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n--x7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"talk.mp3\"\r\nContent-Type: audio/mpeg\r\n\r\nID3\x00\x01\r\n--x7--\r\n",
			answer:  `{"text":"The court reporter.","usage":{"type":"tokens","input_tokens":14,"output_tokens":5,"total_tokens":19}}`,
			asked:   "gpt-4o-transcribe", said: []string{"The court reporter."}, usage: "input=14 output=5 total=19", docs: []string{"talk.mp3"},
		},
		sample{
			dialect: "openai", name: "a talk becomes text as it is heard", path: "/v1/audio/transcriptions", contentType: "text/event-stream", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x7"},
			request: "--x7\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o-transcribe\r\n--x7\r\nContent-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--x7--\r\n",
			answer: events(
				`transcript.text.delta {"type":"transcript.text.delta","delta":"The court"}`, `transcript.text.delta {"type":"transcript.text.delta","delta":" reporter."}`,
				`transcript.text.done {"type":"transcript.text.done","text":"The court reporter.","usage":{"input_tokens":14,"output_tokens":5,"total_tokens":19}}`,
			),
			asked: "gpt-4o-transcribe", said: []string{"The court reporter."}, usage: "input=14 output=5 total=19",
		},
		sample{
			dialect: "openai", name: "what is wrong with a text", path: "/v1/moderations", request: `{"model":"omni-moderation-latest","input":"something"}`,
			answer: `{"id":"modr-1","model":"omni-moderation-latest","results":[{"flagged":true,"categories":{"violence":true,"self-harm/intent":true,"sexual":false},"category_scores":{"violence":0.91,"self-harm/intent":0.5,"sexual":0.01}}]}`,
			asked:  "omni-moderation-latest", answered: "omni-moderation-latest", flags: []string{"violence:moderation/violence", "self_harm:moderation/self-harm/intent"},
		},
		sample{
			dialect: "openai", name: "a run that needs a tool", path: "/v1/threads/thread_1/runs/run_1/submit_tool_outputs", request: `{"tool_outputs":[{"tool_call_id":"call_0","output":"13,960,000"}]}`,
			answer:   `{"id":"run_1","object":"thread.run","status":"requires_action","model":"gpt-4o-mini","last_error":null,"required_action":{"type":"submit_tool_outputs","submit_tool_outputs":{"tool_calls":[{"id":"call_1","type":"function","function":{"name":"sql","arguments":"{}"}}]}},"usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24}}`,
			answered: "gpt-4o-mini", tools: []string{"sql"}, said: []string{"{}"}, usage: "input=20 output=4 total=24",
		},
		sample{
			dialect: "openai", name: "a run in a stream", path: "/v1/threads/thread_1/runs", contentType: "text/event-stream", request: `{"assistant_id":"asst_1","stream":true,"instructions":"Be brief."}`,
			answer: events(
				`thread.run.created {"id":"run_2","object":"thread.run","status":"queued","model":"gpt-4o-mini","usage":null}`,
				`thread.message.delta {"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"The court"}}]}}`,
				`thread.message.delta {"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":" reporter."}}]}}`,
				`thread.run.completed {"id":"run_2","object":"thread.run","status":"completed","model":"gpt-4o-mini","usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24}}`,
				"done", "[DONE]",
			),
			answered: "gpt-4o-mini", said: []string{"The court reporter."}, usage: "input=20 output=4 total=24",
		},
		sample{
			dialect: "openai", name: "a run that failed", path: "/v1/threads/thread_1/runs/run_1", method: "GET",
			answer: `{"id":"run_1","object":"thread.run","status":"failed","model":"gpt-4o-mini","last_error":{"code":"rate_limit_exceeded","message":"You exceeded your quota."},"usage":null}`,
			end:    "error_in_answer", errType: "rate_limit_exceeded", answered: "gpt-4o-mini",
		},
		sample{dialect: "openai", name: "a message of a thread", path: "/v1/threads/thread_1/messages", request: `{"role":"user","content":"Who?"}`, answer: `{"id":"msg_1","object":"thread.message","role":"user","content":[{"type":"text","text":{"value":"Who?","annotations":[]}}]}`, said: []string{"Who?"}},
		sample{dialect: "openai", name: "an assistant", path: "/v1/assistants", request: `{"model":"gpt-4o-mini","instructions":"Be brief."}`, answer: `{"id":"asst_1","object":"assistant","model":"gpt-4o-mini","instructions":"Be brief."}`, answered: "gpt-4o-mini"},
		sample{
			dialect: "openai", name: "a file", path: "/v1/files", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x7"},
			request: "--x7\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n--x7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"train.jsonl\"\r\n\r\n{}\n\r\n--x7--\r\n",
			answer:  `{"id":"file-1","object":"file","bytes":3,"filename":"train.jsonl","purpose":"fine-tune"}`, docs: []string{"train.jsonl"},
		},
		sample{dialect: "openai", name: "a file's bytes", method: "GET", path: "/v1/files/file-1/content", contentType: "application/octet-stream", answer: "{}\n"},
		sample{dialect: "openai", name: "a batch", path: "/v1/batches", request: `{"input_file_id":"file-1","endpoint":"/v1/chat/completions","completion_window":"24h"}`, answer: `{"id":"batch_1","object":"batch","status":"validating","input_file_id":"file-1"}`},
		sample{dialect: "openai", name: "a fine-tune", path: "/v1/fine_tuning/jobs", request: `{"model":"gpt-4o-mini","training_file":"file-1"}`, answer: `{"id":"ftjob-1","object":"fine_tuning.job","status":"queued","model":"gpt-4o-mini-2024-07-18","fine_tuned_model":null,"training_file":"file-1"}`, asked: "gpt-4o-mini", answered: "gpt-4o-mini-2024-07-18"},
		sample{dialect: "openai", name: "a search in a vector store", path: "/v1/vector_stores/vs_1/search", request: `{"query":"record"}`, answer: `{"object":"vector_store.search_results.page","data":[{"file_id":"file-9","filename":"law.pdf","score":0.9,"content":[{"type":"text","text":"…"}]}]}`, docs: []string{"file-9"}, said: []string{"…"}},
		sample{
			dialect: "openai", name: "an image is changed", path: "/v1/images/edits", header: map[string]string{"Content-Type": "multipart/form-data; boundary=x7"},
			request: "--x7\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-image-1\r\n--x7\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na hat on the cat\r\n--x7\r\nContent-Disposition: form-data; name=\"image[]\"; filename=\"cat.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\x00\r\n--x7--\r\n",
			answer:  `{"created":1,"output_format":"png","data":[{"b64_json":"aGVsbG8="}],"usage":{"input_tokens":300,"output_tokens":196,"total_tokens":496}}`,
			asked:   "gpt-image-1", usage: "input=300 output=196 total=496", docs: []string{"cat.png"},
		},
		sample{
			dialect: "openai", name: "speech as it is made", path: "/v1/audio/speech", contentType: "text/event-stream", request: `{"model":"gpt-4o-mini-tts","voice":"alloy","input":"The court reporter.","instructions":"Slowly.","stream_format":"sse"}`,
			answer: "data: {\"type\":\"speech.audio.delta\",\"audio\":\"aGVsbG8=\"}\n\ndata: {\"type\":\"speech.audio.done\",\"usage\":{\"input_tokens\":14,\"output_tokens\":101,\"total_tokens\":115}}\n\n",
			asked:  "gpt-4o-mini-tts", usage: "input=14 output=101 total=115",
		},
		sample{
			dialect: "openai", name: "a batch's results", method: "GET", path: "/v1/files/file-2/content", contentType: "application/octet-stream",
			answer:   `{"id":"batch_req_1","custom_id":"a","response":{"status_code":200,"body":{"id":"c","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}},"error":null}` + "\n",
			answered: "gpt-4o-mini-2024-07-18", finish: []string{"stop"}, usage: "input=8 output=2 total=10",
		},
		sample{
			dialect: "openai", name: "an answer that was stored", method: "GET", path: "/v1/chat/completions/chatcmpl-1",
			answer:   `{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}`,
			answered: "gpt-4o-mini-2024-07-18", said: []string{"Hello."},
		},
		sample{dialect: "openai", name: "a conversation goes on", path: "/v1/conversations/conv_1/items", request: `{"items":[{"type":"message","role":"user","content":"Who?"}]}`, answer: `{"object":"list","data":[{"type":"message","id":"msg_1","role":"user","content":[{"type":"input_text","text":"Who?"}]}]}`, said: []string{"Who?"}},
		sample{dialect: "openai", name: "how many tokens", path: "/v1/responses/input_tokens", request: `{"model":"gpt-4o-mini","input":"Who?"}`, answer: `{"object":"response.input_tokens","input_tokens":8}`, asked: "gpt-4o-mini"},
		sample{dialect: "openai", name: "a stored answer is deleted", method: "DELETE", path: "/v1/responses/resp_1", answer: `{"id":"resp_1","object":"response","deleted":true}`},
	)
}
