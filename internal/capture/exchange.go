package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// exchange is one call on its way through the eight steps.
type exchange struct {
	g        *Gateway
	w        http.ResponseWriter
	r        *http.Request
	id       steno.ID
	received time.Time

	up     *Upstream
	path   string
	call   dialect.Call
	who    caller
	body   []byte // of the request, as on the wire
	taken  int64  // bytes of the budget that it holds
	large  *spool // the body, once it waits on disk
	parsed *dialect.Request

	identity  *steno.Identity
	safety    *steno.Safety // on the way in
	documents []steno.Document
	steps     []steno.Step
	forwarded time.Time
	passed    bool // the log cannot be written and the operator chose to let calls pass
}

func (x *exchange) close() {
	x.g.flight.give(x.taken)
	if x.large != nil {
		if err := x.large.close(); err != nil {
			x.g.cfg.Logger.Warn("couldn't close a spool file", "error", err)
		}
	}
}

func (x *exchange) step(name string, start time.Time, outcome, detail string) {
	x.steps = append(x.steps, steno.Step{Name: name, Start: start, End: time.Now().UTC(), Outcome: outcome, Detail: detail})
}

// serve runs steps one to five, then the relay. Each way out has answered the client.
func (x *exchange) serve() {
	var routed bool
	x.up, x.path, x.call, routed = x.g.route(x.r)
	if !routed {
		x.unrouted()
		return
	}
	if ref := x.authorize(); ref != nil {
		x.unauthorized(ref)
		return
	}
	if upgrades(x.r.Header) {
		x.refuse(http.StatusNotImplemented, "not_supported", "this gateway does not record upgraded connections (WebSocket) yet, so it does not pass them")
		return
	}
	if why := x.brokenSignature(); why != "" {
		x.refuse(http.StatusForbidden, "signature_not_valid_upstream", why)
		return
	}
	if !x.readBody() {
		return
	}
	start := time.Now().UTC()
	plain, _ := dialect.Decode(x.body, x.r.Header.Get("Content-Encoding"), x.g.cfg.MaxBody)
	x.parsed = x.call.ParseRequest(plain, x.r.Header)
	if len(plain) != len(x.body) || (len(plain) > 0 && &plain[0] != &x.body[0]) {
		x.parsed.Pieces = wholeBody(x.body) // the wire's bytes count, not the decoded ones
	}
	x.step("prompt", start, "ok", "")
	x.identity = x.g.identify(x.r, x.who, x.parsed)
	x.documents = append(assertedDocuments(x.r.Header), x.parsed.Documents...)
	if k := x.who.key; k != nil && !k.mayAsk(x.parsed.Model.Asked) {
		x.refuse(http.StatusForbidden, "model_not_allowed", "the key "+strconv.Quote(k.ID)+" may not ask for the model "+strconv.Quote(x.parsed.Model.Asked)+"; it may ask for "+strings.Join(k.Models, ", "))
		return
	}
	if x.overBudget() {
		return
	}
	start = time.Now().UTC()
	x.safety = x.g.checkTexts(x.r.Context(), plain, x.parsed.Texts, "in", "request")
	if !x.decide() {
		return
	}
	if x.safety.Action == "block" {
		x.step("checks_in", start, "blocked", "")
		x.blocked()
		return
	}
	x.step("checks_in", start, "ok", "")
	if !x.recordRequest() {
		return
	}
	x.forward()
}

func (x *exchange) authorize() *refusal {
	start := x.received
	who, ref := x.g.authorize(x.r, x.up)
	x.who = who
	if ref == nil {
		x.step("identity", start, "ok", who.auth)
	}
	return ref
}

// readBody reads the whole request body before anything is forwarded: it is recorded first, and a transport that holds
// the inbound body cuts streams when the server closes it on the first byte of the answer.
func (x *exchange) readBody() bool {
	// A client that never finishes its body must not hold memory for ever. Recorders in tests have no deadline to set.
	rc := http.NewResponseController(x.w)
	if rc.SetReadDeadline(time.Now().Add(x.g.cfg.IdleTimeout)) == nil {
		defer rc.SetReadDeadline(time.Time{}) //nolint:errcheck // it was set a moment ago
	}
	body, taken, err := x.g.flight.readBody(x.r.Body, x.r.ContentLength, x.g.cfg.MaxBody)
	x.body, x.taken = body, taken
	switch {
	case err == nil:
		x.step("received", x.received, "ok", "")
		return true
	case errors.Is(err, errTooLarge):
		x.refuse(http.StatusRequestEntityTooLarge, "request_too_large", fmt.Sprintf("the body is larger than gateway.max_body (%d bytes)", x.g.cfg.MaxBody))
	case errors.Is(err, errNoRoom):
		x.w.Header().Set("Retry-After", "1")
		x.refuse(http.StatusServiceUnavailable, "overloaded", "too many bytes of other calls are under way; try again")
	default:
		// The client went away, or broke off its own body: nothing was asked, but what came is recorded.
		x.parsed = &dialect.Request{Pieces: wholeBody(body)}
		x.identity = x.g.identify(x.r, x.who, nil)
		x.single(&steno.Result{End: steno.EndClientGone, EndDetail: "the request's body broke off"})
		x.answer(http.StatusBadRequest, "invalid_request", "the request's body broke off")
	}
	return false
}

