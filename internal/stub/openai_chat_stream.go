package stub

import (
	"strconv"
)

// chatStream is one chat completion as chunks.
type chatStream struct {
	reply
	a    *ask
	o    *chatOptions
	head []byte // what all chunks begin with
	tail []byte // usage, where asked for
	pads random
	odds []random // of each choice's tokens
}

func (a *ask) chatStream(o *chatOptions, id string, ids *random, says []say) reply {
	c := &chatStream{a: a, o: o, pads: a.random(forPads)}
	c.status = 200
	c.head = append(c.head, `data: {"id":"`...)
	c.head = append(append(c.head, id...), `","object":"chat.completion.chunk","created":`...)
	c.head = strconv.AppendInt(c.head, a.created(), 10)
	c.head = appendString(append(c.head, `,"model":`...), a.answered)
	c.head = append(c.head, `,"service_tier":"default","system_fingerprint":`...)
	c.head = append(a.appendFingerprint(c.head), `,"choices":[`...)
	if o.usage {
		c.tail = []byte(`,"usage":null`)
	}
	most := 0
	for i := range says {
		most = max(most, len(says[i].text))
		c.odds = append(c.odds, newRandom(a.hash, forPads^forText, i))
	}
	c.body = make([]byte, 0, (len(c.head)+160)*(most/4+8)*len(says))
	for i := range says {
		c.open(i, &says[i], ids)
	}
	// The choices of one stream arrive interleaved.
	at := make([]int, len(says))
	for left := len(says); left > 0; {
		left = 0
		for i := range says {
			if s := &says[i]; s.calls == nil && at[i] < len(s.text) {
				end := pieceEnd(s.text, at[i])
				c.words(i, s, s.text[at[i]:end])
				at[i] = end
				left++
			}
		}
	}
	for i := range says {
		c.chunk(i, []byte("{}"), "null", says[i].finish())
	}
	if o.usage {
		b := append(c.body, c.head...)
		b = append(b, `],"usage":`...)
		c.body = a.appendChatUsage(b, says)
		c.close(len(b))
	}
	c.body = append(c.body, "data: [DONE]\n\n"...)
	c.event()
	if a.knobs.streamErr != unset {
		c.breakOff(a.knobs.streamErr, a.appendStreamError)
	}
	return c.reply
}

// appendStreamError appends the event of an error inside a stream of chunks.
func (a *ask) appendStreamError(b []byte, _ int) []byte {
	b = a.streamFailure().openAI(append(b, "data: "...))
	return append(b, '\n', '\n')
}

// open sends the chunks before a choice's words: its role, or its calls whole.
func (c *chatStream) open(i int, s *say, ids *random) {
	if s.calls == nil {
		if s.refused {
			c.chunk(i, []byte(`{"role":"assistant","content":null,"refusal":""}`), "null", "")
		} else {
			c.chunk(i, []byte(`{"role":"assistant","content":"","refusal":null}`), "null", "")
		}
		return
	}
	alone := len(s.calls) == 1
	if !alone {
		c.chunk(i, []byte(`{"role":"assistant","content":null,"refusal":null}`), "null", "")
	}
	for j, call := range s.calls {
		var d []byte
		if alone {
			d = append(d, `{"role":"assistant","content":null,"tool_calls":[`...)
		} else {
			d = append(d, `{"tool_calls":[`...)
		}
		d = appendCall(d, j, ids.id("call_", 24, base62), call.name, nil)
		if alone {
			d = append(d, `],"refusal":null}`...)
		} else {
			d = append(d, ']', '}')
		}
		c.chunk(i, d, "null", "")
		for at := 0; at < len(call.args); {
			end := pieceEnd(call.args, at)
			d = strconv.AppendInt(append(d[:0], `{"tool_calls":[{"index":`...), int64(j), 10)
			d = appendString(append(d, `,"function":{"arguments":`...), call.args[at:end])
			c.chunk(i, append(d, `}}]}`...), "null", "")
			at = end
		}
	}
}

func (c *chatStream) words(i int, s *say, piece []byte) {
	var buf [256]byte
	d := append(buf[:0], `{"content":`...)
	if s.refused {
		d = append(buf[:0], `{"refusal":`...)
	}
	d = append(appendString(d, piece), '}')
	odds := "null"
	if c.o.logprobs {
		list := appendLogprob([]byte{'['}, &c.odds[i], c.o.top, piece)
		odds = string(wrapLogprobs(nil, append(list, ']'), s.refused))
	}
	c.chunk(i, d, odds, "")
}

func (c *chatStream) chunk(i int, delta []byte, logprobs, finish string) {
	b := append(c.body, c.head...)
	b = strconv.AppendInt(append(b, `{"index":`...), int64(i), 10)
	b = append(append(b, `,"delta":`...), delta...)
	b = append(append(b, `,"logprobs":`...), logprobs...)
	b = appendNullable(append(b, `,"finish_reason":`...), finish)
	b = append(b, '}', ']')
	c.body = append(b, c.tail...)
	c.close(len(delta))
}

// close ends a chunk. Its padding hides the length of the words in it.
func (c *chatStream) close(size int) {
	if c.o.obfuscate {
		c.body = append(c.body, `,"obfuscation":"`...)
		c.body = append(c.pads.letters(c.body, padding(size), base62), '"')
	}
	c.body = append(c.body, "}\n\n"...)
	c.event()
}

// padding fills n up to a multiple of 16 by 1 to 16.
func padding(n int) int { return 16 - n&15 }
