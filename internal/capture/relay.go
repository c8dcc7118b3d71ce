package capture

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

const (
	partAfter = 5 * time.Second // a stream older than this is recorded in parts
	partEvery = time.Second
	partBytes = 64 << 10 // at most so much of what the client has seen is not durable
	holdWhole = 64 << 10 // an answer that is no stream is held whole up to here
	factBytes = 32 << 20 // a larger answer that is no stream is recorded, its facts are not read
	readSize  = 32 << 10
)

var (
	errIdle       = errors.New("the upstream was silent for too long")
	errClientGone = errors.New("the client left")
	errSwitched   = errors.New("the upstream switched protocols, which nobody asked for")
)

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

// relay passes an answer on and takes it down. The mutex guards all of it: parts are also recorded by a timer.
type relay struct {
	x      *exchange
	resp   *http.Response
	stream *dialect.Stream // nil: not a stream that is understood
	inner  *unpacker       // decodes a compressed stream as it comes; nil: it is plain
	flush  bool
	cancel context.CancelCauseFunc
	idle   *time.Timer

	mu         sync.Mutex
	kept       []byte // received bytes from base on
	base       int64
	received   int64
	sent       int64
	recorded   int64 // durable in parts
	parts      int
	whole      bool // kept still holds the answer from its first byte
	taken      int64
	firstByte  time.Time
	firstToken time.Time
	ended      bool // a compressed stream's terminal event was seen
	started    bool // the status line is on its way
	clientGone bool
	partErr    error
	timer      *time.Timer
	done       bool
}

// forward sends the call on and relays its answer.
func (x *exchange) forward() {
	ctx, cancel := context.WithCancelCause(x.r.Context())
	defer cancel(nil)
	defer x.g.running.begin(x, cancel)()
	out, err := x.outbound(ctx)
	if err != nil {
		x.failed(err, nil)
		return
	}
	x.forwarded = time.Now().UTC()
	resp, err := x.g.transport.RoundTrip(out)
	if err != nil {
		if errors.Is(context.Cause(ctx), errRevoked) {
			err = errRevoked // the transport says only that its context was cancelled
		}
		x.failed(err, context.Cause(x.r.Context()))
		return
	}
	defer resp.Body.Close() // read to its end or abandoned
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.failed(errSwitched, context.Cause(x.r.Context()))
		return
	}
	rl := &relay{x: x, resp: resp, cancel: cancel, whole: true}
	rl.run()
}

// failed records a call to which no answer could be had.
func (x *exchange) failed(err, gone error) {
	res := &steno.Result{End: steno.EndUpstreamFailed, EndDetail: "no answer from the upstream"}
	status, code := http.StatusBadGateway, "upstream_unreachable"
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errRevoked):
		res.End, res.EndDetail = steno.EndRefused, "key_revoked"
		status, code = http.StatusUnauthorized, "invalid_api_key"
	case gone != nil:
		res.End, res.EndDetail = steno.EndClientGone, "the client left before the answer began"
	case errors.As(err, &timeout) && timeout.Timeout():
		res.End, res.EndDetail = steno.EndTimedOut, "no answer in time"
		status, code = http.StatusGatewayTimeout, "upstream_timeout"
	}
	x.g.cfg.Logger.Warn("an upstream did not answer", "upstream", x.up.Name, "exchange", x.id, "end", res.End, "error", redactURL(err))
	if gone == nil {
		res.Status = status
	}
	d := x.responseEvent(&dialect.Response{Result: *res}, time.Time{}, time.Time{})
	if !x.recordResponse(d, nil) {
		return
	}
	x.answer(status, code, "upstream "+x.up.Name+" gave no answer: "+res.EndDetail)
}

func redactURL(err error) string {
	s := err.Error()
	if i := strings.IndexByte(s, '?'); i >= 0 {
		s = s[:i] + "?…"
	}
	return s
}

