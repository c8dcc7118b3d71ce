package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

func governanceCommand() *cobra.Command {
	var read readFlags
	var history bool
	c := &cobra.Command{
		Use:   "governance",
		Short: "Models and prompts under governance: versions, approvals, deployments, changes",
		Long: `Lists models and prompt templates that events of governance speak of: the last decision of each, who took it and when, and when
the model last answered. A model that began to answer though nobody decided so is "unregistered". Decisions are submitted as
events (governance.model_approved and others, see docs/catalogue.md); changes of the model that answers are noticed by steno.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return read.read(func(r *reader) error {
				rows, err := fetchRows[serve.Governed](c, r, "/api/governance", nil, read.json)
				if err != nil || read.json {
					return err
				}
				return printGovernance(newScreen(c.OutOrStdout()), rows, history)
			})
		},
	}
	read.register(c)
	c.Flags().BoolVar(&history, "history", false, "every decision and change, not the last alone")
	return c
}

var governanceColumns = []column{
	{name: "KIND"},
	{name: "NAME", shrink: 16},
	{name: "VERSION", shrink: 8},
	{name: "STATE"},
	{name: "SINCE", drop: 2},
	{name: "BY", drop: 1},
	{name: "LAST CALL", drop: 4},
	{name: "CALLS", right: true, drop: 3},
}

func printGovernance(s *screen, rows []serve.Governed, history bool) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(s.w, "no event of governance is on record; docs/catalogue.md says how to submit one")
		return err
	}
	if history {
		return printHistory(s, rows)
	}
	t := &table{s: s, columns: governanceColumns}
	cells := make([][]cell, len(rows))
	for i, g := range rows {
		state := cell{text: g.State}
		if g.State == "unregistered" || g.State == "retired" && g.Seen != nil && g.Seen.Last.After(g.Since) {
			state.colour = yellow
		}
		last, calls := "", ""
		if g.Seen != nil {
			last, calls = clock(g.Seen.Last), strconv.Itoa(g.Seen.Calls)
			if g.Seen.More {
				calls += "+"
			}
		}
		cells[i] = []cell{{text: g.Kind}, {text: plain(g.Name)}, {text: plain(g.Version)}, state, {text: clock(g.Since)}, {text: plain(g.By)}, {text: last}, {text: calls}}
	}
	return t.print(cells)
}

func printHistory(s *screen, rows []serve.Governed) error {
	t := &table{s: s, columns: []column{{name: "TIME"}, {name: "EVENT"}, {name: "OF", shrink: 16}, {name: "BY", drop: 1}, {name: "WHY", shrink: 12}}}
	var cells [][]cell
	for _, g := range rows {
		name := g.Name
		if g.Version != "" {
			name += "@" + g.Version
		}
		for _, d := range g.History {
			why := d.Reason
			if why == "" {
				why = d.Words
			}
			cells = append(cells, []cell{{text: clock(d.Time)}, {text: d.Type}, {text: plain(name)}, {text: plain(d.By)}, {text: plain(why)}})
		}
	}
	return t.print(cells)
}

// print writes the head and all rows.
func (t *table) print(cells [][]cell) error {
	t.fit(cells, false)
	if err := t.head(); err != nil {
		return err
	}
	for _, c := range cells {
		if err := t.row(c); err != nil {
			return err
		}
	}
	return nil
}

func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// fetchRows asks for rows; with asJSON it prints them, one a line.
func fetchRows[T any](c *cobra.Command, r *reader, path string, q map[string][]string, asJSON bool) ([]T, error) {
	var page struct {
		Rows []json.RawMessage `json:"rows"`
	}
	if err := r.decode(c.Context(), path, q, &page); err != nil {
		return nil, err
	}
	out := make([]T, len(page.Rows))
	for i, raw := range page.Rows {
		if asJSON {
			if err := compact(c.OutOrStdout(), raw); err != nil {
				return nil, err
			}
		} else if err := json.Unmarshal(raw, &out[i]); err != nil {
			return nil, fmt.Errorf("couldn't read the server's answer: %w", err)
		}
	}
	return out, nil
}
