package capture

import (
	"crypto/sha256"
	"encoding/hex"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// Key is one gateway key: who uses it, and for what. The key itself is never held, only its SHA-256.
type Key struct {
	ID        string
	SHA256    [32]byte
	User      string
	Role      string
	Team      string
	Tenant    string
	Upstreams []string  // empty: all
	Models    []string  // patterns of path.Match for models that it may ask for; empty: all
	Expires   time.Time // from then on it is refused; zero: never
	Budget    *Budget   // what it may use in a day or month; nil: as much as it likes
	Capture   string    // one of CaptureModes; "" = full
}

// mayAsk says whether the key may ask for a model. A call that names none generates nothing, or is refused by the provider.
func (k *Key) mayAsk(model string) bool {
	if len(k.Models) == 0 || model == "" {
		return true
	}
	return slices.ContainsFunc(k.Models, func(pattern string) bool {
		ok, err := path.Match(pattern, model)
		return ok && err == nil
	})
}

// ParseKeyHash reads the sha256 member of a key entry.
func ParseKeyHash(s string) ([32]byte, error) {
	var h [32]byte
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		return h, errKeyHash
	}
	return [32]byte(b), nil
}

// credential is what a request carries where an SDK puts its key.
type credential struct {
	header string // the header it stood in, or the parameter with a question mark before it
	value  string
	signed bool // the value is the id of the AWS key that signed the call
}

// presented finds the SDK's key: Authorization: Bearer for OpenAI, x-api-key for Anthropic, api-key for Azure's SDK,
// x-goog-api-key or ?key= for Google. Of a call that is signed for AWS it is the id of the key.
func presented(r *http.Request, up *Upstream) credential {
	h := r.Header
	for _, name := range []string{"X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"} {
		if v := h.Get(name); v != "" {
			return credential{header: name, value: v}
		}
	}
	if v := h.Get("Authorization"); v != "" {
		if scheme, rest, ok := strings.Cut(v, " "); ok && strings.EqualFold(scheme, "bearer") {
			return credential{header: "Authorization", value: strings.TrimSpace(rest)}
		}
		if s, ok := signatureOf(v); ok {
			return credential{header: "Authorization", value: s.accessKey, signed: true}
		}
		return credential{header: "Authorization", value: v}
	}
	if up.Dialect == dialect.Gemini {
		for name, v := range googleKeys(r.URL.RawQuery) {
			return credential{header: "?" + name, value: v}
		}
	}
	return credential{}
}

// caller is the outcome of authorization.
type caller struct {
	key         *Key
	auth        string     // key, jwt, mtls, passthrough, anonymous
	issuer      string     // of the token or certificate, where auth is jwt or mtls
	tokenHeader string     // where the token stood; it never goes to the provider
	credential  credential // what is passed through, or was presented by an anonymous caller
	forward     bool       // pass the caller's own credential on
}

// refusal says why there is no caller.
type refusal struct {
	status  int
	code    string
	message string
}

// authorize decides who calls. A steno key stands where the SDK puts its key, or in x-steno-key beside the provider's
// own key where the upstream passes that through. Without a key a token of a configured issuer counts, then a client's certificate.
func (g *Gateway) authorize(r *http.Request, up *Upstream) (caller, *refusal) {
	if g.cfg.LookAtKeys != nil {
		g.cfg.LookAtKeys()
	}
	keys := g.keys()
	cred := presented(r, up)
	stenoKey := r.Header.Get("X-Steno-Key")
	if stenoKey != "" {
		k := keys[sha256.Sum256([]byte(stenoKey))]
		if k == nil {
			return caller{credential: credential{header: "X-Steno-Key", value: stenoKey}}, &refusal{http.StatusUnauthorized, "invalid_api_key", "the key in x-steno-key is not known to this steno; ask for one made by `steno key new`"}
		}
		return caller{key: k, auth: "key"}.admit(up, cred)
	}
	if cred.value != "" && !cred.signed {
		if k := keys[sha256.Sum256([]byte(cred.value))]; k != nil {
			return caller{key: k, auth: "key"}.admit(up, credential{})
		}
	}
	if is, header, token := g.token(r.Header); is != nil {
		if cred.header == header {
			cred = credential{} // it is ours, not the provider's
		}
		c := caller{auth: "jwt", issuer: is.Name, tokenHeader: header}
		k, err := is.verify(r.Context(), g.keysClient, token, time.Now())
		if err != nil {
			c.auth, c.credential = "", credential{header: header, value: token}
			return c, &refusal{http.StatusUnauthorized, "invalid_token", "the token of " + is.Name + " is not accepted: " + err.Error()}
		}
		c.key = k
		return c.admit(up, cred)
	}
	if k, issuer := g.cfg.Certificates.caller(r.TLS); k != nil {
		return caller{key: k, auth: "mtls", issuer: issuer}.admit(up, cred)
	}
	return g.stranger(r, up, cred)
}

// admit checks what the one who vouches for a caller lets it do. The provider's credential that came beside it is passed on
// where the upstream wants the caller's own.
func (c caller) admit(up *Upstream, beside credential) (caller, *refusal) {
	k := c.key
	if !k.Expires.IsZero() && !time.Now().Before(k.Expires) {
		return caller{key: k}, &refusal{http.StatusUnauthorized, "expired_api_key", "the key " + strconv.Quote(k.ID) + " expired at " + k.Expires.UTC().Format(time.RFC3339) + "; ask for a new one made by `steno key new`"}
	}
	if len(k.Upstreams) > 0 && !slices.Contains(k.Upstreams, up.Name) {
		return caller{key: k}, &refusal{http.StatusForbidden, "permission_denied", "this key may not use the upstream " + strconv.Quote(up.Name)}
	}
	if up.Passthrough() {
		c.credential, c.forward = beside, beside.value != ""
	}
	return c, nil
}

