package steno

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ID names a record or an exchange: 16 bytes, the first six the milliseconds of its making, the rest random
// (the layout of a UUID version 7 without its fixed bits), so that ids sort by time. Written as 32 hex digits.
type ID [16]byte

// NewID returns a fresh id for the time t.
func NewID(t time.Time) ID {
	var id ID
	if _, err := rand.Read(id[6:]); err != nil {
		panic(err) // crypto/rand never fails on a supported system
	}
	ms := uint64(t.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	return id
}

// ParseID reads 32 hex digits.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("an id has 32 hex digits, %q has %d", s, len(s))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return id, fmt.Errorf("an id has 32 hex digits: %q: %w", s, err)
	}
	return id, nil
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero says whether the id is absent.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText writes the hex form, and nothing for the zero id.
func (id ID) MarshalText() ([]byte, error) {
	if id.IsZero() {
		return nil, nil
	}
	return []byte(id.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*id = ID{}
		return nil
	}
	p, err := ParseID(string(b))
	if err == nil {
		*id = p
	}
	return err
}

// Event is what a record says: what happened, to whom, with which model, using which data, with what result. One
// group for each of the eight categories; a nil group has nothing to say. Member names are those of the
// OpenTelemetry semantic conventions where these have one, "steno.…" otherwise; a member that is absent is unknown.
//
// Text never stands in a group's members that become metadata: prompts and answers are pieces (see Piece). The
// members marked `text` below are carried in JSON by submitted events and are sealed as pieces.
type Event struct {
	ID       ID        `json:"id,omitzero"`
	Type     string    `json:"type"`                // "inference.request"; the part before the dot is the log
	Exchange ID        `json:"exchange,omitzero"`   // the model call it belongs to
	Time     time.Time `json:"time"`                // when it happened, as its source says
	Origin   *Origin   `json:"origin,omitempty"`    // set where the event was not made by steno itself
	Links    []Link    `json:"links,omitempty"`     // other records or pieces it speaks of
	TraceID  string    `json:"trace_id,omitempty"`  // W3C trace context, hex
	SpanID   string    `json:"span_id,omitempty"`   // W3C trace context, hex
	Parent   string    `json:"parent_id,omitempty"` // W3C parent span, hex
	Imported bool      `json:"imported,omitempty"`  // taken over later, not seen as it happened
	Flags    []Flag    `json:"flags,omitempty"`     // the sum of what its findings say
	Identity *Identity `json:"identity,omitempty"`  // 1 who
	Model    *Model    `json:"model,omitempty"`     // 2 which model, asked how
	Prompt   *Prompt   `json:"prompt,omitempty"`    // 3 what was asked
	Result   *Result   `json:"result,omitempty"`    // 4 what came back
	Timing   *Timing   `json:"timing,omitempty"`    // 5 when, how long
	Safety   *Safety   `json:"safety,omitempty"`    // 6 what the checks said
	Data     *Data     `json:"data,omitempty"`      // 7 which data was used
	System   *System   `json:"system,omitempty"`    // 8 what the system or an operator did
}

// Origin says who submitted an event that steno did not see happen.
type Origin struct {
	Source  string   `json:"source"`            // the submitter's name for itself, e.g. "billing-app"
	ID      string   `json:"id"`                // its id for the event; source and id together are idempotent
	Number  uint64   `json:"number,omitempty"`  // its own counter, if it keeps one
	Kind    string   `json:"kind,omitempty"`    // independent: a log that somebody else kept; self_reported: the application's own
	Assumed []string `json:"assumed,omitempty"` // what was not said and is taken to be so: "time.zone" (UTC)
	Content string   `json:"content,omitempty"` // keyed hash of what was submitted; set by steno
}

// Link is a reference to another record, and to a place in it.
type Link struct {
	Rel    string  `json:"rel"` // "exchange", "finding", "previous", "read", …
	Record ID      `json:"record,omitzero"`
	Leaf   *uint64 `json:"leaf,omitempty"` // index in the log
	Name   string  `json:"name,omitempty"` // when it is no record: a model, a prompt template, a query
}

