package dialect

import (
	"fmt"
	"unicode/utf8"

	"github.com/steno-audit/steno"
)

// Turn is what one side says at a time.
type Turn struct {
	Role     string // system, user, assistant, tool; tools for what is offered; "" if the body is not understood
	Name, ID string // of the tool, for its result; the message's own name
	Parts    []Part
	New      bool // not history
}

// Part is one thing in a turn.
type Part struct {
	Kind       steno.Kind
	Text       string
	Name, ID   string // of the tool
	Start, End int    // byte range in the body it came from; 0, 0 if it was assembled or stands nowhere
	Body       string // request, response
	Document   *steno.Document
	Media      string // kind and size, instead of the bytes of an image, audio or file
}

// Transcript is an exchange for people to read. The bodies are as for ParseRequest and ParseResponse; contentType is
// the response's. Either may be empty.
func (c Call) Transcript(request, response []byte, contentType string) []Turn {
	var turns []Turn
	if len(request) > 0 {
		t := newTape()
		defer t.free()
		s := script{reader: reader{tape: t, detail: true}, body: request, of: "request"}
		if c.API != "" && s.form() {
			turns = s.turns
		} else if c.API == "" || t.parse(request) < 0 || t.shape(root) != object {
			turns = append(turns, unread(request, "request"))
		} else {
			turns = s.request()
		}
	}
	if len(response) > 0 {
		turns = append(turns, c.answerTurns(response, contentType)...)
	}
	return turns
}

// unread is a body that is not understood, as text if it is text.
func unread(body []byte, of string) Turn {
	p := Part{Kind: steno.KindBody, Start: 0, End: len(body), Body: of}
	if utf8.Valid(body) {
		p.Text = string(body)
	} else {
		p.Media = fmt.Sprintf("not text, %d bytes", len(body))
	}
	return Turn{Parts: []Part{p}, New: true}
}

// script makes turns from a request.
type script struct {
	reader reader
	body   []byte
	of     string
	turns  []Turn
	called map[string]string // names of the tools called, by the calls' ids
}

func (s *script) request() []Turn {
	t := s.reader.tape
	var offered []Turn
	history := false
	for k, v := range t.members(root) {
		switch t.memberOf(k, v) {
		case systemMember:
			s.reader.items = s.reader.items[:0]
			s.reader.content(v, "system", steno.KindSystem)
			// Wherever it stands in the body, it is read first.
			s.turns = append([]Turn{{Role: "system", Parts: s.parts(steno.KindSystem)}}, s.turns...)
		case toolsMember:
			if tools := s.tools(v); len(tools.Parts) > 0 {
				offered = append(offered, tools)
			}
		case historyMember:
			history = true
			for el := range t.elements(v) {
				s.reader.items = s.reader.items[:0]
				s.reader.message(el)
				s.turn(Turn{Role: s.reader.role(el).speaker(), Parts: s.parts(steno.KindHistory)})
			}
		case resultsMember:
			s.simple(v, "tool", steno.KindToolResult)
		case messageMember:
			s.simple(v, "user", steno.KindInput)
		case mediaMember:
			s.reader.items = s.reader.items[:0]
			for el := range t.elements(v) {
				s.reader.media(el, "image")
			}
			s.turn(Turn{Role: "user", Parts: s.parts(steno.KindInput), New: true})
		case turnsMember:
			history = s.messages(v) || history
		case promptMember:
			if t.shape(v) == object {
				s.reader.items = s.reader.items[:0]
				s.reader.anything(t.get(v, "variables"), "user", steno.KindInput, 0)
				s.turns = append(s.turns, Turn{Role: "user", Name: t.str(t.get(v, "id"), maxName), Parts: s.parts(steno.KindInput), New: true})
			} else {
				history = s.messages(v) || history
			}
		case wordsMember:
			s.simple(v, "user", steno.KindInput)
		case predictionMember:
			s.simple(v, "assistant", steno.KindInput)
		case documentsMember:
			s.documents(v)
		}
	}
	for i := range s.turns {
		if s.turns[i].Role == "system" {
			s.turns[i].New = !history
		}
	}
	for i := range offered {
		offered[i].New = !history
	}
	return append(offered, s.turns...)
}

