package seal

import (
	"bytes"
	"encoding/binary"
	"strconv"
)

// The stream codec: server-sent events as templates and columns. What is the same in each event (the JSON around the
// words) is stored once as a template; what differs goes, value by value, into the column of its JSON path, where a
// value that repeats the one before or is one more takes no bytes; and equal events in that sense are one shape. So
// the words of all deltas lie together, and a token costs about what its letters cost.
//
// The split into templates and values is the encoder's alone and may be changed: to decode is to put values between
// the parts of templates. docs/format.md has the layout.

const (
	maxStreamPart = 1 << 20 // bytes of a part before compression
	maxStreamCols = 1 << 14 // columns
	maxStreamNest = 64      // objects and arrays within each other, for the encoder
	minStream     = 512     // bytes for which the codec is tried
)

// What a value is to the last one of its column.
const (
	opSame    = 0
	opNext    = 1 // one more, as a decimal number
	opLiteral = 2
)

// looksLikeStream tells server-sent events from their first line.
func looksLikeStream(b []byte) bool {
	if len(b) < minStream {
		return false
	}
	for _, p := range []string{"data:", "event:", "id:", "retry:", ":"} {
		if bytes.HasPrefix(b, []byte(p)) {
			return true
		}
	}
	// A piece may begin within an event, where a long stream was cut.
	return bytes.Contains(b[:min(len(b), 64<<10)], []byte("\n\ndata:")) || bytes.Contains(b[:min(len(b), 64<<10)], []byte("\n\nevent:"))
}

// streamEncoder collects one piece.
type streamEncoder struct {
	templates map[string]int
	shapes    map[string]int
	columns   map[string]int
	last      [][]byte // by column: its last value
	lengths   [][]byte // by column: lengths of its literals, as uvarints
	literals  [][]byte // by column

	templateDefs, shapeDefs, events []byte

	// The event being read.
	refused  bool     // it is not worth the work
	skeleton []byte   // its template: parts, each with its length before it, and columns
	values   []slot   // what stands between the parts
	stack    [][]byte // keys of the objects and arrays it is in
	key      []byte   // the last key
	path     []byte   // scratch
	ops      []byte   // scratch
}

type slot struct {
	column int
	value  []byte
}

// encodeStream returns the encoding, and false where it is of no use: then another codec is taken.
func encodeStream(b []byte) ([]byte, bool) {
	e, n := readStream(b)
	return e.finish(n)
}

// readStream takes in all events and counts them.
func readStream(b []byte) (e *streamEncoder, n int) {
	e = &streamEncoder{templates: map[string]int{}, shapes: map[string]int{}, columns: map[string]int{}}
	for len(b) > 0 && !e.refused && len(e.columns) <= maxStreamCols {
		end := eventEnd(b)
		e.event(b[:end])
		b = b[end:]
		n++
	}
	return e, n
}

// finish puts the encoding together: what the events are made of, and what their values say.
func (e *streamEncoder) finish(events int) ([]byte, bool) {
	if e.refused || len(e.columns) > maxStreamCols {
		return nil, false
	}
	structure, text := e.parts(events)
	if len(structure) > maxStreamPart || len(text) > maxStreamPart {
		return nil, false
	}
	how, first := encodePart(structure)
	how2, second := encodePart(text)
	out := []byte{byte(how) | byte(how2)<<4}
	out = binary.AppendUvarint(out, uint64(len(first)))
	return append(append(out, first...), second...), true
}

func (e *streamEncoder) parts(events int) (structure, text []byte) {
	structure = binary.AppendUvarint(structure, uint64(len(e.columns)))
	structure = binary.AppendUvarint(structure, uint64(len(e.templates)))
	structure = append(structure, e.templateDefs...)
	structure = binary.AppendUvarint(structure, uint64(len(e.shapes)))
	structure = append(structure, e.shapeDefs...)
	structure = binary.AppendUvarint(structure, uint64(events))
	structure = append(structure, e.events...)
	for c := range e.lengths {
		structure = append(structure, e.lengths[c]...)
		text = append(text, e.literals[c]...)
	}
	return structure, text
}

// encodePart compresses one part of the encoding, if that makes it shorter.
func encodePart(b []byte) (codec, []byte) {
	how, best := codecRaw, b
	if z := zstdDict.EncodeAll(b, nil); len(z) < len(best) {
		how, best = codecDict, z
	}
	return how, best
}

// eventEnd returns the end of the first event, its empty line included.
func eventEnd(b []byte) int {
	for at := 0; ; {
		i := bytes.IndexByte(b[at:], '\n')
		if i < 0 {
			return len(b)
		}
		at += i + 1
		if rest := b[at:]; bytes.HasPrefix(rest, []byte("\n")) {
			return at + 1
		} else if bytes.HasPrefix(rest, []byte("\r\n")) {
			return at + 2
		}
	}
}

