package steno

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Client submits events to a steno server. It may be used concurrently; its fields are set before its first use. One that
// was used for anything but Submit is closed in the end.
type Client struct {
	URL  string       // of the gateway: "http://127.0.0.1:4600"
	Key  string       // a gateway key; empty where the server needs none
	HTTP *http.Client // nil: http.DefaultClient

	// Source is the application's name for itself in what Record, Begin, Transport and LogHandler make. Empty: the
	// program's name.
	Source string
	// Queue is how many events may wait to be sent, QueueBytes how many bytes of them. Where they are full callers wait,
	// or get ErrQueueFull where FailWhenFull is set. 0: 4096 events, 64 MiB.
	Queue        int
	QueueBytes   int64
	FailWhenFull bool
	// Spool is a file that takes events while steno cannot be reached; what lies in it is sent first when it can again.
	// An event in it counts as recorded. It holds plain text, readable by its owner only, unless SpoolKey (32 bytes) seals
	// it. SpoolMax bounds it; 0: 1 GiB. Empty: there is none, and who records waits or gets an error.
	Spool    string
	SpoolKey []byte
	SpoolMax int64
	// Trace returns the W3C traceparent of a context, as an OpenTelemetry SDK keeps it. Nil: what WithTrace put there.
	Trace func(context.Context) string
	// OnError hears what happens to events whose caller does not wait for them. Nil: it is logged with log/slog.
	OnError func(error)

	once  sync.Once
	queue *sender
}

// SubmitResult says what became of the events of one Submit.
type SubmitResult struct {
	Accepted  []ID // ids of the records, in the order of the events that were accepted: durable
	Duplicate []Duplicate
	Rejected  []Rejection
}

// Duplicate is an event that had been submitted before, with the same content.
type Duplicate struct {
	Index int    // among the events submitted
	ID    string // of the record, or the submitter's where the server does not say it
}

// Rejection is an event that was not recorded.
type Rejection struct {
	Index  int    // among the events submitted
	ID     string // the submitter's
	Reason string
}

// SubmitError is an answer of the server that takes none of the events and is no verdict about them.
type SubmitError struct {
	Status  int // HTTP
	Message string
}

func (e *SubmitError) Error() string {
	return fmt.Sprintf("couldn't submit: the server answers %d: %s", e.Status, e.Message)
}

const (
	maxSubmitBody   = 4 << 20 // of one request; more is sent in several
	maxSubmitAnswer = 16 << 20
	submitTries     = 5
)

// Submit records events and returns when those accepted are durable. Each needs an Origin with a source and an id that
// stay the same when it is submitted again: so nothing is recorded twice, and Submit tries again by itself where an answer
// was lost or the server is busy. Events that are rejected are named in the result; the error says that it is not known
// what became of some, and that the same call may be made again.
func (c *Client) Submit(ctx context.Context, events ...Event) (*SubmitResult, error) {
	all := make([]Submission, len(events))
	for i := range events {
		all[i].Event = events[i]
	}
	return c.SubmitCalls(ctx, all...)
}

// SubmitCalls is Submit for events that bring the bytes of a call.
func (c *Client) SubmitCalls(ctx context.Context, events ...Submission) (*SubmitResult, error) {
	out := new(SubmitResult)
	lines := make([][]byte, len(events))
	for i := range events {
		e := &events[i]
		if e.Origin == nil || e.Origin.Source == "" || e.Origin.ID == "" {
			return nil, fmt.Errorf("couldn't submit: event %d has no origin.source and origin.id; without them it could be recorded twice", i)
		}
		b, err := encodeSubmission(e)
		if err != nil {
			return nil, fmt.Errorf("couldn't submit: event %d: %w", i, err)
		}
		lines[i] = b
	}
	for from := 0; from < len(lines); {
		to, size := from, 0
		for to < len(lines) && (to == from || size+len(lines[to]) <= maxSubmitBody) {
			size += len(lines[to])
			to++
		}
		answer, err := c.post(ctx, bytes.Join(lines[from:to], nil), submitTries)
		if err != nil {
			return out, err
		}
		if err := answer.into(out, from, to); err != nil {
			return out, err
		}
		from = to
	}
	return out, nil
}

