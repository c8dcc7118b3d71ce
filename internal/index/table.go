package index

import (
	"bytes"
	"cmp"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"github.com/steno-audit/steno"
)

// The tables of a part. What identifies is an alias or a token; the rest stands as it is. Columns are never removed or
// given another meaning: what reads them later goes by their names.

// exchangeRow is a row of the table of exchanges, ordered by time and id.
type exchangeRow struct {
	ID           [16]byte `parquet:"id"`
	Time         int64    `parquet:"time,timestamp(nanosecond),delta"`
	Alias        uint64   `parquet:"alias,dict"`
	User         token    `parquet:"user,dict"`
	Conversation token    `parquet:"conversation,dict"`
	Role         token    `parquet:"role,dict"`
	Team         token    `parquet:"team,dict"`
	Tenant       token    `parquet:"tenant,dict"`
	Key          token    `parquet:"key,dict"`
	Address      token    `parquet:"address,dict"`
	ResponseID   token    `parquet:"response_id"`
	Model        string   `parquet:"model,dict"`
	Answered     string   `parquet:"answered_model,dict"`
	Status       string   `parquet:"status,dict"`
	Flags        string   `parquet:"flags,dict"` // with commas between
	Provider     string   `parquet:"provider,dict"`
	Operation    string   `parquet:"operation,dict"`
	API          string   `parquet:"api,dict"`
	HTTPStatus   int32    `parquet:"http_status,dict"`
	Input        *int64   `parquet:"input_tokens"`
	Output       *int64   `parquet:"output_tokens"`
	Cost         *string  `parquet:"cost_usd"`
	Latency      *float64 `parquet:"latency_ms"`
	TTFT         *float64 `parquet:"ttft"`
	Opened       bool     `parquet:"opened"`
	Closed       bool     `parquet:"closed"`
	Leaves       []uint64 `parquet:"leaves"`
	Prompt       token    `parquet:"prompt,dict"`
	Documents    []byte   `parquet:"documents"` // tokens, one behind the other
}

// eventRow is a row of the table of events, ordered by leaf.
type eventRow struct {
	Leaf         uint64   `parquet:"leaf,delta"`
	ID           [16]byte `parquet:"id"`
	Exchange     [16]byte `parquet:"exchange"`
	Time         int64    `parquet:"time,timestamp(nanosecond),delta"`
	Type         string   `parquet:"type,dict"`
	Flags        string   `parquet:"flags,dict"`
	Alias        uint64   `parquet:"alias,dict"`
	User         token    `parquet:"user,dict"`
	Conversation token    `parquet:"conversation,dict"`
	Model        string   `parquet:"model,dict"`
	Answered     string   `parquet:"answered_model,dict"`
	Status       string   `parquet:"status,dict"`
}

// nameRow says what a token stands for, ordered by kind and token.
type nameRow struct {
	Kind  int32  `parquet:"kind,dict"`
	Alias uint64 `parquet:"alias,dict"` // whose name dies with this alias
	Token token  `parquet:"token"`
	Value string `parquet:"value,zstd"`
}

// token stands for a value that tells who or what: a keyed hash of kind, alias and value, zero for no value. Without the
// names and their key nothing can be made of it, not even by trying; two aliases never share one.
type token [16]byte

// kind is what a token is a token of. Values are part of the files.
type kind int32

const (
	kindUser kind = 1 + iota
	kindTenant
	kindRole
	kindTeam
	kindKey
	kindConversation
	kindAddress
	kindResponseID // the same for all aliases, so that it is found without knowing whose it is
	kindPrompt
	kindDocument

	kindListed = kindAddress  // lists show names up to here
	kindLast   = kindDocument // all names
)

// tokenizer makes the tokens of one day and collects what they stand for.
type tokenizer struct {
	key   []byte
	cache map[named]token
	names []nameRow
}

type named struct {
	kind  kind
	alias uint64
	value string
}

// newTokenizer derives the key from that of the names, which is replaced when a name has to go: from then on nobody can
// find out by trying whose the tokens in the other tables are.
func (k tableKeys) newTokenizer(day uint32) (*tokenizer, error) {
	names, err := k(day, tableNames.key())
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, names[:], nil, "steno/1 token", 32)
	if err != nil {
		return nil, err
	}
	return &tokenizer{key: key, cache: map[named]token{}}, nil
}

