package capture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/foreign"
)

const maxEvent = 4 << 20 // bytes of one submitted event

// submission is one event of a request to the events API, on its way.
type submission struct {
	index   int
	id      string // of its record once accepted, else what the submitter called it
	reason  string // rejected, and why
	dup     bool
	blocked bool // recorded, and a check would have kept it from being forwarded
	ticket  *Ticket
	claim   *claim
	wire    *exchange     // of a call whose bytes came with it
	safety  *steno.Safety // that may ask for an alert
	settle  func(ok bool) // tells the table of open exchanges what became of it
}

// SubmitEvents is POST /v1/events: one event, an array of them, or JSON lines, each steno's own, a CloudEvent or the flat
// object of a hand-written log. What is good is recorded, durable before the answer; each other one is named with its
// reason. The same source, id and content again is a duplicate, other content under the same source and id a conflict.
func (g *Gateway) SubmitEvents(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, msg string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		writeJSON(w, map[string]any{"error": map[string]string{"message": msg}})
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		fail(http.StatusMethodNotAllowed, "events are submitted with POST; a gateway key reads nothing")
		return
	}
	who, ref := g.authorize(r, &Upstream{Name: "events", Credential: "-"})
	if ref != nil {
		if g.failures.admit(g.address(r), ref.code) {
			g.recordAuthFailures(g.address(r), ref.code, 1)
		}
		fail(ref.status, ref.message)
		return
	}
	body, taken, err := g.flight.readBody(r.Body, r.ContentLength, g.cfg.MaxBody)
	defer g.flight.give(taken)
	switch {
	case errors.Is(err, errTooLarge):
		fail(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than gateway.max_body (%d bytes); send fewer events at a time", g.cfg.MaxBody))
		return
	case errors.Is(err, errNoRoom):
		w.Header().Set("Retry-After", "1")
		fail(http.StatusServiceUnavailable, "too many bytes are under way; try again")
		return
	case err != nil:
		fail(http.StatusBadRequest, "the body broke off; nothing was recorded")
		return
	}
	plain, _ := dialect.Decode(body, r.Header.Get("Content-Encoding"), g.cfg.MaxBody)
	raws, err := splitRequest(r.Header, plain)
	if err != nil {
		fail(http.StatusBadRequest, err.Error())
		return
	}
	g.answerSubmissions(w, g.submitAll(r, who, raws))
}

// splitRequest cuts a body into its events, by what its headers say of it.
func splitRequest(h http.Header, body []byte) ([]json.RawMessage, error) {
	if foreign.BinaryCloudEvent(h) {
		one, err := foreign.StructuredCloudEvent(h, body)
		return []json.RawMessage{one}, err
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		media = "" // the first byte tells
	}
	first := byte(0)
	if b := bytes.TrimSpace(body); len(b) > 0 {
		first = b[0]
	}
	switch media {
	case "application/cloudevents+json":
		if first == '[' {
			return nil, errors.New("the body is an array: a batch of CloudEvents is application/cloudevents-batch+json")
		}
	case "application/cloudevents-batch+json":
		if first != '[' {
			return nil, errors.New("the body is no array: one CloudEvent alone is application/cloudevents+json")
		}
	case "application/x-ndjson", "application/jsonl", "application/x-jsonlines":
		if first != 0 && !json.Valid(body) {
			return splitLines(bytes.TrimSpace(body))
		}
	}
	return splitEvents(body)
}

// splitEvents cuts a body into its events: a JSON array, or values one after the other (one a line, or just one).
func splitEvents(body []byte) ([]json.RawMessage, error) {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return nil, errors.New("the body is empty; send one event, an array of events, or one event a line")
	}
	var out []json.RawMessage
	if body[0] == '[' {
		if err := json.Unmarshal(body, &out); err != nil {
			return nil, fmt.Errorf("the body is not a JSON array: %w", err)
		}
		return out, nil
	}
	if json.Valid(body) {
		return []json.RawMessage{body}, nil
	}
	return splitLines(body)
}

