package capture

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/check"
	"github.com/steno-audit/steno/internal/dialect"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/policy"
	"github.com/steno-audit/steno/internal/price"
	"github.com/steno-audit/steno/internal/seal"
)

var errKeyHash = errors.New("a key's sha256 has 64 hex digits; `steno key new` prints it")

// Upstream is one provider that the gateway forwards to.
type Upstream struct {
	Name       string
	Dialect    string // one of dialect.Dialects
	URL        *url.URL
	Credential string // the provider's key; "" = the caller's own is passed through, or AWS
	AWS        *AWS   // steno signs calls with it; nil = it does not

	provider string // gen_ai.provider.name
}

// Passthrough says whether the caller's own credential goes to the provider.
func (u *Upstream) Passthrough() bool { return u.Credential == "" && u.AWS == nil }

// Config is what a gateway needs to know.
type Config struct {
	Upstreams      []*Upstream
	Keys           []*Key
	LookAtKeys     func()        // runs before a key is looked up, and calls SetKeys where they changed: a revocation is in force at once
	Issuers        []*Issuer     // whose tokens vouch for callers
	Certificates   *Certificates // how clients' certificates name callers; nil: they do not
	Proxies        *Proxies      // before the gateway; nil: none is trusted
	AllowAnonymous bool
	OnLogFailure   string // block, allow
	MaxBody        int64  // bytes of a request body; 0 = 64 MiB
	MaxInFlight    int64  // bytes of all bodies under way; 0 = 512 MiB
	HeaderTimeout  time.Duration
	IdleTimeout    time.Duration
	OpenTimeout    time.Duration // an exchange that an application opened and says nothing more of is closed; 0 = HeaderTimeout
	FS             disk.FS
	SpoolDir       string            // large bodies under way
	IDsDir         string            // ids of submitted events
	Checks         map[string]string // flag → record, alert, block; a flag not named: record
	Checker        *check.Checker
	Prices         *price.Table
	Policy         *policy.Set // decides calls; nil: every call is permitted
	Keyring        *seal.Keys
	Log            *journal.Journal
	Logger         *slog.Logger
	Metrics        prometheus.Registerer
}

// Gateway is the HTTP handler between applications and models.
type Gateway struct {
	cfg          Config
	rec          *Recorder
	byName       map[string]*Upstream
	byDialect    map[string]*Upstream // the default upstream of each dialect
	keyTable     atomic.Pointer[map[[32]byte]*Key]
	policy       atomic.Pointer[policy.Set]
	transport    *http.Transport
	flight       *budget
	seen         *seenTexts
	failures     *authFailures
	spent        *spending
	running      *running
	keysClient   *http.Client    // fetches the issuers' public keys
	tokenHeaders map[string]bool // that may hold a token: recorded as a keyed hash only
	ids          *idTable
	open         *openCalls
	metrics      *gatewayMetrics
}

// NewGateway returns a gateway that records through rec. Close ends its background work.
func NewGateway(ctx context.Context, rec *Recorder, cfg Config) (*Gateway, error) {
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 64 << 20
	}
	if cfg.MaxInFlight == 0 {
		cfg.MaxInFlight = 512 << 20
	}
	if cfg.HeaderTimeout == 0 {
		cfg.HeaderTimeout = 15 * time.Minute
	}
	if cfg.IdleTimeout == 0 {
		cfg.IdleTimeout = 5 * time.Minute
	}
	if cfg.OpenTimeout == 0 {
		cfg.OpenTimeout = cfg.HeaderTimeout
	}
	if err := emptySpool(cfg.SpoolDir); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg: cfg, rec: rec, byName: map[string]*Upstream{}, byDialect: map[string]*Upstream{},
		flight: &budget{max: cfg.MaxInFlight}, seen: newSeenTexts(), spent: newSpending(), running: newRunning(), tokenHeaders: map[string]bool{}, metrics: newGatewayMetrics(cfg.Metrics),
	}
	for _, u := range cfg.Upstreams {
		g.byName[u.Name] = u
		u.provider = dialect.Provider(u.Dialect, u.Name, u.URL.Host)
		if err := u.settleRegion(); err != nil {
			return nil, err
		}
		// The upstream that bears its dialect's name is the default; else the first of the dialect.
		if g.byDialect[u.Dialect] == nil || u.Name == u.Dialect {
			g.byDialect[u.Dialect] = u
		}
	}
	g.SetKeys(cfg.Keys)
	g.SetPolicy(cfg.Policy)
	var err error
	g.ids, err = openIDs(ctx, cfg.FS, cfg.IDsDir, []byte(cfg.Keyring.CredentialMAC([]byte("steno event ids"))), cfg.Log, g.submitted)
	if err != nil {
		return nil, err
	}
	g.failures = newAuthFailures(g.recordAuthFailures)
	g.transport = &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		ResponseHeaderTimeout: cfg.HeaderTimeout,
		DisableCompression:    true, // bodies pass as they are on the wire
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        32 << 10,
	}
	g.keysClient = &http.Client{Transport: g.transport}
	for _, is := range cfg.Issuers {
		g.tokenHeaders[is.header()] = true
	}
	g.open = newOpenCalls(g, cfg.OpenTimeout)
	return g, nil
}

