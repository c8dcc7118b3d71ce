package foreign

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

// Flat reads one object of the classic hand-written log: event_id, timestamp, user_id, model, prompt, response,
// latency_ms, tokens_used, safety_flags, and what people write beside these. A member without a place goes into
// system.details. origin.source is the member source or app; it stays empty where there is none.
func Flat(raw []byte) (*steno.Submission, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	f := &flat{members: m, out: &steno.Submission{Event: steno.Event{Type: "inference.call", Origin: &steno.Origin{}}}}
	return f.out, f.read()
}

type flat struct {
	members map[string]json.RawMessage
	out     *steno.Submission
	wrong   error
}

func (f *flat) read() error {
	o := f.out
	o.Origin.ID = f.text("event_id")
	if o.Origin.ID == "" {
		f.fail("event_id is missing: it names the event, so that it is not recorded twice")
	}
	for _, name := range []string{"source", "app"} {
		if o.Origin.Source == "" {
			o.Origin.Source = f.text(name)
		}
	}
	f.time()
	o.Identity = orNil(steno.Identity{User: f.text("user_id"), Session: f.text("session_id"), Conversation: f.text("conversation_id")},
		func(i steno.Identity) bool { return i.User == "" && i.Session == "" && i.Conversation == "" })
	o.Model = &steno.Model{Asked: f.text("model"), Provider: f.text("provider")}
	if o.Model.Asked == "" {
		f.fail("model is missing: a call has one")
	}
	if p := f.value("prompt"); p != nil {
		o.Prompt = &steno.Prompt{Input: p}
	}
	f.result()
	if ms := f.number("latency_ms"); ms != nil {
		if *ms < 0 {
			f.fail("latency_ms is %v, it has to be 0 or more", *ms)
		}
		o.Timing = &steno.Timing{LatencyMS: *ms}
	}
	f.flags()
	f.rest()
	return f.wrong
}

func orNil[T any](v T, empty func(T) bool) *T {
	if empty(v) {
		return nil
	}
	return &v
}

func (f *flat) fail(format string, args ...any) {
	if f.wrong == nil {
		f.wrong = fmt.Errorf(format, args...)
	}
}

// value takes a member; null is as good as none.
func (f *flat) value(name string) json.RawMessage {
	v := f.members[name]
	delete(f.members, name)
	if string(v) == "null" {
		return nil
	}
	return v
}

