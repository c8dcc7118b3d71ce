package capture

import (
	"strings"
	"testing"
)

// TestThePromptHasAVersion: what the application names, else a keyed hash of the instructions: the same for the same words.
func TestThePromptHasAVersion(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	version := func(body string, headers ...string) (name, version string) {
		t.Helper()
		resp, _, err := r.do(r.post("/v1/chat/completions", body, headers...))
		if err != nil {
			t.Fatal(err)
		}
		p := r.exchange(resp.Header.Get("X-Steno-Exchange")).events[0].Prompt
		return p.Name, p.Version
	}
	_, first := version(chatBody)
	_, again := version(strings.Replace(chatBody, "What does", "How does", 1))
	_, other := version(strings.Replace(chatBody, "Be brief.", "Be long.", 1))
	if !strings.HasPrefix(first, "mac:") || again != first || other == first || strings.Contains(first, "brief") {
		t.Errorf("versions %q, %q and %q", first, again, other)
	}
	if _, none := version(`{"model":"m","messages":[{"role":"user","content":"Hello"}]}`); none != "" {
		t.Errorf("without instructions: %q", none)
	}
	if name, v := version(chatBody, "X-Steno-Prompt", "support@12"); name != "support" || v != "12" {
		t.Errorf("named by the application: %q %q", name, v)
	}
}
