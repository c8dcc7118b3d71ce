package dialect

import (
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
)

// Response is what an answer says.
type Response struct {
	// Pieces are the body's: steno.Join(Pieces) is the body. A Stream's Response has none, since its bytes went by.
	Pieces     []steno.Piece
	Result     steno.Result
	Model      steno.Model // what the answer says of it: Answered, Version, Fingerprint, ServiceTier
	Documents  []steno.Document
	Findings   []steno.Finding // what the provider itself said
	Texts      []Text
	Media      bool // tokens of other than text were counted that have prices of their own
	FirstToken bool // some answer text, tool call or reasoning is in it
	Understood bool
	Problem    string // why it is not understood, or what is odd in it
}

// ParseResponse reads an answer's body, content encoding undone: JSON, or a stream of server-sent events as a whole.
// It never fails: what is not understood is one piece of kind body. usageRequested says that the request asked for
// usage in the stream, so that usage which is missing from a cut one is partial and not absent.
func (c Call) ParseResponse(status int, h http.Header, body []byte, usageRequested bool) *Response {
	if s := c.newStream(c.framingOf(h, body)); s != nil {
		s.answer.usage.asked = usageRequested
		s.Feed(body)
		r := s.Response(status, h)
		r.Pieces = split(nil, steno.KindOutput, body)
		return r
	}
	if c.unstructured(status, h) {
		return c.whole(status, h, body)
	}
	t := newTape()
	defer t.free()
	a := newAnswer(c, t)
	r := a.body(status, body)
	r.headers(status, h)
	r.Result.Bytes = int64(len(body))
	return r
}