func wholeBody(b []byte) []steno.Piece {
	if len(b) == 0 {
		return nil
	}
	return []steno.Piece{{Kind: steno.KindBody, Bytes: b}}
}

// requestEvent is the record of steps one to five.
func (x *exchange) requestEvent() *steno.Draft {
	p := x.parsed
	if p == nil {
		p = &dialect.Request{}
	}
	model, prompt := p.Model, p.Prompt
	x.fillModel(&model)
	model.Understood = p.Understood
	model.Method, model.Path = x.r.Method, x.path
	prompt.Bytes = int64(len(x.body))
	assertedPrompt(x.r.Header, &prompt)
	x.g.promptVersion(&prompt, p.Pieces)
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(x.received), Type: "inference.request", Exchange: x.id, Time: x.received,
		Identity: x.identity, Model: &model, Prompt: &prompt, Safety: x.safety,
		Timing: &steno.Timing{Received: x.received, Steps: x.steps},
	}}
	d.TraceID, d.Parent = traceContext(x.r.Header)
	if len(x.documents) > 0 {
		d.Data = &steno.Data{Documents: x.documents}
	}
	d.Flags = flagsOf(x.safety)
	d.Request = append([]steno.Piece{x.g.requestHead(x.r)}, p.Pieces...)
	return d
}

func (x *exchange) fillModel(m *steno.Model) {
	m.Dialect, m.API, m.Operation = x.call.Dialect, x.call.API, x.call.Operation
	m.Provider = x.call.Dialect
	if m.Asked == "" {
		m.Asked = x.call.Model // of a call that was turned down before its body was read
	}
	if x.up != nil {
		m.Provider = x.up.provider
		m.Upstream, m.Server = x.up.Name, x.up.URL.Host
	}
}

// recordRequest makes the request durable. It reports whether the call goes on.
func (x *exchange) recordRequest() bool {
	start := time.Now().UTC()
	x.steps = append(x.steps, steno.Step{Name: "model", Start: start, End: start, Outcome: "ok"})
	index, err := x.g.rec.Record(x.r.Context(), x.requestEvent(), steno.FlagOpens)
	if err != nil {
		return x.logFailed(err)
	}
	x.g.metrics.durable.Observe(time.Since(start).Seconds())
	x.alert(x.safety, index)
	if int64(len(x.body)) > spoolAbove {
		x.spool()
	}
	return true
}

// spool moves a large body out of memory while the upstream thinks. Where that fails it stays in memory: the budget
// already counts it.
func (x *exchange) spool() {
	s, err := newSpool(x.g.cfg.SpoolDir, x.body)
	if err != nil {
		x.g.cfg.Logger.Warn("a large body stays in memory", "error", err)
		return
	}
	x.large = s
	x.g.flight.give(x.taken)
	x.body, x.parsed.Pieces, x.parsed.Texts, x.taken = nil, nil, nil, 0
}

// logFailed refuses the call, or lets it pass as a counted gap where the operator chose so.
func (x *exchange) logFailed(err error) bool {
	x.g.metrics.logFailures.Inc()
	if x.g.cfg.OnLogFailure == "allow" {
		x.g.rec.Pass(x.received, err)
		x.passed = true
		return true
	}
	x.g.cfg.Logger.Error("a call was refused: the log cannot be written", "exchange", x.id, "error", err)
	x.w.Header().Set("Retry-After", "5")
	x.answer(http.StatusServiceUnavailable, "log_unavailable", "steno cannot write its log, so the call was not forwarded (on_log_failure: block): "+gapReason(err))
	return false
}

// single records an exchange that was never forwarded as one record.
func (x *exchange) single(res *steno.Result) {
	d := x.requestEvent()
	d.Result = res
	d.Timing.Finished = time.Now().UTC()
	d.Timing.LatencyMS = milliseconds(d.Timing.Finished.Sub(x.received))
	index, err := x.g.rec.Record(x.r.Context(), d, steno.FlagOpens|steno.FlagCloses)
	if err != nil {
		x.g.metrics.logFailures.Inc()
		x.g.cfg.Logger.Error("a refused call could not be recorded", "exchange", x.id, "error", err)
		return
	}
	x.g.metrics.ended.WithLabelValues(string(res.End)).Inc()
	x.alert(x.safety, index)
}

