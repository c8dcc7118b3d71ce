package stub

import (
	"math"
	"strconv"
)

// maxChoices bounds n, as the provider does.
const maxChoices = 128

func (a *ask) readChat() (*chatOptions, *apiError) {
	o := &chatOptions{obfuscate: true}
	var messages []byte
	for k, v := range members(a.body) {
		switch string(k) {
		case "messages":
			messages = v
		case "stream":
			a.stream = truth(v)
		case "stream_options":
			o.usage = truth(member(v, "include_usage"))
			o.obfuscate = kind(member(v, "include_obfuscation")) != 'f'
		case "n":
			a.n = number(v, 1)
		case "max_tokens", "max_completion_tokens":
			a.most = number(v, 0)
		case "logprobs":
			o.logprobs = truth(v)
		case "top_logprobs":
			o.top = number(v, 0)
		case "tools":
			a.setTools(v)
		case "tool_choice":
			a.setChoice(v)
		case "parallel_tool_calls":
			a.parallel = kind(v) != 'f'
		case "stop":
			a.stops = stringList(v)
		case "response_format":
			a.setFormat(member(v, "type"), member(member(v, "json_schema"), "schema"))
		}
	}
	if kind(messages) != '[' {
		return nil, badRequest("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
	}
	for m := range elements(messages) {
		if kind(m) != '{' {
			return nil, badRequest("messages", "invalid_type", "Invalid type for 'messages[%d]': expected an object.", a.turns)
		}
		a.turn(text(member(m, "role")), member(m, "content"))
		if calls := member(m, "tool_calls"); calls != nil {
			a.tokens += guessTokens(len(calls))
		}
	}
	if a.turns == 0 {
		return nil, badRequest("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1.")
	}
	if a.n < 1 || a.n > maxChoices {
		return nil, badRequest("n", "integer_out_of_range", "Invalid 'n': expected a value from 1 to %d.", maxChoices)
	}
	if o.top < 0 || o.top > 20 {
		return nil, badRequest("top_logprobs", "integer_out_of_range", "Invalid 'top_logprobs': expected a value from 0 to 20.")
	}
	a.tokens += 3
	a.settleCache()
	a.thinks = reasons(a.model)
	a.read()
	return o, nil
}

// settleCache rounds what was sent before as OpenAI's cache does.
func (a *ask) settleCache() {
	if a.cached < 1024 {
		a.cached = 0
	}
	a.cached -= a.cached % 128
}

func (a *ask) setFormat(typ, schema []byte) {
	switch text(typ) {
	case "json_object":
		a.object = true
	case "json_schema":
		a.object, a.schema = true, schema
	}
}

type chatOptions struct {
	usage     bool
	obfuscate bool
	logprobs  bool
	top       int
}

func (s *Stub) chat(a *ask) (reply, *apiError) {
	o, e := a.readChat()
	if e != nil {
		return reply{}, e
	}
	says := make([]say, a.n)
	ids := a.random(forIDs)
	id := ids.id("chatcmpl-C", 28, base62)
	for i := range says {
		says[i] = a.compose(i)
	}
	if a.stream {
		return a.chatStream(o, id, &ids, says), nil
	}
	b := make([]byte, 0, 1024+2*len(says[0].text))
	b = append(b, `{"id":"`...)
	b = append(append(b, id...), `","object":"chat.completion","created":`...)
	b = strconv.AppendInt(b, a.created(), 10)
	b = appendString(append(b, `,"model":`...), a.answered)
	b = append(b, `,"choices":[`...)
	for i := range says {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.appendChoice(b, o, i, &says[i], &ids)
	}
	b = append(b, `],"usage":`...)
	b = a.appendChatUsage(b, says)
	b = append(b, `,"service_tier":"default","system_fingerprint":`...)
	b = append(a.appendFingerprint(b), '}')
	return reply{status: 200, body: append(appendIndented(make([]byte, 0, 2*len(b)), b), '\n')}, nil
}

func (a *ask) appendChoice(b []byte, o *chatOptions, i int, s *say, ids *random) []byte {
	b = strconv.AppendInt(append(b, `{"index":`...), int64(i), 10)
	b = append(b, `,"message":{"role":"assistant","content":`...)
	switch {
	case s.refused || s.calls != nil:
		b = append(b, "null"...)
	default:
		b = appendString(b, s.text)
	}
	if s.calls != nil {
		b = append(b, `,"tool_calls":[`...)
		for j, c := range s.calls {
			if j > 0 {
				b = append(b, ',')
			}
			b = appendCall(b, -1, ids.id("call_", 24, base62), c.name, c.args)
		}
		b = append(b, ']')
	}
	b = append(b, `,"refusal":`...)
	if s.refused {
		b = appendString(b, s.text)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"annotations":[]},"logprobs":`...)
	if o.logprobs && s.calls == nil {
		b = a.appendLogprobs(b, o.top, i, s.text, s.refused)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"finish_reason":"`...)
	return append(append(b, s.finish()...), '"', '}')
}

