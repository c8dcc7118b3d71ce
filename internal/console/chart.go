package console

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/a-h/templ"

	"github.com/steno-audit/steno/internal/serve"
)

const (
	maxBars     = 96 // at most
	chartHeight = 56 // pixels of the tallest bar
	day         = 24 * time.Hour
)

var chartSteps = []time.Duration{
	time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
	10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 7 * day,
	30 * day, 90 * day, 365 * day,
}

// chart is the count of exchanges over a range of time.
type chart struct {
	Since, Until           time.Time
	Step                   time.Duration
	Bars                   []bar
	Top                    int // the scale's end
	Total, Flagged, Failed int
	Unknown                int // steps of which nothing is known
}

// bar is one step. Its parts lie over each other, failed ones below; positions are percent across and pixels down.
type bar struct {
	Start, End time.Time
	N          int
	Flagged    int
	Failed     int
	Unknown    bool // nothing ran that could have counted
	X, W       string
	Y          [4]string // tops: of all, of flagged and failed, of failed, and the ground
	H          [3]string // heights: of the plain ones, the flagged, the failed
	Href       templ.SafeURL
}

// span is a stretch of time in which steno ran.
type span struct{ from, to time.Time }

func stepFor(d time.Duration) time.Duration {
	for _, s := range chartSteps {
		if d/s < maxBars {
			return s
		}
	}
	return chartSteps[len(chartSteps)-1]
}

// newChart counts what the query wants between its times. Where these are open, it goes from the first exchange to now.
func (p *pages) newChart(ctx context.Context, who serve.Actor, q serve.Query, f filter, now time.Time) (*chart, error) {
	q.Before, q.Limit = serve.Query{}.Before, 0
	if q.Until.IsZero() {
		q.Until = now
	}
	if q.Since.IsZero() {
		const longest = 9990 * day // what the reader counts in days
		q.Since = q.Until.Add(-longest)
		c, err := p.r.Count(ctx, who, q, day)
		if err != nil {
			return nil, err
		}
		q.Since = q.Until.Add(-time.Hour)
		if len(c.Steps) > 0 {
			q.Since = c.Steps[0].Start
			if q.Until.Sub(q.Since) <= 2*day { // find the hour
				if c, err = p.r.Count(ctx, who, q, 5*time.Minute); err != nil {
					return nil, err
				}
				if len(c.Steps) > 0 {
					q.Since = c.Steps[0].Start
				}
			}
		}
	}
	step := stepFor(q.Until.Sub(q.Since))
	counts, err := p.r.Count(ctx, who, q, step)
	if err != nil {
		return nil, err
	}
	ran, err := p.ran(ctx, who, q.Since, now)
	if err != nil {
		return nil, err
	}
	return drawChart(counts, q.Since, q.Until, step, ran, f), nil
}

func drawChart(counts *serve.Counts, since, until time.Time, step time.Duration, ran []span, f filter) *chart {
	c := &chart{Since: since, Until: until, Step: step}
	counted := map[int64]bar{}
	for _, n := range counts.Steps {
		counted[n.Start.UnixNano()] = bar{N: n.N, Flagged: n.Flagged, Failed: n.Failed}
	}
	for at := floor(since, step); at.Before(until); at = at.Add(step) {
		b := counted[at.UnixNano()]
		b.Start, b.End = at, at.Add(step)
		b.Unknown = b.N == 0 && !slices.ContainsFunc(ran, func(s span) bool { return s.from.Before(b.End) && s.to.After(b.Start) })
		c.Total, c.Flagged, c.Failed = c.Total+b.N, c.Flagged+b.Flagged, c.Failed+b.Failed
		if b.Unknown {
			c.Unknown++
		}
		c.Top = max(c.Top, b.N)
		c.Bars = append(c.Bars, b)
	}
	c.Top = roundUp(c.Top)
	for i := range c.Bars {
		b := &c.Bars[i]
		b.X = fmt.Sprintf("%.4f%%", 100*float64(i)/float64(len(c.Bars)))
		b.W = fmt.Sprintf("%.4f%%", 100/float64(len(c.Bars)))
		flagged := min(b.Flagged, b.N-b.Failed) // one that is both is drawn as failed; the words count it in each
		height := func(n int) float64 { return chartHeight * float64(n) / float64(c.Top) }
		for k, n := range []int{b.N, flagged + b.Failed, b.Failed, 0} {
			b.Y[k] = fmt.Sprintf("%.2f", chartHeight-height(n))
		}
		for k, n := range []int{b.N - flagged - b.Failed, flagged, b.Failed} {
			b.H[k] = fmt.Sprintf("%.2f", height(n))
		}
		b.Href = f.with("since", b.Start.UTC().Format(time.RFC3339), "until", b.End.UTC().Format(time.RFC3339))
	}
	return c
}

// floor is the beginning of the step that t is in, counted as the reader counts: from 1970.
func floor(t time.Time, step time.Duration) time.Time {
	n := t.UnixNano()
	return time.Unix(0, n-n%int64(step)).UTC()
}

// roundUp is the next number that is easy to read off a scale.
func roundUp(n int) int {
	for unit := 1; ; unit *= 10 {
		for _, k := range []int{1, 2, 3, 4, 5, 6, 8, 10} {
			if n <= k*unit {
				return k * unit
			}
		}
	}
}

// Words say what a bar shows.
func (b *bar) Words() string {
	s := clock(b.Start) + "–" + clock(b.End) + " UTC: "
	if b.Unknown {
		return s + "steno did not run, so that nothing is known"
	}
	s += count(b.N, "exchange")
	if b.Flagged > 0 {
		s += fmt.Sprintf(", %d flagged", b.Flagged)
	}
	if b.Failed > 0 {
		s += fmt.Sprintf(", %d failed", b.Failed)
	}
	return s
}

// ran finds when steno ran since a time. What this process saw itself needs no look at the log.
func (p *pages) ran(ctx context.Context, who serve.Actor, since, now time.Time) ([]span, error) {
	status, err := p.r.Status(ctx)
	if err != nil {
		return nil, err
	}
	out := []span{{status.Started, now}}
	if !since.Before(status.Started) {
		return out, nil
	}
	const most = 500 // starts; before the first of them nothing is drawn as known
	started, err := p.r.Events(ctx, who, serve.Query{Type: "monitoring.source_started", Limit: most})
	if err != nil {
		return nil, err
	}
	for i, s := range started.Rows {
		end := status.Started
		if i+1 < len(started.Rows) {
			end = started.Rows[i+1].Time
		}
		if !end.After(since) || !s.Time.Before(status.Started) {
			continue
		}
		// The last sign of life before the next start: a stop, or a heartbeat where it was killed.
		last := s.Time
		for _, kind := range []string{"monitoring.source_stopped", "monitoring.heartbeat"} {
			page, err := p.r.Events(ctx, who, serve.Query{Type: kind, Since: s.Time, Until: end, Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(page.Rows) > 0 && page.Rows[0].Time.After(last) {
				last = page.Rows[0].Time
			}
		}
		out = append(out, span{s.Time, last})
	}
	return out, nil
}
