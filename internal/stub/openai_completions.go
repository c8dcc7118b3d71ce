package stub

import (
	"strconv"
)

type completionOptions struct {
	usage    bool
	logprobs int // unset or a count
	choices  int
}

func (a *ask) readCompletion() (*completionOptions, *apiError) {
	o := &completionOptions{logprobs: unset}
	var prompt []byte
	for k, v := range members(a.body) {
		switch string(k) {
		case "prompt":
			prompt = v
		case "stream":
			a.stream = truth(v)
		case "stream_options":
			o.usage = truth(member(v, "include_usage"))
		case "n":
			a.n = number(v, 1)
		case "max_tokens":
			a.most = number(v, 0)
		case "logprobs":
			o.logprobs = number(v, unset)
		case "stop":
			a.stops = stringList(v)
		}
	}
	if isNull(prompt) {
		return nil, badRequest("prompt", "missing_required_parameter", "Missing required parameter: 'prompt'.")
	}
	if a.n < 1 || a.n > maxChoices {
		return nil, badRequest("n", "integer_out_of_range", "Invalid 'n': expected a value from 1 to %d.", maxChoices)
	}
	prompts := 1
	a.asked, a.last = prompt, "user"
	if kind(prompt) == '[' {
		a.asked, prompts = nil, 0
		for p := range elements(prompt) {
			if kind(p) == '0' { // one prompt, of token numbers
				a.tokens++
				prompts = 1
				continue
			}
			a.asked = p
			a.tokens += contentTokens(p)
			prompts++
		}
	} else {
		a.tokens = contentTokens(prompt)
	}
	if o.choices = prompts * a.n; o.choices < 1 || o.choices > maxChoices {
		return nil, badRequest("prompt", "", "Invalid 'prompt': expected 1 to %d prompts, counted with 'n'.", maxChoices)
	}
	a.read()
	return o, nil
}

func (s *Stub) completion(a *ask) (reply, *apiError) {
	o, e := a.readCompletion()
	if e != nil {
		return reply{}, e
	}
	says := make([]say, o.choices)
	for i := range says {
		says[i] = a.compose(i)
		if says[i].end != atLength && !a.object {
			says[i].text = append([]byte("\n\n"), says[i].text...)
		}
	}
	ids := a.random(forIDs)
	id := ids.id("cmpl-C", 28, base62)
	if a.stream {
		return a.completionStream(o, id, says), nil
	}
	b := a.appendCompletionHead(make([]byte, 0, 1024), id)
	b = append(b, `,"choices":[`...)
	for i := range says {
		if i > 0 {
			b = append(b, ',')
		}
		b = a.appendCompletionChoice(b, o, i, says[i].text, says[i].finish(), 0)
	}
	b = a.appendCompletionUsage(append(b, `],"usage":`...), says)
	b = append(b, '}')
	return reply{status: 200, body: append(appendIndented(make([]byte, 0, 2*len(b)), b), '\n')}, nil
}

func (a *ask) appendCompletionHead(b []byte, id string) []byte {
	b = append(append(append(b, `{"id":"`...), id...), `","object":"text_completion","created":`...)
	b = strconv.AppendInt(b, a.created(), 10)
	return appendString(append(b, `,"model":`...), a.answered)
}

func (a *ask) appendCompletionChoice(b []byte, o *completionOptions, i int, text []byte, finish string, offset int) []byte {
	b = appendString(append(b, `{"text":`...), text)
	b = strconv.AppendInt(append(b, `,"index":`...), int64(i), 10)
	b = append(b, `,"logprobs":`...)
	if o.logprobs == unset || len(text) == 0 {
		b = append(b, "null"...)
	} else {
		b = a.appendOldLogprobs(b, o.logprobs, i+offset<<8, text, offset)
	}
	return append(appendNullable(append(b, `,"finish_reason":`...), finish), '}')
}

// appendOldLogprobs appends what /v1/completions calls logprobs: four lists side by side.
func (a *ask) appendOldLogprobs(b []byte, top, nth int, text []byte, offset int) []byte {
	r := newRandom(a.hash, forPads^forText, nth)
	var offsets, odds, tops []byte
	b = append(b, `{"tokens":[`...)
	for i := 0; i < len(text); {
		end := pieceEnd(text, i)
		if i > 0 {
			b, offsets, odds, tops = append(b, ','), append(offsets, ','), append(odds, ','), append(tops, ',')
		}
		p := -float64(r.below(1<<20)) / (1 << 19)
		b = appendString(b, text[i:end])
		offsets = strconv.AppendInt(offsets, int64(offset+i), 10)
		odds = appendFloat(odds, p)
		tops = appendString(append(tops, '{'), text[i:end])
		tops = append(appendFloat(append(tops, ':'), p), '}')
		i = end
	}
	b = append(append(b, `],"token_logprobs":[`...), odds...)
	if top > 0 {
		b = append(append(append(b, `],"top_logprobs":[`...), tops...), ']')
	} else {
		b = append(b, `],"top_logprobs":null`...)
	}
	return append(append(append(b, `,"text_offset":[`...), offsets...), ']', '}')
}

func (a *ask) appendCompletionUsage(b []byte, says []say) []byte {
	out := 0
	for i := range says {
		out += says[i].tokens
	}
	b = strconv.AppendInt(append(b, `{"prompt_tokens":`...), int64(a.tokens), 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), int64(out), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(a.tokens+out), 10)
	return append(b, '}')
}

func (a *ask) completionStream(o *completionOptions, id string, says []say) reply {
	p := reply{status: 200}
	head := append([]byte("data: "), `{"id":"`...)
	head = append(append(head, id...), `","object":"text_completion","created":`...)
	head = append(strconv.AppendInt(head, a.created(), 10), `,"choices":[`...)
	tail := appendString([]byte(`],"model":`), a.answered)
	if o.usage {
		tail = append(tail, `,"usage":null`...)
	}
	tail = append(tail, "}\n\n"...)
	for i := range says {
		s := &says[i]
		for at := 0; at < len(s.text) || at == 0; {
			end, finish := 0, ""
			if len(s.text) > 0 {
				end = pieceEnd(s.text, at)
			}
			if end == len(s.text) {
				finish = s.finish()
			}
			p.body = append(p.body, head...)
			p.body = a.appendCompletionChoice(p.body, o, i, s.text[at:end], finish, at)
			p.body = append(p.body, tail...)
			p.event()
			if at = end; at == 0 {
				break
			}
		}
	}
	if o.usage {
		p.body = append(append(p.body, head...), `],"model":`...)
		p.body = append(appendString(p.body, a.answered), `,"usage":`...)
		p.body = append(a.appendCompletionUsage(p.body, says), "}\n\n"...)
		p.event()
	}
	p.body = append(p.body, "data: [DONE]\n\n"...)
	p.event()
	if a.knobs.streamErr != unset {
		p.breakOff(a.knobs.streamErr, a.appendStreamError)
	}
	return p
}
