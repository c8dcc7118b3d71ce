package seal

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// mustNotOpen checks that a record gives nothing away, also after a restart.
func (l *testLog) mustNotOpen(i uint64, why error) {
	l.t.Helper()
	if _, err := l.tryOpen(i, all); !errors.Is(err, why) || !errors.Is(err, ErrErased) {
		l.t.Errorf("leaf %d: %v, want %v", i, err, why)
	}
	before := l.keys
	k, err := Open(l.fs, "/data.keys", testOrigin)
	if err != nil {
		l.t.Fatal(err)
	}
	l.keys = k
	if _, err := l.tryOpen(i, all); !errors.Is(err, why) {
		l.t.Errorf("leaf %d after a restart: %v, want %v", i, err, why)
	}
	l.keys = before
}

func TestErasePerson(t *testing.T) {
	l := newTestLog(t)
	a1 := l.append(draft("ana", piece(steno.KindInput, "first words of ana")), noon)
	b1 := l.append(draft("bob", piece(steno.KindInput, "first words of bob")), noon)
	a2 := l.append(draft("ana", piece(steno.KindHistory, "first words of ana"), piece(steno.KindInput, "more")), noon.AddDate(0, 0, 1))
	own := l.append(draft(""), noon)
	ana := l.open(a1).Alias
	if l.open(a2).Alias != ana || l.open(b1).Alias == ana || l.open(own).Alias == ana {
		t.Fatal("aliases do not tell persons apart")
	}
	if err := l.keys.ErasePerson("acme", ana); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a1, ErrErasedPerson)
	l.mustNotOpen(a2, ErrErasedPerson)
	l.open(b1)
	l.open(own)
	// Who comes back is somebody new, and refers to nothing of before.
	a3 := l.append(draft("ana", piece(steno.KindInput, "first words of ana")), noon)
	if o := l.open(a3); o.Alias == ana || len(o.From) != 0 {
		t.Errorf("after the erasure: alias %d, from %v", o.Alias, o.From)
	}
	if err := l.keys.ErasePerson("acme", ana); err != nil {
		t.Errorf("erasing twice: %v", err)
	}
	if err := l.keys.ErasePerson("nobody", ana); err == nil {
		t.Error("a tenant that is not there")
	}
	if err := l.keys.ErasePerson("acme", 1<<40); err == nil {
		t.Error("an alias of 41 bits")
	}
	l.mustNotOpen(a1, ErrErasedPerson)
	l.reopen()
	l.open(b1)
	l.open(a3)
}

func TestEraseDay(t *testing.T) {
	l := newTestLog(t)
	a := l.append(draft("ana", piece(steno.KindInput, "monday")), noon)
	b := l.append(draft("bob", piece(steno.KindInput, "tuesday")), noon.AddDate(0, 0, 1))
	other := draft("ana", piece(steno.KindInput, "monday"))
	other.Identity.Tenant = "other"
	c := l.append(other, noon)
	no := l.leaves[a].DayKey
	if _, err := l.keys.TableKey(no, "index"); err != nil {
		t.Fatal(err)
	}
	if err := l.keys.EraseDay(no); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a, ErrErasedDay)
	l.open(b)
	l.open(c)
	if _, err := l.keys.TableKey(no, "index"); !errors.Is(err, ErrErasedDay) {
		t.Errorf("its index key: %v", err)
	}
	if err := l.keys.EraseDay(no); err == nil {
		t.Error("the day went twice")
	}
	for _, d := range l.keys.DayKeys() {
		if d.No == no {
			t.Error("the day key is listed")
		}
	}
	// A number is never used again, even for the same day.
	d := l.append(draft("ana", piece(steno.KindInput, "monday")), noon)
	if l.leaves[d].DayKey == no {
		t.Error("the number of a destroyed day key was used again")
	}
	l.open(d)
	l.mustNotOpen(a, ErrErasedDay)
}

