package capture

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/check"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/price"
	"github.com/steno-audit/steno/internal/seal"
	"github.com/steno-audit/steno/internal/stub"
)

// rig is a gateway before an upstream, on a real journal and key ring over a file system that can fail.
type rig struct {
	t        *testing.T
	fs       *disk.Mem
	keys     *seal.Keys
	log      *journal.Journal
	gateway  *Gateway
	server   *httptest.Server
	upstream *httptest.Server
}

const testKey = "sk-steno-" + "test"

func newRig(t *testing.T, upstream http.Handler, edit func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, fs: disk.NewMem()}
	const origin = "steno.test/gateway"
	var err error
	if r.keys, err = seal.Create(r.fs, "/data.keys", origin, time.Now()); err != nil {
		t.Fatal(err)
	}
	signer, vkey, err := r.keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	r.log, _, err = journal.Open(t.Context(), journal.Config{FS: r.fs, Dir: "/data", AnchorDir: "/data.anchor", Origin: origin, Signer: signer, VKey: vkey, CheckpointEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	sealer := seal.NewSealer(r.keys, seal.Config{
		Announce: func(p steno.PublicType, v any) error { _, err := r.log.Announce(p, v); return err }, Class: "standard", KeepMonths: 24,
	})
	r.upstream = httptest.NewServer(upstream)
	t.Cleanup(r.upstream.Close)
	u, err := url.Parse(r.upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	checker, err := check.New(check.Config{Secrets: true, Injection: true})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Upstreams: []*Upstream{
			{Name: "openai", Dialect: "openai", URL: u, Credential: "provider-key"},
			{Name: "anthropic", Dialect: "anthropic", URL: u, Credential: "provider-key"},
			{Name: "own", Dialect: "openai", URL: u},
		},
		Keys:         []*Key{{ID: "k1", SHA256: sha256.Sum256([]byte(testKey)), User: "app", Role: "service", Team: "tests", Tenant: "acme"}},
		OnLogFailure: "block", FS: r.fs, SpoolDir: filepath.Join(t.TempDir(), "spool"), IDsDir: "/data/ids",
		Checks: map[string]string{"secret": "alert", "jailbreak": "alert"}, Checker: checker, Prices: price.Default(), Keyring: r.keys, Log: r.log,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if edit != nil {
		edit(&cfg)
	}
	if r.gateway, err = NewGateway(t.Context(), NewRecorder(r.log, sealer), cfg); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/events", r.gateway.SubmitEvents)
	mux.Handle("/", r.gateway)
	r.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		r.server.Close()
		if err := r.gateway.Close(); err != nil {
			t.Error(err)
		}
		if err := r.log.Close(); err != nil && r.log.Failed() == nil {
			t.Error(err)
		}
	})
	return r
}

