package dialect

import (
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// run reads a run of an assistant: asked for, or what an event of it carries.
func (a *answer) run(n int) {
	t := a.reader.tape
	a.head(n)
	a.known = a.known || t.is(t.get(n, "object"), "thread.run")
	a.usage.openAI(t, t.get(n, "usage"))
	a.result.State = t.str(t.get(n, "status"), 32)
	if reason := t.str(t.get(t.get(n, "incomplete_details"), "reason"), 64); reason != "" {
		a.choice(0).finish = reason
	}
	if e := t.get(n, "last_error"); t.has(e) {
		a.failed = a.errorType(e)
	}
	for call := range t.elements(t.get(t.get(t.get(n, "required_action"), "submit_tool_outputs"), "tool_calls")) {
		if !a.called(call) {
			a.reader.toolCall(call)
		}
	}
}

// called says whether a tool call is there already: steps of a run tell of it too.
func (a *answer) called(call int) bool {
	id := a.reader.get(call, "id")
	return slices.ContainsFunc(a.reader.items, func(it item) bool { return it.kind == steno.KindToolCall && a.reader.is(id, it.id) })
}

// runEvent reads an event of a streamed run.
func (s *Stream) runEvent(string) {
	a, t := s.answer, &s.tape
	typ := string(s.name) // steps have a type of their own
	switch {
	case typ == "error":
		s.terminal()
		if !a.error(root) {
			a.failed = a.errorType(root)
		}
	case typ == "thread.message.delta":
		for part := range t.elements(t.get(t.get(root, "delta"), "content")) {
			s.messagePart(part)
		}
	case typ == "thread.run.step.completed":
		a.step(root)
		s.first = true
	case typ == "thread.run.step.delta":
		for call := range t.elements(t.get(t.get(t.get(root, "delta"), "step_details"), "tool_calls")) {
			s.stepCall(call)
		}
	case strings.HasPrefix(typ, "thread.run.step."):
	case strings.HasPrefix(typ, "thread.run."):
		switch strings.TrimPrefix(typ, "thread.run.") {
		case "completed", "failed", "cancelled", "expired", "incomplete", "requires_action":
			s.terminal()
		}
		a.run(root)
	}
}

// messagePart reads what an event adds to a message of the run; a run may write several.
func (s *Stream) messagePart(part int) {
	a, t := s.answer, &s.tape
	at := slot{index: t.index(t.get(part, "index"), 0), field: 'c'}
	at.part = s.written()
	text := t.get(part, "text")
	s.fragment(t.get(text, "value"), at, item{origin: "output"})
	a.reader.citations(t.get(text, "annotations"))
	if refusal := t.get(part, "refusal"); refusal != 0 {
		at.field = 'r'
		s.fragment(refusal, at, item{origin: "output", refusal: true})
	}
	if file := t.get(part, "image_file"); t.has(file) && len(a.reader.items) < maxItems {
		a.reader.block(part, "output", steno.KindFrame)
	}
}

// written is the number of the message or step that an event adds to, in the order in which they began.
func (s *Stream) written() int {
	a := s.answer
	id := s.tape.str(s.tape.get(root, "id"), maxName)
	i := slices.Index(a.written, id)
	if i < 0 && len(a.written) < maxItems {
		a.written = append(a.written, id)
		i = len(a.written) - 1
	}
	return max(i, 0)
}

// stepCall reads what an event adds to a tool call of a step.
func (s *Stream) stepCall(call int) {
	t := &s.tape
	at := slot{index: t.index(t.get(call, "index"), 0), field: 'f', part: s.written()}
	typ := t.str(t.get(call, "type"), 32)
	f := t.get(call, typ)
	switch typ {
	case "function":
		s.callFragment(f, t.get(call, "id"), t.get(f, "arguments"), at, typ)
	case "code_interpreter":
		s.callFragment(f, t.get(call, "id"), t.get(f, "input"), at, "extension")
		if it := s.find(at); it != nil {
			it.name = typ
		}
	case "file_search":
		s.callFragment(f, t.get(call, "id"), 0, at, "datastore")
		if it := s.find(at); it != nil {
			it.name = typ
		}
	}
}

// step reads a step of a run: which tools the provider ran, with what, and what they gave.
func (a *answer) step(n int) {
	r := &a.reader
	for call := range r.elements(r.get(r.get(n, "step_details"), "tool_calls")) {
		if len(r.items) >= maxItems {
			return
		}
		begun := a.called(call)
		switch typ := string(r.bytes(r.get(call, "type"))); typ {
		case "code_interpreter":
			code := r.get(call, typ)
			if !begun {
				r.hosted(call, r.get(code, "input"), typ, "extension")
			}
			for out := range r.elements(r.get(code, "outputs")) {
				r.words(r.get(out, "logs"), "tool", steno.KindToolResult)
				r.media(r.get(r.get(out, "image"), "file_id"), "image")
			}
		case "file_search":
			if !begun {
				r.hosted(call, 0, typ, "datastore")
			}
			for res := range r.elements(r.get(r.get(call, typ), "results")) {
				r.docs.add(steno.Document{
					ID: r.str(r.get(res, "file_id"), maxName), Title: r.str(r.get(res, "file_name"), maxTitle),
					Score: r.float(r.get(res, "score")), Origin: "file_search",
				})
				r.content(r.get(res, "content"), "document", steno.KindContext)
			}
		default:
			if !begun {
				r.toolCall(call)
			}
		}
	}
}
