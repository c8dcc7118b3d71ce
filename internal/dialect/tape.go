package dialect

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Bounds of a tape. Bodies beyond them are not understood; they are passed on and recorded all the same.
const (
	maxDepth  = 512     // containers inside each other; the scanner recurses
	maxValues = 1 << 21 // nodes of 16 bytes
	maxSource = 1 << 31 // offsets are 32 bits
)

type shape uint8

const (
	none shape = iota // the node of an absent value
	object
	array
	key
	text
	number
	yes
	no
	null
)

// A node is one value, or one member name, of a JSON text. Start and end are offsets in the source: of a text or key
// without its quotes, of anything else with its brackets.
type node struct {
	start, end uint32
	next       uint32 // the node after this one and everything in it
	shape      shape
	escaped    bool // the text has a backslash
}

// A tape is a JSON text as a flat list of nodes with their places, made in one pass. Node 0 stands for an absent
// value, so that lookups can be chained; node 1 is the root. A container is followed by its contents; in an object
// keys and values alternate. Numbers directly in an array have no node: vectors are long and nobody asks for one.
//
// A tape accepts exactly what RFC 8259 does, apart from invalid UTF-8, which it lets pass.
type tape struct {
	src   []byte
	nodes []node
	fault fault
}

// A fault says where and why a JSON text could not be read.
type fault struct {
	at  int
	why string
	cut bool // the text ended before the value did
}

func (f *fault) problem(what string) string {
	if f.why == "" {
		return ""
	}
	return fmt.Sprintf("%s is not JSON that can be read: %s at byte %d", what, f.why, f.at)
}

var tapes = sync.Pool{New: func() any { return new(tape) }}

func newTape() *tape { return tapes.Get().(*tape) }

// free gives the tape's memory back; unusually large ones are left to the collector.
func (t *tape) free() {
	if cap(t.nodes) <= 1<<16 {
		t.src = nil
		tapes.Put(t)
	}
}

const root = 1

// parse reads one JSON value from the start of src, after a byte order mark and white space, and returns the offset
// behind it, or -1 and the tape's fault. White space behind it is passed over too.
func (t *tape) parse(src []byte) int {
	t.src, t.fault = src, fault{}
	t.nodes = append(t.nodes[:0], node{next: 1})
	if len(src) >= maxSource {
		return t.fail(0, "it is too long", false)
	}
	i := 0
	if bytes.HasPrefix(src, []byte("\xef\xbb\xbf")) {
		i = 3
	}
	i = t.value(t.space(i), 0)
	if i < 0 {
		t.nodes = append(t.nodes[:0], node{next: 1}, node{next: 2})
		return -1
	}
	return t.space(i)
}

func (t *tape) fail(at int, why string, cut bool) int {
	if t.fault.why == "" {
		t.fault = fault{at: at, why: why, cut: cut}
	}
	return -1
}

func (t *tape) unexpected(i int) int {
	if i >= len(t.src) {
		return t.fail(len(t.src), "it ends too early", true)
	}
	return t.fail(i, "unexpected byte", false)
}

func (t *tape) space(i int) int {
	for i < len(t.src) {
		if c := t.src[i]; c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			break
		}
		i++
	}
	return i
}

// add appends a node; its end and next are set when they are known.
func (t *tape) add(s shape, start int) int {
	t.nodes = append(t.nodes, node{start: uint32(start), shape: s})
	return len(t.nodes) - 1
}

func (t *tape) close(n, end int) int {
	t.nodes[n].end = uint32(end)
	t.nodes[n].next = uint32(len(t.nodes))
	return end
}

// value reads the value at i, which is no white space, and returns the offset behind it or -1.
func (t *tape) value(i, depth int) int {
	if i >= len(t.src) {
		return t.unexpected(i)
	}
	if len(t.nodes) >= maxValues {
		return t.fail(i, "it has too many values", false)
	}
	switch c := t.src[i]; c {
	case '"':
		return t.quoted(i, text)
	case '{', '[':
		if depth >= maxDepth {
			return t.fail(i, "it is nested too deep", false)
		}
		if c == '{' {
			return t.object(i, depth+1)
		}
		return t.array(i, depth+1)
	case 't':
		return t.word(i, "true", yes)
	case 'f':
		return t.word(i, "false", no)
	case 'n':
		return t.word(i, "null", null)
	}
	end := t.digits(i)
	if end < 0 {
		return -1
	}
	return t.close(t.add(number, i), end)
}

func (t *tape) word(i int, w string, s shape) int {
	for k := range len(w) {
		if i+k >= len(t.src) || t.src[i+k] != w[k] {
			return t.unexpected(i + k)
		}
	}
	return t.close(t.add(s, i), i+len(w))
}

