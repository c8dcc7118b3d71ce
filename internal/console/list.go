package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno/internal/serve"
)

const alertRows = 4 // in the strip; the rest is on the events page

// listView is the page of exchanges.
type listView struct {
	frame
	Filter filter
	Range  string // the range in force, though the address may not say it
	Rows   []serve.Row
	More   bool
	Older  string // position of the oldest row
	Alerts []serve.EventRow
	Chart  *chart
	Near   []string // models or users that begin as the filter does, where nothing is it
}

// choose picks the smallest range that shows something, where none is asked for.
func (p *pages) choose(r *http.Request, who serve.Actor, f filter, now time.Time) (string, error) {
	for _, c := range []struct {
		name string
		step time.Duration
	}{{"1h", time.Minute}, {"24h", time.Hour}, {"7d", day}} {
		g := filter{f.path, url.Values{}}
		for k, v := range f.values {
			g.values[k] = v
		}
		g.values.Set("since", c.name)
		q, err := g.query(now)
		if err != nil {
			return "", err
		}
		q.Before = serve.Query{}.Before
		n, err := p.r.Count(r.Context(), who, q, c.step)
		if err != nil {
			return "", err
		}
		if len(n.Steps) > 0 && c.name == "1h" && n.Steps[0].Start.After(now.Add(-14*time.Minute)) {
			return "15m", nil
		}
		if len(n.Steps) > 0 {
			return c.name, nil
		}
	}
	return rangeAll, nil
}

func (p *pages) list(w http.ResponseWriter, r *http.Request) {
	now, who := time.Now(), serve.ActorOf(r)
	f, err := readFilter(r, "/")
	if err == nil && (f.get("type") != "" || f.get("exchange") != "") {
		err = &serve.Error{Status: http.StatusBadRequest, Message: "type and exchange are filters of events", Hint: "open /events"}
	}
	if err != nil {
		p.failed(w, r, err)
		return
	}
	v := &listView{frame: p.frame("Exchanges", "exchanges", f.words()), Filter: f, Range: f.get("since")}
	if v.Range == "" && f.get("until") == "" {
		if v.Range, err = p.choose(r, who, f, now); err != nil {
			p.failed(w, r, err)
			return
		}
		f.values.Set("since", v.Range)
	}
	if err := p.fill(r, who, v, now); err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, listPage(v))
}

func (p *pages) fill(r *http.Request, who serve.Actor, v *listView, now time.Time) error {
	q, err := v.Filter.query(now)
	if err != nil {
		return err
	}
	page, err := p.r.Exchanges(r.Context(), who, q)
	if err != nil {
		return err
	}
	v.Rows, v.More = page.Rows, page.More
	if len(v.Rows) > 0 {
		v.Older = v.Rows[0].Position().String()
	}
	slices.Reverse(v.Rows)
	if v.Chart, err = p.newChart(r.Context(), who, q, v.Filter, now); err != nil {
		return err
	}
	alerts, err := p.r.Events(r.Context(), who, serve.Query{Type: "security.alert", Since: q.Since, Until: q.Until, Limit: alertRows + 1})
	if err != nil {
		return err
	}
	v.Alerts = alerts.Rows
	slices.Reverse(v.Alerts)
	if len(v.Rows) > 0 {
		return nil
	}
	for _, name := range []string{"user", "model"} {
		if s := v.Filter.get(name); s != "" {
			near, err := p.r.Values(r.Context(), who, name, s)
			if err != nil {
				return err
			}
			for _, n := range near {
				if n != s {
					v.Near = append(v.Near, name+":"+n)
				}
			}
		}
	}
	return nil
}

// Live says whether rows may come in at the top: not on an older page, nor in a range that is over.
func (v *listView) Live() bool {
	return v.Filter.get("before") == "" && v.Filter.get("until") == ""
}

// fresh is one row for a page that is open already.
type fresh struct {
	ID    string `json:"id"`
	State string `json:"state"`
	HTML  string `json:"html"`
}

// live streams the rows of a list as they come and change, one JSON object a line.
func (p *pages) live(w http.ResponseWriter, r *http.Request) {
	f, err := readFilter(r, "/")
	var q serve.Query
	if err == nil {
		q, err = f.query(time.Now())
	}
	if err != nil {
		p.failed(w, r, err)
		return
	}
	changes, err := p.r.Follow(r.Context(), serve.ActorOf(r), q, false)
	if err != nil {
		p.failed(w, r, err)
		return
	}
	lines := newStream(w)
	for c, err := range changes {
		if err != nil {
			lines.fail(err)
			return
		}
		var b bytes.Buffer
		if err := exchangeRow(f, c.Row, time.Now()).Render(r.Context(), &b); err != nil {
			return // the reader left
		}
		if !lines.put(fresh{c.Row.ID.String(), rowState(c.Row), b.String()}) {
			return
		}
	}
}

// stream writes one JSON object a line, each at once.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

