package console

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

// views are the ways to look at an exchange, each with its key.
var views = []viewName{{"", "Conversation"}, {"raw", "Raw"}, {"headers", "Headers"}, {"json", "JSON"}, {"lineage", "Lineage"}}

type viewName struct{ Name, Words string }

// exchangeView is the page of an exchange, or of an event.
type exchangeView struct {
	frame
	X    *serve.Exchange
	View string
	Made *serve.Lineage // of the view of that name
}

// views are those of an exchange; an event that belongs to no call has no lineage.
func (v *exchangeView) views() []viewName {
	if v.X.Kind == "event" {
		return views[:len(views)-1]
	}
	return views
}

func (p *pages) exchange(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for name := range q {
		if name != "view" && name != "reveal" {
			p.failed(w, r, &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("this page knows no %q", name), Hint: "it knows view and reveal"})
			return
		}
	}
	view := q.Get("view")
	if !slices.ContainsFunc(views, func(v viewName) bool { return v.Name == view }) {
		p.failed(w, r, &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("there is no view %q", view), Hint: "there are raw, headers, json and lineage; without one it is the conversation"})
		return
	}
	x, err := p.r.Exchange(r.Context(), serve.ActorOf(r), r.PathValue("id"), serve.Options{Reveal: q.Get("reveal") == "1"})
	if err != nil {
		p.failed(w, r, err)
		return
	}
	title := x.ID.String()[:12]
	if x.Kind == "event" {
		title = x.Title
	}
	v := &exchangeView{frame: p.frame(title, "exchanges", ""), X: x, View: view}
	if x.Kind == "event" {
		v.Page = "events"
	}
	if view == "lineage" {
		if v.Made, err = p.r.Lineage(r.Context(), serve.ActorOf(r), x.ID.String()); err != nil {
			p.failed(w, r, err)
			return
		}
	}
	p.show(w, r, http.StatusOK, exchangePage(v))
}

// exchangeLive says when there is more to see of an exchange than a page shows.
func (p *pages) exchangeLive(w http.ResponseWriter, r *http.Request) {
	id, err := steno.ParseID(r.PathValue("id"))
	if err != nil {
		p.failed(w, r, &serve.Error{Status: http.StatusBadRequest, Message: err.Error()})
		return
	}
	changes, err := p.r.Follow(r.Context(), serve.ActorOf(r), serve.Query{Exchange: id, Limit: 1000}, true)
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
		if !lines.put(struct {
			Leaf uint64 `json:"leaf"`
		}{c.Event.Leaf}) {
			return
		}
	}
}

// to is the address of this exchange in another view; whether secrets are shown stays as it is.
func (v *exchangeView) to(view string) templ.SafeURL {
	return v.address(view, v.X.Revealed)
}

func (v *exchangeView) address(view string, reveal bool) templ.SafeURL {
	q := map[string][]string{}
	if view != "" {
		q["view"] = []string{view}
	}
	if reveal {
		q["reveal"] = []string{"1"}
	}
	return address("/exchanges/"+v.X.ID.String(), q)
}

// LastLeaf is the newest record that the page shows.
func (v *exchangeView) LastLeaf() string {
	if n := len(v.X.Records); n > 0 {
		return fmt.Sprint(v.X.Records[n-1].Leaf)
	}
	return ""
}

// stepMeans says what a step is, for whoever has not read the manual.
var stepMeans = map[string]string{
	"received": "The request was read from the client.", "identity": "The key was looked up, and whose data it is.",
	"prompt": "The body was taken apart: messages, tools, parameters.", "model": "The upstream was chosen, and the request made durable before it went there.",
	"checks_in": "Checks looked at what is new in the request.", "answer": "The model answered.", "output": "Checks looked at the answer, and it was made durable before its end left.",
	"alerts": "Alerts about this exchange.",
}

// lane is a step's place in the time of the whole exchange.
type lane struct {
	serve.Step
	X, W string // percent
	Took string // "" where it took no time of its own
	Icon string
}