// Identity says who called and whose data it is.
type Identity struct {
	User          string   `json:"user.id,omitempty"`           // the data subject; "" = the tenant's own
	UserSource    string   `json:"steno.user.source,omitempty"` // header, safety_identifier, user, metadata.user_id, key, tenant
	Asserted      []string `json:"steno.asserted,omitempty"`    // which of these members the application asserted by x-steno-…
	Role          string   `json:"steno.role,omitempty"`
	Team          string   `json:"steno.team,omitempty"`
	Tenant        string   `json:"steno.tenant,omitempty"`
	Key           string   `json:"steno.key.id,omitempty"`          // id of the gateway key that was used
	Caller        string   `json:"steno.caller,omitempty"`          // the user of that key
	Auth          string   `json:"steno.auth,omitempty"`            // key, jwt, mtls, passthrough, anonymous, failed, console
	CredentialMAC string   `json:"steno.credential.hash,omitempty"` // keyed hash of the provider's key, never the key
	Conversation  string   `json:"gen_ai.conversation.id,omitempty"`
	Session       string   `json:"session.id,omitempty"`
	Address       string   `json:"client.address,omitempty"`
	Peer          string   `json:"network.peer.address,omitempty"` // of the trusted proxy that told the client's address
	Issuer        string   `json:"steno.issuer,omitempty"`         // of the token or certificate that vouches for the caller
	UserAgent     string   `json:"user_agent.original,omitempty"`
}

// Model says which model was asked, which answered, and with what settings.
type Model struct {
	Provider      string                     `json:"gen_ai.provider.name,omitempty"`
	Operation     string                     `json:"gen_ai.operation.name,omitempty"` // chat, text_completion, embeddings, …
	Asked         string                     `json:"gen_ai.request.model,omitempty"`
	Answered      string                     `json:"gen_ai.response.model,omitempty"`
	Version       string                     `json:"steno.model.version,omitempty"`
	VersionSource string                     `json:"steno.model.version.source,omitempty"` // where it was read: "response.model", "system_fingerprint"
	Fingerprint   string                     `json:"openai.response.system_fingerprint,omitempty"`
	ServiceTier   string                     `json:"openai.response.service_tier,omitempty"`
	Stream        bool                       `json:"gen_ai.request.stream,omitempty"`
	Parameters    map[string]json.RawMessage `json:"steno.request.parameters,omitempty"` // every request member that is not prompt, tools or identity
	Dialect       string                     `json:"steno.dialect,omitempty"`            // openai, anthropic
	API           string                     `json:"openai.api.type,omitempty"`          // chat_completions, responses, …
	Upstream      string                     `json:"steno.upstream,omitempty"`           // name of the configured upstream
	Server        string                     `json:"server.address,omitempty"`
	Method        string                     `json:"http.request.method,omitempty"`
	Path          string                     `json:"url.path,omitempty"` // without query
	Understood    bool                       `json:"steno.understood,omitempty"`
}

// Prompt describes what was asked; the words themselves are pieces.
type Prompt struct {
	Name         string          `json:"gen_ai.prompt.name,omitempty"`
	Version      string          `json:"gen_ai.prompt.version,omitempty"`
	Bytes        int64           `json:"http.request.body.size,omitempty"`
	Messages     int             `json:"steno.prompt.messages,omitempty"`
	New          int             `json:"steno.prompt.new_messages,omitempty"` // after the last answer of the model in it
	Tools        []string        `json:"steno.prompt.tools,omitempty"`        // names of the tools offered
	Previous     string          `json:"gen_ai.request.previous_response.id,omitempty"`
	Input        json.RawMessage `json:"gen_ai.input.messages,omitempty"`      // text: sealed as pieces
	Instructions json.RawMessage `json:"gen_ai.system_instructions,omitempty"` // text
	Definitions  json.RawMessage `json:"gen_ai.tool.definitions,omitempty"`    // text
}

// End is how an exchange ended.
type End string

// The ends of an exchange.
const (
	EndComplete       End = "complete"
	EndProviderError  End = "provider_error"  // the provider answered with an error status
	EndErrorInAnswer  End = "error_in_answer" // an error inside a 200
	EndRefused        End = "refused"         // refused by policy or for want of a valid key; never forwarded, or cut off when its key was revoked
	EndBlocked        End = "blocked"         // blocked by a check
	EndClientGone     End = "client_gone"
	EndUpstreamCut    End = "upstream_cut"
	EndUpstreamFailed End = "upstream_failed" // no answer could be had at all
	EndTimedOut       End = "timed_out"
	EndUnknown        End = "unknown" // steno died in between
)

// Result says what came back; the words themselves are pieces.
type Result struct {
	ID            string          `json:"gen_ai.response.id,omitempty"` // the provider's; never ours
	RequestID     string          `json:"steno.provider.request_id,omitempty"`
	End           End             `json:"steno.end,omitempty"`
	EndDetail     string          `json:"steno.end.detail,omitempty"` // one line by steno, never provider or user text
	Status        int             `json:"http.response.status_code,omitempty"`
	ErrorType     string          `json:"error.type,omitempty"`
	FinishReasons []string        `json:"gen_ai.response.finish_reasons,omitempty"`
	State         string          `json:"gen_ai.response.status,omitempty"` // Responses API: completed, incomplete, …
	Refusal       bool            `json:"steno.refusal,omitempty"`
	Usage         *Usage          `json:"steno.usage,omitempty"`
	Cost          *Cost           `json:"steno.cost,omitempty"`
	ToolCalls     []ToolCall      `json:"steno.tool_calls,omitempty"`
	Confidence    []Confidence    `json:"steno.confidence,omitempty"`
	Bytes         int64           `json:"http.response.body.size,omitempty"`
	RetryAfter    string          `json:"steno.retry_after,omitempty"`
	Part          int             `json:"steno.part,omitempty"`             // number of this part of a long stream, from 1
	Parts         int             `json:"steno.parts,omitempty"`            // how many parts went before this closing record
	Output        json.RawMessage `json:"gen_ai.output.messages,omitempty"` // text: sealed as pieces
}

