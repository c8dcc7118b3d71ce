package check

import (
	"fmt"
	"math/rand/v2"
	"regexp/syntax"
	"slices"
	"sort"
	"strings"
	"testing"
	"unicode"

	"github.com/zricethezav/gitleaks/v8/detect"
)

// What gitleaks itself finds in texts made from its rules' expressions is
// found here, at the same place, and nothing else is: looking only around
// keywords loses nothing, and entropy and allowances are as it has them.
func TestAsGitleaks(t *testing.T) {
	c, err := New(Config{Secrets: true})
	if err != nil {
		t.Fatal(err)
	}
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		t.Fatal(err)
	}
	d.IgnoreGitleaksAllow = true
	rounds := 12
	if testing.Short() {
		rounds = 1
	}
	r := rand.New(rand.NewPCG(7, 7))
	found := map[string]bool{}
	for n, rule := range c.secrets.rules {
		tree, err := syntax.Parse(c.secrets.matcher.patterns[n].re.String(), syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		for range rounds {
			before := []string{"", " ", "see ", "\n", "export ", "{\"", "my token is here: "}[r.IntN(7)]
			after := []string{"", " ", "\n", "\" }", " and so on", ";\nnext line"}[r.IntN(6)]
			text := before + sample(r, tree) + after
			want := theirs(d, text)
			got := ours(c, t, text)
			for _, g := range got {
				found[g.rule] = true
			}
			if missing, extra := compare(want, got); len(missing)+len(extra) > 0 {
				t.Errorf("%s: in %q\n gitleaks alone finds %v\n we alone find %v", rule.id, text, missing, extra)
			}
		}
	}
	if len(found) < len(c.secrets.rules)*8/10 {
		t.Errorf("only %d of %d rules found anything: the samples are too poor to tell", len(found), len(c.secrets.rules))
	}
}

type hit struct {
	rule   string
	secret string
}

func theirs(d *detect.Detector, text string) []hit {
	var hs []hit
	for _, f := range d.DetectString(text) {
		hs = append(hs, hit{f.RuleID, f.Secret})
	}
	return sorted(hs)
}

// ours leaves out putting findings in order: gitleaks tells each rule's.
func ours(c *Checker, t *testing.T, text string) []hit {
	var fs []Finding
	c.secrets.check(t.Context(), part{text: []byte(text)}, lowerASCII([]byte(text)), &fs)
	var hs []hit
	for _, f := range fs {
		hs = append(hs, hit{f.Rule, text[f.Start:f.End]})
	}
	return sorted(hs)
}

func sorted(hs []hit) []hit {
	sort.Slice(hs, func(a, b int) bool { return fmt.Sprint(hs[a]) < fmt.Sprint(hs[b]) })
	return slices.Compact(hs)
}

// compare gives what only one of them found. What gitleaks leaves out as the
// lesser of two on a line, the generic rule's, is not counted as extra.
func compare(want, got []hit) (missing, extra []hit) {
	for _, w := range want {
		if !slices.Contains(got, w) {
			missing = append(missing, w)
		}
	}
	for _, g := range got {
		lesser := g.rule == genericRule && slices.ContainsFunc(want, func(w hit) bool { return strings.Contains(w.secret, g.secret) })
		if !slices.Contains(want, g) && !lesser {
			extra = append(extra, g)
		}
	}
	return missing, extra
}

// sample makes a text that an expression matches.
func sample(r *rand.Rand, re *syntax.Regexp) string {
	var b strings.Builder
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 && r.IntN(2) == 0 {
				c = unicode.ToLower(c)
			}
			b.WriteRune(c)
		}
	case syntax.OpCharClass:
		var cs []rune
		for i := 0; i < len(re.Rune); i += 2 {
			for c := max(re.Rune[i], ' '); c <= min(re.Rune[i+1], '~'); c++ {
				cs = append(cs, c)
			}
		}
		if len(cs) == 0 {
			return string(re.Rune[0])
		}
		b.WriteRune(cs[r.IntN(len(cs))])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte(alnum[r.IntN(len(alnum))])
	case syntax.OpCapture:
		return sample(r, re.Sub[0])
	case syntax.OpConcat:
		for _, s := range re.Sub {
			b.WriteString(sample(r, s))
		}
	case syntax.OpAlternate:
		return sample(r, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		lo, hi := re.Min, re.Max
		switch re.Op {
		case syntax.OpStar:
			lo, hi = 0, -1
		case syntax.OpPlus:
			lo, hi = 1, -1
		case syntax.OpQuest:
			lo, hi = 0, 1
		}
		if hi < 0 {
			hi = lo + 30
		}
		for range lo + r.IntN(hi-lo+1) {
			b.WriteString(sample(r, re.Sub[0]))
		}
	}
	return b.String()
}
