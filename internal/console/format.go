package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

// shortID is as much of an id as tables show: the time and enough chance to tell two of a millisecond apart.
func shortID(id string) string {
	const most = 15
	if len(id) > most {
		return id[:most]
	}
	return id
}

func shortHash(h string) string {
	const most = 12
	if len(h) > most {
		return h[:most]
	}
	return h
}

func clock(t time.Time) string    { return t.UTC().Format("15:04:05") }
func exact(t time.Time) string    { return t.UTC().Format("2006-01-02 15:04:05.000") + " UTC" }
func machine(t time.Time) string  { return t.UTC().Format(time.RFC3339Nano) }
func dateOnly(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// short is a point in time as tables show it: today's without its date.
func short(t, now time.Time) string {
	if dateOnly(t) == dateOnly(now) {
		return clock(t)
	}
	return t.UTC().Format("01-02 15:04:05")
}

func number[T ~int | ~int64 | ~uint64 | ~uint32](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func count[T ~int | ~int64 | ~uint64](n T, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return number(n) + " " + what + "s"
}

func size[T ~int | ~int64](n T) string {
	switch {
	case n < 1<<10:
		return number(n) + " B"
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// took is a duration with three digits that say something.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "−" + took(-d)
	case d < time.Microsecond:
		return fmt.Sprintf("%d ns", d.Nanoseconds())
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < 10*time.Second:
		return number(d.Milliseconds()) + " ms"
	case d < 2*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func millis(ms float64) string { return took(time.Duration(ms * float64(time.Millisecond))) }

func dollars(usd string) string {
	return "$\u202f" + usd
}

// outcome is a state with the mark and the words that go with it; colour comes on top.
type outcome struct {
	Icon  string // of icon
	Class string
	Word  string
	Means string
}

var outcomes = map[string]outcome{
	"open":                          {"open", "open", "open", "The call is under way: its request is durable, its answer is not there yet."},
	string(steno.EndComplete):       {"done", "done", "complete", "The answer came to its end, and was durable before the client had the last of it."},
	string(steno.EndProviderError):  {"failed", "failed", "provider error", "The provider answered with an error."},
	string(steno.EndErrorInAnswer):  {"failed", "failed", "error in answer", "The provider said 200 and then reported an error inside the answer."},
	string(steno.EndRefused):        {"refused", "refused", "refused", "steno refused the call by policy or for want of a valid key. It was never forwarded."},
	string(steno.EndBlocked):        {"refused", "refused", "blocked", "A check blocked the call."},
	string(steno.EndClientGone):     {"cut", "cut", "client gone", "The client went away before the end. What the model had said until then is recorded."},
	string(steno.EndUpstreamCut):    {"cut", "failed", "cut off", "The provider's answer broke off. What came until then is recorded."},
	string(steno.EndUpstreamFailed): {"failed", "failed", "upstream failed", "No answer could be had from the provider at all."},
	string(steno.EndTimedOut):       {"failed", "failed", "timed out", "The provider did not answer in time."},
	string(steno.EndUnknown):        {"unknown", "unknown", "unknown", "steno stopped while the call was under way. What was said after the last record is not known, and nobody claims to know it."},
	"erased":                        {"erased", "unknown", "erased", "The text of this call is erased: its keys are destroyed. That it took place, and when, stays proven."},
	"unreadable":                    {"failed", "failed", "unreadable", "A record of this call does not open although its keys are there. Compute the integrity of the log."},
}

func outcomeOf(status string) outcome {
	if o, ok := outcomes[status]; ok {
		return o
	}
	return outcome{"unknown", "unknown", status, "This version of the console does not know the state " + strconv.Quote(status) + "."}
}

// pretty is JSON with line breaks; what is no JSON stays as it is.
func pretty(raw []byte) string {
	var b bytes.Buffer
	if !json.Valid(raw) || json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

func prettyOf(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return "this could not be written as JSON: " + err.Error()
	}
	return strings.TrimSpace(b.String())
}

func spaced(s string) string { return strings.ReplaceAll(s, "_", " ") }

func tokens(n *int64) string {
	if n == nil {
		return ""
	}
	return number(*n)
}

// sentence makes an error one that stands alone.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