func TestEraseText(t *testing.T) {
	l := newTestLog(t)
	secret := strings.Repeat("the secret. ", 20)
	d1 := draft("ana", piece(steno.KindSystem, "system"), piece(steno.KindInput, secret), piece(steno.KindInput, "harmless"))
	a := l.append(d1, noon)
	d2 := draft("ana", piece(steno.KindSystem, "system"), piece(steno.KindHistory, secret), piece(steno.KindHistory, "harmless"), piece(steno.KindInput, "next"))
	b := l.append(d2, noon)
	c := l.append(draft("ana", piece(steno.KindInput, "other record")), noon)
	err := l.keys.EraseText(l.leaves[a], Part{Section: steno.SectionIdentity}, Part{Section: steno.SectionMetadata}, Part{Piece: 0}, Part{Piece: 2})
	if err != nil {
		t.Fatal(err)
	}
	check := func() {
		t.Helper()
		for i, at := range map[uint64]int{a: 1, b: 1} {
			o := l.open(i)
			if len(o.Missing) != 1 || o.Missing[0].Piece != at || o.Missing[0].Length != len(secret) || o.Missing[0].Section != steno.SectionPrompt {
				t.Errorf("leaf %d: missing %+v", i, o.Missing)
			}
			if got := texts(o.Request); strings.Contains(got, "secret") || !strings.HasPrefix(got, "system||harmless") {
				t.Errorf("leaf %d: %q", i, got)
			}
			if o.Identity == nil || o.Identity.User != "ana" || o.Model == nil {
				t.Errorf("leaf %d: what must survive is gone", i)
			}
		}
		l.open(c)
	}
	check()
	l.reopen()
	check()
	// It is not referred to any more.
	e := l.append(draft("ana", piece(steno.KindInput, secret)), noon)
	if o := l.open(e); len(o.From) != 0 || texts(o.Request) != secret {
		t.Errorf("sealed again: from %v", o.From)
	}
	// A second text of the same record; what is gone does not come back by being named.
	if err := l.keys.EraseText(l.leaves[a], Part{Section: steno.SectionMetadata}, Part{Piece: 0}, Part{Piece: 1}); err != nil {
		t.Fatal(err)
	}
	o := l.open(a)
	if texts(o.Request) != "system||" || o.Identity != nil || len(o.Missing) != 3 || o.Missing[0].Piece != -1 {
		t.Errorf("after the second text: %q, missing %+v", texts(o.Request), o.Missing)
	}
	if _, err := l.tryOpen(a, steno.SectionIdentity); !errors.Is(err, ErrErasedText) {
		t.Errorf("identity alone: %v", err)
	}
	// Survivors go with the person.
	if err := l.keys.ErasePerson("acme", o.Alias); err != nil {
		t.Fatal(err)
	}
	if s := l.keys.Status(); s.Survivors != 0 {
		t.Errorf("%d survivors of an erased person", s.Survivors)
	}
	l.mustNotOpen(a, ErrErasedPerson)
	if err := l.keys.EraseText(l.leaves[a]); !errors.Is(err, ErrErasedPerson) {
		t.Errorf("a text of who is erased: %v", err)
	}
}

func TestEraseTextThenDay(t *testing.T) {
	l := newTestLog(t)
	a := l.append(draft("ana", piece(steno.KindInput, "words")), noon)
	if err := l.keys.EraseText(l.leaves[a], Part{Section: steno.SectionIdentity}); err != nil {
		t.Fatal(err)
	}
	l.open(a)
	if err := l.keys.EraseDay(l.leaves[a].DayKey); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a, ErrErasedDay)
	if s := l.keys.Status(); s.Survivors != 0 {
		t.Errorf("%d survivors of an erased day", s.Survivors)
	}
}

func TestEraseMember(t *testing.T) {
	l := newTestLog(t)
	d := draft("ana")
	d.Prompt = &steno.Prompt{Input: json.RawMessage(`[{"role":"user","content":"secret"},{"role":"user","content":"rest"}]`)}
	a := l.append(d, noon)
	if err := l.keys.EraseText(l.leaves[a], Part{Piece: 0}, Part{Piece: 2}); err != nil {
		t.Fatal(err)
	}
	o, err := l.tryOpen(a, steno.SectionPrompt)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(o.Prompt.Input); got != `[null,{"role":"user","content":"rest"}]` {
		t.Error(got)
	}
	// Without its head, what is left is pieces.
	if err := l.keys.EraseText(l.leaves[a], Part{Piece: 2}); err != nil {
		t.Fatal(err)
	}
	if o, err = l.tryOpen(a, steno.SectionPrompt); err != nil || texts(o.Request) != `||{"role":"user","content":"rest"}` {
		t.Errorf("%q, %v", texts(o.Request), err)
	}
}

