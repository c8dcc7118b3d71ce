package check

import (
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"
)

// What an expression's syntax tells about the texts it matches, so that it
// need not be run where it cannot match. All of it is about bytes, and leaves
// out that K (U+212A) and ſ (U+017F) fold to k and s: a key written with
// those is no key.

// byteSet holds a set of bytes.
type byteSet [4]uint64

func (s *byteSet) add(b byte)      { s[b>>6] |= 1 << (b & 63) }
func (s *byteSet) has(b byte) bool { return s[b>>6]&(1<<(b&63)) != 0 }

// prefix is a way a match can begin: its first byte is in the first set, and
// so on. It is open if what follows in the expression may be added, and at a
// boundary if the expression begins with \b.
type prefix struct {
	sets     []byteSet
	open     bool
	boundary bool
}

// Bounds of prefixes: there is little to gain from more.
const (
	longestPrefix = 24
	mostPrefixes  = 64
)

// find gives the place in p at which every match has the keyword, in any
// case, or -1.
func (p prefix) find(keyword string) int {
	for at := 0; at+len(keyword) <= len(p.sets); at++ {
		if p.spells(at, keyword) {
			return at
		}
	}
	return -1
}

func (p prefix) spells(at int, keyword string) bool {
	for i := range len(keyword) {
		var want byteSet
		c := keyword[i]
		want.add(c)
		if c-'a' < 26 {
			want.add(c &^ 0x20)
		}
		for j, bits := range p.sets[at+i] {
			if bits&^want[j] != 0 {
				return false
			}
		}
	}
	return true
}

// head is a prefix as seen from a keyword at a place in it.
type head struct {
	prefix
	at int
}

// fits tells whether a match can begin so that its keyword is at i. Sets are
// of bytes in the case in which the expression has them; the text was put in
// lower case, so an upper-case letter in the set counts for both.
func (h head) fits(lower []byte, i int) bool {
	i -= h.at
	if i < 0 || i+len(h.sets) > len(lower) {
		return false
	}
	if h.boundary && i > 0 && i < len(lower) && inWord(lower[i-1]) == inWord(lower[i]) {
		return false
	}
	for j := range h.sets {
		c := lower[i+j]
		if !h.sets[j].has(c) && (c-'a' >= 26 || !h.sets[j].has(c&^0x20)) {
			return false
		}
	}
	return true
}

// prefixes gives the ways a match of re can begin.
func prefixes(re *syntax.Regexp) []prefix {
	switch re.Op {
	case syntax.OpLiteral:
		return []prefix{literalPrefix(re)}
	case syntax.OpCharClass:
		return []prefix{classPrefix(re)}
	case syntax.OpCapture:
		return prefixes(re.Sub[0])
	case syntax.OpConcat:
		return join(re.Sub)
	case syntax.OpAlternate:
		var all []prefix
		for _, sub := range re.Sub {
			all = append(all, prefixes(sub)...)
		}
		return bounded(all)
	case syntax.OpRepeat:
		return repeated(re.Sub[0], re.Min, re.Max == re.Min)
	case syntax.OpPlus:
		return repeated(re.Sub[0], 1, false)
	case syntax.OpQuest:
		return bounded(append([]prefix{{open: true}}, prefixes(re.Sub[0])...))
	case syntax.OpEmptyMatch:
		return []prefix{{open: true}}
	case syntax.OpWordBoundary:
		return []prefix{{open: true, boundary: true}}
	}
	return []prefix{{}}
}

func bounded(ps []prefix) []prefix {
	if len(ps) > mostPrefixes {
		return []prefix{{}}
	}
	return ps
}

func repeated(sub *syntax.Regexp, n int, exactly bool) []prefix {
	subs := slices.Repeat([]*syntax.Regexp{sub}, min(n, longestPrefix))
	ps := join(subs)
	if !exactly {
		for i := range ps {
			ps[i].open = false
		}
	}
	return ps
}

// join gives the ways in which a sequence can begin.
func join(subs []*syntax.Regexp) []prefix {
	all := []prefix{{open: true}}
	for _, sub := range subs {
		var next []prefix
		grew := false
		for _, p := range all {
			if !p.open || len(p.sets) >= longestPrefix {
				p.open = false
				next = append(next, p)
				continue
			}
			grew = true
			for _, q := range prefixes(sub) {
				next = append(next, prefix{
					sets:     slices.Concat(p.sets, q.sets),
					open:     q.open,
					boundary: p.boundary || q.boundary && len(p.sets) == 0,
				})
			}
		}
		if len(next) > mostPrefixes {
			// Too many ways from here on: what was common so far is enough.
			for i := range all {
				all[i].open = false
			}
			return all
		}
		all = next
		if !grew {
			break
		}
	}
	return all
}

func literalPrefix(re *syntax.Regexp) prefix {
	p := prefix{open: true}
	for _, r := range re.Rune {
		for _, b := range []byte(string(r)) {
			var s byteSet
			s.add(b)
			if l := b | 0x20; re.Flags&syntax.FoldCase != 0 && l-'a' < 26 {
				s.add(l)
				s.add(l &^ 0x20)
			}
			p.sets = append(p.sets, s)
		}
	}
	return p
}

