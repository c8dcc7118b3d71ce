package capture

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// The hazards of a proxy: what net/http does not settle by itself, on real connections, and what the record says of it.

func TestTheTargetIsPassedAsItIsWritten(t *testing.T) {
	type seen struct {
		uri, host string
		header    http.Header
	}
	got := make(chan seen, 1)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got <- seen{req.RequestURI, req.Host, req.Header.Clone()}
		fmt.Fprint(w, `{}`)
	}), nil)
	for _, target := range []string{
		"/v1/models", "/v1/files?a=1;b=2", "/v1/files?a=%zz&b=%&c", "/v1/files?q=a+b%20c&q=d", "/v1/models/org%2Fname", "/v1/models/a%20b%3Fc%23d",
		"/v1//models", "/v1/models/", "/v1/models?", "/v1/models/../x", "/v1/x;y=1/z", "/v1/models/%C3%A9", "/v1/models/@a:b!$&'()*+,=",
	} {
		t.Run(target, func(t *testing.T) {
			_, in := r.raw("GET " + target + rawHead + "Connection: close\r\n\r\n")
			resp, body := r.answer(in, http.MethodGet)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d: %s", resp.StatusCode, body)
			}
			s := <-got
			if s.uri != target {
				t.Errorf("the upstream was asked for %s", s.uri)
			}
			if want := strings.TrimPrefix(r.upstream.URL, "http://"); s.host != want {
				t.Errorf("the upstream got the Host %q, it is %q", s.host, want)
			}
			// No User-Agent, no Accept-Encoding, no X-Forwarded-For: what was not said is not made up.
			if names := slices.Sorted(maps.Keys(s.header)); !slices.Equal(names, []string{"Authorization"}) {
				t.Errorf("the upstream got the headers %v", names)
			}
			r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndComplete, 200)
		})
	}
}

func TestHeadersOfOneConnectionStayThere(t *testing.T) {
	got := make(chan http.Header, 1)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got <- req.Header.Clone()
		h := w.Header()
		h["Connection"] = []string{"X-Two, keep-alive", " X-Three"}
		for _, name := range []string{"X-Two", "X-Three", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "X-Stays"} {
			h.Set(name, "1")
		}
		fmt.Fprint(w, `{}`)
	}), nil)
	_, in := r.raw("GET /v1/models" + rawHead + "Connection: X-One, close\r\nConnection:x-four\r\nX-One: 1\r\nX-Four: 1\r\nKeep-Alive: 1\r\nProxy-Connection: 1\r\n" +
		"Proxy-Authorization: x\r\nTE: deflate, trailers\r\nX-Forwarded-For: 10.0.0.1\r\nX-Stays: 1\r\n\r\n")
	resp, _ := r.answer(in, http.MethodGet)
	up := <-got
	for _, name := range []string{"Connection", "X-One", "X-Four", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization"} {
		if v, ok := up[name]; ok {
			t.Errorf("the upstream got %s: %q", name, v)
		}
	}
	if up.Get("Te") != "trailers" || up.Get("X-Stays") != "1" || up.Get("X-Forwarded-For") != "10.0.0.1" {
		t.Errorf("the upstream got %v", up)
	}
	for _, name := range []string{"X-Two", "X-Three", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate"} {
		if v, ok := resp.Header[name]; ok {
			t.Errorf("the client got %s: %q", name, v)
		}
	}
	if resp.Header.Get("X-Stays") != "1" {
		t.Error("a header of the answer was lost")
	}
	r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndComplete, 200)
}

// TestNothingIsAddedToAnAnswer sends answers that net/http would complete by itself.
func TestNothingIsAddedToAnAnswer(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		fmt.Fprint(w, "<html>no type was given</html>")
	}), nil)
	resp, body, err := r.do(r.post("/v1/no/such/call", `{}`))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := resp.Header["Content-Type"]; ok {
		t.Errorf("the answer has got a Content-Type: %q", v)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	x.ended(t, steno.EndComplete, 200)
	if !bytes.Equal(x.response, body) {
		t.Errorf("on record: %s", x.response)
	}
}

