package serve

import (
	"bytes"
	"encoding/json"
	"slices"
	"sort"
	"strings"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// secret is the words of a secret that a check found, wherever they stand.
type secret struct {
	words string
	rule  string
}

// place is a finding's range in a decoded body.
type place struct {
	side       string
	start, end int
	flag       steno.Flag
	rule       string
	words      string // what stands there, "" if that could not be read
}

// masks knows the secrets of an exchange. A secret is masked by its words, in every text of the exchange: a model repeats
// what it was told, and a history is sent again on every turn.
type masks struct {
	reveal  bool
	secrets []secret
	places  []place
	hidden  int // masks made
}

func (m *masks) addSecret(words, rule string) {
	words = strings.TrimSpace(words)
	if words == "" || slices.ContainsFunc(m.secrets, func(s secret) bool { return s.words == words }) {
		return
	}
	m.secrets = append(m.secrets, secret{words, ruleName(rule)})
	// Of two secrets of which one holds the other, the longer is masked first.
	slices.SortStableFunc(m.secrets, func(a, b secret) int { return len(b.words) - len(a.words) })
}

// ruleName keeps a mask from being anything but text, whoever named the rule.
func ruleName(s string) string {
	s = strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '/' || c == '.' {
			return c
		}
		return '-'
	}, s)
	if s == "" {
		return "unnamed"
	}
	return s[:min(len(s), 64)]
}

func mask(rule string) string { return "[secret: " + rule + "]" }

// find adds the findings of a body. texts are those that the checks saw.
func (m *masks) find(side string, plain []byte, texts []dialect.Text, findings []steno.Finding) {
	for _, f := range findings {
		if f.Span == nil || f.Span.Body != side {
			continue
		}
		p := place{side: side, start: max(f.Span.Start, 0), end: min(f.Span.End, len(plain)), flag: f.Flag, rule: ruleName(f.Rule)}
		if p.start < p.end {
			p.words = wordsAt(plain, texts, p.start, p.end)
		}
		m.places = append(m.places, p)
		if f.Flag == "secret" {
			m.addSecret(p.words, f.Rule)
		}
	}
}

// wordsAt is what a range of a body says: escapes undone, fragments of a stream joined. Checks made the range from words
// with the same mapping, so that it can be undone.
func wordsAt(plain []byte, texts []dialect.Text, start, end int) string {
	for _, t := range texts {
		if t.Start > start || t.End < end {
			continue
		}
		words := t.Words(plain)
		from := sort.Search(len(words), func(i int) bool { s, _ := t.Span(plain, i, len(words)); return s >= start })
		to := sort.Search(len(words), func(i int) bool { _, e := t.Span(plain, 0, i); return e >= end })
		if from >= to {
			continue
		}
		if s, e := t.Span(plain, from, to); s == start && e == end {
			return string(words[from:to])
		}
	}
	return string(plain[start:end])
}

// spot is a range of a text that is tagged or masked.
type spot struct {
	start, end int
	tag        Tag
	secret     bool
}

// part masks the secrets in a part's text and tags what else was found there. Both use bytes of the new text.
func (m *masks) part(p *Part, side string) {
	p.Name, p.ID = m.text(p.Name), m.text(p.ID)
	if d := p.Document; d != nil && len(m.secrets) > 0 {
		c := *d
		c.Title, c.ID = m.text(c.Title), m.text(c.ID)
		p.Document = &c
	}
	spots := m.secretSpots(p.Text)
	for _, at := range m.places {
		if at.side != side || at.end <= at.start || p.End > p.Start && (at.end <= p.Start || at.start >= p.End) {
			continue
		}
		i := strings.Index(p.Text, at.words)
		switch {
		case at.words != "" && i >= 0:
			if at.flag != "secret" {
				spots = append(spots, spot{start: i, end: i + len(at.words), tag: Tag{Flag: at.flag, Rule: at.rule}})
			}
		case p.End > p.Start && p.Text != "":
			// It stands in this part, but the text is not made of these words: better too much than a secret shown.
			spots = append(spots, spot{start: 0, end: len(p.Text), tag: Tag{Flag: at.flag, Rule: at.rule}, secret: at.flag == "secret"})
		}
	}
	p.Text, p.Tags = m.apply(p.Text, spots)
}

func (m *masks) secretSpots(text string) []spot {
	var out []spot
	for _, s := range m.secrets {
		for at := 0; ; {
			i := strings.Index(text[at:], s.words)
			if i < 0 {
				break
			}
			start := at + i
			at = start + len(s.words)
			out = append(out, spot{start: start, end: at, tag: Tag{Flag: "secret", Rule: s.rule}, secret: true})
		}
	}
	return out
}

