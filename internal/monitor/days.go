package monitor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/seal"
)

const (
	lookEvery = 10 * time.Minute // for a day that is over
	memory    = 28               // days that a day is compared with
	backlog   = 40               // days that are computed later, at most
	pageRows  = 1000
)

// model is what figures are of.
type model struct{ provider, name string }

// figures are what a day of a model was like.
type figures struct {
	calls, errors, refusals, flagged, unpriced int
	flags                                      map[string]int
	latency                                    []float64
	input, output                              int64
	cost                                       *big.Rat
	dist                                       map[string]distribution
	sampled                                    int // answers whose language was looked at
}

// keepDays computes days when they are over.
func (f *Follower) keepDays(ctx context.Context) {
	defer close(f.days)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		if err := f.closeDays(ctx); err != nil && ctx.Err() == nil {
			f.cfg.Logger.Warn("the figures of a day could not be computed; they are tried again", "error", err)
		}
		timer.Reset(lookEvery)
	}
}

// closeDays records the figures of each day that is over and has none.
func (f *Follower) closeDays(ctx context.Context) error {
	if err := f.cfg.Index.CatchUp(ctx); err != nil {
		return err
	}
	today := f.cfg.Now().UTC().Truncate(24 * time.Hour)
	past, err := f.past(ctx, today)
	if err != nil {
		return err
	}
	first, _, err := f.cfg.Index.Exchanges(ctx, index.Query{Since: today.AddDate(0, 0, -backlog), Oldest: true, Limit: 1})
	if err != nil || len(first) == 0 {
		return err
	}
	day := first[0].Time.UTC().Truncate(24 * time.Hour)
	if last := past.last(); last.After(day) {
		day = last // it may have been left unfinished
	}
	for ; day.Before(today); day = day.AddDate(0, 0, 1) {
		if err := f.closeDay(ctx, day, past); err != nil {
			return fmt.Errorf("%s: %w", day.Format(time.DateOnly), err)
		}
	}
	return nil
}

func (f *Follower) closeDay(ctx context.Context, day time.Time, past history) error {
	got, err := f.gather(ctx, day)
	if err != nil {
		return err
	}
	rates, err := f.rates(ctx, day)
	if err != nil {
		return err
	}
	for _, m := range slices.SortedFunc(maps.Keys(got), func(a, b model) int {
		return cmp.Or(cmp.Compare(a.provider, b.provider), cmp.Compare(a.name, b.name))
	}) {
		if past.has(m, day) {
			continue
		}
		fig := got[m]
		drifts := fig.drifts(past.before(m, day))
		// The day's own record is the last: it says that the others are written.
		for _, name := range slices.Sorted(maps.Keys(drifts)) {
			if err := f.record(ctx, "drift_measured", m, day, name, drifts[name]); err != nil {
				return err
			}
		}
		for _, r := range rates[m] {
			if err := f.record(ctx, "hallucination_rate", m, day, r.evaluator, r); err != nil {
				return err
			}
		}
		if err := f.record(ctx, "model_day", m, day, "", fig.details()); err != nil {
			return err
		}
		past.add(m, day, fig.dist)
	}
	return nil
}

