package stub

import (
	"bytes"
	"strconv"
	"strings"
)

// cache is what cache_control marks make of a prompt.
type cache struct {
	upto                   int // tokens before the last mark
	hour                   bool
	write5m, write1h, read int
}

type messagesOptions struct {
	cache cache
}

func (a *ask) readMessages(counting bool) (*messagesOptions, *apiError) {
	o := &messagesOptions{}
	var messages, system, tools []byte
	limit := false
	for k, v := range members(a.body) {
		switch string(k) {
		case "messages":
			messages = v
		case "system":
			system = v
		case "stream":
			a.stream = truth(v)
		case "max_tokens":
			a.most, limit = number(v, 0), true
		case "tools":
			tools = v
		case "tool_choice":
			a.setChoice(v)
		case "stop_sequences":
			a.stops = stringList(v)
		case "thinking":
			switch text(member(v, "type")) {
			case "enabled", "adaptive":
				a.thinks = true
			}
		}
	}
	if kind(messages) != '[' {
		return nil, badRequest("", "", "messages: Field required")
	}
	if !limit && !counting {
		return nil, badRequest("", "", "max_tokens: Field required")
	}
	if limit && a.most < 1 {
		return nil, badRequest("", "", "max_tokens: Input should be greater than or equal to 1")
	}
	// A prompt is tools, system, messages, in whichever order they come.
	a.setTools(tools)
	o.cache.mark(a, tools)
	a.tokens += 4 + contentTokens(system)
	o.cache.mark(a, system)
	for m := range elements(messages) {
		role, content := text(member(m, "role")), member(m, "content")
		if role != "user" && role != "assistant" {
			return nil, badRequest("", "", "messages.%d.role: Input should be 'user' or 'assistant'", a.turns)
		}
		if role == "user" && hasToolResult(content) {
			role = "tool"
		}
		a.turn(role, content)
		o.cache.mark(a, content)
	}
	if a.turns == 0 {
		return nil, badRequest("", "", "messages: at least one message is required")
	}
	o.cache.settle(a)
	a.read()
	return o, nil
}

func hasToolResult(content []byte) bool {
	for part := range elements(content) {
		if text(member(part, "type")) == "tool_result" {
			return true
		}
	}
	return false
}

// mark notes that the prompt so far is to be cached, if its newest part says so.
func (c *cache) mark(a *ask, part []byte) {
	i := bytes.LastIndex(part, []byte(`"cache_control"`))
	if i < 0 {
		return
	}
	c.upto = a.tokens
	c.hour = bytes.Contains(part[i:min(len(part), i+80)], []byte(`"1h"`))
}

// settle counts what the marks put into a provider's cache: all up to the last
// mark; what the model's last answer followed is there already.
func (c *cache) settle(a *ask) {
	c.read = min(a.cached, c.upto)
	if c.hour {
		c.write1h = c.upto - c.read
	} else {
		c.write5m = c.upto - c.read
	}
}

func (s *Stub) messages(a *ask) (reply, *apiError) {
	o, e := a.readMessages(false)
	if e != nil {
		return reply{}, e
	}
	t := a.compose(0)
	ids := a.random(forIDs)
	id := ids.id("msg_01", 22, base58)
	if a.stream {
		return a.messageStream(o, id, &ids, &t), nil
	}
	b := make([]byte, 0, 768+len(t.text)+2*len(t.thought))
	b = appendString(append(b, `{"model":`...), a.answered)
	b = append(append(append(b, `,"id":"`...), id...), `","type":"message","role":"assistant","content":[`...)
	from := len(b)
	if t.thought != nil {
		b = appendString(append(b, `{"type":"thinking","thinking":`...), t.thought)
		b = append(append(append(b, `,"signature":"`...), a.signature()...), '"', '}', ',')
	}
	if t.calls != nil {
		b = appendString(append(b, `{"type":"text","text":`...), a.beforeTools(&t))
		b = append(b, '}', ',')
	} else if len(t.text) > 0 {
		b = appendString(append(b, `{"type":"text","text":`...), t.text)
		b = append(b, '}', ',')
	}
	for _, c := range t.calls {
		b = append(append(append(b, `{"type":"tool_use","id":"`...), ids.id("toolu_01", 22, base58)...), '"')
		b = appendString(append(b, `,"name":`...), c.name)
		b = append(append(append(b, `,"input":`...), c.args...), '}', ',')
	}
	if len(b) > from {
		b = b[:len(b)-1]
	}
	b = t.appendStop(append(b, `],`...))
	b = append(a.appendUsage(append(b, `,"usage":`...), o, a.outTokens(&t), true), '}')
	return reply{status: 200, body: b}, nil
}

// outTokens counts an answer as Anthropic does: thinking and all.
func (a *ask) outTokens(t *say) int {
	n := t.tokens + t.pondered + 3
	if t.calls != nil {
		n += pieces(a.beforeTools(t))
	}
	return n
}

// beforeTools is what the model says before it calls.
func (a *ask) beforeTools(t *say) string {
	return "Let me look that up with " + t.calls[0].name + "."
}

// signature stands where Anthropic signs the model's thinking.
func (a *ask) signature() string {
	r := a.random(forPads ^ forIDs)
	return r.id("EpUC", 52, base62) + r.id("", 60, base62) + "=="
}

