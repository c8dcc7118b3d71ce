package capture

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/check"
	"github.com/steno-audit/steno/internal/dialect"
)

// seenTexts remembers what the checks found in a text, so that a history that is sent again on every turn costs nothing and
// alerts once. It decides only whether a check runs again, never what is recorded.
type seenTexts struct {
	mu   sync.Mutex
	seed maphash.Seed
	now  map[uint64][]check.Finding
	old  map[uint64][]check.Finding
}

const seenMax = 1 << 16

func newSeenTexts() *seenTexts {
	return &seenTexts{seed: maphash.MakeSeed(), now: map[uint64][]check.Finding{}}
}

// before returns what was found in the text when it was checked before.
func (s *seenTexts) before(text []byte) (found []check.Finding, ok bool) {
	h := maphash.Bytes(s.seed, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if found, ok = s.now[h]; !ok {
		if found, ok = s.old[h]; ok {
			s.put(h, found)
		}
	}
	return found, ok
}

func (s *seenTexts) remember(text []byte, found []check.Finding) {
	h := maphash.Bytes(s.seed, text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(h, found)
}

func (s *seenTexts) put(h uint64, found []check.Finding) {
	if len(s.now) >= seenMax {
		s.old, s.now = s.now, make(map[uint64][]check.Finding, seenMax)
	}
	s.now[h] = found
}

var origins = map[string]check.Origin{
	"user": check.User, "assistant": check.User, "system": check.System, "tool": check.Tool, "document": check.Tool, "output": check.Output,
}

// checkTime bounds the checks of one body.
const checkTime = 500 * time.Millisecond

var checkSources = []string{check.SourceSecrets, check.SourceInjection}

// checkTexts runs the checks over the texts of a body, those of a history that were checked before by what is remembered. Spans of findings are ranges of the (decoded) body.
func (g *Gateway) checkTexts(ctx context.Context, body []byte, texts []dialect.Text, direction, of string) *steno.Safety {
	s := &steno.Safety{}
	start := time.Now()
	// The checks cost time in proportion to the text, whatever the text is; what does not fit is recorded as not done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkTime)
	defer cancel()
	for _, t := range texts {
		words := t.Words(body)
		if len(words) == 0 {
			continue
		}
		found, again := g.seen.before(words)
		if !again || t.New {
			found = g.cfg.Checker.Text(ctx, words, origins[t.Origin])
			if ctx.Err() == nil {
				g.seen.remember(words, found)
			}
		}
		for _, f := range found {
			out := g.finding(f, t, body, direction, of)
			if again && !t.New && out.Action == "alert" {
				out.Action = "record" // it was alerted when it came first
			}
			s.Findings = append(s.Findings, out)
		}
	}
	c := steno.Check{Direction: direction, Outcome: "done", Micros: time.Since(start).Microseconds()}
	if ctx.Err() != nil {
		c.Outcome, c.Reason = "not_done", "it took more than "+checkTime.String()
	}
	for _, name := range checkSources {
		if c.Name, c.Version = name, g.cfg.Checker.Version(name); c.Version != "" {
			s.Checks = append(s.Checks, c)
		}
	}
	s.Action = strongest(s.Findings)
	return s
}

func (g *Gateway) finding(f check.Finding, t dialect.Text, body []byte, direction, of string) steno.Finding {
	from, to := t.Span(body, f.Start, f.End)
	return steno.Finding{
		Flag: steno.Flag(f.Flag), Rule: f.Rule, Source: f.Source, Version: f.Version, Direction: direction, Score: f.Score,
		Action: g.action(steno.Flag(f.Flag)), Span: &steno.Span{Body: of, Start: from, End: to},
	}
}

func (g *Gateway) action(f steno.Flag) string {
	if a := g.cfg.Checks[string(f)]; a != "" {
		return a
	}
	return "record"
}

// checkAnswer checks what came back. What went out is out: a finding is recorded and alerted, nothing is withheld.
func (g *Gateway) checkAnswer(ctx context.Context, plain []byte, a *dialect.Response) *steno.Safety {
	s := g.checkTexts(ctx, plain, a.Texts, "out", "response")
	for _, f := range a.Findings {
		if f.Direction == "" {
			f.Direction = "out"
		}
		f.Action = g.action(f.Flag)
		s.Findings = append(s.Findings, f)
	}
	for i := range s.Findings {
		if s.Findings[i].Action == "block" {
			s.Findings[i].Action = "alert"
		}
	}
	s.Action = strongest(s.Findings)
	return s
}

var actionOrder = []string{"", "record", "alert", "block"}

func strongest(fs []steno.Finding) string {
	out := ""
	for _, f := range fs {
		if slices.Index(actionOrder, f.Action) > slices.Index(actionOrder, out) {
			out = f.Action
		}
	}
	return out
}

// flagsOf is the sum of the findings, in the order of the closed list.
func flagsOf(s *steno.Safety) []steno.Flag {
	if s == nil || len(s.Findings) == 0 {
		return nil
	}
	var out []steno.Flag
	for _, flag := range steno.Flags {
		if slices.ContainsFunc(s.Findings, func(f steno.Finding) bool { return f.Flag == flag }) {
			out = append(out, flag)
		}
	}
	return out
}

// alert appends a security.alert for findings that ask for one. It points at the record that holds them.
func (x *exchange) alert(s *steno.Safety, leaf uint64) {
	if s == nil || (s.Action != "alert" && s.Action != "block") {
		return
	}
	now := time.Now().UTC()
	var fs []steno.Finding
	for _, f := range s.Findings {
		if f.Action == "alert" || f.Action == "block" {
			fs = append(fs, f)
		}
	}
	found := &steno.Safety{Findings: fs, Action: s.Action}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "security.alert", Exchange: x.id, Time: now, Identity: subject(x.identity),
		Links: []steno.Link{{Rel: "finding", Leaf: &leaf}}, Flags: flagsOf(found), Safety: found,
		System: &steno.System{Action: "alert", Outcome: s.Action},
	}}
	x.g.metrics.alerts.Inc()
	// An alert is waited for like the record that it speaks of, so that none is lost when an answer is out.
	if _, err := x.g.rec.Record(x.r.Context(), d, 0); err != nil {
		x.g.cfg.Logger.Error("an alert could not be recorded", "exchange", x.id, "error", err)
	}
}

// price works out what the call cost, by the table's prices of its day.
func (x *exchange) price(m *steno.Model, res *steno.Result) {
	u := res.Usage
	if u == nil || u.Source == "absent" || (u.Input == nil && u.Output == nil) {
		if res.End == steno.EndComplete && x.call.Generates() {
			res.Cost = &steno.Cost{State: "unpriced"}
		}
		return
	}
	name := m.Answered
	if name == "" {
		name = m.Asked
	}
	if m.ServiceTier != "" && m.ServiceTier != "default" && m.ServiceTier != "standard" && m.ServiceTier != "auto" && m.ServiceTier != "ON_DEMAND" {
		res.Cost = &steno.Cost{State: "unpriced"} // the table has the prices of the standard tier
		return
	}
	res.Cost = x.g.cost(m.Provider, name, m.Asked, x.received, u)
}
