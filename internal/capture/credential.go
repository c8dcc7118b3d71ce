package capture

import (
	"net/http"
	"strings"

	"github.com/steno-audit/steno/internal/dialect"
)

// setCredential puts the credential that steno holds for the upstream where its provider takes it on this path.
func (u *Upstream) setCredential(h http.Header, path string) {
	messages := strings.HasSuffix(path, "/messages") || strings.HasSuffix(path, "/messages/count_tokens")
	switch {
	case u.AWS != nil: // the call is signed when it is whole
	case u.Dialect == dialect.Azure && !isToken(u.Credential) && strings.HasPrefix(path, "/anthropic/"), u.Dialect == dialect.Anthropic:
		h.Set("X-Api-Key", u.Credential)
	case u.Dialect == dialect.Azure && !isToken(u.Credential):
		h.Set("Api-Key", u.Credential)
	case u.Dialect == dialect.Gemini && u.googleKey(path):
		h.Set("X-Goog-Api-Key", u.Credential)
	case u.Dialect == dialect.OpenAI && messages: // servers with a Messages API take it in one place or the other
		h.Set("X-Api-Key", u.Credential)
		fallthrough
	default:
		h.Set("Authorization", "Bearer "+u.Credential)
	}
}

// isToken says whether a credential is a token of Entra's, which Azure takes as a bearer token, and no key.
func isToken(credential string) bool {
	return strings.HasPrefix(credential, "eyJ") && strings.Count(credential, ".") == 2
}
