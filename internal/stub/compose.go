package stub

import (
	"bytes"
	"strconv"
	"strings"
)

// why an answer ended.
type why int

const (
	atEnd why = iota
	atLength
	atStop
	atTools
	atFilter
	atRefusal
)

// call is a tool call of the model.
type call struct {
	name string
	args []byte
}

// say is one answer before it has a dialect.
type say struct {
	text     []byte
	refused  bool // text is the refusal
	calls    []call
	thought  []byte
	end      why
	stop     string // the stop sequence met
	tokens   int    // of text and calls
	pondered int    // tokens of thought
}

// repeatMark makes the stub say given words, for tests of what leaves a model.
const repeatMark = "Repeat exactly: "

// compose makes the nth choice of an answer.
func (a *ask) compose(nth int) say {
	r := newRandom(a.hash, forText, nth)
	var s say
	if a.thinks {
		s.thought = prose(nil, &r, thoughts, a.topics, 20+r.below(60), false)
		s.pondered = pieces(s.thought)
	}
	if a.knobs.refuse {
		s.text, s.refused, s.end = []byte(refusals[r.below(len(refusals))]), true, atRefusal
		s.tokens = pieces(s.text)
		return s
	}
	if ts := a.wanted(); ts != nil {
		g := newRandom(a.hash, forTool, nth)
		for _, t := range ts {
			args := argument(nil, &g, t.schema, "", a.topics, 0)
			s.calls = append(s.calls, call{t.name, args})
			s.tokens += 8 + pieces(args)
		}
		s.end = atTools
		return s
	}
	s.text = a.words(&r)
	for _, stop := range a.stops {
		if i := bytes.Index(s.text, []byte(stop)); i >= 0 {
			s.text, s.end, s.stop = s.text[:i], atStop, stop
		}
	}
	if a.most > 0 {
		if end := firstPieces(s.text, a.most); end < len(s.text) {
			s.text, s.end, s.stop = s.text[:end], atLength, ""
		}
	}
	if a.knobs.filter {
		s.text, s.end, s.stop = s.text[:firstPieces(s.text, max(1, pieces(s.text)/3))], atFilter, ""
	}
	s.tokens = pieces(s.text)
	return s
}

func (a *ask) words(r *random) []byte {
	if _, that, ok := strings.Cut(a.question, repeatMark); ok {
		return []byte(that)
	}
	if a.object {
		return argument(nil, r, a.schema, "answer", a.topics, 0)
	}
	if n := a.knobs.words; n != unset {
		return prose(make([]byte, 0, 8*n), r, templates, a.topics, n, true)
	}
	return prose(make([]byte, 0, 1024), r, templates, a.topics, 40+r.below(100), false)
}

// maxSchemaDepth bounds what is made for a schema, which may be deep.
const maxSchemaDepth = 6

// argument appends a JSON value that fits a schema, as far as the stub knows
// schemas (type, enum, const, items, properties, anyOf).
func argument(b []byte, r *random, schema []byte, name string, ts []string, depth int) []byte {
	if c := member(schema, "const"); c != nil {
		return appendCompact(b, c)
	}
	if e := member(schema, "enum"); kind(e) == '[' {
		var all [][]byte
		for v := range elements(e) {
			all = append(all, v)
		}
		if len(all) > 0 {
			return appendCompact(b, all[r.below(len(all))])
		}
	}
	for _, of := range [...]string{"anyOf", "oneOf", "allOf"} {
		for v := range elements(member(schema, of)) {
			if depth < maxSchemaDepth {
				return argument(b, r, v, name, ts, depth+1)
			}
		}
	}
	typ := text(member(schema, "type"))
	for t := range elements(member(schema, "type")) {
		typ = text(t)
		break
	}
	if typ == "" && (member(schema, "properties") != nil || depth == 0) {
		typ = "object"
	}
	switch typ {
	case "object":
		return objectArgument(b, r, schema, name, ts, depth)
	case "array":
		b = append(b, '[')
		if item := member(schema, "items"); kind(item) == '{' && depth < maxSchemaDepth {
			b = argument(b, r, item, name, ts, depth+1)
			b = append(b, ',')
			b = argument(b, r, item, name, ts, depth+1)
		}
		return append(b, ']')
	case "integer":
		return strconv.AppendInt(b, int64(1+r.below(40)), 10)
	case "number":
		return strconv.AppendFloat(b, float64(r.below(4000))/8, 'f', -1, 64)
	case "boolean":
		return strconv.AppendBool(b, r.below(2) == 0)
	case "null":
		return append(b, "null"...)
	}
	return appendString(b, stringArgument(r, name, text(member(schema, "format")), ts))
}

func objectArgument(b []byte, r *random, schema []byte, name string, ts []string, depth int) []byte {
	b = append(b, '{')
	from := len(b)
	if depth < maxSchemaDepth {
		for k, v := range members(member(schema, "properties")) {
			if len(b) > from {
				b = append(b, ',')
			}
			b = append(appendString(b, k), ':')
			b = argument(b, r, v, string(k), ts, depth+1)
		}
	}
	if len(b) == from && name != "" { // JSON mode without a schema: still an answer
		b = append(appendString(b, name), ':')
		b = appendString(b, prose(nil, r, templates, ts, 12, false))
	}
	return append(b, '}')
}

func stringArgument(r *random, name, format string, ts []string) string {
	switch format {
	case "date":
		return "2025-0" + strconv.Itoa(1+r.below(9)) + "-1" + strconv.Itoa(r.below(10))
	case "date-time":
		return "2025-0" + strconv.Itoa(1+r.below(9)) + "-1" + strconv.Itoa(r.below(10)) + "T12:00:00Z"
	}
	for _, t := range ts { // a name of the question fits a place or a person best
		if t[0] >= 'A' && t[0] <= 'Z' && len(ts) > 1 && t != ts[0] {
			return t
		}
	}
	if len(ts) > 0 {
		return ts[r.below(len(ts))]
	}
	return nouns[r.below(len(nouns))] + " " + name
}