func newStream(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	s := &stream{w, http.NewResponseController(w)}
	_ = s.rc.Flush() // the next write tells
	return s
}

func (s *stream) put(v any) bool {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	if _, err = s.w.Write(append(b, '\n')); err != nil {
		return false
	}
	return s.rc.Flush() == nil
}

func (s *stream) fail(err error) {
	e := errorOf(err)
	s.put(struct {
		Error string `json:"error"`
		Hint  string `json:"hint,omitempty"`
	}{e.Message, e.Hint})
}

// rowState changes when what a row shows does.
func rowState(r *serve.Row) string {
	return fmt.Sprint(r.Status, r.Flags, r.AnsweredModel)
}

// searchFields are the fields that the search box knows.
var searchFields = []struct{ Name, Example string }{
	{"user", "whose data it is"},
	{"model", "asked or answered"},
	{"flag", "what a check found"},
	{"status", "how it ended"},
	{"conversation", "an id"},
	{"since", "2h, 3d, 2026-11-23"},
	{"until", "30m, 2026-11-23"},
}

// terms splits a search into words; quotes keep spaces together.
func terms(s string) []string {
	var out []string
	var b strings.Builder
	quoted := false
	for _, c := range s + " " {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			if term := strings.TrimSpace(b.String()); term != "" {
				out = append(out, term)
			}
			b.Reset()
		default:
			b.WriteRune(c)
		}
	}
	if term := strings.TrimSpace(b.String()); term != "" {
		out = append(out, term)
	}
	return out
}

// search turns words into the address of what they mean.
func (p *pages) search(w http.ResponseWriter, r *http.Request) {
	to := url.Values{}
	for _, term := range terms(r.URL.Query().Get("q")) {
		name, value, ok := strings.Cut(term, ":")
		if !ok {
			http.Redirect(w, r, "/exchanges/"+url.PathEscape(term), http.StatusSeeOther)
			return
		}
		if !slices.ContainsFunc(searchFields, func(f struct{ Name, Example string }) bool { return f.Name == name }) {
			var names []string
			for _, f := range searchFields {
				names = append(names, f.Name)
			}
			p.failed(w, r, &serve.Error{
				Status: http.StatusBadRequest, Message: fmt.Sprintf("there is no field %q to search", name),
				Hint: "fields are " + strings.Join(names, ", ") + "; a word alone is an id or its beginning",
			})
			return
		}
		if slices.Contains(serve.Fields, name) && value != "" {
			near, err := p.r.Values(r.Context(), serve.ActorOf(r), name, value)
			if err != nil {
				p.failed(w, r, err)
				return
			}
			if len(near) == 1 {
				value = near[0] // the only one that begins so
			}
		}
		to.Set(name, value)
	}
	http.Redirect(w, r, string(address("/", to)), http.StatusSeeOther)
}

// completion is one thing that the search box may go on with.
type completion struct{ Text, Words string }

func (p *pages) complete(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query().Get("q")
	last := ""
	if !strings.HasSuffix(q, " ") {
		if t := terms(q); len(t) > 0 {
			last = t[len(t)-1]
		}
	}
	var out []completion
	name, value, ok := strings.Cut(last, ":")
	if !ok {
		for _, f := range searchFields {
			if strings.HasPrefix(f.Name, last) {
				out = append(out, completion{f.Name + ":", f.Example})
			}
		}
	} else if slices.Contains(serve.Fields, name) {
		values, err := p.r.Values(r.Context(), serve.ActorOf(r), name, value)
		if err != nil {
			p.failed(w, r, err)
			return
		}
		for _, v := range values[:min(len(values), 12)] {
			text := name + ":" + v
			if strings.Contains(v, " ") {
				text = name + `:"` + v + `"`
			}
			out = append(out, completion{Text: text})
		}
	}
	p.show(w, r, http.StatusOK, completions(out))
}

// subject is what an alert is about: an exchange, or itself where there is none.
func subject(e *serve.EventRow) string {
	if e.Exchange.IsZero() {
		return e.ID.String()
	}
	return e.Exchange.String()
}

// noModel says why there is no model.
func noModel(r *serve.Row) string {
	if r.Operation != "" {
		return spaced(r.Operation)
	}
	return "not named"
}

// shortAnswer leaves out what the model that answered has in common with the one asked for.
func shortAnswer(r *serve.Row) string {
	if rest, ok := strings.CutPrefix(r.AnsweredModel, r.Model); ok && r.Model != "" {
		return "…" + rest
	}
	return r.AnsweredModel
}

// Middle is halfway between the chart's ends.
func (c *chart) Middle() time.Time { return c.Since.Add(c.Until.Sub(c.Since) / 2) }

func stepWords(d time.Duration) string {
	switch {
	case d%day == 0:
		return count(int(d/day), "day")
	case d%time.Hour == 0:
		return count(int(d/time.Hour), "hour")
	case d%time.Minute == 0:
		return count(int(d/time.Minute), "minute")
	}
	return count(int(d/time.Second), "second")
}
