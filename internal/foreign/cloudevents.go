package foreign

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// BinaryCloudEvent says whether a request carries a CloudEvent in binary mode: its attributes are headers.
func BinaryCloudEvent(h http.Header) bool { return h.Get("Ce-Specversion") != "" }

// StructuredCloudEvent turns a CloudEvent in binary mode into the JSON format.
func StructuredCloudEvent(h http.Header, body []byte) ([]byte, error) {
	m := map[string]any{}
	for name, values := range h {
		if attr, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok && len(values) > 0 {
			v, err := url.PathUnescape(values[0]) // the HTTP binding percent-encodes
			if err != nil {
				return nil, fmt.Errorf("the header %s is not percent-encoded as CloudEvents say: %w", name, err)
			}
			m[attr] = v
		}
	}
	if media := h.Get("Content-Type"); media != "" {
		m["datacontenttype"] = media
	}
	switch {
	case len(body) == 0:
	case json.Valid(body):
		m["data"] = json.RawMessage(body)
	default:
		return nil, errors.New("the data of a CloudEvent must be JSON: an event, or the flat object of a hand-written log")
	}
	return json.Marshal(m)
}

// cloudEvent reads one event in the JSON format of CloudEvents 1.0. Its type is one of the catalogue, alone or as the end
// of a longer name; its data are the groups of the event, or the flat object. Other attributes are kept as links.
func cloudEvent(raw []byte) (Decoded, error) {
	d := Decoded{Submission: &steno.Submission{}}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return d, errNoObject
	}
	c := cloud{members: m}
	origin := &steno.Origin{Source: c.text("source"), ID: c.text("id")}
	d.Submission.Origin = origin
	spec, name, subjectTime := c.text("specversion"), c.text("type"), c.text("time")
	data, err := c.data()
	d.Content = append([]byte(name+"\x00"), compact(data)...)
	switch {
	case c.wrong != nil:
		return d, c.wrong
	case err != nil:
		return d, err
	case spec != "1.0":
		return d, fmt.Errorf("specversion is %q; CloudEvents 1.0 are read", spec)
	case origin.Source == "" || origin.ID == "" || name == "":
		return d, errors.New("a CloudEvent needs id, source and type")
	}
	s, err := c.event(name, data)
	if err != nil {
		return d, err
	}
	if s.Origin != nil && (s.Origin.Source != "" && s.Origin.Source != origin.Source || s.Origin.ID != "" && s.Origin.ID != origin.ID) {
		return d, errors.New("the origin in the data is not the source and id of the CloudEvent: leave it out")
	}
	if s.Origin != nil {
		origin.Number, origin.Assumed, origin.Kind = s.Origin.Number, s.Origin.Assumed, s.Origin.Kind
	}
	s.Origin = origin
	if s.Time.IsZero() && subjectTime != "" {
		quoted, err := json.Marshal(subjectTime)
		if err != nil {
			return d, err
		}
		t, assumed, err := parseTime(quoted)
		if err != nil {
			return d, fmt.Errorf("time is %w", err)
		}
		if s.Time = t; assumed {
			origin.Assumed = append(origin.Assumed, "time.zone")
		}
	}
	if trace, span, ok := traceparent(c.text("traceparent")); ok && s.TraceID == "" {
		s.TraceID, s.Parent = trace, span
	}
	c.links(s)
	d.Submission = s
	return d, c.wrong
}

type cloud struct {
	members map[string]json.RawMessage
	wrong   error
}

func (c *cloud) text(name string) string {
	v := c.members[name]
	delete(c.members, name)
	if v == nil || string(v) == "null" {
		return ""
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil && c.wrong == nil {
		c.wrong = fmt.Errorf("%s is %s, it has to be a string", name, clip(v))
	}
	return s
}

// data returns the data as JSON.
func (c *cloud) data() ([]byte, error) {
	if media := c.text("datacontenttype"); media != "" {
		kind, _, err := mime.ParseMediaType(media)
		if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") && kind != "text/json" {
			return nil, fmt.Errorf("datacontenttype is %q; the data must be JSON", media)
		}
	}
	data := c.members["data"]
	delete(c.members, "data")
	if coded := c.text("data_base64"); coded != "" {
		b, err := base64.StdEncoding.DecodeString(coded)
		if err != nil || !json.Valid(b) {
			return nil, errors.New("data_base64 is no base64 of JSON")
		}
		data = b
	}
	var s string
	if json.Unmarshal(data, &s) == nil && json.Valid([]byte(s)) && strings.HasPrefix(strings.TrimSpace(s), "{") {
		data = json.RawMessage(s) // JSON in a string, as some brokers pass it on
	}
	if data == nil || string(data) == "null" {
		data = json.RawMessage("{}")
	}
	return data, nil
}

// event reads the data as what the type says.
func (c *cloud) event(name string, data []byte) (*steno.Submission, error) {
	kind := name
	for !steno.Submittable(kind) {
		_, rest, ok := strings.Cut(kind, ".")
		if !ok {
			kind = ""
			break
		}
		kind = rest
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, errors.New("the data of a CloudEvent must be a JSON object: an event, or the flat object of a hand-written log")
	}
	if kind == "" || m["event_id"] != nil {
		if m["model"] == nil || m["event_id"] == nil && m["prompt"] == nil && m["response"] == nil {
			return nil, fmt.Errorf("type is %q, which is not in the catalogue (nor the end of it), and the data is no flat object of a hand-written log", name)
		}
		if m["event_id"] == nil {
			m["event_id"] = json.RawMessage(`"-"`) // the CloudEvent's own id is the name
		}
		withID, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		s, err := Flat(withID)
		if err == nil {
			s.Origin.Source, s.Origin.ID = "", ""
		}
		return s, err
	}
	s := &steno.Submission{}
	if err := strict(data, s); err != nil {
		return nil, err
	}
	if s.Type != "" && s.Type != kind {
		return nil, fmt.Errorf("the type in the data is %q, that of the CloudEvent %q: leave it out of the data", s.Type, name)
	}
	s.Type = kind
	return s, nil
}

// links keeps the other attributes: subject, dataschema and extensions have no place in an event.
func (c *cloud) links(s *steno.Submission) {
	names := make([]string, 0, len(c.members))
	for name := range c.members {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := string(c.members[name])
		var text string
		if json.Unmarshal(c.members[name], &text) == nil {
			v = text
		}
		s.Links = append(s.Links, steno.Link{Rel: "cloudevent." + name, Name: v})
	}
}

// traceparent reads a W3C trace context.
func traceparent(s string) (trace, span string, ok bool) {
	f := strings.Split(s, "-")
	if len(f) < 4 || len(f[0]) != 2 || len(f[1]) != 32 || len(f[2]) != 16 {
		return "", "", false
	}
	for _, part := range f[:3] {
		if _, err := hex.DecodeString(part); err != nil {
			return "", "", false
		}
	}
	return f[1], f[2], true
}
