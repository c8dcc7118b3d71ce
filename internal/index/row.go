package index

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/steno-audit/steno"
)

// The states of an exchange that are no End of its closing record.
const (
	StatusOpen       = "open"
	StatusErased     = "erased"     // its text is erased, or a record of it is: only what is public is known
	StatusUnreadable = "unreadable" // a record of it does not open, though its keys are there
)

// Unpriced is the cost of a call for which no price is known.
const Unpriced = "unpriced"

// Row is an exchange as lists show it. Its JSON is part of the command line's contract and has no more members than
// these; the rest is for the console.
type Row struct {
	ID            steno.ID  `json:"id"`
	Time          time.Time `json:"time"` // of its first record, UTC
	User          string    `json:"user"`
	Model         string    `json:"model"` // asked
	AnsweredModel string    `json:"answered_model"`
	Status        string    `json:"status"` // open, the closing record's End, erased, unreadable
	InputTokens   *int64    `json:"input_tokens"`
	OutputTokens  *int64    `json:"output_tokens"`
	Cost          *string   `json:"cost"` // "0.00123", or Unpriced; nil while open
	LatencyMS     *float64  `json:"latency_ms"`
	Flags         []string  `json:"flags"` // never nil, in the order of steno.Flags

	Conversation string   `json:"-"`
	Role         string   `json:"-"`
	Team         string   `json:"-"`
	Tenant       string   `json:"-"`
	Key          string   `json:"-"`
	Address      string   `json:"-"`
	ResponseID   string   `json:"-"` // the provider's; only in what Exchange returns and in changes
	Provider     string   `json:"-"` // openai, anthropic
	Operation    string   `json:"-"` // chat, embeddings, …
	API          string   `json:"-"` // chat_completions, responses, …
	HTTPStatus   int      `json:"-"`
	TTFT         *float64 `json:"-"` // seconds to the first chunk
	Leaves       []uint64 `json:"-"` // of its records, ascending
	Prompt       string   `json:"-"` // name@version of the template, or the system prompt's keyed hash; as ResponseID
	Documents    []string `json:"-"` // ids of the documents that it used; as ResponseID
}

// Position returns where the row stands among all.
func (r *Row) Position() Position { return Position{r.Time.UnixNano(), r.ID} }

// Failed says whether the exchange ended otherwise than it should, by nobody's decision.
func (r *Row) Failed() bool { return failed(r.Status) }

func failed(status string) bool {
	switch steno.End(status) {
	case steno.EndProviderError, steno.EndErrorInAnswer, steno.EndUpstreamCut, steno.EndUpstreamFailed, steno.EndTimedOut, steno.EndUnknown:
		return true
	}
	return status == StatusUnreadable
}

// EventRow is one record as lists show it.
type EventRow struct {
	ID       steno.ID  `json:"id"`
	Exchange steno.ID  `json:"exchange,omitzero"`
	Time     time.Time `json:"time"`
	Type     string    `json:"type"` // or "erased", "unreadable"
	User     string    `json:"user"`
	Flags    []string  `json:"flags"`
	Leaf     uint64    `json:"leaf"`
}

// Position returns where the event stands among all: events are in the order of the log.
func (e *EventRow) Position() Position { return Position{int64(e.Leaf) + 1, steno.ID{}} }

// Position is a place in the order of a list, to go on from. The zero Position is none.
type Position struct {
	at int64
	id steno.ID
}

func (p Position) compare(o Position) int {
	if c := cmp.Compare(p.at, o.at); c != 0 {
		return c
	}
	return slices.Compare(p.id[:], o.id[:])
}

// IsZero says whether there is no position.
func (p Position) IsZero() bool { return p == Position{} }

func (p Position) String() string {
	if p.IsZero() {
		return ""
	}
	return strconv.FormatInt(p.at, 36) + "_" + hex.EncodeToString(p.id[:])
}

// ParsePosition reads what String writes.
func ParsePosition(s string) (Position, error) {
	if s == "" {
		return Position{}, nil
	}
	at, id, ok := strings.Cut(s, "_")
	n, err := strconv.ParseInt(at, 36, 64)
	if !ok || err != nil {
		return Position{}, fmt.Errorf("%q is no position in a list; take one from an earlier answer", s)
	}
	p, err := steno.ParseID(id)
	if err != nil {
		return Position{}, fmt.Errorf("%q is no position in a list: %w", s, err)
	}
	return Position{n, p}, nil
}

