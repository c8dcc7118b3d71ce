package dialect

import (
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// moderation reads the verdicts on texts and images; each category that is against one of them becomes a finding, with the
// highest of its scores.
func (a *answer) moderation(n int) {
	t := a.reader.tape
	a.head(n)
	results := t.get(n, "results")
	a.known = t.shape(results) == array
	for res := range t.elements(results) {
		scores := t.get(res, "category_scores")
		for k, v := range t.members(t.get(res, "categories")) {
			name := t.str(k, 64)
			if t.shape(v) != yes || strings.ContainsFunc(name, notWord) {
				continue
			}
			score := 1.0
			if f := t.float(t.get(scores, name)); f != nil {
				score = *f
			}
			a.moderated("moderation/"+name, moderationFlag(name), score)
		}
	}
}

func (a *answer) moderated(rule string, flag steno.Flag, score float64) {
	i := slices.IndexFunc(a.findings, func(f steno.Finding) bool { return f.Rule == rule })
	switch {
	case i >= 0:
		a.findings[i].Score = max(a.findings[i].Score, score)
	case len(a.findings) < maxFindings:
		a.findings = append(a.findings, steno.Finding{
			Flag: flag, Rule: rule, Source: a.call.Dialect, Direction: "in", Score: score, Action: "record",
		})
	}
}

// moderationFlag is the flag of the closed list that a category of OpenAI's or of Mistral's is nearest to.
func moderationFlag(category string) steno.Flag {
	first, _, _ := strings.Cut(category, "/")
	switch first {
	case "hate", "sexual", "violence":
		return steno.Flag(first)
	case "self-harm", "selfharm":
		return "self_harm"
	case "harassment", "illicit", "dangerous_and_criminal_content":
		return "harmful"
	case "hate_and_discrimination":
		return "hate"
	case "violence_and_threats":
		return "violence"
	case "pii":
		return "personal_data"
	}
	return filterFlag(first)
}
