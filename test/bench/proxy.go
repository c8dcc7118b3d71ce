//go:build bench

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// runProxy is the subcommand of the peers that steno is measured against: a plain reverse proxy and, with -log, one
// that keeps steno's promise about durability and none of its others.
func runProxy(args []string) error {
	set := flag.NewFlagSet("proxy", flag.ExitOnError)
	upstream := set.String("upstream", "", "where to forward to")
	log := set.String("log", "", "file to which the raw bytes are appended, durably")
	if err := set.Parse(args); err != nil {
		return err
	}
	u, err := url.Parse(*upstream)
	if err != nil {
		return err
	}
	var g *groupLog
	if *log != "" {
		if g, err = openGroupLog(*log); err != nil {
			return err
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]string{"proxy": "http://" + ln.Addr().String()}); err != nil {
		return err
	}
	return http.Serve(ln, proxyHandler(u, g))
}

// proxyHandler forwards. The body is read first in both: a transport that holds the inbound body cuts a few streams in
// 20,000 when the server closes it. With a log the request is durable before it is forwarded, and the answer before its
// last byte is.
func proxyHandler(up *url.URL, log *groupLog) http.Handler {
	proxy := &httputil.ReverseProxy{
		Rewrite:    func(r *httputil.ProxyRequest) { r.SetURL(up) },
		BufferPool: &buffers{},
		Transport: &http.Transport{
			MaxIdleConns: 1024, MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second, DisableCompression: true,
			WriteBufferSize: 32 << 10, ReadBufferSize: 32 << 10, // as in steno
		},
	}
	if log != nil {
		proxy.ModifyResponse = func(resp *http.Response) error {
			resp.Body = &heldBody{body: resp.Body, log: log}
			return nil
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, max(r.ContentLength, 0))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if log != nil {
			if err := log.append(body); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	})
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

// heldBody passes an answer on but for the last byte received, which waits until the whole answer is durable.
type heldBody struct {
	body  io.ReadCloser
	log   *groupLog
	taken []byte
	held  int // 1 while the last byte of taken was not passed on
	done  bool
}

func (h *heldBody) Close() error { return h.body.Close() }

func (h *heldBody) Read(p []byte) (int, error) {
	if h.done {
		return 0, io.EOF
	}
	for {
		if h.held == 1 {
			p[0] = h.taken[len(h.taken)-1]
		}
		n, err := h.body.Read(p[h.held:])
		h.taken = append(h.taken, p[h.held:h.held+n]...)
		total := h.held + n
		switch {
		case err == io.EOF:
			h.done = true
			if err := h.log.append(h.taken); err != nil {
				return 0, err
			}
			return total, io.EOF
		case err != nil:
			return 0, err
		case total > 1:
			h.held = 1
			return total - 1, nil
		}
		h.held = total
	}
}
