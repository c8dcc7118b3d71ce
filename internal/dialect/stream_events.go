package dialect

import "github.com/steno-audit/steno"

// responseEvent reads an event of the Responses API.
func (s *Stream) responseEvent(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "response.created", "response.in_progress", "response.queued":
		n := t.get(root, "response")
		a.known = a.known || t.shape(n) == object
		a.head(n)
		a.result.State = t.str(t.get(n, "status"), 32)
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		s.terminal()
		if n := t.get(root, "response"); t.shape(n) == object {
			// It carries the whole answer: what was gathered from its fragments is in it.
			a.reader.items, a.documents.list, a.confidence = a.reader.items[:0], nil, confidence{}
			a.response(n)
			s.first = s.first || len(a.reader.items) > 0
		}
	case "error":
		s.terminal()
		if !a.error(root) {
			a.failed = a.errorType(root)
		}
	case "response.output_item.added":
		s.outputItem(t.get(root, "item"), false)
	case "response.output_item.done":
		s.outputItem(t.get(root, "item"), true)
	case "response.output_text.annotation.added":
		a.reader.citation(t.get(root, "annotation"))
	default:
		s.responseDelta(typ)
	}
}

func (s *Stream) place(field byte) slot {
	t := &s.tape
	return slot{
		index: t.index(t.get(root, "output_index"), 0), field: field,
		part: t.index(t.get(root, "content_index"), t.index(t.get(root, "summary_index"), 0)),
	}
}

func (s *Stream) responseDelta(typ string) {
	d := s.tape.get(root, "delta")
	words := item{origin: "output"}
	switch typ {
	case "response.output_text.delta":
		s.fragment(d, s.place('c'), words)
		s.answer.confidence.fromTokens(&s.tape, s.tape.get(root, "logprobs"))
	case "response.refusal.delta":
		words.refusal = true
		s.fragment(d, s.place('r'), words)
	case "response.reasoning_text.delta":
		words.kind = steno.KindReasoning
		s.fragment(d, s.place('t'), words)
	case "response.reasoning_summary_text.delta":
		words.kind = steno.KindReasoning
		s.fragment(d, s.place('s'), words)
	case "response.function_call_arguments.delta", "response.custom_tool_call_input.delta",
		"response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta":
		words.kind = steno.KindToolCall
		s.fragment(d, s.place('f'), words)
	case "response.audio.transcript.delta":
		s.fragment(d, s.place('a'), words)
	}
}

// outputItem reads the beginning or the end of an output item. Messages and reasoning come in fragments; a call has
// its name and id here; others come whole at their end.
func (s *Stream) outputItem(n int, done bool) {
	r := &s.answer.reader
	at := s.place('f')
	switch typ := string(r.bytes(r.get(n, "type"))); typ {
	case "message", "reasoning", "":
		return
	case "function_call", "custom_tool_call", "mcp_call", "code_interpreter_call":
		it := s.find(at)
		if it == nil {
			it = s.append(at, item{kind: steno.KindToolCall, origin: "output"})
		}
		s.first = true
		it.name, it.id = r.str(r.get(n, "name"), maxName), r.str(r.callID(n), maxName)
		it.toolType = map[string]string{"function_call": "function", "custom_tool_call": "custom"}[typ]
		if it.toolType == "" {
			it.toolType = "extension"
		}
		if it.name == "" && typ == "code_interpreter_call" {
			it.name = "code_interpreter"
		}
	default:
		if done {
			first := len(r.items)
			r.message(n)
			for i := first; i < len(r.items); i++ {
				r.items[i].slot = at
			}
			s.first = s.first || len(r.items) > first
		}
	}
}

// messageEvent reads an event of Messages.
func (s *Stream) messageEvent(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "message_start":
		a.known = true
		a.claudeHead(t.get(root, "message"))
	case "content_block_start":
		s.blockStart(t.get(root, "content_block"))
	case "content_block_delta":
		s.blockDelta(t.get(root, "delta"))
	case "message_delta":
		a.usage.anthropic(t, t.get(root, "usage"))
		if a.stopped(t.get(root, "delta")) {
			a.usage.final = true
		}
	case "message_stop":
		s.terminal()
	case "error":
		s.terminal()
		if !a.error(root) {
			a.failed = "error"
		}
	}
}

func (s *Stream) blockSlot(field byte) slot {
	return slot{field: field, index: s.tape.index(s.tape.get(root, "index"), 0)}
}

func (s *Stream) blockStart(n int) {
	r := &s.answer.reader
	words := item{origin: "output"}
	switch typ := string(r.bytes(r.get(n, "type"))); typ {
	case "text":
		s.fragment(r.get(n, "text"), s.blockSlot('c'), words)
		r.citations(r.get(n, "citations"))
	case "thinking":
		words.kind = steno.KindReasoning
		s.fragment(r.get(n, "thinking"), s.blockSlot('t'), words)
	case "tool_use", "server_tool_use", "mcp_tool_use":
		s.first = true
		words.kind, words.toolType = steno.KindToolCall, "extension"
		if typ == "tool_use" {
			words.toolType = "function"
		}
		words.name, words.id = r.str(r.get(n, "name"), maxName), r.str(r.get(n, "id"), maxName)
		it := s.append(s.blockSlot('f'), words)
		// The input is {} here and comes in fragments, or it is whole and none come.
		if in := r.get(n, "input"); r.shape(in) == object && int(r.nodes[in].next) > in+1 {
			it.plain = true
			it.join(r, in)
		}
	default:
		first := len(r.items)
		r.block(n, "output", steno.KindFrame)
		for i := first; i < len(r.items); i++ {
			r.items[i].slot = s.blockSlot('w')
		}
		s.first = s.first || len(r.items) > first
	}
}

func (s *Stream) blockDelta(n int) {
	r := &s.answer.reader
	words := item{origin: "output"}
	switch string(r.bytes(r.get(n, "type"))) {
	case "text_delta":
		s.fragment(r.get(n, "text"), s.blockSlot('c'), words)
	case "thinking_delta":
		words.kind = steno.KindReasoning
		s.fragment(r.get(n, "thinking"), s.blockSlot('t'), words)
	case "compaction_delta":
		s.fragment(r.get(n, "content"), s.blockSlot('k'), words)
	case "input_json_delta":
		words.kind = steno.KindToolCall
		s.fragment(r.get(n, "partial_json"), s.blockSlot('f'), words)
	case "citations_delta":
		r.citation(r.get(n, "citation"))
	}
}

// legacyEvent reads an event of the old text completions; the one with a stop reason is the last.
func (s *Stream) legacyEvent(typ string) {
	a, t := s.answer, &s.tape
	switch {
	case typ == "error" || t.has(t.get(root, "error")):
		s.terminal()
		if !a.error(root) {
			a.failed = "error"
		}
	case t.get(root, "completion") != 0:
		a.known = true
		a.head(root)
		s.fragment(t.get(root, "completion"), slot{field: 'c'}, item{origin: "output"})
		if a.stopped(root) {
			s.terminal()
		}
	}
}