func (t *say) appendStop(b []byte) []byte {
	b = append(append(append(b, `"stop_reason":"`...), t.stopReason()...), '"')
	b = append(b, `,"stop_sequence":`...)
	if t.end != atStop {
		return append(b, "null"...)
	}
	return appendString(b, t.stop)
}

// stopReason is Anthropic's name for why an answer ended.
func (t *say) stopReason() string {
	switch t.end {
	case atLength:
		return "max_tokens"
	case atStop:
		return "stop_sequence"
	case atTools:
		return "tool_use"
	case atFilter, atRefusal:
		return "refusal"
	}
	return "end_turn"
}

// appendUsage appends a usage; whole as a message has it, short as its end in a stream.
func (a *ask) appendUsage(b []byte, o *messagesOptions, out int, whole bool) []byte {
	c := o.cache
	b = strconv.AppendInt(append(b, `{"input_tokens":`...), int64(a.tokens-c.read-c.write5m-c.write1h), 10)
	b = strconv.AppendInt(append(b, `,"cache_creation_input_tokens":`...), int64(c.write5m+c.write1h), 10)
	b = strconv.AppendInt(append(b, `,"cache_read_input_tokens":`...), int64(c.read), 10)
	if whole {
		b = strconv.AppendInt(append(b, `,"cache_creation":{"ephemeral_5m_input_tokens":`...), int64(c.write5m), 10)
		b = strconv.AppendInt(append(b, `,"ephemeral_1h_input_tokens":`...), int64(c.write1h), 10)
		b = append(b, '}')
	}
	b = strconv.AppendInt(append(b, `,"output_tokens":`...), int64(out), 10)
	if whole {
		b = append(b, `,"service_tier":"standard"`...)
	}
	return append(b, '}')
}

func (s *Stub) countTokens(a *ask) (reply, *apiError) {
	if _, e := a.readMessages(true); e != nil {
		return reply{}, e
	}
	b := strconv.AppendInt([]byte(`{"input_tokens":`), int64(a.tokens), 10)
	return reply{status: 200, body: append(b, '}')}, nil
}

// complete answers Anthropic's first API, which has a prompt in place of messages.
func (s *Stub) complete(a *ask) (reply, *apiError) {
	prompt := member(a.body, "prompt")
	if kind(prompt) != '"' {
		return reply{}, badRequest("", "", "prompt: Field required")
	}
	a.most = number(member(a.body, "max_tokens_to_sample"), 0)
	if a.most < 1 {
		return reply{}, badRequest("", "", "max_tokens_to_sample: Field required")
	}
	a.stream = truth(member(a.body, "stream"))
	a.stops = stringList(member(a.body, "stop_sequences"))
	said := text(prompt)
	if i := strings.LastIndex(said, "\n\nHuman:"); i >= 0 {
		said, _, _ = strings.Cut(said[i+len("\n\nHuman:"):], "\n\nAssistant:")
	}
	a.asked = appendString(nil, strings.TrimSpace(said))
	a.last, a.tokens = "user", guessTokens(len(prompt))
	a.read()
	t := a.compose(0)
	ids := a.random(forIDs)
	id := ids.id("compl_01", 22, base58)
	stop := t.stop
	if t.end == atEnd || t.end == atRefusal {
		stop = "\n\nHuman:"
	}
	if !a.stream {
		return reply{status: 200, body: a.appendCompletion(nil, id, " "+string(t.text), t.completionStop(), stop)}, nil
	}
	p := reply{status: 200, crlf: true}
	for i := 0; i < len(t.text); {
		end := firstPieces(t.text[i:], 1+ids.below(4)) + i
		piece := string(t.text[i:end])
		if i == 0 {
			piece = " " + piece
		}
		p.body = append(p.body, "event: completion\r\ndata: "...)
		p.body = append(a.appendCompletion(p.body, id, piece, "", ""), "\r\n\r\n"...)
		p.event()
		if i == 0 {
			p.body = append(p.body, "event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n"...)
			p.event()
		}
		i = end
	}
	p.body = append(p.body, "event: completion\r\ndata: "...)
	p.body = append(a.appendCompletion(p.body, id, "", t.completionStop(), stop), "\r\n\r\n"...)
	p.event()
	if a.knobs.streamErr != unset {
		p.breakOff(a.knobs.streamErr, func(b []byte, _ int) []byte {
			b = a.streamFailure().anthropic(append(b, "event: error\r\ndata: "...), "")
			return append(b, "\r\n\r\n"...)
		})
	}
	return p, nil
}

func (t *say) completionStop() string {
	if t.end == atLength {
		return "max_tokens"
	}
	return "stop_sequence"
}

func (a *ask) appendCompletion(b []byte, id, words, reason, stop string) []byte {
	b = append(append(b, `{"type":"completion","id":"`...), id...)
	b = appendString(append(b, `","completion":`...), words)
	b = appendNullable(append(b, `,"stop_reason":`...), reason)
	b = appendString(append(b, `,"model":`...), a.answered)
	b = appendNullable(append(b, `,"stop":`...), stop)
	b = append(append(b, `,"log_id":"`...), id...)
	return append(b, '"', '}')
}
