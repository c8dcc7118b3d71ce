package dialect

import (
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// cohere is the grammar of Cohere, of both versions of its API.
type cohere struct{}

func (cohere) call(c *Call, method, path string) {
	version, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if version != "v1" && version != "v2" {
		version, rest = "v2", strings.Trim(path, "/")
	}
	if method == http.MethodGet && (rest == "models" || strings.HasPrefix(rest, "models/")) {
		c.API, c.Operation = "models", "models"
	}
	if method != http.MethodPost {
		return
	}
	switch rest {
	case "chat":
		c.API, c.Operation = version+"_chat", "chat"
	case "generate":
		c.API, c.Operation = "generate", "text_completion"
	case "embed":
		c.API, c.Operation = "embed", "embeddings"
	case "rerank":
		c.API, c.Operation = "rerank", "rerank"
	case "tokenize", "detokenize":
		c.API, c.Operation = rest, "manage"
	}
}

func (cohere) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "v1_chat":
		a.cohereV1(n)
	case "v2_chat":
		a.head(n)
		a.cohereUsage(t.get(n, "usage"))
		a.cohereEnd(n)
		if m := t.get(n, "message"); t.shape(m) == object {
			a.known = true
			a.reader.message(m)
			a.cohereCitations(t.get(m, "citations"))
		}
	case "generate":
		a.cohereHead(n)
		i := 0
		for g := range t.elements(t.get(n, "generations")) {
			a.known = true
			a.reader.words(t.get(g, "text"), "output", steno.KindFrame)
			a.reader.last(i)
			if reason := t.str(t.get(g, "finish_reason"), 64); reason != "" {
				a.choice(i).finish = reason
			}
			i++
		}
	case "embed":
		a.cohereHead(n)
		a.known = t.has(t.get(n, "embeddings"))
	case "rerank":
		a.cohereHead(n)
		a.known = t.shape(t.get(n, "results")) == array
	case "models":
		a.known = t.shape(t.get(n, "models")) == array || t.get(n, "name") != 0
	case "tokenize", "detokenize":
		a.known = t.get(n, "tokens") != 0 || t.get(n, "text") != 0
	}
	if !a.known && t.shape(t.get(n, "message")) == text {
		a.failed = "error" // an error has a message and nothing else
	}
}

// last says to which choice the item that was read last belongs.
func (r *reader) last(choice int) {
	if n := len(r.items); n > 0 {
		r.items[n-1].slot.choice = choice
	}
}

// cohereHead reads the id and the counts, which version 1 keeps under meta.
func (a *answer) cohereHead(n int) {
	t := a.reader.tape
	a.head(n)
	for _, name := range [...]string{"generation_id", "response_id"} {
		if id := t.str(t.get(n, name), maxName); id != "" {
			a.result.ID = id
		}
	}
	a.cohereUsage(t.get(n, "meta"))
}

// cohereUsage reads the counts: those of the tokens that the model read and wrote, else of those that are billed.
func (a *answer) cohereUsage(n int) {
	t := a.reader.tape
	if t.shape(n) != object {
		return
	}
	a.usage.asked = true
	for _, name := range [...]string{"billed_units", "tokens"} {
		u := t.get(n, name)
		take(&a.usage.input, t.integer(t.get(u, "input_tokens")))
		take(&a.usage.output, t.integer(t.get(u, "output_tokens")))
	}
	take(&a.usage.cacheRead, t.integer(t.get(n, "cached_tokens")))
	a.usage.final = true
}

func (a *answer) cohereEnd(n int) {
	t := a.reader.tape
	reason := t.str(t.get(n, "finish_reason"), 64)
	if reason == "" {
		return
	}
	a.choice(0).finish = reason
	if reason == "ERROR_TOXIC" {
		a.refuse("finish_reason", "out", nil)
	}
}

// cohereV1 reads an answer of version 1, or what the last event of a stream carries.
func (a *answer) cohereV1(n int) {
	t := a.reader.tape
	a.cohereHead(n)
	a.cohereEnd(n)
	a.known = a.known || t.get(n, "text") != 0
	a.reader.words(t.get(n, "text"), "output", steno.KindFrame)
	for call := range t.elements(t.get(n, "tool_calls")) {
		a.reader.call(t.get(call, "parameters"), t.get(call, "name"), 0, "function")
	}
	a.cohereCitations(t.get(n, "citations"))
	a.cohereDocuments(t.get(n, "documents"))
}

