package steno_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
)

// TestVerifyEachByte flips one bit of each byte of each file of a small log in turn.
func TestVerifyEachByte(t *testing.T) {
	l := smallLog(t)
	for range 256 { // so that there is a tile
		e := l.sealed(0, 0, 0)
		e.leaf.Sections, e.leaf.Commitments = 0, nil
		e.apart, e.after = false, time.Microsecond
	}
	// The bulk comes last, so that the positions below reach every kind of frame before it.
	l.entries = slices.Concat(l.entries[:len(l.entries)-257], l.entries[len(l.entries)-256:], l.entries[len(l.entries)-257:len(l.entries)-256])
	for i := range l.entries {
		l.entries[i].leaf.Number = uint64(i + 1)
	}
	wantExit(t, verify(t, l.build(t).write(t), steno.VerifyOptions{}), 0)
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := l.write(t)
			sound, step := l.files[name], 1
			if testing.Short() {
				step = 7
			}
			for pos := 0; pos < len(sound); pos += step {
				if pos > 4500 && pos < len(sound)-600 {
					pos += 37 * step // the bulk: many times the same
				}
				b := bytes.Clone(sound)
				b[pos] ^= 1 << (pos % 8)
				put(t, dir, name, b)
				r := verify(t, dir, steno.VerifyOptions{})
				if r.Exit() != 3 {
					t.Errorf("bit %d of byte %d flipped: exit %d: %s", pos%8, pos, r.Exit(), faults(r))
				}
				placed := slices.ContainsFunc(r.Integrity.Findings, func(f steno.Fault) bool {
					return strings.HasSuffix(f.Where.File, strings.TrimPrefix(name, "../anchor")) && f.Where.File != "" &&
						(f.Where.To == 0 || f.Where.From <= int64(pos) && int64(pos) < f.Where.To)
				})
				if r.Exit() == 3 && !placed {
					t.Errorf("byte %d flipped, and no finding is there: %s", pos, faults(r))
				}
			}
		})
	}
}

// TestVerifyForgeries has somebody recompute all that can be recomputed.
func TestVerifyForgeries(t *testing.T) {
	honest := smallLog(t).build(t)
	remembered := honest.files["checkpoint"]
	// without the key: all hashes, trees, commits and state frames are new, the checkpoint is the old one
	keyless := func(change func(l *testLog)) *testLog {
		l := smallLog(t)
		change(l)
		l.build(t)
		l.files["checkpoint"], l.files["../anchor"] = remembered, remembered
		return l
	}
	withKey := func(change func(l *testLog)) *testLog {
		l := smallLog(t)
		change(l)
		return l.build(t)
	}
	remove := func(l *testLog) {
		l.entries = slices.Delete(l.entries, 3, 4)
		l.renumber()
	}
	swap := func(l *testLog) {
		l.entries[6].leaf, l.entries[7].leaf = l.entries[7].leaf, l.entries[6].leaf
		l.entries[6].body, l.entries[7].body = l.entries[7].body, l.entries[6].body
		l.renumber()
	}
	cut := func(l *testLog) { l.entries = l.entries[:len(l.entries)-2] }
	alter := func(l *testLog) { l.entries[3].body[5] ^= 1 }
	add := func(l *testLog) {
		l.sealed(0, 0, 10)
		n := len(l.entries)
		l.entries[n-1], l.entries[n-2] = l.entries[n-2], l.entries[n-1]
		l.renumber()
	}
	backdate := func(l *testLog) { l.entries[4].leaf.SourceAt, l.entries[4].leaf.Record = 1, steno.ID{1} }
	anchored := steno.VerifyOptions{Checkpoint: remembered}
	for name, c := range map[string]struct {
		log  *testLog
		o    steno.VerifyOptions
		exit int
	}{
		"removed, without the key":                         {keyless(remove), steno.VerifyOptions{}, 3},
		"swapped, without the key":                         {keyless(swap), steno.VerifyOptions{}, 3},
		"altered, without the key":                         {keyless(alter), steno.VerifyOptions{}, 3},
		"added, without the key":                           {keyless(add), steno.VerifyOptions{}, 3},
		"backdated, without the key":                       {keyless(backdate), steno.VerifyOptions{}, 3},
		"cut, without the key":                             {keyless(cut), steno.VerifyOptions{}, 3},
		"cut, with the key, against a checkpoint":          {withKey(cut), anchored, 3},
		"removed, with the key, against a checkpoint":      {withKey(remove), anchored, 3},
		"altered, with the key, against a checkpoint":      {withKey(alter), anchored, 3},
		"swapped, with the key, against a checkpoint":      {withKey(swap), anchored, 3},
		"altered, with the key, nothing remembered":        {withKey(alter), steno.VerifyOptions{}, 0},
		"altered, with the key, only the key remembered":   {withKey(alter), steno.VerifyOptions{VKey: honest.vkey}, 0},
		"honest, against a checkpoint":                     {honest, anchored, 0},
		"removed with its exchange's other half, with key": {withKey(func(l *testLog) { l.entries = slices.Delete(l.entries, 9, 10); l.renumber() }), steno.VerifyOptions{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := verify(t, c.log.write(t), c.o)
			wantExit(t, r, c.exit)
			if c.exit == 0 && c.o.VKey == "" && c.o.Checkpoint == nil && (r.Trust != steno.TrustSelf || !strings.Contains(faults(r), "not a forger")) {
				t.Error("it does not say that it is anchored to nothing but itself")
			}
		})
	}
}

