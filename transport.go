package steno

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Transport is an http.RoundTripper that records the calls of a model which an application makes, with the promises of the
// gateway and without one: a request is durable before its first byte is sent, and the end of an answer (the terminal
// event of a stream, the last bytes of a plain one) is given to the application when its record is durable. Where a record
// fails the request is not sent, or the rest of the answer withheld with an error. With Client.Spool durable means: in
// steno, or in the spool.
//
// Headers x-steno-user, -role, -conversation and -prompt mean what they mean for the gateway, and are not sent on;
// credentials are not sent to steno. Connections that are upgraded (WebSocket) cannot be recorded and are refused.
type Transport struct {
	Client  *Client
	Base    http.RoundTripper // nil: http.DefaultTransport
	MaxBody int64             // of a request, in bytes; 0: 64 MiB
}

const (
	transportBody = 64 << 20
	showParts     = 64 << 10        // at most so much was shown and is not recorded
	showFor       = 5 * time.Second // and for no longer than that
)

// transportSecrets are headers in which providers take a credential. Steno never sees them.
var transportSecrets = []string{
	"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "X-Steno-Key", "Cookie", "Set-Cookie",
	"X-Amz-Security-Token", "Openai-Api-Key", "Anthropic-Api-Key", "X-Auth-Token", "Ocp-Apim-Subscription-Key",
}

// transportQuery are parameters in which they do.
var transportQuery = []string{"key", "api_key", "api-key", "apikey", "access_token", "token", "code", "sig", "signature", "x-amz-signature", "x-amz-security-token", "x-amz-credential"}

// RoundTrip records the request, sends it, and returns an answer that is recorded while it is read.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Upgrade") != "" {
		closeBody(req)
		return nil, errors.New("steno: an upgraded connection cannot be recorded, so it is not made")
	}
	body, err := t.readBody(req)
	if err != nil {
		return nil, err
	}
	x := &roundTrip{t: t, c: t.Client, began: time.Now().UTC()}
	x.id = NewID(x.began)
	out := req.Clone(req.Context())
	first := x.describe(req, out, body)
	if err := x.c.record(req.Context(), first); err != nil {
		if req.Context().Err() != nil { // it may be on its way to the log: then its end comes after it
			x.gone(req.Context())
		}
		return nil, fmt.Errorf("steno: the request is not sent, since it couldn't be recorded: %w", err)
	}
	out.Body, out.ContentLength, out.GetBody = nil, int64(len(body)), nil
	if len(body) > 0 || req.Body != nil && req.Body != http.NoBody {
		out.Body = io.NopCloser(bytes.NewReader(body))
		out.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	base := t.Base
	if base == nil {
		base = http.DefaultTransport
	}
	x.sent = time.Now().UTC()
	resp, err := base.RoundTrip(out)
	if err != nil {
		return nil, errors.Join(err, x.failed(req.Context(), err))
	}
	resp.Body = x.hold(req, resp)
	resp.Request = req
	return resp, nil
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close() // a RoundTripper always closes it; nothing of it is used
	}
}

// readBody reads the whole request: it is recorded before any of it is sent.
func (t *Transport) readBody(req *http.Request) ([]byte, error) {
	if req.Body == nil {
		return nil, nil
	}
	defer closeBody(req)
	limit := t.MaxBody
	if limit <= 0 {
		limit = transportBody
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("steno: couldn't read the request's body: %w", err)
	case int64(len(body)) > limit:
		return nil, fmt.Errorf("steno: the request's body is larger than Transport.MaxBody (%d bytes), so it is not sent", limit)
	}
	return body, nil
}

// roundTrip is one call on its way.
type roundTrip struct {
	t      *Transport
	c      *Client
	id     ID
	began  time.Time
	sent   time.Time
	number int
	trace  string
	who    *Identity
}

// describe makes the event of the request, and takes out of what is sent what is only for steno.
func (x *roundTrip) describe(req, out *http.Request, body []byte) *Submission {
	e := Event{Type: "inference.request", Time: x.began, Timing: &Timing{Received: x.began, Steps: []Step{
		{Name: "received", Start: x.began, End: time.Now().UTC(), Outcome: "ok"},
	}}}
	who := Identity{}
	if id := identityOf(req.Context()); id != nil {
		who = *id
	}
	for _, h := range []struct {
		name string
		to   *string
	}{{"X-Steno-User", &who.User}, {"X-Steno-Role", &who.Role}, {"X-Steno-Conversation", &who.Conversation}} {
		if v := req.Header.Get(h.name); v != "" {
			*h.to = v
		}
	}
	if v := req.Header.Get("X-Steno-Prompt"); v != "" {
		e.Prompt = &Prompt{}
		e.Prompt.Name, e.Prompt.Version, _ = strings.Cut(v, "@")
	}
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Steno-") {
			out.Header.Del(name)
		}
	}
	x.trace = req.Header.Get("Traceparent")
	if _, _, ok := parseTrace(x.trace); !ok {
		x.trace = x.c.trace(req.Context())
		out.Header.Set("Traceparent", x.trace)
	}
	if who.User != "" || who.Role != "" || who.Conversation != "" || identityOf(req.Context()) != nil {
		x.who = &who
	}
	s := x.event(e)
	s.Request = &Message{Method: req.Method, URL: safeURL(req.URL), Headers: safeHeaders(out.Header), Body: body}
	if s.Request.Method == "" {
		s.Request.Method = http.MethodGet
	}
	return s
}

