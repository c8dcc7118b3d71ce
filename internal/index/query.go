package index

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"

	"github.com/steno-audit/steno"
)

// Exchanges returns the rows that a query wants, the newest last, and whether there are more of them beyond the first
// (with Oldest: beyond the last).
func (x *Index) Exchanges(ctx context.Context, q Query) (rows []Row, more bool, err error) {
	err = x.look(ctx, func(v *view) error {
		b := best{limit: q.limit() + 1, oldest: q.Oldest}
		for _, e := range v.exchanges {
			if q.Row(&e.Row) {
				b.add(ref{Position: e.Position(), exchange: e})
			}
		}
		if err := v.search(tableExchanges, &q, &b); err != nil {
			return err
		}
		more = b.cut(q.limit())
		list, err := v.loadExchanges(b.refs, kindListed)
		rows = make([]Row, len(list))
		for i, e := range list {
			rows[i] = e.Row
			rows[i].ResponseID, rows[i].Prompt, rows[i].Documents = "", "", nil
		}
		return err
	})
	return rows, more, err
}

// Events returns the events that a query wants, the newest last, and whether there are more of them.
func (x *Index) Events(ctx context.Context, q Query) (rows []EventRow, more bool, err error) {
	err = x.look(ctx, func(v *view) error {
		b := best{limit: q.limit() + 1, oldest: q.Oldest}
		for _, e := range v.events {
			if q.event(e) {
				b.add(ref{Position: e.Position(), event: e})
			}
		}
		if err := v.search(tableEvents, &q, &b); err != nil {
			return err
		}
		more = b.cut(q.limit())
		rows, err = v.loadEvents(b.refs)
		return err
	})
	return rows, more, err
}

// Bucket counts the exchanges that began in one step of time.
type Bucket struct {
	Start   time.Time `json:"start"`
	N       int       `json:"n"`
	Flagged int       `json:"flagged"`
	Failed  int       `json:"failed"`
}

const maxBuckets = 10_000

// Count counts exchanges over time, in steps that begin at multiples of step since 1970. Steps without any are left out.
func (x *Index) Count(ctx context.Context, q Query, step time.Duration) ([]Bucket, error) {
	if step <= 0 {
		return nil, fmt.Errorf("a step of %s counts nothing; take one above 0", step)
	}
	var out []Bucket
	err := x.look(ctx, func(v *view) error {
		c := counter{step: int64(step), buckets: map[int64]*Bucket{}}
		for _, e := range v.exchanges {
			if q.Row(&e.Row) {
				c.add(e.Time.UnixNano(), len(e.Flags) > 0, e.Failed())
			}
		}
		for _, p := range v.parts {
			if err := v.count(p, &q, &c); err != nil {
				return err
			}
		}
		if len(c.buckets) > maxBuckets {
			return fmt.Errorf("%d steps of %s are more than %d; take a longer step or less time", len(c.buckets), step, maxBuckets)
		}
		out = make([]Bucket, 0, len(c.buckets))
		for _, b := range c.buckets {
			out = append(out, *b)
		}
		slices.SortFunc(out, func(a, b Bucket) int { return a.Start.Compare(b.Start) })
		return nil
	})
	return out, err
}

type counter struct {
	step    int64
	buckets map[int64]*Bucket
}

func (c *counter) add(at int64, flagged, failed bool) {
	n := at / c.step
	if at%c.step < 0 {
		n--
	}
	b := c.buckets[n]
	if b == nil {
		b = &Bucket{Start: time.Unix(0, n*c.step).UTC()}
		c.buckets[n] = b
	}
	b.N++
	if flagged {
		b.Flagged++
	}
	if failed {
		b.Failed++
	}
}

func (v *view) count(p *part, q *Query, c *counter) error {
	f, err := v.filter(p, tableExchanges, q)
	if f == nil || err != nil {
		return err
	}
	x, err := v.x.tables.acquire(p, tableExchanges)
	if err != nil {
		return err
	}
	defer v.x.tables.release(x)
	for _, g := range x.groups() {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		rows, at, err := f.rows(&g)
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		flagged, bad := make([]bool, g.n), make([]bool, g.n)
		if err := g.column("flags", func(i int, v parquet.Value) { flagged[i] = len(v.ByteArray()) > 0 }); err != nil {
			return err
		}
		if err := g.column("status", func(i int, v parquet.Value) { bad[i] = failed(string(v.ByteArray())) }); err != nil {
			return err
		}
		for k, i := range rows {
			c.add(at[k].at, flagged[i], bad[i])
		}
	}
	return nil
}

// Values returns values of a field that begin with prefix, for completion: "user" and "model" as far as they occur in
// newer rows, "flag" and "status" from their closed lists.
func (x *Index) Values(ctx context.Context, field, prefix string, limit int) ([]string, error) {
	if limit <= 0 {
		limit = 20
	}
	var out []string
	switch field {
	case "flag":
		for _, f := range steno.Flags {
			out = append(out, string(f))
		}
	case "status":
		out = statuses()
	case "user", "model":
		err := x.look(ctx, func(v *view) (err error) {
			out, err = v.values(field, prefix, limit)
			return err
		})
		if err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("there are no values of %q to choose from; user, model, flag and status have some", field)
	}
	out = slices.DeleteFunc(out, func(s string) bool { return !strings.HasPrefix(s, prefix) })
	return out[:min(len(out), limit)], nil
}

func statuses() []string {
	out := []string{StatusOpen}
	for _, e := range []steno.End{
		steno.EndComplete, steno.EndProviderError, steno.EndErrorInAnswer, steno.EndRefused, steno.EndBlocked, steno.EndClientGone,
		steno.EndUpstreamCut, steno.EndUpstreamFailed, steno.EndTimedOut, steno.EndUnknown,
	} {
		out = append(out, string(e))
	}
	return append(out, StatusErased, StatusUnreadable)
}

// newerParts is how many parts are looked through for values to choose from.
const newerParts = 16

func (v *view) values(field, prefix string, limit int) ([]string, error) {
	seen := map[string]struct{}{}
	add := func(s []byte) {
		if _, ok := seen[string(s)]; !ok && len(s) > 0 && strings.HasPrefix(string(s), prefix) {
			seen[string(s)] = struct{}{}
		}
	}
	for _, e := range v.exchanges {
		if field == "user" {
			add([]byte(e.User))
		} else {
			add([]byte(e.Model))
			add([]byte(e.AnsweredModel))
		}
	}
	parts := slices.Clone(v.parts)
	slices.SortFunc(parts, func(a, b *part) int { return int(min(max(b.Exchanges.MaxTime-a.Exchanges.MaxTime, -1), 1)) })
	for i, p := range parts {
		if i == newerParts || len(seen) >= limit {
			break
		}
		if err := v.partValues(p, field, add); err != nil {
			return nil, err
		}
	}
	out := make([]string, 0, len(seen))
	for s := range seen {
		out = append(out, s)
	}
	slices.Sort(out)
	return out, nil
}

func (v *view) partValues(p *part, field string, add func([]byte)) error {
	if field == "user" {
		return v.x.tables.eachName(p, kindUser, func(_ token, value []byte) { add(value) })
	}
	if p.Exchanges.Rows == 0 {
		return nil
	}
	x, err := v.x.tables.acquire(p, tableExchanges)
	if err != nil {
		return err
	}
	defer v.x.tables.release(x)
	for _, g := range x.groups() {
		for _, c := range []string{"model", "answered_model"} {
			if err := g.column(c, func(_ int, v parquet.Value) { add(v.ByteArray()) }); err != nil {
				return err
			}
		}
	}
	return nil
}