// event adds one event: it is cut at the JSON strings that are no keys and at numbers.
func (e *streamEncoder) event(b []byte) {
	e.skeleton, e.values, e.stack, e.key = e.skeleton[:0], e.values[:0], e.stack[:0], nil
	part := 0    // where the part begins that is not yet in the skeleton
	before := -1 // column of the value before
	cut := func(c, from, to int) {
		e.skeleton = binary.AppendUvarint(e.skeleton, uint64(from-part))
		e.skeleton = append(e.skeleton, b[part:from]...)
		e.skeleton = binary.AppendUvarint(e.skeleton, zigzag(int64(c-before)))
		before = c
		e.values = append(e.values, slot{c, b[from:to]})
		part = to
	}
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '"':
			end := stringEnd(b, i+1)
			if end < 0 { // it is cut off
				i = len(b)
				break
			}
			if isKey(b, end+1) {
				e.key = b[i+1 : end]
			} else {
				cut(e.column(), i+1, end)
			}
			i = end + 1
		case c == '{' || c == '[':
			if len(e.stack) == maxStreamNest {
				e.refused = true
				return
			}
			e.stack = append(e.stack, e.key)
			e.key = nil
			i++
		case c == ' ' && (i == 0 || b[i-1] != ' ') && closesLine(b, i), c == '}' && (i == 0 || b[i-1] != ' ') && closesLine(b, i):
			// Some providers pad each event by a random number of spaces there, often none.
			end := i
			for b[end] == ' ' {
				end++
			}
			cut(e.columnOf(" "), i, end)
			i = end + 1
		case c == '}' || c == ']':
			if n := len(e.stack); n > 0 {
				e.key, e.stack = e.stack[n-1], e.stack[:n-1]
			}
			i++
		case c >= '0' && c <= '9' || c == '-' && i+1 < len(b) && b[i+1] >= '0' && b[i+1] <= '9':
			end := i + 1
			for end < len(b) && isNumber(b[end]) {
				end++
			}
			cut(e.column(), i, end)
			i = end
		default:
			i++
		}
	}
	tail := b[part:]
	def := binary.AppendUvarint(e.ops[:0], uint64(len(e.values)))
	def = append(def, e.skeleton...)
	def = binary.AppendUvarint(def, uint64(len(tail)))
	def = append(def, tail...)
	e.ops = def
	t, ok := e.templates[string(def)]
	if !ok {
		t = len(e.templates)
		e.templates[string(def)] = t
		e.templateDefs = append(e.templateDefs, def...)
	}
	e.shape(t)
}

// shape adds the event's values to their columns and the event to the sequence.
func (e *streamEncoder) shape(template int) {
	e.ops = binary.AppendUvarint(e.ops[:0], uint64(template))
	for _, v := range e.values {
		last := e.last[v.column]
		switch {
		case bytes.Equal(last, v.value):
			e.ops = append(e.ops, opSame)
		case isNext(last, v.value):
			e.ops = append(e.ops, opNext)
		default:
			e.ops = append(e.ops, opLiteral)
			e.lengths[v.column] = binary.AppendUvarint(e.lengths[v.column], uint64(len(v.value)))
			e.literals[v.column] = append(e.literals[v.column], v.value...)
		}
		e.last[v.column] = v.value
	}
	s, ok := e.shapes[string(e.ops)]
	if !ok {
		s = len(e.shapes)
		e.shapes[string(e.ops)] = s
		e.shapeDefs = append(e.shapeDefs, e.ops...)
	}
	e.events = binary.AppendUvarint(e.events, uint64(s))
}

// column returns the column of the value that stands at the current place: one for each path of keys.
func (e *streamEncoder) column() int {
	e.path = e.path[:0]
	for _, k := range e.stack {
		e.path = append(append(e.path, k...), '"')
	}
	e.path = append(e.path, e.key...)
	return e.columnOf(string(e.path))
}

func (e *streamEncoder) columnOf(path string) int {
	c, ok := e.columns[path]
	if !ok {
		c = len(e.columns)
		e.columns[path] = c
		e.last = append(e.last, nil)
		e.lengths = append(e.lengths, nil)
		e.literals = append(e.literals, nil)
	}
	return c
}

// stringEnd returns the place of the quote that ends the string which begins at `from`, or -1.
func stringEnd(b []byte, from int) int {
	for i := from; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i
		case '\n':
			return -1 // no JSON string goes over a line
		}
	}
	return -1
}

// closesLine says whether there is nothing between i and the end of the line but spaces and one closing brace.
func closesLine(b []byte, i int) bool {
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i < len(b) && b[i] == '}' && (i+1 == len(b) || b[i+1] == '\n' || b[i+1] == '\r')
}

func isKey(b []byte, i int) bool {
	for i < len(b) && b[i] == ' ' {
		i++
	}
	return i < len(b) && b[i] == ':'
}

func isNumber(c byte) bool {
	return c >= '0' && c <= '9' || c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-'
}

// isNext says whether v is the decimal number after last.
func isNext(last, v []byte) bool {
	n, ok := increment(last)
	return ok && bytes.Equal(n, v)
}

// increment adds one to a decimal number of at most 18 digits that has no needless zeros before it.
func increment(b []byte) ([]byte, bool) {
	if len(b) == 0 || len(b) > 18 || (b[0] == '0' && len(b) > 1) {
		return nil, false
	}
	n := uint64(0)
	for _, c := range b {
		if c < '0' || c > '9' {
			return nil, false
		}
		n = n*10 + uint64(c-'0')
	}
	return strconv.AppendUint(nil, n+1, 10), true
}
