package capture

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// idp is an issuer of tokens with the keys that it has now.
type idp struct {
	t       *testing.T
	server  *httptest.Server
	set     atomic.Pointer[jose.JSONWebKeySet]
	fetched atomic.Int64
}

func newIDP(t *testing.T) *idp {
	p := &idp{t: t}
	p.set.Store(&jose.JSONWebKeySet{})
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.fetched.Add(1)
		if err := json.NewEncoder(w).Encode(p.set.Load()); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(p.server.Close)
	return p
}

// key adds a key pair of an algorithm and returns a signer of tokens.
func (p *idp) key(kid, alg string) jose.Signer {
	p.t.Helper()
	var pair crypto.Signer
	var err error
	switch alg {
	case "RS256":
		pair, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		pair, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, pair, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.set.Store(&jose.JSONWebKeySet{Keys: append(slices.Clone(p.set.Load().Keys), jose.JSONWebKey{Key: pair.Public(), KeyID: kid, Algorithm: alg, Use: "sig"})})
	return p.signer(kid, alg, pair)
}

func (p *idp) signer(kid, alg string, key any) jose.Signer {
	p.t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key, KeyID: kid}}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

const issuerName = "https://idp.test/"

func (p *idp) token(s jose.Signer, edit func(map[string]any)) string {
	p.t.Helper()
	now := time.Now()
	c := map[string]any{
		"iss": issuerName, "aud": []string{"other", "steno"}, "sub": "ana", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nbf": now.Unix(),
		"team": "support", "realm": map[string]any{"roles": []string{"agent", "intern"}}, "org.id": "acme",
	}
	if edit != nil {
		edit(c)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	out, err := jwt.Signed(s).Claims(c).Serialize()
	if err != nil {
		p.t.Fatal(err)
	}
	return out
}

func (p *idp) issuer() *Issuer {
	return &Issuer{
		Name: issuerName, Audience: []string{"steno"}, KeysURL: p.server.URL, Skew: time.Minute,
		Claims: ClaimNames{User: "sub", Team: "team", Role: "realm.roles", Tenant: "org.id"}, Upstreams: []string{"openai", "own"}, Models: []string{"gpt-4o*"},
	}
}

func TestTokens(t *testing.T) {
	p := newIDP(t)
	signers := map[string]jose.Signer{}
	for _, alg := range TokenAlgorithms {
		signers[alg] = p.key("k-"+alg, alg)
	}
	var got atomic.Pointer[http.Header]
	stub := stubHandler(t)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := q.Header.Clone()
		got.Store(&h)
		stub.ServeHTTP(w, q)
	}), func(c *Config) { c.Issuers = []*Issuer{p.issuer()} })
	ask := func(path, token string, more ...string) (*http.Response, string) {
		t.Helper()
		resp, body, err := r.do(r.post(path, chatBody, append([]string{"Authorization", "Bearer " + token}, more...)...))
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	for alg, s := range signers {
		resp, body := ask("/v1/chat/completions", p.token(s, nil))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", alg, resp.StatusCode, body)
		}
		id := r.exchange(resp.Header.Get("X-Steno-Exchange")).events[0].Identity
		if id.Auth != "jwt" || id.Issuer != issuerName || id.Caller != "ana" || id.Team != "support" || id.Role != "agent" || id.Tenant != "acme" || id.Key != "" || len(id.Asserted) != 0 {
			t.Errorf("%s: on record %+v", alg, id)
		}
		if h := (*got.Load()).Get("Authorization"); h != "Bearer provider-key" {
			t.Errorf("the provider got %q", h)
		}
	}
	if n := p.fetched.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}

	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good, es := signers["EdDSA"], signers["ES256"]
	past, future := time.Now().Add(-2*time.Minute).Unix(), time.Now().Add(2*time.Minute).Unix()
	secret := p.signer("k-ES256", "HS256", []byte(strings.Repeat("0123456789abcdef", 4)))
	for name, c := range map[string]struct {
		token string
		says  string
	}{
		"expired":              {p.token(good, func(c map[string]any) { c["exp"] = past }), "it expired at"},
		"not valid yet":        {p.token(good, func(c map[string]any) { c["nbf"] = future }), "not valid yet"},
		"issued later":         {p.token(good, func(c map[string]any) { c["iat"] = future }), "not valid yet"},
		"no end":               {p.token(good, func(c map[string]any) { c["exp"] = nil }), "never expires"},
		"another audience":     {p.token(es, func(c map[string]any) { c["aud"] = "billing" }), "another audience"},
		"no audience":          {p.token(es, func(c map[string]any) { c["aud"] = nil }), "another audience"},
		"nobody":               {p.token(es, func(c map[string]any) { c["sub"] = nil }), `no claim \"sub\"`},
		"of another key":       {p.token(p.signer("k-EdDSA", "EdDSA", stranger), nil), "no key of the issuer"},
		"an algorithm by hash": {p.token(secret, nil), "no token signed with"},
		"changed":              {tampered(p.token(good, nil)), "no key of the issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := ask("/v1/chat/completions", c.token)
			if resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, c.says) || !strings.Contains(body, "invalid_token") || strings.Contains(body, c.token) {
				t.Errorf("%d %s, want 401 that says %q", resp.StatusCode, body, c.says)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if x.last().Type != "security.auth_failed" || x.last().System.Reason != "invalid_token" || x.last().Identity.User != "" {
				t.Errorf("on record: %s %+v", x.last().Type, x.last().Identity)
			}
		})
	}
	if resp, _ := ask("/v1/chat/completions", p.token(good, func(c map[string]any) { c["exp"] = time.Now().Add(-30 * time.Second).Unix() })); resp.StatusCode != http.StatusOK {
		t.Error("the clocks may differ by a minute")
	}
	if resp, body := ask("/v1/messages", p.token(good, nil)); resp.StatusCode != http.StatusForbidden || !strings.Contains(body, "permission_error") {
		t.Errorf("another upstream: %d %s", resp.StatusCode, body)
	}
	if resp, body := ask("/v1/chat/completions", p.token(good, func(c map[string]any) { c["iss"] = "https://elsewhere.test/" })); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "not known") {
		t.Errorf("an issuer that is not ours: %d %s", resp.StatusCode, body)
	}
	// Beside a token the provider's own key passes where the upstream wants it, the token never does.
	if resp, body := ask("/own/v1/chat/completions", p.token(good, nil), "X-Api-Key", "own-key"); resp.StatusCode != http.StatusOK {
		t.Errorf("beside a key: %d %s", resp.StatusCode, body)
	}
	if h := *got.Load(); h.Get("Authorization") != "" || h.Get("X-Api-Key") != "own-key" {
		t.Errorf("the provider got %v", h)
	}
}

