package dialect

import (
	"bytes"
	"net/http"

	"github.com/steno-audit/steno"
)

// Stream reads an answer that comes event by event as its bytes come. It keeps an event that is not whole yet, and the
// words, but not the bytes that went by. It is for one goroutine.
type Stream struct {
	answer  *answer
	tape    tape
	framing framing

	rest []byte // bytes from base on that belong to no whole event yet
	base int    // offset in the stream
	line int    // where the current line begins
	scan int    // where to look on for the line's end
	from int    // where the current event begins
	fed  int

	name   []byte // of the current event
	data   []span // its data lines
	frames frames
	nest   nesting

	hold     int  // where what is held back begins; -1: nowhere
	unmarked bool // no [DONE] is to come: Writer, who sends a message beside each delta
	soft     bool // held only because every choice has finished: an unfinished one undoes it
	finished bool
	first    bool
	closed   bool // the end was read
	bad      int  // events whose data could not be read
	spare    item // takes what belongs to no item, when there are too many
}

// maxItems is how many tool calls, texts and so on of an answer are told apart.
const maxItems = 4096

// NewStream returns a Stream for an answer of the call with this Content-Type, nil if it does not come as a stream that
// is understood.
func (c Call) NewStream(contentType string) *Stream {
	if c.API == "" {
		return nil
	}
	return c.newStream(c.framing(contentType))
}

func (c Call) newStream(f framing) *Stream {
	if f == framingNone {
		return nil
	}
	s := &Stream{hold: -1, framing: f}
	s.answer = newAnswer(c, &s.tape)
	s.answer.reader.stream = true
	return s
}

// Feed takes the next bytes of the stream, which it does not keep, and returns how many bytes, from the stream's
// start, may be passed on: whole events before a terminal one. The rest is held until the caller knows that the
// answer is durable.
func (s *Stream) Feed(p []byte) (release int) {
	src := p
	if len(s.rest) > 0 {
		s.rest = append(s.rest, p...)
		src = s.rest
	}
	s.fed += len(p)
	for s.next(src, false) {
	}
	if keep := s.from - s.base; keep < len(src) || len(s.rest) > 0 {
		s.rest = append(s.rest[:0], src[keep:]...)
	}
	s.base = s.from
	if s.hold >= 0 {
		return s.hold
	}
	return s.from
}

// FirstToken says whether some answer text, tool call or reasoning has been seen.
func (s *Stream) FirstToken() bool { return s.first }

// Finished says whether a terminal event was seen. A stream that ends without one was cut. More bytes may follow one.
func (s *Stream) Finished() bool { return s.finished || s.soft && s.unmarked }

// event reads an event's data and decides what is held back.
func (s *Stream) event(data []byte, end int) {
	if string(bytes.TrimSpace(data)) == "[DONE]" {
		s.terminal()
		return
	}
	var typ string
	if s.tape.parse(data) < 0 || s.tape.shape(root) != object {
		if s.closed {
			return // half an event says nothing
		}
		s.bad++
		typ = string(s.name)
	} else if v := s.tape.get(root, "type"); s.tape.shape(v) == text {
		typ = string(s.tape.bytes(v))
	} else {
		typ = string(s.name)
	}
	s.answer.call.grammar().event(s, typ, end)
}

// failed reads an event of an API whose answers do not come as streams: only an error would be known in it.
func (s *Stream) failed() {
	if s.answer.error(root) {
		s.terminal()
	}
}

// terminal holds the current event and all that follows.
func (s *Stream) terminal() {
	if s.hold < 0 {
		s.hold = s.from
	}
	s.finished, s.soft = true, false
}

// chunk reads a chunk of chat completions or completions. What follows the chunk in which the last choice finishes is
// held; a choice that turns up later undoes that.
func (s *Stream) chunk(end int) {
	a, t := s.answer, &s.tape
	if a.error(root) {
		s.terminal()
		return
	}
	a.head(root)
	a.usage.openAI(t, t.get(root, "usage"))
	a.promptFilter(root)
	if a.beside(root); a.failed != "" {
		s.terminal()
	}
	choices := t.get(root, "choices")
	a.known = a.known || t.shape(choices) == array
	i := 0
	for c := range t.elements(choices) {
		index := t.index(t.get(c, "index"), i)
		i++
		s.delta(t.get(c, "delta"), index)
		s.unmarked = s.unmarked || t.has(t.get(c, "message"))
		s.fragment(t.get(c, "text"), slot{choice: index, field: 'c'}, item{origin: "output"})
		a.ended(c, index)
	}
	done := len(a.choices) > 0
	for _, c := range a.choices {
		done = done && c.finish != ""
	}
	switch {
	case s.finished:
	case done && s.hold < 0:
		if s.hold, s.soft = end, true; s.unmarked {
			s.hold = s.from
		}
	case !done && s.soft:
		s.hold, s.soft = -1, false
	}
}

