package serve

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/steno-audit/steno"
)

// Exchange is all that the log says of one model call, or of one event that belongs to none.
type Exchange struct {
	Row
	Kind      string          `json:"kind"`  // exchange, event
	Asked     string          `json:"asked"` // the id, or the prefix, that was asked for
	Demo      bool            `json:"demo,omitempty"`
	Title     string          `json:"title,omitempty"` // the type of an event
	Who       *steno.Identity `json:"who,omitempty"`
	ModelUsed *steno.Model    `json:"model_used,omitempty"` // request and answer together
	Prompt    *steno.Prompt   `json:"prompt,omitempty"`
	Result    *steno.Result   `json:"result,omitempty"`
	Timing    *steno.Timing   `json:"timing,omitempty"`
	Checks    []steno.Check   `json:"checks,omitempty"`
	Findings  []Finding       `json:"findings,omitempty"`
	Documents []Document      `json:"documents,omitempty"`
	Turns     []Turn          `json:"turns"`
	Steps     []Step          `json:"steps,omitempty"` // the eight, in order; none for an event
	Records   []Record        `json:"records"`         // in the order of the log
	Request   *Body           `json:"request,omitempty"`
	Response  *Body           `json:"response,omitempty"`
	Missing   []Missing       `json:"missing,omitempty"` // what is erased, or was never recorded
	Masked    int             `json:"masked"`            // secrets that are masked here
	Revealed  bool            `json:"revealed,omitempty"`
	Proof     *Proof          `json:"proof,omitempty"`
}

// Turn is one message of a conversation.
type Turn struct {
	Role  string `json:"role"` // system, user, assistant, tool, …
	Name  string `json:"name,omitempty"`
	ID    string `json:"id,omitempty"`
	Side  string `json:"side"` // request, response
	New   bool   `json:"new"`  // not sent before: it came with this call
	Parts []Part `json:"parts"`
}

// Part is one thing in a turn.
type Part struct {
	Kind     string          `json:"kind"` // of the piece: input, output, tool_call, tool_result, context, reasoning, …
	Text     string          `json:"text,omitempty"`
	Name     string          `json:"name,omitempty"`  // of a tool
	ID       string          `json:"id,omitempty"`    // of a tool call
	Media    string          `json:"media,omitempty"` // what is no text, in words: "image/png, 12 KB"
	Document *steno.Document `json:"document,omitempty"`
	Start    int             `json:"start"` // in the decoded body
	End      int             `json:"end"`
	Tags     []Tag           `json:"tags,omitempty"`
}

// Tag is a finding's place in the text of a part, in bytes; of a masked secret it is the place of the mask.
type Tag struct {
	Start  int        `json:"start"`
	End    int        `json:"end"`
	Flag   steno.Flag `json:"flag"`
	Rule   string     `json:"rule"`
	Masked bool       `json:"masked,omitempty"`
}

// Finding is what a check found, with the record that says so.
type Finding struct {
	steno.Finding
	Leaf uint64 `json:"leaf"`
}

// Document is a retrieved document, with the record that names it.
type Document struct {
	steno.Document
	Leaf uint64 `json:"leaf"`
}

// StepNames are the eight steps of an exchange.
var StepNames = []string{"received", "identity", "prompt", "model", "checks_in", "answer", "output", "alerts"}

// Step is one of the eight steps, and where it is on record.
type Step struct {
	Name      string    `json:"name"`
	Start     time.Time `json:"start,omitzero"`
	End       time.Time `json:"end,omitzero"`
	Outcome   string    `json:"outcome"` // ok, refused, blocked, failed, none; open: not known yet
	Detail    string    `json:"detail,omitempty"`
	Record    string    `json:"record,omitempty"` // id of the record that holds it
	Leaf      *uint64   `json:"leaf,omitempty"`
	DurableAt time.Time `json:"durable_at,omitzero"` // when that was written
}

// Record is one entry of the log.
type Record struct {
	Leaf      uint64          `json:"leaf"`
	ID        string          `json:"id"`
	Type      string          `json:"type"`
	WrittenAt time.Time       `json:"written_at"`
	Source    string          `json:"source"` // of which start of a recorder, hex
	Number    uint64          `json:"number"` // in that source's own count
	Sealed    int64           `json:"sealed_bytes"`
	DayKey    uint32          `json:"day_key,omitempty"`
	Erased    string          `json:"erased,omitempty"` // why nothing of it can be opened
	Event     *steno.Event    `json:"event,omitempty"`
	Public    json.RawMessage `json:"public,omitempty"` // what a public record says
	Proof     *Proof          `json:"proof,omitempty"`
}

// Proof shows that a record is in the tree that a checkpoint signs. It is computed from the log when it is asked for.
type Proof struct {
	Index      uint64    `json:"index"`
	LeafHash   string    `json:"leaf_hash"`
	Size       uint64    `json:"size"` // of the signed tree
	Root       string    `json:"root"`
	Path       []string  `json:"path"` // from the leaf up
	Checkpoint string    `json:"checkpoint"`
	VKey       string    `json:"vkey"`
	Verified   bool      `json:"verified"`
	Why        string    `json:"why,omitempty"` // not verified
	At         time.Time `json:"at"`            // when this was computed
}

// Head is a status line or request line with its headers. Credentials stand in it as keyed hashes.
type Head struct {
	Method  string      `json:"method,omitempty"`
	Path    string      `json:"path,omitempty"`
	Query   string      `json:"query,omitempty"`
	Status  int         `json:"status,omitempty"`
	Proto   string      `json:"proto,omitempty"`
	Headers http.Header `json:"headers,omitempty"`
}

// Body describes one direction's bytes; Raw returns them.
type Body struct {
	Head     *Head       `json:"head,omitempty"`
	Trailer  http.Header `json:"trailer,omitempty"`
	Bytes    int64       `json:"bytes"`              // as on the wire
	SHA256   string      `json:"sha256"`             // of them
	Encoding string      `json:"encoding,omitempty"` // content encoding
	Decoded  bool        `json:"decoded"`            // it has none, or it could be undone
	Secrets  int         `json:"secrets"`            // found in it
	Stream   bool        `json:"stream,omitempty"`   // server-sent events
	Text     string      `json:"-"`                  // decoded, secrets masked; at most MaxText
	Cut      bool        `json:"-"`                  // Text is not all of it
}

// Missing is a part that cannot be shown, and why.
type Missing struct {
	Leaf    uint64 `json:"leaf"`
	Section string `json:"section,omitempty"`
	Piece   int    `json:"piece"` // -1: the whole section
	Bytes   int    `json:"bytes,omitempty"`
	Why     string `json:"why"`
}

// Options of a read.
type Options struct {
	Reveal bool // show secrets; the record of the read says so
}
