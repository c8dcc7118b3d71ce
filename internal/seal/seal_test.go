package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const testOrigin = "log.example.org/steno-test"

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// testLog is a log without files: records in memory, with the sealer that made them.
type testLog struct {
	t      testing.TB
	fs     disk.FS
	keys   *Keys
	sealer *Sealer

	mu     sync.Mutex
	leaves []*steno.Leaf
	bodies [][]byte
	public []any
}

func newTestLog(t testing.TB) *testLog {
	t.Helper()
	l := &testLog{t: t, fs: disk.NewMem()}
	k, err := Create(l.fs, "/data.keys", testOrigin, noon)
	if err != nil {
		t.Fatal(err)
	}
	l.keys = k
	l.sealer = NewSealer(k, Config{Announce: l.announce})
	return l
}

func (l *testLog) announce(_ steno.PublicType, v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.public = append(l.public, v)
	return nil
}

// reopen is a restart: the ring is read from the disk, the sealer's memory is empty.
func (l *testLog) reopen() {
	l.t.Helper()
	k, err := Open(l.fs, "/data.keys", testOrigin)
	if err != nil {
		l.t.Fatal(err)
	}
	l.keys = k
	l.sealer = NewSealer(k, Config{Announce: l.announce})
}

func (l *testLog) append(d *steno.Draft, at time.Time) uint64 {
	l.t.Helper()
	x, err := l.sealer.Seal(d, at)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.commit(x)
}

func (l *testLog) commit(x *Sealed) uint64 {
	l.t.Helper()
	leaf, err := steno.ParseLeaf(x.Leaf.Append(nil))
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	i := uint64(len(l.leaves))
	l.leaves = append(l.leaves, leaf)
	l.bodies = append(l.bodies, x.Body)
	l.mu.Unlock()
	l.sealer.Durable(x, i)
	return i
}

func (l *testLog) read(i uint64) (*steno.Leaf, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i >= uint64(len(l.leaves)) {
		return nil, nil, fmt.Errorf("leaf %d of %d", i, len(l.leaves))
	}
	return l.leaves[i], l.bodies[i], nil
}

const all = steno.SectionIdentity | steno.SectionPrompt | steno.SectionContext | steno.SectionOutput | steno.SectionMetadata

func (l *testLog) tryOpen(i uint64, want steno.Section) (*Opened, error) {
	leaf, body, err := l.read(i)
	if err != nil {
		return nil, err
	}
	return l.keys.Open(leaf, body, l.read, want)
}

func (l *testLog) open(i uint64) *Opened {
	l.t.Helper()
	o, err := l.tryOpen(i, all)
	if err != nil {
		l.t.Fatalf("leaf %d: %v", i, err)
	}
	return o
}

func piece(k steno.Kind, s string) steno.Piece { return steno.Piece{Kind: k, Bytes: []byte(s)} }

func draft(user string, pieces ...steno.Piece) *steno.Draft {
	return &steno.Draft{
		Event: steno.Event{
			ID: steno.NewID(noon), Type: "inference.request", Exchange: steno.NewID(noon), Time: noon,
			Identity: &steno.Identity{User: user, Tenant: "acme", Key: "k1"},
			Model:    &steno.Model{Provider: "openai", Asked: "gpt-4o-mini", Path: "/v1/chat/completions"},
		},
		Request: pieces,
	}
}

func texts(pieces []steno.Piece) string {
	var out []string
	for _, p := range pieces {
		out = append(out, string(p.Bytes))
	}
	return strings.Join(out, "|")
}

func asJSON(t testing.TB, v any) any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameDraft(t testing.TB, got, want *steno.Draft) {
	t.Helper()
	if g, w := asJSON(t, got.Event), asJSON(t, want.Event); !reflect.DeepEqual(g, w) {
		t.Errorf("event:\n got %v\nwant %v", g, w)
	}
	for _, s := range []struct {
		name      string
		got, want []steno.Piece
	}{{"request", got.Request, want.Request}, {"response", got.Response, want.Response}} {
		g, err := steno.Join(s.got)
		if err != nil {
			t.Fatal(err)
		}
		w, err := steno.Join(s.want)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(g, w) {
			t.Errorf("%s: got %.200q, want %.200q", s.name, g, w)
		}
	}
}