// event makes an event one of this call.
func (x *roundTrip) event(e Event) *Submission {
	x.number++
	e.Exchange, e.Identity = x.id, x.who
	e.Origin = &Origin{Source: x.c.source(), ID: x.id.String() + "-" + strconv.Itoa(x.number), Number: uint64(x.number)}
	e.TraceID, e.Parent, _ = parseTrace(x.trace)
	return &Submission{Event: e}
}

func safeHeaders(h http.Header) http.Header {
	out := h.Clone()
	for _, name := range transportSecrets {
		out.Del(name)
	}
	return out
}

// safeURL is the address without user and without credentials in its query.
func safeURL(u *url.URL) string {
	safe := *u
	safe.User = nil
	if safe.RawQuery != "" {
		parts := strings.Split(safe.RawQuery, "&")
		for i, p := range parts {
			name, _, _ := strings.Cut(p, "=")
			if plain, err := url.QueryUnescape(name); err == nil {
				for _, secret := range transportQuery {
					if strings.EqualFold(plain, secret) {
						parts[i] = name + "="
					}
				}
			}
		}
		safe.RawQuery = strings.Join(parts, "&")
	}
	return safe.String()
}

// failed records that no answer came.
func (x *roundTrip) failed(ctx context.Context, err error) error {
	end, detail := EndUpstreamFailed, "no answer from the upstream"
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		end, detail = EndClientGone, "the caller gave up before the answer began"
	case errors.As(err, &timeout) && timeout.Timeout():
		end, detail = EndTimedOut, "no answer in time"
	}
	return x.end(ctx, &Result{End: end, EndDetail: detail}, time.Time{}, nil)
}

// gone says, without waiting for it, that the caller left before the request was sent.
func (x *roundTrip) gone(ctx context.Context) {
	s := x.event(Event{Type: "inference.response", Time: time.Now().UTC(), Result: &Result{
		End: EndClientGone, EndDetail: "the caller gave up before the request was sent",
	}})
	if err := x.c.start().put(context.WithoutCancel(ctx), s, nil); err != nil {
		x.c.complain(err)
	}
}

// end records how the call ended. It does not stop when the caller's request is gone.
func (x *roundTrip) end(ctx context.Context, r *Result, firstByte time.Time, m *Message) error {
	now := time.Now().UTC()
	outcome := "ok"
	if r.End != EndComplete {
		outcome = "failed"
	}
	s := x.event(Event{Type: "inference.response", Time: now, Result: r, Timing: &Timing{
		Received: x.began, Forwarded: x.sent, FirstByte: firstByte, Finished: now, LatencyMS: float64(now.Sub(x.began).Microseconds()) / 1000,
		Steps: []Step{{Name: "answer", Start: x.sent, End: now, Outcome: outcome, Detail: string(r.End)}},
	}})
	s.Response = m
	if err := x.c.record(context.WithoutCancel(ctx), s); err != nil {
		return fmt.Errorf("steno: couldn't record how the call ended: %w", err)
	}
	return nil
}

func (x *roundTrip) hold(req *http.Request, resp *http.Response) io.ReadCloser {
	b := &heldBody{
		x: x, ctx: req.Context(), from: resp.Body, status: resp.StatusCode, length: resp.ContentLength,
		headers: safeHeaders(resp.Header), holder: newHolder(resp.Header.Get("Content-Type"), req.URL.Path),
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && e != "identity" && b.holder.framing != holdPlain {
		b.holder.framing = holdRead // its events are not seen
	}
	return b
}

// heldBody passes an answer on as far as may be, and records it. Reading has from and over for itself; the mutex guards what
// changes of the rest: parts are also recorded by a timer.
type heldBody struct {
	x       *roundTrip
	ctx     context.Context
	from    io.ReadCloser
	over    error // what reading it came to
	status  int
	length  int64
	headers http.Header

	mu        sync.Mutex
	holder    *holder
	kept      []byte // received bytes from base on
	base      int64
	received  int64
	free      int64 // up to here it may be shown
	shown     int64
	recorded  int64 // up to here it is durable in parts
	parts     int
	firstByte time.Time
	timer     *time.Timer
	ended     bool  // the end is recorded, or could not be
	result    error // what Read returns when all that may be is shown
}

func (b *heldBody) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	buf := make([]byte, 0)
	for {
		if n, ok, err := b.give(p); ok {
			return n, err
		}
		if b.over != nil { // not before what may be shown was given: the record takes its time
			b.conclude(b.over)
			continue
		}
		if cap(buf) == 0 {
			buf = make([]byte, 32<<10)
		}
		n, err := b.from.Read(buf)
		b.take(buf[:n])
		b.over = err
	}
}

