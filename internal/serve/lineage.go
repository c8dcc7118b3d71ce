package serve

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

// Lineage is what an answer was made of, and what became of it, as far as it is on record.
type Lineage struct {
	Exchange   steno.ID       `json:"exchange"`
	Time       time.Time      `json:"time"`
	Model      *steno.Model   `json:"model,omitempty"`
	Training   []Training     `json:"training,omitempty"` // of the model, the newest last
	Prompt     *PromptVersion `json:"prompt,omitempty"`
	Documents  []Document     `json:"documents,omitempty"`
	Tools      []ToolUse      `json:"tools,omitempty"`    // results that stood in the prompt
	Previous   *Previous      `json:"previous,omitempty"` // the answer that the call went on from
	Uses       []Mention      `json:"uses,omitempty"`     // what people said that the answer went into, and how they judged it
	Unreadable []string       `json:"unreadable,omitempty"`
}

// Training is a training or fine-tuning whose model answered.
type Training struct {
	Job     string    `json:"job"`
	Model   string    `json:"model"`
	Base    string    `json:"base,omitempty"`
	Dataset string    `json:"dataset,omitempty"`
	Outcome string    `json:"outcome,omitempty"`
	Time    time.Time `json:"time"`
	Record  steno.ID  `json:"record"`
}

// PromptVersion says which instructions the model had: a template's name and version, or the keyed hash of the words.
type PromptVersion struct {
	Name     string `json:"name,omitempty"`
	Version  string `json:"version"`
	Asserted bool   `json:"asserted,omitempty"` // the application said so by x-steno-prompt
}

// ToolUse is a tool's result in the prompt.
type ToolUse struct {
	Name string `json:"name,omitempty"`
	ID   string `json:"id,omitempty"`
	New  bool   `json:"new"` // it came with this call
}

// Previous is an earlier answer.
type Previous struct {
	Response string   `json:"response"` // the provider's id
	Exchange steno.ID `json:"exchange,omitzero"`
}

// Mention is an event about an exchange.
type Mention struct {
	Type   string    `json:"type"`
	Time   time.Time `json:"time"`
	Record steno.ID  `json:"record"`
	Actor  string    `json:"actor,omitempty"`
	Target string    `json:"target,omitempty"`
	Reason string    `json:"reason,omitempty"`
}

// Lineage says what influenced the answer of an exchange: documents, tool results, the version of the instructions, the
// model's version, and the data set and training behind it.
func (r *Reader) Lineage(ctx context.Context, who Actor, id string) (*Lineage, error) {
	entries, name, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if !name.exchange {
		return nil, badRequest("give the id of an exchange, as `steno list` shows it", "%s is an event that belongs to no call, so it has no lineage", quote(id))
	}
	x, err := r.assemble(entries, name, Options{})
	if err != nil {
		return nil, err
	}
	out := &Lineage{Exchange: x.ID, Time: x.Time, Model: x.ModelUsed, Documents: x.Documents}
	if p := x.Prompt; p != nil {
		if p.Version != "" || p.Name != "" {
			out.Prompt = &PromptVersion{Name: p.Name, Version: p.Version, Asserted: p.Name != ""}
		}
		if p.Previous != "" {
			out.Previous = &Previous{Response: p.Previous}
			if f, err := r.cfg.Index.Find(ctx, p.Previous); err == nil {
				out.Previous.Exchange = f.Exchange
			}
		}
	}
	for _, t := range x.Turns {
		for _, part := range t.Parts {
			if part.Kind == steno.KindToolResult.String() || t.Role == "tool" && len(out.Tools) == 0 {
				u := ToolUse{Name: cmp.Or(part.Name, t.Name), ID: cmp.Or(part.ID, t.ID), New: t.New}
				if !slices.Contains(out.Tools, u) {
					out.Tools = append(out.Tools, u)
				}
			}
		}
	}
	for _, rec := range x.Records {
		out.mention(&rec)
	}
	if x.ModelUsed != nil {
		if out.Training, err = r.training(ctx, x.ModelUsed); err != nil {
			return nil, err
		}
	}
	acc := access{what: "lineage", ids: []steno.ID{x.ID}, user: x.User, rows: 1}
	return out, r.audit.shown(ctx, who, acc)
}

// mention takes up an event that somebody submitted about the exchange.
func (l *Lineage) mention(rec *Record) {
	ev := rec.Event
	if ev == nil {
		if rec.Erased != "" {
			l.Unreadable = append(l.Unreadable, fmt.Sprintf("record %d is erased: %s", rec.Leaf, rec.Erased))
		}
		return
	}
	if !strings.HasPrefix(rec.Type, "lineage.") && !strings.HasPrefix(rec.Type, "governance.") && !strings.HasPrefix(rec.Type, "monitoring.") {
		return
	}
	m := Mention{Type: rec.Type, Time: ev.Time.UTC(), Record: ev.ID}
	if ev.System != nil {
		m.Actor, m.Target, m.Reason = ev.System.Actor, ev.System.Target, ev.System.Reason
	}
	l.Uses = append(l.Uses, m)
}

// maxTrainings is how many trainings are looked through for the one behind a model, the newest.
const maxTrainings = 1000

// training finds which trainings on record made a model, by its name.
func (r *Reader) training(ctx context.Context, m *steno.Model) ([]Training, error) {
	jobs := map[string]*Training{}
	var out []*Training
	for _, kind := range []string{"lineage.training_started", "lineage.training_finished"} {
		rows, _, err := r.cfg.Index.Events(ctx, index.Query{Type: kind, Limit: maxTrainings})
		if err != nil {
			return nil, fmt.Errorf("couldn't ask the index: %w", err)
		}
		for i := range rows {
			e, err := r.entry(rows[i].Leaf, steno.SectionMetadata)
			if err != nil {
				return nil, err
			}
			ev := e.event()
			if ev == nil || ev.System == nil {
				continue
			}
			t := jobs[ev.System.Target]
			if t == nil {
				t = &Training{Job: ev.System.Target}
				jobs[t.Job] = t
				out = append(out, t)
			}
			t.Time, t.Record = ev.Time.UTC(), rows[i].ID
			t.Outcome = cmp.Or(ev.System.Outcome, t.Outcome)
			t.Base = cmp.Or(detail(ev.System, "base"), t.Base)
			t.Dataset = cmp.Or(detail(ev.System, "dataset"), t.Dataset)
			t.Model = cmp.Or(detail(ev.System, "model"), t.Model)
		}
	}
	var made []Training
	for _, t := range out {
		if t.Model != "" && (t.Model == m.Answered || t.Model == m.Asked) {
			made = append(made, *t)
		}
	}
	return made, nil
}

func detail(s *steno.System, name string) string {
	var v any
	if json.Unmarshal(s.Details[name], &v) != nil || v == nil {
		return ""
	}
	if t, ok := v.(string); ok {
		return t
	}
	return string(s.Details[name])
}
