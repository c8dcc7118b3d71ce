package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

func TestDivergence(t *testing.T) {
	for _, c := range []struct {
		p, q distribution
		want float64
	}{
		{distribution{"a": 10}, distribution{"a": 1}, 0},
		{distribution{"a": 10}, distribution{"b": 7}, 1},
		{distribution{"a": 1, "b": 1}, distribution{"a": 1}, 0.3112781244591328}, // worked out by hand: 1 - 3/4·log2(3) + 1/4·2 …
		{distribution{"a": 3, "b": 1}, distribution{"a": 1, "b": 3}, 0.18872187554086717},
	} {
		if got, back := divergence(c.p, c.q), divergence(c.q, c.p); math.Abs(got-c.want) > 1e-12 || math.Abs(got-back) > 1e-12 {
			t.Errorf("%v and %v: %v, the other way %v; want %v", c.p, c.q, got, back, c.want)
		}
	}
}

func TestMagnitude(t *testing.T) {
	for v, want := range map[int64]string{0: "0", 1: "1", 2: "2", 3: "2", 1023: "512", 1024: "1024"} {
		if got := magnitude(v); got != want {
			t.Errorf("%d is of class %s, want %s", v, got, want)
		}
	}
}

// TestADayIsComputedWhenItIsOver: figures, drift against the days before and rates of evaluators, once each.
func TestADayIsComputedWhenItIsOver(t *testing.T) {
	r := newRig(t)
	body := `{"id":"c","object":"chat.completion","model":"m-1","choices":[{"index":0,"message":{"role":"assistant","content":"The court reporter takes down every word that is spoken in the room, and nothing else."},"finish_reason":"stop"}]}`
	for i := range 250 {
		r.at(noon.Add(time.Duration(i) * time.Second))
		r.call(call{key: "bot", asked: "m", answered: "m-1", output: 20, body: body})
	}
	next := noon.AddDate(0, 0, 1)
	var last steno.ID
	for i := range 220 {
		r.at(next.Add(time.Duration(i) * time.Second))
		last = r.call(call{key: "bot", asked: "m", answered: "m-1", output: 500, finish: []string{"stop", "length"}[i%2], refused: i%10 == 0, tool: "search"})
	}
	for i, score := range []float64{0.2, 0.9, 0.8, 0.95} {
		r.record(&steno.Draft{Event: steno.Event{
			ID: steno.NewID(next), Type: "monitoring.evaluation_received", Exchange: last, Time: next, Origin: &steno.Origin{Source: "ragas", ID: fmt.Sprint(i)},
			System: &steno.System{Action: "evaluation_received", Actor: "ragas", Target: "faithfulness", Details: details(map[string]any{"score": score, "threshold": 0.7})},
		}}, 0)
	}
	after := noon.AddDate(0, 0, 2)
	r.at(after)
	r.call(call{key: "bot", asked: "m", answered: "m-1", output: 20})
	for range 2 { // the second finds that all is done
		r.compute()
	}
	days := r.events("monitoring.model_day")
	if len(days) != 2 {
		t.Fatalf("%d days are on record, want the two that are over", len(days))
	}
	first, second := days[0].System, days[1].System
	if first.Target != "2026-11-23" || get[int](t, first, "calls") != 250 || get[string](t, first, "usd") != "0.25" ||
		get[float64](t, first, "latency_ms_p50") != 800 || get[int64](t, first, "output_tokens") != 5000 {
		t.Errorf("the first day: %s %s", first.Target, first.Details)
	}
	if lang := get[map[string]distribution](t, first, "distributions")["language"]; lang["eng"] != 250 {
		t.Errorf("languages of the first day: %v", lang)
	}
	if get[int](t, second, "refusals") != 22 || get[int](t, second, "calls") != 220 {
		t.Errorf("the second day: %s", second.Details)
	}
	r.drift("2026-11-23", "output tokens", "too few", -1)
	r.drift("2026-11-24", "output tokens", "measured", 1)
	r.drift("2026-11-24", "input tokens", "measured", 0)
	r.drift("2026-11-24", "tools", "too few", -1) // none on the day before
	rates := r.events("monitoring.hallucination_rate")
	if len(rates) != 1 || rates[0].System.Actor != "ragas" || get[float64](t, rates[0].System, "rate") != 0.25 || get[int](t, rates[0].System, "n") != 4 {
		t.Errorf("rates: %+v", rates)
	}
}

// compute runs the follower until the days are looked at.
func (r *rig) compute() {
	r.t.Helper()
	f := &Follower{cfg: Config{Log: r.log, Keys: r.keys, Index: r.index, Logger: quiet(), Now: r.clock}}
	f.cfg.Record = func(ctx context.Context, d *steno.Draft) error { _, err := r.append(ctx, d, 0); return err }
	if err := f.closeDays(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) drift(day, name, outcome string, js float64) {
	r.t.Helper()
	var found []*seal.Opened
	for _, o := range r.events("monitoring.drift_measured") {
		if o.System.Target == name && get[string](r.t, o.System, "day") == day {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		r.t.Fatalf("%d records of the drift of %s on %s", len(found), name, day)
	}
	s := found[0].System
	if s.Outcome != outcome || js >= 0 && get[float64](r.t, s, "js") != js || js < 0 && s.Details["js"] != nil {
		r.t.Errorf("drift of %s on %s: %s %s, want %s %v", name, day, s.Outcome, s.Details, outcome, js)
	}
}

func details(m map[string]any) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for k, v := range m {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		out[k] = b
	}
	return out
}
