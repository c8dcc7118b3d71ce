package stub

import (
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
)

type responsesOptions struct {
	echo     map[string][]byte // members of the request that the answer repeats
	root     string            // what all ids of a conversation have in common
	previous string
	store    bool
	logprobs bool
	summary  bool
	pads     bool
}

func (a *ask) readResponses() (*responsesOptions, *apiError) {
	o := &responsesOptions{store: true, pads: true, echo: make(map[string][]byte)}
	ids := a.random(forIDs)
	o.root = ids.id("", 16, "0123456789abcdef")
	for k, v := range members(a.body) {
		o.echo[string(k)] = v
		switch string(k) {
		case "stream":
			a.stream = truth(v)
		case "stream_options":
			o.pads = kind(member(v, "include_obfuscation")) != 'f'
		case "store":
			o.store = kind(v) != 'f'
		case "max_output_tokens":
			a.most = number(v, 0)
		case "tools":
			a.setTools(v)
		case "tool_choice":
			a.setChoice(v)
		case "parallel_tool_calls":
			a.parallel = kind(v) != 'f'
		case "instructions":
			a.tokens += contentTokens(v)
		case "include":
			for e := range elements(v) {
				o.logprobs = o.logprobs || text(e) == "message.output_text.logprobs"
			}
		case "reasoning":
			o.summary = !isNull(member(v, "summary"))
		case "text":
			f := member(v, "format")
			a.setFormat(member(f, "type"), member(f, "schema"))
		}
	}
	if v := o.echo["max_output_tokens"]; !isNull(v) && a.most < 1 {
		return nil, badRequest("max_output_tokens", "integer_below_min_value", "Invalid 'max_output_tokens': expected a value of at least 1.")
	}
	if v := o.echo["previous_response_id"]; !isNull(v) {
		o.previous = text(v)
		root, tokens, ok := readResponseID(o.previous)
		if !ok {
			return nil, badRequest("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", o.previous)
		}
		o.root = root
		a.tokens += tokens
		a.cached = tokens
	}
	if e := a.readInput(o.echo["input"]); e != nil {
		return nil, e
	}
	a.settleCache()
	a.thinks = reasons(a.model)
	a.read()
	return o, nil
}

func (a *ask) readInput(input []byte) *apiError {
	switch kind(input) {
	case '"':
		a.turn("user", input)
		return nil
	case '[':
	default:
		return badRequest("input", "missing_required_parameter", "Missing required parameter: 'input'.")
	}
	for item := range elements(input) {
		if kind(item) != '{' {
			return badRequest("input", "invalid_type", "Invalid type for 'input[%d]': expected an object.", a.turns)
		}
		switch typ := text(member(item, "type")); typ {
		case "", "message":
			a.turn(text(member(item, "role")), member(item, "content"))
		case "function_call_output":
			a.turn("tool", member(item, "output"))
		default: // reasoning and calls are the model's own
			a.turn("assistant", item)
			a.tokens += guessTokens(len(item))
		}
	}
	return nil
}

// responseID makes an id that tells how long the conversation is by now, so that
// whoever continues it is charged for it even after a restart.
func (a *ask) responseID(root string, tokens int) string {
	mask := idMask(root)
	b := append([]byte("resp_"), root...)
	b = appendHex(append(b, "00"...), uint32(a.created()))
	b = appendHex(b, uint32(tokens)^mask)
	b = appendHex(b, idCheck(root, uint32(tokens)))
	r := a.random(forThat ^ forTool)
	return string(r.letters(b, 8, "0123456789abcdef"))
}

func readResponseID(id string) (root string, tokens int, ok bool) {
	digits, has := strings.CutPrefix(id, "resp_")
	if !has || len(digits) != 50 {
		return "", 0, false
	}
	root = digits[:16]
	t, err := strconv.ParseUint(digits[26:34], 16, 32)
	n := uint32(t) ^ idMask(root)
	if err != nil || string(appendHex(nil, idCheck(root, n))) != digits[34:42] {
		return "", 0, false
	}
	return root, int(n), true
}

func idMask(root string) uint32 {
	r := random(forIDs)
	for i := 0; i < len(root); i++ {
		r = (r ^ random(root[i])) * 0x100000001b3
	}
	return uint32(r.next())
}

func idCheck(root string, tokens uint32) uint32 {
	r := random(idMask(root)) + random(tokens)<<32
	return uint32(r.next())
}

