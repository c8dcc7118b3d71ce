package capture

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/policy"
)

const callPolicy = `
@id("staff") permit(principal in Tenant::"acme", action, resource);
@id("no-patients") @message("patients' data stays in the house")
forbid(principal, action, resource) when { context.data_classes.contains("patient") };
@id("no-secrets") forbid(principal, action, resource) when { context.findings.contains("secret") };
@id("no-admin") forbid(principal in Role::"admin", action, resource);
@id("no-weather") forbid(principal, action, resource) when { context.tools.contains("weather") };
@id("loopback") forbid(principal, action, resource) unless { context has address && context.address.isLoopback() };
`

func policies(t *testing.T, text string) *policy.Set {
	t.Helper()
	s, err := policy.Parse([]policy.Source{{Name: "call.cedar", Text: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestThePolicyDecides(t *testing.T) {
	set := policies(t, callPolicy)
	reached := 0
	stub := stubHandler(t)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { reached++; stub.ServeHTTP(w, q) }), func(c *Config) { c.Policy = set })
	secret := "AKIA" + "Q3EGWZ7JX5" + "PLM2RT"
	for _, c := range []struct {
		name, path, body string
		headers          []string
		status           int
		by, asserted     []string
		says             string
	}{
		{"permitted", "/v1/chat/completions", chatBody, nil, 200, []string{"staff"}, nil, ""},
		{"a class that the application asserts", "/v1/chat/completions", chatBody, []string{"X-Steno-Data-Class", "public, Patient"}, 403, []string{"no-patients"}, []string{"public", "patient"}, "patients' data stays in the house"},
		{"a class that nobody forbids", "/v1/chat/completions", chatBody, []string{"X-Steno-Data-Class", "public"}, 200, []string{"staff"}, []string{"public"}, ""},
		{"a role that the application asserts is nobody's", "/v1/chat/completions", chatBody, []string{"X-Steno-Role", "admin"}, 200, []string{"staff"}, nil, ""},
		{"a secret", "/v1/chat/completions", strings.Replace(chatBody, "What does", secret+" What does", 1), nil, 403, []string{"no-secrets"}, nil, "does not permit this call"},
		{"a tool", "/v1/chat/completions", `{"tools":[{"type":"function","function":{"name":"weather","parameters":{}}}],` + chatTail, nil, 403, []string{"no-weather"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := reached
			resp, body, err := r.do(r.post(c.path, c.body, c.headers...))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != c.status || !strings.Contains(string(body), c.says) {
				t.Fatalf("answered %d %s, want %d and %q", resp.StatusCode, body, c.status, c.says)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			d := x.events[0].Safety.Policy
			want := map[int]string{200: "permit", 403: "deny"}[c.status]
			if d == nil || d.Decision != want || !slices.Equal(d.Policies, c.by) || d.Version != set.Version() || !slices.Equal(d.Asserted, c.asserted) {
				t.Errorf("on record %+v, want %s by %v", d, want, c.by)
			}
			if c.status == 403 {
				x.ended(t, steno.EndRefused, 403)
				if x.last().Result.EndDetail != "policy_denied" || reached != before {
					t.Errorf("ended %q, the upstream was reached: %v", x.last().Result.EndDetail, reached != before)
				}
				if string(x.request) != c.body {
					t.Error("what was asked is not on record")
				}
			}
		})
	}
}

func TestADenialHasTheProvidersShape(t *testing.T) {
	r := newRig(t, stubHandler(t), func(c *Config) {
		c.Policy = policies(t, `@id("none") @message("not today") forbid(principal, action, resource); permit(principal, action, resource);`)
	})
	for path, want := range map[string]string{"/v1/chat/completions": `"code":"policy_denied"`, "/v1/messages": `"type":"permission_error"`} {
		resp, body, err := r.do(r.post(path, chatBody))
		if err != nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), want) || !strings.Contains(string(body), "not today") {
			t.Errorf("%s: %d %s (%v), want 403 with %s", path, resp.StatusCode, body, err, want)
		}
	}
	r.gateway.SetPolicy(nil)
	resp, _, err := r.do(r.post("/v1/chat/completions", chatBody))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("without a policy: %d %v", resp.StatusCode, err)
	}
	if s := r.exchange(resp.Header.Get("X-Steno-Exchange")).events[0].Safety; s != nil && s.Policy != nil {
		t.Errorf("without a policy one decided: %+v", s.Policy)
	}
}
