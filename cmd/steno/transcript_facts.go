package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

func (t *transcript) end() {
	if t.x.Kind != "exchange" {
		t.system()
		return
	}
	t.heading("how it ended")
	res := t.x.Result
	switch {
	case t.x.Status == "open":
		t.field("end", "not yet: the answer is under way, or was when steno stopped")
		return
	case res == nil:
		t.field("end", "%s", t.x.Status)
		return
	}
	t.field("end", "%s", endWords(res))
	var ids []string
	for _, f := range []struct{ name, v string }{{"answer ", res.ID}, {"request ", res.RequestID}} {
		if f.v != "" {
			ids = append(ids, f.name+plain(f.v))
		}
	}
	if len(ids) > 0 {
		t.field("provider's", "%s", strings.Join(ids, "; "))
	}
	t.field("tokens", "%s", usageWords(res.Usage))
	t.field("cost", "%s", costWords(res.Cost))
	for _, c := range res.Confidence {
		t.field("confidence", "%s %.4g over %d tokens, says %s", plain(c.Kind), c.Value, c.Tokens, plain(c.By))
	}
}

var ends = map[steno.End]string{
	steno.EndComplete:       "complete",
	steno.EndProviderError:  "the provider answered with an error",
	steno.EndErrorInAnswer:  "the provider broke off with an error inside the answer",
	steno.EndRefused:        "refused by steno, never sent on",
	steno.EndBlocked:        "blocked by a check, never sent on",
	steno.EndClientGone:     "the caller left before the end",
	steno.EndUpstreamCut:    "the provider's connection broke off in the answer",
	steno.EndUpstreamFailed: "no answer could be had from the provider",
	steno.EndTimedOut:       "the provider did not answer in time",
	steno.EndUnknown:        "unknown: steno stopped before the end was on record",
}

func endWords(r *steno.Result) string {
	out := ends[r.End]
	if out == "" {
		out = orDash(plain(string(r.End)))
	}
	if r.Status != 0 {
		out += fmt.Sprintf(", HTTP %d", r.Status)
	}
	if len(r.FinishReasons) > 0 {
		out += ", finish reason " + plain(strings.Join(r.FinishReasons, ", "))
	}
	for _, f := range []struct{ name, v string }{{"state ", r.State}, {"error ", r.ErrorType}, {"", r.EndDetail}, {"retry after ", r.RetryAfter}} {
		if f.v != "" {
			out += "; " + f.name + plain(f.v)
		}
	}
	if r.Refusal {
		out += "; the model refused"
	}
	return out
}

func usageWords(u *steno.Usage) string {
	if u == nil || u.Source == "absent" {
		return "the provider reported none"
	}
	var out []string
	for i, f := range []struct {
		name string
		n    *int64
	}{{"in", u.Input}, {"out", u.Output}, {"read from cache", u.CacheRead}, {"written to cache", u.CacheWrite}, {"for reasoning", u.Reasoning}} {
		if f.n != nil && (i < 2 || *f.n > 0) {
			out = append(out, fmt.Sprintf("%d %s", *f.n, f.name))
		}
	}
	return strings.Join(out, ", ") + " (" + u.Source + ")"
}

func costWords(c *steno.Cost) string {
	switch {
	case c == nil:
		return "none"
	case c.USD == "":
		return "unpriced: the model is not in the price table"
	}
	out := "$" + c.USD + ", at the price since " + c.Date
	if c.State == "partial" {
		out += "; partial, since the usage is"
	}
	return out + " (row " + c.Row + ")"
}

// system shows an event of the system itself.
func (t *transcript) system() {
	for _, r := range t.x.Records {
		if len(r.Public) > 0 {
			t.field("says", "%s", plain(string(r.Public)))
		}
		if r.Event == nil || r.Event.System == nil {
			continue
		}
		s := r.Event.System
		for _, f := range []struct{ name, v string }{{"action", s.Action}, {"actor", s.Actor}, {"target", s.Target}, {"outcome", s.Outcome}, {"reason", s.Reason}} {
			if f.v != "" {
				t.field(f.name, "%s", plain(f.v))
			}
		}
		names := make([]string, 0, len(s.Details))
		for n := range s.Details {
			names = append(names, n)
		}
		sort.Strings(names)
		for _, n := range names {
			t.field(plain(n), "%s", plain(string(s.Details[n])))
		}
	}
}