func classPrefix(re *syntax.Regexp) prefix {
	var s byteSet
	p := prefix{open: true}
	for i := 0; i < len(re.Rune); i += 2 {
		lo, hi := re.Rune[i], re.Rune[i+1]
		for c := lo; c <= min(hi, utf8.RuneSelf-1); c++ {
			s.add(byte(c))
		}
		for r := max(lo, utf8.RuneSelf); r <= hi; r++ {
			if r == 0x17F || r == 0x212A {
				continue
			}
			// Some character of several bytes: any of their bytes, and the
			// places of what follows are not known.
			for b := utf8.RuneSelf; b < 256; b++ {
				s.add(byte(b))
			}
			p.open = false
			break
		}
	}
	p.sets = []byteSet{s}
	return p
}

// longest gives the most bytes that a match of re can have; where it has no
// bound, reach is taken.
func longest(re *syntax.Regexp, reach int) int {
	const enough = 1 << 20
	n := 0
	switch re.Op {
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			n += utf8.RuneLen(r)
		}
	case syntax.OpCharClass:
		if k := len(re.Rune); k > 0 {
			last := re.Rune[k-1]
			if last == 0x17F || last == 0x212A {
				last = 'k'
			}
			n = max(1, utf8.RuneLen(last))
		}
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = utf8.UTFMax
	case syntax.OpCapture, syntax.OpQuest:
		n = longest(re.Sub[0], reach)
	case syntax.OpStar, syntax.OpPlus:
		n = reach
	case syntax.OpRepeat:
		if re.Max < 0 {
			n = re.Min + reach
		} else {
			n = longest(re.Sub[0], reach) * re.Max
		}
	case syntax.OpConcat:
		for _, s := range re.Sub {
			n += longest(s, reach)
		}
	case syntax.OpAlternate:
		for _, s := range re.Sub {
			n = max(n, longest(s, reach))
		}
	}
	return min(n, enough)
}

// Many rules for secrets have one form: a name, then an assignment, then the
// secret. Between name and sign is what assignedFrom says, and the secret
// begins soon after.
const (
	namesBegin   = `(?i)[\w.-]{0,50}?(?:`
	assignedFrom = `)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)[\x60'"\s=]{0,5}`
)

// assignedNames gives the names of such an expression, in lower case, and the
// ways in which its secret can begin.
func assignedNames(expr string) (names []string, values []prefix, ok bool) {
	rest, ok := strings.CutPrefix(expr, namesBegin)
	if !ok {
		return nil, nil, false
	}
	alts, value, ok := strings.Cut(rest, assignedFrom)
	if !ok {
		return nil, nil, false
	}
	tree, err := syntax.Parse("(?i)(?:"+alts+")", syntax.Perl)
	if err != nil {
		return nil, nil, false
	}
	if names, ok = spelled(tree); !ok {
		return nil, nil, false
	}
	if tree, err = syntax.Parse("(?i)"+value, syntax.Perl); err != nil {
		return nil, nil, false
	}
	return names, prefixes(tree), true
}

// spelled lists the texts that re matches, in lower case, if they are few.
func spelled(re *syntax.Regexp) ([]string, bool) {
	var all []string
	for _, p := range prefixes(re) {
		if !p.open || len(p.sets) > longestPrefix {
			return nil, false
		}
		words := []string{""}
		for _, set := range p.sets {
			var next []string
			for c := range byte(utf8.RuneSelf) {
				if lower := c | 0x20; set.has(c) && (c-'A' >= 26 || !set.has(lower)) {
					if c-'A' < 26 {
						c = lower
					}
					for _, w := range words {
						next = append(next, w+string(rune(c)))
					}
				}
			}
			if words = next; len(words) > mostPrefixes {
				return nil, false
			}
		}
		all = append(all, words...)
	}
	return all, len(all) > 0
}

// assignment tells whether after i there can be the rest of an expression of
// that form, with such a value. It is the cheap look that keeps prose which
// speaks of keys, tokens and passwords from costing a run of the expression
// for each of them.
func assignment(lower []byte, i int, values []prefix) bool {
	end := min(len(lower), i+23)
	for i < end && filler(lower[i]) {
		i++
	}
	if i == len(lower) || !sign(lower[i]) {
		return false
	}
	// What may stand before the value may also begin it, so each place where
	// it can begin is tried.
	end = min(len(lower), i+9)
	for i < end && (sign(lower[i]) || filler(lower[i]) && !word(lower[i])) {
		i++
		for _, v := range values {
			if (head{prefix: v}).fits(lower, i) {
				return true
			}
		}
	}
	return false
}

// inWord is what \b means by a word.
func inWord(c byte) bool { return c-'a' < 26 || c-'0' < 10 || c == '_' }

func word(c byte) bool {
	return inWord(c) || c == '.' || c == '-'
}

func space(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func filler(c byte) bool { return word(c) || space(c) || c == '\'' || c == '"' || c == '`' }

func sign(c byte) bool {
	return c == '=' || c == '>' || c == ':' || c == '|' || c == '?' || c == ','
}
