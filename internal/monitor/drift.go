package monitor

import (
	"context"
	"encoding/json"
	"math"
	"math/bits"
	"strconv"
	"time"

	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/seal"
)

// distribution counts how often each value occurred.
type distribution map[string]int

// maxValues is how many values of a distribution are told apart.
const maxValues = 64

func (d distribution) add(value string) { d.addN(value, 1) }

func (d distribution) addN(value string, n int) {
	if _, ok := d[value]; !ok && len(d) >= maxValues {
		value = "(others)"
	}
	d[value] += n
}

func (d distribution) n() int {
	n := 0
	for _, v := range d {
		n += v
	}
	return n
}

// magnitude is the class of a length: powers of two, named by their lower end.
func magnitude(v int64) string {
	if v <= 0 {
		return "0"
	}
	return strconv.FormatInt(1<<(bits.Len64(uint64(v))-1), 10)
}

// divergence is the Jensen-Shannon divergence of two distributions in bits: 0 for the same, 1 for such that have nothing in
// common (J. Lin, Divergence measures based on the Shannon entropy, IEEE Trans. Inf. Theory 37, 1991).
func divergence(p, q distribution) float64 {
	np, nq := float64(p.n()), float64(q.n())
	js := 0.0
	part := func(a, m float64) {
		if a > 0 {
			js += a / 2 * math.Log2(a/m)
		}
	}
	for v := range p {
		a, b := float64(p[v])/np, float64(q[v])/nq
		part(a, (a+b)/2)
		part(b, (a+b)/2)
	}
	for v := range q {
		if p[v] == 0 {
			b := float64(q[v]) / nq
			part(b, b/2)
		}
	}
	return min(max(js, 0), 1)
}

// enough is how many calls a side needs for a divergence to say something.
const enough = 200

// drift is how far a day lies from those before it.
type drift struct {
	JS     *float64 `json:"js,omitempty"` // nil: too few
	N      int      `json:"n"`
	Before int      `json:"n_before"`
}

func (d drift) outcome() string {
	if d.JS == nil {
		return "too few"
	}
	return "measured"
}

func (g *figures) drifts(before map[string]distribution) map[string]drift {
	out := map[string]drift{}
	for name, d := range g.dist {
		b := before[name]
		x := drift{N: d.n(), Before: b.n()}
		if x.N >= enough && x.Before >= enough {
			js := math.Round(divergence(d, b)*1e4) / 1e4
			x.JS = &js
		}
		out[name] = x
	}
	return out
}

// history has the distributions of the days on record.
type history map[model]map[string]map[string]distribution // day, name

func (h history) add(m model, day time.Time, d map[string]distribution) {
	if h[m] == nil {
		h[m] = map[string]map[string]distribution{}
	}
	h[m][day.Format(time.DateOnly)] = d
}

func (h history) has(m model, day time.Time) bool {
	_, ok := h[m][day.Format(time.DateOnly)]
	return ok
}

// last is the newest day on record.
func (h history) last() time.Time {
	newest := ""
	for _, days := range h {
		for d := range days {
			newest = max(newest, d)
		}
	}
	t, err := time.Parse(time.DateOnly, newest)
	if err != nil {
		return time.Time{}
	}
	return t
}

// before sums up the days before a day.
func (h history) before(m model, day time.Time) map[string]distribution {
	out := map[string]distribution{}
	for i := 1; i <= memory; i++ {
		for name, d := range h[m][day.AddDate(0, 0, -i).Format(time.DateOnly)] {
			if out[name] == nil {
				out[name] = distribution{}
			}
			for v, n := range d {
				out[name].addN(v, n)
			}
		}
	}
	return out
}

// past reads the days on record from the log.
func (f *Follower) past(ctx context.Context, today time.Time) (history, error) {
	h := history{}
	err := f.events(ctx, index.Query{Type: "monitoring.model_day", Since: today.AddDate(0, 0, -memory-backlog)}, func(_ *index.EventRow, o *seal.Opened) {
		day, err := time.Parse(time.DateOnly, o.System.Target)
		if err != nil || o.Model == nil {
			return
		}
		d := map[string]distribution{}
		if raw := o.System.Details["distributions"]; raw != nil && json.Unmarshal(raw, &d) != nil {
			return
		}
		h.add(model{o.Model.Provider, o.Model.Asked}, day, d)
	})
	return h, err
}
