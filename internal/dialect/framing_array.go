package dialect

import (
	"bytes"
	"mime"
)

// framing is how an answer of the call with this Content-Type is cut into events. Gemini streams an array of JSON, element by
// element, unless it is asked for server-sent events: only the call tells, since the Content-Type is that of any JSON.
func (c Call) framing(contentType string) framing {
	if c.API == "file_content" || c.API == "batch_results" { // a file, whatever is in it
		return framingNone
	}
	f := framingOfMedia(contentType)
	if f == framingNone && c.Stream && c.Dialect == Gemini {
		if media, _, _ := mime.ParseMediaType(contentType); media == "application/json" || media == "" {
			return framingArray
		}
	}
	return f
}

// end is what ends a stream, for people to read.
func (f framing) end() string {
	if f == framingArray {
		return "the array's end"
	}
	return "[DONE]"
}

// A nesting is where in an array of JSON values a stream stands.
type nesting struct {
	depth   int  // of open brackets
	array   bool // the answer is an array, and not one value in the place of an array
	quoted  bool // inside a text
	escaped bool // behind a backslash in it
	over    bool // the answer's last bracket was closed, or it is no JSON
}

// nextElement reads up to the end of an element of the array. Elements are told apart by brackets alone: whether one is JSON
// is for the tape to say. An answer that is no array, as errors may be, is one element, and its end is the answer's.
func (s *Stream) nextElement(src []byte) bool {
	w := &s.nest
	for !w.over && s.scan-s.base < len(src) {
		b := src[s.scan-s.base]
		s.scan++
		switch {
		case w.quoted:
			w.text(b)
		case b == '"' && w.depth > 0:
			w.quoted = true
		case b == '[' || b == '{':
			w.depth++
			if w.depth == 1 && b == '[' {
				w.array, s.line = true, s.scan
			}
		case w.depth > 0 && (b == ']' || b == '}'):
			w.depth--
			switch {
			case w.depth == 0:
				s.arrayEnd(src)
			case w.depth == 1 && w.array:
				s.element(src, s.scan)
				return true
			}
		case b == ',' && w.depth == 1 && w.array:
			s.element(src, s.scan-1)
		case w.depth == 0 && !isSpace(b) && !isMark(b, s.scan-1):
			w.over = true
			s.bad++
		}
	}
	if w.over {
		s.scan = s.base + len(src)
		s.from = s.scan
	}
	return false
}

func (w *nesting) text(b byte) {
	switch {
	case w.escaped:
		w.escaped = false
	case b == '\\':
		w.escaped = true
	case b == '"':
		w.quoted = false
	}
}

// isMark says whether a byte at the start of an answer belongs to a byte order mark.
func isMark(b byte, at int) bool { return at < 3 && b == "\xef\xbb\xbf"[at] }

// arrayEnd takes the last bracket: what follows it is none of the answer.
func (s *Stream) arrayEnd(src []byte) {
	if s.nest.array {
		s.element(src, s.scan-1) // what is left if the last element is no object
	} else {
		s.element(src, s.scan)
	}
	s.nest.over = true
	s.terminal()
}

// element reads what stands between the last element and end, if there is anything.
func (s *Stream) element(src []byte, end int) {
	data := bytes.TrimLeft(src[s.line-s.base:end-s.base], "\xef\xbb\xbf, \t\r\n")
	if len(data) > 0 {
		s.payload(data, end-len(data), end)
	}
	s.line = end
}
