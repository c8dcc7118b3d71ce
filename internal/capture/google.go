package capture

import (
	"crypto/sha256"
	"iter"
	"net/url"
	"strings"

	"github.com/steno-audit/steno/internal/dialect"
)

// googleKey says whether Google takes the upstream's credential as an API key, in a header of its own. It takes OAuth's tokens
// as bearer tokens, and on its OpenAI-compatible side both.
func (u *Upstream) googleKey(path string) bool {
	isKey := strings.HasPrefix(u.Credential, "AIza") || strings.HasPrefix(u.Credential, "AQ.")
	switch {
	case strings.Contains(path, "/openai/"), strings.HasPrefix(u.Credential, "ya29."):
		return false
	case strings.HasSuffix(strings.ToLower(u.URL.Hostname()), "aiplatform.googleapis.com"):
		return isKey
	}
	return true
}

// googleKeys goes through the parameters of a query in which Google takes a credential, and their values.
func googleKeys(query string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for part := range strings.SplitSeq(query, "&") {
			if name, v, ok := googleParameter(part); ok && v != "" && !yield(name, v) {
				return
			}
		}
	}
}

func googleParameter(part string) (name, value string, ok bool) {
	name, value, _ = strings.Cut(part, "=")
	if s, err := url.QueryUnescape(name); err == nil {
		name = s
	}
	if s, err := url.QueryUnescape(value); err == nil {
		value = s
	}
	name = strings.ToLower(name)
	return name, value, name == "key" || name == "access_token"
}

// outboundQuery is the caller's query, less a credential where the caller's own is not passed on. A steno key never goes out,
// whatever else does.
func (x *exchange) outboundQuery() string {
	raw := x.r.URL.RawQuery
	if x.up.Dialect != dialect.Gemini || raw == "" {
		return raw
	}
	keys := x.g.keys()
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		if _, v, ok := googleParameter(part); ok && (!x.who.forward || keys[sha256.Sum256([]byte(v))] != nil) {
			continue
		}
		kept = append(kept, part)
	}
	return strings.Join(kept, "&")
}