func (rl *relay) run() {
	x := rl.x
	h := x.w.Header()
	announced := rl.copyResponseHeaders(h)
	media := rl.resp.Header.Get("Content-Type")
	encoding := rl.resp.Header.Get("Content-Encoding")
	if rl.stream = x.call.NewStream(media); rl.stream != nil && dialect.Encoded(encoding) {
		rl.inner = newUnpacker(encoding)
	}
	rl.flush = rl.stream != nil || dialect.Streamed(media) || rl.resp.ContentLength < 0
	rl.idle = time.AfterFunc(x.g.cfg.IdleTimeout, func() { rl.cancel(errIdle) })
	defer rl.idle.Stop()
	rl.timer = time.AfterFunc(partAfter, rl.partTick)
	if rl.stream != nil {
		rl.start()
		rl.flushNow()
	}
	readErr := rl.copy()

	rl.mu.Lock()
	rl.done = true
	rl.timer.Stop()
	rl.mu.Unlock()
	if rl.inner != nil {
		rl.inner.close()
	}
	defer x.g.flight.give(rl.taken)
	answer := rl.facts(readErr)
	d := x.responseEvent(answer, rl.firstByte, rl.firstToken)
	d.Result.Parts = rl.parts
	d.Response = append([]steno.Piece{x.g.responseHead(rl.resp)}, rl.rest(answer)...)
	if len(rl.resp.Trailer) > 0 {
		t := headPiece(head{Headers: x.g.safeHeaders(rl.resp.Trailer)})
		t.Kind = steno.KindTrailer
		d.Response = append(d.Response, t)
	}
	safety := x.g.checkAnswer(x.r.Context(), rl.plain(), answer)
	d.Safety = safety
	d.Flags = flagsOf(safety)
	if !x.recordResponse(d, safety) {
		if rl.started {
			panic(http.ErrAbortHandler) // what is held back is not released: it is not recorded
		}
		for k := range h {
			if k != "X-Steno-Exchange" {
				delete(h, k)
			}
		}
		h.Set("Retry-After", "5")
		x.answer(http.StatusServiceUnavailable, "log_unavailable", "steno cannot write its log, so the answer is withheld (on_log_failure: block)")
		return
	}
	if readErr == nil && !x.passed {
		x.consequences(rl.resp.StatusCode, rl.plain())
	}
	rl.start()
	rl.release(rl.received)
	rl.patience(time.Time{}) // the connection may serve another call
	if len(rl.resp.Trailer) > 0 {
		rl.flushNow() // else an answer without a body gets a length, and no trailers
	}
	for k, v := range rl.resp.Trailer {
		if announced[k] {
			h[k] = v
		} else {
			h[http.TrailerPrefix+k] = v
		}
	}
	if readErr != nil {
		panic(http.ErrAbortHandler) // the upstream broke off: so must we, or a cut answer looks whole
	}
}

// copyResponseHeaders passes the upstream's headers on; it returns the names of trailers that were announced.
func (rl *relay) copyResponseHeaders(h http.Header) map[string]bool {
	in := rl.resp.Header.Clone()
	removeHopByHop(in)
	for k := range in {
		if strings.HasPrefix(k, "X-Steno-") {
			delete(in, k)
		}
	}
	copyHeaders(h, in)
	if _, ok := h["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http would guess one
	}
	if len(rl.resp.Trailer) == 0 {
		return nil
	}
	announced := make(map[string]bool, len(rl.resp.Trailer))
	for k := range rl.resp.Trailer {
		announced[k] = true
		h.Add("Trailer", k)
	}
	return announced
}