func (t *tokenizer) hash(kind kind, alias uint64, value string) token {
	if kind == kindResponseID {
		alias = 0
	}
	h := hmac.New(sha256.New, t.key)
	var head [12]byte
	binary.BigEndian.PutUint32(head[:], uint32(kind))
	binary.BigEndian.PutUint64(head[4:], alias)
	h.Write(head[:])
	h.Write([]byte(value))
	return token(h.Sum(nil)[:16])
}

func (t *tokenizer) token(kind kind, alias uint64, value string) token {
	if value == "" {
		return token{}
	}
	n := named{kind, alias, value}
	tok, ok := t.cache[n]
	if !ok {
		tok = t.hash(kind, alias, value)
		t.cache[n] = tok
		t.names = append(t.names, nameRow{int32(kind), alias, tok, value})
	}
	return tok
}

func (t *tokenizer) exchange(x *exchange) exchangeRow {
	a := x.alias
	var documents []byte
	for _, d := range x.Documents {
		tok := t.token(kindDocument, a, d)
		documents = append(documents, tok[:]...)
	}
	return exchangeRow{
		Prompt: t.token(kindPrompt, a, x.Prompt), Documents: documents,
		ID: x.ID, Time: x.Time.UnixNano(), Alias: a,
		User: t.token(kindUser, a, x.User), Conversation: t.token(kindConversation, a, x.Conversation), Role: t.token(kindRole, a, x.Role),
		Team: t.token(kindTeam, a, x.Team), Tenant: t.token(kindTenant, a, x.Tenant), Key: t.token(kindKey, a, x.Key),
		Address: t.token(kindAddress, a, x.Address), ResponseID: t.token(kindResponseID, a, x.ResponseID),
		Model: x.Model, Answered: x.AnsweredModel, Status: x.Status, Flags: strings.Join(x.Flags, ","),
		Provider: x.Provider, Operation: x.Operation, API: x.API, HTTPStatus: int32(x.HTTPStatus),
		Input: x.InputTokens, Output: x.OutputTokens, Cost: x.Cost, Latency: x.LatencyMS, TTFT: x.TTFT,
		Opened: x.opened, Closed: x.closed, Leaves: x.Leaves,
	}
}

func (t *tokenizer) event(e *event) eventRow {
	return eventRow{
		Leaf: e.Leaf, ID: e.ID, Exchange: e.Exchange, Time: e.Time.UnixNano(), Type: e.Type, Flags: strings.Join(e.Flags, ","), Alias: e.alias,
		User: t.token(kindUser, e.alias, e.User), Conversation: t.token(kindConversation, e.alias, e.conversation),
		Model: e.model, Answered: e.answered, Status: e.status,
	}
}

// tokens lists the tokens of a row that are to be named, up to a kind. There are as many responses' ids as rows; they and
// what few ask for come last among the names, so that a list of rows need not look through them.
func (r *exchangeRow) tokens(last kind) []token {
	out := []token{r.User, r.Conversation, r.Role, r.Team, r.Tenant, r.Key, r.Address}
	if last < kindLast {
		return out
	}
	out = append(out, r.ResponseID, r.Prompt)
	for d := range slices.Chunk(r.Documents, len(token{})) {
		out = append(out, token(d))
	}
	return out
}

// documents are the names of the documents' tokens that are named.
func (r *exchangeRow) documents(names map[token]string) []string {
	var out []string
	for d := range slices.Chunk(r.Documents, len(token{})) {
		if name := names[token(d)]; name != "" {
			out = append(out, name)
		}
	}
	return out
}

func (r *exchangeRow) exchange(day uint32, names map[token]string) *exchange {
	return &exchange{
		Row: Row{
			ID: r.ID, Time: time.Unix(0, r.Time).UTC(), User: names[r.User], Model: r.Model, AnsweredModel: r.Answered, Status: r.Status,
			InputTokens: r.Input, OutputTokens: r.Output, Cost: r.Cost, LatencyMS: r.Latency, Flags: splitFlags(r.Flags),
			Conversation: names[r.Conversation], Role: names[r.Role], Team: names[r.Team], Tenant: names[r.Tenant], Key: names[r.Key],
			Address: names[r.Address], ResponseID: names[r.ResponseID], Provider: r.Provider, Operation: r.Operation, API: r.API,
			HTTPStatus: int(r.HTTPStatus), TTFT: r.TTFT, Leaves: r.Leaves, Prompt: names[r.Prompt], Documents: r.documents(names),
		},
		alias: r.Alias, day: day, opened: r.Opened, closed: r.Closed,
	}
}

