package capture

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/steno-audit/steno"
)

func TestABodyThatIsTooLarge(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded") }), func(c *Config) { c.MaxBody = 1 << 10 })
	for _, c := range []struct{ name, path, shape string }{
		{"openai", "/v1/chat/completions", `{"error":{"message":`},
		{"anthropic", "/v1/messages", `{"type":"error","error":{"type":"request_too_large"`},
	} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, chunked %v", c.name, chunked), func(t *testing.T) {
				req := r.post(c.path, strings.Repeat(" ", 3<<10))
				if chunked {
					req.ContentLength = -1
				}
				resp, body, err := r.do(req)
				if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !bytes.HasPrefix(body, []byte(c.shape)) || !json.Valid(body) {
					t.Errorf("%d, %v: %s", resp.StatusCode, err, body)
				}
				r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndRefused, http.StatusRequestEntityTooLarge)
			})
		}
	}
	if used := r.gateway.flight.used.Load(); used != 0 {
		t.Errorf("%d bytes of refused bodies are still counted", used)
	}
}

func TestUpgrades(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		for _, name := range []string{"Upgrade", "Http2-Settings", "Connection"} {
			if v, ok := req.Header[name]; ok {
				t.Errorf("the upstream got %s: %q", name, v)
			}
		}
		if strings.HasSuffix(req.URL.Path, "/switches") { // although nobody asked
			c, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nbytes"); err != nil {
				t.Error(err)
			}
			return
		}
		fmt.Fprint(w, `{}`)
	}), nil)
	for _, c := range []struct {
		name, path, headers string
		status              int
		end                 steno.End
	}{
		{"a WebSocket", "/v1/realtime", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n", 501, steno.EndRefused},
		{"a WebSocket beside h2c", "/v1/realtime", "Connection: Upgrade\r\nUpgrade: h2c, websocket\r\n", 501, steno.EndRefused},
		// What Java's own client offers with every first call; a server may go on in HTTP/1.1.
		{"HTTP/2 in clear", "/v1/models", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n", 200, steno.EndComplete},
		{"an upstream that switches", "/v1/models/switches", "", 502, steno.EndUpstreamFailed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, in := r.raw("GET " + c.path + rawHead + c.headers + "\r\n")
			resp, body := r.answer(in, http.MethodGet)
			if resp.StatusCode != c.status || !json.Valid(body) {
				t.Errorf("%d: %s", resp.StatusCode, body)
			}
			r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, c.end, c.status)
		})
	}
}

func TestBodiesThatBreakOff(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was forwarded") }), nil)
	for _, c := range []struct{ name, headers, body string }{
		{"shorter than its Content-Length", "Content-Length: 100\r\n", `{"model":`},
		{"without its last chunk", "Transfer-Encoding: chunked\r\n", "9\r\n{\"model\":\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, in := r.raw("POST /v1/chat/completions" + rawHead + c.headers + "\r\n" + c.body)
			if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			resp, _ := r.answer(in, http.MethodPost)
			if resp.StatusCode != http.StatusBadRequest {
				t.Errorf("status %d", resp.StatusCode)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if x.last().Result.End != steno.EndClientGone || string(x.request) != `{"model":` {
				t.Errorf("it ended %q with %q on record", x.last().Result.End, x.request)
			}
		})
	}
}

// TestAnAnswerShorterThanItSays has an upstream that announces more bytes than it sends.
func TestAnAnswerShorterThanItSays(t *testing.T) {
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, `{"id":"x"}`)
	}), nil)
	if resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/chat/completions", chatBody)); err == nil {
		if _, err := io.ReadAll(resp.Body); err == nil {
			t.Error("a short answer looks whole")
		}
		resp.Body.Close()
	}
	x := r.only()
	x.ended(t, steno.EndUpstreamCut, 200)
	if string(x.response) != `{"id":"x"}` {
		t.Errorf("on record: %s", x.response)
	}
}

