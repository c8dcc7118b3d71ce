package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

func statusCommand() *cobra.Command {
	var read readFlags
	c := &cobra.Command{
		Use:   "status",
		Short: "Say how a steno is doing",
		Long:  "Say how a steno is doing: the log, what is not covered yet, keys, clock, gaps, retention. It reads no text and leaves no record.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return read.read(func(r *reader) error {
				var raw json.RawMessage
				if err := r.decode(c.Context(), "/api/status", nil, &raw); err != nil {
					return err
				}
				if read.json {
					return compact(c.OutOrStdout(), raw)
				}
				var s serve.Status
				if err := json.Unmarshal(raw, &s); err != nil {
					return fmt.Errorf("couldn't read the server's answer: %w", err)
				}
				return printStatus(c.OutOrStdout(), &s)
			})
		},
	}
	read.register(c)
	return c
}

// page collects labelled lines and keeps the first error of writing.
type page struct {
	w    io.Writer
	wide int
	err  error
}

func (p *page) print(s string) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(s, " "))
	}
}

func (p *page) line(label, format string, args ...any) {
	p.print(fmt.Sprintf("%-*s  ", p.wide, label) + fmt.Sprintf(format, args...))
}

func printStatus(w io.Writer, s *serve.Status) error {
	p := &page{w: w, wide: 10}
	title := "steno " + s.Version
	if s.Demo {
		title += "   demo data"
	}
	p.print(title)
	p.line("data", "%s", s.Data)
	if s.Gateway != "" {
		p.line("gateway", "%s", s.Gateway)
	}
	if s.Console != "" {
		p.line("console", "%s", s.Console)
	}
	p.line("log", "%s, %d records durable, last written %s", s.Log.Origin, s.Log.Size, instant(s.Log.LastWritten))
	if s.LogFailed != "" {
		p.line("", "FAILED: %s", s.LogFailed)
	}
	p.line("checkpoint", "covers %d records, until %s%s", s.Log.Covered, instant(s.Log.CheckpointAt), uncovered(s.Log.Size-min(s.Log.Covered, s.Log.Size)))
	p.line("open", "%s", counted(s.Log.Open, "exchange", "exchanges"))
	if s.Gap != nil {
		p.line("gap", "%d calls passed unrecorded from %s to %s (%s)", s.Gap.Calls, instant(time.Unix(0, s.Gap.From)), instant(time.Unix(0, s.Gap.To)), s.Gap.Why)
	} else {
		p.line("gap", "none under way")
	}
	if s.IndexLag > 0 {
		p.line("index", "%d records behind: lists do not show them yet", s.IndexLag)
	} else {
		p.line("index", "up to date")
	}
	k := s.Keys
	p.line("keys", "ring %d of %s, wrapped by %s, %s; %d day keys (%s to %s), %d held, %d with erased text",
		k.Ring, instant(k.Created), k.KEK, counted(k.Replicas, "copy", "copies"), k.DayKeys, orDash(k.OldestDay), orDash(k.NewestDay), k.Held, k.Erased)
	p.line("retention", "%s: %s", s.Retention.Class, s.Retention.Note)
	p.line("capture", "%s", s.Capture)
	if s.Policy != "" {
		p.line("policy", "%s", s.Policy)
	}
	p.line("clock", "%s", clockWords(s.Clock))
	for i, m := range s.Memory {
		label := ""
		if i == 0 {
			label = "memory"
		}
		p.line(label, "%s", m)
	}
	return p.err
}

func uncovered(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; %d durable and not covered yet", n)
}

func clockWords(c *serve.ClockStatus) string {
	switch {
	case c == nil:
		return "no heartbeat yet, so nothing is known of it"
	case !c.Known:
		return "the kernel could not be asked, at " + instant(c.At)
	case !c.Synchronized:
		return fmt.Sprintf("NOT synchronized, at %s", instant(c.At))
	}
	return fmt.Sprintf("synchronized, error at most %.1f ms, at %s", c.MaxErrorUS/1000, instant(c.At))
}

// instant is a time as people here read it, with the zone.
func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}
