package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

const (
	reconnectAfter = time.Second
	silenceAfter   = 45 * time.Second // three heartbeats of the server missed: the connection is dead
	maxLine        = 16 << 20
)

func tailCommand() *cobra.Command {
	var read readFlags
	var query queryFlags
	c := &cobra.Command{
		Use:   "tail",
		Short: "Follow exchanges as they happen",
		Long: `Follow exchanges as they happen: a row when one opens, and again when it ends. Ends with an interrupt. The session is
itself recorded, at its start and then at most once a minute.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			q, err := query.values(time.Now())
			if err != nil {
				return err
			}
			if query.events {
				q.Set("events", "1")
			}
			ctx, cancel := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer cancel()
			return read.read(func(r *reader) error {
				t := &tail{r: r, q: q, seen: map[string]string{}, json: read.json, w: c.OutOrStdout(), notes: c.ErrOrStderr(), events: query.events}
				t.table = &table{s: newScreen(t.w), columns: exchangeColumns}
				if query.events {
					t.table.columns = eventColumns
				}
				return t.run(ctx)
			})
		},
	}
	read.register(c)
	query.register(c, 10)
	return c
}

// tail follows a server, and finds its place again after a broken connection.
type tail struct {
	r      *reader
	q      url.Values
	json   bool
	events bool
	w      io.Writer
	notes  io.Writer
	table  *table
	fitted bool
	seen   map[string]string // the state in which a row was last printed, of the newest rows
	order  []string
	last   time.Time // of the newest row
	lost   bool
}

// errEnded says that the server ended the stream: it is to be asked again.
var errEnded = errors.New("the server ended the stream")

func (t *tail) run(ctx context.Context) error {
	for first := true; ; first = false {
		err := t.follow(ctx)
		var no *serve.Error
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // being interrupted is how a tail ends
		case errors.As(err, &no) && no.Status < 500, err != nil && first && t.last.IsZero() && !errors.Is(err, errEnded):
			return err // an answer that will not change, or nothing there to begin with
		}
		if !t.lost {
			t.lost = true
			if _, err := fmt.Fprintf(t.notes, "the connection is lost (%v); trying again\n", err); err != nil {
				return err
			}
		}
		select {
		case <-time.After(reconnectAfter):
		case <-ctx.Done():
			return nil
		}
	}
}

func (t *tail) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silenceAfter, func() { cancel(errors.New("the server has gone silent")) })
	defer watchdog.Stop()
	q := t.q
	if !t.last.IsZero() { // go on from the last row; those of the same time are known
		q = url.Values{}
		for k, v := range t.q {
			q[k] = v
		}
		q.Set("since", t.last.UTC().Format(time.RFC3339Nano))
		q.Set("limit", "1000")
	}
	resp, err := t.r.get(ctx, "/api/tail", q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if t.lost {
		t.lost = false
		if _, err := fmt.Fprintln(t.notes, "connected again"); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		watchdog.Reset(silenceAfter)
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if err := t.line(line); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	return errEnded
}

func (t *tail) line(line []byte) error {
	var row struct {
		ID     string       `json:"id"`
		Time   time.Time    `json:"time"`
		Status string       `json:"status"`
		Flags  []string     `json:"flags"`
		Error  *serve.Error `json:"error"`
	}
	if err := json.Unmarshal(line, &row); err != nil {
		return fmt.Errorf("couldn't read the server's answer: %w", err)
	}
	if row.Error != nil {
		return row.Error
	}
	state := row.Status + fmt.Sprint(row.Flags)
	if old, ok := t.seen[row.ID]; ok && old == state {
		return nil
	}
	t.remember(row.ID, state)
	if row.Time.After(t.last) {
		t.last = row.Time
	}
	if t.json {
		return compact(t.w, line)
	}
	cells, err := rowCells(line, t.events)
	if err != nil {
		return err
	}
	t.table.fit([][]cell{cells}, true)
	if !t.fitted {
		t.fitted = true
		if err := t.table.head(); err != nil {
			return err
		}
	}
	return t.table.row(cells)
}

// remember keeps the newest rows' states, more than can come again after a broken connection.
func (t *tail) remember(id, state string) {
	const most = 4096
	if _, ok := t.seen[id]; !ok {
		t.order = append(t.order, id)
		if len(t.order) > most {
			delete(t.seen, t.order[0])
			t.order = t.order[1:]
		}
	}
	t.seen[id] = state
}
