package stub

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxBody bounds a request, as the providers do.
const maxBody = 64 << 20

// ServeHTTP answers one request.
func (s *Stub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(w, r)
	tooLarge := (*http.MaxBytesError)(nil)
	if err != nil && !errors.As(err, &tooLarge) {
		return // half a request: its sender is gone
	}
	a := newAsk(r, body)
	out := sender{w: w, ctx: r.Context()}
	var p reply
	switch {
	case err != nil:
		p = a.refuse(&apiError{status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error", message: "Request exceeds the maximum size."})
	default:
		p = s.answer(a)
	}
	var tag string
	var call uint64
	if s.tally != nil {
		out.sum = sha256.New()
		tag = a.tag()
		if call, err = s.tally.asked(r.URL.Path, tag, sha256.Sum256(body)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	a.setHeaders(w.Header(), &p)
	err = out.send(&p, &a.knobs, r.Header.Get("Accept-Encoding"))
	if s.tally != nil {
		how := "answered"
		switch {
		case errors.Is(err, errCut):
			how = "cut"
		case errors.Is(err, errGone):
			how = "gone"
		}
		if e := s.tally.ended(call, how, p.status, out.size, tag, out.sum.Sum(nil)); e != nil && err == nil {
			err = e
		}
	}
	if err != nil {
		panic(http.ErrAbortHandler) // closes the connection without the end of the body
	}
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= maxBody {
		b := make([]byte, n)
		_, err := io.ReadFull(r.Body, b)
		return b, err
	}
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}

// tag is what a test calls a request: the header x-stub-tag, or metadata.tag of the body.
func (a *ask) tag() string {
	if t := a.r.Header.Get("x-stub-tag"); t != "" || !valid(a.body) {
		return t
	}
	return text(member(member(a.body, "metadata"), "tag"))
}

// answer makes the whole reply to a.
func (s *Stub) answer(a *ask) reply {
	if err := a.headerKnobs(); err != nil {
		a.knobs = noKnobs()
		return a.refuse(badRequest("x-stub", "", "%v", err))
	}
	if e := a.unauthorized(); e != nil {
		return a.refuse(e)
	}
	p, e := s.route(a)
	if a.knobs.fail != 0 {
		e = a.failure()
	}
	if e != nil {
		return a.refuse(e)
	}
	return p
}

// posts are the endpoints that take a body.
var posts = map[string]func(s *Stub, a *ask) (reply, *apiError){
	"/v1/chat/completions":      (*Stub).chat,
	"/v1/completions":           (*Stub).completion,
	"/v1/responses":             (*Stub).responses,
	"/v1/embeddings":            (*Stub).embeddings,
	"/v1/messages":              (*Stub).messages,
	"/v1/messages/count_tokens": (*Stub).countTokens,
	"/v1/complete":              (*Stub).complete,
}

func (s *Stub) route(a *ask) (reply, *apiError) {
	path := a.r.URL.Path
	if f := posts[path]; f != nil {
		if a.r.Method != http.MethodPost {
			return reply{}, &apiError{
				status: http.StatusMethodNotAllowed, kind: "invalid_request_error",
				message: "Not allowed to " + a.r.Method + " on " + path + ".",
			}
		}
		if !valid(a.body) {
			return reply{}, a.unreadable()
		}
		if kind(a.body) != '{' {
			return reply{}, badRequest("", "", "The body must be a JSON object.")
		}
		if err := a.setModel(member(a.body, "model")); err != nil {
			a.knobs = noKnobs() // nothing of a list that isn't understood
			return reply{}, badRequest("model", "", "%v", err)
		}
		if e := a.checkModel(); e != nil {
			return reply{}, e
		}
		return f(s, a)
	}
	if a.r.Method == http.MethodGet {
		if path == "/v1/models" {
			return a.listModels(), nil
		}
		if name, ok := strings.CutPrefix(path, "/v1/models/"); ok {
			return a.oneModel(name)
		}
		if id, ok := strings.CutPrefix(path, "/v1/responses/"); ok {
			return s.retrieve(id)
		}
	}
	e := &apiError{status: http.StatusNotFound, kind: "invalid_request_error", message: "Invalid URL (" + a.r.Method + " " + path + ")"}
	if a.anthropic() {
		e.message = "Not Found"
	}
	return reply{}, e
}

func (a *ask) unreadable() *apiError {
	if a.anthropic() {
		return badRequest("", "", "The request body is not valid JSON.")
	}
	return badRequest("", "", "We could not parse the JSON body of your request: it isn't valid JSON, or nested too deeply.")
}

func (a *ask) checkModel() *apiError {
	switch {
	case a.model == "" && a.anthropic():
		return badRequest("", "", "model: Field required")
	case a.model == "":
		return badRequest("model", "missing_required_parameter", "you must provide a model parameter")
	case strings.HasPrefix(a.model, unknownModel):
		e := &apiError{
			status: http.StatusNotFound, kind: "invalid_request_error", code: "model_not_found",
			message: "The model `" + a.model + "` does not exist or you do not have access to it.",
		}
		if a.anthropic() {
			e.message = "model: " + a.model
		}
		return e
	}
	return nil
}

func (a *ask) requestID() string {
	r := a.random(forThat ^ forPads)
	if a.anthropic() {
		return r.id("req_011C", 20, base58)
	}
	return r.id("req_", 32, "0123456789abcdef")
}

// Headers that never change share their values: net/http only reads them.
var (
	headJSON       = []string{"application/json"}
	headSSE        = []string{"text/event-stream; charset=utf-8"}
	headNoSniff    = []string{"nosniff"}
	headHSTS       = []string{"max-age=31536000; includeSubDomains; preload"}
	headNoCache    = []string{"no-cache"}
	headExpose     = []string{"X-Request-ID"}
	headVersion    = []string{"2020-10-01"}
	headOrg        = []string{"stub-organization"}
	headTenK       = []string{"10000"}
	headTwoM       = []string{"2000000"}
	headReset      = []string{"6ms"}
	headOrgUUID    = []string{"5b1f0c52-0000-4000-8000-737475620a00"}
	headNoRobots   = []string{"none"}
	headRetryTrue  = []string{"true"}
	headAllowsPost = []string{http.MethodPost}
)

func (a *ask) setHeaders(h http.Header, p *reply) {
	ms := a.took()
	end := time.Unix(a.created()+int64(ms)/1000, 0).UTC()
	h["Date"] = []string{end.Format(http.TimeFormat)}
	h["Content-Type"] = headJSON
	if p.streamed() {
		h["Content-Type"] = headSSE
	}
	h["Strict-Transport-Security"] = headHSTS
	r := a.random(forThat ^ forText)
	left := []string{strconv.Itoa(9999 - r.below(500))}
	tokens := []string{strconv.Itoa(2000000 - a.tokens - r.below(50000))}
	if p.status == http.StatusMethodNotAllowed {
		h["Allow"] = headAllowsPost
	}
	if a.knobs.retryAfter != "" {
		h["Retry-After"] = []string{a.knobs.retryAfter}
	}
	if a.anthropic() {
		h["Request-Id"] = []string{a.requestID()}
		h["Anthropic-Organization-Id"] = headOrgUUID
		h["X-Robots-Tag"] = headNoRobots
		reset := []string{end.Format(time.RFC3339)}
		h["Anthropic-Ratelimit-Requests-Limit"] = headTenK
		h["Anthropic-Ratelimit-Requests-Remaining"] = left
		h["Anthropic-Ratelimit-Requests-Reset"] = reset
		h["Anthropic-Ratelimit-Tokens-Limit"] = headTwoM
		h["Anthropic-Ratelimit-Tokens-Remaining"] = tokens
		h["Anthropic-Ratelimit-Tokens-Reset"] = reset
		if p.streamed() {
			h["Cache-Control"] = headNoCache
		}
		if p.status == http.StatusTooManyRequests || p.status >= 500 {
			h["X-Should-Retry"] = headRetryTrue
		}
		return
	}
	h["X-Request-Id"] = []string{a.requestID()}
	h["Access-Control-Expose-Headers"] = headExpose
	h["X-Content-Type-Options"] = headNoSniff
	h["Openai-Version"] = headVersion
	h["Openai-Organization"] = headOrg
	h["Openai-Processing-Ms"] = []string{strconv.Itoa(ms)}
	h["X-Ratelimit-Limit-Requests"] = headTenK
	h["X-Ratelimit-Limit-Tokens"] = headTwoM
	h["X-Ratelimit-Remaining-Requests"] = left
	h["X-Ratelimit-Remaining-Tokens"] = tokens
	h["X-Ratelimit-Reset-Requests"] = headReset
	h["X-Ratelimit-Reset-Tokens"] = headReset
}
