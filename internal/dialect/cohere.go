package dialect

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// cohere is the grammar of Cohere, of both versions of its API. Its OpenAI-compatible side speaks OpenAI's.
type cohere struct{}

func (c Call) cohere() grammar {
	switch c.API {
	case "chat_completions", "completions", "embeddings":
		return openAI{}
	}
	return cohere{}
}

func (cohere) call(c *Call, method, path string) {
	if strings.HasPrefix(path, "/compatibility/") {
		openAI{}.call(c, method, path)
		return
	}
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
	case "summarize":
		c.API, c.Operation = "summarize", "text_completion"
	case "embed":
		c.API, c.Operation = "embed", "embeddings"
	case "rerank":
		c.API, c.Operation = "rerank", "rerank"
	case "classify":
		c.API, c.Operation = "classify", "classification"
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
		for lp := range t.elements(t.get(n, "logprobs")) {
			a.cohereTokens(lp)
		}
	case "generate":
		a.cohereGenerations(n)
	case "summarize":
		a.cohereHead(n)
		a.known = t.get(n, "summary") != 0
		a.reader.words(t.get(n, "summary"), "output", steno.KindFrame)
	case "embed":
		a.cohereHead(n)
		a.known = t.has(t.get(n, "embeddings"))
	case "rerank":
		a.cohereHead(n)
		a.ranked(t.get(n, "results"))
	case "classify":
		a.cohereHead(n)
		a.cohereClasses(t.get(n, "classifications"))
	case "models":
		a.known = t.shape(t.get(n, "models")) == array || t.shape(t.get(n, "data")) == array || t.get(n, "name") != 0
	case "tokenize", "detokenize":
		a.known = t.get(n, "tokens") != 0 || t.get(n, "text") != 0
	}
	if !a.known && a.failed == "" {
		a.unshaped(n) // an error has a message and nothing else
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
	switch reason {
	case "ERROR_TOXIC":
		a.refuse("finish_reason", "out", nil)
	case "ERROR":
		a.failed = "error"
	}
}

// cohereTokens reads the log probabilities of one or several tokens.
func (a *answer) cohereTokens(n int) {
	t := a.reader.tape
	if v := t.get(n, "logprobs"); t.shape(v) == array {
		a.confidence.by = "cohere.logprobs"
		a.numbers(v)
	}
}

// cohereV1 reads an answer of version 1, or what the last event of a stream carries.
func (a *answer) cohereV1(n int) {
	t := a.reader.tape
	a.cohereHead(n)
	a.cohereEnd(n)
	a.known = a.known || t.get(n, "text") != 0
	a.reader.words(t.get(n, "text"), "output", steno.KindFrame)
	a.cohereQueries(n)
	for call := range t.elements(t.get(n, "tool_calls")) {
		a.reader.toolCall(call)
	}
	a.cohereCitations(t.get(n, "citations"))
	a.cohereDocuments(t.get(n, "documents"))
}

// cohereQueries reads what the model searches for: a tool of the provider's own.
func (a *answer) cohereQueries(n int) {
	t := a.reader.tape
	for q := range t.elements(t.get(n, "search_queries")) {
		a.reader.call(t.get(q, "text"), 0, t.get(q, "generation_id"), "extension")
		a.reader.items[len(a.reader.items)-1].name = "search"
	}
}

// cohereGenerations reads the texts of a generate call.
func (a *answer) cohereGenerations(n int) {
	t := a.reader.tape
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
}

// cohereClasses reads the labels that texts were given, and how sure they are.
func (a *answer) cohereClasses(n int) {
	t := a.reader.tape
	a.known = t.shape(n) == array
	a.confidence.by = "cohere.confidence"
	for c := range t.elements(n) {
		a.reader.words(t.get(c, "prediction"), "output", steno.KindFrame)
		a.confidence.mean(t.float(t.get(c, "confidence")))
	}
}

