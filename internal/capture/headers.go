package capture

import (
	"encoding/json"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/steno-audit/steno"
)

// hopByHop are the headers of one connection (RFC 9110 7.6.1); they are not forwarded in either direction.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// secretHeaders are recorded as a keyed hash only.
var secretHeaders = map[string]bool{
	"Authorization": true, "Proxy-Authorization": true, "X-Api-Key": true, "Api-Key": true, "X-Goog-Api-Key": true, "X-Steno-Key": true,
	"Cookie": true, "Set-Cookie": true, "X-Amz-Security-Token": true, "Openai-Api-Key": true, "Anthropic-Api-Key": true, "X-Auth-Token": true,
	"Ocp-Apim-Subscription-Key": true,
}

// secretQuery are the query parameters in which providers take a key.
var secretQuery = map[string]bool{
	"key": true, "api_key": true, "api-key": true, "apikey": true, "access_token": true, "token": true, "code": true, "sig": true,
	"signature": true, "subscription-key": true, "x-amz-signature": true, "x-amz-security-token": true, "x-amz-credential": true,
}

func copyHeaders(dst, src http.Header) {
	for k, v := range src {
		dst[k] = append(dst[k][:len(dst[k]):len(dst[k])], v...)
	}
}

func removeHopByHop(h http.Header) {
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				h.Del(name)
			}
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// upgrades tells whether the caller wants to speak something else on this connection. An offer of HTTP/2 in clear is not
// that: a server may go on in HTTP/1.1, and Java's own client makes it with every first call.
func upgrades(h http.Header) bool {
	for _, line := range h.Values("Upgrade") {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" && !strings.EqualFold(name, "h2c") {
				return true
			}
		}
	}
	return false
}

// outboundHeaders are the caller's, less those of the connection, steno's own, and the credential where steno holds another.
func outboundHeaders(in http.Header, up *Upstream, c caller, path string) http.Header {
	out := make(http.Header, len(in))
	copyHeaders(out, in)
	removeHopByHop(out)
	out.Del("Http2-Settings") // belongs to an offer of h2c
	if te := in.Values("Te"); len(te) > 0 && strings.Contains(strings.ToLower(strings.Join(te, ",")), "trailers") {
		out.Set("Te", "trailers")
	}
	for name := range out {
		if strings.HasPrefix(name, "X-Steno-") {
			delete(out, name)
		}
	}
	if c.tokenHeader != "" {
		out.Del(c.tokenHeader)
	}
	if c.forward {
		return out
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"} {
		out.Del(name)
	}
	for _, name := range callersSignature {
		out.Del(name)
	}
	if up.Passthrough() {
		return out
	}
	up.setCredential(out, path)
	return out
}

// head is what a head piece says of a request or an answer.
type head struct {
	Method  string      `json:"method,omitempty"`
	Path    string      `json:"path,omitempty"`
	Query   string      `json:"query,omitempty"`
	Status  int         `json:"status,omitempty"`
	Proto   string      `json:"proto,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
}

func (g *Gateway) requestHead(r *http.Request) steno.Piece {
	h := head{Method: r.Method, Path: r.URL.EscapedPath(), Query: g.safeQuery(r.URL.RawQuery), Proto: r.Proto, Headers: g.safeHeaders(r.Header)}
	return headPiece(h)
}

func (g *Gateway) responseHead(r *http.Response) steno.Piece {
	return headPiece(head{Status: r.StatusCode, Proto: r.Proto, Headers: g.safeHeaders(r.Header)})
}

func headPiece(h head) steno.Piece {
	b, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings and maps of strings always marshal
	}
	return steno.Piece{Kind: steno.KindHead, Bytes: b}
}

// safeHeaders copies the headers, with credentials as keyed hashes and without the length, which the body says itself.
func (g *Gateway) safeHeaders(in http.Header) http.Header {
	out := make(http.Header, len(in))
	for k, vs := range in {
		switch {
		case k == "Content-Length":
		case secretHeaders[k] || g.tokenHeaders[k]:
			for _, v := range vs {
				if s, ok := signatureOf(v); ok {
					out[k] = append(out[k], g.cfg.Keyring.CredentialMAC([]byte(s.accessKey)))
					continue
				}
				if _, rest, ok := strings.Cut(v, " "); ok && k == "Authorization" {
					v = strings.TrimSpace(rest)
				}
				out[k] = append(out[k], g.cfg.Keyring.CredentialMAC([]byte(v)))
			}
		default:
			out[k] = vs
		}
	}
	return out
}

// safeQuery keeps a query as it is written, but for the values of parameters that are credentials.
func (g *Gateway) safeQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		k, v, ok := strings.Cut(p, "=")
		name, err := url.QueryUnescape(k)
		if err != nil {
			name = k
		}
		if ok && v != "" && secretQuery[strings.ToLower(name)] {
			if plain, err := url.QueryUnescape(v); err == nil {
				v = plain
			}
			parts[i] = k + "=" + g.cfg.Keyring.CredentialMAC([]byte(v))
		}
	}
	return strings.Join(parts, "&")
}