// lanes are the steps to scale.
func lanes(x *serve.Exchange) []lane {
	var from, to time.Time
	for _, s := range x.Steps {
		if s.Start.IsZero() || s.Name == "alerts" { // alerts come when the exchange is over
			continue
		}
		if from.IsZero() || s.Start.Before(from) {
			from = s.Start
		}
		if s.End.After(to) {
			to = s.End
		}
	}
	whole := max(float64(to.Sub(from)), 1)
	at := func(t time.Time) float64 { return min(max(100*float64(t.Sub(from))/whole, 0), 99) }
	out := make([]lane, len(x.Steps))
	for i, s := range x.Steps {
		out[i] = lane{Step: s, Icon: map[string]string{"ok": "done", "refused": "refused", "blocked": "refused", "failed": "failed", "open": "open"}[s.Outcome]}
		if s.Start.IsZero() {
			continue
		}
		x0 := at(s.Start)
		out[i].X, out[i].W = fmt.Sprintf("%.2f%%", x0), fmt.Sprintf("%.2f%%", max(min(at(s.End), 100)-x0, 1))
		if s.End.After(s.Start) {
			out[i].Took = took(s.End.Sub(s.Start))
		}
	}
	return out
}

// known says who told steno whose data it is.
func known(source string) string {
	switch source {
	case "header":
		return "asserted by the application in x-steno-user"
	case "safety_identifier", "user", "metadata.user_id":
		return "from the request's " + source
	case "key":
		return "the user of the gateway key"
	case "tenant":
		return "nobody was named: the tenant's own"
	case "":
		return ""
	}
	return "from " + source
}

// asserted says that a member came from the application.
func asserted(who *steno.Identity, name string) bool {
	return slices.ContainsFunc(who.Asserted, func(a string) bool {
		return a == name || strings.HasSuffix(a, "."+name) || strings.HasSuffix(a, "-"+name)
	})
}

// parameter is a setting of the request.
type parameter struct{ Name, Value string }

