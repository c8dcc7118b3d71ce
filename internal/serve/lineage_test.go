package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

// event records one that somebody submitted.
func (w *world) event(e steno.Event, details map[string]any) uint64 {
	w.t.Helper()
	e.Time = time.Now().UTC()
	e.ID = steno.NewID(e.Time)
	e.Origin = &steno.Origin{Source: "test", ID: e.ID.String()}
	if details != nil {
		e.System.Details = map[string]json.RawMessage{}
		for k, v := range details {
			b, err := json.Marshal(v)
			check(w.t, err)
			e.System.Details[k] = b
		}
	}
	check(w.t, steno.Validate(&e))
	return w.record(&steno.Draft{Event: e}, 0)
}

const toolTalk = `{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Where is it?"},` +
	`{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"find","arguments":"{}"}}]},` +
	`{"role":"tool","tool_call_id":"call_1","content":"On the desk."}]}`

const toolAnswer = `{"id":"chatcmpl-7","object":"chat.completion","model":"gpt-4o-2024-08-06","system_fingerprint":"fp_1","choices":[{"index":0,"message":{"role":"assistant","content":"On the desk."},"finish_reason":"stop"}]}`

func TestLineageSaysWhatAnAnswerWasMadeOf(t *testing.T) {
	w := newWorld(t)
	s := w.call(&sample{user: "ada", call: chat, request: toolTalk, response: toolAnswer})
	w.event(steno.Event{Type: "lineage.training_started", System: &steno.System{Action: "training_started", Target: "ftjob-1"}}, map[string]any{"base": "gpt-4o", "dataset": "cases@3"})
	w.event(steno.Event{Type: "lineage.training_finished", System: &steno.System{Action: "training_finished", Target: "ftjob-1", Outcome: "ok"}}, map[string]any{"model": "gpt-4o-2024-08-06"})
	w.event(steno.Event{Type: "lineage.training_finished", System: &steno.System{Action: "training_finished", Target: "ftjob-2", Outcome: "ok"}}, map[string]any{"model": "another"})
	w.event(steno.Event{Type: "lineage.output_used", Exchange: s.id, Identity: &steno.Identity{User: "ada"}, System: &steno.System{Action: "output_used", Actor: "ada", Target: "letter-77"}}, nil)
	w.event(steno.Event{Type: "governance.output_reviewed", Exchange: s.id, Identity: &steno.Identity{User: "ada"}, System: &steno.System{Action: "output_reviewed", Actor: "eva", Target: s.id.String(), Outcome: "wrong", Reason: "it is in the drawer"}}, nil)
	l := ask[serve.Lineage](w, "/api/lineage/"+s.id.String())
	if l.Model.Answered != "gpt-4o-2024-08-06" || l.Model.Fingerprint != "fp_1" {
		t.Errorf("model %+v", l.Model)
	}
	if len(l.Training) != 1 || l.Training[0].Job != "ftjob-1" || l.Training[0].Dataset != "cases@3" || l.Training[0].Base != "gpt-4o" {
		t.Errorf("training %+v", l.Training)
	}
	if len(l.Tools) != 1 || l.Tools[0].Name != "find" || !l.Tools[0].New {
		t.Errorf("tools %+v", l.Tools)
	}
	if len(l.Uses) != 2 || l.Uses[0].Target != "letter-77" || l.Uses[1].Reason != "it is in the drawer" {
		t.Errorf("uses %+v", l.Uses)
	}
	if status, b := w.get("/api/lineage/" + fmt.Sprint(l.Training[0].Record)); status != http.StatusBadRequest || !strings.Contains(string(b), "belongs to no call") {
		t.Errorf("an event's lineage: %d %s", status, b)
	}
}

func TestGovernanceKeepsTheLastDecision(t *testing.T) {
	w := newWorld(t)
	w.call(&sample{user: "ada", call: chat, request: askBody, response: toolAnswer})
	for _, c := range []struct{ typ, target string }{
		{"model_registered", "gpt-4o-2024-08-06"}, {"model_approved", "gpt-4o-2024-08-06"}, {"model_retired", "gpt-4o-2024-08-06"}, {"model_registered", "other"},
	} {
		w.event(steno.Event{Type: "governance." + c.typ, Model: &steno.Model{Asked: c.target}, System: &steno.System{Action: c.typ, Actor: "eva", Target: c.target, Reason: "because"}}, nil)
	}
	w.event(steno.Event{Type: "governance.prompt_approved", Prompt: &steno.Prompt{Name: "support", Version: "12"}, System: &steno.System{Action: "prompt_approved", Actor: "eva", Target: "support"}}, nil)
	w.event(steno.Event{Type: "governance.model_rolled_back", System: &steno.System{Action: "model_rolled_back", Target: "bot", Reason: "refusals"}}, map[string]any{"before": "a", "after": "b"})
	rows := ask[struct{ Rows []serve.Governed }](w, "/api/governance").Rows
	var got []string
	for _, g := range rows {
		got = append(got, fmt.Sprintf("%s %s@%s %s %d", g.Kind, g.Name, g.Version, g.State, len(g.History)))
	}
	want := "[model b@ rolled back 1 model gpt-4o-2024-08-06@ retired 3 model other@ registered 1 prompt support@12 approved 1]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	if s := rows[1].Seen; s == nil || s.Calls != 1 || rows[2].Seen != nil {
		t.Errorf("seen: %+v and %+v", rows[1].Seen, rows[2].Seen)
	}
}

func TestMonitoring(t *testing.T) {
	w := newWorld(t)
	w.call(&sample{user: "ada", call: chat, request: askBody, response: toolAnswer})
	m := &steno.Model{Provider: "openai", Asked: "gpt-x"}
	day := time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
	for _, c := range []struct {
		typ, actor, target, outcome string
		details                     map[string]any
	}{
		{"drift_measured", "", "tools", "measured", map[string]any{"js": 0.25, "n": 300, "n_before": 900, "day": day}},
		{"drift_measured", "", "language", "too few", map[string]any{"n": 3, "n_before": 900, "day": day}},
		{"hallucination_rate", "ragas", day, "", map[string]any{"rate": 0.1, "n": 20}},
		{"model_day", "", day, "", map[string]any{"calls": 300, "errors": 3, "latency_ms_p50": 12.5, "usd": "1.5"}},
	} {
		e := steno.Event{Type: "monitoring." + c.typ, Time: time.Now().UTC(), Model: m, System: &steno.System{Action: c.typ, Actor: c.actor, Target: c.target, Outcome: c.outcome}}
		w.event(e, c.details)
	}
	rows := ask[struct{ Rows []serve.ModelDay }](w, "/api/monitoring").Rows
	if len(rows) != 2 || rows[0].Model != "gpt-x" || rows[0].SoFar || !rows[1].SoFar || rows[1].Calls != 1 || rows[1].USD != "0.00042" {
		t.Fatalf("rows %+v", rows)
	}
	d := rows[0]
	if d.Calls != 300 || d.Errors != 3 || *d.P50 != 12.5 || *d.Drift["tools"].JS != 0.25 || d.Drift["language"].JS != nil || d.Drift["language"].Outcome != "too few" ||
		len(d.Evaluations) != 1 || d.Evaluations[0] != (serve.Rate{Evaluator: "ragas", Rate: 0.1, N: 20}) {
		t.Errorf("the day on record: %+v", d)
	}
	if only := ask[struct{ Rows []serve.ModelDay }](w, "/api/monitoring?model=gpt-x").Rows; len(only) != 1 {
		t.Errorf("of one model: %+v", only)
	}
}
