package dialect

import (
	"encoding/json"
	"net/http"
	"strings"
)

// The dialects.
const (
	OpenAI    = "openai"
	Anthropic = "anthropic"
)

// Call is a kind of call in a dialect.
type Call struct {
	Dialect   string // openai, anthropic
	API       string // chat_completions completions responses embeddings models messages count_tokens complete; "" = not understood
	Operation string // chat text_completion embeddings …, OpenTelemetry's gen_ai.operation.name
}

// Route says which call a request is, from its path without an upstream's prefix and without query: an
// anthropic-version header makes it Anthropic's, else /v1/messages and /v1/complete do, else /v1/ makes it OpenAI's.
func Route(method, path string, h http.Header) (c Call, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case h.Get("anthropic-version") != "":
		return RouteAs(Anthropic, method, path), true
	case path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") || path == "/v1/complete":
		return RouteAs(Anthropic, method, path), true
	case strings.HasPrefix(path, "/v1/"):
		return RouteAs(OpenAI, method, path), true
	}
	return Call{}, false
}

// RouteAs says which call a request is whose dialect is known, as that of a configured upstream is. The /v1 may be
// missing, since it may stand in the upstream's address.
func RouteAs(dialect, method, path string) Call {
	path, _, _ = strings.Cut(path, "?")
	path = "/" + strings.Trim(strings.TrimPrefix(path, "/v1/"), "/")
	c := Call{Dialect: dialect}
	switch dialect {
	case OpenAI:
		c.API, c.Operation = openAICall(method, path)
	case Anthropic:
		c.API, c.Operation = anthropicCall(method, path)
	}
	if c.API == "" && (path == "/models" || strings.HasPrefix(path, "/models/")) && method == http.MethodGet {
		c.API, c.Operation = "models", "models"
	}
	return c
}

func openAICall(method, path string) (api, operation string) {
	if method == http.MethodPost {
		switch path {
		case "/chat/completions":
			return "chat_completions", "chat"
		case "/completions":
			return "completions", "text_completion"
		case "/responses":
			return "responses", "chat"
		case "/embeddings":
			return "embeddings", "embeddings"
		}
	}
	// A background response is asked for again, or cancelled, by its id; its usage may be seen more than once.
	if id, ok := strings.CutPrefix(path, "/responses/resp_"); ok {
		id, verb, _ := strings.Cut(id, "/")
		if id != "" && (method == http.MethodGet && verb == "" || method == http.MethodPost && verb == "cancel") {
			return "responses", "retrieve"
		}
	}
	return "", ""
}

func anthropicCall(method, path string) (api, operation string) {
	if method != http.MethodPost {
		return "", ""
	}
	switch path {
	case "/messages":
		return "messages", "chat"
	case "/messages/count_tokens":
		return "count_tokens", "count_tokens"
	case "/complete":
		return "complete", "text_completion"
	}
	return "", ""
}

// generates says whether the call makes a model produce an answer and so has usage.
func (c Call) generates() bool {
	switch c.API {
	case "chat_completions", "completions", "responses", "embeddings", "messages", "complete":
		return true
	}
	return false
}

// Error is an error of the gateway itself in the dialect's shape, so that the official clients raise the exception
// that fits the status. A call without dialect gets OpenAI's.
func (c Call) Error(status int, code, message string) []byte {
	var v any
	if c.Dialect == Anthropic {
		type detail struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Code    string `json:"code,omitempty"`
		}
		v = struct {
			Type  string `json:"type"`
			Error detail `json:"error"`
		}{"error", detail{anthropicErrorType(status), message, code}}
	} else {
		type detail struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    string  `json:"code"`
		}
		v = struct {
			Error detail `json:"error"`
		}{detail{Message: message, Type: openAIErrorType(status), Code: code}}
	}
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, '\n')
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

func openAIErrorType(status int) string {
	switch {
	case status == 401:
		return "authentication_error"
	case status == 403:
		return "permission_error"
	case status == 429:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}