// copy reads the answer to its end. It returns nil, io.ErrUnexpectedEOF or what cut it.
func (rl *relay) copy() error {
	buf := readBuffers.Get().(*[readSize]byte) // the pool holds nothing else
	defer readBuffers.Put(buf)
	for {
		n, err := rl.resp.Body.Read(buf[:])
		if n > 0 {
			rl.idle.Stop() // a slow client or a slow log is not the upstream's silence
			if gone := rl.take(buf[:n]); gone != nil {
				rl.cancel(errClientGone)
				return gone
			}
			rl.idle.Reset(rl.x.g.cfg.IdleTimeout)
		}
		if err == io.EOF {
			if rl.resp.ContentLength < 0 && (rl.stream == nil || !rl.stream.Finished()) {
				// One that was cut off by us may end its chunks in good order while the connection closes: it is not whole.
				return context.Cause(rl.resp.Request.Context())
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// start sends status and headers, once. An answer that is held back whole can still become an error until then.
func (rl *relay) start() {
	if !rl.started {
		rl.started = true
		rl.x.w.WriteHeader(rl.resp.StatusCode)
	}
}

// take keeps what was received and passes on what may go. More than partBytes never goes to the client unrecorded.
func (rl *relay) take(p []byte) error {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.firstByte.IsZero() {
		rl.firstByte = time.Now().UTC()
	}
	rl.kept = append(rl.kept, p...)
	rl.received += int64(len(p))
	rl.taken += int64(len(p))
	rl.x.g.flight.used.Add(int64(len(p)))
	free := rl.releasable(p)
	if rl.stream != nil && rl.firstToken.IsZero() && rl.stream.FirstToken() {
		rl.firstToken = time.Now().UTC()
	}
	if free > rl.sent && free-rl.recorded > partBytes {
		rl.part()
		if rl.partErr != nil {
			return rl.partErr
		}
	}
	return rl.releaseLocked(free)
}

// releasable says up to which byte the client may see the answer now.
func (rl *relay) releasable(p []byte) int64 {
	switch {
	case rl.stream != nil && rl.inner == nil:
		return int64(rl.stream.Feed(p))
	case rl.stream != nil:
		// Of a compressed stream a chunk that completes a terminal event is held back, with all that follows.
		for _, plain := range rl.inner.feed(p) {
			rl.stream.Feed(plain)
		}
		switch {
		case rl.ended:
			return rl.sent
		case rl.stream.Finished():
			rl.ended = true
			return rl.received - int64(len(p))
		case rl.inner.dead():
			return rl.received - 1
		}
		return rl.received
	case rl.received <= holdWhole:
		return 0
	}
	return rl.received - 1
}

func (rl *relay) release(to int64) {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if err := rl.releaseLocked(to); err != nil {
		rl.x.g.cfg.Logger.Debug("the client left before the end of its answer", "exchange", rl.x.id)
	}
}

func (rl *relay) releaseLocked(to int64) error {
	if to > rl.sent && !rl.clientGone {
		rl.start()
		rl.patience(time.Now().Add(rl.x.g.cfg.IdleTimeout))
		if _, err := rl.x.w.Write(rl.kept[rl.sent-rl.base : to-rl.base]); err != nil {
			rl.clientGone = true
			return errClientGone
		}
		rl.sent = to
		if rl.flush {
			rl.flushNow()
		}
	}
	rl.trim()
	return nil
}

// patience says until when the client has to take what is written next: one that stops reading must not hold the call for
// ever. Recorders in tests have no deadline to set.
func (rl *relay) patience(until time.Time) {
	_ = http.NewResponseController(rl.x.w).SetWriteDeadline(until)
}

func (rl *relay) flushNow() {
	if err := http.NewResponseController(rl.x.w).Flush(); err != nil {
		rl.clientGone = true
	}
}

// trim forgets bytes that are both sent and durable, once they are many; an answer that is no stream is kept for its
// facts as long as it is not too large.
func (rl *relay) trim() {
	keep := min(rl.sent, rl.recorded)
	if keep-rl.base < partBytes || (rl.stream == nil && rl.received < factBytes) {
		return
	}
	n := copy(rl.kept, rl.kept[keep-rl.base:])
	rl.kept = rl.kept[:n]
	rl.x.g.flight.give(keep - rl.base)
	rl.taken -= keep - rl.base
	rl.base, rl.whole = keep, false
}

// partTick records what an old stream has shown since the last part.
func (rl *relay) partTick() {
	rl.mu.Lock()
	defer rl.mu.Unlock()
	if rl.done {
		return
	}
	if rl.sent > rl.recorded {
		rl.part()
		rl.trim()
	}
	rl.timer.Reset(partEvery)
}

// part makes all that was received so far durable.
func (rl *relay) part() {
	if rl.x.passed || rl.partErr != nil {
		return
	}
	now := time.Now().UTC()
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "inference.response_part", Exchange: rl.x.id, Time: now, Identity: subject(rl.x.identity),
		Result: &steno.Result{Part: rl.parts + 1, Bytes: rl.received - rl.recorded},
	}}
	d.Response = []steno.Piece{{Kind: rl.outputKind(), Bytes: rl.kept[rl.recorded-rl.base:]}}
	if _, err := rl.x.g.rec.Record(rl.x.r.Context(), d, steno.FlagContinues); err != nil {
		rl.x.g.metrics.logFailures.Inc()
		if rl.x.g.cfg.OnLogFailure == "allow" {
			rl.x.g.rec.Pass(rl.x.received, err)
			rl.x.passed = true
			return
		}
		rl.partErr = err
		rl.cancel(err)
		return
	}
	rl.parts++
	rl.recorded = rl.received
}

func (rl *relay) outputKind() steno.Kind {
	if rl.stream != nil {
		return steno.KindOutput
	}
	return steno.KindBody
}

// plain returns the decoded answer, or nil where it is too large or was not kept.
func (rl *relay) plain() []byte {
	if !rl.whole {
		return nil
	}
	b, _ := dialect.Decode(rl.kept, rl.resp.Header.Get("Content-Encoding"), factBytes)
	return b
}

// facts reads what the answer says and how it ended.
func (rl *relay) facts(readErr error) *dialect.Response {
	var a *dialect.Response
	switch {
	case rl.stream != nil:
		a = rl.stream.Response(rl.resp.StatusCode, rl.resp.Header)
	case rl.whole:
		a = rl.x.call.ParseResponse(rl.resp.StatusCode, rl.resp.Header, rl.plain(), rl.x.parsed.UsageRequested)
	default:
		a = &dialect.Response{Result: steno.Result{End: steno.EndComplete, EndDetail: "too large for its facts to be read"}}
	}
	res := &a.Result
	res.Status, res.Bytes = rl.resp.StatusCode, rl.received
	cause := rl.x.r.Context().Err()
	switch {
	case rl.partErr != nil:
		res.End, res.EndDetail = steno.EndUnknown, "the log failed while the answer went through"
	case readErr == nil && rl.stream == nil && res.End == steno.EndUpstreamCut:
		res.End, res.EndDetail = steno.EndErrorInAnswer, "the answer came whole and is not the JSON that it should be"
	case readErr == nil && rl.resp.StatusCode == http.StatusNotModified:
		res.End, res.EndDetail = steno.EndComplete, "" // it never has a body
	case readErr == nil && (rl.stream == nil || rl.stream.Finished() || res.End != steno.EndUpstreamCut):
	case errors.Is(context.Cause(rl.resp.Request.Context()), errRevoked):
		res.End, res.EndDetail = steno.EndRefused, "key_revoked"
	case rl.clientGone || cause != nil || errors.Is(readErr, errClientGone):
		res.End, res.EndDetail = steno.EndClientGone, "the client left before the end of its answer"
	case errors.Is(readErr, errIdle) || isIdle(rl):
		res.End, res.EndDetail = steno.EndTimedOut, errIdle.Error()
	default:
		res.End, res.EndDetail = steno.EndUpstreamCut, "the upstream broke off"
	}
	return a
}

// isIdle tells whether the idle timer ended the call: the transport returns only that its context was cancelled.
func isIdle(rl *relay) bool {
	return errors.Is(context.Cause(rl.resp.Request.Context()), errIdle)
}

// rest returns the pieces that are not in parts yet.
func (rl *relay) rest(a *dialect.Response) []steno.Piece {
	left := rl.kept[rl.recorded-rl.base:]
	switch {
	case len(left) == 0:
		return nil
	case rl.parts > 0 || len(a.Pieces) == 0 || dialect.Encoded(rl.resp.Header.Get("Content-Encoding")):
		return []steno.Piece{{Kind: rl.outputKind(), Bytes: left}}
	case rl.stream != nil:
		return []steno.Piece{{Kind: steno.KindOutput, Bytes: left}}
	}
	return a.Pieces
}

// subject keeps of an identity whose data it is, and no more: the request's record has the rest.
func subject(id *steno.Identity) *steno.Identity {
	if id == nil {
		return nil
	}
	return &steno.Identity{User: id.User, Tenant: id.Tenant}
}

// responseEvent is the record of steps six and seven.
func (x *exchange) responseEvent(a *dialect.Response, firstByte, firstToken time.Time) *steno.Draft {
	now := time.Now().UTC()
	model := a.Model
	x.fillModel(&model)
	if x.parsed != nil {
		model.Asked, model.Stream = x.parsed.Model.Asked, x.parsed.Model.Stream
		model.Version, model.VersionSource = dialect.Version(model.Asked, model.Answered)
	}
	res := a.Result
	if res.End == "" {
		res.End = steno.EndComplete
	}
	x.price(&model, &res)
	if a.Media && res.Cost != nil {
		res.Cost = &steno.Cost{State: "unpriced"} // the table has the prices of tokens of text
	}
	t := &steno.Timing{
		Received: x.received, Forwarded: x.forwarded, FirstByte: firstByte, FirstToken: firstToken, Finished: now,
		LatencyMS: milliseconds(now.Sub(x.received)),
	}
	if !firstToken.IsZero() {
		t.TTFT = firstToken.Sub(x.received).Seconds()
	}
	outcome := "ok"
	if res.End != steno.EndComplete {
		outcome = "failed"
	}
	if !firstByte.IsZero() {
		t.Steps = append(t.Steps, steno.Step{Name: "answer", Start: x.forwarded, End: now, Outcome: outcome, Detail: string(res.End)})
	} else {
		t.Steps = append(t.Steps, steno.Step{Name: "answer", Start: x.forwarded, End: now, Outcome: "failed", Detail: string(res.End)})
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "inference.response", Exchange: x.id, Time: now,
		Identity: subject(x.identity), Model: &model, Result: &res, Timing: t,
	}}
	if len(a.Documents) > 0 {
		d.Data = &steno.Data{Documents: a.Documents}
	}
	return d
}

// recordResponse makes the answer's record durable. It reports whether the held-back end may be released.
func (x *exchange) recordResponse(d *steno.Draft, safety *steno.Safety) bool {
	x.g.metrics.ended.WithLabelValues(string(d.Result.End)).Inc()
	x.g.spend(x.who, x.received, d.Result)
	if x.passed {
		return true
	}
	start := time.Now()
	index, err := x.g.rec.Record(x.r.Context(), d, steno.FlagCloses)
	if err != nil {
		x.g.metrics.logFailures.Inc()
		x.g.cfg.Logger.Error("an answer could not be recorded", "exchange", x.id, "error", err)
		if x.g.cfg.OnLogFailure == "allow" {
			x.g.rec.Pass(x.received, err)
			return true
		}
		return false
	}
	x.g.metrics.durable.Observe(time.Since(start).Seconds())
	x.alert(safety, index)
	return true
}
