package check

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// A token is a string in a JSON text: text[start:end] without its quotes.
type token struct {
	start, end int
	escaped    bool
}

// looksLikeJSON tells JSON that may hold strings from other text by how it
// begins and ends. Being wrong is harmless: strings are found anyhow.
func looksLikeJSON(b []byte) bool {
	b = bytes.TrimSpace(b)
	if len(b) < 2 {
		return false
	}
	switch b[0] {
	case '{', '[':
		// A cut-off message counts: it is judged as far as it goes.
		return bytes.IndexByte(b, '"') > 0
	case '"':
		return b[len(b)-1] == '"'
	}
	return false
}

// eachString calls fn with each string value of a JSON text, and its key if
// it is a member of an object, until fn returns false. It does not judge the
// JSON: what lies between strings is passed over, and a string that was cut
// off ends where the text ends.
func eachString(b []byte, fn func(key, value token) bool) {
	var key token
	for i := 0; i < len(b); {
		q := bytes.IndexAny(b[i:], `"{}[],`)
		if q < 0 {
			return
		}
		i += q
		if b[i] != '"' {
			// Any structure ends a key's reach, but a list under a key is of
			// that key's kind.
			if b[i] != '[' && b[i] != ',' {
				key = token{}
			}
			i++
			continue
		}
		t := stringAt(b, i)
		i = min(t.end+1, len(b))
		if j := skipSpace(b, i); j < len(b) && b[j] == ':' {
			key, i = t, j+1
			continue
		}
		if !fn(key, t) {
			return
		}
	}
}

// stringAt finds the end of the string whose opening quote is b[i].
func stringAt(b []byte, i int) token {
	t := token{start: i + 1, end: len(b)}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			t.end = i
			return t
		case '\\':
			t.escaped = true
			i++
		}
	}
	return t
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// unquoted gives a string value of p's text as a part, its key before it.
func (p part) unquoted(key, value token) part {
	v, at := unescape(p.text, value)
	if key.end == key.start || key.end-key.start > longestKey {
		return part{text: v, back: append([]spans{at}, p.back...)}
	}
	// Written as in the source of a program or a configuration, which is
	// what the rules for secrets know.
	k, _ := unescape(p.text, key)
	text := make([]byte, 0, len(k)+4+len(v))
	text = append(text, '"')
	text = append(text, k...)
	text = append(text, `":"`...)
	own := len(text)
	text = append(text, v...)
	shift := spans{{out: own, in: 0, outLen: len(v), inLen: len(v)}}
	return part{text: text, own: own, back: append([]spans{shift, at}, p.back...)}
}

// longestKey bounds the keys that are looked at beside their values: longer
// ones are data.
const longestKey = 64

// unescape gives a string's value and where its bytes were.
func unescape(b []byte, t token) ([]byte, spans) {
	if !t.escaped {
		n := t.end - t.start
		return b[t.start:t.end:t.end], spans{{out: 0, in: t.start, outLen: n, inLen: n}}
	}
	out := make([]byte, 0, t.end-t.start)
	var at spans
	for i := t.start; i < t.end; {
		e := bytes.IndexByte(b[i:t.end], '\\')
		if e < 0 {
			e = t.end - i
		}
		at = at.copied(len(out), i, e)
		out = append(out, b[i:i+e]...)
		i += e
		if i == t.end {
			break
		}
		was := len(out)
		var n int
		if out, n = escape(out, b[i:t.end]); n == 0 {
			at = at.copied(len(out), i, 1) // no escape that JSON knows: taken as it stands
			out = append(out, '\\')
			i++
			continue
		}
		at = at.made(was, i, len(out)-was, n)
		i += n
	}
	return out, at
}

// escape appends what the escape sequence at the beginning of b stands for,
// and gives the sequence's length: 0 if it is none.
func escape(out, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return out, 0
	}
	switch b[1] {
	case '"', '\\', '/':
		return append(out, b[1]), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		r, ok := hex4(b[2:])
		if !ok {
			return out, 0
		}
		if !utf16.IsSurrogate(r) {
			return utf8.AppendRune(out, r), 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if low, ok := hex4(b[8:]); ok {
				if both := utf16.DecodeRune(r, low); both != utf8.RuneError {
					return utf8.AppendRune(out, both), 12
				}
			}
		}
		return utf8.AppendRune(out, utf8.RuneError), 6
	}
	return out, 0
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
