package serve

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
)

// queryNames are the parameters of a query, as in a URL.
var queryNames = []string{"user", "model", "flag", "status", "conversation", "document", "prompt", "type", "log", "exchange", "since", "until", "before", "after", "limit"}

// parseQuery reads a query from a URL. Parameters in unwanted have no meaning in this place.
func parseQuery(v url.Values, now time.Time, unwanted ...string) (Query, error) {
	var q Query
	known := slices.DeleteFunc(slices.Clone(queryNames), func(n string) bool { return slices.Contains(unwanted, n) })
	for name, values := range v {
		if !slices.Contains(known, name) {
			return q, badRequest("there are "+strings.Join(known, ", "), "there is no parameter %q", name)
		}
		if len(values) > 1 {
			return q, badRequest("", "%s is given %d times", name, len(values))
		}
	}
	q.User, q.Model, q.Flag, q.Status, q.Conversation, q.Type = v.Get("user"), v.Get("model"), v.Get("flag"), v.Get("status"), v.Get("conversation"), v.Get("type")
	q.Document, q.Prompt, q.Log = v.Get("document"), v.Get("prompt"), v.Get("log")
	if q.Log != "" && !slices.Contains(Logs, q.Log) {
		return q, badRequest("logs are "+strings.Join(Logs, ", "), "there is no log %q", q.Log)
	}
	if q.Flag != "" && !slices.Contains(steno.Flags, steno.Flag(q.Flag)) {
		return q, badRequest("flags are "+joinNames(steno.Flags), "there is no flag %q", q.Flag)
	}
	if q.Status != "" && !slices.Contains(Statuses, q.Status) {
		return q, badRequest("states are "+strings.Join(Statuses, ", "), "there is no status %q", q.Status)
	}
	var err error
	if s := v.Get("exchange"); s != "" {
		if q.Exchange, err = steno.ParseID(s); err != nil {
			return q, badRequest("", "exchange: %v", err)
		}
	}
	if q.Since, err = ParseTime(v.Get("since"), now); err != nil {
		return q, badRequest("", "since: %v", err)
	}
	if q.Until, err = ParseTime(v.Get("until"), now); err != nil {
		return q, badRequest("", "until: %v", err)
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, badRequest("", "since is not before until, so nothing can lie between")
	}
	if q.Before, err = index.ParsePosition(v.Get("before")); err != nil {
		return q, badRequest("", "before: %v", err)
	}
	if q.After, err = index.ParsePosition(v.Get("after")); err != nil {
		return q, badRequest("", "after: %v", err)
	}
	if s := v.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			return q, badRequest("", "limit is a number from 1 to %d, not %q", maxLimit, s)
		}
		q.Limit = n
	}
	return q, nil
}

// Logs are the six logs.
var Logs = []string{"inference", "lineage", "security", "governance", "compliance", "monitoring"}

// Statuses are the states of an exchange: open, how it ended, or why that cannot be said.
var Statuses = []string{
	index.StatusOpen, string(steno.EndComplete), string(steno.EndProviderError), string(steno.EndErrorInAnswer), string(steno.EndRefused),
	string(steno.EndBlocked), string(steno.EndClientGone), string(steno.EndUpstreamCut), string(steno.EndUpstreamFailed),
	string(steno.EndTimedOut), string(steno.EndUnknown), index.StatusErased, index.StatusUnreadable,
}

func joinNames[T ~string](s []T) string {
	out := make([]string, len(s))
	for i := range s {
		out[i] = string(s[i])
	}
	return strings.Join(out, ", ")
}

// ParseTime reads a point in time: RFC 3339, a date, or how long ago as in 90s, 15m, 2h, 3d, 1w. An empty one is zero.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, s, time.Local); err == nil {
		return t, nil
	}
	d, err := parseAge(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no time; write 90s, 15m, 2h, 3d, 1w, a date as 2026-11-23, or RFC 3339 as 2026-11-23T08:00:00Z", s)
	}
	return now.Add(-d), nil
}

func parseAge(s string) (time.Duration, error) {
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
	if unit == 0 {
		d, err := time.ParseDuration(s)
		if err == nil && d < 0 {
			err = fmt.Errorf("%q is negative", s)
		}
		return d, err
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
	return time.Duration(n) * unit, err
}

func parseStep(s string) (time.Duration, error) {
	if s == "" {
		return time.Minute, nil
	}
	d, err := parseAge(s)
	if err != nil || d < time.Second {
		return 0, badRequest("", "step: %q is no step of time; write 10s, 1m, 1h or 1d", s)
	}
	return d, nil
}

// words are the parts of a query, for the record of the read.
func queryWords(q *Query) map[string]string {
	out := map[string]string{}
	for name, v := range map[string]string{
		"user": q.User, "model": q.Model, "flag": q.Flag, "status": q.Status, "conversation": q.Conversation, "type": q.Type, "document": q.Document, "prompt": q.Prompt, "log": q.Log,
		"since": timeWord(q.Since), "until": timeWord(q.Until), "before": q.Before.String(), "after": q.After.String(),
	} {
		if v != "" {
			out[name] = v
		}
	}
	if !q.Exchange.IsZero() {
		out["exchange"] = q.Exchange.String()
	}
	return out
}

func timeWord(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