// renumber hides that something was removed or added.
func (l *testLog) renumber() {
	for i := range l.entries {
		l.entries[i].leaf.Number = uint64(i + 1)
	}
}

func TestVerifyAnotherKey(t *testing.T) {
	honest := smallLog(t).build(t)
	forged := smallLog(t)
	skey, vkey, err := note.GenerateKey(testRandom(9), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	if forged.signer, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	forged.vkey = vkey
	forged.entries[0].leaf.Public, _ = steno.EncodePublic(steno.LogCreated{Origin: testOrigin, VKey: vkey, Created: testStart})
	dir := forged.build(t).write(t)
	wantExit(t, verify(t, dir, steno.VerifyOptions{}), 0)
	wantExit(t, verify(t, dir, steno.VerifyOptions{VKey: honest.vkey}), 3)
	wantExit(t, verify(t, dir, steno.VerifyOptions{Checkpoint: honest.files["checkpoint"]}), 3)

	known := filepath.Join(t.TempDir(), "known")
	wantExit(t, verify(t, honest.write(t), steno.VerifyOptions{Remember: known}), 0)
	wantExit(t, verify(t, dir, steno.VerifyOptions{Remember: known}), 3)
}

func TestVerifyRemembers(t *testing.T) {
	known := filepath.Join(t.TempDir(), "known")
	o := steno.VerifyOptions{Remember: known}
	short := newTestLog(t)
	short.sealed(0, 0, 20)
	r := verify(t, short.build(t).write(t), o)
	if r.Integrity.Verdict != steno.Holds || r.Trust != steno.TrustSelf || !strings.Contains(faults(r), "first use") {
		t.Errorf("first use: %s", faults(r))
	}
	first, err := os.ReadFile(known)
	if err != nil {
		t.Fatal(err)
	}

	forked := newTestLog(t)
	forked.sealed(0, 0, 21)
	forked.stop(t)
	wantExit(t, verify(t, forked.build(t).write(t), o), 3)
	if after, _ := os.ReadFile(known); !bytes.Equal(first, after) {
		t.Error("a failed verification changed what is remembered")
	}

	grown := newTestLog(t)
	grown.sealed(0, 0, 20)
	grown.stop(t)
	dir := grown.build(t).write(t)
	r = verify(t, dir, o)
	wantExit(t, r, 0)
	if r.Trust != steno.TrustRemembered {
		t.Errorf("trust %s", r.Trust)
	}
	second, _ := os.ReadFile(known)
	if bytes.Equal(first, second) {
		t.Error("the newer checkpoint is not remembered")
	}
	wantExit(t, verify(t, short.write(t), o), 3) // the same log with its end cut off
	if after, _ := os.ReadFile(known); !bytes.Equal(second, after) {
		t.Error("a failed verification changed what is remembered")
	}
	wantExit(t, verify(t, dir, o), 0)
}

// TestVerifyGoesOnAfterDamage damages the first segment so that a frame's length is lost, and another byte far behind it.
func TestVerifyGoesOnAfterDamage(t *testing.T) {
	l := smallLog(t).build(t)
	dir := l.write(t)
	first := bytes.Clone(l.files[l.made[0]])
	at := bytes.Index(first, l.entries[3].body) - steno.FrameHeaderSize - steno.FrameSize(l.entries[3].leaf.Size())
	first[at+2] ^= 0x40
	last := bytes.Clone(l.files[l.made[2]])
	in := bytes.Index(last, l.entries[10].body)
	last[in] ^= 1
	put(t, dir, l.made[0], first)
	put(t, dir, l.made[2], last)
	r := verify(t, dir, steno.VerifyOptions{})
	wantExit(t, r, 3)
	found := func(file string, from, to int) bool {
		return slices.ContainsFunc(r.Integrity.Findings, func(f steno.Fault) bool {
			return f.Where.File == file && f.Where.From <= int64(from) && f.Where.To >= int64(to)
		})
	}
	if !found(l.made[0], at, at+steno.FrameHeaderSize) || !found(l.made[2], in, in+9) {
		t.Errorf("want findings in %s at %d and in %s at %d: %s", l.made[0], at, l.made[2], in, faults(r))
	}
	if slices.ContainsFunc(r.Integrity.Findings, func(f steno.Fault) bool { return f.Where.File == l.made[1] }) {
		t.Errorf("the segment between is sound: %s", faults(r))
	}
	if r.Signed == nil {
		t.Errorf("the state frame after the damage leads to the signed root, which shows that what follows is sound: %s", faults(r))
	}
}

func TestVerifyFindingsAreBounded(t *testing.T) {
	l := newTestLog(t)
	for range 300 {
		l.sealed(0, 0, 50)
	}
	l.stop(t)
	dir := l.build(t).write(t)
	b := bytes.Clone(l.files[l.made[0]])
	for _, e := range l.entries[2:302] {
		b[bytes.Index(b, e.body)] ^= 1
	}
	put(t, dir, l.made[0], b)
	r := verify(t, dir, steno.VerifyOptions{})
	if len(r.Integrity.Findings) != 100 || r.Integrity.Count < 290 {
		t.Errorf("%d findings of %d", len(r.Integrity.Findings), r.Integrity.Count)
	}
}

// TestVerifyCommitFields changes each field of a commit and recomputes the checksum of its frame.
func TestVerifyCommitFields(t *testing.T) {
	l := smallLog(t).build(t)
	for name, field := range map[string]int{"first": 7, "count": 11, "tree": 15, "size": 23, "root": 30, "written": 57, "group bytes": 67} {
		b := bytes.Clone(l.files[l.made[0]])
		at := bytes.Index(b, []byte{0, 0, 0, steno.CommitSize, byte(steno.FrameCommit), 0, 0, 0})
		b[at+steno.FrameHeaderSize+field] ^= 1
		head, err := steno.ParseSegmentHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		copy(b[at:], steno.AppendFrame(nil, &head, int64(at), steno.FrameCommit, b[at+steno.FrameHeaderSize:][:steno.CommitSize]))
		dir := l.write(t)
		put(t, dir, l.made[0], b)
		r := verify(t, dir, steno.VerifyOptions{})
		t.Log(name, faults(r))
		wantExit(t, r, 3)
	}
}

// TestVerifyHeaderFields changes each field of a header and recomputes its checksum, and its frames' too.
func TestVerifyHeaderFields(t *testing.T) {
	for name, change := range map[string]func(h *steno.SegmentHeader){
		"log":    func(h *steno.SegmentHeader) { h.Log[3] ^= 1 },
		"number": func(h *steno.SegmentHeader) { h.Number = 0 },
		"first":  func(h *steno.SegmentHeader) { h.FirstLeaf++ },
		"root":   func(h *steno.SegmentHeader) { h.Root[0] ^= 1 },
	} {
		l := smallLog(t).build(t)
		old, err := steno.ParseSegmentHeader(l.files[l.made[2]])
		if err != nil {
			t.Fatal(err)
		}
		head := old
		change(&head)
		in := l.files[l.made[2]]
		out := head.Append(nil)
		for at := steno.SegmentHeaderSize; at < len(in); {
			h, err := steno.ParseFrameHeader(in[at:])
			if err != nil {
				t.Fatal(err)
			}
			out = steno.AppendFrame(out, &head, int64(len(out)), h.Type, in[at+steno.FrameHeaderSize:][:h.Length])
			at += steno.FrameSize(h.Length)
		}
		l.files[l.made[2]] = out
		r := verify(t, l.write(t), steno.VerifyOptions{})
		t.Log(name, faults(r))
		if r.Exit() == 0 {
			t.Errorf("%s: %s", name, faults(r))
		}
	}
}

func TestVerifyErasedBodies(t *testing.T) {
	erased := func(l *testLog) string {
		dir := l.build(t).write(t)
		b := bytes.Clone(l.files[l.made[0]])
		clear(b[bytes.Index(b, l.entries[3].body):][:100])
		put(t, dir, l.made[0], b)
		return dir
	}
	wantExit(t, verify(t, erased(smallLog(t)), steno.VerifyOptions{}), 3)

	l := smallLog(t)
	l.public(t, steno.TypeDayKeyDestroyed, steno.DayKeyDestroyed{No: 1, Class: "standard", Day: "2026-11-23"})
	n := len(l.entries)
	l.entries[n-1].leaf, l.entries[n-2].leaf = l.entries[n-2].leaf, l.entries[n-1].leaf
	l.renumber()
	r := verify(t, erased(l), steno.VerifyOptions{})
	wantExit(t, r, 0)
	if r.Counts.Erased != 1 {
		t.Errorf("%d bodies are erased", r.Counts.Erased)
	}
}

// TestVerifyEnds looks at what a crash leaves, and at what is no crash.
func TestVerifyEnds(t *testing.T) {
	l := newTestLog(t)
	l.sealed(0, 0, 40)
	l.build(t)
	signed := l.files["checkpoint"]
	l.sealed(0, 0, 40).apart = true
	l.stop(t)
	l.build(t)
	b := l.files[l.made[0]]
	for name, c := range map[string]struct {
		cut        int
		live       bool
		checkpoint []byte
		exit       int
	}{
		"whole":               {0, false, l.files["checkpoint"], 0},
		"torn beyond signed":  {20, false, signed, 5},
		"torn, live":          {20, true, signed, 0},
		"torn below signed":   {20, false, l.files["checkpoint"], 3},
		"torn, live, signed":  {20, true, l.files["checkpoint"], 3},
		"nothing signed":      {0, false, nil, 5},
		"only a header":       {len(b) - 64, false, signed, 3},
		"an empty file":       {len(b), false, signed, 3},
		"in the middle of it": {len(b) / 2, false, signed, 3},
	} {
		t.Run(name, func(t *testing.T) {
			dir := l.write(t)
			put(t, dir, l.made[0], b[:len(b)-c.cut])
			for _, at := range []string{"checkpoint", "../anchor"} {
				put(t, dir, at, c.checkpoint)
				if c.checkpoint == nil {
					os.Remove(diskPath(dir, at))
				}
			}
			wantExit(t, verify(t, dir, steno.VerifyOptions{Live: c.live}), c.exit)
		})
	}
}

// TestVerifySuperseded leaves what a start after a crash leaves on its way.
func TestVerifySuperseded(t *testing.T) {
	l := smallLog(t).build(t)
	uncut := smallLog(t) // the same log, its last segment not begun: its leaves are groups of the one before
	uncut.entries[10].roll, uncut.entries[10].apart = false, true
	uncut.build(t)
	l.files[l.made[1]] = uncut.files[uncut.made[1]]
	r := verify(t, l.write(t), steno.VerifyOptions{})
	wantExit(t, r, 0)
	if !strings.Contains(faults(r), "superseded") {
		t.Error(faults(r))
	}

	whole := smallLog(t) // a segment that an earlier start began later in the log
	whole.entries[11].roll = true
	whole.build(t)
	l.build(t)
	old := whole.files[whole.made[3]]
	head, err := steno.ParseSegmentHeader(old)
	if err != nil {
		t.Fatal(err)
	}
	head.Number = 1 // less than that of the segment that supersedes it
	copy(old, head.Append(nil))
	l.files[whole.made[3]] = old
	r = verify(t, l.write(t), steno.VerifyOptions{})
	wantExit(t, r, 0)
	if !strings.Contains(faults(r), "superseded by a later segment") {
		t.Error(faults(r))
	}
}

func TestVerifySegmentsMissing(t *testing.T) {
	for i := range 3 {
		l := smallLog(t).build(t)
		delete(l.files, l.made[i])
		r := verify(t, l.write(t), steno.VerifyOptions{})
		wantExit(t, r, 3)
	}
	l := smallLog(t).build(t)
	for _, name := range l.made {
		delete(l.files, name)
	}
	l.files["journal/notes.txt"] = []byte("x")
	wantExit(t, verify(t, l.write(t), steno.VerifyOptions{}), 3)
}

func TestVerifyDerivedFiles(t *testing.T) {
	l := smallLog(t)
	for range 600 {
		l.sealed(0, 0, 0).after = time.Millisecond
	}
	l.stop(t)
	l.entries = slices.Delete(l.entries, 11, 12)
	l.renumber()
	l.build(t)
	for name, c := range map[string]struct {
		change func()
		exit   int
		says   string
	}{
		"a tile is missing":    {func() { delete(l.files, "tile/0/001") }, 0, "1 full tiles are not written"},
		"checkpoint missing":   {func() { delete(l.files, "checkpoint") }, 0, "the published checkpoint is missing"},
		"anchor missing":       {func() { delete(l.files, "../anchor") }, 0, "no anchor"},
		"settings missing":     {func() { delete(l.files, "steno.json") }, 0, "steno writes it again"},
		"settings of another":  {func() { l.files["steno.json"] = []byte(`{"format":1,"origin":"x"}`) }, 3, "first leaf"},
		"tile of more leaves":  {func() { l.files["tile/0/002"] = make([]byte, 8192) }, 3, "does not have"},
		"a short tile":         {func() { l.files["tile/0/000"] = make([]byte, 32) }, 3, "it should have 8192"},
		"another file":         {func() { l.files["extra"] = nil; l.files["tile/9/x"] = nil; l.files["journal/y"] = nil }, 0, "journal/y"},
		"index and followers":  {func() { l.files["index/a"] = nil; l.files["followers/b"] = nil }, 0, "index: lies beside"},
		"checkpoint of others": {func() { l.files["checkpoint"] = []byte("x\n1\n\n") }, 3, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			l.build(t)
			c.change()
			r := verify(t, l.write(t), steno.VerifyOptions{})
			wantExit(t, r, c.exit)
			if !strings.Contains(faults(r), c.says) {
				t.Errorf("it does not say %q: %s", c.says, faults(r))
			}
		})
	}
}

