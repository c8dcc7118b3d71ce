package serve

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// CheckHost refuses requests whose Host header names neither loopback, nor one of hosts, nor the very address that the
// connection came in on. A page elsewhere can make a browser resolve its own name to this machine (DNS rebinding) and
// would then speak as the user; what it cannot do is change the name that the browser sends.
func CheckHost(hosts []string, h http.Handler) http.Handler {
	allowed := make(map[string]bool, len(hosts))
	for _, name := range hosts {
		allowed[hostName(name)] = true
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := hostName(r.Host)
		if allowed[name] || isLoopbackName(name) || isLocal(r, name) {
			h.ServeHTTP(w, r)
			return
		}
		writeError(w, &Error{
			Status:  http.StatusMisdirectedRequest,
			Message: "this server does not answer to the host name " + quote(r.Host),
			Hint:    "add it to gateway.hosts or console.hosts if it is meant to be reached by that name",
		})
	})
}

// hostName is the host without port, brackets, trailing dot and case.
func hostName(s string) string {
	if h, _, err := net.SplitHostPort(s); err == nil {
		s = h
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	return strings.ToLower(strings.TrimSuffix(s, "."))
}

func isLoopbackName(name string) bool {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761: never resolved elsewhere
		return true
	}
	a, err := netip.ParseAddr(name)
	return err == nil && a.Unmap().IsLoopback()
}

// isLocal says whether the name is the address of our own end of the connection.
func isLocal(r *http.Request, name string) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	a, err := netip.ParseAddr(name)
	if err != nil {
		return false
	}
	b, err := netip.ParseAddrPort(local.String())
	return err == nil && a.Unmap().WithZone("") == b.Addr().Unmap().WithZone("")
}
