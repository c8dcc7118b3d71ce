package dialect

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/steno-audit/steno"
)

// bedrock is the grammar of Amazon Bedrock's runtime: Converse, which is the same for every model, and InvokeModel, whose
// bodies are those of the models' makers (bedrock_invoke.go).
type bedrock struct{}

func (bedrock) call(c *Call, method, path string) {
	kind, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	id, verb, _ := strings.Cut(rest, "/") // an ARN in it has its slashes escaped
	if method != http.MethodPost || id == "" {
		return
	}
	switch kind {
	case "model":
		c.Model = id
		if plain, err := url.PathUnescape(id); err == nil {
			c.Model = clip([]byte(plain), maxName)
		}
		switch verb {
		case "converse", "converse-stream":
			c.API, c.Operation, c.Stream = "converse", "chat", verb != "converse"
		case "invoke", "invoke-with-response-stream":
			c.API, c.Operation, c.Stream = "invoke_model", invokeOperation(c.Model), verb != "invoke"
		case "count-tokens":
			c.API, c.Operation = "count_tokens", "count_tokens"
		}
	case "guardrail":
		if strings.HasPrefix(verb, "version/") && strings.HasSuffix(verb, "/apply") {
			c.API, c.Operation = "apply_guardrail", "moderation"
		}
	}
}

// invokeOperation is what a model does, by its name: the path and the body do not say.
func invokeOperation(model string) string {
	for _, m := range [...]struct{ in, operation string }{
		{"embed", "embeddings"},
		{"stability.", "generate_content"},
		{"titan-image", "generate_content"},
		{"nova-canvas", "generate_content"},
		{"titan-text", "text_completion"},
		{"titan-tg1", "text_completion"},
		{"ai21.j2", "text_completion"},
		{"cohere.command-text", "text_completion"},
		{"cohere.command-light", "text_completion"},
		{"meta.llama", "text_completion"},
	} {
		if strings.Contains(model, m.in) {
			return m.operation
		}
	}
	return "chat"
}

func (bedrock) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "converse":
		a.converse(n)
	case "invoke_model":
		a.invoked(n)
	case "count_tokens":
		a.known = t.get(n, "inputTokens") != 0
	case "apply_guardrail":
		a.guarded(n)
	}
	if !a.known {
		a.awsError(n)
	}
}

func (bedrock) event(s *Stream, _ string, _ int) {
	name := string(s.name)
	switch {
	case s.frames.raised != "":
		s.answer.failed = s.frames.raised
		s.terminal()
	case s.answer.call.API == "converse":
		s.converseEvent(name, root)
	case s.answer.call.API == "invoke_model" && name == "chunk":
		s.chunkEvent()
	}
}

func (bedrock) refusal(_ int, _, message string) any {
	return struct {
		Message string `json:"message"`
	}{message}
}

// ErrorHeader names a header in which the dialect's clients look for the kind of an error, and what has to stand in it;
// "" where the body says it all.
func (c Call) ErrorHeader(status int) (name, value string) {
	if c.Dialect != Bedrock {
		return "", ""
	}
	value = "ValidationException"
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		value = "AccessDeniedException"
	case status == http.StatusNotFound:
		value = "ResourceNotFoundException"
	case status == http.StatusTooManyRequests:
		value = "ThrottlingException"
	case status == http.StatusServiceUnavailable:
		value = "ServiceUnavailableException"
	case status == http.StatusGatewayTimeout:
		value = "ModelTimeoutException"
	case status >= 500:
		value = "InternalServerException"
	}
	return "x-amzn-errortype", value
}

// awsError reads an error's body; most say what they are only in a header.
func (a *answer) awsError(n int) {
	t := a.reader.tape
	if t.shape(t.get(n, "message")) != text && t.shape(t.get(n, "Message")) != text {
		return
	}
	a.failed = "error"
	if typ := t.str(t.get(n, "__type"), 128); typ != "" {
		_, after, found := strings.Cut(typ, "#")
		if !found {
			after = typ
		}
		if !strings.ContainsFunc(after, notWord) {
			a.failed = after
		}
	}
}

// amazon adds what Bedrock says in headers: the kind of an error, and usage where the body has none.
func (r *Response) amazon(h http.Header) {
	if typ, _, _ := strings.Cut(h.Get("x-amzn-errortype"), ":"); typ != "" && r.Result.End == steno.EndProviderError {
		r.Result.ErrorType = clip([]byte(typ), 96)
	}
	if tier := h.Get("x-amzn-bedrock-service-tier"); tier != "" && r.Model.ServiceTier == "" {
		r.Model.ServiceTier = clip([]byte(tier), 64)
	}
	u := r.Result.Usage
	if u == nil || u.Source != "absent" || r.Result.End != steno.EndComplete {
		return
	}
	in, read, write := headerCount(h, "input"), headerCount(h, "cache-read-input"), headerCount(h, "cache-write-input")
	got := usage{input: in, output: headerCount(h, "output"), cacheRead: read, cacheWrite: write, excluding: true, final: true}
	if got.input != nil || got.output != nil {
		r.Result.Usage = got.facts()
	}
}