func appendHex(b []byte, n uint32) []byte {
	return hex.AppendEncode(b, []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// itemID makes the id of an output item.
func (a *ask) itemID(prefix, root string, ids *random) string {
	b := appendHex(append(append([]byte(prefix), root...), "00"...), uint32(a.created()))
	return string(ids.letters(b, 24, "0123456789abcdef"))
}

// item is one element of a response's output.
type item struct {
	id     string
	callID string
	call   *call // a function call, or
	words  []byte
	deny   bool // words are a refusal
	think  bool // words are the summary of reasoning, nil if not asked for
}

// response is one answer of /v1/responses.
type response struct {
	a     *ask
	o     *responsesOptions
	id    string
	say   say
	items []item
}

func (s *Stub) responses(a *ask) (reply, *apiError) {
	o, e := a.readResponses()
	if e != nil {
		return reply{}, e
	}
	p := &response{a: a, o: o, say: a.compose(0)}
	t := &p.say
	p.id = a.responseID(o.root, a.tokens+t.tokens+t.pondered)
	ids := newRandom(a.hash, forIDs, 1)
	if t.thought != nil {
		it := item{id: a.itemID("rs_", o.root, &ids), think: true}
		if o.summary {
			it.words = t.thought
		}
		p.items = append(p.items, it)
	}
	for i := range t.calls {
		p.items = append(p.items, item{id: a.itemID("fc_", o.root, &ids), call: &t.calls[i], callID: ids.id("call_", 24, base62)})
	}
	if t.calls == nil {
		p.items = append(p.items, item{id: a.itemID("msg_", o.root, &ids), words: t.text, deny: t.refused})
	}
	whole := p.appendWhole(nil, p.state(), "default")
	if o.store && a.knobs.fail == 0 {
		s.keep(p.id, whole)
	}
	if a.stream {
		return p.stream(whole), nil
	}
	return reply{status: http.StatusOK, body: appendIndented(make([]byte, 0, 2*len(whole)), whole)}, nil
}

func (s *Stub) retrieve(id string) (reply, *apiError) {
	whole, ok := s.response(id)
	if !ok {
		return reply{}, &apiError{
			status: http.StatusNotFound, kind: "invalid_request_error", param: "response_id",
			message: "Response with id '" + id + "' not found.",
		}
	}
	return reply{status: http.StatusOK, body: appendIndented(nil, whole)}, nil
}

func (p *response) state() string {
	if p.say.end == atLength || p.say.end == atFilter {
		return "incomplete"
	}
	return "completed"
}

// appendWhole appends the response as an object; before it is over it has no output and no usage.
func (p *response) appendWhole(b []byte, status, tier string) []byte {
	over := status != "in_progress"
	b = append(append(append(b, `{"id":"`...), p.id...), `","object":"response","created_at":`...)
	b = strconv.AppendInt(b, p.a.created(), 10)
	b = append(append(append(b, `,"status":"`...), status...), `","background":false,"completed_at":`...)
	if status == "completed" {
		b = strconv.AppendInt(b, p.a.created()+int64(p.a.took())/1000, 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"error":`...)
	if status == "failed" {
		b = append(b, `{"code":"server_error","message":`...)
		b = append(appendString(b, p.a.streamFailure().message), '}')
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"frequency_penalty":0.0,"incomplete_details":`...)
	switch {
	case status != "incomplete":
		b = append(b, "null"...)
	case p.say.end == atFilter:
		b = append(b, `{"reason":"content_filter"}`...)
	default:
		b = append(b, `{"reason":"max_output_tokens"}`...)
	}
	b = p.echo(b, "instructions", "null")
	b = p.echo(b, "max_output_tokens", "null")
	b = p.echo(b, "max_tool_calls", "null")
	b = appendString(append(b, `,"model":`...), p.a.answered)
	b = append(b, `,"output":[`...)
	if status == "completed" || status == "incomplete" {
		for i := range p.items {
			if i > 0 {
				b = append(b, ',')
			}
			b = p.appendItem(b, &p.items[i], status)
		}
	}
	b = append(b, ']')
	b = p.echo(b, "parallel_tool_calls", "true")
	b = append(b, `,"presence_penalty":0.0`...)
	b = p.echo(b, "previous_response_id", "null")
	b = p.echo(b, "prompt_cache_key", "null")
	b = append(b, `,"prompt_cache_retention":"in_memory","reasoning":{"effort":`...)
	b = appendRaw(b, member(p.o.echo["reasoning"], "effort"), "null")
	b = appendRaw(append(b, `,"summary":`...), member(p.o.echo["reasoning"], "summary"), "null")
	b = append(b, '}')
	b = p.echo(b, "safety_identifier", "null")
	b = append(append(append(b, `,"service_tier":"`...), tier...), '"')
	b = p.echo(b, "store", "true")
	b = p.echo(b, "temperature", "1.0")
	b = appendRaw(append(b, `,"text":{"format":`...), member(p.o.echo["text"], "format"), `{"type":"text"}`)
	b = append(b, `,"verbosity":"medium"}`...)
	b = p.echo(b, "tool_choice", `"auto"`)
	b = p.echo(b, "tools", "[]")
	b = p.echo(b, "top_logprobs", "0")
	b = p.echo(b, "top_p", "1.0")
	b = p.echo(b, "truncation", `"disabled"`)
	b = append(b, `,"usage":`...)
	if over && status != "failed" {
		b = p.appendUsage(b)
	} else {
		b = append(b, "null"...)
	}
	b = p.echo(b, "user", "null")
	b = p.echo(b, "metadata", "{}")
	return append(b, '}')
}

func (p *response) echo(b []byte, name, without string) []byte {
	b = append(append(append(b, ',', '"'), name...), '"', ':')
	v := p.o.echo[name]
	if isNull(v) {
		v = nil
	}
	return appendRaw(b, v, without)
}

func (p *response) appendUsage(b []byte) []byte {
	out := p.say.tokens + p.say.pondered
	b = strconv.AppendInt(append(b, `{"input_tokens":`...), int64(p.a.tokens), 10)
	b = strconv.AppendInt(append(b, `,"input_tokens_details":{"cached_tokens":`...), int64(p.a.cached), 10)
	b = strconv.AppendInt(append(b, `},"output_tokens":`...), int64(out), 10)
	b = strconv.AppendInt(append(b, `,"output_tokens_details":{"reasoning_tokens":`...), int64(p.say.pondered), 10)
	b = strconv.AppendInt(append(b, `},"total_tokens":`...), int64(p.a.tokens+out), 10)
	return append(b, '}')
}

// appendItem appends an output item; with status in_progress it is still empty.
func (p *response) appendItem(b []byte, it *item, status string) []byte {
	over := status != "in_progress"
	b = append(append(append(b, `{"id":"`...), it.id...), '"')
	switch {
	case it.think:
		b = append(b, `,"type":"reasoning","summary":[`...)
		if over && it.words != nil {
			b = p.appendSummary(b, it.words)
		}
		return append(b, ']', '}')
	case it.call != nil:
		b = append(append(append(b, `,"type":"function_call","status":"`...), status...), `","arguments":`...)
		if over {
			b = appendString(b, it.call.args)
		} else {
			b = append(b, '"', '"')
		}
		b = append(append(append(b, `,"call_id":"`...), it.callID...), `","name":`...)
		return append(appendString(b, it.call.name), '}')
	}
	b = append(append(append(b, `,"type":"message","status":"`...), status...), `","content":[`...)
	if over {
		b = p.appendPart(b, it, it.words)
	}
	return append(b, `],"role":"assistant"}`...)
}

func (p *response) appendSummary(b, words []byte) []byte {
	return append(appendString(append(b, `{"type":"summary_text","text":`...), words), '}')
}

func (p *response) appendPart(b []byte, it *item, words []byte) []byte {
	if it.deny {
		return append(appendString(append(b, `{"type":"refusal","refusal":`...), words), '}')
	}
	b = p.appendOdds(append(b, `{"type":"output_text","annotations":[],"logprobs":`...), words)
	return append(appendString(append(b, `,"text":`...), words), '}')
}

// appendOdds appends the probabilities of words, where asked for.
func (p *response) appendOdds(b, words []byte) []byte {
	b = append(b, '[')
	if p.o.logprobs {
		r := newRandom(p.a.hash, forPads^forText, 0)
		top := min(max(number(p.o.echo["top_logprobs"], 0), 0), 20)
		for i := 0; i < len(words); {
			end := pieceEnd(words, i)
			if i > 0 {
				b = append(b, ',')
			}
			b = appendLogprob(b, &r, top, words[i:end])
			i = end
		}
	}
	return append(b, ']')
}
