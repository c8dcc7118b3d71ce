package stub

import (
	"net/http"
	"strconv"
)

// responseStream is one response as events.
type responseStream struct {
	reply
	*response
	pads random
	seq  int
	odds random
}

func (p *response) stream(whole []byte) reply {
	s := &responseStream{response: p, pads: p.a.random(forPads), odds: newRandom(p.a.hash, forPads^forText, 0)}
	s.status = http.StatusOK
	start := p.appendWhole(nil, "in_progress", "auto")
	s.whole("response.created", start)
	s.whole("response.in_progress", start)
	for i := range p.items {
		s.item(i, &p.items[i])
	}
	s.whole("response."+p.state(), whole)
	if n := p.a.knobs.streamErr; n != unset {
		s.breakOff(n, func(b []byte, seq int) []byte {
			s.body, s.seq = b, seq
			e := p.a.streamFailure()
			s.begin("error")
			s.body = append(s.body, `,"code":"`+e.code+`","message":`...)
			s.body = append(appendString(s.body, e.message), `,"param":null`...)
			s.end()
			s.ends = s.ends[:len(s.ends)-1]
			return s.body
		})
		s.whole("response.failed", p.appendWhole(nil, "failed", "auto"))
	}
	return s.reply
}

func (s *responseStream) begin(event string) {
	s.body = append(append(s.body, "event: "...), event...)
	s.body = append(append(append(s.body, "\ndata: {\"type\":\""...), event...), '"')
}

func (s *responseStream) end() {
	s.body = strconv.AppendInt(append(s.body, `,"sequence_number":`...), int64(s.seq), 10)
	s.finish()
}

// finish ends an event whose sequence number is written.
func (s *responseStream) finish() {
	s.body = append(s.body, "}\n\n"...)
	s.event()
	s.seq++
}

func (s *responseStream) whole(event string, response []byte) {
	s.begin(event)
	s.body = append(append(s.body, `,"response":`...), response...)
	s.end()
}

func (s *responseStream) name(it *item, output int) {
	s.body = append(append(append(s.body, `,"item_id":"`...), it.id...), '"')
	s.at(output)
}

func (s *responseStream) at(output int) {
	s.body = strconv.AppendInt(append(s.body, `,"output_index":`...), int64(output), 10)
}

func (s *responseStream) item(i int, it *item) {
	s.begin("response.output_item.added")
	s.body = s.appendItem(append(s.body, `,"item":`...), it, "in_progress")
	s.at(i)
	s.end()
	switch {
	case it.think && it.words != nil:
		s.summary(i, it)
	case it.think:
	case it.call != nil:
		s.call(i, it)
	default:
		s.message(i, it)
	}
	s.begin("response.output_item.done")
	s.body = s.appendItem(append(s.body, `,"item":`...), it, s.state())
	s.at(i)
	s.end()
}

func (s *responseStream) summary(i int, it *item) {
	s.part("response.reasoning_summary_part.added", i, it, nil)
	for at := 0; at < len(it.words); {
		end := pieceEnd(it.words, at)
		s.begin("response.reasoning_summary_text.delta")
		s.body = appendString(append(s.body, `,"delta":`...), it.words[at:end])
		s.named(i, it, end-at, "summary_index")
		at = end
	}
	s.begin("response.reasoning_summary_text.done")
	s.name(it, i)
	s.body = strconv.AppendInt(append(s.body, `,"sequence_number":`...), int64(s.seq), 10)
	s.body = appendString(append(s.body, `,"summary_index":0,"text":`...), it.words)
	s.finish()
	s.part("response.reasoning_summary_part.done", i, it, it.words)
}

func (s *responseStream) part(event string, i int, it *item, words []byte) {
	s.begin(event)
	s.name(it, i)
	s.body = s.appendSummary(append(s.body, `,"part":`...), words)
	s.body = strconv.AppendInt(append(s.body, `,"sequence_number":`...), int64(s.seq), 10)
	s.body = append(s.body, `,"summary_index":0`...)
	s.finish()
}

// named ends a delta of size bytes: its item, its padding, its number, and the
// index inside the item, where it has one.
func (s *responseStream) named(i int, it *item, size int, index string) {
	s.body = append(append(append(s.body, `,"item_id":"`...), it.id...), '"')
	s.obfuscate(size)
	s.at(i)
	s.body = strconv.AppendInt(append(s.body, `,"sequence_number":`...), int64(s.seq), 10)
	if index != "" {
		s.body = append(append(append(s.body, ',', '"'), index...), `":0`...)
	}
	s.finish()
}

func (s *responseStream) obfuscate(size int) {
	if s.o.pads {
		s.body = append(s.pads.letters(append(s.body, `,"obfuscation":"`...), padding(size), base62), '"')
	}
}

func (s *responseStream) call(i int, it *item) {
	for at := 0; at < len(it.call.args); {
		end := pieceEnd(it.call.args, at)
		s.begin("response.function_call_arguments.delta")
		s.body = appendString(append(s.body, `,"delta":`...), it.call.args[at:end])
		s.named(i, it, end-at, "")
		at = end
	}
	s.begin("response.function_call_arguments.done")
	s.body = appendString(append(s.body, `,"arguments":`...), it.call.args)
	s.name(it, i)
	s.end()
}

func (s *responseStream) message(i int, it *item) {
	kind, member := "output_text", "text"
	if it.deny {
		kind, member = "refusal", "refusal"
	}
	s.content("response.content_part.added", i, it, nil)
	for at := 0; at < len(it.words); {
		end := pieceEnd(it.words, at)
		s.begin("response." + kind + ".delta")
		s.body = append(s.body, `,"content_index":0,"delta":`...)
		s.body = appendString(s.body, it.words[at:end])
		s.body = append(append(append(s.body, `,"item_id":"`...), it.id...), '"')
		if !it.deny {
			s.body = append(s.body, `,"logprobs":[`...)
			if s.o.logprobs {
				top := min(max(number(s.o.echo["top_logprobs"], 0), 0), 20)
				s.body = appendLogprob(s.body, &s.odds, top, it.words[at:end])
			}
			s.body = append(s.body, ']')
		}
		s.obfuscate(end - at)
		s.at(i)
		s.end()
		at = end
	}
	s.begin("response." + kind + ".done")
	s.body = append(append(append(s.body, `,"content_index":0,"item_id":"`...), it.id...), '"')
	if !it.deny {
		s.body = s.appendOdds(append(s.body, `,"logprobs":`...), it.words)
	}
	s.at(i)
	s.body = strconv.AppendInt(append(s.body, `,"sequence_number":`...), int64(s.seq), 10)
	s.body = appendString(append(append(append(s.body, ',', '"'), member...), '"', ':'), it.words)
	s.finish()
	s.content("response.content_part.done", i, it, it.words)
}

func (s *responseStream) content(event string, i int, it *item, words []byte) {
	s.begin(event)
	s.body = append(s.body, `,"content_index":0`...)
	s.name(it, i)
	s.body = s.appendPart(append(s.body, `,"part":`...), it, words)
	s.end()
}