func (r *eventRow) row(names map[token]string) EventRow {
	return EventRow{
		ID: r.ID, Exchange: r.Exchange, Time: time.Unix(0, r.Time).UTC(), Type: r.Type, User: names[r.User], Flags: splitFlags(r.Flags), Leaf: r.Leaf,
	}
}

func splitFlags(s string) []string {
	if s == "" {
		return []string{}
	}
	return strings.Split(s, ",")
}

// Orders of the tables.

func compareExchanges(a, b *exchangeRow) int {
	return cmp.Or(cmp.Compare(a.Time, b.Time), bytes.Compare(a.ID[:], b.ID[:]))
}

func compareEvents(a, b *eventRow) int { return cmp.Compare(a.Leaf, b.Leaf) }

func compareNames(a, b *nameRow) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), bytes.Compare(a.Token[:], b.Token[:]), cmp.Compare(a.Alias, b.Alias))
}

// How much is read together: rows whose columns are searched, bytes of a column that hold a row that is shown.
const (
	groupRows = 8192
	pageBytes = 16 << 10
)

// codec is shared, so that its encoders are.
var codec = &zstd.Codec{Level: zstd.SpeedFastest}

// tableWriter makes a Parquet file in memory, from rows in the order of the table.
type tableWriter[T any] struct {
	buf  bytes.Buffer
	w    *parquet.GenericWriter[T]
	rows int
}

func newTableWriter[T any]() *tableWriter[T] {
	t := &tableWriter[T]{}
	t.w = parquet.NewGenericWriter[T](&t.buf,
		parquet.MaxRowsPerRowGroup(groupRows), parquet.PageBufferSize(pageBytes), parquet.Compression(codec),
		parquet.BloomFilters(blooms[T]()...), parquet.CreatedBy("steno", "1", ""))
	return t
}

func blooms[T any]() []parquet.BloomFilterColumn {
	if _, ok := any((*T)(nil)).(*exchangeRow); ok {
		return []parquet.BloomFilterColumn{parquet.SplitBlockFilter(10, "response_id")}
	}
	return nil
}

func (t *tableWriter[T]) write(rows ...T) error {
	n, err := t.w.Write(rows)
	t.rows += n
	if err != nil {
		return fmt.Errorf("couldn't encode a table: %w", err)
	}
	return nil
}

func (t *tableWriter[T]) finish() ([]byte, error) {
	if err := t.w.Close(); err != nil {
		return nil, fmt.Errorf("couldn't encode a table: %w", err)
	}
	return t.buf.Bytes(), nil
}

// span says what a table holds, so that questions leave out the parts that have no answer.
type span struct {
	Rows             int
	File             steno.ID // its file id: another file of the same name is none of ours
	MinTime, MaxTime int64
	MinAt, MaxAt     int64 // as in Position
	MinID, MaxID     steno.ID
}

func (s *span) grow(at, t int64, id steno.ID) {
	if s.Rows == 0 {
		s.MinTime, s.MaxTime, s.MinAt, s.MaxAt, s.MinID, s.MaxID = t, t, at, at, id, id
	}
	s.Rows++
	s.MinTime, s.MaxTime = min(s.MinTime, t), max(s.MaxTime, t)
	s.MinAt, s.MaxAt = min(s.MinAt, at), max(s.MaxAt, at)
	if bytes.Compare(id[:], s.MinID[:]) < 0 {
		s.MinID = id
	}
	if bytes.Compare(id[:], s.MaxID[:]) > 0 {
		s.MaxID = id
	}
}

// mayHave says whether an id that begins like lo and ends like hi can be in the table.
func (s *span) mayHave(lo, hi steno.ID) bool {
	return s.Rows > 0 && bytes.Compare(hi[:], s.MinID[:]) >= 0 && bytes.Compare(lo[:], s.MaxID[:]) <= 0
}

// mayMatch says whether a row that the query wants can be in the table.
func (s *span) mayMatch(q *Query) bool {
	return s.Rows > 0 && (q.Since.IsZero() || s.MaxTime >= q.Since.UnixNano()) && (q.Until.IsZero() || s.MinTime < q.Until.UnixNano()) &&
		(q.Before.IsZero() || s.MinAt <= q.Before.at) && (q.After.IsZero() || s.MaxAt >= q.After.at)
}

func sortNames(names []nameRow) []nameRow {
	slices.SortFunc(names, func(a, b nameRow) int { return compareNames(&a, &b) })
	return slices.CompactFunc(names, func(a, b nameRow) bool { return compareNames(&a, &b) == 0 })
}