func stubHandler(t *testing.T) http.Handler {
	t.Helper()
	s, err := stub.New(stub.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) post(path, body string, headers ...string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.server.URL+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return req
}

// do returns the answer and its body; a cut body is returned as far as it came.
func (r *rig) do(req *http.Request) (*http.Response, []byte, error) {
	r.t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if cerr := resp.Body.Close(); cerr != nil {
		r.t.Fatal(cerr)
	}
	return resp, body, err
}

// taken is what the log has of one exchange.
type taken struct {
	events   []*seal.Opened
	flags    []steno.LeafFlags
	request  []byte
	response []byte
}

func (x *taken) last() *seal.Opened { return x.events[len(x.events)-1] }

// exchange opens every record of an exchange; it waits until the exchange has closed.
func (r *rig) exchange(id string) *taken {
	r.t.Helper()
	want, err := steno.ParseID(id)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	x := &taken{}
	for e, err := range r.log.Follow(ctx, 0) {
		if err != nil {
			r.t.Fatalf("exchange %s never closed: %v", id, err)
		}
		if e.Leaf.Exchange != want {
			continue
		}
		o, err := r.keys.Open(e.Leaf, e.Body, func(i uint64) (*steno.Leaf, []byte, error) {
			e, err := r.log.Read(i)
			if err != nil {
				return nil, nil, err
			}
			return e.Leaf, e.Body, nil
		}, steno.SectionIdentity|steno.SectionPrompt|steno.SectionContext|steno.SectionOutput|steno.SectionMetadata)
		if err != nil {
			r.t.Fatal(err)
		}
		x.events, x.flags = append(x.events, o), append(x.flags, e.Leaf.Flags)
		for _, p := range []struct {
			from []steno.Piece
			to   *[]byte
		}{{o.Request, &x.request}, {o.Response, &x.response}} {
			b, err := steno.Join(p.from)
			if err != nil {
				r.t.Fatal(err)
			}
			*p.to = append(*p.to, b...)
		}
		if e.Leaf.Flags&steno.FlagCloses != 0 || o.Type == "security.auth_failed" {
			return x
		}
	}
	r.t.Fatalf("exchange %s is not in the log", id)
	return nil
}

const chatTail = `"model":"gpt-4o-mini","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"What does a court reporter do?"}],"user":"ana"}`

const chatBody = `{` + chatTail

const streamBody = `{"stream":true,"stream_options":{"include_usage":true},` + chatTail

// raw sends bytes to the gateway as they are and returns the connection; nothing is in front of the gateway.
func (r *rig) raw(text string) (net.Conn, *bufio.Reader) {
	r.t.Helper()
	server := httptest.NewServer(r.gateway)
	r.t.Cleanup(server.Close)
	c, err := (&net.Dialer{}).DialContext(r.t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func (r *rig) answer(in *bufio.Reader, method string) (*http.Response, []byte) {
	r.t.Helper()
	resp, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		r.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	return resp, body
}

// only waits for the first exchange that closes.
func (r *rig) only() *taken { return r.closed(0) }

// closed waits for the first exchange that closes in record `from` or later.
func (r *rig) closed(from uint64) *taken {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for e, err := range r.log.Follow(ctx, from) {
		if err != nil {
			r.t.Fatalf("no exchange has closed: %v", err)
		}
		if e.Leaf.Flags&steno.FlagCloses != 0 {
			return r.exchange(e.Leaf.Exchange.String())
		}
	}
	return nil
}

// ended checks how an exchange ended on record.
func (x *taken) ended(t *testing.T, end steno.End, status int) {
	t.Helper()
	if res := x.last().Result; res.End != end || res.Status != status {
		t.Errorf("on record it ended %q (%s) with status %d, want %q with %d", res.End, res.EndDetail, res.Status, end, status)
	}
}

const rawHead = " HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer " + testKey + "\r\n"

// through sends a request over TLS, with HTTP/2 or without.
func (r *rig) through(h2 bool, req *http.Request) (*http.Response, []byte, error) {
	r.t.Helper()
	resp := r.open(h2, req)
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return resp, body, err
}

func (r *rig) open(h2 bool, req *http.Request) *http.Response {
	r.t.Helper()
	server := httptest.NewUnstartedServer(r.gateway)
	server.EnableHTTP2 = h2
	server.StartTLS()
	r.t.Cleanup(server.Close)
	req.URL.Scheme, req.URL.Host = "https", server.Listener.Addr().String()
	resp, err := server.Client().Transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	if want := map[bool]int{false: 1, true: 2}[h2]; resp.ProtoMajor != want {
		r.t.Fatalf("the client speaks %s", resp.Proto)
	}
	return resp
}

// secureUpstream puts a gateway before an upstream with TLS.
func secureUpstream(t *testing.T, h2 bool, h http.Handler, edit func(*Config)) *rig {
	t.Helper()
	up := httptest.NewUnstartedServer(h)
	up.EnableHTTP2 = h2
	up.StartTLS()
	t.Cleanup(up.Close)
	u, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, http.NotFoundHandler(), func(c *Config) {
		for _, x := range c.Upstreams {
			x.URL = u
		}
		if edit != nil {
			edit(c)
		}
	})
	roots := x509.NewCertPool()
	roots.AddCert(up.Certificate())
	r.gateway.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	return r
}
