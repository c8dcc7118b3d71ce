package capture

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// TokenAlgorithms are the signatures that a token may have. Keys that two parties share are not among them: who can check
// such a token can make one.
var TokenAlgorithms = []string{"RS256", "ES256", "EdDSA"}

// Issuer vouches for callers by signed tokens (OpenID Connect, RFC 7519).
type Issuer struct {
	Name       string        // the claim iss, exactly
	Audience   []string      // one of them has to be in aud
	Algorithms []string      // of TokenAlgorithms; empty: all
	KeysURL    string        // where its public keys are, as a JWK set
	KeysFile   string        // or in which file
	Header     string        // the header that tokens come in, "Authorization" when empty
	Skew       time.Duration // by which clocks may differ
	Claims     ClaimNames
	Upstreams  []string // that its callers may use; empty: all
	Models     []string // patterns of models; empty: all

	fetching sync.Mutex // held by the one call that fetches keys; taken before mu
	mu       sync.Mutex
	keys     []jose.JSONWebKey
	read     time.Time // when keys were last read
	tried    time.Time // when that was last tried
	reading  bool      // beside the calls
	changed  time.Time // of the file
}

// ClaimNames say in which claims of a token a caller's names stand. A dot leads into an object, as in "org.id"; of an array
// the first element counts.
type ClaimNames struct{ User, Team, Role, Tenant string }

const (
	keysKept   = 10 * time.Minute // public keys are read anew that often
	keysAgain  = 10 * time.Second // and for a token under an unknown key, at most that often
	maxKeySet  = 1 << 20
	maxToken   = 16 << 10
	maxSetKeys = 64
)

var errNoKey = errors.New("no key of the issuer has signed it")

// issuerOf reads, unchecked, who says to have issued a token; "" for what is no token.
func issuerOf(token string) string {
	if len(token) > maxToken || strings.Count(token, ".") != 2 {
		return ""
	}
	_, rest, _ := strings.Cut(token, ".")
	payload, _, _ := strings.Cut(rest, ".")
	b, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return ""
	}
	var c struct {
		Iss string `json:"iss"`
	}
	if json.Unmarshal(b, &c) != nil {
		return ""
	}
	return c.Iss
}

// token finds a token of a configured issuer in a request. What merely looks like one and is not theirs is the SDK's key.
func (g *Gateway) token(h http.Header) (is *Issuer, header, token string) {
	for _, is := range g.cfg.Issuers {
		header := is.header()
		v := h.Get(header)
		if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "bearer") {
			v = strings.TrimSpace(rest)
		}
		if v != "" && issuerOf(v) == is.Name {
			return is, header, v
		}
	}
	return nil, "", ""
}

func (is *Issuer) header() string {
	if is.Header == "" {
		return "Authorization"
	}
	return http.CanonicalHeaderKey(is.Header)
}

// verify checks a token and returns whom it vouches for. The error says why not, and never quotes the token.
func (is *Issuer) verify(ctx context.Context, client *http.Client, token string, now time.Time) (*Key, error) {
	algorithms := make([]jose.SignatureAlgorithm, 0, len(TokenAlgorithms))
	for _, a := range TokenAlgorithms {
		if len(is.Algorithms) == 0 || slices.Contains(is.Algorithms, a) {
			algorithms = append(algorithms, jose.SignatureAlgorithm(a))
		}
	}
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, fmt.Errorf("it is no token signed with %s", joinAlgorithms(algorithms))
	}
	payload, err := is.payload(ctx, client, t, now)
	if err != nil {
		return nil, err
	}
	var c jwt.Claims
	var all map[string]any
	if json.Unmarshal(payload, &c) != nil || json.Unmarshal(payload, &all) != nil {
		return nil, errors.New("its claims are not what RFC 7519 says")
	}
	if c.Expiry == nil {
		return nil, errors.New("it never expires: a token without exp is not accepted")
	}
	err = c.ValidateWithLeeway(jwt.Expected{Issuer: is.Name, AnyAudience: is.Audience, Time: now}, is.Skew)
	switch {
	case errors.Is(err, jwt.ErrExpired):
		return nil, fmt.Errorf("it expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return nil, errors.New("it is not valid yet; do the clocks differ?")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return nil, fmt.Errorf("it is meant for another audience than %s", strings.Join(is.Audience, ", "))
	case err != nil:
		return nil, errors.New("its claims do not hold")
	}
	k := &Key{
		User: tokenClaim(all, is.Claims.User), Team: tokenClaim(all, is.Claims.Team), Role: tokenClaim(all, is.Claims.Role), Tenant: tokenClaim(all, is.Claims.Tenant),
		Upstreams: is.Upstreams, Models: is.Models,
	}
	if k.User == "" {
		return nil, fmt.Errorf("it has no claim %q that says who calls", is.Claims.User)
	}
	return k, nil
}

