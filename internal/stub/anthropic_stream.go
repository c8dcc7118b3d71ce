package stub

import (
	"strconv"
)

// messageStream is one message as events.
type messageStream struct {
	reply
	a     *ask
	pads  random
	block int
	pings bool // the ping is out
}

func (a *ask) messageStream(o *messagesOptions, id string, ids *random, t *say) reply {
	m := &messageStream{a: a, pads: a.random(forPads)}
	m.status = 200
	m.body = make([]byte, 0, 2048+40*len(t.text)+40*len(t.thought))
	m.begin("message_start")
	b := append(append(m.body, `,"message":{"id":"`...), id...)
	b = appendString(append(b, `","type":"message","role":"assistant","model":`...), a.answered)
	b = append(b, `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":`...)
	m.body = append(a.appendUsage(b, o, 1+ids.below(5), true), '}')
	m.close()
	if t.thought != nil {
		m.start(`{"type":"thinking","thinking":"","signature":""}`)
		m.deltas(t.thought, `{"type":"thinking_delta","thinking":`, ids)
		m.delta(`{"type":"signature_delta","signature":`, a.signature())
		m.stop()
	}
	words := t.text
	if t.calls != nil {
		words = []byte(a.beforeTools(t))
	}
	if len(words) > 0 {
		m.start(`{"type":"text","text":""}`)
		m.deltas(words, `{"type":"text_delta","text":`, ids)
		m.stop()
	}
	for _, c := range t.calls {
		h := append([]byte(`{"type":"tool_use","id":"`), ids.id("toolu_01", 22, base58)...)
		h = append(appendString(append(h, `","name":`...), c.name), `,"input":{}}`...)
		m.start(string(h))
		m.delta(`{"type":"input_json_delta","partial_json":`, "")
		m.deltas(c.args, `{"type":"input_json_delta","partial_json":`, ids)
		m.stop()
	}
	m.begin("message_delta")
	b = t.appendStop(append(m.body, `,"delta":{`...))
	b = append(b, `},"usage":`...)
	m.body = a.appendUsage(b, o, a.outTokens(t), false)
	m.close()
	m.begin("message_stop")
	m.close()
	if a.knobs.streamErr != unset {
		m.breakOff(a.knobs.streamErr, func(b []byte, _ int) []byte {
			b = a.streamFailure().anthropic(append(b, "event: error\ndata: "...), "")
			return append(b, '\n', '\n')
		})
	}
	return m.reply
}

func (m *messageStream) begin(event string) {
	m.body = append(append(m.body, "event: "...), event...)
	m.body = append(append(append(m.body, "\ndata: {\"type\":\""...), event...), '"')
}

const padBlanks = "               "

// close ends an event. Blanks before its last brace hide the length of the words in it.
func (m *messageStream) close() {
	m.body = append(m.body, padBlanks[:m.pads.below(len(padBlanks)+1)]...)
	m.body = append(m.body, "}\n\n"...)
	m.event()
}

func (m *messageStream) index() {
	m.body = strconv.AppendInt(append(m.body, `,"index":`...), int64(m.block), 10)
}

func (m *messageStream) start(block string) {
	m.begin("content_block_start")
	m.index()
	m.body = append(append(m.body, `,"content_block":`...), block...)
	m.close()
	if !m.pings {
		m.pings = true
		m.body = append(m.body, "event: ping\ndata: {\"type\": \"ping\"}\n\n"...)
		m.event()
	}
}

func (m *messageStream) deltas(words []byte, head string, r *random) {
	for i := 0; i < len(words); {
		end := i + firstPieces(words[i:], 1+r.below(6))
		m.delta(head, string(words[i:end]))
		i = end
	}
}

func (m *messageStream) delta(head, piece string) {
	m.begin("content_block_delta")
	m.index()
	m.body = append(append(m.body, `,"delta":`...), head...)
	m.body = append(appendString(m.body, piece), '}')
	m.close()
}

func (m *messageStream) stop() {
	m.begin("content_block_stop")
	m.index()
	m.close()
	m.block++
}