func TestAnswersWithoutABody(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Method == http.MethodHead:
			w.Header().Set("Content-Length", "1234")
		case strings.HasSuffix(req.URL.Path, "/204"):
			w.WriteHeader(http.StatusNoContent)
		case strings.HasSuffix(req.URL.Path, "/304"):
			w.Header().Set("Etag", `"x"`)
			w.WriteHeader(http.StatusNotModified)
		}
	}), nil)
	for _, c := range []struct {
		method, path string
		status       int
		length       int64
	}{
		{"HEAD", "/v1/models/x", 200, 1234},
		{"DELETE", "/v1/models/204", 204, 0},
		{"GET", "/v1/models/304", 304, 0},
		{"GET", "/v1/models/empty", 200, 0},
	} {
		t.Run(c.method+c.path, func(t *testing.T) {
			// The connection is used once more: a body where none may be would be taken for the second answer.
			ask := c.method + " " + c.path + rawHead
			_, in := r.raw(ask + "\r\n" + ask + "Connection: close\r\n\r\n")
			for range 2 {
				resp, body := r.answer(in, c.method)
				if resp.StatusCode != c.status || len(body) != 0 || (c.length > 0 && resp.ContentLength != c.length) {
					t.Errorf("status %d, length %d, %d bytes", resp.StatusCode, resp.ContentLength, len(body))
				}
				x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
				x.ended(t, steno.EndComplete, c.status)
				if len(x.response) != 0 {
					t.Errorf("on record: %q", x.response)
				}
			}
		})
	}
}

func TestTrailersArePassedOn(t *testing.T) {
	for _, c := range []struct {
		name                   string
		announced, unannounced bool
		body                   string
	}{
		{"announced", true, false, `{}`},
		{"unannounced", false, true, `{}`},
		{"both", true, true, `{}`},
		{"unannounced, no body", false, true, ""},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					if c.announced {
						w.Header().Set("Trailer", "X-Sum")
					}
					if _, err := io.WriteString(w, c.body); err != nil {
						t.Error(err)
					}
					w.(http.Flusher).Flush()
					if c.announced {
						w.Header().Set("X-Sum", "7")
					}
					if c.unannounced {
						w.Header().Set(http.TrailerPrefix+"X-Late", "8")
					}
				}), nil)
				resp, body, err := r.through(h2, r.post("/v1/no/such/call", `{}`))
				if err != nil || string(body) != c.body {
					t.Fatalf("%q, %v", body, err)
				}
				if got := resp.Trailer.Get("X-Sum") == "7"; got != c.announced {
					t.Errorf("trailers %v", resp.Trailer)
				}
				if got := resp.Trailer.Get("X-Late") == "8"; got != c.unannounced {
					t.Errorf("trailers %v", resp.Trailer)
				}
				x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
				x.ended(t, steno.EndComplete, 200)
				var kept bool
				for _, p := range x.last().Response {
					kept = kept || p.Kind == steno.KindTrailer
				}
				if !kept {
					t.Error("the trailers are not on record")
				}
			})
		}
	}
}

func TestHTTP2OnBothSides(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, upstream := range []bool{false, true} {
			for _, body := range []string{chatBody, streamBody} {
				t.Run(fmt.Sprintf("client %v, upstream %v, streamed %v", client, upstream, body == streamBody), func(t *testing.T) {
					models := stubHandler(t)
					proto := make(chan int, 1)
					r := secureUpstream(t, upstream, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						proto <- req.ProtoMajor
						models.ServeHTTP(w, req)
					}), nil)
					resp, got, err := r.through(client, r.post("/v1/chat/completions", body))
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Fatalf("%d, %v: %s", resp.StatusCode, err, got)
					}
					if p := <-proto; (p == 2) != upstream {
						t.Errorf("the upstream was asked by HTTP/%d", p)
					}
					if body == streamBody && !bytes.HasSuffix(got, []byte("data: [DONE]\n\n")) {
						t.Errorf("the stream ends with %q", got[max(0, len(got)-40):])
					}
					x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
					x.ended(t, steno.EndComplete, 200)
					if !bytes.Equal(x.response, got) || string(x.request) != body {
						t.Errorf("on record: %d bytes of %d", len(x.response), len(got))
					}
				})
			}
		}
	}
}