// TestAmbiguousLengthsAreRefused sends what two servers could read in two ways. Nothing of it reaches the upstream.
func TestAmbiguousLengthsAreRefused(t *testing.T) {
	asked := make(chan string, 8)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body) // what came of it is compared
		asked <- req.URL.Path + " " + string(b)
		fmt.Fprint(w, `{}`)
	}), nil)
	const smuggled = "GET /v1/models/smuggled" + rawHead + "\r\n"
	for _, c := range []struct{ name, headers, body string }{
		{"two lengths", "Content-Length: 2\r\nContent-Length: 3\r\n", "{}"},
		{"a list of lengths", "Content-Length: 2, 3\r\n", "{}"},
		{"a signed length", "Content-Length: +2\r\n", "{}"},
		{"an unknown coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"},
		{"a coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"},
		{"a space before the colon", "Content-Length : 2\r\n", "{}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, in := r.raw("POST /v1/embeddings" + rawHead + c.headers + "\r\n" + c.body + smuggled)
			resp, _ := r.answer(in, http.MethodPost)
			if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusNotImplemented {
				t.Errorf("status %d", resp.StatusCode)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("the connection goes on: %v", err)
			}
			if len(asked) > 0 {
				t.Errorf("the upstream was asked %q", <-asked)
			}
		})
	}
	t.Run("a length beside chunks", func(t *testing.T) {
		// Chunks win, the length is dropped: the upstream gets one body with one length.
		_, in := r.raw("POST /v1/embeddings" + rawHead + "Content-Length: 50\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + smuggled)
		resp, _ := r.answer(in, http.MethodPost)
		if got := <-asked; got != "/v1/embeddings {}" || resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, the upstream was asked %q", resp.StatusCode, got)
		}
		if _, err := in.ReadByte(); err != io.EOF || len(asked) > 0 {
			t.Errorf("the connection goes on: %v", err)
		}
		r.exchange(resp.Header.Get("X-Steno-Exchange")).ended(t, steno.EndComplete, 200)
	})
}

func TestCompressedBodiesPassByteForByte(t *testing.T) {
	packed := map[string]func(string) []byte{
		"gzip": func(s string) []byte {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			if _, err := io.WriteString(z, s); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			return b.Bytes()
		},
		"zstd": func(s string) []byte {
			z, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer z.Close()
			return z.EncodeAll([]byte(s), nil)
		},
		"br": func(s string) []byte { return []byte("\x0b\x02\x80" + s + "\x03") }, // never decoded here
	}
	for encoding, pack := range packed {
		t.Run(encoding, func(t *testing.T) {
			const accept = "zstd;q=1.0, gzip;q=0.5,*;q=0"
			ask, reply := pack(chatBody), pack(`{"id":"c1","object":"chat.completion","model":"m-1","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`)
			type seen struct {
				body   []byte
				header http.Header
			}
			got := make(chan seen, 1)
			r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				b, err := io.ReadAll(req.Body)
				if err != nil {
					t.Error(err)
				}
				got <- seen{b, req.Header.Clone()}
				w.Header().Set("Content-Encoding", encoding)
				w.Header().Set("Content-Type", "application/json")
				if _, err := w.Write(reply); err != nil {
					t.Error(err)
				}
			}), nil)
			resp, body, err := r.do(r.post("/v1/chat/completions", string(ask), "Content-Encoding", encoding, "Accept-Encoding", accept))
			if err != nil {
				t.Fatal(err)
			}
			s := <-got
			if !bytes.Equal(s.body, ask) || s.header.Get("Content-Encoding") != encoding || s.header.Get("Accept-Encoding") != accept {
				t.Errorf("the upstream got %d bytes of %d, %v", len(s.body), len(ask), s.header)
			}
			if !bytes.Equal(body, reply) || resp.Header.Get("Content-Encoding") != encoding {
				t.Errorf("the client got %d bytes of %d, %v", len(body), len(reply), resp.Header)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			x.ended(t, steno.EndComplete, 200)
			if !bytes.Equal(x.request, ask) || !bytes.Equal(x.response, reply) {
				t.Error("the record has other bytes than the wire")
			}
			if encoding != "br" && (x.events[0].Model.Asked != "gpt-4o-mini" || x.last().Model.Answered != "m-1") {
				t.Errorf("asked %q, answered %q", x.events[0].Model.Asked, x.last().Model.Answered)
			}
		})
	}
}
