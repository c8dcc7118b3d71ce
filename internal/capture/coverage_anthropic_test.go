package capture

func init() {
	noCell["count_tokens streamed"] = "Counting tokens answers with one number."
	samples = append(samples,
		sample{
			dialect: "anthropic", name: "a message", path: "/v1/messages",
			request:  `{"model":"claude-haiku-4-5","max_tokens":64,"system":"Be brief.","messages":[{"role":"user","content":"Who keeps the record?"}]}`,
			answer:   `{"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"The court reporter."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1000,"cache_read_input_tokens":200,"cache_creation_input_tokens":0,"output_tokens":500}}`,
			asked:    "claude-haiku-4-5",
			answered: "claude-haiku-4-5-20251001", finish: []string{"end_turn"}, said: []string{"The court reporter."},
			usage: "input=1200 output=500 cache_read=200 cache_write=0", cost: "0.00352",
		},
	)
}