// appendCall appends a tool call; in a stream it has an index, else -1.
func appendCall(b []byte, index int, id, name string, args []byte) []byte {
	b = append(b, '{')
	if index >= 0 {
		b = append(strconv.AppendInt(append(b, `"index":`...), int64(index), 10), ',')
	}
	b = append(append(append(b, `"id":"`...), id...), `","type":"function","function":{"name":`...)
	b = append(appendString(b, name), `,"arguments":`...)
	return append(appendString(b, args), '}', '}')
}

// finish is OpenAI's name for why an answer ended.
func (s *say) finish() string {
	switch s.end {
	case atLength:
		return "length"
	case atTools:
		return "tool_calls"
	case atFilter:
		return "content_filter"
	}
	return "stop"
}

func (a *ask) appendChatUsage(b []byte, says []say) []byte {
	out, thought := 0, 0
	for i := range says {
		out += says[i].tokens + says[i].pondered
		thought += says[i].pondered
	}
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), int64(a.tokens), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(out), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(a.tokens+out), 10)
	b = strconv.AppendInt(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), int64(a.cached), 10)
	b = strconv.AppendInt(append(b, `,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":`...), int64(thought), 10)
	return append(b, `,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}`...)
}

// appendFingerprint appends the configuration that answered; one a model.
func (a *ask) appendFingerprint(b []byte) []byte {
	r := random(forThat)
	for i := 0; i < len(a.answered); i++ {
		r = r*31 + random(a.answered[i])
	}
	return append(r.letters(append(b, `"fp_`...), 10, "0123456789abcdef"), '"')
}

func (a *ask) appendLogprobs(b []byte, top, nth int, text []byte, refused bool) []byte {
	r := newRandom(a.hash, forPads^forText, nth)
	list := []byte{'['}
	for i := 0; i < len(text); {
		end := pieceEnd(text, i)
		if i > 0 {
			list = append(list, ',')
		}
		list = appendLogprob(list, &r, top, text[i:end])
		i = end
	}
	return wrapLogprobs(b, append(list, ']'), refused)
}

func wrapLogprobs(b, list []byte, refused bool) []byte {
	if refused {
		return append(append(append(b, `{"content":null,"refusal":`...), list...), '}')
	}
	return append(append(append(b, `{"content":`...), list...), `,"refusal":null}`...)
}

func appendLogprob(b []byte, r *random, top int, token []byte) []byte {
	p := -math.Pow(float64(r.below(1<<20))/(1<<20), 3) * 2
	b = appendTokenProb(b, token, p)
	b = append(b, `,"top_logprobs":[`...)
	for i := range top {
		if i > 0 {
			p -= 0.5 + float64(r.below(1<<10))/(1<<10)
			other := adjectives[(r.below(len(adjectives))+i)%len(adjectives)]
			b = appendTokenProb(append(b, ','), []byte(" "+other), p)
		} else {
			b = appendTokenProb(b, token, p)
		}
		b = append(b, '}')
	}
	return append(b, ']', '}')
}

// appendTokenProb appends a token's probability, the object left open.
func appendTokenProb(b, token []byte, p float64) []byte {
	b = appendString(append(b, `{"token":`...), token)
	b = appendFloat(append(b, `,"logprob":`...), p)
	b = append(b, `,"bytes":[`...)
	for i, c := range token {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(c), 10)
	}
	return append(b, ']')
}

func appendFloat(b []byte, f float64) []byte {
	return strconv.AppendFloat(b, math.Round(f*1e8)/1e8, 'f', -1, 64)
}
