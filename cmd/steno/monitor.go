package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

func monitorCommand() *cobra.Command {
	var read readFlags
	var model, since string
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Models by day: calls, errors, latency, cost, flags, drift, evaluations",
		Long: `Shows what each day (UTC) of each model was like: calls, errors, refusals and flags, latency, tokens and cost; how far lengths,
finish reasons, refusals, tools and language drifted from the 28 days before (Jensen-Shannon divergence, 0 the same, 1 nothing in
common; with fewer than 200 calls on either side "too few"); and the share of received evaluations under their threshold. Days that are over
are on record as monitoring.model_day; the last rows are the day so far.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q := url.Values{}
			if model != "" {
				q.Set("model", model)
			}
			if since != "" {
				t, err := serve.ParseTime(since, time.Now())
				if err != nil {
					return usageError{fmt.Errorf("--since: %w", err)}
				}
				q.Set("since", t.UTC().Format(time.RFC3339))
			}
			return read.read(func(r *reader) error {
				rows, err := fetchRows[serve.ModelDay](c, r, "/api/monitoring", q, read.json)
				if err != nil || read.json {
					return err
				}
				return printMonitoring(newScreen(c.OutOrStdout()), rows)
			})
		},
	}
	read.register(c)
	c.Flags().StringVar(&model, "model", "", "of this model")
	c.Flags().StringVar(&since, "since", "", "days recorded since then (default two weeks)")
	return c
}

var monitorColumns = []column{
	{name: "DAY"},
	{name: "MODEL", shrink: 16},
	{name: "CALLS", right: true},
	{name: "ERRORS", right: true},
	{name: "REFUSED", right: true, drop: 4},
	{name: "FLAGGED", right: true, drop: 3},
	{name: "P50 MS", right: true},
	{name: "P95 MS", right: true, drop: 5},
	{name: "TOKENS IN", right: true, drop: 7},
	{name: "OUT", right: true, drop: 6},
	{name: "USD", right: true},
	{name: "DRIFT", shrink: 12, drop: 2},
	{name: "EVALUATIONS", shrink: 12, drop: 1},
}

func printMonitoring(s *screen, rows []serve.ModelDay) error {
	if len(rows) == 0 {
		_, err := fmt.Fprintln(s.w, "no call is on record in this time")
		return err
	}
	t := &table{s: s, columns: monitorColumns}
	cells := make([][]cell, len(rows))
	for i := range rows {
		cells[i] = monitorCells(&rows[i])
	}
	return t.print(cells)
}

func monitorCells(d *serve.ModelDay) []cell {
	day := d.Day
	if d.SoFar {
		day += "…"
	}
	errors := cell{text: share(d.Errors, d.Calls)}
	if d.Errors*20 > d.Calls {
		errors.colour = red
	}
	flagged := cell{text: share(d.Flagged, d.Calls)}
	if d.Flagged > 0 {
		flagged.colour = yellow
	}
	var rates []string
	for _, r := range d.Evaluations {
		rates = append(rates, fmt.Sprintf("%s %.1f %% of %d bad", plain(r.Evaluator), r.Rate*100, r.N))
	}
	usd := d.USD
	if d.Unpriced > 0 {
		usd += "+"
	}
	return []cell{
		{text: day},
		{text: plain(d.Model)},
		{text: strconv.Itoa(d.Calls)},
		errors,
		{text: share(d.Refusals, d.Calls)},
		flagged,
		{text: ms(d.P50)},
		{text: ms(d.P95)},
		{text: strconv.FormatInt(d.Input, 10)},
		{text: strconv.FormatInt(d.Output, 10)},
		{text: usd},
		{text: driftWords(d.Drift)},
		{text: strings.Join(rates, "; ")},
	}
}

func share(n, of int) string {
	if n == 0 || of == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.1f %%)", n, float64(n)*100/float64(of))
}

func ms(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', 0, 64)
}

// driftWords names what drifted most first.
func driftWords(drift map[string]serve.Drift) string {
	var measured []string
	few := 0
	for _, name := range slices.Sorted(maps.Keys(drift)) {
		if drift[name].JS == nil {
			few++
			continue
		}
		measured = append(measured, name)
	}
	slices.SortStableFunc(measured, func(a, b string) int {
		switch x, y := *drift[a].JS, *drift[b].JS; {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	for i, name := range measured {
		measured[i] = fmt.Sprintf("%s %.3f", name, *drift[name].JS)
	}
	if len(measured) == 0 && few > 0 {
		return "too few"
	}
	return strings.Join(measured, ", ")
}