// fullDraft has something in every section and group.
func fullDraft(user string) *steno.Draft {
	n := int64(12)
	score := 0.75
	d := draft(user,
		piece(steno.KindHead, `{"method":"POST","path":"/v1/chat/completions"}`),
		piece(steno.KindFrame, `{"messages":[`), piece(steno.KindInput, `{"role":"user","content":"What is the capital of France?"}`),
		steno.Piece{Kind: steno.KindMark, Bytes: []byte(`"cache_control":{},`), At: 1}, piece(steno.KindFrame, `]}`))
	d.Response = []steno.Piece{piece(steno.KindOutput, strings.Repeat("Paris. ", 100)), piece(steno.KindTrailer, `{"x":"y"}`), piece(steno.KindOutput, "")}
	d.Imported = true
	d.Prompt = &steno.Prompt{Bytes: 99, Tools: []string{"search"}}
	d.Result = &steno.Result{End: steno.EndComplete, Status: 200, Usage: &steno.Usage{Source: "reported", Input: &n}}
	d.Timing = &steno.Timing{Received: noon, LatencyMS: 12.5, Steps: []steno.Step{{Name: "received", Start: noon, End: noon.Add(time.Millisecond), Outcome: "ok"}}}
	d.Safety = &steno.Safety{Checks: []steno.Check{{Name: "secrets", Version: "1", Direction: "in", Outcome: "done"}}}
	d.Data = &steno.Data{Documents: []steno.Document{{ID: "doc1", Score: &score, Origin: "citation"}}}
	d.System = &steno.System{Action: "read", Details: map[string]json.RawMessage{"n": json.RawMessage("1")}}
	d.Links = []steno.Link{{Rel: "previous", Record: steno.NewID(noon)}}
	return d
}

func TestRoundTrip(t *testing.T) {
	l := newTestLog(t)
	d := fullDraft("ana")
	i := l.append(d, noon)
	o := l.open(i)
	sameDraft(t, &o.Draft, d)
	if len(o.Missing) != 0 || len(o.From) != 0 || o.Alias == 0 || o.DayKey == 0 {
		t.Errorf("missing %v, from %v, alias %d, day key %d", o.Missing, o.From, o.Alias, o.DayKey)
	}
	if l.leaves[i].Sections != all || l.leaves[i].Flags != steno.FlagImported {
		t.Errorf("sections %d, flags %d", l.leaves[i].Sections, l.leaves[i].Flags)
	}
	// After a restart it opens all the same.
	l.reopen()
	sameDraft(t, &l.open(i).Draft, d)
	// Only what is wanted is opened.
	o, err := l.tryOpen(i, steno.SectionIdentity)
	if err != nil || o.Identity == nil || o.Model != nil || o.Request != nil {
		t.Errorf("identity alone: %+v, %v", o, err)
	}
	for _, secret := range []string{"ana", "acme", "gpt-4o", "France", "Paris"} {
		if bytes.Contains(l.bodies[i], []byte(secret)) || bytes.Contains(l.leaves[i].Append(nil), []byte(secret)) {
			t.Errorf("%q stands in clear", secret)
		}
	}
}

