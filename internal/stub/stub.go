// Package stub is a model provider that needs no model: it answers the OpenAI
// and Anthropic HTTP APIs in their own wire formats, streamed or whole, so that
// a gateway can be run, tested and measured offline.
//
// What enters is a request; what leaves is a function of it (method, path,
// query, body, anthropic-version): the same request gets the same status,
// headers (Date too) and bytes, whoever asks and whenever. Which knobs it was
// told to misbehave with ([Help] lists them; given in the header x-stub or
// after a + in the model's name) changes how an answer travels or ends,
// not its words, unless the knob is about the words.
//
// Nothing is kept but the last answers of /v1/responses, in memory. With a
// tally, each request is durable in a file before the first byte of its answer
// is written, so that a test can ask a gateway where the record of it is.
package stub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Config says where the stub listens and whether it keeps a tally.
type Config struct {
	// Addr is a TCP address; port 0 takes a free one. Only Serve reads it.
	Addr string
	// Tally is the path of a file to append to, or empty.
	Tally string
}

// Stub answers as a provider would. It is an http.Handler for many goroutines.
type Stub struct {
	tally *tally
	mu    sync.Mutex // guards the two below
	kept  map[string][]byte
	order []string // ids in kept, oldest first
}

// keptResponses bounds what GET /v1/responses/{id} can still answer.
const keptResponses = 1024

// New returns a stub; Close it when it has a tally.
func New(c Config) (*Stub, error) {
	s := &Stub{kept: make(map[string][]byte)}
	if c.Tally != "" {
		t, err := openTally(c.Tally)
		if err != nil {
			return nil, err
		}
		s.tally = t
	}
	return s, nil
}

// Close closes the tally. Requests still running then fail.
func (s *Stub) Close() error {
	if s.tally == nil {
		return nil
	}
	return s.tally.close()
}

// drain is how long Serve lets running answers finish once ctx is done.
const drain = 2 * time.Second

// Serve runs a stub at c.Addr until ctx is done. It calls ready with the stub's
// base URL (no path) once connections are accepted.
func Serve(ctx context.Context, c Config, ready func(url string)) error {
	s, err := New(c)
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // what the tally acknowledged is durable
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("couldn't listen for the stub: %w", err)
	}
	h := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	if ready != nil {
		ready("http://" + l.Addr().String())
	}
	select {
	case err := <-done:
		return fmt.Errorf("couldn't serve the stub: %w", err)
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := h.Shutdown(end); err != nil {
		h.Close() //nolint:errcheck // a stalled answer outlives the drain: cut it
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("couldn't serve the stub: %w", err)
	}
	return nil
}

func (s *Stub) keep(id string, response []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.kept[id]; !ok {
		s.order = append(s.order, id)
	}
	s.kept[id] = response
	if len(s.order) > keptResponses {
		delete(s.kept, s.order[0])
		s.order = s.order[1:]
	}
}

func (s *Stub) response(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.kept[id]
	return r, ok
}
