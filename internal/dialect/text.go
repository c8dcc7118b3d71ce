package dialect

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is a run of words in a body: what checks look at. Start and End are its range in the body: the inside of a
// JSON string, escapes as on the wire; or other JSON, or a body that is not understood, as it stands; or, for words
// that came in fragments, the range from the first to the last.
type Text struct {
	Start, End int
	Origin     string // system, user, tool, document, assistant, output
	New        bool   // not part of the history that is only sent again

	plain  bool    // the range is not the inside of a JSON string
	joined *joined // the words of a stream
}

// joined is text that came in fragments: what they say together, and where each of them stands.
type joined struct {
	words []byte
	frags []frag
}

// A frag is a run of joined words that begins at `at` and came from that range of the body.
type frag struct {
	at, start, end int
	form           form
}

type form uint8

const (
	quoted form = iota // the inside of a JSON string
	plain              // as it stands
	within             // somewhere in the range: an event whose data came on several lines
)

func (j *joined) add(raw []byte, f frag, escaped bool) {
	f.at = len(j.words)
	j.frags = append(j.frags, f)
	if escaped {
		j.words = unquote(j.words, raw)
	} else {
		j.words = append(j.words, raw...)
	}
}

// Words is what the text says: escapes undone, fragments joined. It may share memory with the body.
func (t Text) Words(body []byte) []byte {
	switch {
	case t.joined != nil:
		return t.joined.words
	case t.Start < 0 || t.End > len(body) || t.Start > t.End:
		return nil
	}
	raw := body[t.Start:t.End]
	if t.plain || bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	return unquote(nil, raw)
}

// Span is the byte range of the body in which Words(body)[from:to] stands. Across fragments it reaches from the
// first to the last, with what is between them.
func (t Text) Span(body []byte, from, to int) (start, end int) {
	if t.joined != nil {
		return t.joined.place(body, from, false), t.joined.place(body, to, true)
	}
	if t.plain || t.Start < 0 || t.End > len(body) || t.Start > t.End {
		return min(t.Start+from, t.End), min(t.Start+to, t.End)
	}
	raw := body[t.Start:t.End]
	return t.Start + offset(raw, from), t.Start + offset(raw, to)
}

// place finds the offset in the body of an offset in the words; at a seam the end of the left fragment for an end.
// Without the body, of which a long stream drops the beginning, escapes before the place are not counted.
func (j *joined) place(body []byte, at int, end bool) int {
	var f frag
	for i, g := range j.frags {
		if i > 0 && (g.at > at || end && g.at == at) {
			break
		}
		f = g
	}
	switch {
	case f.form == within && end:
		return f.end
	case f.form == within:
		return f.start
	case f.form == plain || f.end > len(body):
		return min(f.start+at-f.at, f.end)
	}
	return f.start + offset(body[f.start:f.end], at-f.at)
}

// offset is where in raw, the inside of a JSON string, the n-th byte of its words stands.
func offset(raw []byte, n int) int {
	i := 0
	for n > 0 && i < len(raw) {
		if raw[i] != '\\' {
			i++
			n--
			continue
		}
		r, size := escapedRune(raw[i:])
		n -= utf8.RuneLen(r)
		if n < 0 {
			return i // inside the rune: at its start
		}
		i += size
	}
	return i
}

// unquote appends the words of raw, the inside of a JSON string. A lone surrogate becomes U+FFFD; other bytes stay.
func unquote(dst, raw []byte) []byte {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, size := escapedRune(raw[i:])
		dst = utf8.AppendRune(dst, r)
		raw = raw[i+size:]
	}
	return dst
}

// escapedRune reads the escape at the start of raw, both halves of a surrogate pair together.
func escapedRune(raw []byte) (r rune, size int) {
	if len(raw) < 2 {
		return utf8.RuneError, len(raw)
	}
	switch raw[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
	default:
		return rune(raw[1]), 2
	}
	r, ok := hex4(raw)
	if !ok {
		return utf8.RuneError, min(len(raw), 6)
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if low, ok := hex4(raw[6:]); ok {
		if full := utf16.DecodeRune(r, low); full != utf8.RuneError {
			return full, 12
		}
	}
	return utf8.RuneError, 6
}

func hex4(raw []byte) (rune, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range raw[2:6] {
		switch {
		case c-'0' < 10:
			r = r<<4 | rune(c-'0')
		case isHex(c):
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