// text takes a member that is a string, or a number where people count their users and events.
func (f *flat) text(name string) string {
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
func (f *flat) number(name string) *float64 {
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

func (f *flat) count(name string) *int64 { return wholeNumber(f.number(name)) }

func wholeNumber(n *float64) *int64 {
	if n == nil {
		return nil
	}
	i := int64(*n)
	return &i
}

func (f *flat) time() {
	v := f.value("timestamp")
	if v == nil {
		return // it is when it was submitted
	}
	t, assumed, err := parseTime(v)
	if err != nil {
		f.fail("timestamp is %w", err)
		return
	}
	f.out.Time = t
	if assumed {
		f.out.Origin.Assumed = []string{"time.zone"}
	}
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

func (f *flat) result() {
	r := &steno.Result{Output: f.value("response")}
	if s := f.text("finish_reason"); s != "" {
		r.FinishReasons = []string{s}
	}
	r.Usage = f.usage()
	r.End = steno.EndUnknown
	if r.Output != nil {
		r.End = steno.EndComplete
	}
	if v := f.value("error"); v != nil && string(v) != `""` && string(v) != "false" {
		r.End = steno.EndProviderError
		var s string
		if json.Unmarshal(v, &s) == nil && len(s) <= 64 && !strings.ContainsAny(s, " \n") {
			r.ErrorType = s
		} else {
			f.members["error"] = v // words: they stay with the details
		}
	}
	f.out.Result = r
}

// usage reads tokens_used, a number or an object with the parts, and the parts that stand beside it.
func (f *flat) usage() *steno.Usage {
	u := steno.Usage{Source: "reported"}
	if v := f.value("tokens_used"); v != nil {
		var parts map[string]json.RawMessage
		if n, ok := numberOf(v); ok {
			u.Total = wholeNumber(&n)
		} else if json.Unmarshal(v, &parts) == nil {
			f.tokens(&u, parts)
		} else {
			f.fail("tokens_used is %s, it has to be a number, or an object with prompt, completion and total", clip(v))
		}
	}
	for name, dst := range map[string]**int64{"input_tokens": &u.Input, "prompt_tokens": &u.Input, "output_tokens": &u.Output, "completion_tokens": &u.Output, "total_tokens": &u.Total} {
		if n := f.count(name); n != nil {
			*dst = n
		}
	}
	for _, n := range []*int64{u.Input, u.Output, u.Total} {
		if n != nil && *n < 0 {
			f.fail("a count of tokens is %d, it has to be 0 or more", *n)
		}
	}
	if u.Input == nil && u.Output == nil && u.Total == nil {
		return nil
	}
	return &u
}

func (f *flat) tokens(u *steno.Usage, parts map[string]json.RawMessage) {
	for name, v := range parts {
		n, ok := numberOf(v)
		if !ok {
			f.fail("tokens_used.%s is %s, it has to be a number", name, clip(v))
			return
		}
		switch strings.TrimSuffix(name, "_tokens") {
		case "prompt", "input":
			u.Input = wholeNumber(&n)
		case "completion", "output":
			u.Output = wholeNumber(&n)
		case "total":
			u.Total = wholeNumber(&n)
		default:
			f.fail("tokens_used has a member %q; it may have prompt, completion and total", name)
		}
	}
}

// flagNames are what other logs call our flags.
var flagNames = map[string]steno.Flag{
	"pii": "personal_data", "toxicity": "harmful", "toxic": "harmful", "prompt_injection": "injection", "secrets": "secret", "credentials": "secret",
	"credential": "secret", "hate_speech": "hate", "harassment": "hate", "selfharm": "self_harm", "nsfw": "sexual", "illicit": "harmful",
	"dangerous": "harmful", "refused": "refusal", "system_prompt_leak": "prompt_leak",
}

// flags reads safety_flags: a list of names, one name, or an object of names that are true. A name that is not ours is
// kept beside the flag that it becomes.
func (f *flat) flags() {
	v := f.value("safety_flags")
	if v == nil {
		return
	}
	var names []string
	var one string
	var object map[string]bool
	switch {
	case json.Unmarshal(v, &names) == nil:
	case json.Unmarshal(v, &one) == nil:
		names = strings.FieldsFunc(one, func(r rune) bool { return r == ',' || r == ';' || r == '|' })
	case json.Unmarshal(v, &object) == nil:
		for name, set := range object {
			if set {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	default:
		f.fail("safety_flags is %s, it has to be a list of names", clip(v))
		return
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		if name == "" || strings.EqualFold(name, "none") {
			continue
		}
		flag := flagOf(name)
		if !slices.Contains(f.out.Flags, flag) {
			f.out.Flags = append(f.out.Flags, flag)
		}
		if string(flag) != name {
			f.out.Links = append(f.out.Links, steno.Link{Rel: "safety_flag", Name: name})
		}
	}
}

func flagOf(name string) steno.Flag {
	n := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '/' || r == '.' {
			return '_'
		}
		return r
	}, strings.ToLower(name))
	if slices.Contains(steno.Flags, steno.Flag(n)) {
		return steno.Flag(n)
	}
	if flag, ok := flagNames[n]; ok {
		return flag
	}
	for _, prefix := range steno.Flags { // "sexual/minors", "hate/threatening"
		if strings.HasPrefix(n, string(prefix)+"_") {
			return prefix
		}
	}
	return "other"
}

// rest keeps what has no place of its own.
func (f *flat) rest() {
	for name, v := range f.members {
		if string(v) == "null" {
			delete(f.members, name)
		}
	}
	if len(f.members) > 0 {
		f.out.System = &steno.System{Action: "logged", Details: maps.Clone(f.members)}
	}
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