// Close ends background work; what is under way is the HTTP server's to drain.
func (g *Gateway) Close() error {
	g.failures.close()
	g.open.close()
	g.transport.CloseIdleConnections()
	return g.ids.close()
}

// submitted tells whose submitted event a record is.
func (g *Gateway) submitted(e *journal.Entry) (string, *steno.Origin) {
	read := func(i uint64) (*steno.Leaf, []byte, error) {
		e, err := g.cfg.Log.Read(i)
		if err != nil {
			return nil, nil, err
		}
		return e.Leaf, e.Body, nil
	}
	o, err := g.cfg.Keyring.Open(e.Leaf, e.Body, read, steno.SectionIdentity|steno.SectionMetadata)
	if err != nil || o.Origin == nil {
		return "", nil // erased, or not submitted: it cannot be repeated either
	}
	tenant := ""
	if o.Identity != nil {
		tenant = o.Identity.Tenant
	}
	return tenant, o.Origin
}

// SetKeys replaces the gateway keys at once: a key that is not in the list is refused from now on, and its answers under way
// are cut off.
func (g *Gateway) SetKeys(keys []*Key) {
	t := make(map[[32]byte]*Key, len(keys))
	for _, k := range keys {
		t[k.SHA256] = k
	}
	g.keyTable.Store(&t)
	g.running.keep(t)
}

func (g *Gateway) keys() map[[32]byte]*Key { return *g.keyTable.Load() }

// route finds the upstream: /NAME/… of a configured one, else by the dialect that headers and path tell.
func (g *Gateway) route(r *http.Request) (up *Upstream, path string, call dialect.Call, ok bool) {
	path = r.URL.EscapedPath()
	if first, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/"); found {
		if u := g.byName[first]; u != nil {
			path = "/" + rest
			return u, path, dialect.RouteAs(u.Dialect, r.Method, path), true
		}
	}
	call, ok = dialect.Route(r.Method, path, r.Header)
	if !ok {
		return nil, path, dialect.Call{Dialect: "openai"}, false
	}
	up = g.byDialect[call.Dialect]
	return up, path, call, up != nil
}

// target joins the upstream's address and the path. An upstream may be given with or without the /v1 (or /v1beta, of
// Google) that the SDKs of its dialect put into their base URL.
func (u *Upstream) target(path, query string) string {
	base := strings.TrimSuffix(u.URL.String(), "/")
	if i := strings.LastIndex(base, "/v1"); i > 0 && !strings.Contains(base[i+1:], "/") && strings.HasPrefix(path, base[i:]+"/") {
		path = strings.TrimPrefix(path, base[i:])
	}
	if query != "" {
		return base + path + "?" + query
	}
	return base + path
}

// ServeHTTP takes down one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now().UTC()
	x := &exchange{g: g, w: w, r: r, id: steno.NewID(now), received: now}
	w.Header().Set("X-Steno-Exchange", x.id.String())
	g.metrics.open.Inc()
	defer g.metrics.open.Dec()
	defer x.close()
	x.serve()
}