func (t *tape) object(i, depth int) int {
	n := t.add(object, i)
	i = t.space(i + 1)
	if i < len(t.src) && t.src[i] == '}' {
		return t.close(n, i+1)
	}
	for {
		if i >= len(t.src) || t.src[i] != '"' {
			return t.unexpected(i)
		}
		if i = t.quoted(i, key); i < 0 {
			return -1
		}
		if i = t.space(i); i >= len(t.src) || t.src[i] != ':' {
			return t.unexpected(i)
		}
		if i = t.value(t.space(i+1), depth); i < 0 {
			return -1
		}
		if i = t.space(i); i >= len(t.src) {
			return t.unexpected(i)
		}
		switch t.src[i] {
		case '}':
			return t.close(n, i+1)
		case ',':
			i = t.space(i + 1)
		default:
			return t.unexpected(i)
		}
	}
}

func (t *tape) array(i, depth int) int {
	n := t.add(array, i)
	i = t.space(i + 1)
	if i < len(t.src) && t.src[i] == ']' {
		return t.close(n, i+1)
	}
	for {
		if i < len(t.src) && (t.src[i] == '-' || t.src[i] >= '0' && t.src[i] <= '9') {
			i = t.digits(i)
		} else {
			i = t.value(i, depth)
		}
		if i < 0 {
			return -1
		}
		if i = t.space(i); i >= len(t.src) {
			return t.unexpected(i)
		}
		switch t.src[i] {
		case ']':
			return t.close(n, i+1)
		case ',':
			i = t.space(i + 1)
		default:
			return t.unexpected(i)
		}
	}
}

// digits passes over the number at i.
func (t *tape) digits(i int) int {
	s := t.src
	run := func(i int) int {
		for i < len(s) && s[i]-'0' < 10 {
			i++
		}
		return i
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case i < len(s) && s[i]-'1' < 9:
		i = run(i)
	default:
		return t.unexpected(i)
	}
	if i < len(s) && s[i] == '.' {
		k := run(i + 1)
		if k == i+1 {
			return t.unexpected(k)
		}
		i = k
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		k := run(i)
		if k == i {
			return t.unexpected(k)
		}
		i = k
	}
	return i
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// quoted reads the string at i as a node of shape s. Eight bytes a step: the lowest bit set in the mask is the first
// quote, backslash or control character (higher ones may be false, being reached by a borrow).
func (t *tape) quoted(i int, s shape) int {
	n := t.add(s, i+1)
	src := t.src
	i++
	for {
		for i+8 <= len(src) {
			v := binary.LittleEndian.Uint64(src[i:])
			q, b := v^(ones*'"'), v^(ones*'\\')
			mask := ((q-ones)&^q | (b-ones)&^b | (v-ones*' ')&^v) & highs
			if mask != 0 {
				i += bits.TrailingZeros64(mask) / 8
				break
			}
			i += 8
		}
		if i >= len(src) {
			return t.unexpected(i)
		}
		switch c := src[i]; {
		case c == '"':
			t.nodes[n].end = uint32(i)
			t.nodes[n].next = uint32(n + 1)
			return i + 1
		case c == '\\':
			t.nodes[n].escaped = true
			if i = t.escape(i); i < 0 {
				return -1
			}
		case c < ' ':
			return t.unexpected(i)
		default:
			i++
		}
	}
}

func (t *tape) escape(i int) int {
	if i+1 >= len(t.src) {
		return t.unexpected(i + 1)
	}
	switch t.src[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(t.src) || !isHex(t.src[k]) {
				return t.unexpected(k)
			}
		}
		return i + 6
	}
	return t.unexpected(i + 1)
}

func isHex(c byte) bool {
	return c-'0' < 10 || c|0x20 >= 'a' && c|0x20 <= 'f'
}

// members goes through the keys and values of an object, doubles included; nothing if n is no object.
func (t *tape) members(n int) iter.Seq2[int, int] {
	return func(yield func(k, v int) bool) {
		if t.nodes[n].shape != object {
			return
		}
		for k := n + 1; k < int(t.nodes[n].next); k = int(t.nodes[k+1].next) {
			if !yield(k, k+1) {
				return
			}
		}
	}
}

// elements goes through the values of an array, numbers left out; nothing if n is no array.
func (t *tape) elements(n int) iter.Seq[int] {
	return func(yield func(v int) bool) {
		if t.nodes[n].shape != array {
			return
		}
		for v := n + 1; v < int(t.nodes[n].next); v = int(t.nodes[v].next) {
			if !yield(v) {
				return
			}
		}
	}
}