func (s *script) simple(v int, who string, kind steno.Kind) {
	s.reader.items = s.reader.items[:0]
	s.reader.content(v, who, kind)
	s.turn(Turn{Role: who, Parts: s.parts(kind), New: true})
}

// turn adds a turn that has something in it.
func (s *script) turn(t Turn) {
	if len(t.Parts) > 0 {
		s.turns = append(s.turns, t)
	}
}

func (s *script) documents(v int) {
	t := s.reader.tape
	var parts []Part
	for el := range t.one(v) {
		s.reader.items = s.reader.items[:0]
		if t.has(t.get(el, "type")) {
			s.reader.block(el, "document", steno.KindContext)
		} else {
			s.reader.anyValue(el, "document", steno.KindContext, 0)
		}
		var d documents
		d.given(t, el)
		got := s.parts(steno.KindContext)
		if len(got) > 0 && len(d.list) > 0 {
			got[0].Document = &d.list[0]
		}
		parts = append(parts, got...)
	}
	s.turn(Turn{Role: "user", Parts: parts, New: true})
}

// tools is the list of tools offered, each with its definition.
func (s *script) tools(v int) Turn {
	t := s.reader.tape
	out := Turn{Role: "tools"}
	for el := range t.elements(t.toolList(v)) {
		for _, o := range t.offers(el) {
			start, end := t.place(o.node)
			out.Parts = append(out.Parts, Part{
				Kind: steno.KindToolDefinition, Name: o.name, Text: toText(t.raw(o.node)), Start: start, End: end, Body: s.of,
			})
		}
	}
	return out
}

// messages adds a turn for each message and says whether some of them are history.
func (s *script) messages(v int) bool {
	t := s.reader.tape
	if t.shape(v) != array {
		s.simple(v, "user", steno.KindInput)
		return false
	}
	last, count := s.reader.lastAnswer(v)
	if count == 0 && t.count(v) > 0 {
		start, end := t.place(v)
		s.turn(Turn{Role: "user", New: true, Parts: []Part{{
			Kind: steno.KindInput, Media: fmt.Sprintf("%d token numbers", t.count(v)), Start: start, End: end, Body: s.of,
		}}})
		return false
	}
	for el := range t.elements(v) {
		who, isNew := s.reader.role(el), el > last
		kind := steno.KindInput
		switch {
		case who == systemRole:
			kind = steno.KindSystem
		case !isNew:
			kind = steno.KindHistory
		}
		s.reader.items = s.reader.items[:0]
		s.reader.message(el)
		for _, it := range s.reader.items {
			if it.kind == steno.KindToolCall && it.id != "" {
				if s.called == nil {
					s.called = map[string]string{}
				}
				s.called[it.id] = it.name
			}
		}
		turn := Turn{Role: who.speaker(), New: isNew, Parts: s.parts(kind), Name: t.str(t.get(el, "name"), maxName)}
		if who == toolRole {
			if turn.Name == "" {
				turn.Name = t.str(t.get(el, "tool_name"), maxName)
			}
			turn.ID = t.str(t.get(el, "tool_call_id"), maxName)
			if turn.ID == "" {
				turn.ID = t.str(t.get(el, "call_id"), maxName)
			}
			for _, p := range turn.Parts {
				if turn.ID == "" {
					turn.ID = p.ID
				}
			}
			if turn.Name == "" {
				turn.Name = s.called[turn.ID]
			}
		}
		if n := len(s.turns); n > 0 && t.get(el, "role") == 0 && s.turns[n-1].Role == turn.Role && s.turns[n-1].New == isNew &&
			who == modelRole {
			s.turns[n-1].Parts = append(s.turns[n-1].Parts, turn.Parts...) // items of one answer of the Responses API
			continue
		}
		s.turns = append(s.turns, turn)
	}
	return last > 0
}

