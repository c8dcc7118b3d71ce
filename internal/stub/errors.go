package stub

import (
	"fmt"
	"net/http"
	"strings"
)

// apiError is an error that a provider answers with, before it has a dialect.
type apiError struct {
	status      int
	kind        string // OpenAI's type; Anthropic's follows from the status
	param, code string // OpenAI's, empty for null
	message     string
}

func badRequest(param, code, format string, args ...any) *apiError {
	return &apiError{http.StatusBadRequest, "invalid_request_error", param, code, fmt.Sprintf(format, args...)}
}

// failure is the error that fail= asks for.
func (a *ask) failure() *apiError {
	k := &a.knobs
	e := &apiError{status: k.fail, kind: "invalid_request_error", message: "The stub was told to fail this request."}
	if k.failName == "overloaded" && !a.anthropic() {
		e.status = http.StatusServiceUnavailable
	}
	switch e.status {
	case http.StatusUnauthorized:
		e.code, e.message = "invalid_api_key", "Incorrect API key provided."
	case http.StatusNotFound:
		e.code, e.message = "model_not_found", fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", a.model)
	case http.StatusRequestEntityTooLarge:
		e.message = "Request exceeds the maximum size."
	case http.StatusTooManyRequests:
		e.kind, e.code, e.message = "requests", "rate_limit_exceeded", "Rate limit reached for "+a.model+" on requests per min. Please slow down."
		if k.failName == "quota" {
			e.kind, e.code, e.message = "insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."
		}
	case 529:
		e.kind, e.message = "server_error", "Overloaded"
	}
	if e.status >= 500 && e.status != 529 {
		e.kind, e.message = "server_error", "The server had an error while processing your request. Sorry about that!"
	}
	return e
}

// streamFailure is the error of error-in-stream.
func (a *ask) streamFailure() *apiError {
	if a.anthropic() {
		return &apiError{status: 529, message: "Overloaded"}
	}
	return &apiError{
		status: http.StatusInternalServerError, kind: "server_error", code: "server_error",
		message: "The server had an error while processing your request. Sorry about that!",
	}
}

func anthropicKind(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "authentication_error"
	case http.StatusPaymentRequired:
		return "billing_error"
	case http.StatusForbidden:
		return "permission_error"
	case http.StatusNotFound:
		return "not_found_error"
	case http.StatusRequestEntityTooLarge:
		return "request_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_error"
	case http.StatusGatewayTimeout:
		return "timeout_error"
	case 529:
		return "overloaded_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

func (e *apiError) openAI(b []byte) []byte {
	b = append(b, `{"error":{"message":`...)
	b = appendString(b, e.message)
	b = append(b, `,"type":`...)
	b = appendString(b, e.kind)
	b = append(b, `,"param":`...)
	b = appendNullable(b, e.param)
	b = append(b, `,"code":`...)
	b = appendNullable(b, e.code)
	return append(b, '}', '}')
}

func (e *apiError) anthropic(b []byte, request string) []byte {
	b = append(b, `{"type":"error","error":{"type":`...)
	b = appendString(b, anthropicKind(e.status))
	b = append(b, `,"message":`...)
	b = appendString(b, e.message)
	b = append(b, '}')
	if request != "" {
		b = append(b, `,"request_id":`...)
		b = appendString(b, request)
	}
	return append(b, '}')
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// appendRaw appends a member of the request as it was, null if it wasn't there.
func appendRaw(b, v []byte, without string) []byte {
	if v == nil {
		return append(b, without...)
	}
	return appendCompact(b, v)
}

func (a *ask) refuse(e *apiError) reply {
	if a.anthropic() {
		return reply{status: e.status, body: e.anthropic(nil, a.requestID())}
	}
	return reply{status: e.status, body: append(appendIndented(nil, e.openAI(nil)), '\n')}
}

// unauthorized is the error of a request without any key; a key's value is never looked at.
func (a *ask) unauthorized() *apiError {
	h := a.r.Header
	key := strings.TrimSpace(strings.TrimPrefix(h.Get("Authorization"), "Bearer"))
	if key != "" || h.Get("x-api-key") != "" {
		return nil
	}
	e := &apiError{status: http.StatusUnauthorized, kind: "invalid_request_error", message: "You didn't provide an API key."}
	if a.anthropic() {
		e.message = "x-api-key header is required"
	}
	return e
}