func parameters(m *steno.Model) []parameter {
	out := make([]parameter, 0, len(m.Parameters))
	for k, v := range m.Parameters {
		out = append(out, parameter{k, string(v)})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// headers are the lines of a head, sorted.
func headers(h http.Header) []parameter {
	var out []parameter
	for k, list := range h {
		for _, v := range list {
			out = append(out, parameter{k, v})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

func recordJSON(r *serve.Record) string {
	if len(r.Public) > 0 {
		return pretty(r.Public)
	}
	return prettyOf(r.Event)
}

// rung is one step on the way from a leaf to the root.
type rung struct {
	Level                            int
	Sibling                          string
	Left                             bool // the sibling stands left
	Node                             string
	Y, NodeX, SiblingX, LabelX, MidY string
	Anchor                           string
}

// ladder follows a proof from the leaf up, and says for each level what was hashed with what (RFC 6962, 2.1.1). It is
// drawn from what the reader has verified; it is no verification.
func ladder(p *serve.Proof) []rung {
	node, err := hex.DecodeString(p.LeafHash)
	if err != nil || p.Size == 0 {
		return nil
	}
	var out []rung
	fn, sn := p.Index, p.Size-1
	for i, s := range p.Path {
		sibling, err := hex.DecodeString(s)
		if err != nil {
			return nil
		}
		g := rung{Level: i + 1, Sibling: s, Left: fn&1 == 1 || fn == sn}
		h := sha256.New()
		h.Write([]byte{1})
		if g.Left {
			h.Write(sibling)
			h.Write(node)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			h.Write(node)
			h.Write(sibling)
		}
		fn, sn = fn>>1, sn>>1
		node = h.Sum(nil)
		g.Node = hex.EncodeToString(node)
		out = append(out, g)
	}
	const pitch = 34
	for i := range out {
		g := &out[i]
		y := 18 + pitch*(len(out)-1-i) // of this node; the leaf's is the lowest
		g.Y, g.MidY, g.NodeX = fmt.Sprint(y), fmt.Sprint(y+pitch), "150"
		g.SiblingX, g.LabelX, g.Anchor = "230", "240", "start"
		if g.Left {
			g.SiblingX, g.LabelX, g.Anchor = "70", "60", "end"
		}
	}
	return out
}

func ladderHeight(rungs []rung) string { return fmt.Sprint(36 + 34*len(rungs)) }
func ladderFoot(rungs []rung) string   { return fmt.Sprint(18 + 34*len(rungs)) }

// compact is JSON on one line, short enough for a column.
func compact(s string) string {
	const most = 90
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// neighbours is everything around a point in time.
func neighbours(t time.Time) templ.SafeURL {
	return address("/events", map[string][]string{
		"since": {t.Add(-time.Minute).UTC().Format(time.RFC3339)}, "until": {t.Add(time.Minute).UTC().Format(time.RFC3339)},
	})
}

func stepOutcome(s string) string {
	switch s {
	case "none":
		return "did not take place"
	case "open":
		return "not known yet"
	}
	return s
}

func documentName(d *serve.Document) string {
	for _, s := range []string{d.Title, d.ID, d.VectorID, d.Hash} {
		if s != "" {
			return s
		}
	}
	return "document without a name"
}

// documentKey is what a document is searched for by.
func documentKey(d *serve.Document) string { return cmp.Or(d.ID, d.VectorID, d.Title) }

func documentMembers(d *serve.Document) []parameter {
	var out []parameter
	for _, m := range []parameter{
		{"id", d.ID},
		{"version", d.Version},
		{"title", d.Title},
		{"index", d.Index},
		{"vector", d.VectorID},
		{"chunk", d.Chunk},
		{"hash", d.Hash},
		{"known from", spaced(d.Origin)},
	} {
		if m.Value != "" {
			out = append(out, m)
		}
	}
	if d.Score != nil {
		out = append(out, parameter{"score", fmt.Sprint(*d.Score)})
	}
	if d.Leaf > 0 {
		out = append(out, parameter{"leaf", number(d.Leaf)})
	}
	return out
}

func usageWords(source string) string {
	switch source {
	case "reported":
		return "as the provider reported"
	case "partial":
		return "reported in part: the answer did not come to its end"
	}
	return source
}

func finishes(list []string) string { return "finish reason " + strings.Join(list, ", ") }

// checkWords is a check's verdict.
func checkWords(c *steno.Check, x *serve.Exchange) string {
	if c.Outcome != "done" {
		return "not done: " + c.Reason
	}
	n := 0
	for _, f := range x.Findings {
		if f.Source == c.Name && f.Direction == c.Direction {
			n++
		}
	}
	verdict := "nothing found"
	if n > 0 {
		verdict = count(n, "finding")
	}
	return verdict + ", " + took(time.Duration(c.Micros)*time.Microsecond)
}

func findingWords(f *serve.Finding) string {
	s := map[string]string{"in": "in the request", "out": "in the answer"}[f.Direction]
	if f.Score > 0 {
		s += fmt.Sprintf(", score %.2f", f.Score)
	}
	return s + ", by " + f.Source + " " + f.Version + ", action " + f.Action
}

func rawAddress(v *exchangeView, side string) templ.SafeURL {
	q := map[string][]string{}
	if v.X.Revealed {
		q["reveal"] = []string{"1"}
	}
	return address("/api/exchanges/"+v.X.ID.String()+"/raw/"+side, q)
}

func headLine(h *serve.Head) string {
	if h.Status > 0 {
		return strings.TrimSpace(fmt.Sprintf("%s %d %s", h.Proto, h.Status, http.StatusText(h.Status)))
	}
	path := h.Path
	if h.Query != "" {
		path += "?" + h.Query
	}
	return strings.TrimSpace(h.Method + " " + path + " " + h.Proto)
}

func pathWords(p *serve.Proof) string {
	if len(p.Path) == 1 {
		return "1 hash"
	}
	return number(len(p.Path)) + " hashes"
}

func bodyWords(b *serve.Body) string {
	s := size(b.Bytes) + " on the wire"
	if b.Encoding != "" {
		s += ", encoded with " + b.Encoding
	}
	return s
}

func sealedWords(r *serve.Record) string {
	if r.Sealed == 0 {
		return " · public"
	}
	s := " · " + size(r.Sealed) + " sealed"
	if r.DayKey > 0 {
		s += " under day key " + number(r.DayKey)
	}
	return s
}

func priceWords(c *steno.Cost) string {
	s := "by the price since " + c.Date
	if c.State == "partial" {
		s += ", of the part that is priced"
	}
	return s
}

func missingWords(m *serve.Missing) string {
	s := "Leaf " + number(m.Leaf)
	if m.Section != "" {
		s += ", " + m.Section
	}
	s += ": " + m.Why
	if m.Bytes > 0 {
		s += " (" + size(m.Bytes) + ")"
	}
	return s
}
