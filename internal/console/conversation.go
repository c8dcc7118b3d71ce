package console

import (
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/steno-audit/steno/internal/serve"
)

const (
	foldAbove = 1800 // bytes of a text that is shown whole
	foldShown = 900  // bytes that are shown of a longer one
)

// block is what stands together in a conversation: tools, what was said before, what is new, the answer.
type block struct {
	Kind  string // tools, before, new, answer
	Turns []serve.Turn
	Bytes int
}

// blocks sorts the turns of an exchange, in their order.
func blocks(x *serve.Exchange) []block {
	var out []block
	for _, t := range x.Turns {
		kind := "new"
		switch {
		case t.Side == "response":
			kind = "answer"
		case t.Role == "tools":
			kind = "tools"
		case !t.New:
			kind = "before"
		}
		if n := len(out); n == 0 || out[n-1].Kind != kind {
			out = append(out, block{Kind: kind})
		}
		b := &out[len(out)-1]
		b.Turns = append(b.Turns, t)
		for _, p := range t.Parts {
			b.Bytes += len(p.Text)
		}
	}
	return out
}

// toolNames are those that were offered.
func (b *block) toolNames() string {
	var names []string
	for _, t := range b.Turns {
		for _, p := range t.Parts {
			if p.Name != "" {
				names = append(names, p.Name)
			}
		}
	}
	return strings.Join(names, ", ")
}

func (b *block) tools() int {
	n := 0
	for _, t := range b.Turns {
		n += len(t.Parts)
	}
	return n
}

// tagged says whether a check found something in the block, so that it is open from the start.
func (b *block) tagged() bool {
	for _, t := range b.Turns {
		for _, p := range t.Parts {
			if len(p.Tags) > 0 {
				return true
			}
		}
	}
	return false
}

// segment is a run of text that is, or is not, part of a finding.
type segment struct {
	Text   string
	Flag   string
	Rule   string
	Masked bool
}

// segments cuts a text at the findings in it. Where two overlap, the first has the words that both have.
func segments(p *serve.Part) []segment {
	tags := append([]serve.Tag(nil), p.Tags...)
	sort.SliceStable(tags, func(i, j int) bool { return tags[i].Start < tags[j].Start })
	var out []segment
	at := 0
	for _, t := range tags {
		start, end := max(t.Start, at), min(t.End, len(p.Text))
		if start >= end {
			continue
		}
		if start > at {
			out = append(out, segment{Text: p.Text[at:start]})
		}
		out = append(out, segment{p.Text[start:end], string(t.Flag), t.Rule, t.Masked})
		at = end
	}
	if at < len(p.Text) {
		out = append(out, segment{Text: p.Text[at:]})
	}
	return out
}

// fold parts a long text in what is shown and what is one click away. A finding is never cut in two, and a text whose rest
// has one begins open.
func fold(p *serve.Part) (shown, rest []segment, bytes int, open bool) {
	all := segments(p)
	if len(p.Text) <= foldAbove {
		return all, nil, 0, false
	}
	n := 0
	for i, s := range all {
		if n+len(s.Text) <= foldShown || s.Flag != "" && n < foldShown {
			shown = append(shown, s)
			n += len(s.Text)
			continue
		}
		if s.Flag == "" && n < foldShown {
			cut := foldShown - n
			for cut > 0 && !utf8.RuneStart(s.Text[cut]) {
				cut--
			}
			shown = append(shown, segment{Text: s.Text[:cut]})
			rest = append(rest, segment{Text: s.Text[cut:]})
			n += cut
		} else {
			rest = append(rest, s)
		}
		rest = append(rest, all[i+1:]...)
		break
	}
	for _, s := range rest {
		open = open || s.Flag != ""
	}
	return shown, rest, len(p.Text) - n, open
}

// said is a part's text as it is read: JSON with line breaks, unless a finding points into it.
func said(p serve.Part) *serve.Part {
	if len(p.Tags) == 0 && (p.Kind == "tool_call" || p.Kind == "tool_result" || p.Kind == "tool_definition") {
		p.Text = pretty([]byte(p.Text))
	}
	return &p
}

func lines(s string) int { return strings.Count(s, "\n") + 1 }
