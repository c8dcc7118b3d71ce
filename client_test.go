package steno_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// eventServer keeps the contract of POST /v1/events.
type eventServer struct {
	*httptest.Server
	seen     map[string]string // origin → content
	requests int
	answer   func(n int, w http.ResponseWriter) bool // true: it answered in place of the server, after the work was done
	refuse   func(n int, w http.ResponseWriter) bool // true: it answered before anything was done
}

func newEventServer(t *testing.T) *eventServer {
	s := &eventServer{seen: map[string]string{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests++
		if r.Method != http.MethodPost || r.URL.Path != "/v1/events" || r.Header.Get("Authorization") != "Bearer k" ||
			r.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		if s.refuse != nil && s.refuse(s.requests, w) {
			return
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(r.Body); err != nil {
			t.Error(err)
		}
		out := s.take(t, body.Bytes())
		if s.answer != nil && s.answer(s.requests, w) {
			return
		}
		if len(out["rejected"].([]any)) > 0 && len(out["accepted"].([]any))+len(out["duplicates"].([]any)) == 0 {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *eventServer) take(t *testing.T, body []byte) map[string]any {
	accepted, duplicates, rejected := []any{}, []any{}, []any{}
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 8<<20)
	for i := 0; lines.Scan(); i++ {
		var e steno.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Error(err)
		}
		name := e.Origin.Source + "/" + e.Origin.ID
		reason := ""
		if err := steno.Validate(&e); err != nil {
			reason = err.Error()
		} else if before, ok := s.seen[name]; ok && before != lines.Text() {
			reason = "conflict"
		} else if ok {
			duplicates = append(duplicates, map[string]any{"index": i, "id": e.Origin.ID})
			continue
		}
		if reason != "" {
			rejected = append(rejected, map[string]any{"index": i, "id": e.Origin.ID, "reason": reason})
			continue
		}
		s.seen[name] = lines.Text()
		accepted = append(accepted, steno.NewID(time.Now()))
	}
	return map[string]any{"accepted": accepted, "duplicates": duplicates, "rejected": rejected}
}

func (s *eventServer) client() *steno.Client { return &steno.Client{URL: s.URL + "/", Key: "k"} }

func reviewed(id string) steno.Event {
	return steno.Event{
		Type: "governance.output_reviewed", Origin: &steno.Origin{Source: "test", ID: id},
		System: &steno.System{Action: "output_reviewed", Actor: "eva", Outcome: "fine"},
	}
}

func TestSubmit(t *testing.T) {
	s := newEventServer(t)
	bad := reviewed("2")
	bad.System.Actor = ""
	r, err := s.client().Submit(t.Context(), reviewed("1"), bad, reviewed("3"), reviewed("1"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Accepted) != 2 || r.Accepted[0].IsZero() || len(r.Duplicate) != 1 || r.Duplicate[0].Index != 3 || len(r.Rejected) != 1 ||
		r.Rejected[0].Index != 1 || r.Rejected[0].ID != "2" || !strings.Contains(r.Rejected[0].Reason, "/system/actor is missing") {
		t.Errorf("%+v", r)
	}
	if strings.Contains(s.seen["test/1"], `"time"`) {
		t.Errorf("a time that nobody gave was sent: %s", s.seen["test/1"])
	}
	other := reviewed("1")
	other.System.Outcome = "harmful"
	if r, err = s.client().Submit(t.Context(), other); err != nil || len(r.Rejected) != 1 || r.Rejected[0].Reason != "conflict" {
		t.Errorf("all rejected: %+v %v", r, err)
	}
	if r, err = s.client().Submit(t.Context()); err != nil || len(r.Accepted) != 0 {
		t.Errorf("nothing: %+v %v", r, err)
	}
	if _, err := s.client().Submit(t.Context(), reviewed("9"), steno.Event{Type: "governance.decision"}); err == nil || s.seen["test/9"] != "" {
		t.Errorf("an event without origin was sent: %v", err)
	}
}

// TestSubmitLostAnswers has the server do the work and lose the answer, and be busy before that.
func TestSubmitLostAnswers(t *testing.T) {
	s := newEventServer(t)
	s.refuse = func(n int, w http.ResponseWriter) bool {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return n == 1
	}
	s.answer = func(n int, w http.ResponseWriter) bool {
		if n == 2 {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	r, err := s.client().Submit(t.Context(), reviewed("1"), reviewed("2"))
	if err != nil || len(r.Accepted) != 0 || len(r.Duplicate) != 2 || s.requests != 3 || len(s.seen) != 2 {
		t.Errorf("%+v %v, %d requests", r, err, s.requests)
	}
}

func TestSubmitLarge(t *testing.T) {
	s := newEventServer(t)
	var events []steno.Event
	for i := range 9 {
		e := reviewed(fmt.Sprint(i))
		e.System.Reason = strings.Repeat("x", 1<<20)
		events = append(events, e)
	}
	events[7].Type = "governance.nothing"
	r, err := s.client().Submit(t.Context(), events...)
	if err != nil || len(r.Accepted) != 8 || len(r.Rejected) != 1 || r.Rejected[0].Index != 7 || s.requests < 3 {
		t.Errorf("%d accepted, %+v, %d requests: %v", len(r.Accepted), r.Rejected, s.requests, err)
	}
}

func TestSubmitErrors(t *testing.T) {
	s := newEventServer(t)
	var status int
	body := ""
	s.refuse = func(_ int, w http.ResponseWriter) bool {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
	for _, c := range []struct {
		status   int
		body     string
		says     string
		requests int
	}{
		{401, `{"error":{"message":"the key is not known"}}`, "answers 401: the key is not known", 1},
		{413, "too large", "answers 413: too large", 1},
		{200, "<html>", "not one of the events API", 1},
		{200, `{"accepted":[]}`, "speaks of 0 events, 1 were sent", 1},
		{200, `{"rejected":[{"index":4}]}`, "speaks of event 4", 1},
		{502, "bad gateway", "answers 502", 5},
	} {
		status, body, s.requests = c.status, c.body, 0
		var se *steno.SubmitError
		_, err := s.client().Submit(t.Context(), reviewed("1"))
		if err == nil || !strings.Contains(err.Error(), c.says) || s.requests != c.requests {
			t.Errorf("%d %q: %v after %d requests", c.status, c.body, err, s.requests)
		}
		if c.status >= 400 && (!errors.As(err, &se) || se.Status != c.status) {
			t.Errorf("%d: %v is no SubmitError", c.status, err)
		}
	}
	status = 503
	ctx, cancel := context.WithCancel(t.Context())
	refuse := s.refuse
	s.refuse = func(n int, w http.ResponseWriter) bool { defer cancel(); return refuse(n, w) }
	if _, err := s.client().Submit(ctx, reviewed("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s.Close()
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.client().Submit(ctx, reviewed("1")); err == nil {
		t.Error("no server")
	}
}

func ExampleClient_Submit() {
	c := &steno.Client{URL: "http://127.0.0.1:4600", Key: "the gateway key"}
	result, err := c.Submit(context.Background(), steno.Event{
		Type: "governance.output_reviewed", Origin: &steno.Origin{Source: "review-app", ID: "review-77"},
		System: &steno.System{Action: "output_reviewed", Actor: "eva", Outcome: "fine", Reason: "spot check"},
	})
	if err != nil {
		return // not known whether it is recorded: the same call may be made again
	}
	for _, r := range result.Rejected {
		fmt.Println(r.ID, r.Reason)
	}
}
