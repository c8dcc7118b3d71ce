package capture

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// takeApart makes the draft of a submitted event. Where the bytes of a call came with it they are read as the gateway
// reads what passes through it: pieces, facts, checks, price. What the submitter says stands where the bytes say nothing.
func (g *Gateway) takeApart(x *exchange, e *steno.Submission) *steno.Draft {
	d := &steno.Draft{Event: e.Event}
	x.received = e.Time
	if x.received.IsZero() {
		x.received = time.Now().UTC()
	}
	known := g.open.get(e.Exchange, tenantOf(x.who))
	x.call = g.callOf(e, known)
	if e.Request != nil {
		g.takeRequest(x, d, e.Request)
	}
	if e.Response != nil && e.Type == "inference.response_part" {
		known.keep(g.flight, e.Response.Body)
		kind := steno.KindBody
		if x.call.NewStream(e.Response.Headers.Get("Content-Type")) != nil {
			kind = steno.KindOutput
		}
		if len(e.Response.Body) > 0 {
			d.Response = []steno.Piece{{Kind: kind, Bytes: e.Response.Body}}
		}
	} else if e.Response != nil {
		g.takeResponse(x, d, e.Response, known)
	}
	return d
}

// callOf says which kind of call an event speaks of: what the submitter names, else what method, address and headers tell.
func (g *Gateway) callOf(e *steno.Submission, known *openCall) dialect.Call {
	m := e.Model
	if m == nil {
		m = &steno.Model{}
	}
	method, address, headers := m.Method, m.Path, http.Header{}
	if r := e.Request; r != nil {
		method, address, headers = r.Method, r.URL, r.Headers
	} else if known != nil {
		return known.call
	}
	if method == "" {
		method = http.MethodPost
	}
	path := address
	if u, err := url.Parse(address); err == nil {
		path = u.EscapedPath()
	}
	for _, name := range dialect.Dialects {
		if m.Dialect == name {
			return dialect.RouteAs(name, method, path)
		}
	}
	if path == "" {
		return dialect.Call{}
	}
	if c, ok := dialect.Route(method, path, headers); ok {
		return c
	}
	if i := strings.Index(path, "/v1/"); i > 0 { // below the address of a provider that is compatible with another
		if c, ok := dialect.Route(method, path[i:], headers); ok {
			return c
		}
	}
	return dialect.Call{}
}

func (g *Gateway) takeRequest(x *exchange, d *steno.Draft, m *steno.Message) {
	h := m.Headers
	if h == nil {
		h = http.Header{}
	}
	start := time.Now().UTC()
	plain, _ := dialect.Decode(m.Body, h.Get("Content-Encoding"), g.cfg.MaxBody)
	p := x.call.ParseRequest(plain, h)
	if len(plain) != len(m.Body) || len(plain) > 0 && &plain[0] != &m.Body[0] {
		p.Pieces = wholeBody(m.Body)
	}
	x.parsed = p
	model := p.Model
	model.Dialect, model.API, model.Operation = x.call.Dialect, x.call.API, x.call.Operation
	model.Understood = p.Understood
	u, err := url.Parse(m.URL)
	if err != nil {
		u = &url.URL{}
	}
	model.Method, model.Path, model.Server = m.Method, u.EscapedPath(), u.Host
	if x.call.Dialect != "" || u.Host != "" {
		model.Provider = dialect.Provider(x.call.Dialect, "", u.Host)
	}
	d.Model = joinModels(&model, d.Model)
	prompt := p.Prompt
	prompt.Bytes = int64(len(m.Body))
	if given := d.Prompt; given != nil {
		prompt.Name, prompt.Version = given.Name, given.Version
	}
	d.Prompt = &prompt
	if len(p.Documents) > 0 {
		data := steno.Data{}
		if d.Data != nil {
			data = *d.Data
		}
		data.Documents = append(data.Documents[:len(data.Documents):len(data.Documents)], p.Documents...)
		d.Data = &data
	}
	x.step("prompt", start, "ok", "")
	start = time.Now().UTC()
	x.safety = past(d, g.checkTexts(x.r.Context(), plain, p.Texts, "in", "request"))
	d.Safety = joinSafety(d.Safety, x.safety)
	outcome := "ok"
	if x.safety.Action == "block" {
		outcome = "blocked"
	}
	x.step("checks_in", start, outcome, "")
	if !d.Imported {
		timing := steno.Timing{}
		if d.Timing != nil {
			timing = *d.Timing
		}
		timing.Steps = append(timing.Steps[:len(timing.Steps):len(timing.Steps)], x.steps...)
		d.Timing = &timing
	}
	d.Request = append([]steno.Piece{headPiece(head{
		Method: m.Method, Path: u.EscapedPath(), Query: g.safeQuery(u.RawQuery), Headers: g.safeHeaders(h),
	})}, p.Pieces...)
}

