package check

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lowerASCII gives a copy with A to Z in lower case and every offset as it
// was.
func lowerASCII(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if c-'A' < 26 {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}

// normalise gives the text as signatures are written: lower case, Unicode
// NFKC, without the characters that are there but not seen, and each run of
// white space as one character: a line feed if it has one, else a space.
// lower is the text with its ASCII in lower case. Spans are nil if every
// offset is as it was.
func normalise(text, lower []byte) ([]byte, spans) {
	i := plain(lower)
	if i == len(lower) {
		return lower, nil
	}
	n := normaliser{in: text, out: make([]byte, 0, len(text)+16), at: make(spans, 0, 8)}
	n.at = n.at.copied(0, 0, i)
	n.out = append(n.out, lower[:i]...)
	for end := 0; i < len(text); {
		if text[i] < utf8.RuneSelf && (i+1 == len(text) || text[i+1] < utf8.RuneSelf) {
			n.ascii(i, lower[i])
			i++
			continue
		}
		// Runs that are in NFKC already are the rule; a rune there changes
		// by itself or not at all.
		if i >= end {
			end = run(text, i)
		}
		q := i + norm.NFKC.QuickSpan(text[i:end])
		if q == i {
			i += n.chunk(i)
		}
		for i < q {
			i += n.rune(i)
		}
	}
	return n.out, n.at
}

// run gives the end of the piece after i that is not all ASCII.
func run(text []byte, i int) int {
	for n := 0; i < len(text) && n < 2; i++ {
		if text[i] < utf8.RuneSelf {
			n++
		} else {
			n = 0
		}
	}
	return i
}

// plain gives how far the text is in normal form.
func plain(lower []byte) int {
	gap := false
	for i, c := range lower {
		switch {
		case c >= utf8.RuneSelf:
			return max(0, i-1) // what follows an ASCII character may belong to it
		case c > ' ':
			gap = false
		case c == ' ' || c == '\n':
			if gap {
				return i
			}
			gap = true
		case space(c):
			return i
		default:
			gap = false
		}
	}
	return len(lower)
}

// spaced gives a normalised text with its line feeds as spaces, in which
// keywords of two words are found.
func spaced(text []byte) []byte {
	i := bytes.IndexByte(text, '\n')
	if i < 0 {
		return text
	}
	out := bytes.Clone(text)
	for ; i < len(out); i++ {
		if out[i] == '\n' {
			out[i] = ' '
		}
	}
	return out
}

type normaliser struct {
	in, out, buf []byte
	at           spans
}

// ascii takes the character at i, which is c in lower case.
func (n *normaliser) ascii(i int, c byte) {
	if space(c) {
		n.space(i, c == '\n')
		return
	}
	n.at = n.at.copied(len(n.out), i, 1)
	n.out = append(n.out, c)
}

// space takes the white space at i.
func (n *normaliser) space(i int, line bool) {
	c := byte(' ')
	if line {
		c = '\n'
	}
	last := len(n.out) - 1
	switch {
	case last >= 0 && n.out[last] == '\n':
	case last >= 0 && n.out[last] == ' ':
		n.out[last] = c
	default:
		n.at = n.at.copied(last+1, i, 1)
		n.out = append(n.out, c)
	}
}

// rune takes the rune at i, which NFKC leaves as it is.
func (n *normaliser) rune(i int) int {
	if c := n.in[i]; c < utf8.RuneSelf {
		if c-'A' < 26 {
			c |= 0x20
		}
		n.ascii(i, c)
		return 1
	}
	r, size := utf8.DecodeRune(n.in[i:])
	if caseless(r) || r == utf8.RuneError && size == 1 {
		n.at = n.at.copied(len(n.out), i, size)
		n.out = append(n.out, n.in[i:i+size]...)
		return size
	}
	was := len(n.out)
	n.seen(r)
	n.at = n.at.made(was, i, len(n.out)-was, size)
	return size
}

// chunk takes what belongs together at i and NFKC changes.
func (n *normaliser) chunk(i int) int {
	size := norm.NFKC.NextBoundary(n.in[i:], true)
	if size <= 0 {
		return n.rune(i)
	}
	was := len(n.out)
	n.buf = norm.NFKC.Append(n.buf[:0], n.in[i:i+size]...)
	for b := n.buf; len(b) > 0; {
		r, k := utf8.DecodeRune(b)
		n.seen(r)
		b = b[k:]
	}
	n.at = n.at.made(was, i, len(n.out)-was, size)
	return size
}

// seen adds a rune as it is read, if it is.
func (n *normaliser) seen(r rune) {
	if r, ok := visible(r); ok {
		if unicode.IsSpace(r) {
			r = ' '
			if k := len(n.out); k > 0 && (n.out[k-1] == ' ' || n.out[k-1] == '\n') {
				return
			}
		}
		n.out = utf8.AppendRune(n.out, unicode.ToLower(r))
	}
}

// caseless tells the bulk of the scripts of East Asia, which has no case and
// nothing unseen.
func caseless(r rune) bool {
	return r >= 0x3041 && r <= 0xD7A3 && r != 0x3164
}

// visible tells the characters that a reader sees from those that only split
// words for a machine. Tags (U+E0020 to U+E007E) are not seen either, but
// spell ASCII that a model reads: they are read here too.
func visible(r rune) (rune, bool) {
	switch {
	case r >= 0xE0020 && r <= 0xE007E:
		return r - 0xE0000, true
	case r == 0x034F, // combining grapheme joiner
		r == 0x115F, r == 0x1160, r == 0x3164, r == 0xFFA0, // fillers of Hangul
		r >= 0x180B && r <= 0x180F,
		r >= 0xFE00 && r <= 0xFE0F, r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return r, false
	}
	return r, !unicode.Is(unicode.Cf, r)
}
