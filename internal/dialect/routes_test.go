package dialect

import "testing"

func TestOpenAIsPaths(t *testing.T) {
	for path, want := range map[string]string{
		"POST /v1/chat/completions":                                "chat_completions chat",
		"GET /v1/chat/completions":                                 "stored manage",
		"GET /v1/chat/completions/chatcmpl-1/messages":             "stored manage",
		"POST /v1/responses":                                       "responses chat",
		"POST /v1/responses/compact":                               "responses chat",
		"POST /v1/responses/input_tokens":                          "input_tokens count_tokens",
		"GET /v1/responses/resp_1":                                 "responses retrieve",
		"POST /v1/responses/resp_1/cancel":                         "responses retrieve",
		"DELETE /v1/responses/resp_1":                              "stored manage",
		"GET /v1/responses/resp_1/input_items":                     "stored manage",
		"POST /v1/images/generations":                              "images image_generation",
		"POST /v1/images/edits":                                    "images image_generation",
		"GET /v1/images/generations":                               " ",
		"POST /v1/audio/translations":                              "transcriptions translation",
		"POST /v1/audio/other":                                     " ",
		"GET /v1/models":                                           "models models",
		"GET /v1/models/org/a/model":                               "models models",
		"DELETE /v1/models/ft:a":                                   "models manage",
		"GET /v1/files/file-1/content":                             "file_content manage",
		"GET /v1/containers/c/files/f/content":                     "file_content manage",
		"GET /v1/files":                                            "files manage",
		"POST /v1/vector_stores/vs_1/search":                       "vector_store_search retrieval",
		"GET /v1/vector_stores/vs_1/files/file-1/content":          "vector_stores manage",
		"POST /v1/threads":                                         "threads manage",
		"POST /v1/threads/runs":                                    "runs invoke_agent",
		"POST /v1/threads/thread_1/runs":                           "runs invoke_agent",
		"GET /v1/threads/thread_1/runs":                            "threads manage",
		"GET /v1/threads/thread_1/runs/run_1":                      "runs retrieve",
		"POST /v1/threads/thread_1/runs/run_1":                     "threads manage",
		"GET /v1/threads/thread_1/runs/run_1/steps":                "threads manage",
		"POST /v1/threads/thread_1/runs/run_1/submit_tool_outputs": "runs invoke_agent",
		"POST /v1/conversations/conv_1/items":                      "conversations manage",
		"POST /v1/realtime/other":                                  " ",
		"POST /v1/":                                                " ",
	} {
		method, path := cut(path)
		if c := RouteAs(OpenAI, method, path); c.API+" "+c.Operation != want {
			t.Errorf("%s %s: %q %q, want %q", method, path, c.API, c.Operation, want)
		}
	}
}

func TestAnthropicsPaths(t *testing.T) {
	for path, want := range map[string]string{
		"POST /v1/messages":                   "messages chat",
		"GET /v1/messages":                    " ",
		"POST /v1/messages/count_tokens":      "count_tokens count_tokens",
		"POST /v1/messages/batches":           "message_batches manage",
		"GET /v1/messages/batches/b":          "message_batches manage",
		"POST /v1/messages/batches/b/cancel":  "message_batches manage",
		"DELETE /v1/messages/batches/b":       "message_batches manage",
		"GET /v1/messages/batches/b/results":  "batch_results retrieve",
		"POST /v1/files":                      "files manage",
		"GET /v1/files/file_1/content?beta=1": "file_content manage",
		"GET /v1/models/claude-haiku-4-5":     "models models",
		"DELETE /v1/models/claude-haiku-4-5":  " ",
	} {
		method, path := cut(path)
		if c := RouteAs(Anthropic, method, path); c.API+" "+c.Operation != want {
			t.Errorf("%s %s: %q %q, want %q", method, path, c.API, c.Operation, want)
		}
	}
}

func cut(s string) (method, path string) {
	for i := range s {
		if s[i] == ' ' {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}
