package console

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

const (
	pageRows = 50
	rangeAll = "all"
)

// ranges are those that are one click away.
var ranges = []struct{ Name, Words string }{
	{"15m", "15 min"}, {"1h", "1 h"}, {"6h", "6 h"}, {"24h", "24 h"}, {"7d", "7 d"}, {rangeAll, "all"},
}

// filter is what a list shows, as the address says it.
type filter struct {
	path   string
	values url.Values
}

// filterNames are the parameters of the lists, in the order in which they are shown.
var filterNames = []string{"user", "model", "flag", "status", "conversation", "document", "prompt", "log", "type", "exchange", "since", "until", "before", "as"}

func readFilter(r *http.Request, path string) (filter, error) {
	f := filter{path, url.Values{}}
	for name, v := range r.URL.Query() {
		if !slices.Contains(filterNames, name) {
			return f, &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("this page has no filter %q", name), Hint: "filters are " + strings.Join(filterNames, ", ")}
		}
		if len(v) > 1 {
			return f, &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("the filter %s is given %d times", name, len(v)), Hint: "give it once"}
		}
		if s := strings.TrimSpace(v[0]); s != "" {
			f.values.Set(name, s)
		}
	}
	return f, nil
}

func (f filter) get(name string) string { return f.values.Get(name) }

// with is the address of this list with some parameters changed; "" takes one out. A position belongs to the rest of the
// filter, so it goes when anything else changes.
func (f filter) with(pairs ...string) templ.SafeURL {
	v := url.Values{}
	for k, s := range f.values {
		if k != "before" {
			v[k] = s
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		} else {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	return address(f.path, v)
}

func address(path string, v url.Values) templ.SafeURL {
	if len(v) == 0 {
		return templ.SafeURL(path)
	}
	return templ.SafeURL(path + "?" + v.Encode())
}

// words is the filter as the search box says it.
func (f filter) words() string {
	var out []string
	for _, name := range filterNames {
		if v := f.get(name); v != "" && name != "before" && name != "as" && name != "since" && name != "until" {
			if strings.ContainsAny(v, " \"") {
				v = `"` + strings.ReplaceAll(v, `"`, "") + `"`
			}
			out = append(out, name+":"+v)
		}
	}
	return strings.Join(out, " ")
}

// chips are the filters that are set, each with the address of the list without it.
func (f filter) chips() []chip {
	var out []chip
	for _, name := range filterNames {
		if v := f.get(name); v != "" && !slices.Contains([]string{"before", "as", "since", "until"}, name) {
			out = append(out, chip{name, v, f.with(name, "")})
		}
	}
	return out
}

type chip struct {
	Name, Value string
	Without     templ.SafeURL
}

// query is the filter as the reader wants it.
func (f filter) query(now time.Time) (serve.Query, error) {
	q := serve.Query{
		User: f.get("user"), Model: f.get("model"), Flag: f.get("flag"), Status: f.get("status"), Conversation: f.get("conversation"),
		Document: f.get("document"), Prompt: f.get("prompt"), Type: f.get("type"), Log: f.get("log"), Limit: pageRows,
	}
	if q.Log != "" && !slices.Contains(serve.Logs, q.Log) {
		return q, badFilter("log", q.Log, serve.Logs)
	}
	if q.Flag != "" && !slices.Contains(steno.Flags, steno.Flag(q.Flag)) {
		return q, badFilter("flag", q.Flag, flagNames())
	}
	if q.Status != "" && !slices.Contains(serve.Statuses, q.Status) {
		return q, badFilter("status", q.Status, serve.Statuses)
	}
	var err error
	if s := f.get("exchange"); s != "" {
		if q.Exchange, err = steno.ParseID(s); err != nil {
			return q, &serve.Error{Status: http.StatusBadRequest, Message: "exchange: " + err.Error()}
		}
	}
	if s := f.get("since"); s != rangeAll {
		if q.Since, err = serve.ParseTime(s, now); err != nil {
			return q, &serve.Error{Status: http.StatusBadRequest, Message: "since: " + err.Error()}
		}
	}
	if q.Until, err = serve.ParseTime(f.get("until"), now); err != nil {
		return q, &serve.Error{Status: http.StatusBadRequest, Message: "until: " + err.Error()}
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, &serve.Error{Status: http.StatusBadRequest, Message: "since is not before until, so nothing can lie between", Hint: "swap them, or take one out"}
	}
	if s := f.get("before"); s != "" {
		if err := q.Before.UnmarshalText([]byte(s)); err != nil {
			return q, &serve.Error{Status: http.StatusBadRequest, Message: "before: " + err.Error(), Hint: "take it out to begin at the newest"}
		}
	}
	return q, nil
}

func badFilter(name, value string, right []string) error {
	return &serve.Error{Status: http.StatusBadRequest, Message: fmt.Sprintf("there is no %s %q", name, value), Hint: "there are " + strings.Join(right, ", ")}
}

func flagNames() []string {
	out := make([]string, len(steno.Flags))
	for i, f := range steno.Flags {
		out[i] = string(f)
	}
	return out
}

// at is another path with the same filter.
func (f filter) at(path string) templ.SafeURL { return filter{path, f.values}.with("as", "") }

// near is the list with a filter in place of one that found nothing.
func (f filter) near(term string) templ.SafeURL {
	name, value, _ := strings.Cut(term, ":")
	return f.with(name, value)
}
