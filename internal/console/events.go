package console

import (
	"net/http"
	"slices"
	"time"

	"github.com/steno-audit/steno/internal/serve"
)

// eventTypes are those that are offered; the address takes any.
var eventTypes = []string{
	"inference.request", "inference.response", "inference.response_part", "inference.call", "security.alert", "security.auth_failed", "security.record_read",
	"security.key_created", "security.key_revoked", "governance.model_approved", "monitoring.log_created", "monitoring.source_started",
	"monitoring.source_stopped", "monitoring.heartbeat", "monitoring.log_gap", "monitoring.tail_discarded", "monitoring.clock_stepped",
	"monitoring.insecure_listener", "compliance.day_key_opened", "compliance.day_key_destroyed", "compliance.erasure_requested",
	"compliance.erasure_completed",
}

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
	v := &eventsView{frame: p.frame("Events", "events", ""), Filter: f, Rows: page.Rows, More: page.More, Types: slices.Clone(eventTypes)}
	if len(v.Rows) > 0 {
		v.Older = v.Rows[0].Position().String()
	}
	slices.Reverse(v.Rows)
	if t := f.get("type"); t != "" && !slices.Contains(v.Types, t) {
		v.Types = append(v.Types, t)
	}
	p.show(w, r, http.StatusOK, eventsPage(v))
}