// framingOf is how an answer is cut into events, from its Content-Type, or from how it begins where there is none.
func (c Call) framingOf(h http.Header, body []byte) framing {
	if media := h.Get("Content-Type"); media != "" {
		return c.framing(media)
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if bytes.HasPrefix(body, []byte("data:")) || bytes.HasPrefix(body, []byte("event:")) {
		return framingSSE
	}
	return c.framing("")
}

// headers adds what stands in the status line and the headers.
func (r *Response) headers(status int, h http.Header) {
	r.Result.Status = status
	for _, name := range [...]string{"request-id", "x-request-id", "x-amzn-requestid", "apim-request-id"} {
		if r.Result.RequestID == "" {
			r.Result.RequestID = clip([]byte(h.Get(name)), maxName)
		}
	}
	r.Result.RetryAfter = clip([]byte(h.Get("Retry-After")), 64)
	r.amazon(h)
}

// An answer gathers the facts of one answer, from JSON or from the events of a stream.
type answer struct {
	call       Call
	reader     reader
	documents  documents
	confidence confidence
	usage      usage
	result     steno.Result
	model      steno.Model
	findings   []steno.Finding
	choices    []choice
	failed     string   // the provider's type of an error in the answer
	sound      int      // bytes of speech so far, in a stream
	turns      int      // of a conversation that was kept
	written    []string // ids of a run's messages and steps, in a stream
	known      bool     // something of the API's shape was seen
}

// A choice is one of several answers to a request.
type choice struct {
	index  int
	finish string
}

func newAnswer(c Call, t *tape) *answer {
	a := &answer{call: c}
	a.reader = reader{tape: t, answer: true, detail: true, docs: &a.documents, confidence: &a.confidence}
	return a
}

// body reads a JSON body.
func (a *answer) body(status int, body []byte) *Response {
	t := a.reader.tape
	r := &Response{}
	end := -1
	if len(body) > 0 {
		end = t.parse(body)
	}
	switch {
	case len(body) == 0:
		r.Problem = "the body is empty"
	case end < 0:
		r.Problem = t.fault.problem("the body")
	case t.shape(t.answered()) != object:
		r.Problem = "the body is no JSON object"
	case a.call.API == "":
		r.Problem = "this path is not understood"
		a.error(t.answered())
	default:
		if end < len(body) {
			r.Problem = "bytes follow the JSON value, from byte " + strconv.Itoa(end)
		}
		a.object(t.answered())
		a.usage.final = true
		r.Understood = a.known || a.failed != ""
		if !r.Understood {
			r.Problem = "the body has not the shape of this API's answers"
		}
	}
	a.finish(r, status)
	kind := steno.KindOutput
	if !r.Understood {
		kind = steno.KindBody
		if len(body) > 0 && bytes.IndexByte(body, 0) < 0 && a.call.Operation != "embeddings" {
			r.Texts = []Text{{Start: 0, End: len(body), Origin: "output", New: true, plain: true}}
		}
		if t.fault.cut && len(body) > 0 && r.Result.End == steno.EndComplete {
			r.Result.End = steno.EndUpstreamCut
		}
		if a.call.API != "" {
			r.Result.EndDetail = r.Problem
		}
	}
	r.Pieces = split(nil, kind, body)
	return r
}

// answered is the value that is the answer: the root, or the error that Google's OpenAI-compatible side puts into an array.
func (t *tape) answered() int {
	if el := root + 1; t.shape(root) == array && el < len(t.nodes) && t.has(t.get(el, "error")) {
		return el
	}
	return root
}

// object reads a whole answer of the call's API.
func (a *answer) object(n int) {
	t := a.reader.tape
	if a.error(n) && !t.has(t.get(n, "choices")) && !t.has(t.get(n, "output")) {
		return
	}
	a.call.grammar().object(a, n)
}

// head reads the members that most answers begin with.
func (a *answer) head(n int) {
	t := a.reader.tape
	set := func(dst *string, name string) {
		if v := t.get(n, name); v != 0 && !t.is(v, *dst) {
			if s := t.str(v, maxName); s != "" {
				*dst = s
			}
		}
	}
	set(&a.result.ID, "id")
	set(&a.model.Answered, "model")
	set(&a.model.Fingerprint, "system_fingerprint")
	set(&a.model.ServiceTier, "service_tier")
}

// error reads an error object, in the places where providers put one.
func (a *answer) error(n int) bool {
	t := a.reader.tape
	e := t.get(n, "error")
	if !t.has(e) && t.is(t.get(n, "object"), "error") { // Mistral, vLLM
		e = n
	}
	if !t.has(e) {
		return false
	}
	if id := t.str(t.get(n, "request_id"), maxName); id != "" {
		a.result.RequestID = id
	}
	a.failed = a.errorType(e)
	a.filterError(e)
	return true
}

// errorType is the provider's word for an error: its code, else its type or status, if it is a word and not a sentence; a
// number only where there is no word.
func (a *answer) errorType(e int) string {
	t := a.reader.tape
	code := "error"
	for _, name := range [...]string{"code", "type", "status"} {
		v := t.get(e, name)
		s := t.str(v, 96)
		if t.shape(v) == number {
			s = clip(t.inner(v), 96)
		}
		switch {
		case s == "" || s == "error" || strings.ContainsFunc(s, notWord):
		case strings.ContainsFunc(s, notDigit):
			return s
		case code == "error":
			code = s
		}
	}
	return code
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

func notWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '.' && r != '/'
}

// refuse notes that the provider refused, once for each rule.
func (a *answer) refuse(rule, direction string, at *steno.Span) {
	a.result.Refusal = true
	for _, f := range a.findings {
		if f.Rule == rule {
			return
		}
	}
	a.findings = append(a.findings, steno.Finding{
		Flag: "refusal", Rule: rule, Source: a.call.Dialect, Direction: direction, Span: at, Score: 1, Action: "record",
	})
}

// Limits on what a provider may say of one answer.
const (
	maxChoices  = 1024
	maxFindings = 64
)

// choice finds or makes the choice of an index.
func (a *answer) choice(index int) *choice {
	for i := range a.choices {
		if a.choices[i].index == index {
			return &a.choices[i]
		}
	}
	if len(a.choices) >= maxChoices {
		return &a.choices[maxChoices-1]
	}
	a.choices = append(a.choices, choice{index: index})
	return &a.choices[len(a.choices)-1]
}

// finish turns what was gathered into the Response. r.Understood is set already.
func (a *answer) finish(r *Response, status int) {
	r.Result, r.Model, r.Documents, r.Findings = a.result, a.model, a.documents.list, a.findings
	slices.SortFunc(a.choices, func(x, y choice) int { return x.index - y.index })
	for _, c := range a.choices {
		if c.finish != "" {
			r.Result.FinishReasons = append(r.Result.FinishReasons, c.finish)
		}
	}
	switch {
	case status >= 300:
		r.Result.End = steno.EndProviderError
	case a.failed != "":
		r.Result.End = steno.EndErrorInAnswer
	default:
		r.Result.End = steno.EndComplete
	}
	if r.Result.End != steno.EndComplete {
		r.Result.ErrorType = a.failed
		if (a.failed == "" || a.failed == "error") && status >= 300 {
			r.Result.ErrorType = strconv.Itoa(status)
		}
	}
	for _, it := range a.reader.items {
		r.FirstToken = r.FirstToken || it.end > it.start || it.kind == steno.KindToolCall
		if it.kind == steno.KindToolCall && len(r.Result.ToolCalls) < maxItems {
			r.Result.ToolCalls = append(r.Result.ToolCalls, steno.ToolCall{ID: it.id, Name: it.name, Type: it.toolType})
		}
		if it.origin == "" || it.end <= it.start {
			continue
		}
		if it.refusal {
			a.refuse("refusal", "out", &steno.Span{Body: "response", Start: it.start, End: it.end})
		}
		r.Texts = append(r.Texts, Text{
			Start: it.start, End: it.end, Origin: it.origin, New: true, plain: it.plain, joined: it.joined,
		})
	}
	r.Result.Refusal, r.Findings, r.Media = a.result.Refusal, a.findings, a.usage.media
	r.Result.Confidence = a.confidence.facts()
	if a.call.Generates() {
		r.Result.Usage = a.usage.facts()
	}
	if isDated(a.model.Answered) {
		r.Model.Version, r.Model.VersionSource = Version("", a.model.Answered)
	}
	for i := range r.Findings {
		r.Findings[i].Version = a.model.Answered
	}
}

// Version is the version of the model that answered, and where it was read: the answered name, if it carries a date or
// is another than was asked for. Otherwise the version is unknown.
func Version(asked, answered string) (version, source string) {
	if answered == "" || !isDated(answered) && (asked == "" || asked == answered) {
		return "", ""
	}
	return answered, "response.model"
}

// isDated says whether a model's name has a date or a month and day in it: -20250929, -2024-07-18, -0613.
func isDated(name string) bool {
	digits := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i]-'0' < 10 {
			digits++
			continue
		}
		at := i - digits
		if (digits == 4 || digits == 8) && at > 0 && strings.IndexByte("-@:_", name[at-1]) >= 0 {
			return true
		}
		digits = 0
	}
	return false
}