func joinAlgorithms(algorithms []jose.SignatureAlgorithm) string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// payload is what the token says, once one of the issuer's keys is seen to have signed it. A key that is not known may be a
// new one: then the keys are read again.
func (is *Issuer) payload(ctx context.Context, client *http.Client, t *jwt.JSONWebToken, now time.Time) ([]byte, error) {
	kid, alg := t.Headers[0].KeyID, t.Headers[0].Algorithm
	try := func(keys []jose.JSONWebKey) ([]byte, bool) {
		for i := range keys {
			k := &keys[i]
			if (kid != "" && k.KeyID != "" && k.KeyID != kid) || !fits(k, alg) {
				continue
			}
			var out json.RawMessage
			if t.Claims(k.Key, &out) == nil {
				return out, true
			}
		}
		return nil, false
	}
	keys, _ := is.current(ctx, client, now, keysKept) // those that hold, if any
	if out, ok := try(keys); ok {
		return out, nil
	}
	if again, err := is.current(ctx, client, now, keysAgain); err == nil {
		if out, ok := try(again); ok {
			return out, nil
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the issuer's keys cannot be read now")
	}
	return nil, errNoKey
}

// fits says whether a key is one for an algorithm: a key must not be used for what it was not made for.
func fits(k *jose.JSONWebKey, alg string) bool {
	if k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" && key.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return alg == "ES256" && key.Curve.Params().BitSize == 256
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// current returns the issuer's keys, read anew where they are older than that. Keys that are merely old are read anew beside
// the calls, and when they cannot be read the last ones hold: an issuer that is away, or slow, does not lock everybody out.
func (is *Issuer) current(ctx context.Context, client *http.Client, now time.Time, age time.Duration) ([]jose.JSONWebKey, error) {
	if is.KeysFile != "" {
		return is.fromFile()
	}
	is.mu.Lock()
	keys, fresh, begin := is.keys, is.fresh(now, age), false
	if !fresh && age == keysKept && len(keys) > 0 {
		begin, is.reading, fresh = !is.reading, true, true
	}
	is.mu.Unlock()
	if begin {
		go func() {
			_, _ = is.fetch(context.WithoutCancel(ctx), client, now, age) // the old ones hold
			is.mu.Lock()
			is.reading = false
			is.mu.Unlock()
		}()
	}
	if fresh {
		return keys, nil
	}
	return is.fetch(ctx, client, now, age)
}

// fetch reads the keys from the issuer, one call at a time; who waited takes what the one before has read.
func (is *Issuer) fetch(ctx context.Context, client *http.Client, now time.Time, age time.Duration) ([]jose.JSONWebKey, error) {
	is.fetching.Lock()
	defer is.fetching.Unlock()
	is.mu.Lock()
	keys, fresh := is.keys, is.fresh(now, age)
	is.mu.Unlock()
	if fresh {
		return keys, nil
	}
	b, err := fetchKeys(ctx, client, is.KeysURL)
	is.mu.Lock()
	defer is.mu.Unlock()
	is.tried = time.Now()
	if err != nil {
		return is.keys, fmt.Errorf("couldn't fetch the keys of %s: %w", is.Name, err)
	}
	is.read = is.tried
	return is.take(b)
}

// fresh says whether the keys need not be read: they are young enough, or that was tried a moment ago. The caller holds mu.
func (is *Issuer) fresh(now time.Time, age time.Duration) bool {
	return now.Sub(is.read) < age || now.Sub(is.tried) < keysAgain
}

func (is *Issuer) fromFile() ([]jose.JSONWebKey, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	info, err := os.Stat(is.KeysFile)
	if err != nil {
		return is.keys, fmt.Errorf("couldn't read the keys of %s: %w", is.Name, err)
	}
	if info.ModTime().Equal(is.changed) && len(is.keys) > 0 {
		return is.keys, nil
	}
	b, err := os.ReadFile(is.KeysFile)
	if err != nil {
		return is.keys, fmt.Errorf("couldn't read the keys of %s: %w", is.Name, err)
	}
	is.changed = info.ModTime()
	return is.take(b)
}

// CheckKeys says whether the issuer's file of keys can be used; those behind an address are read when they are needed.
func (is *Issuer) CheckKeys() error {
	if is.KeysFile == "" {
		return nil
	}
	_, err := is.fromFile()
	return err
}

func (is *Issuer) take(b []byte) ([]jose.JSONWebKey, error) {
	keys, err := parseKeySet(b)
	if err != nil {
		return is.keys, fmt.Errorf("the keys of %s: %w", is.Name, err)
	}
	is.keys = keys
	return keys, nil
}

func fetchKeys(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() // it was read, or is given up
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers %s", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxKeySet {
		return nil, fmt.Errorf("its key set is larger than %d bytes", maxKeySet)
	}
	return b, nil
}

// parseKeySet reads a JWK set (RFC 7517). Keys of kinds that no token here may be signed with are left out.
func parseKeySet(b []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&set); err != nil {
		return nil, fmt.Errorf("no JWK set: %w", err)
	}
	var out []jose.JSONWebKey
	for _, raw := range set.Keys {
		var k jose.JSONWebKey
		if len(out) == maxSetKeys || k.UnmarshalJSON(raw) != nil || !k.Valid() || !k.IsPublic() || (k.Use != "" && k.Use != "sig") {
			continue
		}
		if fits(&k, "RS256") || fits(&k, "ES256") || fits(&k, "EdDSA") {
			out = append(out, k)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("a JWK set without a public key for %s", strings.Join(TokenAlgorithms, ", "))
	}
	return out, nil
}

// tokenClaim finds a claim by its name, or by a path of names with dots between them.
func tokenClaim(all map[string]any, name string) string {
	if name == "" {
		return ""
	}
	v, ok := all[name]
	for rest := name; !ok; {
		first, after, more := strings.Cut(rest, ".")
		inner, is := all[first].(map[string]any)
		if !more || !is {
			return ""
		}
		all, rest = inner, after
		v, ok = all[rest]
	}
	if list, is := v.([]any); is && len(list) > 0 {
		v = list[0]
	}
	switch v := v.(type) {
	case string:
		return bounded(v)
	case float64:
		return bounded(fmt.Sprintf("%.0f", v))
	}
	return ""
}