// encodeSubmission is one line of a body.
func encodeSubmission(e *Submission) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if e.Time.IsZero() { // the server sets it; the zero time would be year 1
		var m map[string]json.RawMessage
		raw, err := json.Marshal(e)
		if err == nil {
			err = json.Unmarshal(raw, &m)
		}
		if err != nil {
			return nil, err
		}
		delete(m, "time")
		err = enc.Encode(m)
		return b.Bytes(), err
	}
	err := enc.Encode(e)
	return b.Bytes(), err
}

// submitAnswer is what POST /v1/events answers with.
type submitAnswer struct {
	Accepted   []ID `json:"accepted"`
	Duplicates []struct {
		Index int    `json:"index"`
		ID    string `json:"id"`
	} `json:"duplicates"`
	Rejected []struct {
		Index  int    `json:"index"`
		ID     string `json:"id"`
		Reason string `json:"reason"`
	} `json:"rejected"`
	Blocked []struct {
		Index  int    `json:"index"`
		Reason string `json:"reason"`
	} `json:"blocked"`
}

// into adds the answer about events from to to. One that does not speak of each of them is not believed.
func (a *submitAnswer) into(out *SubmitResult, from, to int) error {
	if n := len(a.Accepted) + len(a.Duplicates) + len(a.Rejected); n != to-from {
		return fmt.Errorf("couldn't submit: the server speaks of %d events, %d were sent", n, to-from)
	}
	inside := func(i int) bool { return i >= 0 && i < to-from }
	for _, d := range a.Duplicates {
		if !inside(d.Index) {
			return fmt.Errorf("couldn't submit: the server speaks of event %d, %d were sent", d.Index, to-from)
		}
		out.Duplicate = append(out.Duplicate, Duplicate{from + d.Index, d.ID})
	}
	for _, r := range a.Rejected {
		if !inside(r.Index) {
			return fmt.Errorf("couldn't submit: the server speaks of event %d, %d were sent", r.Index, to-from)
		}
		out.Rejected = append(out.Rejected, Rejection{from + r.Index, r.ID, r.Reason})
	}
	out.Accepted = append(out.Accepted, a.Accepted...)
	return nil
}

// away says whether an error means that steno cannot be reached or is busy, so that the same may be tried again.
func away(err error) bool {
	var refused *SubmitError
	return !errors.As(err, &refused) || refused.Status == http.StatusTooManyRequests || refused.Status >= 500
}

// post sends one body until there is an answer about its events.
func (c *Client) post(ctx context.Context, body []byte, tries int) (*submitAnswer, error) {
	wait := 100 * time.Millisecond
	for try := 1; ; try++ {
		answer, after, err := c.postOnce(ctx, body)
		if err == nil {
			return answer, nil
		}
		if !away(err) || try >= tries || ctx.Err() != nil {
			return nil, err
		}
		t := time.NewTimer(max(wait, after))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("%w (last answer: %w)", ctx.Err(), err)
		case <-t.C:
		}
		wait *= 2
	}
}

func (c *Client) postOnce(ctx context.Context, body []byte) (*submitAnswer, time.Duration, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+"/v1/events", bytes.NewReader(body))
	if err != nil {
		return nil, 0, &SubmitError{Message: err.Error()} // no use in trying again
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't submit: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxSubmitAnswer))
	if err != nil {
		return nil, 0, fmt.Errorf("couldn't submit: the answer broke off: %w", err)
	}
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusUnprocessableEntity {
		var after time.Duration
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			after = min(time.Duration(n)*time.Second, time.Minute)
		}
		return nil, after, &SubmitError{resp.StatusCode, answerMessage(b)}
	}
	var a submitAnswer
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, 0, &SubmitError{resp.StatusCode, "its answer is not one of the events API: " + err.Error()}
	}
	return &a, 0, nil
}

// answerMessage is what an error says, cut to a line.
func answerMessage(b []byte) string {
	var e struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &e) == nil && e.Error.Message != "" {
		return printable(e.Error.Message)
	}
	return printable(strings.TrimSpace(string(b)))
}