// ranked reads an order of the documents that the request gave: each by its place, with how relevant it is.
func (a *answer) ranked(n int) {
	t := a.reader.tape
	a.known = t.shape(n) == array
	for hit := range t.elements(n) {
		d := t.get(hit, "document")
		doc := steno.Document{
			ID: t.str(t.get(d, "id"), maxName), Title: t.str(t.get(d, "title"), maxTitle), Score: t.float(t.get(hit, "relevance_score")), Origin: "rerank",
		}
		if doc.Score == nil {
			doc.Score = t.float(t.get(hit, "score")) // vLLM
		}
		if doc.ID == "" && doc.Title == "" {
			doc.ID = fmt.Sprintf("document %d of the prompt", t.index(t.get(hit, "index"), 0))
		}
		a.documents.add(doc)
		if t.shape(d) == object {
			d = t.get(d, "text")
		}
		a.reader.words(d, "document", steno.KindContext)
	}
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
	for c := range t.one(n) { // a stream's come one by one
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
}

// given reads documents that stand beside the messages: as hits, or as Cohere's second version has them, with their text and
// title under data.
func (d *documents) given(t *tape, n int) {
	d.fromHits(t, n, "document")
	for el := range t.one(n) {
		if data := t.get(el, "data"); t.shape(data) == object {
			d.add(steno.Document{ID: t.str(t.get(el, "id"), maxName), Title: t.str(t.get(data, "title"), maxTitle), Origin: "document"})
		}
	}
}

// fromCohereResults looks for documents in what tools gave back, which version 1 takes as objects.
func (d *documents) fromCohereResults(t *tape, n int) {
	for res := range t.elements(n) {
		if d != nil && t.shape(t.get(res, "outputs")) == array {
			d.fromHits(t, t.get(res, "outputs"), "tool_message")
		}
	}
}

// cohereResults reads what tools gave back, in a message of version 1.
func (r *reader) cohereResults(n int) {
	r.docs.fromCohereResults(r.tape, n)
	for res := range r.elements(n) {
		first := len(r.items)
		r.anyValue(r.get(res, "outputs"), "tool", steno.KindToolResult, 0)
		for i := first; i < len(r.items) && r.detail; i++ {
			r.items[i].name = r.str(r.get(r.get(res, "call"), "name"), maxName)
		}
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
	over := t.shape(t.get(root, "is_finished")) == yes
	a.known = a.known || typ != "" || t.get(root, "is_finished") != 0
	switch {
	case over || typ == "stream-end":
		s.terminal()
		if n := t.get(root, "response"); t.shape(n) == object {
			// It carries the whole answer: what was gathered from its fragments is in it.
			a.reader.items, a.documents.list = a.reader.items[:0], nil
			cohere{}.object(a, n)
			s.first = s.first || len(a.reader.items) > 0
		}
		if a.call.API == "v1_chat" || len(a.choices) == 0 {
			a.cohereEnd(root)
		}
	case typ == "stream-start":
		a.cohereHead(root)
	case typ == "text-generation" || typ == "":
		s.fragment(t.get(root, "text"), slot{choice: t.index(t.get(root, "index"), 0), field: 'c'}, item{origin: "output"})
	case typ == "search-queries-generation":
		s.first = true
		a.cohereQueries(root)
	case typ == "tool-calls-chunk":
		s.fragment(t.get(root, "text"), slot{field: 'p'}, item{origin: "output", kind: steno.KindReasoning})
		if d := t.get(root, "tool_call_delta"); t.shape(d) == object {
			s.callFragment(d, 0, t.get(d, "parameters"), slot{index: t.index(t.get(d, "index"), 0), field: 'f'}, "function")
		}
	case typ == "tool-calls-generation":
		s.first = true
		s.drop('f') // the calls come whole now
		for call := range t.elements(t.get(root, "tool_calls")) {
			a.reader.toolCall(call)
		}
	case typ == "citation-generation":
		a.cohereCitations(t.get(root, "citations"))
	case typ == "search-results":
		a.cohereDocuments(t.get(root, "documents"))
	}
}

// drop forgets the fragments of a field.
func (s *Stream) drop(field byte) {
	r := &s.answer.reader
	kept := r.items[:0]
	for _, it := range r.items {
		if it.slot.field != field {
			kept = append(kept, it)
		}
	}
	r.items = kept
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
		a.cohereTokens(t.get(root, "logprobs"))
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
		if t.has(t.get(delta, "error")) {
			a.failed = "error"
		}
	}
}

func (cohere) refusal(_ int, _, message string) any {
	return struct {
		Message string `json:"message"`
	}{message}
}
