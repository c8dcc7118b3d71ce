package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"

	"github.com/steno-audit/steno/internal/capture"
)

// issuerConfig is one issuer of tokens.
type issuerConfig struct {
	Issuer     string         `yaml:"issuer"`
	Audience   []string       `yaml:"audience"`
	JWKSURL    string         `yaml:"jwks_url"`
	JWKSFile   string         `yaml:"jwks_file"`
	Algorithms []string       `yaml:"algorithms"`
	Header     string         `yaml:"header"`
	Skew       *time.Duration `yaml:"skew"` // default: a minute
	Claims     claimsConfig   `yaml:"claims"`
	Upstreams  []string       `yaml:"upstreams"`
	Models     []string       `yaml:"models"`
}

// claimsConfig says which claim of a token is what.
type claimsConfig struct {
	User   string `yaml:"user"`
	Team   string `yaml:"team"`
	Role   string `yaml:"role"`
	Tenant string `yaml:"tenant"`
}

// certificatesConfig lets clients show who they are by certificates.
type certificatesConfig struct {
	CA       string `yaml:"ca"`       // PEM file
	Optional bool   `yaml:"optional"` // callers without one may come by a key or token
	User     string `yaml:"user"`     // which field says it: cn (the default), o, ou, dns, email, uri
	Team     string `yaml:"team"`
	Role     string `yaml:"role"`
	Tenant   string `yaml:"tenant"`
}

// proxiesConfig says whose word on a client's address counts.
type proxiesConfig struct {
	Trusted  []string `yaml:"trusted"`  // addresses or ranges
	Header   string   `yaml:"header"`   // x-forwarded-for, forwarded
	Protocol bool     `yaml:"protocol"` // the PROXY protocol, version 1 and 2
}

const defaultSkew = time.Minute

// issuers makes what the gateway needs of the configured ones, and says what is wrong with them.
func (c *config) issuers() ([]*capture.Issuer, error) {
	var out []*capture.Issuer
	seen := map[string]bool{}
	for i := range c.Gateway.Tokens {
		t := &c.Gateway.Tokens[i]
		is, err := t.issuer(c.Gateway.Upstreams)
		if err != nil {
			return nil, fmt.Errorf("gateway.tokens[%d].%w", i, err)
		}
		if seen[is.Name] {
			return nil, fmt.Errorf("gateway.tokens[%d].issuer: %q is there twice", i, is.Name)
		}
		seen[is.Name] = true
		out = append(out, is)
	}
	return out, nil
}

func (t *issuerConfig) issuer(upstreams map[string]upstreamConfig) (*capture.Issuer, error) {
	is := &capture.Issuer{
		Name: t.Issuer, Audience: t.Audience, Algorithms: t.Algorithms, KeysURL: t.JWKSURL, KeysFile: t.JWKSFile, Header: t.Header, Skew: defaultSkew,
		Claims: capture.ClaimNames(t.Claims), Upstreams: t.Upstreams, Models: t.Models,
	}
	if is.Claims.User == "" {
		is.Claims.User = "sub"
	}
	if t.Skew != nil {
		is.Skew = *t.Skew
	}
	switch {
	case t.Issuer == "":
		return nil, errors.New("issuer: is missing; it is the claim iss of its tokens, exactly")
	case len(t.Audience) == 0:
		return nil, errors.New("audience: is missing; a token that was made for somebody else must not open this gateway")
	case (t.JWKSURL == "") == (t.JWKSFile == ""):
		return nil, errors.New("jwks_url: give this, or jwks_file")
	case is.Skew < 0 || is.Skew > 10*time.Minute:
		return nil, fmt.Errorf("skew: %s is not between 0 and 10m", is.Skew)
	}
	if t.JWKSURL != "" {
		u, err := url.Parse(t.JWKSURL)
		if err != nil || u.Host == "" || (u.Scheme != "https" && (u.Scheme != "http" || !loopbackAddress(net.JoinHostPort(u.Hostname(), "0")))) {
			return nil, fmt.Errorf("jwks_url: %q is no https address: who can change the keys on their way can make tokens", t.JWKSURL)
		}
	}
	for _, a := range t.Algorithms {
		if !slices.Contains(capture.TokenAlgorithms, a) {
			return nil, fmt.Errorf("algorithms: %q is none of %s", a, strings.Join(capture.TokenAlgorithms, ", "))
		}
	}
	for _, u := range t.Upstreams {
		if _, ok := upstreams[u]; !ok && u != "events" {
			return nil, fmt.Errorf("upstreams: there is no upstream %q", u)
		}
	}
	if err := checkKeyLimits(gatewayKey{Models: t.Models}); err != nil {
		return nil, err
	}
	return is, nil
}

