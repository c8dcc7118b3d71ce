package check

import (
	"context"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"sort"
	"strings"
)

// A pattern is an expression and the keywords of which every match holds at
// least one.
type pattern struct {
	re       *regexp.Regexp
	keywords []string // lower case
	// reach bounds how far a match may run on from its keyword where the
	// expression itself has no bound; 0 is defaultReach.
	reach int

	// anchored is re bound to where the text begins, if each keyword tells
	// where a match with it begins. It is given up at the first byte that
	// does not fit, where re would go on to look for another beginning.
	anchored *regexp.Regexp
}

// How far a part of an expression without bound is followed, unless a
// pattern says otherwise, and how far any pattern is followed at all. A match
// that is still running there is followed further.
const (
	defaultReach = 4 << 10
	longestReach = 16 << 10
)

// A matcher finds the matches of many patterns in a text in one pass over it:
// the pass is for keywords, and an expression is run only where one of its
// keywords was met and what is next to it is as the expression wants it.
// Expressions cost a hundred times what the pass does.
type matcher struct {
	keywords keywords
	uses     [][]use // by keyword
	patterns []pattern
}

// use is what one keyword tells about one pattern.
type use struct {
	pattern int
	length  int // of the keyword
	// heads, if any, are what a match with the keyword can begin with; if
	// there are none the match may begin up to before bytes earlier.
	heads  []head
	before int
	after  int      // from the keyword's end
	values []prefix // if any: after the keyword one of them is assigned
}

// window is a piece of the text in which to look for a pattern, or where to
// look if the pattern is anchored.
type window struct{ pattern, start, end int }

func newMatcher(ps []pattern) (*matcher, error) {
	m := &matcher{patterns: slices.Clone(ps)}
	number := map[string]int{}
	for i, p := range ps {
		if len(p.keywords) == 0 {
			return nil, fmt.Errorf("pattern %d has no keywords", i)
		}
		tree, err := syntax.Parse(p.re.String(), syntax.Perl)
		if err != nil {
			return nil, err
		}
		s := shapeOf(p, tree)
		if s.anchored {
			// The bytes before are not in sight then: prefix knows of \b, and
			// takes no other assertion to begin with.
			m.patterns[i].anchored, err = regexp.Compile(`\A(?:` + p.re.String() + `)`)
			if err != nil {
				return nil, err
			}
		}
		for _, k := range p.keywords {
			if k == "" || k != strings.ToLower(k) {
				return nil, fmt.Errorf("keyword %q: want lower case", k)
			}
			u, needed := s.use(i, k)
			if !needed {
				continue
			}
			n, ok := number[k]
			if !ok {
				n = len(m.uses)
				number[k] = n
				m.uses = append(m.uses, nil)
				m.keywords.add(k, n)
			}
			m.uses[n] = append(m.uses[n], u)
		}
	}
	return m, nil
}

// find calls fn with each match: the pattern's number and the offsets of the
// match and its groups, as regexp gives them. lower is text with its ASCII in
// lower case. It ends early when ctx does.
func (m *matcher) find(ctx context.Context, text, lower []byte, fn func(pattern int, loc []int)) {
	ws := m.windows(lower)
	for i := 0; i < len(ws); {
		// Windows that overlap are one piece of text.
		from, w := i, ws[i]
		sum := w.end - w.start
		for i++; i < len(ws) && ws[i].pattern == w.pattern && ws[i].start <= w.end; i++ {
			w.end = max(w.end, ws[i].end)
			sum += ws[i].end - ws[i].start
		}
		if m.patterns[w.pattern].anchored == nil || sum > mostLooks*(w.end-w.start) {
			if ctx.Err() != nil {
				return
			}
			w.start = max(0, w.start-edge)
			m.look(text, w, fn)
			continue
		}
		for _, w := range ws[from:i] {
			if ctx.Err() != nil {
				return
			}
			m.lookAt(text, w, fn)
		}
	}
}

// mostLooks is how often a byte may be looked at for one pattern, each time
// as part of a match that begins elsewhere. Beyond that one run over the
// whole piece is cheaper: a text made of nothing but a rule's keyword must not
// cost its length times the rule's.
const mostLooks = 8

