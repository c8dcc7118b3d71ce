package foreign

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/steno-audit/steno"
)

// Decoded is one submitted event, and the bytes by which two submissions under one source and id are compared.
type Decoded struct {
	Submission *steno.Submission
	Content    []byte
	Flat       bool // the flat object: it may lack a source
}

// Decode reads one event in any of the forms that the events API takes: steno's own, a CloudEvent, the flat object. What
// could be read stands in the answer also with an error, so that a rejection can name it.
func Decode(raw []byte) (Decoded, error) {
	d := Decoded{Submission: &steno.Submission{}, Content: compact(raw)}
	switch formOf(raw) {
	case formCloudEvent:
		return cloudEvent(raw)
	case formFlat:
		d.Flat = true
		s, err := Flat(raw)
		if s != nil {
			d.Submission = s
		}
		return d, err
	}
	return d, strict(raw, d.Submission)
}

// strict refuses members that are not in the catalogue.
func strict(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("it is no event: %w", err)
	}
	if dec.More() {
		return errors.New("it is no event: something follows the JSON object")
	}
	return nil
}

type form int

const (
	formEvent form = iota
	formCloudEvent
	formFlat
)

// formOf tells the forms apart by a member that only one of them has.
func formOf(raw []byte) form {
	cloud, flat := bytes.Contains(raw, []byte(`"specversion"`)), bytes.Contains(raw, []byte(`"event_id"`))
	if !cloud && !flat {
		return formEvent // nearly all: spared the second look
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return formEvent // which says what is wrong
	}
	switch {
	case m["specversion"] != nil:
		return formCloudEvent
	case m["event_id"] != nil && m["origin"] == nil:
		return formFlat
	}
	return formEvent
}

// compact is JSON less its white space; what is no JSON stays as it is.
func compact(raw []byte) []byte {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return raw
	}
	return b.Bytes()
}
