package foreign

import (
	"encoding/json"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

// batches joins the two files of an OpenAI batch by custom_id: the requests that were handed in, and the answers. The
// latter are the provider's own.
type batches struct {
	requests map[string]*half
	answers  map[string]*half
	order    []string
}

// half is one side that waits for the other.
type half struct {
	f      file
	line   int
	fields *fields
}

func newBatches() batches {
	return batches{requests: map[string]*half{}, answers: map[string]*half{}}
}

// take reads one line of either file, and returns the call when both sides are there.
func (b *batches) take(f file, o object, m *fields) (*steno.Submission, error) {
	id := m.text("custom_id")
	h := &half{f, o.line, m}
	if m.members["response"] != nil || m.members["error"] != nil {
		if request := b.requests[id]; request != nil {
			delete(b.requests, id)
			return batchCall(id, request, h)
		}
		b.answers[id] = h
	} else {
		if answer := b.answers[id]; answer != nil {
			delete(b.answers, id)
			return batchCall(id, h, answer)
		}
		b.requests[id] = h
	}
	b.order = append(b.order, id)
	return nil, m.wrong
}

// rest gives the sides whose other never came.
func (b *batches) rest() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, id := range b.order {
			for _, side := range []map[string]*half{b.requests, b.answers} {
				h := side[id]
				if h == nil {
					continue
				}
				delete(side, id)
				rec := Record{File: h.f.name, Line: h.line, Format: "openai-batch"}
				if h.fields.members["response"] != nil || h.fields.members["error"] != nil {
					rec.Submission, rec.Err = batchCall(id, nil, h)
				} else {
					rec.Submission, rec.Err = batchCall(id, h, nil)
				}
				if rec.Submission != nil && rec.Submission.Time.IsZero() {
					rec.Submission.Time = h.f.modified.UTC()
					rec.Submission.Origin.Assumed = append(rec.Submission.Origin.Assumed, "time")
				}
				if !yield(rec) {
					return
				}
			}
		}
		b.order = nil
	}
}

func batchCall(id string, request, answer *half) (*steno.Submission, error) {
	s := newCall("openai-batch", "self_reported", id)
	s.Model.Provider, s.Model.Dialect = "openai", "openai"
	s.Result.End, s.Result.EndDetail = steno.EndUnknown, "no answer was in the files"
	var modified time.Time
	url := "https://api.openai.com/v1/chat/completions"
	left := map[string]json.RawMessage{}
	if request != nil {
		m := request.fields
		modified = request.f.modified
		body := words(m.value("body"))
		s.Model.Asked = member(body, "model")
		if path := m.text("url"); path != "" {
			url = "https://api.openai.com" + path
		}
		s.Request = &steno.Message{Method: orElse(m.text("method"), http.MethodPost), URL: url, Headers: jsonHeaders(""), Body: body}
		if len(body) == 0 {
			s.Request = nil
		}
		left = m.left()
		if m.wrong != nil {
			return s, m.wrong
		}
	}
	if answer != nil {
		m := answer.fields
		modified = answer.f.modified
		s.Origin.Kind = "independent"
		if batchID := m.text("id"); batchID != "" {
			s.Origin.ID = batchID
			left["custom_id"], _ = json.Marshal(id) // a string always marshals
		}
		s.Result.End, s.Result.EndDetail = steno.EndComplete, ""
		resp := m.in("response")
		if body := words(resp.value("body")); body != nil {
			status := resp.count("status_code")
			s.Response = &steno.Message{Status: int(zeroIfNil(status)), Headers: jsonHeaders(""), Body: body}
			if rid := resp.text("request_id"); rid != "" {
				s.Response.Headers.Set("X-Request-Id", rid)
			}
			if s.Model.Asked == "" {
				s.Model.Asked = member(body, "model")
			}
			if created, _, err := parseTime(json.RawMessage(orElse(rawMember(body, "created", "created_at"), "null"))); err == nil {
				s.Time = created
			}
			if s.Request == nil {
				s.Model.Method, s.Model.Path = http.MethodPost, batchPath(body)
			}
			if status != nil && *status >= 400 {
				s.Result.End = steno.EndProviderError
			}
		}
		if fault := m.in("error"); len(fault.members) > 0 {
			s.Result.End, s.Result.ErrorType = steno.EndProviderError, fault.text("code")
			for name, v := range fault.left() {
				left["error."+name] = v
			}
		}
		for name, v := range m.left() {
			left[name] = v
		}
		if m.wrong != nil || resp.wrong != nil {
			return s, firstError(m.wrong, resp.wrong)
		}
	}
	if s.Model.Asked == "" {
		s.Model.Asked = "unknown" // an answer that failed names none, and its request is not at hand
	}
	if s.Time.IsZero() {
		s.Time = modified.UTC()
		s.Origin.Assumed = append(s.Origin.Assumed, "time")
	}
	details(s, left)
	return s, nil
}

// batchPath tells which API answered from the kind of object that it answered with.
func batchPath(body []byte) string {
	switch object := member(body, "object"); {
	case object == "response":
		return "/v1/responses"
	case object == "text_completion":
		return "/v1/completions"
	case object == "list":
		return "/v1/embeddings"
	case strings.HasPrefix(member(body, "id"), "modr"):
		return "/v1/moderations"
	}
	return "/v1/chat/completions"
}

func member(body []byte, name string) string {
	var s string
	_ = json.Unmarshal([]byte(rawMember(body, name)), &s) // absent or no string: empty
	return s
}

func rawMember(body []byte, names ...string) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(body, &m) != nil {
		return ""
	}
	return string(firstOf(m, names...))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
