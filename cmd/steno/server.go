package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/alert"
	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/check"
	"github.com/steno-audit/steno/internal/console"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/monitor"
	"github.com/steno-audit/steno/internal/price"
	"github.com/steno-audit/steno/internal/serve"
)

// server is a running steno: the store, the gateway, the followers and the console.
type server struct {
	cfg      *config
	store    *store
	gateway  *capture.Gateway
	alerts   *alert.Follower
	monitor  *monitor.Follower
	keyring  *keyWatch
	policy   *policyWatch
	servers  []*http.Server
	failed   chan error
	stopKeys func() // and the watch over the call policy
	ready    ready
}

// ready is the line that scripts wait for.
type ready struct {
	Gateway string `json:"gateway"`
	Console string `json:"console"`
	Log     string `json:"log"`
	Key     string `json:"key"`
	Token   string `json:"token"`
	Data    string `json:"data"`
}

const drainTime = 30 * time.Second

// startServer opens everything and listens. What is returned serves until stop.
func startServer(ctx context.Context, cfg *config, demo bool, logger *slog.Logger) (_ *server, err error) {
	s := &server{cfg: cfg, failed: make(chan error, 2)}
	gatewayLn, err := cfg.listenGateway(ctx)
	if err != nil {
		return nil, err
	}
	consoleLn, err := listen(ctx, "console", cfg.Console.Listen, cfg.Console.TLS, cfg.Console.InsecureHTTP)
	if err != nil {
		return nil, errors.Join(err, gatewayLn.Close())
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, gatewayLn.Close(), consoleLn.Close())
		}
	}()
	timeout := cfg.Gateway.HeaderTimeout + cfg.Gateway.IdleTimeout
	s.store, err = openStore(ctx, storeConfig{
		Dir: cfg.Data, KeyDir: cfg.Key.Dir, Name: "gateway", Demo: demo, Create: true, Months: cfg.Retention.Months, Timeout: timeout, Logger: logger,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.store.close("failed to start"))
		}
	}()
	if err := s.announceInsecure(); err != nil {
		return nil, err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if err := s.openGateway(ctx, registry, logger); err != nil {
		return nil, err
	}
	s.alerts, err = alert.Start(ctx, alert.Config{
		FS: disk.OS(), File: cfg.Alerts.File, Dir: filepath.Join(cfg.Data, "followers"), Log: s.store.log, Keys: s.store.keys, Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't start the alerts: %w", err), s.gateway.Close())
	}
	s.monitor, err = monitor.Start(ctx, monitor.Config{
		FS: disk.OS(), Dir: filepath.Join(cfg.Data, "followers"), Log: s.store.log, Keys: s.store.keys, Index: s.store.index,
		Record: func(ctx context.Context, d *steno.Draft) error {
			_, err := s.store.recorder.Record(ctx, d, 0)
			return err
		},
		Logger: logger,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't start the monitor: %w", err), s.gateway.Close(), s.alerts.Close())
	}
	token, err := cfg.consoleToken(cfg.Key.Dir)
	if err != nil {
		return nil, err
	}
	s.ready = ready{
		Gateway: address(gatewayLn, cfg.Gateway.TLS), Console: address(consoleLn, cfg.Console.TLS), Token: token, Data: cfg.Data,
	}
	s.ready.Log = s.ready.Console + "/log/"
	reader := serve.NewReader(s.readerConfig(demo, registry))
	pages := console.Handler(reader, console.Config{Gateway: s.ready.Gateway, Demo: demo})
	s.serveOn(gatewayLn, hostCheck(gatewayLn, cfg.Gateway.Hosts, s.gatewayMux(reader, registry)), logger)
	s.serveOn(consoleLn, hostCheck(consoleLn, cfg.Console.Hosts, serve.Handler(reader, token, pages)), logger)
	return s, nil
}

func (s *server) readerConfig(demo bool, registry *prometheus.Registry) serve.Config {
	c := s.store.readerConfig()
	c.Demo, c.Metrics, c.Gap, c.Policy = demo, registry, s.store.recorder.Gap, s.policy.String
	c.Gateway, c.Console, c.Months = s.ready.Gateway, s.ready.Console, s.cfg.Retention.Months
	return c
}

// readerConfig is what reading needs of an open store.
func (s *store) readerConfig() serve.Config {
	return serve.Config{
		Log: s.log, Keys: s.keys, Index: s.index, Dir: s.dir, Version: version(), Demo: s.id.Demo,
		Record: func(ctx context.Context, d *steno.Draft) error {
			_, err := s.recorder.Record(ctx, d, 0)
			return err
		},
	}
}

func (s *server) openGateway(ctx context.Context, registry prometheus.Registerer, logger *slog.Logger) error {
	checker, err := check.New(check.Config{Secrets: s.cfg.Checks.Secrets, Injection: s.cfg.Checks.Injection})
	if err != nil {
		return fmt.Errorf("couldn't load the checks: %w", err)
	}
	ups, err := s.cfg.upstreams()
	if err != nil {
		return err
	}
	s.keyring = &keyWatch{path: filepath.Join(s.cfg.Key.Dir, managedKeysFile), static: s.cfg.Gateway.Keys, logger: logger}
	s.keyring.changed = func(keys []*capture.Key) { s.gateway.SetKeys(keys) }
	s.keyring.record = func(added, removed []string) {
		s.recordKeyChange("key_created", added)
		s.recordKeyChange("key_revoked", removed)
	}
	keys, err := s.keyring.load()
	if err != nil {
		return err
	}
	s.policy = &policyWatch{patterns: s.cfg.Policy.Files}
	set, err := s.policy.load()
	if err != nil {
		return err
	}
	if err := s.policyAtStart(); err != nil {
		return err
	}
	gc := capture.Config{
		Upstreams: ups, Keys: keys, LookAtKeys: s.keyring.look, AllowAnonymous: s.cfg.Gateway.AllowAnonymous, OnLogFailure: s.cfg.Gateway.OnLogFailure,
		MaxBody: int64(s.cfg.Gateway.MaxBody), MaxInFlight: int64(s.cfg.Gateway.MaxInFlight),
		HeaderTimeout: s.cfg.Gateway.HeaderTimeout, IdleTimeout: s.cfg.Gateway.IdleTimeout,
		FS: disk.OS(), SpoolDir: filepath.Join(s.cfg.Data, "spool"), IDsDir: filepath.Join(s.cfg.Data, "ids"),
		Checks: s.cfg.Checks.Actions, Checker: checker, Prices: price.Default(), Policy: set, Keyring: s.store.keys, Log: s.store.log,
		Logger: logger, Metrics: registry,
	}
	if err := s.cfg.callerConfig(&gc); err != nil {
		return err
	}
	s.gateway, err = capture.NewGateway(ctx, s.store.recorder, gc)
	if err != nil {
		return fmt.Errorf("couldn't start the gateway: %w", err)
	}
	if err := s.countFromLog(ctx); err != nil {
		return errors.Join(err, s.gateway.Close())
	}
	stopPolicy, stopKeys, stopUse := s.policy.watch(s.takePolicy, logger), s.keyring.watch(), s.keepUse()
	s.stopKeys = func() { stopKeys(); stopPolicy(); stopUse() }
	return nil
}

// recordKeyChange makes a change of the gateway keys a record of its own.
func (s *server) recordKeyChange(action string, ids []string) {
	for _, id := range ids {
		now := time.Now().UTC()
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "security." + action, Time: now,
			System: &steno.System{Action: action, Actor: "operator", Target: id, Outcome: "ok"},
		}}
		if _, err := s.store.recorder.Record(context.Background(), d, 0); err != nil {
			s.store.logger.Error("a change of the gateway keys could not be recorded", "key", id, "error", err)
		}
	}
}

