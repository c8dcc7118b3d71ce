package dialect

import (
	"bytes"
	"strings"

	"github.com/steno-audit/steno"
)

// mistral is the grammar of Mistral: OpenAI's, with thoughts and references among the blocks, conversations that Mistral
// keeps, completions of code, and what reads pages and sorts texts.
type mistral struct{}

var mistralRoutes = []route{
	{"POST", "/fim/completions", "fim_completions", "text_completion"},
	{"POST", "/agents/completions", "chat_completions", "chat"},
	{"POST", "/conversations", "conversations", "chat"},
	{"POST", "/conversations/*", "conversations", "chat"},
	{"POST", "/conversations/*/restart", "conversations", "chat"},
	{"POST", "/chat/moderations", "moderations", "moderation"},
	{"POST", "/classifications", "classifications", "classification"},
	{"POST", "/chat/classifications", "classifications", "classification"},
	{"POST", "/ocr", "ocr", "ocr"},
	{"", "/agents/**", "agents", "manage"},
	{"", "/libraries/**", "libraries", "manage"},
	{"", "/batch/jobs/**", "batches", "manage"},
}

func (mistral) call(c *Call, method, path string) {
	c.API, c.Operation = routed(mistralRoutes, method, unversioned(path))
	if c.API == "" {
		openAI{}.call(c, method, path)
	}
}

func (mistral) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "fim_completions":
		a.completion(n)
	case "conversations":
		a.conversation(n)
	case "classifications":
		a.head(n)
		a.known = t.shape(t.get(n, "results")) == array
	case "ocr":
		a.pages(n)
	default:
		openAI{}.object(a, n)
	}
	if u := t.get(n, "usage"); t.shape(u) == object {
		take(&a.usage.cacheRead, t.integer(t.get(u, "num_cached_tokens")))
	}
	if !a.known && a.failed == "" {
		a.unshaped(n)
	}
}

func (mistral) event(s *Stream, typ string, end int) {
	switch s.answer.call.API {
	case "fim_completions":
		s.chunk(end)
	case "conversations":
		s.conversationEvent(typ)
	case "transcriptions":
		s.mistralTranscript(typ)
	default:
		openAI{}.event(s, typ, end)
	}
}

// conversation reads what was added to a conversation, or what is kept of one.
func (a *answer) conversation(n int) {
	t := a.reader.tape
	if a.call.Operation == "manage" {
		a.kept(n)
	}
	a.head(n)
	a.known = a.known || t.shape(t.get(n, "outputs")) == array || t.get(n, "conversation_id") != 0
	if id := t.str(t.get(n, "conversation_id"), maxName); id != "" {
		a.result.ID = id
	}
	a.usage.openAI(t, t.get(n, "usage"))
	for _, list := range [...]string{"outputs", "entries", "messages"} {
		for el := range t.elements(t.get(n, list)) {
			if m := t.str(t.get(el, "model"), maxName); m != "" {
				a.model.Answered = m
			}
			a.reader.message(el)
		}
	}
}

// pages reads the text of a document's pages.
func (a *answer) pages(n int) {
	t := a.reader.tape
	a.head(n)
	a.known = t.shape(t.get(n, "pages")) == array
	for page := range t.elements(t.get(n, "pages")) {
		a.reader.words(t.get(page, "markdown"), "output", steno.KindFrame)
		for img := range t.elements(t.get(page, "images")) {
			a.reader.media(t.get(img, "image_base64"), "image")
			a.reader.words(t.get(img, "image_annotation"), "output", steno.KindFrame)
		}
	}
	a.reader.words(t.get(n, "document_annotation"), "output", steno.KindFrame)
}