// stranger is a caller for whom nobody vouches.
func (g *Gateway) stranger(r *http.Request, up *Upstream, cred credential) (caller, *refusal) {
	known := len(g.keys()) > 0 || len(g.cfg.Issuers) > 0 || g.cfg.Certificates != nil
	if !up.Passthrough() && known {
		msg := "no key was given; use one made by `steno key new` as the SDK's API key"
		if cred.signed {
			msg = "a call that is signed for AWS has no place for a steno key: give it in x-steno-key, or as the Bedrock API key (AWS_BEARER_TOKEN_BEDROCK) instead of signing"
		} else if cred.value != "" {
			msg = "the key given is not known to this steno; use one made by `steno key new` as the SDK's API key"
		}
		return caller{credential: cred}, &refusal{http.StatusUnauthorized, "invalid_api_key", msg}
	}
	if address, _ := g.cfg.Proxies.client(r); !g.cfg.AllowAnonymous && !isLoopback(address) {
		return caller{credential: cred}, &refusal{http.StatusUnauthorized, "invalid_api_key", "callers without a steno key are accepted on loopback only; send one in x-steno-key, or set gateway.allow_anonymous: true"}
	}
	c := caller{auth: "anonymous", credential: cred}
	if up.Passthrough() && cred.value != "" {
		c.auth, c.forward = "passthrough", true
	}
	return c, nil
}

func isLoopback(address string) bool {
	a, err := netip.ParseAddr(address)
	return err == nil && a.Unmap().IsLoopback()
}

func clientAddress(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

const maxAsserted = 512 // bytes of one asserted value; more is cut, a person's name or id is shorter

// identify joins who calls with whose data it is. The data subject is the first set of x-steno-user, the API's own
// fields (safety_identifier, user, metadata.user_id; p has found it), and the key's user; none: the tenant.
func (g *Gateway) identify(r *http.Request, c caller, p *dialect.Request) *steno.Identity {
	id := &steno.Identity{
		Auth: c.auth, Issuer: c.issuer, UserAgent: bounded(r.UserAgent()),
		Session: bounded(r.Header.Get("X-Claude-Code-Session-Id")),
	}
	id.Address, id.Peer = g.cfg.Proxies.client(r)
	if c.credential.value != "" {
		id.CredentialMAC = g.cfg.Keyring.CredentialMAC([]byte(c.credential.value))
	}
	if c.key != nil {
		id.Key, id.Caller, id.Role, id.Team, id.Tenant = c.key.ID, c.key.User, c.key.Role, c.key.Team, c.key.Tenant
	}
	assert := func(header, member string, dst *string) {
		if v := bounded(r.Header.Get(header)); v != "" {
			*dst = v
			id.Asserted = append(id.Asserted, member)
		}
	}
	assert("X-Steno-User", "user.id", &id.User)
	switch {
	case id.User != "":
		id.UserSource = "header"
	case p != nil && p.User != "":
		id.User, id.UserSource = p.User, p.UserSource
	case c.key != nil && c.key.User != "":
		id.User, id.UserSource = c.key.User, c.vouches()
	default:
		id.UserSource = "tenant"
	}
	assert("X-Steno-Role", "steno.role", &id.Role)
	assert("X-Steno-Conversation", "gen_ai.conversation.id", &id.Conversation)
	if id.Conversation == "" && p != nil {
		id.Conversation = bounded(p.Conversation)
	}
	return id
}

// vouches names who says that the caller is that user.
func (c caller) vouches() string {
	if c.auth == "jwt" || c.auth == "mtls" {
		return c.auth
	}
	return "key"
}

func bounded(s string) string {
	if len(s) > maxAsserted {
		return s[:maxAsserted]
	}
	return s
}

// assertedDocuments reads the x-steno-document headers: id=…; index=…; vector=…; version=…; score=…; title=…; chunk=….
func assertedDocuments(h http.Header) []steno.Document {
	var out []steno.Document
	for _, line := range h.Values("X-Steno-Document") {
		d := steno.Document{Origin: "asserted"}
		for part := range strings.SplitSeq(line, ";") {
			k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			v = bounded(strings.Trim(strings.TrimSpace(v), `"`))
			switch strings.ToLower(strings.TrimSpace(k)) {
			case "id":
				d.ID = v
			case "index":
				d.Index = v
			case "vector":
				d.VectorID = v
			case "version":
				d.Version = v
			case "title":
				d.Title = v
			case "chunk":
				d.Chunk = v
			case "hash":
				d.Hash = v
			case "score":
				if f, err := strconv.ParseFloat(v, 64); err == nil {
					d.Score = &f
				}
			}
		}
		if d.ID != "" || d.VectorID != "" {
			out = append(out, d)
		}
	}
	return out
}

// assertedPrompt reads x-steno-prompt: name@version.
func assertedPrompt(h http.Header, p *steno.Prompt) {
	if v := bounded(h.Get("X-Steno-Prompt")); v != "" {
		p.Name, p.Version, _ = strings.Cut(v, "@")
	}
}

// traceContext reads a W3C traceparent; a malformed one is no trace.
func traceContext(h http.Header) (trace, parent string) {
	f := strings.Split(h.Get("Traceparent"), "-")
	if len(f) < 4 || len(f[0]) != 2 || len(f[1]) != 32 || len(f[2]) != 16 || !isHex(f[1]) || !isHex(f[2]) {
		return "", ""
	}
	return f[1], f[2]
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}