func (s *server) announceInsecure() error {
	for _, l := range []struct {
		name     string
		insecure bool
	}{
		{"gateway", s.cfg.Gateway.TLS == nil && !loopbackAddress(s.cfg.Gateway.Listen)},
		{"console", s.cfg.Console.TLS == nil && !loopbackAddress(s.cfg.Console.Listen)},
	} {
		if l.insecure {
			if _, err := s.store.log.Announce(steno.TypeInsecureListener, steno.InsecureListener{Address: l.name}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *server) gatewayMux(reader *serve.Reader, registry *prometheus.Registry) http.Handler {
	health := serve.Health(reader, registry)
	// No http.ServeMux: it answers a path like /v1//models with a redirect, which no record tells of.
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/v1/events":
			s.gateway.SubmitEvents(w, r)
		case strings.HasPrefix(r.URL.Path, "/-/"):
			health.ServeHTTP(w, r)
		default:
			s.gateway.ServeHTTP(w, r)
		}
	})
}

func (s *server) serveOn(ln net.Listener, h http.Handler, logger *slog.Logger) {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 256 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug), Protocols: new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	s.servers = append(s.servers, srv)
	go func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
}

// stop lets calls under way finish, then closes followers and log. ctx ends the patience.
func (s *server) stop(ctx context.Context, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	var err error
	for _, srv := range s.servers {
		if e := srv.Shutdown(ctx); e != nil {
			err = errors.Join(err, srv.Close())
		}
	}
	s.stopKeys()
	return errors.Join(err, s.gateway.Close(), s.alerts.Close(), s.monitor.Close(), s.store.close(reason))
}