// Usage counts tokens as the provider reported them; a nil member was not reported.
type Usage struct {
	Source     string `json:"source"`                               // reported, partial, absent
	Input      *int64 `json:"gen_ai.usage.input_tokens,omitempty"`  // cached ones included, as OpenTelemetry says
	Output     *int64 `json:"gen_ai.usage.output_tokens,omitempty"` // reasoning included
	CacheRead  *int64 `json:"gen_ai.usage.cache_read.input_tokens,omitempty"`
	CacheWrite *int64 `json:"gen_ai.usage.cache_write.input_tokens,omitempty"`
	Reasoning  *int64 `json:"gen_ai.usage.reasoning.output_tokens,omitempty"`
	Total      *int64 `json:"steno.usage.total_tokens,omitempty"`
}

// Cost is a price with the row it was computed from, or "unpriced".
type Cost struct {
	USD   string `json:"usd,omitempty"`  // exact decimal
	Row   string `json:"row,omitempty"`  // short hash of the price row
	Date  string `json:"date,omitempty"` // since when that price holds
	State string `json:"state"`          // priced, partial, unpriced
}

// ToolCall is a call that the model asked for; its arguments are a piece.
type ToolCall struct {
	ID   string `json:"gen_ai.tool.call.id,omitempty"`
	Name string `json:"gen_ai.tool.name,omitempty"`
	Type string `json:"gen_ai.tool.type,omitempty"`
}

// Confidence is what is known of how sure the answer is.
type Confidence struct {
	Kind   string  `json:"kind"` // logprob_mean, logprob_min, reported
	Value  float64 `json:"value"`
	Tokens int     `json:"tokens,omitempty"`
	By     string  `json:"by"`
}

// Timing says when each step began and ended. Times are the recorder's clock.
type Timing struct {
	Received   time.Time `json:"steno.received,omitzero"`
	Forwarded  time.Time `json:"steno.forwarded,omitzero"`
	FirstByte  time.Time `json:"steno.first_byte,omitzero"`
	FirstToken time.Time `json:"steno.first_token,omitzero"`
	Finished   time.Time `json:"steno.finished,omitzero"`
	LatencyMS  float64   `json:"steno.latency_ms,omitempty"`                    // received to finished
	TTFT       float64   `json:"gen_ai.response.time_to_first_chunk,omitempty"` // seconds
	Steps      []Step    `json:"steno.steps,omitempty"`
}

// Step is one of the eight steps of an exchange.
type Step struct {
	Name    string    `json:"name"` // received identity prompt model checks_in answer output alerts
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Outcome string    `json:"outcome"` // ok, refused, blocked, failed, none
	Detail  string    `json:"detail,omitempty"`
}

// Flag is one of a closed list of things a check can find.
type Flag string

// Flags is the closed list, in the order in which it is shown.
var Flags = []Flag{
	"jailbreak", "injection", "secret", "personal_data", "harmful", "self_harm", "sexual", "violence", "hate",
	"copyright", "refusal", "prompt_leak", "other",
}

// Safety says which checks ran and what they found.
type Safety struct {
	Checks   []Check   `json:"steno.checks,omitempty"`
	Findings []Finding `json:"steno.findings,omitempty"`
	Action   string    `json:"steno.action,omitempty"` // the strongest action taken: record, alert, block
	Policy   *Decision `json:"steno.policy,omitempty"` // what the call policy decided
}

// Decision is what the call policy said to a call, and which policies said it. Without policy files there is none.
type Decision struct {
	Decision string   `json:"decision"`               // permit, deny
	Policies []string `json:"policies,omitempty"`     // ids of those that decided; none: nothing permitted it
	Version  string   `json:"version"`                // of the set of policies
	Classes  []string `json:"data_classes,omitempty"` // classes of data that were before it
	Asserted []string `json:"asserted,omitempty"`     // of them those that only the application says
	Failed   []string `json:"failed,omitempty"`       // ids of those that could not be evaluated
}