// tampered changes a token's claims under its signature.
func tampered(token string) string {
	parts := strings.Split(token, ".")
	var all map[string]any
	raw, _ := jwt.ParseSigned(token, []jose.SignatureAlgorithm{"EdDSA"})
	_ = raw.UnsafeClaimsWithoutVerification(&all)
	all["sub"] = "root"
	b, _ := json.Marshal(all)
	parts[1] = base64url(b)
	return strings.Join(parts, ".")
}

// TestKeyRotation takes a key that the issuer made after its keys were read, and still accepts the old ones while it is away.
func TestKeyRotation(t *testing.T) {
	p := newIDP(t)
	is := p.issuer()
	old := p.key("1", "ES256")
	verify := func(token string, at time.Time) error {
		_, err := is.verify(context.Background(), http.DefaultClient, token, at)
		return err
	}
	now := time.Now()
	if err := verify(p.token(old, nil), now); err != nil {
		t.Fatal(err)
	}
	rotated := p.key("2", "EdDSA")
	if err := verify(p.token(rotated, nil), now); err == nil {
		t.Error("an unknown key is looked for at most every ten seconds")
	}
	if err := verify(p.token(rotated, nil), now.Add(keysAgain+time.Second)); err != nil {
		t.Errorf("a new key: %v", err)
	}
	p.server.Close()
	if err := verify(p.token(old, nil), now.Add(keysKept+time.Minute)); err != nil {
		t.Errorf("while the issuer is away: %v", err)
	}
	gone := &Issuer{Name: issuerName, KeysURL: p.server.URL, Claims: ClaimNames{User: "sub"}}
	if _, err := gone.verify(context.Background(), http.DefaultClient, p.token(old, nil), now); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("without any keys: %v", err)
	}
}

func TestParseKeySet(t *testing.T) {
	for _, text := range []string{"", "[]", `{"keys":[]}`, `{"keys":[{"kty":"oct","k":"` + base64url([]byte("0123456789abcdef")) + `"}]}`, `{"keys":[{"kty":"RSA"}]}`} {
		if k, err := parseKeySet([]byte(text)); err == nil {
			t.Errorf("%q has the keys %v", text, k)
		}
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: private, KeyID: "private"}, {Key: private.Public(), KeyID: "public"}, {Key: private.Public(), KeyID: "enc", Use: "enc"}}})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := parseKeySet(b)
	if err != nil || len(keys) != 1 || keys[0].KeyID != "public" {
		t.Errorf("of a set with a private key and one to encrypt with it took %v (%v)", keys, err)
	}
}

func FuzzToken(f *testing.F) {
	_, pair, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: pair}, nil)
	if err != nil {
		f.Fatal(err)
	}
	signed, err := jwt.Signed(s).Claims(map[string]any{"iss": issuerName, "sub": "ana", "exp": 1 << 40}).Serialize()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add("a.b.c")
	f.Add(base64url([]byte(`{"alg":"none"}`)) + "." + base64url([]byte(`{"iss":"`+issuerName+`"}`)) + ".")
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	is := &Issuer{Name: issuerName, Claims: ClaimNames{User: "sub"}, keys: []jose.JSONWebKey{{Key: other.Public()}}, read: time.Now(), tried: time.Now()}
	f.Fuzz(func(t *testing.T, token string) {
		issuerOf(token)
		if k, err := is.verify(context.Background(), nil, token, is.read); err == nil {
			t.Errorf("%q lets %+v in", token, k)
		}
	})
}

func FuzzParseKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeySet(b)
		for i := range keys {
			if !keys[i].IsPublic() {
				t.Error("a private key")
			}
		}
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys and %v", len(keys), err)
		}
	})
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