// splitLines cuts JSON lines: a line that is broken is rejected by itself, its neighbours count.
func splitLines(body []byte) ([]json.RawMessage, error) {
	var out []json.RawMessage
	s := bufio.NewScanner(bytes.NewReader(body))
	s.Buffer(make([]byte, 64<<10), maxEvent)
	for s.Scan() {
		if line := bytes.TrimSpace(s.Bytes()); len(line) > 0 {
			out = append(out, bytes.Clone(line))
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("line %d is longer than %d bytes; nothing was recorded", len(out)+1, maxEvent)
	}
	return out, nil
}

func (g *Gateway) submitAll(r *http.Request, who caller, raws []json.RawMessage) []*submission {
	subs := make([]*submission, len(raws))
	mine := map[[2]string]*submission{} // a repeated id within one request waits for its first, which we must finish
	for i, raw := range raws {
		subs[i] = g.submit(r, who, i, raw, mine)
	}
	for _, s := range subs {
		g.finish(r.Context(), s)
	}
	return subs
}

// finish waits until an accepted event is durable.
func (g *Gateway) finish(ctx context.Context, s *submission) {
	if s.ticket == nil {
		return
	}
	index, err := s.ticket.Wait(context.WithoutCancel(ctx))
	s.ticket = nil
	if s.settle != nil {
		s.settle(err == nil)
	}
	if err != nil {
		s.reason = "steno cannot write its log: " + gapReason(err) + "; send it again"
		s.claim.drop()
		g.metrics.logFailures.Inc()
		return
	}
	s.claim.keep(index)
	if s.wire != nil {
		s.wire.alert(s.safety, index)
	}
}

func (g *Gateway) submit(r *http.Request, who caller, i int, raw json.RawMessage, mine map[[2]string]*submission) *submission {
	s := &submission{index: i}
	d, err := foreign.Decode(raw)
	e := d.Submission
	if e.Origin == nil {
		e.Origin = &steno.Origin{}
	}
	if e.Origin.Source == "" && d.Flat {
		e.Origin.Source = flatSource(who)
	}
	s.id = e.Origin.ID
	switch {
	case err != nil:
		s.reason = err.Error()
	case e.Origin.Source == "" || e.Origin.ID == "":
		s.reason = `origin.source and origin.id are needed: they make the event idempotent, e.g. {"source":"billing-app","id":"42"}`
	default:
		if err := submittable(e); err != nil {
			s.reason = err.Error()
		}
	}
	if s.reason != "" {
		return s
	}
	name := [2]string{e.Origin.Source, e.Origin.ID}
	if first := mine[name]; first != nil {
		g.finish(r.Context(), first)
	}
	claimed, state, err := g.ids.claim(r.Context(), tenantOf(who), e.Origin.Source, e.Origin.ID, d.Content)
	switch {
	case err != nil:
		s.reason = "the request ended before the event was looked at; send it again"
		return s
	case state == idDuplicate:
		s.dup = true
		return s
	case state == idConflict:
		s.reason = "another event was recorded under this origin.source and origin.id; give this one an id of its own"
		return s
	}
	s.claim = claimed
	e.Origin.Content = hex.EncodeToString(claimed.content[:])
	ticket, err := g.recordSubmission(r, who, s, e)
	if err != nil {
		claimed.drop()
		s.reason = "it couldn't be sealed"
		g.cfg.Logger.Error("a submitted event could not be sealed", "error", err)
		return s
	}
	s.id, s.ticket, mine[name] = e.ID.String(), ticket, s
	return s
}

// recordSubmission makes the records of an event that may be recorded.
func (g *Gateway) recordSubmission(r *http.Request, who caller, s *submission, e *steno.Submission) (*Ticket, error) {
	x := &exchange{g: g, r: r, who: who}
	d := g.takeApart(x, e)
	g.stamp(x, &d.Event, e.Identity)
	e.ID = d.ID
	x.id = d.Exchange
	if x.safety != nil && !d.Imported { // of what was taken over there is nothing to be alarmed about now
		s.wire, s.safety = x, x.safety
	}
	if d.Type == "inference.request" && x.safety != nil && x.safety.Action == "block" {
		s.blocked = true
		d.Result = &steno.Result{End: steno.EndBlocked, EndDetail: "a check on the request"}
	}
	flags, settle := g.open.flags(x, d, s.blocked)
	s.settle = settle
	ticket, err := g.rec.Submit(d, flags)
	if err != nil && settle != nil {
		settle(false)
	}
	if err == nil && d.Result != nil && !d.Exchange.IsZero() && !d.Imported { // what was taken over was spent long ago
		g.spend(who, d.Time, d.Result)
	}
	return ticket, err
}

// flatSource is the source of a hand-written log that names none: who sends it.
func flatSource(who caller) string {
	if who.key != nil && who.key.User != "" {
		return who.key.User
	}
	return "audit.log"
}

func tenantOf(who caller) string {
	if who.key != nil {
		return who.key.Tenant
	}
	return ""
}

// submittable says whether the event may come from outside: valid by the catalogue, and not one that only steno makes.
func submittable(e *steno.Submission) error {
	if !e.ID.IsZero() {
		return errors.New("id is given by steno; your own goes into origin.id")
	}
	err := steno.Validate(&e.Event)
	if err == nil && !steno.Submittable(e.Type) {
		err = fmt.Errorf("events of type %s are made by steno alone", e.Type)
	}
	if err == nil {
		err = messagesFit(e)
	}
	return err
}

// messagesFit says whether the bytes of a call come with an event that speaks of them.
func messagesFit(e *steno.Submission) error {
	asks, answers := false, false
	switch e.Type {
	case "inference.request":
		asks = true
	case "inference.response", "inference.response_part":
		answers = true
	case "inference.call":
		asks, answers = true, true
	}
	switch p, r := e.Prompt, e.Result; {
	case e.Request != nil && !asks:
		return fmt.Errorf("/request is the bytes of a request: an event of type %s has none", e.Type)
	case e.Response != nil && !answers:
		return fmt.Errorf("/response is the bytes of an answer: an event of type %s has none", e.Type)
	case e.Request != nil && p != nil && (p.Input != nil || p.Instructions != nil || p.Definitions != nil):
		return errors.New("the words are given twice, in /request and in /prompt: give them once")
	case e.Response != nil && r != nil && r.Output != nil:
		return errors.New("the words are given twice, in /response and in /result: give them once")
	}
	return nil
}

// stamp sets what the submitter may not say itself, and marks what it asserts.
func (g *Gateway) stamp(x *exchange, e *steno.Event, given *steno.Identity) {
	now := time.Now().UTC()
	e.ID = steno.NewID(now)
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Exchange.IsZero() && strings.HasPrefix(e.Type, "inference.") {
		e.Exchange = e.ID
	}
	id := g.identify(x.r, x.who, x.parsed)
	if given != nil {
		for _, m := range []struct {
			name     string
			from, to *string
		}{
			{"user.id", &given.User, &id.User},
			{"steno.role", &given.Role, &id.Role},
			{"steno.team", &given.Team, &id.Team},
			{"gen_ai.conversation.id", &given.Conversation, &id.Conversation},
			{"session.id", &given.Session, &id.Session},
			{"client.address", &given.Address, &id.Address},
			{"user_agent.original", &given.UserAgent, &id.UserAgent},
		} {
			if *m.from != "" {
				*m.to = bounded(*m.from)
				if !slices.Contains(id.Asserted, m.name) {
					id.Asserted = append(id.Asserted, m.name)
				}
			}
		}
		if given.User != "" {
			id.UserSource = "event"
		}
	}
	e.Identity, x.identity = id, id
	if e.Safety != nil {
		for _, f := range e.Safety.Findings {
			if !slices.Contains(e.Flags, f.Flag) {
				e.Flags = append(e.Flags, f.Flag)
			}
		}
	}
}

func (g *Gateway) answerSubmissions(w http.ResponseWriter, subs []*submission) {
	type place struct {
		Index  int    `json:"index"`
		ID     string `json:"id,omitempty"`
		Reason string `json:"reason,omitempty"`
	}
	out := struct {
		Accepted   []string `json:"accepted"`
		Duplicates []place  `json:"duplicates"`
		Rejected   []place  `json:"rejected"`
		Blocked    []place  `json:"blocked,omitempty"` // of those accepted, the requests that the checks would not have let pass
	}{[]string{}, []place{}, []place{}, nil}
	for _, s := range subs {
		switch {
		case s.dup:
			out.Duplicates = append(out.Duplicates, place{Index: s.index, ID: s.id})
		case s.reason != "":
			out.Rejected = append(out.Rejected, place{s.index, s.id, s.reason})
		default:
			out.Accepted = append(out.Accepted, s.id)
			if s.blocked {
				out.Blocked = append(out.Blocked, place{s.index, s.id, "a check on the request"})
			}
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(subs) > 0 && len(out.Rejected) == len(subs) {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	writeJSON(w, out)
}

func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return // the client left; what is recorded is recorded
	}
}