// Check is one check that ran, or that was to run and did not.
type Check struct {
	Name      string `json:"name"`
	Version   string `json:"version"`
	Direction string `json:"direction"` // in, out
	Outcome   string `json:"outcome"`   // done, not_done
	Reason    string `json:"reason,omitempty"`
	Micros    int64  `json:"us"`
}

// Finding is one thing found. It points into a piece and never quotes it.
type Finding struct {
	Flag      Flag    `json:"flag"`
	Rule      string  `json:"rule"`
	Source    string  `json:"source"` // steno/secrets, steno/injection, openai, anthropic, the submitter's name
	Version   string  `json:"version"`
	Direction string  `json:"direction"` // in, out
	Span      *Span   `json:"span,omitempty"`
	Score     float64 `json:"score"`
	Action    string  `json:"action"` // record, alert, block
}

// Span is a half-open byte range in the reconstructed body of a direction (request or response).
type Span struct {
	Body  string `json:"body"` // request, response
	Start int    `json:"start"`
	End   int    `json:"end"`
}

// Data says which documents and data sets the call used.
type Data struct {
	Documents []Document `json:"steno.documents,omitempty"`
	Source    string     `json:"gen_ai.data_source.id,omitempty"`
}

// Document is one retrieved document.
type Document struct {
	ID       string   `json:"id,omitempty"`
	Version  string   `json:"version,omitempty"`
	Title    string   `json:"title,omitempty"`
	Index    string   `json:"index,omitempty"`
	VectorID string   `json:"vector_id,omitempty"`
	Chunk    string   `json:"chunk,omitempty"`
	Score    *float64 `json:"score,omitempty"`
	Hash     string   `json:"hash,omitempty"` // keyed or given by the application
	Origin   string   `json:"origin"`         // tool_message, file_search, citation, asserted
}

// System says what the system or somebody with power over it did.
type System struct {
	Action  string                     `json:"action"` // read, key_created, config_changed, …
	Actor   string                     `json:"actor,omitempty"`
	Target  string                     `json:"target,omitempty"`
	Outcome string                     `json:"outcome,omitempty"`
	Reason  string                     `json:"reason,omitempty"`
	Details map[string]json.RawMessage `json:"details,omitempty"`
}

// Kind says what a piece of a body is.
type Kind uint8

// Kinds of pieces. Values are part of the format.
const (
	KindFrame          Kind = 0 // bytes between the others: members, commas, brackets
	KindHead           Kind = 1 // method, path and headers, or status and headers, as JSON; not part of the body
	KindSystem         Kind = 2
	KindInput          Kind = 3
	KindHistory        Kind = 4
	KindContext        Kind = 5 // retrieved documents
	KindToolDefinition Kind = 6
	KindToolCall       Kind = 7
	KindToolResult     Kind = 8
	KindOutput         Kind = 9
	KindReasoning      Kind = 10
	KindBody           Kind = 11 // a body that is not understood
	KindTrailer        Kind = 12 // trailers as JSON; not part of the body
	KindMark           Kind = 13 // bytes that stand inside the piece before (a moving cache mark)
)

var kindNames = [...]string{
	"frame", "head", "system", "input", "history", "context", "tool_definition", "tool_call", "tool_result",
	"output", "reasoning", "body", "trailer", "mark",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Piece is a run of bytes of a body. The concatenation of a body's pieces, heads and trailers left out and marks
// put in at their offsets, is the body as it was on the wire, byte for byte.
type Piece struct {
	Kind  Kind
	Bytes []byte
	// At, for KindMark only, is the offset in the nearest piece before that is not a mark at which Bytes stand;
	// marks of one piece come in ascending order of At, and At counts bytes of that piece alone.
	At int
}

// ErrBadPieces is returned by Join for marks that stand nowhere.
var ErrBadPieces = errors.New("a mark stands outside the piece before it")

// Join puts a body back together from its pieces.
func Join(pieces []Piece) ([]byte, error) {
	n := 0
	for _, p := range pieces {
		n += len(p.Bytes)
	}
	out := make([]byte, 0, n)
	for i := 0; i < len(pieces); {
		p := pieces[i]
		i++
		if p.Kind == KindMark {
			return nil, ErrBadPieces
		}
		skip := p.Kind == KindHead || p.Kind == KindTrailer
		at := 0
		for ; i < len(pieces) && pieces[i].Kind == KindMark; i++ {
			m := pieces[i]
			if m.At < at || m.At > len(p.Bytes) || skip {
				return nil, ErrBadPieces
			}
			out = append(append(out, p.Bytes[at:m.At]...), m.Bytes...)
			at = m.At
		}
		if !skip {
			out = append(out, p.Bytes[at:]...)
		}
	}
	return out, nil
}

// Draft is an event with its words, ready to be sealed.
type Draft struct {
	Event
	Request  []Piece // goes into the prompt section
	Response []Piece // goes into the output section
}
