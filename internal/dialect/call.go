package dialect

import (
	"encoding/json"
	"net/http"
	"strings"
)

// The dialects.
const (
	OpenAI    = "openai" // and the many servers that are compatible with it
	Anthropic = "anthropic"
	Bedrock   = "bedrock" // Amazon's runtime
	Gemini    = "gemini"  // Google's Gemini API and Vertex AI
	Azure     = "azure"   // Azure OpenAI
	Mistral   = "mistral"
	Cohere    = "cohere"
	Ollama    = "ollama"
)

// Dialects are the names that an upstream's dialect may have.
var Dialects = []string{OpenAI, Anthropic, Azure, Bedrock, Cohere, Gemini, Mistral, Ollama}

// Call is a kind of call in a dialect.
type Call struct {
	Dialect   string
	API       string // the dialect's name for it: chat_completions, messages, generate_content …; "" = not understood
	Operation string // chat, text_completion, embeddings …: OpenTelemetry's gen_ai.operation.name
	Model     string // the model, where the path names it
	Stream    bool   // the path asks for a stream, or gets one unless the body says otherwise
}

// A grammar is what one dialect does in its own way. Requests have none: the names of members and blocks do not collide,
// so that one reader reads them all.
type grammar interface {
	// call fills in which call a path is, given without query.
	call(c *Call, method, path string)
	// object reads a whole answer, the value n.
	object(a *answer, n int)
	// event reads one event of a streamed answer, whose data is the root of the tape and which ends at the offset end.
	event(s *Stream, typ string, end int)
	// refusal is an error of the gateway in the shape that the dialect's clients expect.
	refusal(status int, code, message string) any
}

func (c Call) grammar() grammar {
	switch c.Dialect {
	case Anthropic:
		return anthropic{}
	case Bedrock:
		return bedrock{}
	case Gemini:
		return c.google()
	case Azure:
		return c.azure()
	case Mistral:
		return mistral{}
	case Cohere:
		return c.cohere()
	case Ollama:
		return c.ollama()
	default:
		return c.openAI()
	}
}

// Route says which call a request is, from its path without an upstream's prefix and without query: /model/ and
// /guardrail/ make it Bedrock's, else an anthropic-version header makes it Anthropic's, /v1/messages and /v1/complete do,
// a version that only Google has, a project or a method behind a colon Google's, else /v1/ makes it OpenAI's.
func Route(method, path string, h http.Header) (c Call, ok bool) {
	path, _, _ = strings.Cut(path, "?")
	switch {
	case strings.HasPrefix(path, "/model/") || strings.HasPrefix(path, "/guardrail/"):
		return RouteAs(Bedrock, method, path), true // Anthropic's own client for Bedrock sends the header too
	case h.Get("anthropic-version") != "":
		return RouteAs(Anthropic, method, path), true
	case path == "/v1/messages" || strings.HasPrefix(path, "/v1/messages/") || path == "/v1/complete":
		return RouteAs(Anthropic, method, path), true
	case isGemini(method, path):
		return RouteAs(Gemini, method, path), true
	case strings.HasPrefix(path, "/v1/"):
		return RouteAs(OpenAI, method, path), true
	}
	return Call{}, false
}

// RouteAs says which call a request is whose dialect is known, as that of a configured upstream is.
func RouteAs(dialect, method, path string) Call {
	path, _, _ = strings.Cut(path, "?")
	c := Call{Dialect: dialect}
	c.grammar().call(&c, strings.ToUpper(method), path)
	return c
}

// unversioned is a path without the /v1 that may stand in the upstream's address instead, and without what compatible
// servers have before it: /openai/v1, /api/v1, /inference/v1, or /beta in its place.
func unversioned(path string) string {
	if _, rest, ok := strings.Cut(path, "/v1/"); ok {
		path = rest
	}
	return "/" + strings.Trim(strings.TrimPrefix(path, "/beta/"), "/")
}

// converses says whether the call goes on with what was said before; otherwise its inputs stand beside each other.
func (c Call) converses() bool {
	if c.API == "predict" || c.API == "predict_long_running" {
		return false
	}
	switch c.Operation {
	case "chat", "generate_content", "count_tokens", "retrieve", "manage", "invoke_agent", "":
		return true
	}
	return false
}

// Generates says whether the call makes a model produce an answer and so has usage.
func (c Call) Generates() bool {
	switch c.Operation {
	case "", "models", "count_tokens", "manage", "moderation", "retrieval":
		return false
	case "retrieve":
		return c.API == "responses" || c.API == "runs" || c.API == "batch_results"
	}
	return true
}

// Error is an error of the gateway itself in the dialect's shape, so that the official clients raise the exception
// that fits the status. A call without dialect gets OpenAI's.
func (c Call) Error(status int, code, message string) []byte {
	b, err := json.Marshal(c.grammar().refusal(status, code, message))
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, '\n')
}
