package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"golang.org/x/mod/sumdb/note"
)

func TestCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data.keys")
	k, err := Create(disk.OS(), dir, testOrigin, noon)
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700 | os.ModeDir, "kek": 0o600, "ring": 0o600} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil || fi.Mode() != mode {
			t.Errorf("%q has mode %v, %v", name, fi.Mode(), err)
		}
	}
	if _, err := Create(disk.OS(), dir, testOrigin, noon); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	k2, err := Open(disk.OS(), dir, testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	s := k2.Status()
	if s != k.Status() || s.Ring != 1 || !s.Created.Equal(noon) || s.Replicas != 1 || s.KEK != "key file" {
		t.Errorf("status %+v", s)
	}
	signer, vkey, err := k.Signer()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "text\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil || v.Name() != testOrigin {
		t.Fatalf("verifier of %q: %v", vkey, err)
	}
	if _, err := note.Open(signed, note.VerifierList(v)); err != nil {
		t.Error(err)
	}
	if _, again, err := k2.Signer(); err != nil || again != vkey {
		t.Errorf("after opening: %q, %v", again, err)
	}
	mac := k.CredentialMAC([]byte("secret"))
	if !regexp.MustCompile(`^mac:[0-9a-f]{32}$`).MatchString(mac) || k2.CredentialMAC([]byte("secret")) != mac || k.CredentialMAC([]byte("Secret")) == mac {
		t.Errorf("mac %q", mac)
	}
	if _, err := Create(disk.NewMem(), "/k", "a b", noon); err == nil || !strings.Contains(err.Error(), `"a b"`) {
		t.Errorf("an origin with a space: %v", err)
	}
	if err := k.SetApplied(7); err != nil || k.Status().Applied != 7 {
		t.Errorf("applied %d, %v", k.Status().Applied, err)
	}
	if err := k.SetApplied(6); err == nil {
		t.Error("applied went back")
	}
	if _, err := k.TableKey(1, "index"); err == nil {
		t.Error("a table key of no day")
	}
}

func TestOpenRing(t *testing.T) {
	m := disk.NewMem()
	if _, err := Create(m, "/k", testOrigin, noon); err != nil {
		t.Fatal(err)
	}
	other := disk.NewMem()
	if _, err := Create(other, "/k", testOrigin, noon); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(m, "/none", testOrigin); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if _, err := Open(m, "/k", "another.example/log"); !errors.Is(err, ErrRing) || !strings.Contains(err.Error(), "another.example/log") {
		t.Errorf("another origin: %v", err)
	}
	ring, _ := m.ReadFile("/k/ring")
	kek, _ := m.ReadFile("/k/kek")
	foreign, _ := other.ReadFile("/k/kek")
	try := func(ring, kek []byte) error {
		f := disk.NewMem()
		if err := f.MkdirAll("/k"); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"/k/ring": ring, "/k/kek": kek} {
			if b == nil {
				continue
			}
			if err := disk.WriteFile(f, name, b); err != nil {
				t.Fatal(err)
			}
		}
		_, err := Open(f, "/k", testOrigin)
		return err
	}
	if err := try(ring, kek); err != nil {
		t.Fatal(err)
	}
	if err := try(ring, foreign); err == nil || !strings.Contains(err.Error(), "does not open with /k/kek") {
		t.Errorf("a foreign key-encryption key: %v", err)
	}
	if err := try(ring, nil); err == nil || !strings.Contains(err.Error(), "couldn't read the key-encryption key") {
		t.Errorf("no key-encryption key: %v", err)
	}
	if err := try(ring, []byte("{}")); err == nil {
		t.Error("an empty keyset")
	}
	for i := range ring {
		bad := bytes.Clone(ring)
		bad[i] ^= 1 << (i % 8)
		if err := try(bad, kek); err == nil {
			t.Errorf("a bit flipped in byte %d of the ring", i)
		}
		if err := try(ring[:i], kek); err == nil {
			t.Errorf("a ring cut at byte %d", i)
		}
	}
}

