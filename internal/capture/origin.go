package capture

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Certificates say where in a client's certificate the caller's names stand: cn, o, ou, dns, email or uri.
type Certificates struct{ User, Team, Role, Tenant string }

// CertificateFields are the places in a certificate that a name may come from.
var CertificateFields = []string{"cn", "o", "ou", "dns", "email", "uri"}

// caller returns whom a client certificate vouches for; nil without one that the listener has verified.
func (c *Certificates) caller(t *tls.ConnectionState) (k *Key, issuer string) {
	if c == nil || t == nil || len(t.VerifiedChains) == 0 || len(t.PeerCertificates) == 0 {
		return nil, ""
	}
	cert := t.PeerCertificates[0]
	k = &Key{User: certificateField(cert, c.User), Team: certificateField(cert, c.Team), Role: certificateField(cert, c.Role), Tenant: certificateField(cert, c.Tenant)}
	if k.User == "" {
		return nil, ""
	}
	return k, bounded(cert.Issuer.String())
}

func certificateField(c *x509.Certificate, field string) string {
	var all []string
	switch field {
	case "cn":
		return bounded(c.Subject.CommonName)
	case "o":
		all = c.Subject.Organization
	case "ou":
		all = c.Subject.OrganizationalUnit
	case "dns":
		all = c.DNSNames
	case "email":
		all = c.EmailAddresses
	case "uri":
		if len(c.URIs) > 0 {
			return bounded(c.URIs[0].String())
		}
	}
	if len(all) == 0 {
		return ""
	}
	return bounded(all[0])
}

// Proxies are the machines before the gateway whose word on the client's address counts.
type Proxies struct {
	Trusted []netip.Prefix
	Header  string // x-forwarded-for or forwarded; "" = none is read
}

func (p *Proxies) trusts(a netip.Addr) bool {
	return p != nil && a.IsValid() && slices.ContainsFunc(p.Trusted, func(t netip.Prefix) bool { return t.Contains(a.Unmap().WithZone("")) })
}

// client returns the address of the client, and of the proxy where one told it. Hops are read from the nearest: the first
// that is no trusted proxy is the client, and whatever stands before it is only what the client itself says.
func (p *Proxies) client(r *http.Request) (address, peer string) {
	direct := clientAddress(r.RemoteAddr)
	near, err := netip.ParseAddr(direct)
	if err != nil || !p.trusts(near) || p.Header == "" {
		return direct, ""
	}
	var hops []string
	if p.Header == "forwarded" {
		hops = forwardedFor(r.Header.Values("Forwarded"))
	} else {
		hops = strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	}
	found := netip.Addr{}
	for _, hop := range slices.Backward(hops) {
		a, ok := hopAddress(hop)
		if !ok {
			break // what stands before something unreadable is not to be relied on
		}
		found = a
		if !p.trusts(a) {
			break
		}
	}
	if !found.IsValid() {
		return direct, ""
	}
	return found.String(), direct
}

// hopAddress reads an address as proxies write it: with a port or without, an IPv6 one in brackets or not.
func hopAddress(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	if len(s) > 64 {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if host, _, err := net.SplitHostPort(s); err == nil {
		if a, err := netip.ParseAddr(host); err == nil {
			return a.Unmap().WithZone(""), true
		}
	}
	return netip.Addr{}, false
}

// forwardedFor reads the for= of each hop of RFC 7239; a hop without one, or with an obfuscated one, is "".
func forwardedFor(lines []string) []string {
	var out []string
	for _, hop := range splitQuoted(strings.Join(lines, ","), ',') {
		addr := ""
		for _, pair := range splitQuoted(hop, ';') {
			name, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(strings.TrimSpace(name), "for") {
				addr = strings.Trim(strings.TrimSpace(v), `"`)
			}
		}
		out = append(out, addr)
	}
	return out
}

// splitQuoted splits at a separator that does not stand between quotation marks.
func splitQuoted(s string, sep byte) []string {
	var out []string
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			out = append(out, s[from:i])
			from = i + 1
		}
	}
	return append(out, s[from:])
}

// address is the client's.
func (g *Gateway) address(r *http.Request) string {
	a, _ := g.cfg.Proxies.client(r)
	return a
}