// TestVerifyUnsigned has a log whose end nobody signed for a long time.
func TestVerifyUnsigned(t *testing.T) {
	l := newTestLog(t)
	l.sealed(0, 0, 40)
	l.build(t)
	signed := l.files["checkpoint"]
	for range 20 {
		l.public(t, steno.TypeHeartbeat, steno.Heartbeat{}).after = 10 * time.Second
	}
	l.stop(t)
	l.build(t)
	l.files["checkpoint"], l.files["../anchor"] = signed, signed
	r := verify(t, l.write(t), steno.VerifyOptions{})
	wantExit(t, r, 5)
	if r.Integrity.Verdict != steno.Unknown || r.Unsigned != 21 {
		t.Error(faults(r))
	}
}

func TestVerifyTexts(t *testing.T) {
	l := smallLog(t)
	l.sealed(0, 0, 2<<20)
	l.entries = slices.Delete(l.entries, 11, 12)
	l.stop(t)
	l.renumber()
	dir := l.build(t).write(t)
	seen := map[uint64][32]byte{}
	r := verify(t, dir, steno.VerifyOptions{Texts: func(i uint64, leaf *steno.Leaf, body []byte) error {
		seen[i] = sha256.Sum256(body)
		if len(body) == 33 {
			return fmt.Errorf("its commitment is another")
		}
		return nil
	}})
	wantExit(t, r, 3)
	if r.Integrity.Count != 1 || *r.Integrity.Findings[0].Where.Leaf != 4 {
		t.Error(faults(r))
	}
	for i, e := range l.entries {
		if sum, ok := seen[uint64(i)]; ok != (len(e.body) > 0) || ok && sum != sha256.Sum256(e.body) {
			t.Errorf("leaf %d: its body was not opened as it is", i)
		}
	}
}

// TestFrameChecksum pins the checksum to the page that describes it, apart from the code that computes it elsewhere.
func TestFrameChecksum(t *testing.T) {
	l := smallLog(t).build(t)
	b := l.files[l.made[0]]
	seed := make([]byte, 32)
	id := sha256.Sum256([]byte(testOrigin))
	copy(seed, id[:16])
	seed[31] = steno.SegmentHeaderSize
	h, err := steno.ParseFrameHeader(b[steno.SegmentHeaderSize:])
	if err != nil {
		t.Fatal(err)
	}
	at := steno.SegmentHeaderSize
	sum := crc32.Checksum(slices.Concat(seed, b[at:at+8], b[at+12:at+12+h.Length]), crc32.MakeTable(crc32.Castagnoli))
	if want := []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}; !bytes.Equal(b[at+8:at+12], want) {
		t.Errorf("checksum % x, want % x", b[at+8:at+12], want)
	}
}
