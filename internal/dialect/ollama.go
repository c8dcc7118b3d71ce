package dialect

import (
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// ollama is the grammar of Ollama's own API. Its OpenAI-compatible side and its Messages side speak theirs.
type ollama struct{}

// ollamaAPIs are the APIs that are Ollama's own.
var ollamaAPIs = map[string]bool{"": true, "chat": true, "generate": true, "embed": true, "tags": true}

func (c Call) ollama() grammar {
	switch {
	case c.API == "messages":
		return anthropic{}
	case ollamaAPIs[c.API]:
		return ollama{}
	}
	return openAI{}
}

func (ollama) call(c *Call, method, path string) {
	rest, own := strings.CutPrefix(path, "/api/")
	switch {
	case !own && strings.HasPrefix(path, "/v1/messages"):
		anthropic{}.call(c, method, path)
	case !own:
		openAI{}.call(c, method, path)
		if c.API == "models" { // the answers are alike
			c.API = "tags"
		}
	case method == http.MethodPost && rest == "chat":
		c.API, c.Operation = "chat", "chat"
	case method == http.MethodPost && rest == "generate":
		c.API, c.Operation = "generate", "text_completion"
	case method == http.MethodPost && (rest == "embed" || rest == "embeddings"):
		c.API, c.Operation = "embed", "embeddings"
	case rest == "tags" || rest == "ps" || rest == "version" || rest == "show":
		c.API, c.Operation = "tags", "models"
	}
}

func (ollama) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "chat", "generate":
		a.ollamaHead(n)
		a.reader.words(t.get(n, "response"), "output", steno.KindFrame)
		if th := t.get(n, "thinking"); a.reader.nonEmpty(th) {
			a.reader.words(th, "output", steno.KindReasoning)
		}
		if m := t.get(n, "message"); t.shape(m) == object {
			a.reader.message(m)
		}
		a.known = a.known || t.get(n, "response") != 0 || t.shape(t.get(n, "message")) == object
	case "embed":
		a.ollamaHead(n)
		a.known = t.shape(t.get(n, "embedding")) == array || t.shape(t.get(n, "embeddings")) == array
	case "tags":
		a.models(n)
		for _, name := range [...]string{"models", "version", "modelfile", "details", "model_info"} {
			a.known = a.known || t.get(n, name) != 0
		}
	}
}

// ollamaHead reads what stands beside the words: counts and the reason come with the last line of a stream.
func (a *answer) ollamaHead(n int) {
	t := a.reader.tape
	a.head(n)
	if reason := t.str(t.get(n, "done_reason"), 64); reason != "" {
		a.choice(0).finish = reason
	}
	take(&a.usage.input, t.integer(t.get(n, "prompt_eval_count")))
	take(&a.usage.output, t.integer(t.get(n, "eval_count")))
	a.usage.asked = true
}

func (ollama) event(s *Stream, _ string, _ int) {
	a, t := s.answer, &s.tape
	if a.error(root) {
		s.terminal()
		return
	}
	words := item{origin: "output"}
	thought := item{origin: "output", kind: steno.KindReasoning}
	s.fragment(t.get(root, "response"), slot{field: 'c'}, words)
	s.fragment(t.get(root, "thinking"), slot{field: 't'}, thought)
	m := t.get(root, "message")
	s.fragment(t.get(m, "content"), slot{field: 'c'}, words)
	s.fragment(t.get(m, "thinking"), slot{field: 't'}, thought)
	for call := range t.elements(t.get(m, "tool_calls")) { // each whole
		s.first = true
		a.reader.toolCall(call)
	}
	a.known = a.known || t.get(root, "response") != 0 || t.shape(m) == object
	a.ollamaHead(root)
	if t.shape(t.get(root, "done")) == yes {
		s.terminal()
	}
}

func (ollama) refusal(_ int, _, message string) any {
	return struct {
		Error string `json:"error"`
	}{message}
}
