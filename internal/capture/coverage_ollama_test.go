package capture

import "strings"

func lines(l ...string) string { return strings.Join(l, "\n") + "\n" }

func events(l ...string) string {
	var b strings.Builder
	for _, e := range l {
		if name, data, ok := strings.Cut(e, " {"); ok && !strings.HasPrefix(e, "{") {
			b.WriteString("event: " + name + "\ndata: {" + data + "\n\n")
		} else {
			b.WriteString("data: " + e + "\n\n")
		}
	}
	return b.String()
}

func init() {
	const own = "What runs on one's own machines has no price."
	const silent = "Ollama says nothing of what it thinks of a text."
	for _, api := range []string{"chat", "generate", "embed", "tags"} {
		noCell["ollama "+api+" cost"], noCell["ollama "+api+" provider flags"] = own, silent
	}
	noCell["ollama embed tools"] = "An embedding calls no tool."
	noCell["ollama generate tools"] = "The method knows no tools."
	samples = append(samples,
		sample{
			dialect: "ollama", name: "an answer at once", path: "/api/chat",
			request: `{"model":"llama3.2","stream":false,"options":{"temperature":0.2},"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Who keeps the record?"}]}`,
			answer:  `{"model":"llama3.2","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"The court reporter."},"done_reason":"stop","done":true,"total_duration":9,"prompt_eval_count":26,"eval_count":4}`,
			asked:   "llama3.2", answered: "llama3.2", finish: []string{"stop"}, said: []string{"The court reporter."}, usage: "input=26 output=4",
		},
		sample{
			dialect: "ollama", name: "lines with a thought and a tool call", path: "/api/chat", contentType: "application/x-ndjson",
			request: `{"model":"qwen3","messages":[{"role":"user","content":"How is the weather?"}],"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]}`,
			answer: lines(
				`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","thinking":"I have "},"done":false}`,
				`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","thinking":"to look."},"done":false}`,
				`{"model":"qwen3","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"","tool_calls":[{"function":{"name":"weather","arguments":{"place":"Lisbon"}}}]},"done":false}`,
				`{"model":"qwen3","created_at":"2026-01-02T03:04:06Z","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":120,"eval_count":31}`,
			),
			asked: "qwen3", answered: "qwen3", finish: []string{"stop"}, said: []string{"I have to look.", `{"place":"Lisbon"}`}, tools: []string{"weather"},
			offered: []string{"weather"}, usage: "input=120 output=31",
		},
		sample{
			dialect: "ollama", name: "a model that is not there", path: "/api/chat", status: 404,
			request: `{"model":"nope","messages":[{"role":"user","content":"Hello"}]}`, answer: `{"error":"model 'nope' not found"}`, errType: "404",
		},
		sample{
			dialect: "ollama", name: "an error in the stream", path: "/api/generate", contentType: "application/x-ndjson",
			request: `{"model":"llama3.2","prompt":"Hello"}`,
			answer:  lines(`{"model":"llama3.2","response":"He","done":false}`, `{"error":"an error was encountered while running the model"}`),
			end:     "error_in_answer", errType: "error",
		},
		sample{
			dialect: "ollama", name: "a text goes on", path: "/api/generate", contentType: "application/x-ndjson",
			request: `{"model":"llama3.2","prompt":"The record is kept by","system":"Be brief.","images":["aGVsbG8="]}`,
			answer: lines(
				`{"model":"llama3.2","response":"the court","done":false}`, `{"model":"llama3.2","response":" reporter","done":false}`,
				`{"model":"llama3.2","response":"","done":true,"done_reason":"length","context":[1,2,3],"prompt_eval_count":12,"eval_count":3}`,
			),
			asked: "llama3.2", answered: "llama3.2", finish: []string{"length"}, said: []string{"the court reporter"}, usage: "input=12 output=3",
		},
		sample{
			dialect: "ollama", name: "a text at once", path: "/api/generate", request: `{"model":"llama3.2","prompt":"Hello","stream":false}`,
			answer:   `{"model":"llama3.2","response":"Good day.","done":true,"done_reason":"stop","prompt_eval_count":2,"eval_count":3}`,
			answered: "llama3.2", finish: []string{"stop"}, said: []string{"Good day."}, usage: "input=2 output=3",
		},
		sample{
			dialect: "ollama", name: "vectors", path: "/api/embed", request: `{"model":"all-minilm","input":["a","b"]}`,
			answer: `{"model":"all-minilm","embeddings":[[0.1,0.2],[0.3,0.4]],"prompt_eval_count":8}`, asked: "all-minilm", answered: "all-minilm", usage: "input=8",
		},
		sample{
			dialect: "ollama", name: "no such model for vectors", path: "/api/embed", status: 404, request: `{"model":"x","input":"a"}`, answer: `{"error":"model \"x\" not found"}`, errType: "404",
		},
		sample{
			dialect: "ollama", name: "which models there are", method: "GET", path: "/api/tags", request: "",
			answer: `{"models":[{"name":"llama3.2:latest","size":2019393189}]}`,
		},
	)
}
