package foreign

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// Flat reads one object of the classic hand-written log: event_id, timestamp, user_id, model, prompt, response,
// latency_ms, tokens_used, safety_flags, and what people write beside these. A member without a place goes into
// system.details. origin.source is the member source or app; it stays empty where there is none.
func Flat(raw []byte) (*steno.Submission, error) {
	m, err := fieldsOf(raw)
	if err != nil {
		return nil, err
	}
	f := &flat{fields: m, out: &steno.Submission{Event: steno.Event{Type: "inference.call", Origin: &steno.Origin{}}}}
	return f.out, f.read()
}

type flat struct {
	*fields
	out *steno.Submission
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
	if left := f.left(); len(left) > 0 {
		f.out.System = &steno.System{Action: "logged", Details: left}
	}
}
