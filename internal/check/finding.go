package check

import (
	"cmp"
	"slices"
)

// maxFindings bounds what one text can give. What is beyond is folded into
// the last finding of its flag: its span then covers all of them, since a
// secret that goes unmentioned would go unmasked.
const maxFindings = 64

// RuleMany is the rule of a finding that stands for many.
const RuleMany = "many"

// tidy puts findings in order, makes one of those that overlap and say the
// same, and bounds their number.
func tidy(fs []Finding) []Finding {
	slices.SortFunc(fs, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Flag, b.Flag), cmp.Compare(a.Start, b.Start), cmp.Compare(b.End, a.End),
			cmp.Compare(b.Score, a.Score), cmp.Compare(a.Rule, b.Rule))
	})
	out := fs[:0]
	for _, f := range fs {
		if n := len(out); n > 0 && out[n-1].Flag == f.Flag && f.Start < out[n-1].End {
			out[n-1] = merged(out[n-1], f)
			continue
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.End, b.End), cmp.Compare(a.Flag, b.Flag))
	})
	return fold(out)
}

// merged is one finding for two that overlap: the span of both, and the rule
// that is surer.
func merged(a, b Finding) Finding {
	if b.Score > a.Score {
		a.Rule, a.Score = b.Rule, b.Score
	}
	a.End = max(a.End, b.End)
	return a
}

func fold(fs []Finding) []Finding {
	if len(fs) <= maxFindings {
		return fs
	}
	const room = 8 // more than there are flags
	out := fs[: maxFindings-room : maxFindings-room]
	for _, f := range fs[maxFindings-room:] {
		i := slices.IndexFunc(out[maxFindings-room:], func(g Finding) bool { return g.Flag == f.Flag })
		if i < 0 {
			f.Rule = RuleMany
			out = append(out, f)
			continue
		}
		g := &out[maxFindings-room+i]
		g.End, g.Score = max(g.End, f.End), max(g.Score, f.Score)
	}
	return out
}
