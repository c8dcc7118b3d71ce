package serve

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/index"
)

const (
	maxTranscript = 32 << 20 // a larger body is not taken apart into turns
	// MaxText is how much of a body is shown as text; Raw has all of it.
	MaxText = 1 << 20
)

// Exchange returns all that the log says of an exchange, or of one event, named by its id, by the provider's id of its
// answer, or by the unique beginning of one of these. It is opened from the log and proven now.
func (r *Reader) Exchange(ctx context.Context, who Actor, id string, o Options) (*Exchange, error) {
	entries, name, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	x, err := r.assemble(entries, name, o)
	if err != nil {
		return nil, err
	}
	x.Asked = id
	if err := r.proveAll(ctx, entries, x); err != nil {
		return nil, err
	}
	acc := access{what: "show", ids: []steno.ID{x.ID}, user: x.User, rows: 1, reveal: o.Reveal}
	if err := r.audit.shown(ctx, who, acc); err != nil {
		return nil, err
	}
	return x, nil
}

// found is what an id or its beginning names.
type found struct {
	id       steno.ID
	exchange bool
}

// find reads the records that an id or its beginning names.
func (r *Reader) find(ctx context.Context, id string) ([]*entry, found, error) {
	if id == "" {
		return nil, found{}, badRequest("give the id of an exchange or event, or its first digits", "no id was given")
	}
	f, err := r.lookUp(ctx, id)
	if err != nil {
		return nil, found{}, err
	}
	name := found{id: f.Exchange, exchange: !f.Exchange.IsZero()}
	slices.Sort(f.Leaves)
	entries := make([]*entry, 0, len(f.Leaves))
	for _, i := range f.Leaves {
		e, err := r.entry(i, allSections)
		if err != nil {
			return nil, name, err
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return nil, name, &Error{Status: http.StatusNotFound, Message: "nothing in the log has the id " + quote(id)}
	}
	if !name.exchange || !slices.ContainsFunc(entries, (*entry).ofCall) {
		name = found{id: entries[0].leaf.Record} // an event that belongs to no call, or to one of which there is no record
	}
	return entries, name, nil
}

// assemble puts an exchange together from its records.
func (r *Reader) assemble(entries []*entry, name found, o Options) (*Exchange, error) {
	c := newCall(entries)
	request, err := c.wire(sideRequest)
	if err != nil {
		return nil, err
	}
	response, err := c.wire(sideResponse)
	if err != nil {
		return nil, err
	}
	m, err := r.secretsOf(c, request, response)
	if err != nil {
		return nil, err
	}
	m.reveal = o.Reveal
	x := &Exchange{Kind: "event", Demo: r.cfg.Demo, Revealed: o.Reveal, Turns: c.turns(request, response)}
	if name.exchange {
		x.Kind = "exchange"
	}
	for i := range x.Turns {
		t := &x.Turns[i]
		t.Name, t.ID = m.text(t.Name), m.text(t.ID)
		for k := range t.Parts {
			m.part(&t.Parts[k], t.Side)
		}
	}
	x.Masked = m.hidden
	for _, e := range entries {
		if e.opened != nil {
			ev, err := masked(m, &e.opened.Event)
			if err != nil {
				return nil, fmt.Errorf("couldn't mask the secrets in record %d: %w", e.index, err)
			}
			e.opened.Event = *ev
		}
		x.Records = append(x.Records, e.record())
		x.Missing = append(x.Missing, e.missing()...)
	}
	c.facts(x, name)
	for _, w := range []struct {
		of *wire
		to **Body
	}{{request, &x.Request}, {response, &x.Response}} {
		if *w.to, err = w.of.shown(m); err != nil {
			return nil, err
		}
	}
	return x, nil
}

// shown describes a direction, with its text.
func (w *wire) shown(m *masks) (*Body, error) {
	b := w.body()
	if b == nil {
		return nil, nil
	}
	b.Secrets = m.count(w.side, w.plain)
	var err error
	if b.Head, err = masked(m, w.head); err != nil {
		return nil, fmt.Errorf("couldn't mask the secrets in the head of the %s: %w", w.side, err)
	}
	text := m.body(w.side, w.plain)
	if !utf8.Valid(text) {
		return b, nil
	}
	if len(text) > MaxText {
		b.Cut = true
		for text = text[:MaxText]; len(text) > 0 && !utf8.Valid(text); {
			text = text[:len(text)-1]
		}
	}
	b.Text = string(text)
	return b, nil
}

// dialectCall is the kind of call, as the records say it.
func (c *call) dialectCall() dialect.Call {
	for _, e := range []*entry{c.request, c.response} {
		if ev := e.event(); ev != nil && ev.Model != nil && ev.Model.Dialect != "" {
			return dialect.Call{Dialect: ev.Model.Dialect, API: ev.Model.API, Operation: ev.Model.Operation, Stream: ev.Model.Stream}
		}
	}
	return dialect.Call{}
}

// secretsOf gathers what checks found in the two bodies, and in the records that hold pieces of them: a history is checked
// when it is new, and its secrets are no less secret when it is sent again.
func (r *Reader) secretsOf(c *call, request, response *wire) (*masks, error) {
	m := &masks{}
	m.gather(c, request, response)
	seen := map[uint64]bool{}
	for _, e := range c.entries {
		seen[e.index] = true
	}
	for _, e := range c.entries {
		if e.opened == nil {
			continue
		}
		for _, i := range e.opened.From {
			if seen[i] {
				continue
			}
			seen[i] = true
			if err := r.secretsAt(m, i); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// secretsAt adds the words of the secrets that were found in an earlier record.
func (r *Reader) secretsAt(m *masks, i uint64) error {
	e, err := r.entry(i, steno.SectionMetadata)
	if err != nil {
		return err
	}
	ev := e.event()
	if ev == nil || ev.Safety == nil || !slices.ContainsFunc(ev.Safety.Findings, func(f steno.Finding) bool { return f.Flag == "secret" }) {
		return nil
	}
	if e, err = r.entry(i, allSections); err != nil {
		return err
	}
	old := &masks{}
	c := newCall([]*entry{e})
	request, err := c.wire(sideRequest)
	if err != nil {
		return err
	}
	response, err := c.wire(sideResponse)
	if err != nil {
		return err
	}
	old.gather(c, request, response)
	for _, s := range old.secrets {
		m.addSecret(s.words, s.rule)
	}
	return nil
}

func (m *masks) gather(c *call, request, response *wire) {
	var in, out []steno.Finding
	for _, e := range []*entry{c.request, c.response} {
		if ev := e.event(); ev != nil && ev.Safety != nil {
			for _, f := range ev.Safety.Findings {
				if f.Span != nil && f.Span.Body == sideResponse {
					out = append(out, f)
				} else if f.Span != nil {
					in = append(in, f)
				}
			}
		}
		if c.request == c.response {
			break
		}
	}
	call := c.dialectCall()
	if len(in) > 0 {
		m.find(sideRequest, request.plain, call.ParseRequest(request.plain, request.headers()).Texts, in)
	}
	if len(out) > 0 {
		status := http.StatusOK
		if response.head != nil {
			status = response.head.Status
		}
		m.find(sideResponse, response.plain, call.ParseResponse(status, response.headers(), response.plain, false).Texts, out)
	}
}

func (w *wire) headers() http.Header {
	if w.head == nil || w.head.Headers == nil {
		return http.Header{}
	}
	return w.head.Headers
}

// facts fills in what the events say.
func (c *call) facts(x *Exchange, name found) {
	x.Row = Row{ID: name.id, Flags: []string{}}
	first := c.entries[0]
	x.Time = time.Unix(0, first.leaf.SourceAt).UTC()
	if ev := first.event(); ev != nil {
		x.Time = ev.Time.UTC()
	}
	x.Title = x.Records[0].Type
	flags := map[steno.Flag]bool{}
	for _, e := range c.entries {
		ev := e.event()
		if ev == nil {
			continue
		}
		for _, f := range ev.Flags {
			flags[f] = true
		}
		c.merge(x, e, ev)
	}
	for _, f := range steno.Flags {
		if flags[f] {
			x.Flags = append(x.Flags, string(f))
		}
	}
	if x.Who != nil {
		x.User, x.Conversation, x.Role, x.Team, x.Tenant = x.Who.User, x.Who.Conversation, x.Who.Role, x.Who.Team, x.Who.Tenant
		x.Key, x.Address = x.Who.Key, x.Who.Address
	}
	if m := x.ModelUsed; m != nil {
		x.Model, x.AnsweredModel = m.Asked, m.Answered
		x.Provider, x.Operation, x.API = m.Provider, m.Operation, m.API
	}
	if x.Kind == "exchange" {
		c.outcome(x)
		x.Steps = c.steps(x)
	}
}

// merge adds what one record says. What the request's record says of who and what stands; the answer's adds to it.
func (c *call) merge(x *Exchange, e *entry, ev *steno.Event) {
	if ev.Identity != nil && (x.Who == nil || e == c.request) {
		x.Who = ev.Identity
	}
	if ev.Prompt != nil && x.Prompt == nil {
		x.Prompt = ev.Prompt
	}
	if ev.Result != nil && (x.Result == nil || e == c.response) {
		x.Result = ev.Result
	}
	if m := ev.Model; m != nil {
		if x.ModelUsed == nil {
			both := *m
			x.ModelUsed = &both
		} else {
			u := x.ModelUsed
			for _, s := range []struct {
				to   *string
				from string
			}{
				{&u.Answered, m.Answered},
				{&u.Version, m.Version},
				{&u.VersionSource, m.VersionSource},
				{&u.Fingerprint, m.Fingerprint},
				{&u.ServiceTier, m.ServiceTier},
				{&u.Asked, m.Asked},
				{&u.Upstream, m.Upstream},
				{&u.Server, m.Server},
			} {
				if *s.to == "" {
					*s.to = s.from
				}
			}
		}
	}
	if t := ev.Timing; t != nil && (e == c.request || e == c.response || x.Timing == nil) {
		if x.Timing == nil {
			both := *t
			x.Timing = &both
		} else {
			received, steps := x.Timing.Received, x.Timing.Steps
			both := *t
			both.Steps = append(slices.Clone(steps), t.Steps...)
			if !received.IsZero() {
				both.Received = received
			}
			x.Timing = &both
		}
	}
	if ev.Safety != nil && ev.Type != "security.alert" { // an alert says again what the record says that it points to
		x.Checks = append(x.Checks, ev.Safety.Checks...)
		for _, f := range ev.Safety.Findings {
			x.Findings = append(x.Findings, Finding{f, e.index})
		}
	}
	if ev.Data != nil {
		for _, d := range ev.Data.Documents {
			x.Documents = append(x.Documents, Document{d, e.index})
		}
	}
}

func (c *call) outcome(x *Exchange) {
	x.Status = index.StatusOpen
	res := x.Result
	switch {
	case c.response != nil && c.response.erased != "", c.response == nil && c.request != nil && c.request.erased != "":
		x.Status = index.StatusErased
	case c.response != nil && res != nil && res.End != "":
		x.Status = string(res.End)
	case c.response != nil:
		x.Status = string(steno.EndUnknown)
	case c.request == nil && res != nil && res.End != "": // submitted, not seen
		x.Status = string(res.End)
	}
	if res != nil && x.Status != index.StatusOpen {
		x.ResponseID, x.HTTPStatus = res.ID, res.Status
		if res.Usage != nil {
			x.InputTokens, x.OutputTokens = res.Usage.Input, res.Usage.Output
		}
		if res.Cost != nil {
			cost := res.Cost.USD
			if cost == "" {
				cost = index.Unpriced
			}
			x.Cost = &cost
		}
	}
	if t := x.Timing; t != nil && t.LatencyMS > 0 {
		x.LatencyMS = &t.LatencyMS
	}
}

// Raw is the exact bytes of one direction.
type Raw struct {
	ID    steno.ID
	Side  string
	Bytes []byte
	Body  *Body
}

// Raw returns the bytes of a direction as they were on the wire, all parts joined. Where a check found a secret in them
// they are given only when secrets are asked for: bytes with a mask in them are not what was on the wire.
func (r *Reader) Raw(ctx context.Context, who Actor, id, side string, o Options) (*Raw, error) {
	if side != sideRequest && side != sideResponse {
		return nil, badRequest("", "there is no %q; ask for request or response", side)
	}
	entries, name, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	c := newCall(entries)
	request, err := c.wire(sideRequest)
	if err != nil {
		return nil, err
	}
	response, err := c.wire(sideResponse)
	if err != nil {
		return nil, err
	}
	w := request
	if side == sideResponse {
		w = response
	}
	switch b := w.body(); {
	case w.missing:
		return nil, &Error{Status: http.StatusGone, Message: "the " + side + " of " + name.id.String() + " is erased, in whole or in part", Hint: "show says which parts"}
	case b == nil && side == sideResponse && c.response == nil:
		return nil, &Error{Status: http.StatusNotFound, Message: "the answer of " + name.id.String() + " is not recorded yet"}
	case b == nil:
		return nil, &Error{Status: http.StatusNotFound, Message: "no " + side + " is recorded of " + name.id.String()}
	}
	m, err := r.secretsOf(c, request, response)
	if err != nil {
		return nil, err
	}
	out := &Raw{ID: name.id, Side: side, Bytes: bytes.Clone(w.raw), Body: w.body()}
	if out.Body.Secrets = m.count(side, w.plain); out.Body.Secrets > 0 && !o.Reveal {
		return nil, &Error{
			Status: http.StatusForbidden, Message: fmt.Sprintf("a check found %s in the %s", plural(out.Body.Secrets, "secret"), side),
			Hint: "--reveal (or ?reveal=1) gives the exact bytes with it, and the record of this read says so",
		}
	}
	acc := access{what: "raw " + side, ids: []steno.ID{name.id}, rows: 1, reveal: o.Reveal && out.Body.Secrets > 0}
	if ev := c.entries[0].event(); ev != nil && ev.Identity != nil {
		acc.user = ev.Identity.User
	}
	return out, r.audit.read(ctx, who, acc)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
