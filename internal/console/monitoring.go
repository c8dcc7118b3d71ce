package console

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/steno-audit/steno/internal/serve"
)

// monitoringView is the page of what days of models were like.
type monitoringView struct {
	frame
	Model string
	Rows  []serve.ModelDay // newest first
}

func (p *pages) monitoring(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name := range q {
		if name != "model" && name != "since" {
			p.failed(w, r, &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("this page has no filter %q", name), Hint: "filters are model, since"})
			return
		}
	}
	since, err := serve.ParseTime(q.Get("since"), time.Now())
	if err != nil {
		p.failed(w, r, &serve.Error{Status: http.StatusBadRequest, Message: "since: " + err.Error()})
		return
	}
	rows, err := p.r.Monitoring(r.Context(), serve.ActorOf(r), q.Get("model"), since)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	slices.SortStableFunc(rows, func(a, b serve.ModelDay) int { return cmp.Compare(b.Day, a.Day) })
	p.show(w, r, http.StatusOK, monitoringPage(&monitoringView{p.frame("Monitoring", "monitoring", ""), q.Get("model"), rows}))
}

// share is a count with its part of the whole.
func share(n, of int) string {
	if n == 0 || of == 0 {
		return "0"
	}
	return fmt.Sprintf("%s (%.1f %%)", number(n), float64(n)*100/float64(of))
}

// drifted is one comparison with the days before.
type drifted struct {
	Name  string
	Drift serve.Drift
}

// drifts lists what was compared, the farthest first, what could not be last.
func drifts(d *serve.ModelDay) []drifted {
	var out []drifted
	for _, name := range slices.Sorted(maps.Keys(d.Drift)) {
		out = append(out, drifted{name, d.Drift[name]})
	}
	slices.SortStableFunc(out, func(a, b drifted) int { return cmp.Compare(far(b.Drift), far(a.Drift)) })
	return out
}

func far(d serve.Drift) float64 {
	if d.JS == nil {
		return -1
	}
	return *d.JS
}

// driftSummary is the farthest in a few words.
func driftSummary(d *serve.ModelDay) string {
	switch list := drifts(d); {
	case len(list) == 0:
		return ""
	case list[0].Drift.JS == nil:
		return "too few"
	default:
		return fmt.Sprintf("%s %.3f", list[0].Name, *list[0].Drift.JS)
	}
}
