package dialect

import (
	"bytes"

	"github.com/steno-audit/steno"
)

// MaxPiece is the longest piece that is cut; the format's chunks hold no more.
const MaxPiece = 262144

// maxMarks is how many moving cache marks of a body are cut out; providers allow four.
const maxMarks = 16

// A cutter cuts a body into pieces, given the ranges that are to be pieces of their own in ascending order. What lies
// between two of them goes to the second if it is only punctuation and a member's name: it is as stable as the piece,
// and a piece of a few bytes costs more than it holds. Otherwise it is a frame.
//
// The log stores a piece once that it has seen before. So where a message is cut may depend on nothing but the
// message itself, and never on its place or on what follows.
type cutter struct {
	body  []byte
	cuts  []span
	marks []span
	end   int  // of the last range
	loose bool // a value that belongs to no range stands behind it
	whole bool // the last range is a member's whole value, so that what closes the body may go with it
}

type span struct {
	start, end int
	kind       steno.Kind
}

// add makes [start, end) a piece; start may move down to the end of the piece before.
func (c *cutter) add(start, end int, kind steno.Kind) {
	if !c.loose {
		start = c.end
	}
	c.cuts = append(c.cuts, span{start, end, kind})
	c.end, c.loose, c.whole = end, false, false
}

// mark notes cache marks in the value n of the tape, to be cut out of the pieces they stand in.
func (c *cutter) mark(t *tape, n int) {
	for k := n + 1; k < int(t.nodes[n].next) && len(c.marks) < maxMarks; k++ {
		if t.nodes[k].shape != key {
			continue
		}
		start, _ := t.place(k)
		_, end := t.place(k + 1)
		switch {
		case t.is(k, "cache_control"):
		case t.is(k, "cachePoint") && k-1 > n && t.nodes[k-1].shape == object && t.nodes[k-1].next == t.nodes[k+1].next:
			start, end = t.place(k - 1) // Converse's is a block of its own
		default:
			continue
		}
		before := start
		for before > 0 && isSpace(t.src[before-1]) {
			before--
		}
		switch after := t.space(end); {
		case t.src[before-1] == ',':
			start = before - 1
		case t.src[after] == ',': // the first member: what follows it moves up
			end = after + 1
		}
		if m := len(c.marks); m == 0 || c.marks[m-1].end <= start {
			c.marks = append(c.marks, span{start: start, end: end})
		}
		k = int(t.nodes[k+1].next) - 1
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\n' || b == '\t' || b == '\r' }

// pieces is the whole body in pieces.
func (c *cutter) pieces() []steno.Piece {
	if n := len(c.cuts); n > 0 && c.whole && !c.loose {
		c.cuts[n-1].end = len(c.body)
	}
	out := make([]steno.Piece, 0, len(c.cuts)+len(c.marks)+2)
	at := 0
	for _, s := range c.cuts {
		if s.start > at {
			out = split(out, steno.KindFrame, c.body[at:s.start])
		}
		if s.end > s.start {
			out = c.piece(out, s)
		}
		at = s.end
	}
	if at < len(c.body) {
		out = split(out, steno.KindFrame, c.body[at:])
	}
	return out
}

func (c *cutter) piece(out []steno.Piece, s span) []steno.Piece {
	for len(c.marks) > 0 && c.marks[0].start < s.start {
		c.marks = c.marks[1:]
	}
	if len(c.marks) == 0 || c.marks[0].end > s.end {
		return split(out, s.kind, c.body[s.start:s.end])
	}
	var rest []byte // the piece without its marks
	var marks []steno.Piece
	at := s.start
	for len(c.marks) > 0 && c.marks[0].end <= s.end {
		m := c.marks[0]
		c.marks = c.marks[1:]
		rest = append(rest, c.body[at:m.start]...)
		marks = append(marks, steno.Piece{Kind: steno.KindMark, Bytes: c.body[m.start:m.end], At: len(rest)})
		at = m.end
	}
	rest = append(rest, c.body[at:s.end]...)
	for base := 0; ; base += MaxPiece {
		n := min(MaxPiece, len(rest)-base)
		out = append(out, steno.Piece{Kind: s.kind, Bytes: rest[base : base+n : base+n]})
		for len(marks) > 0 && marks[0].At <= base+n {
			marks[0].At -= base
			out = append(out, marks[0])
			marks = marks[1:]
		}
		if base+n == len(rest) {
			return out
		}
	}
}

// split appends b as one piece, or as several where it is longer than one may be.
func split(out []steno.Piece, kind steno.Kind, b []byte) []steno.Piece {
	for len(b) > 0 {
		n := min(len(b), MaxPiece)
		out = append(out, steno.Piece{Kind: kind, Bytes: b[:n:n]})
		b = b[n:]
	}
	return out
}

// hasMarks says whether it is worth looking for marks.
func hasMarks(body []byte) bool {
	return bytes.Contains(body, []byte("cache_control")) || bytes.Contains(body, []byte("cachePoint"))
}