// listen opens an address. One that is not loopback needs TLS, or the operator's word that it may go without.
func listen(ctx context.Context, what, addr string, t *tlsConfig, insecure bool) (net.Listener, error) {
	ln, err := openAddress(ctx, what, addr, t, insecure)
	if err != nil {
		return nil, err
	}
	return secured(ln, what, t, nil)
}

// listenGateway opens the gateway's address, where proxies may tell the client's and clients may have certificates.
func (c *config) listenGateway(ctx context.Context) (net.Listener, error) {
	ln, err := openAddress(ctx, "gateway", c.Gateway.Listen, c.Gateway.TLS, c.Gateway.InsecureHTTP)
	if err != nil {
		return nil, err
	}
	if ln, err = c.proxied(ln); err != nil {
		return nil, err
	}
	return secured(ln, "gateway", c.Gateway.TLS, c.Gateway.ClientCertificates)
}

func openAddress(ctx context.Context, what, addr string, t *tlsConfig, insecure bool) (net.Listener, error) {
	if t == nil && !insecure && !loopbackAddress(addr) {
		return nil, usageError{fmt.Errorf("the %s's address %s is not loopback: give %s.tls a cert and key, or set %s.insecure_http: true (which is recorded)", what, addr, what, what)}
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the %s's address: %w", what, err)
	}
	return ln, nil
}

func secured(ln net.Listener, what string, t *tlsConfig, clients *certificatesConfig) (net.Listener, error) {
	if t == nil {
		return ln, nil
	}
	cert, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't load the %s's certificate: %w", what, err), ln.Close())
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	if err := clients.clientAuth(cfg); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return tls.NewListener(ln, cfg), nil
}

func loopbackAddress(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

func address(ln net.Listener, t *tlsConfig) string {
	scheme := "http"
	if t != nil {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: ln.Addr().String()}).String()
}

// hostCheck refuses Host headers that a page elsewhere could have made a browser send here (DNS rebinding).
func hostCheck(ln net.Listener, hosts []string, h http.Handler) http.Handler {
	return serve.CheckHost(append(hosts, hostOf(ln.Addr().String())), h)
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// upstreams resolves the configured providers and their credentials.
func (c *config) upstreams() ([]*capture.Upstream, error) {
	names := make([]string, 0, len(c.Gateway.Upstreams))
	for name := range c.Gateway.Upstreams {
		names = append(names, name)
	}
	sort.Strings(names)
	out := make([]*capture.Upstream, 0, len(names))
	for _, name := range names {
		u := c.Gateway.Upstreams[name]
		parsed, err := url.Parse(u.URL)
		if err != nil || parsed.Host == "" || !strings.HasPrefix(parsed.Scheme, "http") {
			return nil, usageError{fmt.Errorf("gateway.upstreams.%s.url: %q is no http or https address", name, u.URL)}
		}
		up := &capture.Upstream{Name: name, Dialect: u.Dialect, URL: parsed}
		switch {
		case u.Credential.Passthrough:
		case u.Credential.AWS != nil:
			if up.AWS, err = u.Credential.AWS.resolve(); err != nil {
				return nil, usageError{fmt.Errorf("gateway.upstreams.%s.credential.%w", name, err)}
			}
		case u.Credential.Keyring != "":
			if up.Credential, err = c.providerKey(u.Credential.Keyring); err != nil {
				return nil, usageError{fmt.Errorf("gateway.upstreams.%s.credential: %w", name, err)}
			}
		default:
			if up.Credential, err = u.Credential.Secret.resolve(); err != nil {
				return nil, usageError{fmt.Errorf("gateway.upstreams.%s.credential: %w", name, err)}
			}
		}
		out = append(out, up)
	}
	return out, nil
}

// printReady says where everything is: one line of JSON for scripts, words for people.
func (s *server) printReady(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(s.ready)
	}
	_, err := fmt.Fprintf(w, "steno %s records to %s\n  gateway  %s\n  console  %s\n", version(), s.ready.Data, s.ready.Gateway, s.consoleLink())
	return err
}

// consoleLink opens the console and logs in.
func (s *server) consoleLink() string {
	return s.ready.Console + "/login?token=" + url.QueryEscape(s.ready.Token)
}
