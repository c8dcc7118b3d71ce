package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/serve"
)

// openAtRest opens a data directory that no server has open, and gives its reading API, the token for it, and what closes
// it. Set by the wiring.
var openAtRest func(dir string) (http.Handler, string, func() error, error)

const defaultServer = "http://127.0.0.1:4601"

// readFlags are those of all commands that read.
type readFlags struct {
	server, token, data string
	json                bool
}

func (f *readFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.server, "server", "", "the console's URL of a running steno (default $STENO_SERVER, else "+defaultServer+")")
	c.Flags().StringVar(&f.token, "token", "", "the console's token (default $STENO_TOKEN)")
	c.Flags().StringVar(&f.data, "data", "", "a data `DIR` that no server has open, instead of a server")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON, one object a line")
}

// reader asks the reading API, of a server or of a directory opened in this process.
type reader struct {
	base    *url.URL
	token   string
	guessed bool // nobody said which server
	http    *http.Client
	close   func() error
}

func (f *readFlags) open() (*reader, error) {
	r := &reader{token: f.token, http: http.DefaultClient, close: func() error { return nil }}
	if r.token == "" {
		r.token = os.Getenv("STENO_TOKEN")
	}
	server := f.server
	switch {
	case f.data != "" && f.server != "":
		return nil, usageError{errors.New("--data reads a directory at rest, --server asks a running steno: give one of them")}
	case f.data != "":
		h, token, closeData, err := openAtRest(f.data)
		if err != nil {
			return nil, err
		}
		r.base, r.token, r.close, r.http = &url.URL{Scheme: "http", Host: "localhost"}, token, closeData, &http.Client{Transport: inProcess{h}}
		return r, nil
	case server == "":
		server = os.Getenv("STENO_SERVER")
	}
	if server == "" {
		server, r.guessed = defaultServer, true
	}
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	u, err := url.Parse(strings.TrimSuffix(server, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, usageError{fmt.Errorf("%q is no address of a server; write %s", server, defaultServer)}
	}
	r.base = u
	return r, nil
}

// read opens the reader, does one thing with it and closes it.
func (f *readFlags) read(do func(*reader) error) error {
	r, err := f.open()
	if err != nil {
		return err
	}
	return errors.Join(do(r), r.close())
}

// get asks and returns the answer, whose body the caller closes. What is no 200 is an error.
func (r *reader) get(ctx context.Context, path string, q url.Values) (*http.Response, error) {
	u := r.base.JoinPath(path)
	u.RawQuery = q.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("couldn't ask %s: %w", r.base, err)
	}
	req.Header.Set("User-Agent", "steno/"+version())
	if r.token != "" {
		req.Header.Set("Authorization", "Bearer "+r.token)
	}
	resp, err := r.http.Do(req)
	if err != nil {
		var refused *url.Error
		if errors.As(err, &refused) {
			err = refused.Err // without the URL, which names whom was asked for
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			if r.guessed {
				return nil, fmt.Errorf("no steno answers at %s; say which with --server URL --token TOKEN, or read a directory at rest with --data DIR", r.base)
			}
			return nil, fmt.Errorf("no steno answers at %s", r.base)
		}
		return nil, fmt.Errorf("couldn't ask %s: %w", r.base, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the answer of %s: %w", r.base, err)
	}
	e := serve.ReadError(resp.StatusCode, b)
	if len(e.Candidates) > 0 {
		return nil, fmt.Errorf("%w:\n  %s", e, strings.Join(e.Candidates, "\n  "))
	}
	if resp.StatusCode == http.StatusBadRequest {
		return nil, usageError{e}
	}
	return nil, e
}

// decode asks and reads the answer's JSON into v.
func (r *reader) decode(ctx context.Context, path string, q url.Values, v any) error {
	resp, err := r.get(ctx, path, q)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(v); err != nil {
		return fmt.Errorf("couldn't read the answer of %s: %w", r.base, err)
	}
	return nil
}

// inProcess hands requests to a handler in this process. Answers stream as they would over a connection.
type inProcess struct{ h http.Handler }

func (t inProcess) RoundTrip(req *http.Request) (*http.Response, error) {
	in := req.Clone(req.Context())
	in.RequestURI, in.RemoteAddr, in.Host = req.URL.RequestURI(), "at rest", req.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pipe: pw, begun: make(chan struct{})}
	go func() {
		var failure error
		defer func() {
			if p := recover(); p != nil { // as a server would, the answer breaks off
				failure = fmt.Errorf("the reader failed: %v", p)
			}
			w.begin(http.StatusOK)
			_ = pw.CloseWithError(failure) // never fails
		}()
		t.h.ServeHTTP(w, in)
	}()
	select {
	case <-w.begun:
	case <-req.Context().Done():
		_ = pr.CloseWithError(req.Context().Err()) // never fails
		return nil, req.Context().Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: pr, ContentLength: -1, Request: req,
	}, nil
}

// pipeWriter is the handler's side of an answer in process.
type pipeWriter struct {
	header, sent http.Header
	pipe         *io.PipeWriter
	once         sync.Once
	begun        chan struct{}
	status       int
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) begin(status int) {
	w.once.Do(func() {
		w.status, w.sent = status, w.header.Clone()
		close(w.begun)
	})
}

func (w *pipeWriter) WriteHeader(status int) { w.begin(status) }

func (w *pipeWriter) Write(b []byte) (int, error) {
	w.begin(http.StatusOK)
	return w.pipe.Write(b)
}

// FlushError does nothing: what is written is read at once.
func (w *pipeWriter) FlushError() error {
	w.begin(http.StatusOK)
	return nil
}

// compact prints one JSON object on one line.
func compact(w io.Writer, raw json.RawMessage) error {
	var b bytes.Buffer
	if err := json.Compact(&b, raw); err != nil {
		return fmt.Errorf("couldn't read the server's answer: %w", err)
	}
	b.WriteByte('\n')
	_, err := w.Write(b.Bytes())
	return err
}
