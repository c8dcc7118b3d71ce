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
	Months  int                                             // that records are promised to be kept; 0: 24
	Gateway string                                          // the gateway's address, "" at rest
	Console string                                          // the console's address, "" at rest
	Record  func(ctx context.Context, d *steno.Draft) error // makes a record durable
	Policy  func() string                                   // the call policy in force, in words; nil: not known
	Gap     func() (steno.LogGap, bool)                     // calls that passed unrecorded; nil: none ever
	Metrics *prometheus.Registry                            // served under /-/metrics; nil: not served
}

// Reader reads the log. Its methods may be called concurrently.
type Reader struct {
	cfg   Config
	vkey  string
	start time.Time
	audit *audit

	verifying chan struct{} // holds one token
}

// NewReader returns a reader of an open log.
func NewReader(cfg Config) *Reader {
	r := &Reader{cfg: cfg, start: time.Now(), audit: newAudit(cfg.Record), verifying: make(chan struct{}, 1)}
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

// What lists are made of is the index's; its JSON is a contract with scripts.
type (
	// Query says which rows are wanted.
	Query = index.Query
	// Row is an exchange as lists show it.
	Row = index.Row
	// EventRow is one record as lists show it.
	EventRow = index.EventRow
	// Bucket counts the exchanges that began in one step of time.
	Bucket = index.Bucket
)

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

// Counts are the exchanges that began in each step of time; steps in which none began are left out.
type Counts struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	Step  string    `json:"step"` // a Go duration
	Steps []Bucket  `json:"steps"`
}
