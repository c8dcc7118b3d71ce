package capture

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const (
	googlePath = "/v1beta/models/gemini-2.5-flash:generateContent"
	googleAsk  = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	googleSays = `{"candidates":[{"content":{"parts":[{"text":"hello"}]},"finishReason":"STOP"}],"modelVersion":"gemini-2.5-flash"}`
)

// Google's SDKs and users put a key in three places. Wherever it is, a steno key stays here, the provider's key goes where
// Google takes it, and neither is on record.
func TestGoogleKeys(t *testing.T) {
	const apiKey, oauth, own = "AIza" + "-provider", "ya29" + ".provider", "AIza" + "-callers-own"
	var got http.Header
	var query string
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		got, query = req.Header.Clone(), req.URL.RawQuery
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, googleSays)
	}), func(c *Config) {
		u := c.Upstreams[0].URL
		c.Upstreams = []*Upstream{
			{Name: "gemini", Dialect: "gemini", URL: u, Credential: apiKey},
			{Name: "vertex", Dialect: "gemini", URL: u, Credential: oauth},
			{Name: "own", Dialect: "gemini", URL: u},
		}
	})
	const none = "Authorization"
	for _, c := range []struct {
		name, path              string
		headers                 []string
		status                  int
		auth                    string
		key, bearer, wantsQuery string // what the upstream gets
	}{
		{"in its header", googlePath, []string{none, "", "X-Goog-Api-Key", testKey}, 200, "key", apiKey, "", ""},
		{"in the query", googlePath + "?key=" + testKey, []string{none, ""}, 200, "key", apiKey, "", ""},
		{"in the query, among others", googlePath + "?%24alt=json%3Benum&k%65y=" + testKey + "&fields=a", []string{none, ""}, 200, "key", apiKey, "", "%24alt=json%3Benum&fields=a"},
		{"as a bearer token", googlePath, nil, 200, "key", apiKey, "", ""},
		{"on the OpenAI-compatible side", "/v1beta/openai/chat/completions", nil, 200, "key", "", "Bearer " + apiKey, ""},
		{"and a token of OAuth goes on", "/vertex/v1/projects/p/locations/l/publishers/google/models/m:generateContent", nil, 200, "key", "", "Bearer " + oauth, ""},
		{"a wrong one in the query", googlePath + "?key=canary-wrong", []string{none, ""}, 401, "failed", "", "", ""},
		{"none", googlePath + "?alt=json", []string{none, ""}, 401, "failed", "", "", ""},
		{"the caller's own in the query", "/own" + googlePath + "?key=" + own, []string{none, ""}, 200, "passthrough", "", "", "key=" + own},
		{"the caller's own in its header", "/own" + googlePath, []string{none, "", "X-Goog-Api-Key", own}, 200, "passthrough", own, "", ""},
		{"the caller's own token beside a steno key", "/own" + googlePath + "?alt=json", []string{none, "Bearer " + oauth, "X-Steno-Key", testKey}, 200, "key", "", "Bearer " + oauth, "alt=json"},
		{"the caller's own token, a steno key in the query", "/own" + googlePath + "?key=" + testKey, []string{none, "Bearer " + oauth}, 200, "passthrough", "", "Bearer " + oauth, ""},
		{"a steno key, where only the caller's own could go on", "/own" + googlePath + "?key=" + testKey, []string{none, ""}, 200, "key", "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, query = nil, ""
			resp, body, err := r.do(r.post(c.path, googleAsk, c.headers...))
			if err != nil || resp.StatusCode != c.status {
				t.Fatalf("status %d, %v: %s", resp.StatusCode, err, body)
			}
			if got.Get("X-Goog-Api-Key") != c.key || got.Get("Authorization") != c.bearer || query != c.wantsQuery {
				t.Errorf("the upstream got the key %q, Authorization %q and the query %q", got.Get("X-Goog-Api-Key"), got.Get("Authorization"), query)
			}
			if c.status == 401 && !bytes.Contains(body, []byte(`"status":"UNAUTHENTICATED"`)) {
				t.Errorf("Google's SDK is told %s", body)
			}
			x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
			if auth := x.events[0].Identity.Auth; auth != c.auth {
				t.Errorf("recorded as %q, want %q", auth, c.auth)
			}
			for _, o := range x.events {
				said := fmt.Sprintf("%+v %+v", o.Identity, o.Model)
				for _, p := range append(o.Request, o.Response...) {
					said += string(p.Bytes)
				}
				for _, secret := range []string{testKey, apiKey, oauth, own, "canary"} {
					if strings.Contains(said, secret) || strings.Contains(said, url.QueryEscape(secret)) {
						t.Errorf("on record is %q: %s", secret, said)
					}
				}
			}
		})
	}
}

