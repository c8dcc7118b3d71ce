package steno

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"unicode/utf8"
)

// Submission is an event as it is submitted: beside what every event says it may bring the two sides of a call as they
// were on the wire. Steno takes them apart as the gateway would have, and keeps them byte for byte.
type Submission struct {
	Event
	Request  *Message `json:"request,omitempty"`
	Response *Message `json:"response,omitempty"`
}

// Message is one side of a call over HTTP. Headers that hold a credential are left out by who submits it; what comes all
// the same is recorded as a keyed hash.
type Message struct {
	Method  string      // of a request
	URL     string      // of a request, without the query's credentials
	Status  int         // of an answer
	Headers http.Header // Content-Type and Content-Encoding say how the body is read
	Body    []byte      // as on the wire
}

// messageJSON is a Message as it is submitted. A body that is text stands as text, so that it can be written by hand.
type messageJSON struct {
	Method  string      `json:"method,omitempty"`
	URL     string      `json:"url,omitempty"`
	Status  int         `json:"status,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
	Body    string      `json:"body,omitempty"`
	Base64  []byte      `json:"body_base64,omitempty"`
}

// MarshalJSON writes the body as text where it is UTF-8, else as base64.
func (m Message) MarshalJSON() ([]byte, error) {
	out := messageJSON{Method: m.Method, URL: m.URL, Status: m.Status, Headers: m.Headers}
	if utf8.Valid(m.Body) {
		out.Body = string(m.Body)
	} else {
		out.Base64 = m.Body
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes. A member that it does not know is an error: nothing is dropped in silence.
func (m *Message) UnmarshalJSON(b []byte) error {
	known := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &known); err != nil {
		return err
	}
	for name := range known {
		switch name {
		case "method", "url", "status", "headers", "body", "body_base64":
		default:
			return fmt.Errorf("a message has no member %q; it has method, url, status, headers, and body or body_base64", name)
		}
	}
	var in messageJSON
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.Body != "" && len(in.Base64) > 0 {
		return errors.New("a message has its body as text (body) or as base64 (body_base64), not both")
	}
	*m = Message{Method: in.Method, URL: in.URL, Status: in.Status, Body: in.Base64}
	if in.Body != "" {
		m.Body = []byte(in.Body)
	}
	for name, values := range in.Headers {
		for _, v := range values {
			if m.Headers == nil {
				m.Headers = http.Header{}
			}
			m.Headers.Add(name, v)
		}
	}
	return nil
}

// Text is words as the members for texts take them: a JSON string.
func Text(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always marshals
	}
	return b
}
