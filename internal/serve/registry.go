package serve

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

// Governed is a model or a prompt template under governance: what was decided of it, newest last.
type Governed struct {
	Kind    string     `json:"kind"` // model, prompt
	Name    string     `json:"name"`
	Version string     `json:"version,omitempty"`
	State   string     `json:"state"` // registered, approved, deployed, retired, …: by the last decision; unregistered
	Since   time.Time  `json:"since,omitzero"`
	By      string     `json:"by,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Seen    *Seen      `json:"seen,omitempty"` // in calls on record
	History []Decision `json:"history"`
}

// Decision is one event of its history.
type Decision struct {
	Type   string    `json:"type"`
	Time   time.Time `json:"time"`
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Record steno.ID  `json:"record"`
	Words  string    `json:"words,omitempty"` // what changed, in words
}

// Seen says that a model answered in calls on record.
type Seen struct {
	Last  time.Time `json:"last"`
	Calls int       `json:"calls"`
	More  bool      `json:"more,omitempty"` // there are more calls than were counted
}

// maxGoverned is how many events of governance are read, the newest.
const maxGoverned = 10_000

// countCalls is how many calls of a model are counted.
const countCalls = 1000

// Governance lists models and prompt templates with their versions, approvals, deployments, switches and rollbacks.
func (r *Reader) Governance(ctx context.Context, who Actor) ([]Governed, error) {
	r.current(ctx)
	rows, _, err := r.cfg.Index.Events(ctx, index.Query{Log: "governance", Limit: maxGoverned})
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the index: %w", err)
	}
	found := map[string]*Governed{}
	for i := range rows {
		e, err := r.entry(rows[i].Leaf, steno.SectionMetadata)
		if err != nil {
			return nil, err
		}
		if ev := e.event(); ev != nil && ev.System != nil {
			decide(found, &rows[i], ev)
		}
	}
	out := make([]Governed, 0, len(found))
	for _, g := range found {
		if g.Kind == "model" {
			if g.Seen, err = r.seen(ctx, g.Name); err != nil {
				return nil, err
			}
		}
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Governed) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return out, r.audit.session(ctx, who, access{what: "governance", rows: len(out)})
}

// decide adds an event to the history of what it is about.
func decide(found map[string]*Governed, row *index.EventRow, ev *steno.Event) {
	action := strings.TrimPrefix(row.Type, "governance.")
	kind, verb, ok := strings.Cut(action, "_")
	s := ev.System
	d := Decision{Type: row.Type, Time: row.Time, By: s.Actor, Reason: s.Reason, Record: row.ID}
	name, version := s.Target, ""
	switch {
	case !ok || kind != "model" && kind != "prompt":
		return
	case kind == "prompt" && ev.Prompt != nil:
		name, version = cmp.Or(ev.Prompt.Name, s.Target), ev.Prompt.Version
	case verb == "changed" || verb == "switched" || verb == "rolled_back":
		before, after := detail(s, "before"), detail(s, "after")
		d.Words = s.Target + ": " + before + " → " + after
		if verb == "changed" {
			d.Words += map[string]string{"true": ", approved"}[detail(s, "approved")]
		}
		name = after
	}
	key := kind + "\x00" + name + "\x00" + version
	g := found[key]
	if g == nil {
		g = &Governed{Kind: kind, Name: name, Version: version, State: "unregistered"}
		found[key] = g
	}
	g.History = append(g.History, d)
	if verb != "changed" { // seen, and nobody's decision
		g.State, g.Since, g.By, g.Reason = strings.ReplaceAll(verb, "_", " "), row.Time, s.Actor, s.Reason
	}
}

func (r *Reader) seen(ctx context.Context, model string) (*Seen, error) {
	rows, more, err := r.cfg.Index.Exchanges(ctx, index.Query{Model: model, Limit: countCalls})
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return &Seen{Last: rows[len(rows)-1].Time, Calls: len(rows), More: more}, nil
}