// give hands out what may be shown.
func (b *heldBody) give(p []byte) (n int, ok bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.shown < b.free {
		n = copy(p, b.kept[b.shown-b.base:b.free-b.base])
		b.shown += int64(n)
		b.trim()
		return n, true, nil
	}
	return 0, b.result != nil, b.result
}

// take keeps what was received, and makes durable what has to be before it is shown.
func (b *heldBody) take(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.result != nil || len(p) == 0 {
		return // it was closed meanwhile
	}
	if b.firstByte.IsZero() {
		b.firstByte = time.Now().UTC()
		b.timer = time.AfterFunc(showFor, b.tick)
	}
	b.kept = append(b.kept, p...)
	b.received += int64(len(p))
	free := b.holder.feed(p)
	if free > b.recorded+showParts {
		if err := b.part(); err != nil {
			b.finish(err, nil)
			return
		}
	}
	b.free = max(b.free, free)
}

// conclude records the end that reading came to.
func (b *heldBody) conclude(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := &Result{End: EndComplete}
	if !errors.Is(err, io.EOF) {
		r.End, r.EndDetail = EndUpstreamCut, "the upstream broke off"
		var timeout interface{ Timeout() bool }
		switch {
		case errors.Is(b.ctx.Err(), context.Canceled):
			r.End, r.EndDetail = EndClientGone, "the caller gave up before the end of the answer"
		case errors.As(err, &timeout) && timeout.Timeout():
			r.End, r.EndDetail = EndTimedOut, "the answer did not end in time"
		}
	}
	b.finish(err, r)
}

// finish records the end and lets go of what was held. Where that fails the rest is withheld. r is nil where nothing can
// be recorded any more.
func (b *heldBody) finish(err error, r *Result) {
	if b.ended {
		return
	}
	b.ended = true
	if b.timer != nil {
		b.timer.Stop()
	}
	if r != nil {
		r.Parts = b.parts
		m := &Message{Status: b.status, Headers: b.headers, Body: b.kept[b.recorded-b.base:]}
		if endErr := b.x.end(b.ctx, r, b.firstByte, m); endErr != nil {
			err = endErr
		} else {
			b.free = b.received
		}
	}
	b.result = err
}

// tick records what an old answer has shown since the last part.
func (b *heldBody) tick() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	if b.shown > b.recorded {
		if err := b.part(); err != nil {
			b.finish(err, nil)
			return
		}
		b.trim()
	}
	b.timer.Reset(time.Second)
}

// part makes all that was received so far durable.
func (b *heldBody) part() error {
	now := time.Now().UTC()
	s := b.x.event(Event{Type: "inference.response_part", Time: now, Result: &Result{Part: b.parts + 1, Bytes: b.received - b.recorded}})
	s.Response = &Message{Status: b.status, Headers: b.headers, Body: b.kept[b.recorded-b.base:]}
	if err := b.x.c.record(context.WithoutCancel(b.ctx), s); err != nil {
		return fmt.Errorf("steno: couldn't record a part of the answer, so the rest is withheld: %w", err)
	}
	b.parts++
	b.recorded = b.received
	return nil
}

// trim forgets what was shown and is durable.
func (b *heldBody) trim() {
	keep := min(b.shown, b.recorded)
	if keep-b.base < showParts {
		return
	}
	b.kept = append(b.kept[:0], b.kept[keep-b.base:]...)
	b.base = keep
}

// Close ends the call. An answer that had come to its end is complete, also where the caller did not look at that; another
// was given up.
func (b *heldBody) Close() error {
	err := b.from.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return err
	}
	r := &Result{End: EndClientGone, EndDetail: "the caller left before the end of the answer"}
	if b.holder.final || b.length >= 0 && b.received >= b.length {
		r = &Result{End: EndComplete}
	}
	b.finish(errors.New("http: read on closed response body"), r)
	if b.result != nil && r.End == EndComplete && strings.HasPrefix(b.result.Error(), "steno:") {
		return errors.Join(err, b.result)
	}
	return err
}