func (a *answer) cohereDocuments(n int) {
	t := a.reader.tape
	for d := range t.elements(n) {
		a.documents.add(steno.Document{ID: t.str(t.get(d, "id"), maxName), Title: t.str(t.get(d, "title"), maxTitle), Origin: "citation"})
	}
}

// cohereCitations reads which documents an answer names: by their ids, or with what they are.
func (a *answer) cohereCitations(n int) {
	t := a.reader.tape
	cite := func(c int) {
		for id := range t.elements(t.get(c, "document_ids")) {
			a.documents.add(steno.Document{ID: t.str(id, maxName), Origin: "citation"})
		}
		for src := range t.elements(t.get(c, "sources")) {
			d := t.get(src, "document")
			doc := steno.Document{ID: t.str(t.get(src, "id"), maxName), Title: t.str(t.get(d, "title"), maxTitle), Origin: "citation"}
			if id := t.str(t.get(d, "id"), maxName); id != "" {
				doc.ID = id
			}
			a.documents.add(doc)
		}
	}
	if t.shape(n) == object { // a stream's come one by one
		cite(n)
	}
	for c := range t.elements(n) {
		cite(c)
	}
}

func (cohere) event(s *Stream, typ string, _ int) {
	t := &s.tape
	switch {
	case s.answer.error(root):
		s.terminal()
	case s.answer.call.API == "v1_chat" || s.answer.call.API == "generate":
		s.cohereV1(string(t.bytes(t.get(root, "event_type"))))
	case s.answer.call.API == "v2_chat":
		s.cohereV2(typ)
	}
}

func (s *Stream) cohereV1(typ string) {
	a, t := s.answer, &s.tape
	a.known = a.known || typ != ""
	switch typ {
	case "stream-start":
		a.cohereHead(root)
	case "text-generation":
		s.fragment(t.get(root, "text"), slot{field: 'c'}, item{origin: "output"})
	case "tool-calls-generation":
		for call := range t.elements(t.get(root, "tool_calls")) {
			s.first = true
			a.reader.call(t.get(call, "parameters"), t.get(call, "name"), 0, "function")
		}
	case "citation-generation":
		a.cohereCitations(t.get(root, "citations"))
	case "search-results":
		a.cohereDocuments(t.get(root, "documents"))
	case "stream-end":
		s.terminal()
		if n := t.get(root, "response"); t.shape(n) == object {
			// It carries the whole answer: what was gathered from its fragments is in it.
			a.reader.items, a.documents.list = a.reader.items[:0], nil
			a.cohereV1(n)
		}
		a.cohereEnd(root)
	}
}

func (s *Stream) cohereV2(typ string) {
	a, t := s.answer, &s.tape
	delta := t.get(root, "delta")
	m := t.get(delta, "message")
	index := t.index(t.get(root, "index"), 0)
	words := item{origin: "output"}
	switch typ {
	case "message-start":
		a.known = true
		a.head(root)
	case "content-start", "content-delta":
		c := t.get(m, "content")
		s.fragment(t.get(c, "text"), slot{index: index, field: 'c'}, words)
		s.fragment(t.get(c, "thinking"), slot{index: index, field: 't'}, item{origin: "output", kind: steno.KindReasoning})
	case "tool-plan-delta":
		s.fragment(t.get(m, "tool_plan"), slot{field: 'p'}, item{origin: "output", kind: steno.KindReasoning})
	case "tool-call-start", "tool-call-delta":
		call := t.get(m, "tool_calls")
		f := t.get(call, "function")
		s.callFragment(f, t.get(call, "id"), t.get(f, "arguments"), slot{index: index, field: 'f'}, "function")
	case "citation-start":
		a.cohereCitations(t.get(m, "citations"))
	case "message-end":
		s.terminal()
		a.cohereUsage(t.get(delta, "usage"))
		a.cohereEnd(delta)
		if e := t.str(t.get(delta, "error"), 96); e != "" {
			a.failed = "error"
		}
	}
}

func (cohere) refusal(_ int, _, message string) any {
	return struct {
		Message string `json:"message"`
	}{message}
}