// delta reads the words that a chunk adds to a choice.
func (s *Stream) delta(d, choice int) {
	t := &s.tape
	if t.shape(d) != object {
		return
	}
	words := item{origin: "output"}
	content := t.get(d, "content")
	s.fragment(content, slot{choice: choice, field: 'c'}, words)
	for el := range t.elements(content) { // Mistral and others send blocks
		s.block(el, slot{choice: choice, field: 'c'})
	}
	s.fragment(t.get(d, "refusal"), slot{choice: choice, field: 'r'}, item{origin: "output", refusal: true})
	for _, name := range [...]string{"reasoning_content", "reasoning"} {
		s.fragment(t.get(d, name), slot{choice: choice, field: 't'}, item{origin: "output", kind: steno.KindReasoning})
	}
	s.fragment(t.get(t.get(d, "audio"), "transcript"), slot{choice: choice, field: 'a'}, words)
	s.answer.reader.citations(t.get(d, "annotations"))
	s.executed(t.get(d, "executed_tools"), choice)
	if f := t.get(d, "function_call"); t.shape(f) == object {
		s.callFragment(f, 0, t.get(f, "arguments"), slot{choice: choice, field: 'f'}, "function")
	}
	for call := range t.elements(t.get(d, "tool_calls")) {
		s.toolFragment(call, choice)
	}
}

// toolFragment reads a fragment of a tool call. Fragments belong together by index; some providers give every call the
// same index or none, so a new id begins a new call.
func (s *Stream) toolFragment(call, choice int) {
	t, a := &s.tape, s.answer
	at := slot{choice: choice, field: 'f', part: 1}
	at.index = t.index(t.get(call, "index"), 0)
	id := t.get(call, "id")
	fresh := t.shape(id) == text && a.reader.nonEmpty(id)
	for i := len(a.reader.items) - 1; i >= 0; i-- {
		have := &a.reader.items[i]
		if have.slot.choice != choice || have.slot.index != at.index || have.slot.field != 'f' || have.slot.part == 0 {
			continue
		}
		same := !fresh || have.id == "" || t.is(id, have.id)
		if at.part <= have.slot.part {
			at.part = have.slot.part
			if !same {
				at.part++
			}
		}
		if same {
			at.part = have.slot.part
			break
		}
	}
	f, args, typ := t.get(call, "function"), 0, "function"
	if c := t.get(call, "custom"); t.has(c) {
		f, typ = c, "custom"
		args = t.get(c, "input")
	} else {
		args = t.get(f, "arguments")
	}
	s.callFragment(f, id, args, at, typ)
}

func (s *Stream) callFragment(f, id, args int, at slot, typ string) {
	t := &s.tape
	it := s.find(at)
	if it == nil {
		it = s.append(at, item{kind: steno.KindToolCall, origin: "output", toolType: typ})
	}
	if it.name == "" {
		it.name = t.str(t.get(f, "name"), maxName)
	}
	if it.id == "" {
		it.id = t.str(id, maxName)
	}
	s.first = true
	if t.shape(args) == text && s.answer.reader.nonEmpty(args) {
		it.join(&s.answer.reader, args)
	}
}

// find returns the item in a slot, nil if there is none. Fragments mostly belong to the last.
func (s *Stream) find(at slot) *item {
	items := s.answer.reader.items
	for i := len(items) - 1; i >= 0; i-- {
		if items[i].slot == at {
			return &items[i]
		}
	}
	return nil
}

func (s *Stream) append(at slot, it item) *item {
	it.slot = at
	r := &s.answer.reader
	if len(r.items) >= maxItems {
		s.spare = it
		return &s.spare
	}
	r.items = append(r.items, it)
	return &r.items[len(r.items)-1]
}

// fragment adds the text n to the item in a slot.
func (s *Stream) fragment(n int, at slot, like item) {
	r := &s.answer.reader
	if r.shape(n) != text || !r.nonEmpty(n) {
		return
	}
	s.first = true
	it := s.find(at)
	if it == nil {
		it = s.append(at, like)
	}
	it.join(r, n)
}

// Response is what the stream has said so far, and how it ended if this was its end: complete, error_in_answer or
// upstream_cut. After it the Stream takes no more.
func (s *Stream) Response(status int, h http.Header) *Response {
	s.close()
	a := s.answer
	r := &Response{Understood: a.known || a.failed != "" || s.fed == 0}
	switch {
	case a.usage.marked:
	case s.Finished() && a.failed == "":
		a.usage.final = true
	case !s.soft:
		a.usage.final = false // counts in every chunk, and the last is missing
	}
	a.finish(r, status)
	r.headers(status, h)
	r.Result.Bytes = int64(s.fed)
	switch {
	case r.Result.End != steno.EndComplete || s.Finished() || a.call.API == "":
	case s.soft:
		r.Result.End, r.Result.EndDetail = steno.EndUpstreamCut, "the stream ended after its finish reason but without "+s.framing.end()
	default:
		r.Result.End, r.Result.EndDetail = steno.EndUpstreamCut, "the stream ended without its terminal event"
	}
	if s.bad > 0 {
		r.Problem = "events of the stream could not be read as JSON objects"
	}
	if p := s.frames.problem(); p != "" {
		r.Problem = p
	}
	return r
}

// close reads what is left as an event, though no empty line ends it: the words arrived.
func (s *Stream) close() {
	if s.closed {
		return
	}
	s.closed = true
	src := s.rest
	for s.next(src, true) {
	}
}
