package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

// Record is what became of one record of a file.
type Record struct {
	File       string
	Line       int
	Format     string
	Submission *steno.Submission
	Left       string // it is no event of its own, and why
	Err        error  // it could not be read
}

// Reader reads files of exported logs. Records that belong together, an OpenAI batch's requests and answers, the chunks of
// one call in Azure's gateway log, are joined across files; what still waits for its other half Rest gives.
type Reader struct {
	format string // "": found out for each record
	source string // origin.source; "": by format

	batch  batches
	llm    apimCalls
	traces map[string]langfuseTrace
}

// NewReader returns a reader of one format, or of whatever it finds for "".
func NewReader(format, source string) (*Reader, error) {
	if format != "" && !slices.Contains(Formats, format) {
		return nil, fmt.Errorf("there is no format %q; there are %s", format, strings.Join(Formats, ", "))
	}
	return &Reader{format: format, source: source, batch: newBatches(), llm: newAPIMCalls(), traces: map[string]langfuseTrace{}}, nil
}

// file is where records come from.
type file struct {
	name     string
	modified time.Time // stands for the time of a record that names none
}

// Read reads one file and calls yield with each record of it, until that says false.
func (r *Reader) Read(name string, modified time.Time, in io.Reader, yield func(Record) bool) error {
	f := file{name, modified}
	err := objects(in, func(o object) bool {
		rec := Record{File: name, Line: o.line, Err: o.err}
		if o.err == nil {
			rec.Format, rec.Submission, rec.Left, rec.Err = r.event(f, o)
		}
		if rec.Submission == nil && rec.Left == "" && rec.Err == nil {
			return true // it waits for its other half
		}
		return yield(r.finish(rec, modified))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Rest gives what still waited when the files were over.
func (r *Reader) Rest(yield func(Record) bool) {
	for rec := range r.batch.rest() {
		if !yield(r.finish(rec, rec.modified())) {
			return
		}
	}
	for rec := range r.llm.rest() {
		if !yield(r.finish(rec, rec.modified())) {
			return
		}
	}
}

func (rec *Record) modified() time.Time {
	if rec.Submission != nil {
		return rec.Submission.Time
	}
	return time.Time{}
}

// finish marks an event as imported, and sees that it can be recorded.
func (r *Reader) finish(rec Record, modified time.Time) Record {
	s := rec.Submission
	if s == nil || rec.Err != nil {
		rec.Submission = nil
		return rec
	}
	s.Imported = true
	if s.Origin == nil {
		s.Origin = &steno.Origin{}
	}
	o := s.Origin
	if r.source != "" {
		o.Source = r.source
	}
	if o.Source == "" {
		o.Source = rec.Format
	}
	if o.Kind == "" {
		o.Kind = "self_reported"
	}
	if s.Time.IsZero() && !modified.IsZero() {
		s.Time = modified.UTC()
		o.Assumed = append(o.Assumed, "time")
	}
	switch {
	case o.ID == "":
		rec.Err = errors.New("it has no id of its own, so it could be recorded twice")
	case s.Time.IsZero():
		rec.Err = errors.New("it has no time")
	default:
		if rec.Err = steno.Validate(&s.Event); rec.Err == nil && !steno.Submittable(s.Type) {
			rec.Err = fmt.Errorf("events of type %s are made by steno alone", s.Type)
		}
	}
	if rec.Err != nil {
		rec.Submission = nil
	}
	return rec
}

// event reads a record as what it is.
func (r *Reader) event(f file, o object) (format string, s *steno.Submission, left string, err error) {
	m, err := fieldsOf(o.raw)
	if err != nil {
		return "", nil, "", err
	}
	format = r.format
	if format == "" {
		if format = detect(m.members); format == "" {
			return "", nil, "", fmt.Errorf("it is of no format that is known; say which with --format (%s)", strings.Join(Formats, ", "))
		}
	}
	switch format {
	case "bedrock":
		s, err = bedrock(m)
	case "azure":
		s, left, err = r.azure(f, o, m)
	case "openai-batch":
		s, err = r.batch.take(f, o, m)
	case "litellm":
		s, err = litellm(m)
	case "langfuse":
		s, left, err = r.langfuse(m)
	case "classic":
		s, err = Flat(o.raw)
		if err == nil && s.Time.IsZero() {
			err = errors.New("timestamp is missing")
		}
		if err == nil && s.Origin.Source == "" {
			s.Origin.Source = "audit.log"
		}
	default:
		var d Decoded
		d, err = Decode(o.raw)
		s = d.Submission
		if err == nil && (s.Origin == nil || s.Origin.Source == "") {
			err = errors.New("origin.source is missing")
		}
	}
	if err == nil {
		err = m.wrong
	}
	return format, s, left, err
}

// detect finds the format by members that only one has.
func detect(m map[string]json.RawMessage) string {
	has := func(names ...string) bool {
		for _, n := range names {
			if m[n] == nil {
				return false
			}
		}
		return true
	}
	var text string
	switch {
	case has("specversion"), has("type", "origin"):
		return "events"
	case has("event_id"):
		return "classic"
	case has("schemaType") || has("modelId", "operation", "requestId"):
		return "bedrock"
	case has("custom_id"):
		return "openai-batch"
	case has("category") || has("Category") || has("resourceId", "operationName") || has("ResourceId", "CorrelationId"):
		return "azure"
	case has("request_id", "call_type") || has("request_id", "startTime", "spend"):
		return "litellm"
	case has("traceId", "type"), has("trace_id", "type", "start_time"), has("id", "timestamp", "name"), has("id", "projectId"), has("id", "timestamp", "userId"):
		return "langfuse"
	}
	if json.Unmarshal(m["type"], &text) == nil && steno.Submittable(text) {
		return "events"
	}
	return ""
}

// details adds what has no place of its own.
func details(s *steno.Submission, left map[string]json.RawMessage) {
	if len(left) == 0 {
		return
	}
	if s.System == nil {
		s.System = &steno.System{Action: "logged"}
	}
	if s.System.Details == nil {
		s.System.Details = map[string]json.RawMessage{}
	}
	for name, v := range left {
		s.System.Details[name] = v
	}
}

// newCall is the beginning of every imported call.
func newCall(source, kind, id string) *steno.Submission {
	return &steno.Submission{Event: steno.Event{
		Type: "inference.call", Origin: &steno.Origin{Source: source, ID: id, Kind: kind}, Model: &steno.Model{}, Result: &steno.Result{},
	}}
}

// tokens is the usage of counts as they stand in a log; zeros in all of them mean that nothing was counted.
func tokens(input, output, total *int64) *steno.Usage {
	zero := true
	for _, n := range []*int64{input, output, total} {
		zero = zero && (n == nil || *n <= 0)
	}
	if zero {
		return nil
	}
	return &steno.Usage{Source: "reported", Input: input, Output: output, Total: total}
}

// latency is the milliseconds between two times.
func latency(from, to time.Time) *steno.Timing {
	if from.IsZero() || to.Before(from) {
		return nil
	}
	return &steno.Timing{Received: from.UTC(), Finished: to.UTC(), LatencyMS: float64(to.Sub(from).Microseconds()) / 1000}
}

// messages turns a list of messages of role and content, as most APIs have it, into that of OpenTelemetry's conventions;
// what is none stays as it is.
func messages(raw json.RawMessage) json.RawMessage {
	var list []map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 {
		return raw
	}
	type part map[string]any
	type message struct {
		Role  string `json:"role"`
		Parts []part `json:"parts"`
	}
	out := make([]message, 0, len(list))
	for _, m := range list {
		var n message
		if json.Unmarshal(m["role"], &n.Role) != nil || m["parts"] != nil {
			return raw
		}
		delete(m, "role")
		var text string
		if json.Unmarshal(m["content"], &text) == nil && m["content"] != nil {
			if text != "" || len(m) == 1 {
				n.Parts = append(n.Parts, part{"type": "text", "content": text})
			}
			delete(m, "content")
		}
		for name, v := range m {
			if string(v) == "null" {
				delete(m, name)
			}
		}
		if len(m) > 0 { // blocks, tool calls, names: as they came
			n.Parts = append(n.Parts, part{"type": "other", "content": m})
		}
		out = append(out, n)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return raw
	}
	return b
}

// words is a value that says something: not null, "", {} or [].
func words(v json.RawMessage) json.RawMessage {
	switch string(compact(v)) {
	case "", "null", `""`, "{}", "[]":
		return nil
	}
	var s string // JSON in a string
	if json.Unmarshal(v, &s) == nil && (strings.HasPrefix(s, "[") || strings.HasPrefix(s, "{")) && json.Valid([]byte(s)) {
		return words(json.RawMessage(s))
	}
	return v
}
