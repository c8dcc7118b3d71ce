package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

// queryFlags narrow a list.
type queryFlags struct {
	user, model, flag, status, since, until string
	document, prompt, kind, log             string
	limit                                   int
	events                                  bool
}

func (f *queryFlags) register(c *cobra.Command, limit int) {
	c.Flags().StringVar(&f.user, "user", "", "of this user")
	c.Flags().StringVar(&f.model, "model", "", "to this model, asked or answered")
	c.Flags().StringVar(&f.flag, "flag", "", "with this flag: jailbreak, injection, secret, …")
	c.Flags().StringVar(&f.status, "status", "", "in this state: open, complete, provider_error, refused, blocked, …")
	c.Flags().StringVar(&f.since, "since", "", "since then: 15m, 2h, 3d, a date, or RFC 3339")
	c.Flags().IntVar(&f.limit, "limit", limit, "at most so many, the newest")
	c.Flags().BoolVar(&f.events, "events", false, "all records, not one row for each exchange")
	c.Flags().StringVar(&f.document, "document", "", "that used this document, by its id (or its title, where it has none)")
	c.Flags().StringVar(&f.prompt, "prompt", "", "with this prompt: NAME@VERSION, or the keyed hash that show prints")
	c.Flags().StringVar(&f.kind, "type", "", "with --events: of this type, as security.alert")
	c.Flags().StringVar(&f.log, "log", "", "with --events: of this log: "+strings.Join(serve.Logs, ", "))
}

// values are the flags as the API takes them. Times become exact here, where "2h ago" was said.
func (f *queryFlags) values(now time.Time) (url.Values, error) {
	v := url.Values{}
	for name, s := range map[string]string{"user": f.user, "model": f.model, "flag": f.flag, "status": f.status, "type": f.kind, "log": f.log, "document": f.document, "prompt": f.prompt} {
		if s != "" {
			v.Set(name, s)
		}
	}
	for name, s := range map[string]string{"since": f.since, "until": f.until} {
		t, err := serve.ParseTime(s, now)
		if err != nil {
			return nil, usageError{fmt.Errorf("--%s: %w", name, err)}
		}
		if !t.IsZero() {
			v.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	switch {
	case (f.kind != "" || f.log != "") && !f.events:
		return nil, usageError{errors.New("--type and --log are for --events; an exchange has records of several")}
	case (f.document != "" || f.prompt != "") && f.events:
		return nil, usageError{errors.New("--document and --prompt are for exchanges; leave out --events")}
	}
	if f.limit < 1 {
		return nil, usageError{fmt.Errorf("--limit %d: at least one row has to be asked for", f.limit)}
	}
	v.Set("limit", strconv.Itoa(f.limit))
	return v, nil
}

func (f *queryFlags) path() string {
	if f.events {
		return "/api/events"
	}
	return "/api/exchanges"
}

func listCommand() *cobra.Command {
	var read readFlags
	var query queryFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List recorded exchanges, the newest last",
		Long:  "List recorded exchanges, one row each, the newest last; with --events all records. The list is itself recorded.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return listRows(c, &read, &query)
		},
	}
	read.register(c)
	query.register(c, 50)
	c.Flags().StringVar(&query.until, "until", "", "before then")
	return c
}

// listRows prints the rows that the flags want.
func listRows(c *cobra.Command, read *readFlags, query *queryFlags) error {
	q, err := query.values(time.Now())
	if err != nil {
		return err
	}
	return read.read(func(r *reader) error {
		var page struct {
			Rows []json.RawMessage `json:"rows"`
			More bool              `json:"more"`
		}
		if err := r.decode(c.Context(), query.path(), q, &page); err != nil {
			return err
		}
		if read.json {
			for _, row := range page.Rows {
				if err := compact(c.OutOrStdout(), row); err != nil {
					return err
				}
			}
			return nil
		}
		if err := printRows(newScreen(c.OutOrStdout()), page.Rows, query.events); err != nil {
			return err
		}
		return printMore(c.ErrOrStderr(), len(page.Rows), page.More)
	})
}

// printMore says on stderr what the rows do not: that there are none, or more.
func printMore(w io.Writer, n int, more bool) (err error) {
	switch {
	case n == 0:
		_, err = fmt.Fprintln(w, "nothing recorded fits")
	case more:
		_, err = fmt.Fprintf(w, "the newest %d; there are more: --limit N, or --since and --until\n", n)
	}
	return err
}

func printRows(s *screen, rows []json.RawMessage, events bool) error {
	if len(rows) == 0 {
		return nil
	}
	t := &table{s: s, columns: exchangeColumns}
	if events {
		t.columns = eventColumns
	}
	cells := make([][]cell, len(rows))
	for i, raw := range rows {
		c, err := rowCells(raw, events)
		if err != nil {
			return err
		}
		cells[i] = c
	}
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

func rowCells(raw json.RawMessage, events bool) ([]cell, error) {
	if events {
		var e serve.EventRow
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, fmt.Errorf("couldn't read the server's answer: %w", err)
		}
		return eventCells(&e), nil
	}
	var r serve.Row
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("couldn't read the server's answer: %w", err)
	}
	return exchangeCells(&r), nil
}