// certificates makes what the gateway needs of the configuration of clients' certificates.
func (c *config) certificates() (*capture.Certificates, error) {
	cc := c.Gateway.ClientCertificates
	if cc == nil {
		return nil, nil
	}
	if c.Gateway.TLS == nil {
		return nil, errors.New("gateway.client_certificates: needs gateway.tls")
	}
	if cc.CA == "" {
		return nil, errors.New("gateway.client_certificates.ca: is missing; it is a PEM file with the authorities that sign clients' certificates")
	}
	out := capture.Certificates{User: cc.User, Team: cc.Team, Role: cc.Role, Tenant: cc.Tenant}
	if out.User == "" {
		out.User = "cn"
	}
	for name, field := range map[string]string{"user": out.User, "team": out.Team, "role": out.Role, "tenant": out.Tenant} {
		if field != "" && !slices.Contains(capture.CertificateFields, field) {
			return nil, fmt.Errorf("gateway.client_certificates.%s: %q is none of %s", name, field, strings.Join(capture.CertificateFields, ", "))
		}
	}
	return &out, nil
}

// proxies makes what the gateway needs of the configuration of proxies.
func (c *config) proxies() (*capture.Proxies, error) {
	p := c.Gateway.Proxies
	if p == nil {
		return nil, nil
	}
	out := &capture.Proxies{Header: strings.ToLower(p.Header)}
	if !slices.Contains([]string{"", "x-forwarded-for", "forwarded"}, out.Header) {
		return nil, fmt.Errorf("gateway.proxies.header: %q is neither x-forwarded-for nor forwarded", p.Header)
	}
	if len(p.Trusted) == 0 {
		return nil, errors.New("gateway.proxies.trusted: is missing; name the proxies' addresses, nobody else's word on an address counts")
	}
	if out.Header == "" && !p.Protocol {
		return nil, errors.New("gateway.proxies: set header, protocol: true, or both")
	}
	for _, s := range p.Trusted {
		r, err := netip.ParsePrefix(s)
		if err != nil {
			a, aerr := netip.ParseAddr(s)
			if aerr != nil {
				return nil, fmt.Errorf("gateway.proxies.trusted: %q is no address and no range; write it as 10.0.0.0/8", s)
			}
			r = netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen())
		}
		if r.Bits() == 0 {
			return nil, fmt.Errorf("gateway.proxies.trusted: %q is everybody", s)
		}
		out.Trusted = append(out.Trusted, r.Masked())
	}
	return out, nil
}

// checkCallers says what is wrong with how callers are known.
func (c *config) checkCallers() error {
	if _, err := c.issuers(); err != nil {
		return err
	}
	if _, err := c.certificates(); err != nil {
		return err
	}
	_, err := c.proxies()
	return err
}

// callerConfig gives the gateway's configuration how callers are known.
func (c *config) callerConfig(to *capture.Config) (err error) {
	if to.Issuers, err = c.issuers(); err != nil {
		return usageError{err}
	}
	for _, is := range to.Issuers {
		if err := is.CheckKeys(); err != nil {
			return usageError{fmt.Errorf("gateway.tokens: %w", err)}
		}
	}
	if to.Certificates, err = c.certificates(); err != nil {
		return usageError{err}
	}
	if to.Proxies, err = c.proxies(); err != nil {
		return usageError{err}
	}
	return nil
}

// clientAuth lets the listener ask clients for certificates.
func (c *certificatesConfig) clientAuth(t *tls.Config) error {
	if c == nil {
		return nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return fmt.Errorf("couldn't read gateway.client_certificates.ca: %w", err)
	}
	t.ClientCAs = x509.NewCertPool()
	if !t.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("gateway.client_certificates.ca: %s has no certificate in PEM", c.CA)
	}
	t.ClientAuth = tls.RequireAndVerifyClientCert
	if c.Optional {
		t.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return nil
}

// proxied lets trusted proxies tell the client's address by the PROXY protocol. From anybody else such a header ends the
// connection.
func (c *config) proxied(ln net.Listener) (net.Listener, error) {
	if c.Gateway.Proxies == nil || !c.Gateway.Proxies.Protocol {
		return ln, nil
	}
	p, err := c.proxies()
	if err != nil {
		return nil, err
	}
	return &proxyproto.Listener{Listener: ln, ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
		a, err := netip.ParseAddrPort(o.Upstream.String())
		if err == nil && slices.ContainsFunc(p.Trusted, func(r netip.Prefix) bool { return r.Contains(a.Addr().Unmap()) }) {
			return proxyproto.USE, nil
		}
		return proxyproto.REJECT, nil
	}}, nil
}
