package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/pires/go-proxyproto"
	"github.com/rogpeppe/go-internal/testscript"
)

// signToken makes a key pair, writes the public key to a file and sets a variable to a token: signtoken FILE NAME ISSUER AUDIENCE.
func signToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: signtoken FILE NAME ISSUER AUDIENCE")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: public, KeyID: "1", Algorithm: "EdDSA"}}})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b, 0o600))
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: private, KeyID: "1"}}, nil)
	ts.Check(err)
	token, err := jwt.Signed(s).Claims(map[string]any{"iss": args[2], "aud": args[3], "sub": "ana", "groups": []string{"support"}, "exp": time.Now().Add(time.Hour).Unix()}).Serialize()
	ts.Check(err)
	ts.Setenv(args[1], token)
}

func TestCallerConfig(t *testing.T) {
	const tls = "gateway:\n  tls: {cert: c, key: k}\n"
	for _, c := range []struct{ text, want string }{
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_file: f}]", ""},
		{"gateway:\n  tokens: [{audience: [a], jwks_file: f}]", "gateway.tokens[0].issuer: is missing"},
		{"gateway:\n  tokens: [{issuer: x, jwks_file: f}]", "gateway.tokens[0].audience: is missing"},
		{"gateway:\n  tokens: [{issuer: x, audience: [a]}]", "give this, or jwks_file"},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_url: \"http://idp.test/keys\"}]", "is no https address"},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_url: \"http://127.0.0.1:9/keys\"}]", ""},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_file: f, algorithms: [HS256]}]", `"HS256" is none of RS256, ES256, EdDSA`},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_file: f, upstreams: [nowhere]}]", `no upstream "nowhere"`},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_file: f, skew: 1h}]", "is not between"},
		{"gateway:\n  tokens: [{issuer: x, audience: [a], jwks_file: f}, {issuer: x, audience: [a], jwks_file: f}]", "is there twice"},
		{"gateway:\n  client_certificates: {ca: f}", "needs gateway.tls"},
		{tls + "  client_certificates: {ca: f, user: dns}", ""},
		{tls + "  client_certificates: {user: dns}", "client_certificates.ca: is missing"},
		{tls + "  client_certificates: {ca: f, team: serial}", `client_certificates.team: "serial" is none of`},
		{"gateway:\n  proxies: {trusted: [10.0.0.0/8, 192.0.2.1], header: X-Forwarded-For}", ""},
		{"gateway:\n  proxies: {header: x-forwarded-for}", "trusted: is missing"},
		{"gateway:\n  proxies: {trusted: [10.0.0.0/8]}", "set header, protocol: true"},
		{"gateway:\n  proxies: {trusted: [0.0.0.0/0], protocol: true}", "is everybody"},
		{"gateway:\n  proxies: {trusted: [house], protocol: true}", `"house" is no address`},
		{"gateway:\n  proxies: {trusted: [10.0.0.0/8], header: x-real-ip}", "is neither"},
	} {
		cfg := defaultConfig(func(string) string { return "" })
		err := cfg.parse([]byte(c.text), "steno.yaml")
		if err == nil {
			err = cfg.complete()
		}
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nsays %v, want %q", c.text, err, c.want)
		}
	}
}

// TestTheProxyProtocol sends what proxies send, and what pretends to be one.
func TestTheProxyProtocol(t *testing.T) {
	v2, err := (&proxyproto.Header{
		Version: 2, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
		SourceAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("203.0.113.9:4711")), DestinationAddr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.0.0.1:443")),
	}).Format()
	if err != nil {
		t.Fatal(err)
	}
	const request = "GET / HTTP/1.0\r\n\r\n"
	for name, c := range map[string]struct{ trusted, send, want string }{
		"version 1":            {"127.0.0.0/8", "PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n" + request, "203.0.113.9:4711"},
		"version 1, IPv6":      {"127.0.0.0/8", "PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n" + request, "[2001:db8::9]:4711"},
		"version 2":            {"127.0.0.0/8", string(v2) + request, "203.0.113.9:4711"},
		"a health check":       {"127.0.0.0/8", request, "127.0.0.1:"},
		"nobody trusted":       {"10.0.0.0/8", request, "127.0.0.1:"},
		"a forger":             {"10.0.0.0/8", "PROXY TCP4 203.0.113.9 10.0.0.1 4711 443\r\n" + request, ""},
		"a forger, version 2":  {"10.0.0.0/8", string(v2) + request, ""},
		"a broken header":      {"127.0.0.0/8", "PROXY TCP4 somewhere\r\n" + request, ""},
		"an unknown transport": {"127.0.0.0/8", "PROXY UNKNOWN\r\n" + request, "127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := &config{}
			cfg.Gateway.Listen = "127.0.0.1:0"
			cfg.Gateway.Proxies = &proxiesConfig{Trusted: []string{c.trusted}, Protocol: true}
			ln, err := cfg.listenGateway(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, r.RemoteAddr)
			})}
			go srv.Serve(ln)
			t.Cleanup(func() { srv.Close() })
			conn, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := io.WriteString(conn, c.send); err != nil {
				t.Fatal(err)
			}
			b, _ := io.ReadAll(conn) // a refused connection may end in a reset
			_, body, ok := strings.Cut(string(b), "\r\n\r\n")
			if c.want == "" && strings.Contains(string(b), " 200 ") || c.want != "" && (!ok || !strings.HasPrefix(body, c.want)) {
				t.Errorf("answered %q, want the client %q", b, c.want)
			}
		})
	}
}