func TestDedup(t *testing.T) {
	l := newTestLog(t)
	long := piece(steno.KindSystem, strings.Repeat("You are a court reporter. ", 50))
	mark := steno.Piece{Kind: steno.KindMark, Bytes: []byte("mark"), At: 3}
	a := l.append(draft("ana", long, mark, piece(steno.KindInput, "one")), noon)
	b := l.append(draft("ana", long, mark, piece(steno.KindHistory, "one"), piece(steno.KindInput, "two")), noon)
	c := l.append(draft("bob", long, mark), noon)
	e := l.append(draft("ana", long, mark), noon.AddDate(0, 0, 1))
	f := l.append(draft("ana", long, mark, piece(steno.KindHistory, "one"), piece(steno.KindHistory, "two"), piece(steno.KindInput, "three")), noon)
	if o := l.open(b); !reflect.DeepEqual(o.From, []uint64{a}) || texts(o.Request) != texts([]steno.Piece{long, mark})+"|one|two" {
		t.Errorf("b: from %v, %s", o.From, texts(o.Request))
	}
	for _, i := range []uint64{c, e} {
		if o := l.open(i); len(o.From) != 0 {
			t.Errorf("leaf %d refers to %v, across persons or days", i, o.From)
		}
	}
	o := l.open(f)
	if !reflect.DeepEqual(o.From, []uint64{a, b}) {
		t.Errorf("f: from %v", o.From)
	}
	if o.Request[0].Kind != steno.KindSystem || o.Request[1].At != 3 || o.Request[3].Kind != steno.KindHistory {
		t.Errorf("f: kinds and marks: %+v", o.Request)
	}
	// A piece that is not durable is not referred to.
	x, err := l.sealer.Seal(draft("ana", piece(steno.KindInput, "pending")), noon)
	if err != nil {
		t.Fatal(err)
	}
	g := l.append(draft("ana", piece(steno.KindInput, "pending")), noon)
	if o := l.open(g); len(o.From) != 0 {
		t.Errorf("g refers to %v, which was not durable", o.From)
	}
	l.commit(x)
}

func TestLongPieces(t *testing.T) {
	l := newTestLog(t)
	big := strings.Repeat("0123456789abcdef", 3*steno.MaxChunkPlain/16) + "tail"
	d := draft("ana", piece(steno.KindFrame, "{"), piece(steno.KindInput, big),
		steno.Piece{Kind: steno.KindMark, Bytes: []byte("A"), At: 0},
		steno.Piece{Kind: steno.KindMark, Bytes: []byte("B"), At: steno.MaxChunkPlain},
		steno.Piece{Kind: steno.KindMark, Bytes: []byte("C"), At: steno.MaxChunkPlain + 7},
		steno.Piece{Kind: steno.KindMark, Bytes: []byte("D"), At: len(big)}, piece(steno.KindFrame, "}"))
	o := l.open(l.append(d, noon))
	sameDraft(t, &o.Draft, d)
	if len(o.Request) != 2+4+4 {
		t.Errorf("%d pieces", len(o.Request))
	}
	for _, bad := range [][]steno.Piece{
		{{Kind: steno.KindMark}},
		{piece(steno.KindHead, "{}"), {Kind: steno.KindMark}},
		{piece(steno.KindInput, "ab"), {Kind: steno.KindMark, At: 3}},
		{piece(steno.KindInput, "ab"), {Kind: steno.KindMark, At: 1}, {Kind: steno.KindMark}},
		{{Kind: 14}},
	} {
		if _, err := l.sealer.Seal(draft("ana", bad...), noon); err == nil {
			t.Errorf("%+v was sealed", bad)
		}
	}
}