// gather reads the exchanges of a day.
func (f *Follower) gather(ctx context.Context, day time.Time) (map[model]*figures, error) {
	out := map[model]*figures{}
	q := index.Query{Since: day, Until: day.AddDate(0, 0, 1), Oldest: true, Limit: pageRows}
	for {
		rows, more, err := f.cfg.Index.Exchanges(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range rows {
			r := &rows[i]
			m := model{r.Provider, cmp.Or(r.AnsweredModel, r.Model)}
			if m.name == "" {
				continue
			}
			if out[m] == nil {
				out[m] = &figures{flags: map[string]int{}, cost: new(big.Rat), dist: map[string]distribution{}}
			}
			out[m].row(r)
			f.closing(r, out[m])
		}
		if !more || len(rows) == 0 {
			return out, ctx.Err()
		}
		q.After = rows[len(rows)-1].Position()
	}
}

// row adds what the index knows of an exchange.
func (g *figures) row(r *index.Row) {
	g.calls++
	if r.Failed() {
		g.errors++
	}
	if len(r.Flags) > 0 {
		g.flagged++
	}
	for _, name := range r.Flags {
		g.flags[name]++
	}
	if r.LatencyMS != nil && !r.Failed() {
		g.latency = append(g.latency, *r.LatencyMS)
	}
	if r.InputTokens != nil {
		g.input += *r.InputTokens
		g.count("input tokens", magnitude(*r.InputTokens))
	}
	if r.OutputTokens != nil {
		g.output += *r.OutputTokens
		g.count("output tokens", magnitude(*r.OutputTokens))
	}
	if r.Cost != nil {
		if c, ok := new(big.Rat).SetString(*r.Cost); ok {
			g.cost.Add(g.cost, c)
		} else {
			g.unpriced++
		}
	}
}

func (g *figures) count(dist, value string) {
	if g.dist[dist] == nil {
		g.dist[dist] = distribution{}
	}
	g.dist[dist].add(value)
}

// closing adds what only the closing record says of an exchange.
func (f *Follower) closing(r *index.Row, g *figures) {
	for _, leaf := range slices.Backward(r.Leaves) {
		e, err := f.cfg.Log.Read(leaf)
		if err != nil {
			continue
		}
		o := f.glance(e)
		if o == nil || o.Result == nil || o.Result.End == "" {
			continue
		}
		if o.Result.End == steno.EndComplete {
			g.count("refusals", map[bool]string{false: "answered", true: "refused"}[o.Result.Refusal])
		}
		if o.Result.Refusal {
			g.refusals++
		}
		for _, reason := range o.Result.FinishReasons {
			g.count("finish reasons", reason)
		}
		for _, t := range o.Result.ToolCalls {
			g.count("tools", t.Name)
		}
		if g.sampled < languageSample {
			if lang := f.language(e, o); lang != "" {
				g.sampled++
				g.count("language", lang)
			}
		}
		return
	}
}

// details are the figures as the record has them.
func (g *figures) details() map[string]any {
	out := map[string]any{
		"calls": g.calls, "errors": g.errors, "refusals": g.refusals, "flagged": g.flagged, "flags": g.flags,
		"input_tokens": g.input, "output_tokens": g.output, "usd": usd(g.cost), "unpriced": g.unpriced, "distributions": g.dist,
	}
	if len(g.latency) > 0 {
		slices.Sort(g.latency)
		out["latency_ms_p50"] = g.latency[len(g.latency)/2]
		out["latency_ms_p95"] = g.latency[len(g.latency)*95/100]
	}
	return out
}

// usd writes a sum of dollars exactly: prices have at most twelve decimals.
func usd(r *big.Rat) string {
	s := r.FloatString(12)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}

// record writes one monitoring record. Its details come from anything that marshals to an object.
func (f *Follower) record(ctx context.Context, action string, m model, day time.Time, target string, details any) error {
	b, err := json.Marshal(details)
	if err != nil {
		return err
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &members); err != nil {
		return err
	}
	date := day.Format(time.DateOnly)
	s := &steno.System{Action: action, Target: date, Details: members}
	if target != "" {
		s.Target = target
		members["day"] = json.RawMessage(`"` + date + `"`)
	}
	if action == "hallucination_rate" {
		s.Actor, s.Target = target, date
	}
	if o, ok := details.(interface{ outcome() string }); ok {
		s.Outcome = o.outcome()
	}
	now := f.cfg.Now().UTC()
	return f.cfg.Record(ctx, &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "monitoring." + action, Time: now,
		Model: &steno.Model{Provider: m.provider, Asked: m.name}, System: s,
	}})
}

// rate is the share of an evaluator's verdicts under their threshold.
type rate struct {
	evaluator string
	Rate      float64 `json:"rate"`
	N         int     `json:"n"`
}

// rates reads the evaluations that were received on a day, by the models that answered.
func (f *Follower) rates(ctx context.Context, day time.Time) (map[model][]rate, error) {
	type key struct {
		model
		evaluator string
	}
	under, all := map[key]int{}, map[key]int{}
	err := f.events(ctx, index.Query{Type: "monitoring.evaluation_received", Since: day, Until: day.AddDate(0, 0, 1)}, func(r *index.EventRow, o *seal.Opened) {
		var score, threshold *float64
		if json.Unmarshal(o.System.Details["score"], &score) != nil || json.Unmarshal(o.System.Details["threshold"], &threshold) != nil || score == nil || threshold == nil {
			return
		}
		row, err := f.cfg.Index.Exchange(ctx, r.Exchange)
		if err != nil {
			return
		}
		k := key{model{row.Provider, cmp.Or(row.AnsweredModel, row.Model)}, cmp.Or(o.System.Actor, o.System.Target)}
		all[k]++
		if *score < *threshold {
			under[k]++
		}
	})
	if err != nil {
		return nil, err
	}
	out := map[model][]rate{}
	for k, n := range all {
		out[k.model] = append(out[k.model], rate{k.evaluator, float64(under[k]) / float64(n), n})
	}
	for _, r := range out {
		slices.SortFunc(r, func(a, b rate) int { return cmp.Compare(a.evaluator, b.evaluator) })
	}
	return out, nil
}

// events opens the events that a query wants, oldest first. Those that do not open are passed over.
func (f *Follower) events(ctx context.Context, q index.Query, use func(*index.EventRow, *seal.Opened)) error {
	q.Oldest, q.Limit = true, pageRows
	for {
		rows, more, err := f.cfg.Index.Events(ctx, q)
		if err != nil {
			return err
		}
		for i := range rows {
			e, err := f.cfg.Log.Read(rows[i].Leaf)
			if err != nil {
				continue
			}
			if o := f.open(e); o != nil && o.System != nil {
				use(&rows[i], o)
			}
		}
		if !more || len(rows) == 0 {
			return ctx.Err()
		}
		q.After = rows[len(rows)-1].Position()
	}
}
