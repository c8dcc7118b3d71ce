package stub

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"iter"
	"strings"
	"unicode/utf8"
)

// A request is scanned in place rather than decoded: the stub is the peer in
// benchmarks, and needs a dozen members of a body that may be long. The body is
// checked whole once (valid); what follows relies on that.

// maxDepth is the nesting beyond which a body is refused: what a request says
// is printed back indented, so that depth costs its square.
const maxDepth = 512

// valid reports whether b is one JSON value.
func valid(b []byte) bool {
	i := check(b, blank(b, 0), 0)
	return i >= 0 && blank(b, i) == len(b)
}

func blank(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// check returns the index after the value that starts at i, or -1.
func check(b []byte, i, depth int) int {
	if i >= len(b) || depth > maxDepth {
		return -1
	}
	switch c := b[i]; {
	case c == '"':
		return checkString(b, i)
	case c == '{' || c == '[':
		return checkNest(b, i, depth+1)
	case c == '-' || c >= '0' && c <= '9':
		return checkNumber(b, i)
	}
	for _, w := range [...]string{"true", "false", "null"} {
		if len(b)-i >= len(w) && string(b[i:i+len(w)]) == w {
			return i + len(w)
		}
	}
	return -1
}

func checkNest(b []byte, i, depth int) int {
	shut := b[i] + 2 // ] follows [ and } follows { at the same distance
	i = blank(b, i+1)
	if i < len(b) && b[i] == shut {
		if depth > maxDepth {
			return -1
		}
		return i + 1
	}
	for {
		if shut == '}' {
			if i >= len(b) || b[i] != '"' {
				return -1
			}
			if i = checkString(b, i); i < 0 {
				return -1
			}
			if i = blank(b, i); i >= len(b) || b[i] != ':' {
				return -1
			}
			i = blank(b, i+1)
		}
		if i = check(b, i, depth); i < 0 {
			return -1
		}
		if i = blank(b, i); i >= len(b) {
			return -1
		}
		switch b[i] {
		case ',':
			i = blank(b, i+1)
		case shut:
			return i + 1
		default:
			return -1
		}
	}
}

func checkString(b []byte, i int) int {
	for i++; i < len(b); i++ {
		for i+8 <= len(b) && plain(binary.LittleEndian.Uint64(b[i:])) {
			i += 8
		}
		if i == len(b) {
			return -1
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c < 0x20:
			return -1
		case c == '\\':
			if i++; i >= len(b) {
				return -1
			}
			if b[i] == 'u' {
				for n := 0; n < 4; n++ {
					if i++; i >= len(b) || !isHex(b[i]) {
						return -1
					}
				}
			} else if strings.IndexByte(`"\/bfnrt`, b[i]) < 0 {
				return -1
			}
		}
	}
	return -1
}

// plain reports whether none of eight bytes is a quote, a backslash or below a blank.
func plain(w uint64) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	quote, slash := w^ones*'"', w^ones*'\\'
	return ((w-ones*' ')&^w|(quote-ones)&^quote|(slash-ones)&^slash)&tops == 0
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func checkNumber(b []byte, i int) int {
	digits := func() bool {
		from := i
		for i < len(b) && b[i] >= '0' && b[i] <= '9' {
			i++
		}
		return i > from
	}
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i++; !digits() {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		if i++; i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return -1
		}
	}
	return i
}

// skip returns the index after the value at i of a valid body.
func skip(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(b) && strings.IndexByte(",]} \n\r\t", b[i]) < 0 {
		i++
	}
	return i
}

func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		n := i
		for b[n-1] == '\\' {
			n--
		}
		if (i-n)%2 == 0 {
			return i + 1
		}
	}
}

// members yields the members of a valid object, in order; none for another value.
func members(v []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		if kind(v) != '{' {
			return
		}
		i := blank(v, blank(v, 0)+1)
		for v[i] != '}' {
			end := skip(v, i)
			key := v[i+1 : end-1]
			if bytes.IndexByte(key, '\\') >= 0 {
				key = []byte(text(v[i:end]))
			}
			i = blank(v, blank(v, end)+1)
			end = skip(v, i)
			if !yield(key, v[i:end]) {
				return
			}
			if i = blank(v, end); v[i] == ',' {
				i = blank(v, i+1)
			}
		}
	}
}

// elements yields the elements of a valid array; none for another value.
func elements(v []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if kind(v) != '[' {
			return
		}
		i := blank(v, blank(v, 0)+1)
		for v[i] != ']' {
			end := skip(v, i)
			if !yield(v[i:end]) {
				return
			}
			if i = blank(v, end); v[i] == ',' {
				i = blank(v, i+1)
			}
		}
	}
}

// member returns the value under name, nil if absent. The last one wins.
func member(v []byte, name string) []byte {
	var found []byte
	for k, m := range members(v) {
		if string(k) == name {
			found = m
		}
	}
	return found
}

// kind is the first byte of a valid value: { [ " t f n or a digit; 0 for nil.
func kind(v []byte) byte {
	i := blank(v, 0)
	if i == len(v) {
		return 0
	}
	if c := v[i]; c != '-' && (c < '0' || c > '9') {
		return c
	}
	return '0'
}

// text returns the string a valid value is, "" if it is none.
func text(v []byte) string {
	if kind(v) != '"' {
		return ""
	}
	if bytes.IndexByte(v, '\\') < 0 && utf8.Valid(v) {
		return string(v[1 : len(v)-1])
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return ""
	}
	return s
}

func truth(v []byte) bool { return kind(v) == 't' }

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string, leaving what is not ASCII as it is.
func appendString[T string | []byte](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendCompact appends v, valid, without the blanks between its tokens.
func appendCompact(b, v []byte) []byte {
	for i := 0; i < len(v); {
		switch v[i] {
		case ' ', '\n', '\r', '\t':
			i++
		case '"':
			end := skipString(v, i)
			b = append(b, v[i:end]...)
			i = end
		default:
			b = append(b, v[i])
			i++
		}
	}
	return b
}

const blanks = "                                                                "

// appendIndented appends v, valid and compact, as OpenAI prints it: two blanks a level.
func appendIndented(b, v []byte) []byte {
	depth := 0
	line := func() {
		b = append(b, '\n')
		for n := 2 * depth; n > 0; n -= len(blanks) {
			b = append(b, blanks[:min(n, len(blanks))]...)
		}
	}
	for i := 0; i < len(v); i++ {
		switch c := v[i]; c {
		case '"':
			end := skipString(v, i)
			b = append(b, v[i:end]...)
			i = end - 1
		case '{', '[':
			b = append(b, c)
			if v[i+1] == c+2 {
				b = append(b, c+2)
				i++
				continue
			}
			depth++
			line()
		case '}', ']':
			depth--
			line()
			b = append(b, c)
		case ',':
			b = append(b, c)
			line()
		case ':':
			b = append(b, ':', ' ')
		default:
			b = append(b, c)
		}
	}
	return b
}