// On Vertex AI a credential is a bearer token unless it looks like an API key.
func TestGoogleKeyByHost(t *testing.T) {
	for _, c := range []struct {
		host, credential, path string
		key                    bool
	}{
		{"us-central1-aiplatform.googleapis.com", "token", "/v1/x", false},
		{"aiplatform.googleapis.com", "AQ" + ".express", "/v1/x", true},
		{"aiplatform.googleapis.com:443", "AIza" + "-x", "/v1/projects/p/x", true},
		{"generativelanguage.googleapis.com", "whatever", "/v1beta/x", true},
		{"generativelanguage.googleapis.com", "whatever", "/v1beta/openai/x", false},
		{"proxy.internal", "ya29" + ".x", "/v1beta/x", false},
	} {
		u := &Upstream{URL: &url.URL{Scheme: "https", Host: c.host}, Credential: c.credential}
		if got := u.googleKey(c.path); got != c.key {
			t.Errorf("%s at %s: %v", c.path, c.host, got)
		}
	}
}

// An upstream's address may have the version that Google's SDKs put into the path.
func TestVersionInTheAddress(t *testing.T) {
	for _, c := range []struct{ base, path, want string }{
		{"https://g.example/v1beta", googlePath, "https://g.example" + googlePath},
		{"https://g.example/v1beta/", "/models/m:generateContent", "https://g.example/v1beta/models/m:generateContent"},
		{"https://g.example", googlePath, "https://g.example" + googlePath},
		{"https://g.example/v1", googlePath, "https://g.example/v1" + googlePath},
		{"https://g.example/v1/proxy", "/v1/models", "https://g.example/v1/proxy/v1/models"},
		{"https://o.example/v1", "/v1/models", "https://o.example/v1/models"},
	} {
		u, err := url.Parse(c.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Upstream{URL: u}).target(c.path, ""); got != c.want {
			t.Errorf("%s and %s make %s", c.base, c.path, got)
		}
	}
}

// Of an array of chunks the last is held back with all that follows, until the answer is on record.
func TestTheEndOfAnArrayIsHeldBack(t *testing.T) {
	body := geminiArray(geminiChunks...)
	held := strings.Index(body, "\n,\r\n"+geminiChunks[len(geminiChunks)-1])
	begun, syncing, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	var once, letGo sync.Once
	var answering atomic.Bool
	var r *rig
	r = newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		r.fs.Fault(func(op disk.Op) disk.Fault {
			if op.Kind == "sync" && strings.Contains(op.Name, "/journal/") && answering.Load() {
				once.Do(func() { close(syncing) })
				<-release
			}
			return disk.Fault{}
		})
		answering.Store(true)
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		io.WriteString(w, body[:held])
		w.(http.Flusher).Flush()
		<-begun
		io.WriteString(w, body[held:])
	}), func(c *Config) {
		c.Upstreams = []*Upstream{{Name: "gemini", Dialect: "gemini", URL: c.Upstreams[0].URL, Credential: "provider-key"}}
	})
	defer letGo.Do(func() { close(release) })
	resp, err := http.DefaultTransport.RoundTrip(r.post("/v1beta/models/gemini-2.5-flash:streamGenerateContent", geminiAsk))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	in := bufio.NewReader(resp.Body)
	got := make([]byte, held)
	if _, err := io.ReadFull(in, got); err != nil || string(got) != body[:held] {
		t.Fatalf("the stream begins with %q, %v", got, err)
	}
	more, rest := make(chan struct{}), make(chan string, 1)
	go func() {
		if _, err := in.Peek(1); err == nil {
			close(more)
		}
		b, err := io.ReadAll(in)
		if err != nil {
			b = append(b, err.Error()...)
		}
		rest <- string(b)
	}()
	close(begun)
	<-syncing
	select {
	case <-more:
		t.Error("the end is there before its record is")
	default:
	}
	letGo.Do(func() { close(release) })
	if got := <-rest; got != body[held:] {
		t.Errorf("the stream ends with %q", got)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	if x.ended(t, steno.EndComplete, 200); string(x.response) != body {
		t.Errorf("on record is %q", x.response)
	}
	if m := x.events[0].Model; !m.Stream || m.Provider != "gcp.gemini" || m.API != "generate_content" {
		t.Errorf("on record the model is %+v", m)
	}
}