func headerCount(h http.Header, what string) *int64 {
	t := tape{}
	if t.parse([]byte(h.Get("x-amzn-bedrock-"+what+"-token-count"))) < 0 {
		return nil
	}
	if n := t.integer(root); n != nil && *n >= 0 {
		return n
	}
	return nil
}

// converse reads an answer of Converse.
func (a *answer) converse(n int) {
	t := a.reader.tape
	msg := t.get(t.get(n, "output"), "message")
	a.known = t.shape(msg) == object || t.get(n, "stopReason") != 0
	if t.shape(msg) == object {
		a.reader.message(msg)
	}
	a.converseEnd(n)
}

// converseEnd reads what stands beside the message: why it ended, usage, tier, and what guardrails and a router did.
func (a *answer) converseEnd(n int) {
	t := a.reader.tape
	a.stoppedFor(t.str(t.get(n, "stopReason"), 64))
	a.usage.bedrock(t, t.get(n, "usage"))
	if tier := t.str(t.get(t.get(n, "serviceTier"), "type"), 64); tier != "" {
		a.model.ServiceTier = tier
	}
	trace := t.get(n, "trace")
	if id := t.str(t.get(t.get(trace, "promptRouter"), "invokedModelId"), maxName); id != "" {
		a.model.Answered = id
	}
	a.guardrail(t.get(trace, "guardrail"))
}

// stoppedFor notes why the answer ended.
func (a *answer) stoppedFor(reason string) {
	if reason == "" {
		return
	}
	a.choice(0).finish = reason
	switch reason {
	case "guardrail_intervened", "content_filtered", "refusal":
		a.refuse(reason, "out", nil)
	}
}

// converseEvent reads an event of ConverseStream, the value n.
func (s *Stream) converseEvent(name string, n int) {
	a, t := s.answer, &s.tape
	at := slot{index: t.index(t.get(n, "contentBlockIndex"), 0), field: 'c'}
	switch name {
	case "messageStart":
		a.known, a.usage.asked = true, true // metadata will have it
	case "contentBlockStart":
		s.converseStart(t.get(n, "start"), at)
	case "contentBlockDelta":
		s.converseDelta(t.get(n, "delta"), at)
	case "messageStop":
		a.known = true
		a.stoppedFor(t.str(t.get(n, "stopReason"), 64))
	case "metadata":
		a.known = true
		s.terminal()
		a.converseEnd(n)
	}
}

func (s *Stream) converseStart(n int, at slot) {
	r := &s.answer.reader
	if use := r.get(n, "toolUse"); r.shape(use) == object {
		at.field = 'f'
		s.first = true
		s.append(at, item{
			kind: steno.KindToolCall, origin: "output", toolType: converseToolType(r.tape, use),
			name: r.str(r.get(use, "name"), maxName), id: r.str(r.get(use, "toolUseId"), maxName),
		})
	}
}

func converseToolType(t *tape, use int) string {
	if t.is(t.get(use, "type"), "server_tool_use") {
		return "extension"
	}
	return "function"
}

func (s *Stream) converseDelta(n int, at slot) {
	r := &s.answer.reader
	words := item{origin: "output"}
	s.fragment(r.get(n, "text"), at, words)
	if use := r.get(n, "toolUse"); use != 0 {
		at.field, words.kind = 'f', steno.KindToolCall
		s.fragment(r.get(use, "input"), at, words)
	}
	if why := r.get(n, "reasoningContent"); why != 0 {
		at.field, words.kind = 't', steno.KindReasoning
		s.fragment(r.get(why, "text"), at, words)
	}
	for el := range r.elements(r.get(n, "toolResult")) {
		at.field = 'w'
		s.fragment(r.get(el, "text"), at, item{kind: steno.KindToolResult, origin: "tool"})
	}
	if c := r.get(n, "citation"); r.shape(c) == object {
		r.converseCitation(c)
	}
}

// chunkEvent reads an event of InvokeModelWithResponseStream: base64 of what the model's maker would send.
func (s *Stream) chunkEvent() {
	r := &s.answer.reader
	coded := s.tape.bytes(s.tape.get(root, "bytes"))
	data, err := base64.StdEncoding.DecodeString(string(coded))
	if err != nil || s.tape.parse(data) < 0 || s.tape.shape(root) != object {
		s.bad++
		return
	}
	r.scattered, r.base, r.end = true, s.from, s.from+frameOverhead+len(coded)
	s.invokedChunk()
}