func TestMembers(t *testing.T) {
	l := newTestLog(t)
	long := `"` + strings.Repeat(",[", steno.MaxChunkPlain) + `"`
	for _, in := range []string{
		`[{"role":"system","content":"s"},{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"é\u00e9 \"x\" , ] "}]`,
		`[]`, `{}`, ` "text" `, `null`, `[null, 1.50, [ ] ]`, `[` + long + `, 2]`, long,
	} {
		d := draft("ana")
		d.Prompt = &steno.Prompt{Input: json.RawMessage(in), Instructions: json.RawMessage(`[{"type":"text","content":"be brief"}]`)}
		d.Result = &steno.Result{Output: json.RawMessage(in)}
		o := l.open(l.append(d, noon))
		if o.Request != nil || o.Response != nil {
			t.Errorf("%.40s: pieces beside members", in)
		}
		sameDraft(t, &o.Draft, d)
	}
	d := draft("ana")
	d.Prompt = &steno.Prompt{Input: json.RawMessage(`[{"role":"user"},{"role":"assistant"},{"role":"tool"},{"role":"user"}]`)}
	p, err := memberPieces(d, steno.SectionPrompt)
	if err != nil {
		t.Fatal(err)
	}
	var kinds []steno.Kind
	for _, x := range p {
		kinds = append(kinds, x.Kind)
	}
	if want := []steno.Kind{steno.KindHead, steno.KindHistory, steno.KindHistory, steno.KindToolResult, steno.KindInput}; !reflect.DeepEqual(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	d.Request = []steno.Piece{piece(steno.KindInput, "x")}
	if _, err := l.sealer.Seal(d, noon); err == nil || !strings.Contains(err.Error(), "given twice") {
		t.Errorf("pieces and members: %v", err)
	}
	d = draft("ana")
	d.Prompt = &steno.Prompt{Input: json.RawMessage(`[1`)}
	if _, err := l.sealer.Seal(d, noon); err == nil || !strings.Contains(err.Error(), "gen_ai.input.messages: not JSON") {
		t.Errorf("no JSON: %v", err)
	}
}

func TestAnnouncements(t *testing.T) {
	l := newTestLog(t)
	var usable []bool
	l.sealer.cfg.Announce = func(ty steno.PublicType, v any) error {
		if o, ok := v.(steno.DayKeyOpened); ok {
			_, ok := l.keys.dayKey(dayName{"acme", "standard", o.Day})
			// In the ring on the disk before it is said.
			k, err := Open(l.fs, "/data.keys", testOrigin)
			usable = append(usable, ok || err != nil || k.ring.Days[o.No] == nil)
		}
		return l.announce(ty, v)
	}
	l.append(draft("ana"), noon)
	want := []any{
		steno.DayKeyOpened{No: 1, Class: "standard", Day: "2026-11-23", KeepUntil: "2028-11-23"},
		steno.DayKeyOpened{No: 2, Class: "standard", Day: "2026-11-24", KeepUntil: "2028-11-24"},
		steno.DayKeyOpened{No: 3, Class: "standard", Day: "2026-11-25", KeepUntil: "2028-11-25"},
		steno.DayKeyOpened{No: 4, Class: "standard", Day: "2026-11-26", KeepUntil: "2028-11-26"},
		steno.AliasBlockOpened{No: 1},
	}
	if !reflect.DeepEqual(l.public, want) {
		t.Errorf("announced %+v", l.public)
	}
	for _, u := range usable {
		if u {
			t.Error("a day key was usable before it was announced, or announced before it was durable")
		}
	}
	l.append(draft("ana"), noon.Add(time.Hour))
	if len(l.public) != len(want) {
		t.Error("the same day was announced again")
	}
	l.reopen()
	if err := l.sealer.OpenDay("acme", noon.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	l.append(draft("ana"), noon.AddDate(0, 0, 1))
	if got := l.public[len(want):]; len(got) != 2 || got[0].(steno.DayKeyOpened).No != 5 || got[1].(steno.AliasBlockOpened).No != 2 {
		t.Errorf("after a restart, the next day: %+v", got)
	}

	// An announcement that fails leaves nothing usable, and is made again.
	bad := errors.New("the log is full")
	l.sealer.cfg.Announce = func(steno.PublicType, any) error { return bad }
	d := draft("ana")
	d.Identity.Tenant = "other"
	if _, err := l.sealer.Seal(d, noon); !errors.Is(err, bad) {
		t.Errorf("sealed with %v", err)
	}
	l.public = nil
	l.reopen()
	l.append(d, noon)
	if got := l.public; len(got) != 5 || got[0].(steno.DayKeyOpened).No != 6 {
		t.Errorf("announced again: %+v", got)
	}
}

func TestConcurrentSeal(t *testing.T) {
	l := newTestLog(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				user := fmt.Sprintf("user%d", (g+i)%5)
				x, err := l.sealer.Seal(draft(user, piece(steno.KindInput, user+" says something"), piece(steno.KindFrame, "{}")), noon)
				if err != nil {
					t.Error(err)
					return
				}
				l.commit(x)
				if g == 0 && i%5 == 0 {
					if err := l.keys.ErasePerson("acme", x.alias); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	opened := 0
	for i := range l.leaves {
		switch _, err := l.tryOpen(uint64(i), all); {
		case err == nil:
			opened++
		case !errors.Is(err, ErrErasedPerson):
			t.Errorf("leaf %d: %v", i, err)
		}
	}
	if opened == 0 || opened == len(l.leaves) {
		t.Errorf("%d of %d records open", opened, len(l.leaves))
	}
}
