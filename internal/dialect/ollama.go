package dialect

import (
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// ollama is the grammar of Ollama's own API. Its OpenAI-compatible side and its Messages side speak theirs.
type ollama struct{}

func (c Call) ollama() grammar {
	switch c.API {
	case "", "chat", "generate", "embed", "tags":
		return ollama{}
	case "messages", "count_tokens":
		return anthropic{}
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
		c.API, c.Operation, c.Stream = "chat", "chat", true // unless the body says otherwise
	case method == http.MethodPost && rest == "generate":
		c.API, c.Operation, c.Stream = "generate", "text_completion", true
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
		if th := t.get(n, "thinking"); a.reader.nonEmpty(th) {
			a.reader.words(th, "output", steno.KindReasoning)
		}
		a.reader.words(t.get(n, "response"), "output", steno.KindFrame)
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
	if lp := t.get(n, "logprobs"); t.shape(lp) == array {
		a.confidence.by = "ollama.logprobs"
		a.confidence.fromTokens(t, lp)
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

// vectors counts the vectors in n, and the numbers of one: lists of numbers, such lists by their type, or one list.
func (t *tape) vectors(n int) (count, length int) {
	switch t.shape(n) {
	case array:
		for el := range t.elements(n) {
			count++
			switch t.shape(el) {
			case array:
				length = t.count(el)
			case text: // base64 of 32-bit floats
				length = len(t.inner(el)) * 3 / 4 / 4
			}
		}
		if count == 0 && t.count(n) > 0 {
			count, length = 1, t.count(n)
		}
	case object:
		for _, v := range t.members(n) {
			if c, l := t.vectors(v); c > 0 {
				return c, l
			}
		}
	}
	return count, length
}

func (ollama) refusal(_ int, _, message string) any {
	return struct {
		Error string `json:"error"`
	}{message}
}
