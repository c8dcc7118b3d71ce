// Package wire reads recorded traffic of model providers and replays it.
//
// The recordings are not part of this repository: they are read from the directory that STENO_WIRE names, or from
// shared/wire beside one of the directories above, and tests that need them are skipped where they are absent.
// Replay is an upstream that answers a recorded request with the recorded bytes, and says so if the request that
// arrives is not, byte for byte, the one that was recorded.
package wire

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steno-audit/steno/internal/dialect"
)

// ReplayID is the header that says which exchange is to be replayed: its place in what Load returned.
const ReplayID = "x-replay-id"

// Exchange is one recorded call.
type Exchange struct {
	Provider       string // the recording's file, and the name of the upstream it is replayed as
	Dialect        string // of that upstream
	ID             string // the recording's name
	Method         string
	Path           string // with query
	RequestHeader  http.Header
	Request        []byte
	Status         int
	ResponseHeader http.Header
	Response       []byte // content encoding undone
}

// providers are the recordings and the dialect that each is replayed as.
var providers = []struct{ name, dialect string }{
	{"openai", dialect.OpenAI},
	{"anthropic", dialect.Anthropic},
	{"azure-openai", "azure"},
	{"bedrock", dialect.Bedrock},
	{"cohere", "cohere"},
	{"deepseek", dialect.OpenAI},
	{"gemini", dialect.Gemini},
	{"groq", dialect.OpenAI},
	{"mistral", "mistral"},
	{"ollama", "ollama"},
	{"others", dialect.OpenAI},
	{"vertex", dialect.Gemini},
	{"voyage", dialect.OpenAI},
	{"writer", dialect.OpenAI},
}

// Dir is where the recordings are; the test is skipped if they are nowhere.
func Dir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("STENO_WIRE"); dir != "" {
		if _, err := os.Stat(dir); err != nil {
			t.Fatalf("STENO_WIRE: couldn't find the recorded traffic: %v", err)
		}
		return dir
	}
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		dir := filepath.Join(at, "shared", "wire")
		if _, err := os.Stat(filepath.Join(dir, providers[0].name+".jsonl.gz")); err == nil {
			return dir
		} else if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		up := filepath.Dir(at)
		if up == at {
			t.Skip("no recorded traffic: there is no shared/wire in a directory above, and STENO_WIRE is not set")
		}
		at = up
	}
}

// Load reads the recorded exchanges, in the order of the recordings.
func Load(t testing.TB) []Exchange {
	t.Helper()
	var out []Exchange
	for _, p := range providers {
		if !slices.Contains(dialect.Dialects, p.dialect) {
			continue
		}
		ex, err := read(filepath.Join(Dir(t), p.name+".jsonl.gz"), p.name, p.dialect)
		if err != nil {
			t.Fatalf("couldn't read the recorded traffic: %v", err)
		}
		out = append(out, ex...)
	}
	return out
}

func read(path, provider, dialect string) (out []Exchange, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	lines := bufio.NewReader(z)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			e, err := exchange(line)
			if err != nil {
				return nil, fmt.Errorf("%s, line %d: %w", path, len(out)+1, err)
			}
			e.Provider, e.Dialect = provider, dialect
			out = append(out, e)
		}
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
}

func exchange(line []byte) (Exchange, error) {
	var l struct {
		ID, Method, Path  string
		Status            int
		Request, Response []byte
		RequestHeaders    map[string]string `json:"request_headers"`
		ResponseHeaders   map[string]string `json:"response_headers"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return Exchange{}, err
	}
	return Exchange{
		ID: l.ID, Method: strings.ToUpper(l.Method), Path: l.Path, Status: l.Status, Request: l.Request, Response: l.Response,
		RequestHeader: header(l.RequestHeaders), ResponseHeader: header(l.ResponseHeaders),
	}, nil
}

func header(m map[string]string) http.Header {
	h := http.Header{}
	for k, v := range m {
		h.Set(k, v)
	}
	return h
}

// notReplayed are headers that belong to the recorded connection and not to the answer.
var notReplayed = []string{"Connection", "Content-Encoding", "Content-Length", "Keep-Alive", "Transfer-Encoding", "Trailer", "Upgrade", "Date"}

// Replay is an upstream that answers with the recorded bytes: a stream event by event, anything else at once. The
// request names the exchange with the header x-replay-id; one that is unknown gets a 404, one that differs from the
// recording a 599 with the place of the difference.
func Replay(ex []Exchange) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.Header.Get(ReplayID))
		if err != nil || n < 0 || n >= len(ex) {
			http.Error(w, fmt.Sprintf("%s %q is none of the %d recorded exchanges", ReplayID, r.Header.Get(ReplayID), len(ex)), http.StatusNotFound)
			return
		}
		e := ex[n]
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if diff := e.difference(r, body); diff != "" {
			http.Error(w, e.ID+": "+diff, 599)
			return
		}
		h := w.Header()
		for k, v := range e.ResponseHeader {
			h[k] = v
		}
		if h.Get("Content-Type") == "" {
			h["Content-Type"] = nil // net/http would guess one
		}
		for _, k := range notReplayed {
			h.Del(k)
		}
		w.WriteHeader(e.Status)
		if err := e.send(w); err != nil {
			panic(http.ErrAbortHandler) // the client must see that the answer is not whole
		}
	})
}

func (e *Exchange) difference(r *http.Request, body []byte) string {
	if r.Method != e.Method || r.URL.RequestURI() != e.Path {
		return fmt.Sprintf("recorded %s %s, got %s %s", e.Method, e.Path, r.Method, r.URL.RequestURI())
	}
	if bytes.Equal(body, e.Request) {
		return ""
	}
	at := 0
	for at < len(body) && at < len(e.Request) && body[at] == e.Request[at] {
		at++
	}
	return fmt.Sprintf("the body differs from byte %d on (%d bytes recorded, %d got)", at, len(e.Request), len(body))
}

// send writes the answer; events of a stream are flushed one by one, as a provider does.
func (e *Exchange) send(w http.ResponseWriter) error {
	rest := e.Response
	for e.Streamed() && len(rest) > 0 {
		end := bytes.Index(rest, []byte("\n\n"))
		if end < 0 {
			break
		}
		if _, err := w.Write(rest[:end+2]); err != nil {
			return err
		}
		rest = rest[end+2:]
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
	}
	_, err := w.Write(rest)
	return err
}

// Streamed says whether the answer is a stream of events.
func (e *Exchange) Streamed() bool { return dialect.Streamed(e.ResponseHeader.Get("Content-Type")) }

// Call is what the dialect makes of the request's path.
func (e *Exchange) Call() dialect.Call { return dialect.RouteAs(e.Dialect, e.Method, e.Path) }
