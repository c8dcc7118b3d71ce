package dialect

import (
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// guarded reads an answer of ApplyGuardrail.
func (a *answer) guarded(n int) {
	t := a.reader.tape
	a.known = t.get(n, "action") != 0
	for el := range t.elements(t.get(n, "outputs")) {
		a.reader.words(t.get(el, "text"), "output", steno.KindFrame)
	}
	for el := range t.elements(t.get(n, "assessments")) {
		a.assessment(el, "in")
	}
	if t.is(t.get(n, "action"), "GUARDRAIL_INTERVENED") {
		a.refuse("guardrail_intervened", "in", nil)
	}
}

// guardrail reads the trace of the guardrails of a call: what was asked, then what was answered, by guardrail.
func (a *answer) guardrail(n int) {
	t := a.reader.tape
	for _, name := range [...]string{"inputAssessment", "input"} {
		for _, v := range t.members(t.get(n, name)) {
			a.assessment(v, "in")
		}
	}
	for _, v := range t.members(t.get(n, "outputAssessments")) {
		for el := range t.elements(v) {
			a.assessment(el, "out")
		}
	}
	for el := range t.elements(t.get(n, "outputs")) {
		for _, v := range t.members(el) {
			a.assessment(v, "out")
		}
	}
}

// policies are the lists of what a guardrail may find. None of what they say quotes the text but `match`, which is not read.
var policies = []struct{ policy, list, rule, name string }{
	{"topicPolicy", "topics", "topic", "name"},
	{"contentPolicy", "filters", "content", "type"},
	{"wordPolicy", "customWords", "word", ""},
	{"wordPolicy", "managedWordLists", "word", "type"},
	{"sensitiveInformationPolicy", "piiEntities", "pii", "type"},
	{"sensitiveInformationPolicy", "regexes", "regex", "name"},
	{"contextualGroundingPolicy", "filters", "grounding", "type"},
}

// assessment reads what one guardrail found in one text.
func (a *answer) assessment(n int, direction string) {
	t := a.reader.tape
	for _, p := range policies {
		for el := range t.elements(t.get(t.get(n, p.policy), p.list)) {
			action := t.str(t.get(el, "action"), 32)
			if t.shape(t.get(el, "detected")) == no || (action == "" || action == "NONE") && t.shape(t.get(el, "detected")) != yes {
				continue
			}
			name := t.str(t.get(el, p.name), 64)
			rule := "guardrail/" + p.rule
			if name != "" {
				rule += "/" + name
			}
			score := 1.0
			if c := t.str(t.get(el, "confidence"), 16); c != "" {
				rule += "/" + c
				score = filterScores[strings.ToLower(c)]
			}
			a.found(steno.Finding{
				Flag: guardrailFlag(p.rule, name), Rule: rule, Source: a.call.Dialect, Direction: direction, Score: score, Action: "record",
			})
		}
	}
}

// found notes a finding of the provider's, each rule once in a direction.
func (a *answer) found(f steno.Finding) {
	if len(a.findings) < maxFindings && !slices.ContainsFunc(a.findings, func(g steno.Finding) bool {
		return g.Rule == f.Rule && g.Direction == f.Direction
	}) {
		a.findings = append(a.findings, f)
	}
}

func guardrailFlag(rule, name string) steno.Flag {
	switch rule {
	case "pii", "regex":
		return "personal_data"
	case "word":
		return "harmful"
	case "content":
		switch name {
		case "HATE", "SEXUAL", "VIOLENCE":
			return steno.Flag(strings.ToLower(name))
		case "PROMPT_ATTACK":
			return "jailbreak"
		}
		return "harmful" // INSULTS, MISCONDUCT
	}
	return "other"
}
