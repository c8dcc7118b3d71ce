package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

func lineageCommand() *cobra.Command {
	var read readFlags
	var query queryFlags
	c := &cobra.Command{
		Use:   "lineage [ID]",
		Short: "What an answer was made of, or which answers used a document",
		Long: `With the id of an exchange: what its answer was made of. Documents, tool results, the version of the instructions, the model's
version, the training and data set behind it, the answer before; and what people said became of it.

With --document, --prompt or --model: the answers that were made with it, one row each, as ` + "`steno list`" + ` shows them.`,
		Example: `  steno lineage 0193a1f2c4d87e1b
  steno lineage --document leave-policy --since 7d
  steno lineage --prompt support@12`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			asks := query.document != "" || query.prompt != "" || query.model != ""
			switch {
			case len(args) == 1 && asks:
				return usageError{errors.New("give the id of an exchange, or --document, --prompt or --model: not both")}
			case len(args) == 0 && !asks:
				return usageError{errors.New("give the id of an exchange, or --document, --prompt or --model")}
			case len(args) == 0:
				return listRows(c, &read, &query)
			}
			return read.read(func(r *reader) error {
				var answer json.RawMessage
				if err := r.decode(c.Context(), "/api/lineage/"+url.PathEscape(args[0]), nil, &answer); err != nil {
					return err
				}
				if read.json {
					return compact(c.OutOrStdout(), answer)
				}
				var l serve.Lineage
				if err := json.Unmarshal(answer, &l); err != nil {
					return fmt.Errorf("couldn't read the server's answer: %w", err)
				}
				return printLineage(newScreen(c.OutOrStdout()), &l)
			})
		},
	}
	read.register(c)
	c.Flags().StringVar(&query.document, "document", "", "answers that used this document, by its id (or its title, where it has none)")
	c.Flags().StringVar(&query.prompt, "prompt", "", "answers made with this prompt: NAME@VERSION, or the keyed hash that show prints")
	c.Flags().StringVar(&query.model, "model", "", "answers of this model")
	c.Flags().StringVar(&query.since, "since", "", "since then: 15m, 2h, 3d, a date, or RFC 3339")
	c.Flags().StringVar(&query.until, "until", "", "before then")
	c.Flags().IntVar(&query.limit, "limit", 50, "at most so many, the newest")
	return c
}

// facts is a list of names and what there is to say of each, as lineage prints it.
type facts struct {
	s   *screen
	err error
}

func (f *facts) line(name, format string, args ...any) {
	if f.err == nil {
		_, f.err = fmt.Fprintf(f.s.w, "%s %s\n", f.s.paint(grey, fmt.Sprintf("%-12s", name)), fmt.Sprintf(format, args...))
	}
}

func printLineage(s *screen, l *serve.Lineage) error {
	f := &facts{s: s}
	f.line("answer", "%s of %s", l.Exchange, l.Time.UTC().Format(time.RFC3339))
	if m := l.Model; m != nil {
		words := orDash(plain(m.Asked)) + " → " + orDash(plain(m.Answered))
		if m.Version != "" {
			words += ", version " + plain(m.Version) + " (by " + plain(m.VersionSource) + ")"
		}
		if m.Fingerprint != "" {
			words += ", fingerprint " + plain(m.Fingerprint)
		}
		f.line("model", "%s, %s", words, orDash(plain(m.Provider)))
	}
	for _, t := range l.Training {
		words := "job " + plain(t.Job)
		if t.Base != "" {
			words += " from " + plain(t.Base)
		}
		if t.Dataset != "" {
			words += " on " + plain(t.Dataset)
		}
		f.line("trained by", "%s; record %s", words, t.Record)
	}
	switch p := l.Prompt; {
	case p == nil:
		f.line("instructions", "none, or no version of them is known")
	case p.Name == "":
		f.line("instructions", "%s (the keyed hash of their words)", plain(p.Version))
	default:
		f.line("instructions", "%s@%s, as the application says", plain(p.Name), plain(p.Version))
	}
	if p := l.Previous; p != nil {
		words := "not on record"
		if !p.Exchange.IsZero() {
			words = p.Exchange.String()
		}
		f.line("goes on from", "%s: %s", plain(p.Response), words)
	}
	for _, d := range l.Documents {
		var words []string
		for _, w := range []struct{ name, v string }{
			{"", d.ID}, {"version ", d.Version}, {"", d.Title}, {"index ", d.Index}, {"vector ", d.VectorID}, {"chunk ", d.Chunk},
		} {
			if w.v != "" {
				words = append(words, w.name+plain(w.v))
			}
		}
		if d.Score != nil {
			words = append(words, fmt.Sprintf("score %.3g", *d.Score))
		}
		f.line("document", "%s (%s)", strings.Join(words, ", "), plain(d.Origin))
	}
	for _, t := range l.Tools {
		words := orDash(plain(t.Name))
		if t.ID != "" {
			words += " " + plain(t.ID)
		}
		if !t.New {
			words += ", earlier in the conversation"
		}
		f.line("tool result", "%s", words)
	}
	if len(l.Documents) == 0 && len(l.Tools) == 0 {
		f.line("documents", "none on record")
	}
	for _, u := range l.Uses {
		words := plain(u.Type)
		for _, w := range []struct{ name, v string }{{" ", u.Target}, {" by ", u.Actor}, {": ", u.Reason}} {
			if w.v != "" {
				words += w.name + plain(w.v)
			}
		}
		f.line("became", "%s; %s", words, u.Time.UTC().Format(time.RFC3339))
	}
	for _, u := range l.Unreadable {
		f.line("missing", "%s", plain(u))
	}
	return f.err
}
