package tamper_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

func TestSoundLog(t *testing.T) {
	w := writeLog(t, 4000)
	if names, _, _ := segmentRecords(t, w.files(t)); len(names) < 3 {
		t.Fatalf("only %d segments: the sizes of the test do not fit", len(names))
	}
	wantExit(t, verify(t, w.dir, steno.VerifyOptions{}), 0)
	wantExit(t, verify(t, w.dir, steno.VerifyOptions{VKey: w.vkey, Checkpoint: w.files(t)["checkpoint"]}), 0)
	wantExit(t, verify(t, place(t, w.recompute(t, func([]*record) {}, w.signer)), steno.VerifyOptions{}), 0)

	_, groups, _ := segmentRecords(t, w.files(t))
	all := slices.Concat(slices.Concat(groups...)...)
	read := func(i uint64) (*steno.Leaf, []byte, error) { return all[i].leaf, all[i].body, nil }
	const sections = steno.SectionIdentity | steno.SectionPrompt | steno.SectionContext | steno.SectionOutput | steno.SectionMetadata
	r := verify(t, w.dir, steno.VerifyOptions{Texts: func(_ uint64, l *steno.Leaf, body []byte) error {
		o, err := w.keys.Open(l, body, seal.ReadFunc(read), sections)
		if err == nil && len(o.Missing) > 0 {
			err = fmt.Errorf("%d pieces are missing", len(o.Missing))
		}
		return err
	}})
	wantExit(t, r, 0)
	if r.Counts.Texts != 12 || r.Counts.Sources != 2 {
		t.Errorf("%+v", r.Counts)
	}
}

// TestEachByte flips one bit in each byte of each file that the writer left.
func TestEachByte(t *testing.T) {
	w := writeLog(t, 4000)
	files := w.files(t)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == "LOCK" { // holds a pid, and nothing of the log
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := place(t, files)
			step := 1
			if testing.Short() {
				step = 13
			}
			for pos := 0; pos < len(files[name]); pos += step {
				b := bytes.Clone(files[name])
				b[pos] ^= 1 << (pos % 8)
				put(t, dir+"/"+name, b)
				if r := verify(t, dir, steno.VerifyOptions{}); r.Exit() != 3 {
					t.Errorf("bit %d of byte %d flipped: exit %d: %+v", pos%8, pos, r.Exit(), r)
				}
			}
		})
	}
}

// TestForgeries has somebody recompute all that can be, without the signing key, with it, and against what is remembered.
func TestForgeries(t *testing.T) {
	w := writeLog(t, 4000)
	sealed := func(all []*record) (out []int) {
		for i, r := range all {
			if len(r.body) > 0 {
				out = append(out, i)
			}
		}
		return out
	}
	// renumber hides a removal: the source's later records move up, and so does what its successor says of it.
	renumber := func(all []*record, from int) {
		for _, r := range all[from+1:] {
			switch {
			case r.leaf == nil:
			case r.leaf.Source == all[from].leaf.Source:
				r.leaf.Number--
			case r.leaf.PublicType() == steno.TypeSourceStarted:
				var s steno.SourceStarted
				if err := steno.DecodePublic(r.leaf.Public, &s); err != nil {
					t.Fatal(err)
				}
				s.PreviousNumber--
				r.leaf.Public = must(steno.EncodePublic(s))(t)
			}
		}
	}
	changes := map[string]func(all []*record){
		"a record altered": func(all []*record) {
			r := all[sealed(all)[1]]
			r.body[40] ^= 1
			r.leaf.BodyHash = sha256.Sum256(r.body)
		},
		"a record removed": func(all []*record) {
			i := sealed(all)[4] // a request and its answer, so that nothing is left open
			renumber(all, i)
			renumber(all, i+1)
			all[i].leaf, all[i+1].leaf = nil, nil
		},
		"two records swapped": func(all []*record) {
			s := sealed(all)
			a, b := all[s[0]], all[s[2]]
			a.leaf.Number, b.leaf.Number = b.leaf.Number, a.leaf.Number
			a.leaf.WrittenAt, b.leaf.WrittenAt = b.leaf.WrittenAt, a.leaf.WrittenAt
			*a, *b = *b, *a
			c, d := all[s[1]], all[s[3]]
			c.leaf.Number, d.leaf.Number = d.leaf.Number, c.leaf.Number
			c.leaf.WrittenAt, d.leaf.WrittenAt = d.leaf.WrittenAt, c.leaf.WrittenAt
			*c, *d = *d, *c
		},
		"the end cut off": func(all []*record) {
			stop := all[len(all)-1].leaf
			s := sealed(all)
			for _, r := range all[s[len(s)-2]:] {
				stop.Number--
				r.leaf = nil
			}
			stop.Number++
			all[s[len(s)-2]].leaf, all[s[len(s)-2]].body = stop, nil
		},
		"a time moved": func(all []*record) { all[sealed(all)[0]].leaf.SourceAt -= 3600e9 },
	}
	remembered := w.files(t)["checkpoint"]
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			without := place(t, w.recompute(t, change, nil))
			with := place(t, w.recompute(t, change, w.signer))
			wantExit(t, verify(t, without, steno.VerifyOptions{}), 3)
			wantExit(t, verify(t, with, steno.VerifyOptions{Checkpoint: remembered}), 3)
			r := verify(t, with, steno.VerifyOptions{})
			wantExit(t, r, 0)
			if r.Trust != steno.TrustSelf || !strings.Contains(r.TrustWords, "not a forger") {
				t.Errorf("trust %s: %s", r.Trust, r.TrustWords)
			}
		})
	}
}