func TestHold(t *testing.T) {
	l := newTestLog(t)
	a1 := l.append(draft("ana", piece(steno.KindInput, "first of ana")), noon)
	a2 := l.append(draft("ana", piece(steno.KindHistory, "first of ana"), piece(steno.KindInput, "second")), noon)
	a3 := l.append(draft("ana", piece(steno.KindInput, "not held")), noon)
	b := l.append(draft("bob", piece(steno.KindInput, "of bob")), noon)
	o := l.open(a2)
	held := []*steno.Leaf{l.leaves[a2]}
	for _, i := range o.From {
		held = append(held, l.leaves[i])
	}
	if err := l.keys.Hold(held...); err != nil {
		t.Fatal(err)
	}
	if err := l.keys.Hold(held...); err != nil || l.keys.Status().Held != 2 {
		t.Fatalf("holding twice: %v, %d held", err, l.keys.Status().Held)
	}
	if err := l.keys.EraseText(l.leaves[a2]); !errors.Is(err, ErrHeld) {
		t.Errorf("a held text: %v", err)
	}
	if err := l.keys.EraseDay(l.leaves[a1].DayKey); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a3, ErrErasedDay)
	l.mustNotOpen(b, ErrErasedDay)
	l.reopen()
	if o := l.open(a2); texts(o.Request) != "first of ana|second" || o.Identity.User != "ana" || o.Alias != 0 {
		t.Errorf("held: %q, alias %d", texts(o.Request), o.Alias)
	}
	l.open(a1)
	if err := l.keys.Hold(l.leaves[b]); !errors.Is(err, ErrErasedDay) {
		t.Errorf("holding what is gone: %v", err)
	}
	// Released, they go where their day went.
	if err := l.keys.Release(l.leaves[a1].Seal, l.leaves[a2].Seal); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a1, ErrErasedDay)
	l.mustNotOpen(a2, ErrErasedDay)
	if err := l.keys.Release(l.leaves[a1].Seal); err == nil {
		t.Error("released twice")
	}
}

