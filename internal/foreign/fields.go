package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// fields are the members of an object of somebody else's. Each is taken once; what is left in the end has no place in an
// event. The first that is wrong counts.
type fields struct {
	members map[string]json.RawMessage
	wrong   error
}

func fieldsOf(raw []byte) (*fields, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil || m == nil {
		return nil, errNoObject
	}
	return &fields{members: m}, nil
}

// in returns the members of an object inside, none where there is none. One that is JSON in a string is read as well.
func (f *fields) in(name string) *fields {
	v := f.value(name)
	var s string
	if json.Unmarshal(v, &s) == nil {
		v = json.RawMessage(s)
	}
	n := &fields{members: map[string]json.RawMessage{}}
	if len(v) > 0 && json.Unmarshal(v, &n.members) != nil {
		f.members[name] = v // no object: it stays
	}
	return n
}

// first takes the first of several members that is there.
func (f *fields) first(names ...string) string {
	for _, name := range names {
		if s := f.text(name); s != "" {
			return s
		}
	}
	return ""
}

// at takes a member that is a time.
func (f *fields) at(name string) (t time.Time, assumed bool) {
	v := f.value(name)
	if v == nil || string(v) == `""` {
		return t, false
	}
	t, assumed, err := parseTime(v)
	if err != nil {
		f.fail("%s is %w", name, err)
	}
	return t, assumed
}

// left is what was not taken.
func (f *fields) left() map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for name, v := range f.members {
		switch string(v) {
		case "null", `""`, "{}", "[]":
		default:
			out[name] = v
		}
	}
	return out
}

func (f *fields) fail(format string, args ...any) {
	if f.wrong == nil {
		f.wrong = fmt.Errorf(format, args...)
	}
}

// value takes a member; null is as good as none.
func (f *fields) value(name string) json.RawMessage {
	v := f.members[name]
	delete(f.members, name)
	if string(v) == "null" {
		return nil
	}
	return v
}

// text takes a member that is a string, or a number where people count their users and events.
func (f *fields) text(name string) string {
	v := f.value(name)
	if v == nil {
		return ""
	}
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	var n json.Number
	if json.Unmarshal(v, &n) == nil {
		return n.String()
	}
	f.fail("%s is %s, it has to be a string", name, clip(v))
	return ""
}

// number takes a member that is a number, or a string with one.
func (f *fields) number(name string) *float64 {
	v := f.value(name)
	if v == nil {
		return nil
	}
	n, ok := numberOf(v)
	if !ok {
		f.fail("%s is %s, it has to be a number", name, clip(v))
	}
	return &n
}

func numberOf(v json.RawMessage) (float64, bool) {
	s := strings.TrimSpace(strings.Trim(string(v), `"`))
	n, err := strconv.ParseFloat(s, 64)
	return n, err == nil && n-n == 0 // neither infinite nor no number
}

func (f *fields) count(name string) *int64 { return wholeNumber(f.number(name)) }

func wholeNumber(n *float64) *int64 {
	if n == nil {
		return nil
	}
	i := int64(*n)
	return &i
}

// zoned and unzoned are the ways in which logs write a time. Fractions of a second may follow the seconds in each.
var (
	zoned   = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 MST"}
	unzoned = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04"}
)

// parseTime reads a time as a string, or as a number of seconds or milliseconds since 1970. assumed says that it named no
// zone, and is taken as UTC.
func parseTime(v json.RawMessage) (t time.Time, assumed bool, err error) {
	var s string
	if json.Unmarshal(v, &s) != nil {
		n, ok := numberOf(v)
		if !ok || n < 0 || n > 1e14 {
			return t, false, fmt.Errorf("%s, it has to be a time as in 2026-11-23T09:30:00Z", clip(v))
		}
		if n >= 1e11 { // seconds until the year 5138, milliseconds since 1973
			n /= 1000
		}
		return time.UnixMicro(int64(n * 1e6)).UTC(), false, nil
	}
	s = strings.TrimSpace(s)
	for _, layout := range zoned {
		if t, err := time.Parse(layout, s); err == nil {
			if name, offset := t.Zone(); offset == 0 && name != "" && name != "UTC" && name != "GMT" {
				continue // an abbreviation whose offset is not known
			}
			return t, false, nil
		}
	}
	for _, layout := range unzoned {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true, nil
		}
	}
	return t, false, fmt.Errorf("%s, it has to be a time as in 2026-11-23T09:30:00Z", clip(v))
}

var errNoObject = errors.New("it is no JSON object")

// clip shows a value in a line of a report.
func clip(v []byte) string {
	s := string(compact(v))
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.QuoteToASCII(s)
}
