package index

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/hunt"
	"github.com/steno-audit/steno/internal/seal"
)

// aliasOf returns whose a record is.
func (l *testLog) aliasOf(leaf uint64) uint64 {
	l.t.Helper()
	e, err := l.log.Read(leaf)
	if err != nil {
		l.t.Fatal(err)
	}
	o, err := l.keys.Open(e.Leaf, e.Body, nil, steno.SectionMetadata)
	if err != nil {
		l.t.Fatal(err)
	}
	return o.Alias
}

func states(rows []Row) map[string]int {
	out := map[string]int{}
	for _, r := range rows {
		out[r.User+" "+r.Status]++
	}
	return out
}

func wantStates(t *testing.T, what string, rows []Row, want map[string]int) {
	t.Helper()
	if got := states(rows); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestErasedPerson(t *testing.T) {
	l := newTestLog(t)
	fsys := disk.NewMem()
	cfg := l.config(fsys)
	cfg.FlushRows = 10
	x := l.index(cfg)
	var anas []call
	for i := range 12 {
		c := newCall([]string{"ana", "ben"}[i%2], "gpt-5", "talk", l.pass(time.Minute))
		l.complete(c)
		if i%2 == 0 {
			anas = append(anas, c)
		}
	}
	l.caughtUp(x)
	found, err := x.Find(t.Context(), anas[0].exchange.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.keys.ErasePerson("", l.aliasOf(found.Leaves[0])); err != nil {
		t.Fatal(err)
	}
	l.announce(steno.TypeErasureCompleted, map[string]any{"request": "r1"})
	again := newCall("ana", "gpt-5", "talk", l.pass(time.Minute)) // who comes back is somebody new
	l.complete(again)
	l.caughtUp(x)
	check := func(what string, x *Index) {
		t.Helper()
		wantStates(t, what, exchanges(t, x, Query{}), map[string]int{" erased": 6, "ben complete": 6, "ana complete": 1})
		equalIDs(t, what, ids(exchanges(t, x, Query{User: "ana"})), []steno.ID{again.exchange})
		for _, e := range events(t, x, Query{Exchange: anas[0].exchange}) {
			if e.User != "" || e.Type != StatusErased {
				t.Errorf("%s: an erased event is %+v", what, e)
			}
		}
		if f, err := x.Find(t.Context(), anas[1].exchange.String()); err != nil || len(f.Leaves) != 2 {
			t.Errorf("%s: the erased exchange is found as %+v, %v", what, f, err)
		}
		if f, err := x.Find(t.Context(), "chatcmpl-"+anas[1].exchange.String()[20:]); err == nil {
			t.Errorf("%s: the provider's id of an erased answer finds %+v", what, f)
		}
	}
	check("after the erasure", x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	check("after restart", l.index(cfg))
	check("built anew", l.index(l.config(disk.NewMem())))
}

func TestErasedDay(t *testing.T) {
	for _, open := range []bool{true, false} { // does the index run while the day goes?
		t.Run(fmt.Sprint(open), func(t *testing.T) {
			l := newTestLog(t)
			cfg := l.config(disk.NewMem())
			cfg.FlushRows = 10
			for range 5 {
				l.complete(newCall("ana", "gpt-5", "talk", l.pass(time.Minute)))
			}
			x := l.index(cfg)
			day := l.keys.DayKeys()[0]
			l.pass(24 * time.Hour)
			for range 5 {
				l.complete(newCall("ben", "gpt-5", "talk", l.pass(time.Minute)))
			}
			l.caughtUp(x)
			if !open {
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.keys.EraseDay(day.No); err != nil {
				t.Fatal(err)
			}
			if open {
				// Its key is gone and its record is to come: a question that needs the day has the index built again.
				wantStates(t, "in between", exchanges(t, x, Query{}), map[string]int{" erased": 5, "ben complete": 5})
			}
			l.announce(steno.TypeDayKeyDestroyed, steno.DayKeyDestroyed{No: day.No, Class: day.Class, Day: day.Day})
			if open {
				l.caughtUp(x)
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
			x = l.index(cfg)
			wantStates(t, "after restart", exchanges(t, x, Query{}), map[string]int{" erased": 5, "ben complete": 5})
			same(t, "built anew", answers(t, x), l.expected())
		})
	}
}

// A record of which a text is erased still says who and what, if that was kept.
func TestErasedText(t *testing.T) {
	l := newTestLog(t)
	c := newCall("ana", "gpt-5", "talk", noon)
	d := c.requestDraft()
	d.Request = []steno.Piece{{Kind: steno.KindInput, Bytes: []byte("something to be forgotten")}}
	leaf := l.record(d, steno.FlagOpens)
	e, err := l.log.Read(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.keys.EraseText(e.Leaf, seal.Part{Section: steno.SectionIdentity}, seal.Part{Section: steno.SectionMetadata}); err != nil {
		t.Fatal(err)
	}
	wantStates(t, "kept", exchanges(t, l.index(l.config(disk.NewMem())), Query{}), map[string]int{"ana open": 1})
	if err := l.keys.EraseText(e.Leaf); err != nil {
		t.Fatal(err)
	}
	wantStates(t, "all erased", exchanges(t, l.index(l.config(disk.NewMem())), Query{}), map[string]int{" erased": 1})
}

// A record that does not open though its key is there is said to be so, and stops nothing.
func TestUnreadable(t *testing.T) {
	l := newTestLog(t)
	c := newCall("ana", "gpt-5", "talk", noon)
	s, err := l.sealer.Seal(c.requestDraft(), noon)
	if err != nil {
		t.Fatal(err)
	}
	s.Leaf.Flags |= steno.FlagOpens
	s.Body[len(s.Body)/2] ^= 1
	if _, err := l.log.Append(s.Leaf, s.Body).Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.complete(newCall("ben", "gpt-5", "talk", noon))
	cfg := l.config(disk.NewMem())
	x := l.index(cfg)
	want := map[string]int{" unreadable": 1, "ben complete": 1}
	wantStates(t, "in memory", exchanges(t, x, Query{}), want)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	wantStates(t, "in files", exchanges(t, l.index(cfg), Query{}), want)
}

// What identifies stands in the names alone, and nothing in clear anywhere.
func TestCanaries(t *testing.T) {
	l := newTestLog(t)
	var canaries []hunt.Canary
	word := func(field string) string {
		c := hunt.New(field)
		canaries = append(canaries, c)
		return c.Word
	}
	c := newCall(word("user"), "gpt-5", word("conversation"), noon)
	id := &steno.Identity{
		User: c.user, Conversation: c.talk, Role: word("role"), Team: word("team"), Tenant: word("tenant"), Key: word("key"),
		Address: word("address"), UserAgent: word("user agent"), Caller: word("caller"), Session: word("session"),
	}
	req := c.requestDraft()
	req.Identity, req.Request = id, []steno.Piece{{Kind: steno.KindInput, Bytes: []byte(word("input"))}}
	res := c.responseDraft(steno.EndComplete)
	res.Identity, res.Result.ID, res.Response = id, word("response id"), []steno.Piece{{Kind: steno.KindOutput, Bytes: []byte(word("output"))}}
	dir := t.TempDir()
	cfg := l.config(disk.OS())
	cfg.Dir = dir + "/index"
	x := l.index(cfg)
	l.record(req, steno.FlagOpens)
	l.record(res, steno.FlagCloses)
	alert := c.alertDraft("secret")
	alert.Identity = id
	l.record(alert, 0)
	l.caughtUp(x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := hunt.Check(t.TempDir(), canaries); err != nil {
		t.Fatal(err)
	}
	hits, looked, err := hunt.Files(canaries, dir)
	if err != nil || looked < 4 {
		t.Fatalf("%d files were looked at, %v", looked, err)
	}
	for _, h := range hits {
		t.Errorf("in a file: %s", h)
	}

	// With the key of the index, but not that of the names, there is nothing to be found either.
	x = l.index(cfg)
	var named []string
	for _, p := range x.parts {
		for _, h := range hunt.In("exchanges", dump[exchangeRow](t, x, p, tableExchanges), canaries) {
			t.Errorf("in a table: %s", h)
		}
		for _, h := range hunt.In("events", dump[eventRow](t, x, p, tableEvents), canaries) {
			t.Errorf("in a table: %s", h)
		}
		for _, h := range hunt.In("names", dump[nameRow](t, x, p, tableNames), canaries) {
			named = append(named, h.Field)
		}
	}
	slices.Sort(named)
	if want := []string{"address", "conversation", "key", "response id", "role", "team", "tenant", "user"}; !slices.Equal(slices.Compact(named), want) {
		t.Errorf("the names hold %v, want %v", named, want)
	}
	if rows := exchanges(t, x, Query{User: c.user, Conversation: c.talk}); len(rows) != 1 || rows[0].Role != id.Role || rows[0].Tenant != id.Tenant {
		t.Errorf("the names do not come back: %+v", rows)
	}
}

// dump returns the rows of a table as text.
func dump[T any](t *testing.T, x *Index, p *part, of table) []byte {
	t.Helper()
	if p.rows(of) == 0 {
		return nil
	}
	var out []byte
	for row, err := range eachRow[T](x.tables, p, of) {
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(row)
		if err != nil {
			t.Fatal(err)
		}
		out = fmt.Appendf(append(out, b...), " %x\n", any(*row)) // tokens are arrays of bytes
	}
	return out
}