func TestHoldPerson(t *testing.T) {
	l := newTestLog(t)
	a := l.append(draft("ana", piece(steno.KindInput, "held")), noon)
	b := l.append(draft("ana", piece(steno.KindInput, "not held"), piece(steno.KindInput, "rest")), noon)
	if err := l.keys.EraseText(l.leaves[b], Part{Piece: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.keys.Hold(l.leaves[a], l.leaves[b]); err != nil {
		t.Fatal(err)
	}
	if err := l.keys.ErasePerson("acme", l.open(a).Alias); err != nil {
		t.Fatal(err)
	}
	l.reopen()
	if o := l.open(a); texts(o.Request) != "held" {
		t.Errorf("held: %q", texts(o.Request))
	}
	if o := l.open(b); texts(o.Request) != "|rest" {
		t.Errorf("what survived of a held record: %q", texts(o.Request))
	}
	if err := l.keys.Release(l.leaves[a].Seal, l.leaves[b].Seal); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(a, ErrErasedPerson)
	l.mustNotOpen(b, ErrErasedPerson)
}

func TestTenantsAndMidnight(t *testing.T) {
	l := newTestLog(t)
	midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	d := draft("ana", piece(steno.KindInput, strings.Repeat("the same words ", 9)))
	before := l.append(d, midnight.Add(-time.Nanosecond))
	after := l.append(d, midnight)
	// The day is UTC's, whatever the clock's zone.
	zone := l.append(d, midnight.Add(-time.Hour).In(time.FixedZone("", 2*3600)))
	if a, b := l.leaves[before].DayKey, l.leaves[after].DayKey; a == b || l.leaves[zone].DayKey != a {
		t.Errorf("day keys %d, %d, %d", a, b, l.leaves[zone].DayKey)
	}
	if o := l.open(after); len(o.From) != 0 {
		t.Errorf("a reference over midnight: %v", o.From)
	}
	if o := l.open(zone); !reflect.DeepEqual(o.From, []uint64{before}) {
		t.Errorf("from %v", o.From)
	}
	d.Identity.Tenant = "other"
	other := l.append(d, midnight)
	if l.leaves[other].DayKey == l.leaves[after].DayKey {
		t.Error("two tenants have one day key")
	}
	if o := l.open(other); len(o.From) != 0 || o.Alias == l.open(after).Alias {
		t.Errorf("tenants are not apart: from %v, alias %d", o.From, o.Alias)
	}
	if err := l.keys.EraseDay(l.leaves[before].DayKey); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(before, ErrErasedDay)
	l.open(after)
	l.open(other)
	if err := l.keys.ErasePerson("acme", l.open(after).Alias); err != nil {
		t.Fatal(err)
	}
	l.mustNotOpen(after, ErrErasedPerson)
	l.open(other)
}

func TestOpenDamage(t *testing.T) {
	l := newTestLog(t)
	a := l.append(fullDraft("ana"), noon)
	b := l.append(fullDraft("bob"), noon)
	leaf, body, _ := l.read(a)
	for i := range body {
		bad := append([]byte(nil), body...)
		bad[i] ^= 1 << (i % 8)
		if _, err := l.keys.Open(leaf, bad, l.read, all); !errors.Is(err, ErrSealed) {
			t.Fatalf("a bit flipped in byte %d of the body: %v", i, err)
		}
		// Also where the leaf was made to fit.
		forged := *leaf
		forged.BodyHash = hashParts(bad)
		if _, err := l.keys.Open(&forged, bad, l.read, all); !errors.Is(err, ErrSealed) {
			t.Fatalf("the same with its hash in the leaf: %v", err)
		}
	}
	for name, edit := range map[string]func(*steno.Leaf){
		"seal id":    func(l *steno.Leaf) { l.Seal[9] ^= 1 },
		"slot":       func(l *steno.Leaf) { l.Seal[0] ^= 1 },
		"key ref":    func(l *steno.Leaf) { l.KeyRef[3] ^= 1 },
		"day key":    func(l *steno.Leaf) { l.DayKey++ },
		"commitment": func(l *steno.Leaf) { l.Commitments[2][0] ^= 1 },
		"length":     func(l *steno.Leaf) { l.BodyLength++ },
		"bob's key":  func(x *steno.Leaf) { x.KeyRef = l.leaves[b].KeyRef },
	} {
		forged := *leaf
		forged.Commitments = append([][32]byte(nil), leaf.Commitments...)
		edit(&forged)
		if _, err := l.keys.Open(&forged, body, l.read, all); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Another log's keys.
	m := newTestLog(t)
	m.append(draft("ana"), noon)
	if _, err := m.keys.Open(leaf, body, l.read, all); !errors.Is(err, ErrSealed) {
		t.Errorf("keys of another log: %v", err)
	}
	// A record that refers to another, which is not what it was.
	x := l.append(draft("ana", fullDraft("ana").Request[2]), noon)
	lx, bx, _ := l.read(x)
	for name, read := range map[string]ReadFunc{
		"another record": func(uint64) (*steno.Leaf, []byte, error) { return l.read(b) },
		"a read error":   func(uint64) (*steno.Leaf, []byte, error) { return nil, nil, ErrSealed },
		"a cut body": func(i uint64) (*steno.Leaf, []byte, error) {
			leaf, body, err := l.read(i)
			return leaf, body[:len(body)-1], err
		},
	} {
		if _, err := l.keys.Open(lx, bx, read, all); !errors.Is(err, ErrSealed) {
			t.Errorf("refers to %s: %v", name, err)
		}
	}
	if _, err := l.keys.Open(lx, bx, nil, all); err == nil {
		t.Error("a list was opened without what it refers to")
	}
	if _, err := l.keys.Open(&steno.Leaf{Flags: steno.FlagPublicOnly}, nil, nil, all); err == nil {
		t.Error("a public record was opened")
	}
}
