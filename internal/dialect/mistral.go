package dialect

import "net/http"

// mistral is the grammar of Mistral: OpenAI's, with completions of its own.
type mistral struct{}

func (mistral) call(c *Call, method, path string) {
	openAI{}.call(c, method, path)
	if method != http.MethodPost {
		return
	}
	switch unversioned(path) {
	case "/fim/completions":
		c.API, c.Operation = "fim_completions", "text_completion"
	case "/agents/completions":
		c.API, c.Operation = "chat_completions", "chat"
	}
}

func (mistral) object(a *answer, n int) {
	if a.call.API == "fim_completions" {
		a.completion(n)
		return
	}
	openAI{}.object(a, n)
}

func (mistral) event(s *Stream, typ string, end int) {
	if s.answer.call.API == "fim_completions" {
		s.chunk(end)
		return
	}
	openAI{}.event(s, typ, end)
}

func (mistral) refusal(status int, code, message string) any {
	return struct {
		Object  string  `json:"object"`
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}{"error", message, openAIErrorType(status), nil, code}
}
