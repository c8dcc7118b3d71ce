package capture

import (
	"crypto/sha256"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func TestAKeysLimits(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	set := func(edit func(*Key)) {
		k := &Key{ID: "k1", SHA256: sha256.Sum256([]byte(testKey)), User: "app"}
		edit(k)
		r.gateway.SetKeys([]*Key{k})
	}
	ask := func(status int, code string) *taken {
		t.Helper()
		resp, body, err := r.do(r.post("/v1/chat/completions", chatBody))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != status || !strings.Contains(string(body), code) {
			t.Errorf("answered %d %s, want %d %s", resp.StatusCode, body, status, code)
		}
		return r.exchange(resp.Header.Get("X-Steno-Exchange"))
	}
	set(func(k *Key) { k.Expires = time.Now().Add(time.Hour); k.Models = []string{"gpt-4o*", "o3"} })
	ask(http.StatusOK, "gpt-4o-mini-2024-07-18")
	set(func(k *Key) { k.Models = []string{"claude-*"} })
	if x := ask(http.StatusForbidden, "model_not_allowed"); x.last().Result.End != steno.EndRefused || x.last().Result.EndDetail != "model_not_allowed" || x.events[0].Identity.Key != "k1" {
		t.Errorf("on record: %+v", x.last().Result)
	}
	set(func(k *Key) { k.Expires = time.Now().Add(-time.Second) })
	if x := ask(http.StatusUnauthorized, "expired_api_key"); x.last().Type != "security.auth_failed" || x.last().System.Reason != "expired_api_key" {
		t.Errorf("on record: %s %+v", x.last().Type, x.last().System)
	}
}