// takeResponse reads an answer. What went before it in parts is remembered as far as there was room.
func (g *Gateway) takeResponse(x *exchange, d *steno.Draft, m *steno.Message, known *openCall) {
	h := m.Headers
	if h == nil {
		h = http.Header{}
	}
	whole, complete, parts := known.whole(m.Body)
	encoding := h.Get("Content-Encoding")
	usageRequested := x.parsed != nil && x.parsed.UsageRequested
	if known != nil {
		usageRequested = known.usageRequested
	}
	var a *dialect.Response
	var plain []byte
	if given := d.Result; given != nil && given.Parts > parts {
		complete, parts = false, given.Parts // another process had them
	}
	if complete {
		plain, _ = dialect.Decode(whole, encoding, factBytes)
		a = x.call.ParseResponse(m.Status, h, plain, usageRequested)
	} else {
		a = &dialect.Response{Result: steno.Result{End: steno.EndComplete, EndDetail: "its facts are not read: parts of it went before"}}
	}
	model := a.Model
	if known != nil {
		model = *joinModels(&model, &known.model)
	}
	d.Model = joinModels(&model, d.Model)
	d.Model.Version, d.Model.VersionSource = dialect.Version(d.Model.Asked, d.Model.Answered)
	res := a.Result
	res.Status, res.Bytes, res.Parts = m.Status, int64(len(whole)), parts
	endOf(&res, d.Result, d.Model, m.Status)
	fillResult(&res, d.Result)
	if given := d.Result; given != nil && given.Cost != nil {
		res.Cost = given.Cost
	} else {
		x.price(d.Model, &res)
	}
	d.Result = &res
	if len(a.Documents) > 0 {
		data := steno.Data{}
		if d.Data != nil {
			data = *d.Data
		}
		data.Documents = append(data.Documents[:len(data.Documents):len(data.Documents)], a.Documents...)
		d.Data = &data
	}
	safety := past(d, g.checkAnswer(context.WithoutCancel(x.r.Context()), plain, a))
	x.safety = joinSafety(x.safety, safety)
	d.Safety = joinSafety(d.Safety, safety)
	d.Response = []steno.Piece{headPiece(head{Status: m.Status, Headers: g.safeHeaders(h)})}
	switch {
	case len(m.Body) == 0:
	case parts == 0 && len(a.Pieces) > 0 && !dialect.Encoded(encoding):
		d.Response = append(d.Response, a.Pieces...)
	case x.call.NewStream(h.Get("Content-Type")) != nil:
		d.Response = append(d.Response, steno.Piece{Kind: steno.KindOutput, Bytes: m.Body})
	default:
		d.Response = append(d.Response, steno.Piece{Kind: steno.KindBody, Bytes: m.Body})
	}
}

// endOf decides between what the bytes say of the end and what the submitter saw of it: who saw a connection break knows
// better than bytes that only stop.
func endOf(res, given *steno.Result, m *steno.Model, status int) {
	if res.End == "" {
		res.End = steno.EndComplete
	}
	if given == nil {
		return
	}
	switch given.End {
	case "", steno.EndComplete:
		if res.End == steno.EndUpstreamCut && !m.Stream && status != 0 && res.EndDetail == "" {
			res.End, res.EndDetail = steno.EndErrorInAnswer, "the answer came whole and is not the JSON that it should be"
		}
	default:
		if res.End != given.End {
			res.End, res.EndDetail = given.End, given.EndDetail
		}
	}
}

// fillResult adds what the submitter says and the bytes do not.
func fillResult(res, given *steno.Result) {
	if given == nil {
		return
	}
	for _, s := range []struct {
		to   *string
		from string
	}{{&res.ErrorType, given.ErrorType}, {&res.ID, given.ID}, {&res.RequestID, given.RequestID}, {&res.State, given.State}} {
		if *s.to == "" {
			*s.to = s.from
		}
	}
	if len(res.FinishReasons) == 0 {
		res.FinishReasons = given.FinishReasons
	}
	if given.Usage != nil && (res.Usage == nil || res.Usage.Input == nil && res.Usage.Output == nil) {
		res.Usage = given.Usage
	}
}

// joinModels is what the first says, and the second where that says nothing.
func joinModels(first, second *steno.Model) *steno.Model {
	m := *first
	if second == nil {
		return &m
	}
	for _, s := range []struct {
		to   *string
		from string
	}{
		{&m.Provider, second.Provider},
		{&m.Operation, second.Operation},
		{&m.Asked, second.Asked},
		{&m.Answered, second.Answered},
		{&m.Version, second.Version},
		{&m.VersionSource, second.VersionSource},
		{&m.Fingerprint, second.Fingerprint},
		{&m.ServiceTier, second.ServiceTier},
		{&m.Dialect, second.Dialect},
		{&m.API, second.API},
		{&m.Upstream, second.Upstream},
		{&m.Server, second.Server},
		{&m.Method, second.Method},
		{&m.Path, second.Path},
	} {
		if *s.to == "" {
			*s.to = s.from
		}
	}
	m.Stream = m.Stream || second.Stream
	m.Understood = m.Understood || second.Understood
	if m.Parameters == nil {
		m.Parameters = second.Parameters
	}
	return &m
}

// past is what the checks found, and where the event was taken over, no more than that: nothing can be done about it now.
func past(d *steno.Draft, s *steno.Safety) *steno.Safety {
	if d.Imported {
		for i := range s.Findings {
			s.Findings[i].Action = "record"
		}
		s.Action = strongest(s.Findings)
	}
	return s
}

// joinSafety puts two lists of findings together.
func joinSafety(a, b *steno.Safety) *steno.Safety {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	s := &steno.Safety{
		Checks:   append(a.Checks[:len(a.Checks):len(a.Checks)], b.Checks...),
		Findings: append(a.Findings[:len(a.Findings):len(a.Findings)], b.Findings...),
	}
	s.Action = strongest(s.Findings)
	return s
}