// apply puts masks in place of secrets, joining those that touch, and moves the tags along.
func (m *masks) apply(text string, spots []spot) (string, []Tag) {
	if len(spots) == 0 {
		return text, nil
	}
	slices.SortStableFunc(spots, func(a, b spot) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return b.end - a.end
	})
	var tags []Tag
	if m.reveal {
		for _, s := range spots {
			s.tag.Start, s.tag.End = s.start, s.end
			tags = append(tags, s.tag)
		}
		return text, tags
	}
	type cut struct{ start, end, at, n int } // a range of the old text, and where its mask stands in the new
	var cuts []cut
	var out strings.Builder
	last := 0
	for _, s := range spots {
		switch {
		case !s.secret:
		case len(cuts) > 0 && s.start < last:
			if s.end > last {
				last = s.end
				cuts[len(cuts)-1].end = s.end
			}
		default:
			out.WriteString(text[last:s.start])
			cuts = append(cuts, cut{s.start, s.end, out.Len(), len(mask(s.tag.Rule))})
			tags = append(tags, Tag{Start: out.Len(), End: out.Len() + len(mask(s.tag.Rule)), Flag: "secret", Rule: s.tag.Rule, Masked: true})
			out.WriteString(mask(s.tag.Rule))
			last = s.end
			m.hidden++
		}
	}
	out.WriteString(text[last:])
	move := func(at int, end bool) int {
		shift := 0
		for _, c := range cuts {
			switch {
			case at >= c.end:
				shift = c.at + c.n - c.end
			case at > c.start && end:
				return c.at + c.n
			case at > c.start:
				return c.at
			}
		}
		return at + shift
	}
	for _, s := range spots {
		if !s.secret {
			s.tag.Start, s.tag.End = move(s.start, false), move(s.end, true)
			tags = append(tags, s.tag)
		}
	}
	slices.SortStableFunc(tags, func(a, b Tag) int { return a.Start - b.Start })
	return out.String(), tags
}

// text masks the secrets in a short text.
func (m *masks) text(s string) string {
	if m.reveal || s == "" {
		return s
	}
	out, _ := m.apply(s, m.secretSpots(s))
	return out
}

// json masks the secrets in JSON, where they stand escaped.
func (m *masks) json(b []byte) []byte {
	if m.reveal {
		return b
	}
	for _, s := range m.secrets {
		for _, words := range spellings(s.words) {
			if n := bytes.Count(b, words); n > 0 {
				m.hidden += n
				b = bytes.ReplaceAll(b, words, []byte(mask(s.rule)))
			}
		}
	}
	return b
}

// spellings are the ways in which words stand inside a JSON string, the plain one last.
func spellings(words string) [][]byte {
	html, err := json.Marshal(words)
	if err != nil {
		return [][]byte{[]byte(words)}
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(words); err != nil {
		return [][]byte{[]byte(words)}
	}
	inner := func(b []byte) []byte {
		return bytes.TrimSuffix(bytes.TrimPrefix(bytes.TrimSpace(b), []byte{'"'}), []byte{'"'})
	}
	return [][]byte{inner(html), inner(plain.Bytes()), []byte(words)}
}

// masked is a copy of v with the secrets masked in every string of what it marshals to.
func masked[T any](m *masks, v *T) (*T, error) {
	if m.reveal || len(m.secrets) == 0 || v == nil {
		return v, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var tree any
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&tree); err != nil {
		return nil, err
	}
	if b, err = json.Marshal(m.tree(tree)); err != nil {
		return nil, err
	}
	out := new(T)
	return out, json.Unmarshal(b, out)
}

func (m *masks) tree(v any) any {
	switch v := v.(type) {
	case string:
		return m.text(v)
	case []any:
		for i := range v {
			v[i] = m.tree(v[i])
		}
	case map[string]any:
		for k, el := range v {
			if name := m.text(k); name != k {
				delete(v, k)
				k = name
			}
			v[k] = m.tree(el)
		}
	}
	return v
}

// body is a decoded body as text, with the ranges of its secrets and their words elsewhere masked.
func (m *masks) body(side string, plain []byte) []byte {
	if m.reveal {
		return plain
	}
	var spots []spot
	for _, p := range m.places {
		if p.side == side && p.flag == "secret" && p.start < p.end {
			spots = append(spots, spot{start: p.start, end: p.end, tag: Tag{Flag: p.flag, Rule: p.rule}, secret: true})
		}
	}
	if len(spots) == 0 && len(m.secrets) == 0 {
		return plain
	}
	out, _ := m.apply(string(plain), spots)
	return m.json([]byte(out))
}

// count is how many secrets stand in a body.
func (m *masks) count(side string, plain []byte) int {
	n := 0
	for _, p := range m.places {
		if p.side == side && p.flag == "secret" {
			n++
		}
	}
	if n > 0 {
		return n
	}
	for _, s := range m.secrets {
		if slices.ContainsFunc(spellings(s.words), func(w []byte) bool { return bytes.Contains(plain, w) }) {
			n++
		}
	}
	return n
}