// mistralBlock reads the blocks and entries that only Mistral has, and says whether n is one.
func (r *reader) mistralBlock(n int, typ, origin string, kind steno.Kind) bool {
	switch typ {
	case "document_url":
		v := r.get(n, "document_url")
		doc := steno.Document{Title: r.str(r.get(n, "document_name"), maxTitle), Origin: "document"}
		if r.shape(v) == text && !bytes.HasPrefix(r.bytes(v), []byte("data:")) {
			doc.ID = r.str(v, maxName)
		}
		r.docs.add(doc)
		r.mediaOf(v, "document", steno.KindContext)
	case "reference":
		r.references(n)
	case "tool_reference":
		if r.get(n, "tool") == 0 { // Anthropic's
			return false
		}
		if r.answer {
			r.citation(n)
		}
	case "tool_file":
		r.file(n)
	case "tool.execution":
		r.hosted(n, r.get(n, "arguments"), "tool", "extension")
		r.anyValue(r.get(n, "info"), "tool", steno.KindToolResult, 0)
	case "function.call":
		r.call(r.get(n, "arguments"), r.get(n, "name"), r.get(n, "tool_call_id"), "function")
	case "function.result":
		r.result(n, r.get(n, "result"), "tool_call_id")
	case "message.input", "message.output":
		r.content(r.get(n, "content"), origin, kind)
	case "agent.handoff":
	default:
		return false
	}
	return true
}

// references reads which of the things that it was given an answer refers to: numbers, or names.
func (r *reader) references(n int) {
	v := r.get(n, "reference_ids")
	if !r.answer || r.shape(v) != array {
		return
	}
	for id := range bytes.SplitSeq(bytes.Trim(r.inner(v), "[]"), []byte{','}) {
		if id = bytes.Trim(id, " \t\r\n\""); len(id) > 0 && len(id) <= maxHitChunk && !strings.ContainsFunc(string(id), notWord) {
			r.docs.add(steno.Document{ID: "reference " + string(id), Origin: "citation"})
		}
	}
}

// conversationEvent reads an event of a conversation.
func (s *Stream) conversationEvent(typ string) {
	a, t := s.answer, &s.tape
	at := slot{index: t.index(t.get(root, "output_index"), 0), part: t.index(t.get(root, "content_index"), 0)}
	switch typ {
	case "conversation.response.started":
		a.known = true
		a.result.ID = t.str(t.get(root, "conversation_id"), maxName)
	case "message.output.delta":
		if m := t.str(t.get(root, "model"), maxName); m != "" {
			a.model.Answered = m
		}
		at.field = 'c'
		s.block(t.get(root, "content"), at)
	case "tool.execution.started", "tool.execution.delta", "function.call.delta":
		at.field = 'f'
		kind := "extension"
		if typ == "function.call.delta" {
			kind = "function"
		}
		s.callFragment(root, t.get(root, "tool_call_id"), t.get(root, "arguments"), at, kind)
	case "tool.execution.done":
		at.field = 'i'
		for _, v := range t.members(t.get(root, "info")) {
			s.fragment(v, at, item{origin: "tool", kind: steno.KindToolResult})
			at.part++
		}
	case "conversation.response.done":
		s.terminal()
		a.usage.openAI(t, t.get(root, "usage"))
	case "conversation.response.error":
		s.terminal()
		a.failed = a.errorType(root)
	default:
		s.failed()
	}
}

// block adds a block of a fragment, or a text, to what has come in a slot.
func (s *Stream) block(n int, at slot) {
	t := &s.tape
	words := item{origin: "output"}
	switch t.shape(n) {
	case text:
		s.fragment(n, at, words)
	case object:
		for th := range t.elements(t.get(n, "thinking")) {
			s.fragment(t.get(th, "text"), slot{choice: at.choice, index: at.index, part: at.part, field: 't'}, item{origin: "output", kind: steno.KindReasoning})
		}
		s.fragment(t.get(n, "text"), at, words)
		switch string(t.bytes(t.get(n, "type"))) {
		case "reference", "tool_reference":
			s.answer.reader.mistralBlock(n, string(t.bytes(t.get(n, "type"))), "output", steno.KindFrame)
		}
	}
}

// mistralTranscript reads an event of a transcript.
func (s *Stream) mistralTranscript(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "transcription.language", "transcription.segment":
		a.known = true
	case "transcription.text.delta":
		a.known = true
		s.fragment(t.get(root, "text"), slot{field: 'c'}, item{origin: "output"})
	case "transcription.done":
		s.terminal()
		a.known = true
		a.head(root)
		if len(a.reader.items) == 0 {
			s.fragment(t.get(root, "text"), slot{field: 'c'}, item{origin: "output"})
		}
		a.usage.openAI(t, t.get(root, "usage"))
	default:
		s.failed()
	}
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
