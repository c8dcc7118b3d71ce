package dialect

import (
	"bytes"
	"mime"
)

// A framing is how the bytes of a streamed answer are cut into events.
type framing uint8

const (
	framingNone   framing = iota // the answer is one value
	framingSSE                   // server-sent events
	framingLines                 // a JSON value a line
	framingFrames                // Amazon's frames
	framingArray                 // elements of a JSON array
)

// framingOfMedia is the framing that a Content-Type stands for.
func framingOfMedia(contentType string) framing {
	media, _, _ := mime.ParseMediaType(contentType)
	switch media {
	case "text/event-stream":
		return framingSSE
	case "application/x-ndjson", "application/ndjson", "application/stream+json", "application/jsonl", "application/x-jsonlines":
		return framingLines
	case "application/vnd.amazon.eventstream":
		return framingFrames
	}
	return framingNone
}

// Streamed says whether a body with this Content-Type comes event by event.
func Streamed(contentType string) bool { return framingOfMedia(contentType) != framingNone }

// next reads one frame of src, whose first byte has the offset base, and says whether there may be another. Last says
// that no more bytes will come: what is left is read too, since its words arrived.
func (s *Stream) next(src []byte, last bool) bool {
	switch s.framing {
	case framingLines:
		return s.nextValue(src, last)
	case framingFrames:
		return s.nextFrame(src)
	case framingArray:
		return s.nextElement(src)
	default:
		if s.nextLine(src, last) {
			return true
		}
		if last {
			s.endLines(src)
		}
		return false
	}
}

// payload reads the data of an event, which stands at the offset `at` of the stream; the event ends at end.
func (s *Stream) payload(data []byte, at, end int) {
	r := &s.answer.reader
	r.base, r.scattered = at, false
	s.event(data, end)
	s.from = end
}

// nextValue reads one line that is a JSON value.
func (s *Stream) nextValue(src []byte, last bool) bool {
	ahead := src[s.scan-s.base:]
	i := bytes.IndexByte(ahead, '\n')
	end := s.scan + i + 1
	switch {
	case i >= 0:
	case last && s.base+len(src) > s.line:
		end = s.base + len(src)
	default:
		s.scan += len(ahead)
		return false
	}
	line := src[s.line-s.base : end-s.base]
	if text := bytes.TrimLeft(line, " \t\r\n"); len(text) > 0 {
		s.payload(bytes.TrimRight(text, " \t\r\n"), end-len(text), end)
	}
	s.line, s.scan, s.from = end, end, end
	return true
}

// nextLine reads one line of src, whose first byte has the offset base. Lines end with LF, CR LF or CR; a CR at the
// very end is left until the next byte is there.
func (s *Stream) nextLine(src []byte, last bool) bool {
	ahead := src[s.scan-s.base:]
	lf := bytes.IndexByte(ahead, '\n')
	seg := ahead
	if lf >= 0 {
		seg = ahead[:lf]
	}
	cr := bytes.IndexByte(seg, '\r')
	end, next := s.scan+lf, s.scan+lf+1
	switch {
	case cr >= 0 && (cr+1 < len(ahead) || last):
		end, next = s.scan+cr, s.scan+cr+1
		if cr+1 < len(ahead) && ahead[cr+1] == '\n' {
			next++
		}
	case cr >= 0:
		s.scan += cr
		return false
	case lf < 0:
		s.scan += len(ahead)
		return false
	}
	s.endLine(src, end, next)
	return true
}

// endLine takes the line up to end; an empty one ends the event, of which next is then the end.
func (s *Stream) endLine(src []byte, end, next int) {
	line := src[s.line-s.base : end-s.base]
	start := s.line
	if start == 0 && bytes.HasPrefix(line, []byte("\xef\xbb\xbf")) {
		line, start = line[3:], 3
	}
	s.line, s.scan = next, next
	if len(line) == 0 {
		s.dispatch(src, next)
		return
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	at := start + len(line) - len(value)
	if len(value) > 0 && value[0] == ' ' {
		value, at = value[1:], at+1
	}
	switch string(name) {
	case "data":
		s.data = append(s.data, span{start: at, end: at + len(value)})
	case "event":
		s.name = append(s.name[:0], value...)
	}
}

// dispatch reads the event that ends at end.
func (s *Stream) dispatch(src []byte, end int) {
	if len(s.data) > 0 {
		r := &s.answer.reader
		data := src[s.data[0].start-s.base : s.data[0].end-s.base]
		r.base, r.scattered = s.data[0].start, false
		if len(s.data) > 1 {
			data = bytes.Clone(data)
			for _, d := range s.data[1:] {
				data = append(append(data, '\n'), src[d.start-s.base:d.end-s.base]...)
			}
			r.scattered, r.end = true, s.data[len(s.data)-1].end
		}
		s.event(data, end)
	}
	s.name, s.data, s.from = s.name[:0], s.data[:0], end
}

// endLines reads what is left as an event, though no empty line ends it.
func (s *Stream) endLines(src []byte) {
	end := s.base + len(src)
	if end > s.line {
		s.endLine(src, end, end)
	}
	if len(s.data) > 0 {
		s.dispatch(src, end)
	}
}