// answer writes an error in the shape that the caller's SDK understands.
func (x *exchange) answer(status int, code, message string) {
	body := x.call.Error(status, code, message)
	h := x.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if name, value := x.call.ErrorHeader(status); name != "" {
		h.Set(name, value)
	}
	x.w.WriteHeader(status)
	if _, err := x.w.Write(body); err != nil {
		x.g.cfg.Logger.Debug("the client left before its error arrived", "exchange", x.id)
	}
}

// refuse records a call that steno itself turned down, and says so.
func (x *exchange) refuse(status int, code, message string) {
	if x.parsed == nil {
		x.parsed = &dialect.Request{Pieces: wholeBody(x.body)}
	}
	if x.identity == nil {
		x.identity = x.g.identify(x.r, x.who, x.parsed)
	}
	x.single(&steno.Result{End: steno.EndRefused, EndDetail: code, Status: status})
	x.answer(status, code, message)
}

func (x *exchange) blocked() {
	x.single(&steno.Result{End: steno.EndBlocked, EndDetail: "a check on the request", Status: http.StatusBadRequest})
	x.answer(http.StatusBadRequest, "content_blocked", "a safety check of this gateway blocked the request; exchange "+x.id.String()+" says which")
}

// unrouted answers a path that belongs to no upstream. It is recorded as long as its address does not flood.
func (x *exchange) unrouted() {
	if x.g.failures.admit(x.g.address(x.r), "no_route") {
		x.who.auth = "none"
		x.identity = x.g.identify(x.r, x.who, nil)
		x.single(&steno.Result{End: steno.EndRefused, EndDetail: "no_route", Status: http.StatusNotFound})
	} else {
		x.w.Header().Del("X-Steno-Exchange")
	}
	x.answer(http.StatusNotFound, "not_found", "no upstream answers "+x.r.Method+" "+x.r.URL.Path+"; OpenAI SDKs use the base URL http://HOST:PORT/v1, Anthropic SDKs http://HOST:PORT, a configured upstream /NAME/…")
}

// unauthorized answers a call without a valid key, records it without its body, and counts a flood instead.
func (x *exchange) unauthorized(ref *refusal) {
	if x.g.failures.admit(x.g.address(x.r), ref.code) {
		id := x.g.identify(x.r, x.who, nil)
		id.Auth = "failed"
		id.User, id.UserSource = "", "tenant" // nobody vouches for what an unknown caller asserts
		now := time.Now().UTC()
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "security.auth_failed", Exchange: x.id, Time: x.received, Identity: id,
			Model:  &steno.Model{Dialect: x.call.Dialect, Method: x.r.Method, Path: x.path, Upstream: x.up.Name},
			System: &steno.System{Action: "auth_failed", Outcome: "refused", Reason: ref.code},
		}}
		if _, err := x.g.rec.Record(x.r.Context(), d, 0); err != nil {
			x.g.cfg.Logger.Error("a refused key could not be recorded", "error", err)
		}
	} else {
		x.w.Header().Del("X-Steno-Exchange")
	}
	if ref.status == http.StatusUnauthorized {
		x.w.Header().Set("Www-Authenticate", `Bearer realm="steno"`)
	}
	x.answer(ref.status, ref.code, ref.message)
}

// outbound builds the request to the upstream.
func (x *exchange) outbound(ctx context.Context) (*http.Request, error) {
	size := int64(len(x.body))
	reader := func() io.Reader { return bytes.NewReader(x.body) }
	if x.large != nil {
		size, reader = x.large.size, x.large.reader
	}
	out, err := http.NewRequestWithContext(ctx, x.r.Method, x.up.target(x.path, x.outboundQuery()), nil)
	if err != nil {
		return nil, fmt.Errorf("couldn't build the request to upstream %s: %w", x.up.Name, err)
	}
	out.URL.ForceQuery = x.r.URL.ForceQuery
	out.Header = outboundHeaders(x.r.Header, x.up, x.who, x.path)
	if _, ok := out.Header["User-Agent"]; !ok {
		out.Header.Set("User-Agent", "") // not net/http's own
	}
	if x.who.forward && x.who.credential.signed {
		out.Host = x.r.Host // as it was signed
	}
	if x.up.AWS != nil {
		if err := x.up.sign(out, reader(), time.Now().UTC()); err != nil {
			return nil, err
		}
	}
	if size > 0 || x.r.ContentLength > 0 {
		out.Body, out.ContentLength = io.NopCloser(reader()), size
		// A connection that the upstream closed while idle may be tried again: nothing was answered on it.
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(reader()), nil }
	}
	return out, nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
