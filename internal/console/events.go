package console

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

// eventsView is the page of all records.
type eventsView struct {
	frame
	Filter filter
	Rows   []serve.EventRow
	More   bool
	Older  string
	Types  []string
}

func (p *pages) events(w http.ResponseWriter, r *http.Request) {
	f, err := readFilter(r, "/events")
	if err != nil {
		p.failed(w, r, err)
		return
	}
	q, err := f.query(time.Now())
	if err != nil {
		p.failed(w, r, err)
		return
	}
	page, err := p.r.Events(r.Context(), serve.ActorOf(r), q)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	v := &eventsView{frame: p.frame("Events", "events", ""), Filter: f, Rows: page.Rows, More: page.More, Types: steno.EventTypes()}
	if len(v.Rows) > 0 {
		v.Older = v.Rows[0].Position().String()
	}
	slices.Reverse(v.Rows)
	if t := f.get("type"); t != "" && !slices.Contains(v.Types, t) {
		v.Types = append(v.Types, t)
	}
	if l := f.get("log"); l != "" {
		v.Types = slices.DeleteFunc(v.Types, func(t string) bool { return !strings.HasPrefix(t, l+".") && t != f.get("type") })
	}
	p.show(w, r, http.StatusOK, eventsPage(v))
}
