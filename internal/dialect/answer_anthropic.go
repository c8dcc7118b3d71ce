package dialect

import (
	"github.com/steno-audit/steno"
)

// anthropic is the grammar of Anthropic.
type anthropic struct{}

func (anthropic) call(c *Call, method, path string) {
	c.API, c.Operation = routed(anthropicRoutes, method, unversioned(path))
}

func (anthropic) object(a *answer, n int) {
	switch a.call.API {
	case "messages":
		a.claude(n)
	case "complete":
		a.legacy(n)
	case "models":
		a.models(n)
	case "message_batches", "files", "skills":
		a.kept(n)
	case "count_tokens":
		a.known = a.reader.get(n, "input_tokens") != 0
	}
}

func (anthropic) event(s *Stream, typ string, _ int) {
	switch s.answer.call.API {
	case "messages":
		s.messageEvent(typ)
	case "complete":
		s.legacyEvent(typ)
	default:
		s.failed()
	}
}

func (anthropic) refusal(status int, code, message string) any {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
		Code    string `json:"code,omitempty"`
	}
	return struct {
		Type  string `json:"type"`
		Error detail `json:"error"`
	}{"error", detail{anthropicErrorType(status), message, code}}
}

func anthropicErrorType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 504:
		return "timeout_error"
	case 503, 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

// claude reads an answer of Messages.
func (a *answer) claude(n int) {
	t := a.reader.tape
	a.known = t.shape(t.get(n, "content")) == array
	a.claudeHead(n)
	a.reader.content(t.get(n, "content"), "output", steno.KindFrame)
	a.usage.final = true
	a.stopped(n)
}

// claudeHead reads what stands both in a whole message and in a stream's message_start.
func (a *answer) claudeHead(n int) {
	t := a.reader.tape
	a.head(n)
	u := t.get(n, "usage")
	a.usage.anthropic(t, u)
	if tier := t.str(t.get(u, "service_tier"), 64); tier != "" {
		a.model.ServiceTier = tier
	}
}

// stopped reads how the message ended, from the message or a message_delta's delta.
func (a *answer) stopped(n int) bool {
	t := a.reader.tape
	reason := t.str(t.get(n, "stop_reason"), 64)
	if reason == "" {
		return false
	}
	a.choice(0).finish = reason
	if reason == "refusal" {
		a.refuse("stop_reason", "out", nil)
	}
	return true
}

// legacy reads an answer of the old text completions.
func (a *answer) legacy(n int) {
	t := a.reader.tape
	a.known = t.get(n, "completion") != 0
	a.head(n)
	a.reader.words(t.get(n, "completion"), "output", steno.KindFrame)
	a.stopped(n)
}