// MarshalText writes String.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Position) UnmarshalText(b []byte) (err error) {
	*p, err = ParsePosition(string(b))
	return err
}

// Query says which rows are wanted. Its zero value wants the newest DefaultLimit ones.
type Query struct {
	User         string // each of these, where set, must be equal
	Model        string // asked or answered
	Flag         string // one of the row's flags
	Status       string
	Conversation string
	Document     string    // of exchanges only: one that used this document
	Prompt       string    // of exchanges only: name@version of a template, or a system prompt's keyed hash
	Type         string    // of events only
	Log          string    // of events only: inference, lineage, security, governance, compliance, monitoring
	Exchange     steno.ID  // of events only: those of one exchange
	Since        time.Time // at or after
	Until        time.Time // before
	Before       Position  // earlier in the list than this one
	After        Position  // later in the list
	Oldest       bool      // the oldest Limit ones, not the newest
	Limit        int       // 0: DefaultLimit; never more than MaxLimit
}

// Limits of one answer.
const (
	DefaultLimit = 100
	MaxLimit     = 100_000
)

func (q *Query) limit() int {
	if q.Limit <= 0 {
		return DefaultLimit
	}
	return min(q.Limit, MaxLimit)
}

// Row says whether an exchange is one that the query wants, its limit aside.
func (q *Query) Row(r *Row) bool {
	return q.values(r.User, r.Conversation, r.Model, r.AnsweredModel, r.Status, r.Flags) &&
		(q.Document == "" || slices.Contains(r.Documents, q.Document)) && (q.Prompt == "" || q.Prompt == r.Prompt) &&
		q.within(r.Time.UnixNano()) && q.beyond(r.Position())
}

// Event says whether an event is one that the query wants, as far as the event's row tells: its model, status and
// conversation are not in it.
func (q *Query) Event(e *EventRow) bool {
	return q.ofEvent(e) && (q.User == "" || q.User == e.User) && (q.Flag == "" || slices.Contains(e.Flags, q.Flag)) &&
		q.within(e.Time.UnixNano()) && q.beyond(e.Position())
}

func (q *Query) ofEvent(e *EventRow) bool {
	return (q.Type == "" || q.Type == e.Type) && (q.Log == "" || ofLog(e.Type, q.Log)) && (q.Exchange.IsZero() || q.Exchange == e.Exchange) &&
		q.Document == "" && q.Prompt == ""
}

// ofLog says whether a type of event belongs to one of the six logs: the part before the dot names it.
func ofLog(typ, log string) bool {
	of, _, _ := strings.Cut(typ, ".")
	return of == log
}

func (q *Query) event(e *event) bool {
	return q.ofEvent(&e.EventRow) && q.values(e.User, e.conversation, e.model, e.answered, e.status, e.Flags) &&
		q.within(e.Time.UnixNano()) && q.beyond(e.Position())
}

func (q *Query) values(user, conversation, model, answered, status string, flags []string) bool {
	return (q.User == "" || q.User == user) && (q.Conversation == "" || q.Conversation == conversation) &&
		(q.Model == "" || q.Model == model || q.Model == answered) && (q.Status == "" || q.Status == status) &&
		(q.Flag == "" || slices.Contains(flags, q.Flag))
}

func (q *Query) within(t int64) bool {
	return (q.Since.IsZero() || t >= q.Since.UnixNano()) && (q.Until.IsZero() || t < q.Until.UnixNano())
}

func (q *Query) beyond(p Position) bool {
	return (q.Before.IsZero() || p.compare(q.Before) < 0) && (q.After.IsZero() || p.compare(q.After) > 0)
}

// orderFlags returns flags in the order of the closed list, each once; those that it does not have come last.
func orderFlags(flags []string) []string {
	if len(flags) > 1 {
		slices.SortFunc(flags, func(a, b string) int { return cmp.Or(cmp.Compare(flagRank(a), flagRank(b)), cmp.Compare(a, b)) })
		flags = slices.Compact(flags)
	}
	return flags
}

func flagRank(f string) int {
	if i := slices.Index(steno.Flags, steno.Flag(f)); i >= 0 {
		return i
	}
	return len(steno.Flags)
}
