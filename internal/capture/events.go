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
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

const maxEvent = 4 << 20 // bytes of one submitted event

// submission is one event of a request to the events API, on its way.
type submission struct {
	index  int
	id     string // of its record once accepted, else what the submitter called it
	reason string // rejected, and why
	dup    bool
	ticket *Ticket
	claim  *claim
}

// SubmitEvents is POST /v1/events: one event, an array of them, or JSON lines. What is good is recorded, durable before
// the answer; each other one is named with its reason. The same source, id and content again is a duplicate, other content
// under the same source and id a conflict.
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
		if g.failures.admit(clientAddress(r.RemoteAddr), ref.code) {
			g.recordAuthFailures(clientAddress(r.RemoteAddr), ref.code, 1)
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
	raws, err := splitEvents(plain)
	if err != nil {
		fail(http.StatusBadRequest, err.Error())
		return
	}
	g.answerSubmissions(w, g.submitAll(r, who, raws))
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
	// JSON lines: a line that is broken is rejected by itself, its neighbours count.
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
	if err != nil {
		s.reason = "steno cannot write its log: " + gapReason(err) + "; send it again"
		s.claim.drop()
		g.metrics.logFailures.Inc()
		return
	}
	s.claim.keep(index)
}

func (g *Gateway) submit(r *http.Request, who caller, i int, raw json.RawMessage, mine map[[2]string]*submission) *submission {
	s := &submission{index: i}
	var e steno.Event
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		s.reason = "it is no event: " + err.Error()
		return s
	}
	if e.Origin == nil {
		e.Origin = &steno.Origin{}
	}
	s.id = e.Origin.ID
	if e.Origin.Source == "" || e.Origin.ID == "" {
		s.reason = `origin.source and origin.id are needed: they make the event idempotent, e.g. {"source":"billing-app","id":"42"}`
		return s
	}
	if err := submittable(&e); err != nil {
		s.reason = err.Error()
		return s
	}
	name := [2]string{e.Origin.Source, e.Origin.ID}
	if first := mine[name]; first != nil {
		g.finish(r.Context(), first)
	}
	claimed, state, err := g.ids.claim(r.Context(), tenantOf(who), e.Origin.Source, e.Origin.ID, compactJSON(raw))
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
	g.stamp(r, who, &e)
	ticket, err := g.rec.Submit(&steno.Draft{Event: e}, importedFlag(&e))
	if err != nil {
		claimed.drop()
		s.reason = "it couldn't be sealed"
		g.cfg.Logger.Error("a submitted event could not be sealed", "error", err)
		return s
	}
	s.id, s.ticket, mine[name] = e.ID.String(), ticket, s
	return s
}

func importedFlag(e *steno.Event) steno.LeafFlags {
	if e.Imported {
		return steno.FlagImported
	}
	return 0
}

func tenantOf(who caller) string {
	if who.key != nil {
		return who.key.Tenant
	}
	return ""
}

// submittable says whether the event may come from outside: valid by the catalogue, and not one that only steno makes.
func submittable(e *steno.Event) error {
	if !e.ID.IsZero() {
		return errors.New("id is given by steno; your own goes into origin.id")
	}
	err := steno.Validate(e)
	if err == nil && !steno.Submittable(e.Type) {
		err = fmt.Errorf("events of type %s are made by steno alone", e.Type)
	}
	return err
}

// stamp sets what the submitter may not say itself, and marks what it asserts.
func (g *Gateway) stamp(r *http.Request, who caller, e *steno.Event) {
	now := time.Now().UTC()
	e.ID = steno.NewID(now)
	if e.Time.IsZero() {
		e.Time = now
	}
	if e.Exchange.IsZero() && strings.HasPrefix(e.Type, "inference.") {
		e.Exchange = e.ID
	}
	given := e.Identity
	id := g.identify(r, who, nil)
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
	e.Identity = id
	if e.Safety != nil {
		for _, f := range e.Safety.Findings {
			if !slices.Contains(e.Flags, f.Flag) {
				e.Flags = append(e.Flags, f.Flag)
			}
		}
	}
}

// compactJSON is the content of an event, less its white space: what two submissions are compared by.
func compactJSON(raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return raw
	}
	return b.Bytes()
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
	}{[]string{}, []place{}, []place{}}
	for _, s := range subs {
		switch {
		case s.dup:
			out.Duplicates = append(out.Duplicates, place{Index: s.index, ID: s.id})
		case s.reason != "":
			out.Rejected = append(out.Rejected, place{s.index, s.id, s.reason})
		default:
			out.Accepted = append(out.Accepted, s.id)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if len(out.Rejected) == len(subs) {
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
