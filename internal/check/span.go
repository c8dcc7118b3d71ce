package check

import "sort"

// A part is a text to judge and the way back from its offsets to those of the
// bytes the caller gave.
type part struct {
	text []byte
	// own is where the value begins in text. Before it stands the value's
	// key in the surrounding object, which says what kind of value it is
	// ("password": …) and is not itself judged.
	own  int
	back []spans // innermost first
}

// raw gives the span of the caller's bytes that made text[start:end], and
// false if it has no byte of the value.
func (p part) raw(start, end int) (int, int, bool) {
	start = max(start, p.own)
	if start >= end {
		return 0, 0, false
	}
	for _, s := range p.back {
		start, end = s.start(start), s.end(end)
	}
	return start, end, start < end
}

func (p part) withoutKey() part {
	if p.own == 0 {
		return p
	}
	cut := spans{{out: 0, in: p.own, outLen: len(p.text) - p.own, inLen: len(p.text) - p.own}}
	return part{text: p.text[p.own:], back: append([]spans{cut}, p.back...)}
}

// spans maps offsets of a text that was made from another one back to that
// other, in order. A piece with outLen equal to inLen was copied byte by
// byte; any other was made as a whole, and none of its bytes stands for less
// than the whole.
type spans []spanPiece

type spanPiece struct {
	out, in       int
	outLen, inLen int
	whole         bool
}

func (s spans) at(out int) (spanPiece, bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i].out+s[i].outLen > out })
	if i == len(s) {
		return spanPiece{}, false
	}
	return s[i], true
}

// start gives the first original byte that the byte at out was made from.
func (s spans) start(out int) int {
	p, ok := s.at(out)
	if !ok {
		return s.last()
	}
	if p.whole {
		return p.in
	}
	return p.in + out - p.out
}

// end gives the offset after the last original byte that the byte before out
// was made from.
func (s spans) end(out int) int {
	if out == 0 {
		return s.start(0)
	}
	p, ok := s.at(out - 1)
	if !ok {
		return s.last()
	}
	if p.whole {
		return p.in + p.inLen
	}
	return p.in + out - p.out
}

func (s spans) last() int {
	if len(s) == 0 {
		return 0
	}
	p := s[len(s)-1]
	return p.in + p.inLen
}

// copied adds n bytes taken over as they are, joining them to the piece
// before where both run on.
func (s spans) copied(out, in, n int) spans {
	if n == 0 {
		return s
	}
	if k := len(s) - 1; k >= 0 && !s[k].whole && s[k].out+s[k].outLen == out && s[k].in+s[k].inLen == in {
		s[k].outLen += n
		s[k].inLen += n
		return s
	}
	return append(s, spanPiece{out: out, in: in, outLen: n, inLen: n})
}

// made adds outLen bytes that stand for inLen bytes as a whole.
func (s spans) made(out, in, outLen, inLen int) spans {
	if outLen == 0 {
		return s
	}
	return append(s, spanPiece{out: out, in: in, outLen: outLen, inLen: inLen, whole: true})
}