// get finds a member of an object; of doubles the last, as most readers of JSON do. 0 if there is none.
func (t *tape) get(n int, name string) int {
	found := 0
	if t.nodes[n].shape != object {
		return 0
	}
	for k := n + 1; k < int(t.nodes[n].next); k = int(t.nodes[k+1].next) {
		if t.is(k, name) {
			found = k + 1
		}
	}
	return found
}

func (t *tape) shape(n int) shape { return t.nodes[n].shape }

// has says whether a value is there and not null.
func (t *tape) has(n int) bool { return t.nodes[n].shape != none && t.nodes[n].shape != null }

// inner is the source of a text without its quotes, of another value as it stands.
func (t *tape) inner(n int) []byte { return t.src[t.nodes[n].start:t.nodes[n].end] }

// place is the range of a value in the source, quotes included.
func (t *tape) place(n int) (start, end int) {
	v := t.nodes[n]
	if v.shape == text || v.shape == key {
		return int(v.start) - 1, int(v.end) + 1
	}
	return int(v.start), int(v.end)
}

// raw is the JSON of a value.
func (t *tape) raw(n int) []byte {
	s, e := t.place(n)
	return t.src[s:e]
}

// is compares a text or key.
func (t *tape) is(n int, s string) bool {
	v := &t.nodes[n]
	switch {
	case v.shape != text && v.shape != key:
		return false
	case v.escaped:
		return string(unquote(nil, t.inner(n))) == s
	}
	return int(v.end-v.start) == len(s) && string(t.src[v.start:v.end]) == s
}

// word is a text as it says, without a copy where it has no escapes; nil if n is no text.
func (t *tape) bytes(n int) []byte {
	v := t.nodes[n]
	switch {
	case v.shape != text && v.shape != key:
		return nil
	case v.escaped:
		return unquote(nil, t.inner(n))
	}
	return t.inner(n)
}

// str is a text that becomes metadata: valid UTF-8, at most limit bytes; "" if n is no text.
func (t *tape) str(n, limit int) string { return clip(t.bytes(n), limit) }

// whole is a number without fraction.
func (t *tape) whole(n int) (v int64, ok bool) {
	if t.nodes[n].shape != number {
		return 0, false
	}
	if v, err := strconv.ParseInt(string(t.inner(n)), 10, 64); err == nil {
		return v, true
	}
	f, err := strconv.ParseFloat(string(t.inner(n)), 64)
	if v = int64(f); err == nil && f >= -1<<53 && f <= 1<<53 && float64(v) == f {
		return v, true
	}
	return 0, false
}

// integer is a number without fraction; nil if n is none.
func (t *tape) integer(n int) *int64 {
	if v, ok := t.whole(n); ok {
		return &v
	}
	return nil
}

// index is a number without fraction that is no smaller than 0, or else what is to be taken instead.
func (t *tape) index(n, instead int) int {
	if v, ok := t.whole(n); ok && v >= 0 && v < 1<<31 {
		return int(v)
	}
	return instead
}

// float is a number; nil if n is none or it is beyond a float64.
func (t *tape) float(n int) *float64 {
	if t.nodes[n].shape != number {
		return nil
	}
	f, err := strconv.ParseFloat(string(t.inner(n)), 64)
	if err != nil {
		return nil
	}
	return &f
}

// compact is the JSON of a value without white space between its tokens, valid UTF-8.
func (t *tape) compact(n int) json.RawMessage {
	raw := t.raw(n)
	if s := t.nodes[n].shape; s == object || s == array {
		var b bytes.Buffer
		if json.Compact(&b, raw) != nil {
			return nil // only beyond encoding/json's own limits, which are wider than ours
		}
		raw = b.Bytes()
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	return raw
}

// count is the number of values of an array, numbers included.
func (t *tape) count(n int) int {
	if t.nodes[n].shape != array {
		return 0
	}
	others := 0
	for range t.elements(n) {
		others++
	}
	if others > 0 {
		return others
	}
	in := bytes.TrimSpace(t.src[t.nodes[n].start+1 : t.nodes[n].end-1])
	if len(in) == 0 {
		return 0
	}
	return bytes.Count(in, []byte{','}) + 1
}

// clip makes a metadata string of b: valid UTF-8, no longer than limit.
func clip(b []byte, limit int) string {
	if len(b) > limit {
		b = b[:limit]
		for len(b) > 0 && !utf8.Valid(b[max(0, len(b)-utf8.UTFMax):]) && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
		if r, n := utf8.DecodeLastRune(b); r == utf8.RuneError && n == 1 {
			b = b[:len(b)-1]
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