func TestNewKEK(t *testing.T) {
	l := newTestLog(t)
	a := l.append(draft("ana"), noon)
	oldKEK, _ := l.fs.ReadFile("/data.keys/kek")
	oldRing, _ := l.fs.ReadFile("/data.keys/ring")
	old, err := l.fs.Open("/data.keys/ring") // a name that goes away
	if err != nil {
		t.Fatal(err)
	}
	oldK, err := l.fs.Open("/data.keys/kek")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.keys.NewKEK(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []disk.File{old, oldK} {
		n, _ := f.Size()
		b := make([]byte, n)
		if _, err := f.ReadAt(b, 0); err != nil || n == 0 || !bytes.Equal(b, make([]byte, n)) {
			t.Errorf("the old file's %d bytes are still there: %v", n, err)
		}
	}
	newRing, _ := l.fs.ReadFile("/data.keys/ring")
	newKEK, _ := l.fs.ReadFile("/data.keys/kek")
	h, err := parseKEK(newKEK)
	if err != nil || h.Len() != 1 {
		t.Fatalf("%d keys, %v", h.Len(), err)
	}
	f, err := parseRing(newRing)
	if err != nil {
		t.Fatal(err)
	}
	ho, _ := parseKEK(oldKEK)
	ao, _ := kekAEAD(ho)
	if _, err := ao.Decrypt(f.wrapped, ringAAD(f.log, f.number)); err == nil {
		t.Error("the old key opens the new ring")
	}
	fo, _ := parseRing(oldRing)
	an, _ := kekAEAD(h)
	if _, err := an.Decrypt(fo.wrapped, ringAAD(fo.log, fo.number)); err == nil {
		t.Error("the new key opens the old ring")
	}
	l.reopen()
	l.open(a)
}

// TestRingCrash loses power in every operation of a sequence of changes: what is there afterwards is the ring before
// the change or after it.
func TestRingCrash(t *testing.T) {
	steps := []struct {
		name string
		do   func(l *testLog) error
	}{
		{"open a day", func(l *testLog) error { return l.sealer.OpenDay("acme", noon) }},
		{"new key", func(l *testLog) error { return l.keys.NewKEK() }},
		{"erase a person", func(l *testLog) error { return l.keys.ErasePerson("acme", 5) }},
		{"erase a day", func(l *testLog) error { return l.keys.EraseDay(2) }},
	}
	for _, applied := range []bool{false, true} {
		for step := range steps {
			for at := 0; ; at++ {
				l := newTestLog(t)
				m := l.fs.(*disk.Mem)
				for _, s := range steps[:step] {
					if err := s.do(l); err != nil {
						t.Fatal(err)
					}
				}
				before := l.keys.Status()
				first, fired := m.Ops(), false
				m.Fault(func(op disk.Op) disk.Fault {
					if op.N == first+at {
						fired = true
						return disk.Fault{Crash: true, Applied: applied}
					}
					return disk.Fault{}
				})
				err := steps[step].do(l)
				name := fmt.Sprintf("%s, crash %d (applied %v)", steps[step].name, at, applied)
				for seed := range int64(6) {
					k, oerr := Open(m.Crash(rand.New(rand.NewSource(seed))), "/data.keys", testOrigin)
					if oerr != nil {
						t.Fatalf("%s: %v", name, oerr)
					}
					after := k.Status()
					if err == nil && after.Ring != l.keys.Status().Ring {
						t.Errorf("%s: the change was acknowledged and is lost", name)
					}
					if after.Ring < before.Ring {
						t.Errorf("%s: ring %d after %d", name, after.Ring, before.Ring)
					}
				}
				if !fired {
					break
				}
			}
		}
	}
}

// TestRingFaults lets single operations fail, with and without effect, in a process that goes on: the next change
// works, and nothing that was acknowledged is lost.
func TestRingFaults(t *testing.T) {
	broken := errors.New("broken disk")
	for _, applied := range []bool{false, true} {
		for at := 0; ; at++ {
			l := newTestLog(t)
			m := l.fs.(*disk.Mem)
			i := l.append(draft("ana", piece(steno.KindInput, "words")), noon)
			first, fired := m.Ops(), false
			m.Fault(func(op disk.Op) disk.Fault {
				if op.N == first+at {
					fired = true
					return disk.Fault{Err: broken, Applied: applied}
				}
				return disk.Fault{}
			})
			err := l.keys.NewKEK()
			if fired && err != nil && !errors.Is(err, broken) {
				t.Errorf("operation %d: %v", at, err)
			}
			m.Fault(nil)
			l.open(i)
			if _, err := Open(m.Crash(rand.New(rand.NewSource(1))), "/data.keys", testOrigin); err != nil {
				t.Fatalf("operation %d (applied %v), power lost after: %v", at, applied, err)
			}
			if err := l.keys.NewKEK(); err != nil {
				t.Fatalf("operation %d: the next change: %v", at, err)
			}
			if err := l.keys.SetApplied(1); err != nil {
				t.Fatal(err)
			}
			l.reopen()
			l.open(i)
			if l.keys.Status().Applied != 1 || l.keys.kek.Len() != 1 {
				t.Errorf("operation %d: applied %d, %d keys", at, l.keys.Status().Applied, l.keys.kek.Len())
			}
			if !fired {
				break
			}
		}
	}
}

func TestCover(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	var root [32]byte
	r.Read(root[:])
	c := newCover(root)
	type hole struct {
		p    path
		bits int
	}
	var holes []hole
	gone := func(p path) bool {
		for _, h := range holes {
			if p.cut(h.bits) == h.p {
				return true
			}
		}
		return false
	}
	for range 300 {
		// Few aliases, days and slots, so that holes meet.
		p := makePath(uint64(r.Intn(12)), uint32(r.Intn(4)), []byte{byte(r.Intn(4)), 0, 0, 0, 0, 0})
		bits := []int{aliasBits, treeDepth, treeDepth, aliasBits + dayBits}[r.Intn(4)]
		if bits == aliasBits && r.Intn(4) > 0 {
			bits = treeDepth
		}
		next, removed := c.puncture(p, bits)
		if was := c.below(p.cut(bits), bits); was != (len(removed) > 0) {
			t.Fatalf("below says %v, %d nodes were removed", was, len(removed))
		}
		c = next
		holes = append(holes, hole{p.cut(bits), bits})
		if err := c.check(); err != nil {
			t.Fatal(err)
		}
	}
	for a := range uint64(14) {
		for d := range uint32(5) {
			for s := range byte(5) {
				p := makePath(a, d, []byte{s, 0, 0, 0, 0, 0})
				i, ok := c.find(p, treeDepth)
				if ok == gone(p) {
					t.Fatalf("path %x: found %v, punctured %v", p, ok, gone(p))
				}
				if ok && descend([32]byte(c[i].Key), p, int(c[i].Bits), treeDepth) != descend(root, p, 0, treeDepth) {
					t.Fatalf("path %x has another key than before", p)
				}
			}
		}
	}
}

func FuzzRing(f *testing.F) {
	m := disk.NewMem()
	if _, err := Create(m, "/k", testOrigin, noon); err != nil {
		f.Fatal(err)
	}
	b, _ := m.ReadFile("/k/ring")
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRing(b)
		if err == nil && len(r.head)+len(r.nonce)+len(r.sealed) != len(b) {
			t.Error("bytes are left over")
		}
	})
}

func FuzzRingContent(f *testing.F) {
	l := newTestLog(f)
	i := l.append(draft("ana", piece(steno.KindInput, "x")), noon)
	j := l.append(draft("bob"), noon)
	for _, err := range []error{l.keys.EraseText(l.leaves[i]), l.keys.Hold(l.leaves[j]), l.keys.ErasePerson("acme", 9)} {
		if err != nil {
			f.Fatal(err)
		}
	}
	b, err := ringEnc.Marshal(l.keys.ring)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseContent(b)
		if err != nil {
			return
		}
		k := newKeys(disk.NewMem(), "/k", testOrigin, nil)
		k.publish(r.copy(), 1)
		_, _ = k.tryEverything()
	})
}

// tryEverything uses a ring of unknown origin as far as its content goes.
func (k *Keys) tryEverything() (Status, error) {
	for _, d := range k.DayKeys() {
		l := &steno.Leaf{DayKey: d.No}
		if _, err := k.opening(l); err != nil && !errors.Is(err, ErrErased) && !errors.Is(err, ErrSealed) {
			return Status{}, err
		}
	}
	return k.Status(), nil
}
