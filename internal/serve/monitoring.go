package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

// ModelDay is what a day of a model was like, as monitoring.model_day and the records beside it say.
type ModelDay struct {
	Day           string                    `json:"day"` // UTC
	Provider      string                    `json:"provider"`
	Model         string                    `json:"model"`
	SoFar         bool                      `json:"so_far,omitempty"` // the day is not over: counted now, and not on record
	Calls         int                       `json:"calls"`
	Errors        int                       `json:"errors"`
	Refusals      int                       `json:"refusals"`
	Flagged       int                       `json:"flagged"`
	Flags         map[string]int            `json:"flags,omitempty"`
	P50           *float64                  `json:"latency_ms_p50,omitempty"`
	P95           *float64                  `json:"latency_ms_p95,omitempty"`
	Input         int64                     `json:"input_tokens"`
	Output        int64                     `json:"output_tokens"`
	USD           string                    `json:"usd,omitempty"`
	Unpriced      int                       `json:"unpriced,omitempty"`
	Distributions map[string]map[string]int `json:"distributions,omitempty"`
	Drift         map[string]Drift          `json:"drift,omitempty"` // by what was compared
	Evaluations   []Rate                    `json:"evaluations,omitempty"`
	Record        steno.ID                  `json:"record,omitzero"`
}

// Drift is how far the day lies from the 28 before it: the Jensen-Shannon divergence in bits, 0 to 1.
type Drift struct {
	JS      *float64 `json:"js,omitempty"` // absent: too few on either side
	N       int      `json:"n"`
	Before  int      `json:"n_before"`
	Outcome string   `json:"outcome"`
}

// Rate is the share of an evaluator's verdicts under their threshold.
type Rate struct {
	Evaluator string  `json:"evaluator"`
	Rate      float64 `json:"rate"`
	N         int     `json:"n"`
}

const maxDays = 400 // days and models in one answer

// Monitoring returns the days on record of a model ("" = all) since a time, and the day so far, oldest first.
func (r *Reader) Monitoring(ctx context.Context, who Actor, name string, since time.Time) ([]ModelDay, error) {
	if since.IsZero() {
		since = time.Now().AddDate(0, 0, -14)
	}
	r.current(ctx)
	days := map[[3]string]*ModelDay{}
	day := func(ev *steno.Event, date string) *ModelDay {
		key := [3]string{date, ev.Model.Provider, ev.Model.Asked}
		if days[key] == nil {
			days[key] = &ModelDay{Day: date, Provider: ev.Model.Provider, Model: ev.Model.Asked}
		}
		return days[key]
	}
	for _, kind := range []string{"model_day", "drift_measured", "hallucination_rate"} {
		rows, _, err := r.cfg.Index.Events(ctx, index.Query{Type: "monitoring." + kind, Since: since, Limit: maxDays * 8})
		if err != nil {
			return nil, fmt.Errorf("couldn't ask the index: %w", err)
		}
		for i := range rows {
			e, err := r.entry(rows[i].Leaf, steno.SectionMetadata)
			if err != nil {
				return nil, err
			}
			ev := e.event()
			if ev == nil || ev.System == nil || ev.Model == nil || name != "" && ev.Model.Asked != name {
				continue
			}
			b, err := json.Marshal(ev.System.Details)
			if err != nil {
				return nil, err
			}
			if err := fillDay(day, kind, ev, b, rows[i].ID); err != nil {
				return nil, fmt.Errorf("couldn't read record %d: %w", rows[i].Leaf, err)
			}
		}
	}
	now, err := r.soFar(ctx, name)
	if err != nil {
		return nil, err
	}
	out := now
	for _, d := range days {
		if !d.Record.IsZero() { // its day may be older than what was asked for
			out = append(out, *d)
		}
	}
	slices.SortFunc(out, func(a, b ModelDay) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Model, b.Model))
	})
	return out, r.audit.session(ctx, who, access{what: "monitoring", rows: len(out)})
}

func fillDay(day func(*steno.Event, string) *ModelDay, kind string, ev *steno.Event, details []byte, id steno.ID) error {
	switch kind {
	case "model_day":
		d := day(ev, ev.System.Target)
		d.Record = id
		return json.Unmarshal(details, d)
	case "drift_measured":
		var x Drift
		if err := json.Unmarshal(details, &x); err != nil {
			return err
		}
		x.Outcome = ev.System.Outcome
		d := day(ev, detail(ev.System, "day"))
		if d.Drift == nil {
			d.Drift = map[string]Drift{}
		}
		d.Drift[ev.System.Target] = x
	default:
		x := Rate{Evaluator: ev.System.Actor}
		if err := json.Unmarshal(details, &x); err != nil {
			return err
		}
		d := day(ev, ev.System.Target)
		d.Evaluations = append(d.Evaluations, x)
	}
	return nil
}

// soFarRows is how many of today's exchanges are counted.
const soFarRows = 50_000

// soFar counts what the index knows of the day that is not over.
func (r *Reader) soFar(ctx context.Context, name string) ([]ModelDay, error) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	rows, _, err := r.cfg.Index.Exchanges(ctx, index.Query{Since: today, Model: name, Limit: soFarRows})
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the index: %w", err)
	}
	days := map[[2]string]*ModelDay{}
	latency, cost := map[*ModelDay][]float64{}, map[*ModelDay]*big.Rat{}
	for i := range rows {
		x := &rows[i]
		model := cmp.Or(x.AnsweredModel, x.Model)
		if model == "" {
			continue
		}
		key := [2]string{x.Provider, model}
		d := days[key]
		if d == nil {
			d = &ModelDay{Day: today.Format(time.DateOnly), Provider: x.Provider, Model: model, SoFar: true, Flags: map[string]int{}}
			days[key], cost[d] = d, new(big.Rat)
		}
		d.Calls++
		if x.Cost != nil {
			if c, ok := new(big.Rat).SetString(*x.Cost); ok {
				cost[d].Add(cost[d], c)
			} else {
				d.Unpriced++
			}
		}
		if x.Failed() {
			d.Errors++
		} else if x.LatencyMS != nil {
			latency[d] = append(latency[d], *x.LatencyMS)
		}
		if len(x.Flags) > 0 {
			d.Flagged++
		}
		for _, f := range x.Flags {
			d.Flags[f]++
		}
		d.Refusals = d.Flags["refusal"]
		if x.InputTokens != nil {
			d.Input += *x.InputTokens
		}
		if x.OutputTokens != nil {
			d.Output += *x.OutputTokens
		}
	}
	out := make([]ModelDay, 0, len(days))
	for _, d := range days {
		if l := latency[d]; len(l) > 0 {
			slices.Sort(l)
			d.P50, d.P95 = &l[len(l)/2], &l[len(l)*95/100]
		}
		d.USD = strings.TrimRight(strings.TrimRight(cost[d].FloatString(12), "0"), ".")
		out = append(out, *d)
	}
	return out, nil
}