// converseBlock reads a content block of Converse: blocks have no type, but one member that names them. It is false for
// a block of another dialect, or one that is only text.
func (r *reader) converseBlock(n int, origin string, kind steno.Kind) bool {
	known := false
	for k, v := range r.members(n) {
		if r.shape(v) != object {
			continue
		}
		known = true
		switch string(r.bytes(k)) {
		case "toolUse":
			r.call(r.get(v, "input"), r.get(v, "name"), r.get(v, "toolUseId"), converseToolType(r.tape, v))
		case "toolResult":
			r.converseResult(v)
		case "reasoningContent":
			r.words(r.get(r.get(v, "reasoningText"), "text"), origin, steno.KindReasoning)
			r.mediaOf(r.get(v, "redactedContent"), "redacted thinking", steno.KindReasoning)
		case "guardContent":
			r.words(r.get(r.get(v, "text"), "text"), origin, kind)
			r.converseMedia(r.get(v, "image"), "image", kind)
		case "citationsContent":
			r.content(r.get(v, "content"), origin, kind)
			for c := range r.elements(r.get(v, "citations")) {
				r.converseCitation(c)
			}
		case "image", "video", "audio":
			r.converseMedia(v, string(r.bytes(k)), kind)
		case "document", "searchResult":
			r.converseDocument(v)
		case "cachePoint":
		default:
			known = false
		}
		if known {
			r.words(r.get(n, "text"), origin, kind)
			return true
		}
	}
	return false
}

// converseResult reads what a tool gave back: blocks of text, JSON, or media.
func (r *reader) converseResult(n int) {
	first := len(r.items)
	for el := range r.elements(r.get(n, "content")) {
		if v := r.get(el, "json"); v != 0 {
			r.add(v, item{kind: steno.KindToolResult, origin: "tool"})
			r.docs.fromToolText(r.raw(v))
			continue
		}
		r.block(el, "tool", steno.KindToolResult)
	}
	if r.detail {
		if len(r.items) == first {
			r.add(0, item{kind: steno.KindToolResult})
		}
		for i := first; i < len(r.items); i++ {
			r.items[i].id = r.str(r.get(n, "toolUseId"), maxName)
		}
	}
}

// converseMedia reads an image, a video or a sound: {format, source: {bytes} or {s3Location: {uri}}}.
func (r *reader) converseMedia(n int, what string, kind steno.Kind) {
	if !r.detail || r.shape(n) != object {
		return
	}
	if f := r.str(r.get(n, "format"), 32); f != "" {
		what += "/" + f
	}
	src := r.get(n, "source")
	if uri := r.str(r.get(r.get(src, "s3Location"), "uri"), 128); uri != "" {
		r.add(0, item{kind: kind, media: what + " at " + uri})
		return
	}
	r.mediaOf(r.get(src, "bytes"), what, kind)
}

// converseDocument reads a document or a search result.
func (r *reader) converseDocument(n int) {
	src := r.get(n, "source")
	doc := steno.Document{Title: r.str(r.get(n, "name"), maxTitle), Origin: "document"}
	if title := r.str(r.get(n, "title"), maxTitle); title != "" {
		doc.Title = title
	}
	doc.ID = r.str(src, maxName)
	if doc.ID == "" {
		doc.ID = r.str(r.get(r.get(src, "s3Location"), "uri"), maxName)
	}
	r.docs.add(doc)
	first := len(r.items)
	r.words(r.get(n, "context"), "document", steno.KindContext)
	r.words(r.get(src, "text"), "document", steno.KindContext)
	r.content(r.get(src, "content"), "document", steno.KindContext)
	r.content(r.get(n, "content"), "document", steno.KindContext)
	if len(r.items) == first {
		r.converseMedia(n, "document", steno.KindContext)
	}
	if r.detail {
		if len(r.items) == first {
			r.add(0, item{kind: steno.KindContext})
		}
		r.items[first].doc = &doc
	}
}

func (r *reader) converseCitation(n int) {
	if !r.answer || r.docs == nil {
		return
	}
	doc := steno.Document{
		ID: r.str(r.get(n, "source"), maxName), Title: r.str(r.get(n, "title"), maxTitle), Origin: "citation",
	}
	if url := r.str(r.get(r.get(r.get(n, "location"), "web"), "url"), maxName); url != "" && doc.ID == "" {
		doc.ID = url
	}
	r.docs.add(doc)
}
