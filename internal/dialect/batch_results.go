package dialect

import (
	"bytes"
	"slices"

	"github.com/steno-audit/steno"
)

// isText says whether a body is worth being looked at as words.
func isText(body []byte) bool { return bytes.IndexByte(body[:min(len(body), 4096)], 0) < 0 }

// results reads the answers of a batch, a line of JSON each, as OpenAI gives them in a file and Anthropic under the batch:
// their usage is summed up, their ends and findings are put together. It is false if the body is no such file.
func (c Call) results(r *Response, body []byte) bool {
	t := newTape()
	defer t.free()
	seen, at := false, 0
	for line := range bytes.Lines(body) {
		start := at
		at += len(line)
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		one, ok := c.result(t, line)
		if !ok {
			if !seen {
				return false
			}
			r.Problem = "a line of the results could not be read"
			continue
		}
		seen = true
		if one != nil {
			r.join(one, start)
		}
	}
	if r.Result.Usage != nil && r.Result.Usage.Source == "reported" {
		r.Model.ServiceTier = "batch"
	}
	return seen
}

// result reads one line; nil if it has no answer in it.
func (c Call) result(t *tape, line []byte) (*Response, bool) {
	if t.parse(line) < 0 || t.get(root, "custom_id") == 0 {
		return nil, false
	}
	n := t.get(t.get(root, "response"), "body")
	sub := Call{Dialect: c.Dialect, API: "chat_completions", Operation: "chat"}
	switch {
	case t.shape(t.get(t.get(root, "result"), "message")) == object:
		n = t.get(t.get(root, "result"), "message")
		sub.API = "messages"
	case n == 0 && (t.get(root, "result") != 0 || t.get(root, "error") != 0 || t.get(root, "response") != 0):
		return nil, true // errored, expired or cancelled
	case t.shape(n) != object:
		return nil, false
	case t.shape(t.get(n, "output")) == array:
		sub.API = "responses"
	case t.shape(t.get(n, "data")) == array:
		sub.API, sub.Operation = "embeddings", "embeddings"
	case t.shape(t.get(n, "results")) == array:
		sub.API, sub.Operation = "moderations", "moderation"
	}
	a := newAnswer(sub, t)
	a.object(n)
	a.usage.final = true
	one := &Response{Understood: a.known}
	a.finish(one, 200)
	return one, true
}

// join adds one result, which began at an offset of the body.
func (r *Response) join(one *Response, at int) {
	for _, w := range one.Texts {
		if len(r.Texts) < maxItems {
			w.Start, w.End = w.Start+at, w.End+at
			r.Texts = append(r.Texts, w)
		}
	}
	for _, f := range one.Findings {
		if len(r.Findings) < maxFindings {
			if f.Span != nil {
				f.Span = &steno.Span{Body: f.Span.Body, Start: f.Span.Start + at, End: f.Span.End + at}
			}
			r.Findings = append(r.Findings, f)
		}
	}
	for _, d := range one.Documents {
		if len(r.Documents) < maxDocuments {
			r.Documents = append(r.Documents, d)
		}
	}
	for _, reason := range one.Result.FinishReasons { // which there are, each once: a batch has up to 100,000 answers
		if len(r.Result.FinishReasons) < maxChoices && !slices.Contains(r.Result.FinishReasons, reason) {
			r.Result.FinishReasons = append(r.Result.FinishReasons, reason)
		}
	}
	r.Result.ToolCalls = append(r.Result.ToolCalls, one.Result.ToolCalls[:min(len(one.Result.ToolCalls), maxItems-len(r.Result.ToolCalls))]...)
	r.Result.Refusal = r.Result.Refusal || one.Result.Refusal
	if r.Model.Answered == "" {
		r.Model.Answered = one.Model.Answered
	}
	u := one.Result.Usage
	if u == nil || u.Source == "absent" {
		return
	}
	if r.Result.Usage == nil || r.Result.Usage.Source == "absent" {
		r.Result.Usage = &steno.Usage{Source: "reported"}
	}
	sum := r.Result.Usage
	for _, f := range []struct{ to, from **int64 }{
		{&sum.Input, &u.Input},
		{&sum.Output, &u.Output},
		{&sum.CacheRead, &u.CacheRead},
		{&sum.CacheWrite, &u.CacheWrite},
		{&sum.Reasoning, &u.Reasoning},
		{&sum.Total, &u.Total},
	} {
		if *f.from != nil {
			v := **f.from
			if *f.to != nil {
				v += **f.to
			}
			*f.to = &v
		}
	}
}
