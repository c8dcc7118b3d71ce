package capture

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// authority signs clients' certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	_, a.cert, a.key = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "house"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	return a
}

func (a *authority) sign(c, parent *x509.Certificate) (tls.Certificate, *x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := key
	if parent == nil {
		parent = c
	} else {
		signer = a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, cert, key
}

func (a *authority) client() tls.Certificate {
	spiffe, _ := url.Parse("spiffe://house/billing")
	c, _, _ := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "billing", OrganizationalUnit: []string{"finance"}, Organization: []string{"acme"}}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: []string{"billing.acme.test"}, EmailAddresses: []string{"billing@acme.test"}, URIs: []*url.URL{spiffe},
	}, a.cert)
	return c
}

func TestClientCertificates(t *testing.T) {
	house := newAuthority(t)
	for name, c := range map[string]struct {
		from   Certificates
		cert   *tls.Certificate
		status int
		user   string
	}{
		"by its name":      {Certificates{User: "cn", Team: "ou", Tenant: "o"}, ptr(house.client()), 200, "billing"},
		"by its dns name":  {Certificates{User: "dns", Team: "ou", Tenant: "o"}, ptr(house.client()), 200, "billing.acme.test"},
		"by its address":   {Certificates{User: "email", Team: "ou", Tenant: "o"}, ptr(house.client()), 200, "billing@acme.test"},
		"by its uri":       {Certificates{User: "uri", Team: "ou", Tenant: "o"}, ptr(house.client()), 200, "spiffe://house/billing"},
		"without one":      {Certificates{User: "cn"}, nil, 401, ""},
		"without its name": {Certificates{User: "role"}, ptr(house.client()), 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, stubHandler(t), func(cfg *Config) { cfg.Certificates, cfg.Keys = &c.from, nil })
			server := httptest.NewUnstartedServer(r.gateway)
			pool := x509.NewCertPool()
			pool.AddCert(house.cert)
			server.TLS = &tls.Config{ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven}
			server.StartTLS()
			t.Cleanup(server.Close)
			transport := server.Client().Transport.(*http.Transport)
			if c.cert != nil {
				transport.TLSClientConfig.Certificates = []tls.Certificate{*c.cert}
			}
			req := r.post("/v1/chat/completions", chatBody)
			req.Header.Del("Authorization")
			req.URL.Scheme, req.URL.Host = "https", server.Listener.Addr().String()
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, c.status)
			}
			if c.status != 200 {
				return
			}
			id := r.exchange(resp.Header.Get("X-Steno-Exchange")).events[0].Identity
			if id.Auth != "mtls" || id.Caller != c.user || id.Team != "finance" || id.Tenant != "acme" || id.Issuer != "CN=house" || id.User != "ana" || id.UserSource != "user" {
				t.Errorf("on record %+v", id)
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

func TestTheClientsAddress(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct {
		header, remote string
		lines          []string
		want, peer     string
	}{
		"nobody between":               {"x-forwarded-for", "192.0.2.1:5", nil, "192.0.2.1", ""},
		"a stranger says so":           {"x-forwarded-for", "192.0.2.1:5", []string{"203.0.113.9"}, "192.0.2.1", ""},
		"a proxy":                      {"x-forwarded-for", "10.1.1.1:5", []string{"203.0.113.9"}, "203.0.113.9", "10.1.1.1"},
		"two proxies":                  {"x-forwarded-for", "10.1.1.1:5", []string{"203.0.113.9, 10.2.2.2"}, "203.0.113.9", "10.1.1.1"},
		"what the client claims":       {"x-forwarded-for", "10.1.1.1:5", []string{"127.0.0.1, 203.0.113.9"}, "203.0.113.9", "10.1.1.1"},
		"in lines":                     {"x-forwarded-for", "10.1.1.1:5", []string{"127.0.0.1", "203.0.113.9", "10.2.2.2"}, "203.0.113.9", "10.1.1.1"},
		"with a port":                  {"x-forwarded-for", "10.1.1.1:5", []string{"203.0.113.9:4711"}, "203.0.113.9", "10.1.1.1"},
		"an IPv6 one":                  {"x-forwarded-for", "[2001:db8::1]:5", []string{"2001:dead::9"}, "2001:dead::9", "2001:db8::1"},
		"in brackets":                  {"x-forwarded-for", "10.1.1.1:5", []string{"[2001:dead::9]:443"}, "2001:dead::9", "10.1.1.1"},
		"only proxies":                 {"x-forwarded-for", "10.1.1.1:5", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3", "10.1.1.1"},
		"nonsense":                     {"x-forwarded-for", "10.1.1.1:5", []string{"unknown"}, "10.1.1.1", ""},
		"nonsense before":              {"x-forwarded-for", "10.1.1.1:5", []string{"203.0.113.9, ?, 10.2.2.2"}, "10.2.2.2", "10.1.1.1"},
		"the other header":             {"forwarded", "10.1.1.1:5", []string{`for=203.0.113.9;proto=https, for="10.2.2.2:81";by=10.1.1.1`}, "203.0.113.9", "10.1.1.1"},
		"the other header, quoted":     {"forwarded", "10.1.1.1:5", []string{`host="a,b;c";For="[2001:dead::9]:4711"`}, "2001:dead::9", "10.1.1.1"},
		"the other header, obfuscated": {"forwarded", "10.1.1.1:5", []string{`for=203.0.113.9, for=_hidden`}, "10.1.1.1", ""},
		"no header is read":            {"", "10.1.1.1:5", []string{"203.0.113.9"}, "10.1.1.1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := &Proxies{Trusted: trusted, Header: c.header}
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr = c.remote
			header := "X-Forwarded-For"
			if c.header == "forwarded" {
				header = "Forwarded"
			}
			r.Header[header] = c.lines
			if got, peer := p.client(r); got != c.want || peer != c.peer {
				t.Errorf("the client is %s, told by %q; want %s by %q", got, peer, c.want, c.peer)
			}
			if got, peer := (*Proxies)(nil).client(r); got != clientAddress(c.remote) || peer != "" {
				t.Errorf("without proxies the client is %s, told by %q", got, peer)
			}
		})
	}
}

// TestAnAddressDoesNotLetIn holds that a proxy on this machine does not make its clients local.
func TestAnAddressDoesNotLetIn(t *testing.T) {
	r := newRig(t, stubHandler(t), func(c *Config) {
		c.Keys, c.Proxies = nil, &Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Header: "x-forwarded-for"}
	})
	resp, body, err := r.do(r.post("/v1/chat/completions", chatBody, "X-Forwarded-For", "203.0.113.9"))
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !strings.Contains(string(body), "loopback only") {
		t.Errorf("%d %s %v", resp.StatusCode, body, err)
	}
	if id := r.exchange(resp.Header.Get("X-Steno-Exchange")).events[0].Identity; id.Address != "203.0.113.9" || id.Peer != "127.0.0.1" {
		t.Errorf("on record %+v", id)
	}
}

func FuzzForwardedFor(f *testing.F) {
	f.Add(`for=203.0.113.9;proto=https, for="[2001:db8::1]:81"`)
	f.Add(`for="a`)
	p := &Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Header: "forwarded"}
	f.Fuzz(func(t *testing.T, line string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr, r.Header = "10.0.0.1:1", http.Header{"Forwarded": {line}, "X-Forwarded-For": {line}}
		for _, header := range []string{"forwarded", "x-forwarded-for"} {
			p.Header = header
			got, _ := p.client(r)
			if _, err := netip.ParseAddr(got); err != nil {
				t.Errorf("%q is no address", got)
			}
		}
		if n := len(splitQuoted(line, ',')); n > strings.Count(line, ",")+1 || !slices.Equal(splitQuoted(line, ','), splitQuoted(line, ',')) {
			t.Errorf("%d parts", n)
		}
	})
}