// windows gives the pieces of text worth a look, in order.
func (m *matcher) windows(lower []byte) []window {
	var ws []window
	m.keywords.find(lower, func(k, at int) {
		for i := range m.uses[k] {
			ws = m.uses[k][i].windows(ws, lower, at)
		}
	})
	sort.Slice(ws, func(a, b int) bool {
		if ws[a].pattern != ws[b].pattern {
			return ws[a].pattern < ws[b].pattern
		}
		return ws[a].start < ws[b].start
	})
	return ws
}

// edge is how much more than a match a window shows: expressions look at the
// character before and after it.
const edge = 4

func (u *use) windows(ws []window, lower []byte, at int) []window {
	end := at + u.length
	if len(u.values) > 0 && !assignment(lower, end, u.values) {
		return ws
	}
	if len(u.heads) == 0 {
		return append(ws, window{u.pattern, max(0, at-u.before), min(len(lower), end+u.after+edge)})
	}
	for _, h := range u.heads {
		if h.fits(lower, at) {
			return append(ws, window{u.pattern, at - h.at, min(len(lower), at-h.at+u.after+edge)})
		}
	}
	return ws
}

// lookAt runs an anchored pattern's expression where a window begins.
func (m *matcher) lookAt(text []byte, w window, fn func(int, []int)) {
	for {
		loc := m.patterns[w.pattern].anchored.FindSubmatchIndex(text[w.start:w.end])
		if loc == nil {
			return
		}
		if loc[1] == w.end-w.start && w.end < len(text) {
			w.end = min(len(text), w.end+2*(w.end-w.start))
			continue
		}
		fn(w.pattern, shifted(loc, w.start))
		return
	}
}

func shifted(loc []int, by int) []int {
	for i := range loc {
		if loc[i] >= 0 {
			loc[i] += by
		}
	}
	return loc
}

// look runs a pattern's expression over a window.
func (m *matcher) look(text []byte, w window, fn func(int, []int)) {
	for {
		locs := m.patterns[w.pattern].re.FindAllSubmatchIndex(text[w.start:w.end], -1)
		if n := len(locs); n > 0 && locs[n-1][1] == w.end-w.start && w.end < len(text) {
			// The match runs into the window's end, and perhaps beyond.
			w.end = min(len(text), w.end+2*(w.end-w.start))
			continue
		}
		for _, loc := range locs {
			if loc[0] == 0 && w.start > 0 {
				// What the cut makes look like a beginning is none.
				continue
			}
			fn(w.pattern, shifted(loc, w.start))
		}
		return
	}
}

// shape is what a pattern's expression tells about its matches.
type shape struct {
	longest  int // a match has at most that many bytes, as far as it is followed
	heads    []prefix
	anchored bool // a keyword is at a fixed place in each head
	assigned bool // an assignment, and values are the ways its value can begin
	values   []prefix
	before   int
}

func shapeOf(p pattern, tree *syntax.Regexp) shape {
	reach := p.reach
	if reach == 0 {
		reach = defaultReach
	}
	s := shape{longest: min(longest(tree, reach), longestReach)}
	s.before = s.longest
	s.heads = prefixes(tree)
	s.anchored = true
	for _, h := range s.heads {
		if !slices.ContainsFunc(p.keywords, func(k string) bool { return h.find(k) >= 0 }) {
			s.anchored = false
		}
	}
	if names, values, ok := assignedNames(p.re.String()); ok && tree.Op == syntax.OpConcat && !s.anchored {
		s.assigned = true
		before := 0
		for _, n := range names {
			// If every name ends in a keyword, each match has a keyword with
			// the assignment right behind it.
			s.assigned = s.assigned && slices.ContainsFunc(p.keywords, func(k string) bool { return strings.HasSuffix(n, k) })
			before = max(before, 150+len(n)) // [\w.-]{0,50}, of up to three bytes each
		}
		if s.assigned {
			s.before, s.values = before, values
		}
	}
	return s
}

// use tells what a keyword means for the pattern; it is false if the keyword
// need not be looked for, because each match also has another one in its head.
func (s shape) use(pattern int, keyword string) (use, bool) {
	u := use{pattern: pattern, length: len(keyword), before: s.before, after: s.longest, values: s.values}
	if !s.anchored {
		return u, true
	}
	for _, h := range s.heads {
		if at := h.find(keyword); at >= 0 {
			u.heads = append(u.heads, head{prefix: h, at: at})
		}
	}
	return u, len(u.heads) > 0
}