func (w role) speaker() string {
	return [...]string{userRole: "user", systemRole: "system", modelRole: "assistant", toolRole: "tool"}[w]
}

// parts turns the reader's items into parts; kind is that of words without one of their own.
func (s *script) parts(kind steno.Kind) []Part {
	var out []Part
	for i := range s.reader.items {
		out = append(out, s.reader.items[i].part(s.body, s.of, kind))
	}
	return out
}

func (it *item) part(body []byte, of string, kind steno.Kind) Part {
	p := Part{Kind: it.kind, Name: it.name, ID: it.id, Body: of, Document: it.doc, Media: it.media}
	if p.Kind == steno.KindFrame {
		p.Kind = kind
	}
	t := Text{Start: it.start, End: it.end, plain: it.plain, joined: it.joined}
	if it.end > it.start {
		p.Text = toText(t.Words(body))
	}
	if it.joined == nil || len(it.joined.frags) == 1 && it.joined.frags[0].form != within {
		p.Start, p.End = it.start, it.end
	}
	return p
}

func toText(b []byte) string { return clip(b, len(b)) }

// answerTurns is one turn for each choice of an answer.
func (c Call) answerTurns(response []byte, contentType string) []Turn {
	a := c.readAnswer(response, contentType)
	if a == nil {
		return []Turn{unread(response, "response")}
	}
	var turns []Turn
	of := map[int]int{}
	for i := range a.reader.items {
		it := &a.reader.items[i]
		n, ok := of[it.slot.choice]
		if !ok {
			n = len(turns)
			of[it.slot.choice] = n
			turns = append(turns, Turn{Role: it.speaker(), New: true})
		}
		turns[n].Parts = append(turns[n].Parts, it.part(response, "response", steno.KindOutput))
	}
	if len(a.documents.list) > 0 && len(turns) > 0 {
		for i := range a.documents.list {
			turns[0].Parts = append(turns[0].Parts, Part{Kind: steno.KindContext, Body: "response", Document: &a.documents.list[i]})
		}
	}
	return turns
}

// speaker is who says an item of an answer: the model, but in a conversation that was kept.
func (it *item) speaker() string {
	switch it.origin {
	case "user", "system":
		return it.origin
	}
	return "assistant"
}

// readAnswer reads a response for a transcript; nil if it is to be shown as it stands.
func (c Call) readAnswer(response []byte, contentType string) *answer {
	if c.API == "" {
		return nil
	}
	if s := c.NewStream(contentType); s != nil {
		s.Feed(response)
		s.close()
		if !s.answer.known {
			return nil
		}
		return s.answer
	}
	t := newTape()
	a := newAnswer(c, t)
	if media := sound(contentType, response); media != "" {
		a.known = true
		a.reader.items = append(a.reader.items, item{media: media})
		return a
	}
	if t.parse(response) < 0 || t.shape(root) != object {
		t.free()
		return nil
	}
	a.object(root)
	if c.Operation == "embeddings" && a.known {
		a.vectors()
	}
	if !a.known || a.failed != "" && len(a.reader.items) == 0 || c.Operation == "models" || c.Operation == "count_tokens" {
		return nil
	}
	return a
}

// vectors says of an embeddings answer how many vectors it has and how long they are, never what is in them.
func (a *answer) vectors() {
	t := a.reader.tape
	count, length := a.geminiVectors()
	for _, name := range [...]string{"embeddings", "embedding"} { // Cohere, Ollama
		if n, numbers := t.vectors(t.get(root, name)); numbers > 0 && length == 0 {
			count, length = n, numbers
		}
	}
	for el := range t.elements(t.get(root, "data")) {
		count++
		switch v := t.get(el, "embedding"); t.shape(v) {
		case array:
			length = t.count(v)
		case text: // base64 of 32-bit floats
			length = len(t.inner(v)) * 3 / 4 / 4
		}
	}
	a.reader.items = append(a.reader.items, item{media: fmt.Sprintf("%d vectors of %d numbers", count, length)})
}
