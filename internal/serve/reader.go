package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Config is what reading needs.
type Config struct {
	Log     *journal.Journal
	Keys    *seal.Keys
	Index   *index.Index
	Dir     string // the data directory, for Verify
	Version string // of this program
	Demo    bool
	Gateway string                                          // the gateway's address, "" at rest
	Console string                                          // the console's address, "" at rest
	Record  func(ctx context.Context, d *steno.Draft) error // makes a record durable
	Gap     func() (steno.LogGap, bool)                     // calls that passed unrecorded; nil: none ever
	Clock   func() steno.ClockState                         // nil: unknown
	Harden  func() []string                                 // what keeps plain text off the disk, in words; nil: not said
	Metrics *prometheus.Registry                            // served under /-/metrics; nil: not served
}

// Reader reads the log. Its methods may be called concurrently.
type Reader struct {
	cfg   Config
	vkey  string
	start time.Time
	audit *audit
}

// NewReader returns a reader of an open log.
func NewReader(cfg Config) *Reader {
	r := &Reader{cfg: cfg, start: time.Now(), audit: newAudit(cfg.Record)}
	if _, vkey, err := cfg.Keys.Signer(); err == nil {
		r.vkey = vkey
	}
	return r
}

// Actor says who reads. It becomes part of the record of the read.
type Actor struct {
	Name      string // "console" for who holds the console's token
	Via       string // api, console, cli
	Address   string
	UserAgent string
}

// Error is what a reader is told when there is no answer: a status of HTTP, what is wrong, and what to do about it.
type Error struct {
	Status     int      `json:"-"`
	Message    string   `json:"message"`
	Hint       string   `json:"hint,omitempty"`
	Candidates []string `json:"candidates,omitempty"` // of an id that could be several
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + " (" + e.Hint + ")"
}

func badRequest(hint, format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// statusOf maps an error to a status of HTTP; those that are no *Error are the server's own.
func statusOf(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var hinted interface{ Hint() string }
	out := &Error{Status: http.StatusInternalServerError, Message: err.Error()}
	if errors.As(err, &hinted) {
		out.Hint = hinted.Hint()
	}
	return out
}

// Query says which exchanges or events. Empty members do not narrow.
type Query struct {
	User   string
	Model  string // asked or answered
	Flag   string
	Status string // see Row.Status
	Type   string // of events: "security.alert"
	Since  time.Time
	Until  time.Time
	Limit  int // 0: 50; at most 1000
}

// Row is one exchange in a list. Its JSON is a contract with scripts.
type Row struct {
	ID            string       `json:"id"`
	Time          time.Time    `json:"time"`
	User          string       `json:"user"`
	Model         string       `json:"model"`
	AnsweredModel string       `json:"answered_model"`
	Status        string       `json:"status"` // open, or a steno.End
	InputTokens   *int64       `json:"input_tokens"`
	OutputTokens  *int64       `json:"output_tokens"`
	Cost          *string      `json:"cost"` // USD, exact decimal; null: unpriced or unknown
	LatencyMS     *float64     `json:"latency_ms"`
	Flags         []steno.Flag `json:"flags"`
}

// EventRow is one event in a list.
type EventRow struct {
	ID        string       `json:"id"`
	Time      time.Time    `json:"time"`
	Type      string       `json:"type"`
	Exchange  string       `json:"exchange,omitempty"`
	User      string       `json:"user,omitempty"`
	Flags     []steno.Flag `json:"flags,omitempty"`
	Outcome   string       `json:"outcome,omitempty"` // the end of a call, the action of a check, what an operator did
	Leaf      uint64       `json:"leaf"`
	WrittenAt time.Time    `json:"written_at"`
}

// Page is an answer to a query, oldest first; More says that older ones fit too.
type Page struct {
	Rows []Row `json:"rows"`
	More bool  `json:"more"`
}

// EventPage is Page for events.
type EventPage struct {
	Rows []EventRow `json:"rows"`
	More bool       `json:"more"`
}

// Change is one line of a tail: a row that is new or has changed, or an event.
type Change struct {
	Row   *Row
	Event *EventRow
}

// MarshalJSON writes the row or the event itself.
func (c Change) MarshalJSON() ([]byte, error) {
	if c.Row != nil {
		return json.Marshal(c.Row)
	}
	return json.Marshal(c.Event)
}

// Count is how many exchanges began in one step of time.
type Count struct {
	Start   time.Time `json:"start"`
	Count   int       `json:"count"`
	Flagged int       `json:"flagged"`
	Failed  int       `json:"failed"` // ended otherwise than complete
}

// Counts are zero-based and without holes from Since to Until; a time without records is Known: false only where the
// index has not come so far yet.
type Counts struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Step  string    `json:"step"` // a Go duration
	Steps []Count   `json:"steps"`
}
