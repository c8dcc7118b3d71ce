package check

import (
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
// NFKC, without the characters that are there but not seen. lower is the
// text with its ASCII in lower case. Spans are nil if every offset is as it
// was.
func normalise(text, lower []byte) ([]byte, spans) {
	i := 0
	for i < len(lower) && lower[i] < utf8.RuneSelf {
		i++
	}
	if i == len(lower) {
		return lower, nil
	}
	n := normaliser{in: text, out: make([]byte, 0, len(text)+16)}
	n.copy(lower, 0, i)
	for i < len(text) {
		// Runs that are in NFKC already are the rule; a rune there changes
		// by itself or not at all.
		q := i + norm.NFKC.QuickSpan(text[i:])
		for i < q {
			i += n.rune(i)
		}
		if i < len(text) {
			i += n.chunk(i)
		}
	}
	return n.out, n.at
}

type normaliser struct {
	in, out []byte
	at      spans
}

func (n *normaliser) copy(from []byte, i, j int) {
	n.at = n.at.copied(len(n.out), i, j-i)
	n.out = append(n.out, from[i:j]...)
}

// rune takes the rune at i, which NFKC leaves as it is.
func (n *normaliser) rune(i int) int {
	c := n.in[i]
	if c < utf8.RuneSelf {
		if c-'A' < 26 {
			c |= 0x20
		}
		n.at = n.at.copied(len(n.out), i, 1)
		n.out = append(n.out, c)
		return 1
	}
	r, size := utf8.DecodeRune(n.in[i:])
	if r == utf8.RuneError && size == 1 {
		n.copy(n.in, i, i+1)
		return 1
	}
	r, seen := visible(r)
	if !seen {
		return size
	}
	was := len(n.out)
	n.out = utf8.AppendRune(n.out, unicode.ToLower(r))
	if len(n.out)-was == size && r >= utf8.RuneSelf {
		n.at = n.at.copied(was, i, size)
	} else {
		n.at = n.at.made(was, i, len(n.out)-was, size)
	}
	return size
}

// chunk takes what belongs together at i and NFKC changes.
func (n *normaliser) chunk(i int) int {
	size := norm.NFKC.NextBoundary(n.in[i:], true)
	if size <= 0 {
		return n.rune(i)
	}
	was := len(n.out)
	for _, r := range string(norm.NFKC.Bytes(n.in[i : i+size])) {
		if r, seen := visible(r); seen {
			n.out = utf8.AppendRune(n.out, unicode.ToLower(r))
		}
	}
	n.at = n.at.made(was, i, len(n.out)-was, size)
	return size
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