func (t *transcript) safety() {
	if len(t.x.Checks) == 0 && len(t.x.Findings) == 0 {
		return
	}
	t.heading("checks")
	for _, c := range t.x.Checks {
		where := "the request"
		if c.Direction == "out" {
			where = "the answer"
		}
		outcome := "done"
		if c.Outcome != "done" {
			outcome = t.s.paint(yellow, "not done: "+plain(c.Reason))
		}
		t.print(fmt.Sprintf("  %s of %s: %s (version %s)", plain(c.Name), where, outcome, plain(c.Version)))
	}
	for _, f := range t.x.Findings {
		where := ""
		if f.Span != nil {
			where = fmt.Sprintf(", bytes %d–%d of the %s", f.Span.Start, f.Span.End-1, f.Span.Body)
		}
		t.print(fmt.Sprintf("  %s %s: rule %s of %s, score %.2f, %s%s", t.s.paint(yellow, "found"), f.Flag, plain(f.Rule), plain(f.Source), f.Score, actionWords(f.Action), where))
	}
	if len(t.x.Findings) == 0 {
		t.print("  nothing was found")
	}
}

func actionWords(a string) string {
	switch a {
	case "alert":
		return "recorded and alerted"
	case "block":
		return "blocked"
	}
	return "recorded"
}

func (t *transcript) documents() {
	if len(t.x.Documents) == 0 {
		return
	}
	t.heading("documents")
	for i := range t.x.Documents {
		d := &t.x.Documents[i]
		t.text("  ", documentWords(&d.Document)+", from "+plain(d.Origin))
	}
}

func (t *transcript) steps() {
	if len(t.x.Steps) == 0 {
		return
	}
	t.heading("the eight steps")
	tab := &table{s: &screen{w: t.w, colour: t.s.colour}, columns: []column{{name: "STEP"}, {name: "BEGAN"}, {name: "TOOK", right: true}, {name: "OUTCOME"}, {name: "RECORD", right: true}, {name: "DURABLE"}}}
	var rows [][]cell
	for _, s := range t.x.Steps {
		c := []cell{{"  " + s.Name, ""}, {"–", ""}, {"–", ""}, {plain(strings.TrimSpace(s.Outcome + " " + s.Detail)), ""}, {"–", ""}, {"–", ""}}
		if !s.Start.IsZero() {
			c[1].text = s.Start.UTC().Format("15:04:05.000000")
			c[2].text = milliseconds(float64(s.End.Sub(s.Start).Microseconds()) / 1000)
		}
		if s.Leaf != nil {
			c[4].text = fmt.Sprint(*s.Leaf)
			c[5].text = s.DurableAt.UTC().Format("15:04:05.000000")
		}
		if s.Outcome == "failed" || s.Outcome == "blocked" || s.Outcome == "refused" {
			c[3].colour = red
		}
		rows = append(rows, c)
	}
	t.rows(tab, rows)
	if d := t.x.LatencyMS; d != nil {
		line := "  " + milliseconds(*d) + " from received to finished"
		if x := t.x.Timing; x != nil && x.TTFT > 0 {
			line += ", " + milliseconds(x.TTFT*1000) + " to the first token"
		}
		t.print(line)
	}
}

func (t *transcript) rows(tab *table, rows [][]cell) {
	tab.columns[0].name = "  " + tab.columns[0].name
	tab.fit(rows, false)
	if t.err == nil {
		t.err = tab.head()
	}
	for _, r := range rows {
		if t.err == nil {
			t.err = tab.row(r)
		}
	}
}

func (t *transcript) records() {
	t.heading("records")
	tab := &table{s: &screen{w: t.w, colour: t.s.colour}, columns: []column{{name: "LEAF", right: true}, {name: "ID"}, {name: "TYPE"}, {name: "WRITTEN"}, {name: "SEALED BYTES", right: true}}}
	var rows [][]cell
	for _, r := range t.x.Records {
		kind := r.Type
		if r.Erased != "" {
			kind = r.Erased
		}
		rows = append(rows, []cell{{fmt.Sprint(r.Leaf), ""}, {r.ID, ""}, {plain(kind), ""}, {r.WrittenAt.UTC().Format("2006-01-02T15:04:05.000000Z"), ""}, {fmt.Sprint(r.Sealed), ""}})
	}
	t.rows(tab, rows)
}

func (t *transcript) proof() {
	p := t.x.Proof
	if p == nil {
		return
	}
	t.heading("proof")
	indexes := make([]string, len(t.x.Records))
	for i, r := range t.x.Records {
		indexes[i] = fmt.Sprint(r.Leaf)
	}
	what := counted(len(indexes), "record", "records") + " (" + strings.Join(indexes, ", ") + ")"
	if p.Verified {
		t.text("  ", fmt.Sprintf("✓ verified %s: the path of %s leads to the root that the checkpoint of %d records signs.", p.At.UTC().Format(time.RFC3339), what, p.Size))
	} else {
		t.print("  " + t.s.paint(red, "✗ NOT VERIFIED: "+plain(p.Why)))
	}
	t.field("  root", "%s", p.Root)
	t.field("  leaf hash", "%s", p.LeafHash)
	t.field("  signed by", "%s", p.VKey)
}
