package capture

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/steno-audit/steno/internal/dialect"
)

// The credential goes where the provider takes it and nowhere else, and what the caller had in such a place does not go out.
func TestWhereCredentialsGo(t *testing.T) {
	token := strings.Join([]string{"eyJhbGciOiJub25lIn0", "e30", "c2ln"}, ".")
	for _, c := range []struct {
		dialect, path, credential string
		want                      http.Header
	}{
		{dialect.OpenAI, "/v1/chat/completions", "k", http.Header{"Authorization": {"Bearer k"}}},
		{dialect.OpenAI, "/anthropic/v1/messages", "k", http.Header{"Authorization": {"Bearer k"}, "X-Api-Key": {"k"}}},
		{dialect.OpenAI, "/v1/messages/count_tokens", "k", http.Header{"Authorization": {"Bearer k"}, "X-Api-Key": {"k"}}},
		{dialect.Anthropic, "/v1/messages", "k", http.Header{"X-Api-Key": {"k"}}},
		{dialect.Azure, "/openai/deployments/d/chat/completions", "k", http.Header{"Api-Key": {"k"}}},
		{dialect.Azure, "/openai/v1/responses", token, http.Header{"Authorization": {"Bearer " + token}}},
		{dialect.Azure, "/models/chat/completions", "k", http.Header{"Api-Key": {"k"}}},
		{dialect.Azure, "/anthropic/v1/messages", "k", http.Header{"X-Api-Key": {"k"}}},
		{dialect.Azure, "/anthropic/v1/messages", token, http.Header{"Authorization": {"Bearer " + token}}},
		{dialect.Mistral, "/v1/chat/completions", "k", http.Header{"Authorization": {"Bearer k"}}},
		{dialect.Cohere, "/v2/chat", "k", http.Header{"Authorization": {"Bearer k"}}},
		{dialect.Ollama, "/api/chat", "k", http.Header{"Authorization": {"Bearer k"}}},
		{dialect.Ollama, "/api/chat", "", http.Header{}},
	} {
		in := http.Header{"User-Agent": {"sdk"}}
		for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"} {
			in.Set(name, "the caller's")
		}
		up := &Upstream{Name: "up", Dialect: c.dialect, URL: &url.URL{Scheme: "https", Host: "up.example"}, Credential: c.credential}
		got := outboundHeaders(in, up, caller{auth: "key"}, c.path)
		c.want.Set("User-Agent", "sdk")
		if len(got) != len(c.want) {
			t.Errorf("%s %s: %v, want %v", c.dialect, c.path, got, c.want)
		}
		for name := range c.want {
			if got.Get(name) != c.want.Get(name) {
				t.Errorf("%s %s: %s is %q, want %q", c.dialect, c.path, name, got.Get(name), c.want.Get(name))
			}
		}
	}
}