// TestACutStreamLooksCutOverHTTP2 has the upstream break off; the client must not take what came for whole.
func TestACutStreamLooksCutOverHTTP2(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		r := secureUpstream(t, h2, stubHandler(t), nil)
		resp, got, err := r.through(true, r.post("/v1/chat/completions", streamBody, "X-Stub", "cut"))
		if err == nil {
			t.Errorf("a cut stream looks whole: %q", got)
		}
		x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
		x.ended(t, steno.EndUpstreamCut, 200)
		if !bytes.HasPrefix(x.response, got) {
			t.Errorf("the client has %d bytes that are not on record", len(got))
		}
	}
}

func TestExpect100Continue(t *testing.T) {
	got := make(chan string, 1)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		got <- string(b)
		fmt.Fprint(w, `{}`)
	}), nil)
	c, in := r.raw("POST /v1/embeddings" + rawHead + fmt.Sprintf("Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(chatBody)))
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q, %v: the gateway did not ask for the body", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, chatBody); err != nil {
		t.Fatal(err)
	}
	resp, _ := r.answer(in, http.MethodPost)
	if s := <-got; resp.StatusCode != http.StatusOK || s != chatBody {
		t.Errorf("status %d, the upstream got %q", resp.StatusCode, s)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	x.ended(t, steno.EndComplete, 200)
	if string(x.request) != chatBody {
		t.Errorf("on record: %q", x.request)
	}

	// A caller without a key is told so, and not asked for its body.
	_, in = r.raw("POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
	if resp, _ := r.answer(in, http.MethodPost); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestEarlyHintsDoNoHarm(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		r := secureUpstream(t, h2, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for range 3 {
				w.Header().Set("Link", "</x>; rel=preload")
				w.WriteHeader(http.StatusEarlyHints)
			}
			w.Header().Del("Link")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"id":"x"}`)
		}), nil)
		req := r.post("/v1/embeddings", `{}`)
		var hints int
		resp, body, err := r.through(h2, req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(int, textproto.MIMEHeader) error { hints++; return nil },
		})))
		if err != nil || resp.StatusCode != http.StatusCreated || string(body) != `{"id":"x"}` || resp.Header.Get("Link") != "" {
			t.Errorf("%d, %q, %v, %v", resp.StatusCode, body, resp.Header, err)
		}
		if hints != 0 {
			t.Errorf("%d hints were passed on, and are not on record", hints)
		}
		r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndComplete, http.StatusCreated)
	}
}

// TestASlowClientGetsAll has a client that reads nothing until everything before it is full and has stopped.
func TestASlowClientGetsAll(t *testing.T) {
	const events = 600
	filler := strings.Repeat("x", 16<<10)
	sent := make(chan struct{}, events)
	stalled := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range events {
			fmt.Fprintf(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%d%s\"}}]}\n\n", i, filler)
			w.(http.Flusher).Flush()
			sent <- struct{}{}
		}
		fmt.Fprint(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
	}), func(c *Config) { c.IdleTimeout = 10 * time.Second })
	ask := "POST /v1/chat/completions" + rawHead + fmt.Sprintf("Content-Length: %d\r\nConnection: close\r\n\r\n", len(streamBody)) + streamBody
	c, in := r.raw(ask)
	if err := c.(*net.TCPConn).SetReadBuffer(128 << 10); err != nil {
		t.Fatal(err)
	}
	// The upstream is blocked, or has sent all, once nothing was sent for a while.
	go func() {
		defer close(stalled)
		for {
			select {
			case <-sent:
			case <-time.After(time.Second):
				return
			}
		}
	}()
	<-stalled
	go func() {
		for range sent { // it only makes room
		}
	}()
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("after %d bytes: %v", len(got), err)
	}
	close(sent)
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	x.ended(t, steno.EndComplete, 200)
	if !bytes.Equal(x.response, got) {
		t.Errorf("on record %d bytes, the client got %d", len(x.response), len(got))
	}
}

// TestAClientThatStopsReadingIsGone never reads: the call must not hang for ever, nor be blamed on the upstream.
func TestAClientThatStopsReadingIsGone(t *testing.T) {
	filler := strings.Repeat("x", 64<<10)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for req.Context().Err() == nil {
			fmt.Fprintf(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\n", filler)
		}
	}), func(c *Config) { c.IdleTimeout = 300 * time.Millisecond })
	r.raw("POST /v1/chat/completions" + rawHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(streamBody)) + streamBody)
	r.only().ended(t, steno.EndClientGone, 200)
}

func TestAClientThatLeavesFreesTheUpstream(t *testing.T) {
	for _, c := range []struct {
		name   string
		begun  bool
		status int
	}{{"before the headers", false, 0}, {"in the middle", true, 200}} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				asked, freed := make(chan struct{}), make(chan struct{})
				r := secureUpstream(t, h2, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					defer close(freed)
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						t.Error(err)
					}
					if c.begun {
						w.Header().Set("Content-Type", "text/event-stream")
						fmt.Fprint(w, "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"}}]}\n\n")
						w.(http.Flusher).Flush()
					}
					close(asked)
					<-req.Context().Done()
				}), nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				req := r.post("/v1/chat/completions", streamBody).WithContext(ctx)
				if c.begun {
					resp := r.open(h2, req)
					if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
					cancel()
					resp.Body.Close()
				} else {
					go func() { <-asked; cancel() }()
					server := httptest.NewUnstartedServer(r.gateway)
					server.EnableHTTP2 = h2
					server.StartTLS()
					defer server.Close()
					req.URL.Scheme, req.URL.Host = "https", server.Listener.Addr().String()
					if resp, err := server.Client().Transport.RoundTrip(req); err == nil {
						resp.Body.Close()
						t.Fatalf("it was answered: %d", resp.StatusCode)
					}
				}
				select {
				case <-freed:
				case <-t.Context().Done():
					t.Fatal("the upstream was never told")
				}
				r.only().ended(t, steno.EndClientGone, c.status)
			})
		}
	}
}

func TestASilentUpstream(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("no headers, HTTP/2 %v", h2), func(t *testing.T) {
			r := secureUpstream(t, h2, stubHandler(t), func(c *Config) { c.HeaderTimeout = 100 * time.Millisecond })
			resp, body, err := r.through(h2, r.post("/v1/messages", `{"model":"m","max_tokens":3,"messages":[]}`, "X-Stub", "stall=1m"))
			if err != nil || resp.StatusCode != http.StatusGatewayTimeout || !bytes.Contains(body, []byte(`"type":"error"`)) {
				t.Errorf("%d, %v: %s", resp.StatusCode, err, body)
			}
			r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndTimedOut, http.StatusGatewayTimeout)
		})
		t.Run(fmt.Sprintf("silent in a plain body, HTTP/2 %v", h2), func(t *testing.T) {
			r := secureUpstream(t, h2, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				fmt.Fprint(w, `{"id":`)
				w.(http.Flusher).Flush()
				<-req.Context().Done()
			}), func(c *Config) { c.IdleTimeout = 200 * time.Millisecond })
			server := httptest.NewServer(r.gateway)
			defer server.Close()
			req := r.post("/v1/chat/completions", chatBody)
			req.URL.Host = server.Listener.Addr().String()
			if resp, err := http.DefaultTransport.RoundTrip(req); err == nil {
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("a cut answer looks whole")
				}
				resp.Body.Close()
			}
			r.only().ended(t, steno.EndTimedOut, 200)
		})
	}
}

func TestAProvidersRefusalIsUnchanged(t *testing.T) {
	const body = `{"error":{"message":"slow down","type":"rate_limit_error"}}` + "\n"
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h["X-Ratelimit-Remaining-Requests"] = []string{"0", "twice"}
		h.Set("Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT")
		h.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, body)
	}), nil)
	resp, got, err := r.do(r.post("/v1/chat/completions", streamBody))
	if err != nil {
		t.Fatal(err)
	}
	h := resp.Header
	if resp.StatusCode != 429 || string(got) != body || h.Get("Retry-After") != "Wed, 21 Oct 2026 07:28:00 GMT" || len(h["X-Ratelimit-Remaining-Requests"]) != 2 {
		t.Errorf("%d %v: %s", resp.StatusCode, h, got)
	}
	x := r.exchange(h.Get("X-Steno-Exchange"))
	x.ended(t, steno.EndProviderError, 429)
	if string(x.response) != body {
		t.Errorf("on record: %s", x.response)
	}
}
