package dialect

import (
	"bytes"
	"strconv"

	"github.com/steno-audit/steno"
)

// openAI is the grammar of OpenAI and of the servers that are compatible with it.
type openAI struct{}

func (openAI) call(c *Call, method, path string) {
	path = unversioned(path)
	if c.API, c.Operation = routed(openAIRoutes, method, path); c.API == "" {
		c.API, c.Operation = routed(compatibleRoutes, method, path)
	}
}

func (openAI) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "chat_completions", "completions":
		a.completion(n)
	case "responses":
		a.failed = ""
		a.response(n)
	case "embeddings":
		a.head(n)
		a.usage.openAI(t, t.get(n, "usage"))
		a.usage.allInput()
		a.known = t.shape(t.get(n, "data")) == array
	case "models":
		a.models(n)
	default:
		if !a.compatible(n) {
			a.resource(n)
		}
	}
	if !a.known && a.failed == "" {
		a.unshaped(n)
	}
}

// models reads a list of models, or one.
func (a *answer) models(n int) {
	t := a.reader.tape
	a.known = t.shape(t.get(n, "data")) == array || t.get(n, "id") != 0
}

func (openAI) event(s *Stream, typ string, end int) {
	switch s.answer.call.API {
	case "chat_completions", "completions":
		s.chunk(end)
	case "responses":
		s.responseEvent(typ)
	default:
		if !s.compatibleEvent() {
			s.resourceEvent(typ)
		}
	}
}

func (openAI) refusal(status int, code, message string) any {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	return struct {
		Error detail `json:"error"`
	}{detail{Message: message, Type: openAIErrorType(status), Code: code}}
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

// completion reads an answer of chat completions or completions.
func (a *answer) completion(n int) {
	t := a.reader.tape
	a.head(n)
	a.usage.openAI(t, t.get(n, "usage"))
	choices := t.get(n, "choices")
	a.known = t.shape(choices) == array
	a.promptFilter(n)
	a.beside(n)
	i := 0
	for c := range t.elements(choices) {
		index := t.index(t.get(c, "index"), i)
		i++
		first := len(a.reader.items)
		if msg := t.get(c, "message"); t.shape(msg) == object {
			a.reader.message(msg)
		}
		a.reader.words(t.get(c, "text"), "output", steno.KindFrame)
		for k := first; k < len(a.reader.items); k++ {
			a.reader.items[k].slot.choice = index
		}
		a.ended(c, index)
	}
}

// ended reads what a choice says beside its words: how it ended, how sure it is, what the filter found.
func (a *answer) ended(c, index int) *choice {
	t := a.reader.tape
	ch := a.choice(index)
	if v := t.get(c, "finish_reason"); t.shape(v) == text && a.reader.nonEmpty(v) {
		ch.finish = t.str(v, 64)
		if ch.finish == "content_filter" {
			a.refuse("content_filter", "out", nil)
		}
	}
	if lp := t.get(c, "logprobs"); t.shape(lp) == object {
		a.confidence.fromTokens(t, t.get(lp, "content"))
		a.confidence.fromTokens(t, t.get(lp, "refusal"))
		a.numbers(t.get(lp, "token_logprobs"))
	}
	a.filtered(t.get(c, "content_filter_results"), "out")
	return ch
}

// numbers adds the log probabilities of an array of numbers, which have no nodes.
func (a *answer) numbers(n int) {
	t := a.reader.tape
	if t.shape(n) != array {
		return
	}
	in := t.src[t.nodes[n].start+1 : t.nodes[n].end-1]
	for field := range bytes.SplitSeq(in, []byte{','}) {
		if f, err := strconv.ParseFloat(string(bytes.TrimSpace(field)), 64); err == nil {
			a.confidence.add(&f)
		}
	}
}

// response reads a Response object of the Responses API: a whole answer, or what a terminal event carries.
func (a *answer) response(n int) {
	t := a.reader.tape
	a.known = t.is(t.get(n, "object"), "response") || t.shape(t.get(n, "output")) == array
	a.head(n)
	if u := t.get(n, "usage"); t.has(u) {
		a.usage.openAI(t, u)
	}
	a.usage.final = true
	a.result.State = t.str(t.get(n, "status"), 32)
	if reason := t.str(t.get(t.get(n, "incomplete_details"), "reason"), 64); reason != "" {
		a.choice(0).finish = reason
		if reason == "content_filter" {
			a.refuse("content_filter", "out", nil)
		}
	}
	a.contentFilters(n)
	if e := t.get(n, "error"); t.has(e) {
		a.failed = a.errorType(e)
	} else if a.result.State == "failed" {
		a.failed = "error"
	}
	for item := range t.elements(t.get(n, "output")) {
		a.reader.message(item)
	}
	// File search names the vector stores in the tool and the files in the results.
	if store := a.vectorStore(t.get(n, "tools")); store != "" {
		for i := range a.documents.list {
			if d := &a.documents.list[i]; d.Origin == "file_search" && d.Index == "" {
				d.Index = store
			}
		}
	}
}

// vectorStore is the one vector store that file search was given, "" if there are none or several.
func (a *answer) vectorStore(tools int) string {
	t := a.reader.tape
	store := ""
	for el := range t.elements(tools) {
		for id := range t.elements(t.get(el, "vector_store_ids")) {
			if store != "" {
				return ""
			}
			store = t.str(id, maxName)
		}
	}
	return store
}
