package steno_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
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

const testOrigin = "log.example/test"

// entry is one record of a log under test, and what comes before and after it.
type entry struct {
	leaf  steno.Leaf
	body  []byte
	roll  bool // begins a new segment
	apart bool // begins a new group
	after time.Duration
}

// testLog is a writer of its own: it knows the format and nothing of internal/journal, so that it can also write what
// a forger would.
type testLog struct {
	signer  note.Signer
	vkey    string
	entries []entry
	files   map[string][]byte // by path below the data directory; "../anchor" is the anchor's checkpoint
	root    [32]byte
	state   steno.State
	made    []string // names of the segments
}

var testSource = [16]byte{0xaa, 1}

const testStart = int64(1_790_000_000_000_000_000)

func newTestLog(t testing.TB) *testLog {
	skey, vkey, err := note.GenerateKey(testRandom(7), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	l := &testLog{signer: signer, vkey: vkey}
	l.public(t, steno.TypeLogCreated, steno.LogCreated{Origin: testOrigin, VKey: vkey, Created: testStart})
	l.public(t, steno.TypeSourceStarted, steno.SourceStarted{
		Name: "gateway", Version: "test", HeartbeatNS: int64(10 * time.Second), ExchangeTimeout: int64(time.Minute),
	})
	return l
}

// testRandom is a source of bytes that are the same in every run.
type testRandom byte

func (r testRandom) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r) * byte(i+1)
	}
	return len(p), nil
}

func (l *testLog) public(t testing.TB, kind steno.PublicType, v any) *entry {
	b, err := steno.EncodePublic(v)
	if err != nil {
		t.Fatal(err)
	}
	return l.add(steno.Leaf{Log: steno.Log(kind >> 8), Type: uint16(kind & 0xff), Flags: steno.FlagPublicOnly, Public: b}, nil)
}

func (l *testLog) sealed(flags steno.LeafFlags, exchange byte, size int) *entry {
	n := len(l.entries)
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(i*7+n) | 1
	}
	leaf := steno.Leaf{
		Flags: flags, Sections: steno.SectionIdentity | steno.SectionPrompt, Seal: [16]byte{1, byte(n)}, KeyRef: [16]byte{2, byte(n)}, DayKey: 1,
		Commitments: [][32]byte{{byte(n)}, {3}},
	}
	if exchange > 0 {
		leaf.Exchange = steno.ID{exchange, 1}
	}
	return l.add(leaf, body)
}

func (l *testLog) add(leaf steno.Leaf, body []byte) *entry {
	leaf.Source, leaf.Number = testSource, 1
	if n := len(l.entries); n > 0 {
		leaf.Source = l.entries[n-1].leaf.Source
		leaf.Number = l.entries[n-1].leaf.Number + 1
	}
	l.entries = append(l.entries, entry{leaf: leaf, body: body, apart: len(l.entries)%3 == 0, after: 100 * time.Millisecond})
	return &l.entries[len(l.entries)-1]
}

// stop ends the log cleanly.
func (l *testLog) stop(t testing.TB) {
	l.public(t, steno.TypeSourceStopped, steno.SourceStopped{Reason: "test"}).apart = true
}

// build computes everything anew from the entries: hashes, tree, commits, state frames, tiles, checkpoint.
func (l *testLog) build(t testing.TB) *testLog {
	l.files, l.state, l.made = map[string][]byte{}, steno.State{}, nil
	var seg []byte
	var head steno.SegmentHeader
	name := ""
	groupAt, first := 0, uint64(0)
	now := testStart
	commit := func() {
		if l.state.Size == first {
			return
		}
		c := steno.Commit{
			FirstLeaf: first, Count: uint32(l.state.Size - first), Size: l.state.Size, Root: l.state.Root(), WrittenAt: now,
			GroupBytes: uint32(len(seg) - groupAt), Clock: steno.NewClockState(true, 5),
		}
		seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameCommit, c.Append(nil))
	}
	var hashes [][32]byte
	for i := range l.entries {
		e := &l.entries[i]
		switch {
		case i == 0 || e.roll:
			commit()
			if i > 0 {
				l.files[name] = seg
			}
			name = fmt.Sprintf("journal/%016x.seg", l.state.Size)
			l.made = append(l.made, name)
			root := l.state.Root()
			head = steno.SegmentHeader{Log: steno.NewLogID(testOrigin), Number: uint64(len(l.made) - 1), FirstLeaf: l.state.Size, Root: [12]byte(root[:12])}
			seg = head.Append(nil)
			seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameState, l.state.Append(nil))
			groupAt, first = len(seg), l.state.Size
		case e.apart:
			commit()
			groupAt, first = len(seg), l.state.Size
		}
		now += int64(e.after)
		leaf := e.leaf
		leaf.WrittenAt, leaf.SourceAt = now, now-1000
		if leaf.Record.IsZero() {
			leaf.Record = steno.ID{9, byte(i), byte(i >> 8)}
		}
		if len(e.body) > 0 && leaf.BodyLength == 0 {
			leaf.BodyLength, leaf.BodyHash = uint64(len(e.body)), sha256.Sum256(e.body)
		}
		raw := leaf.Append(nil)
		seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameLeaf, raw)
		if len(e.body) > 0 {
			seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameBody, e.body)
		}
		l.state.Add(&leaf, steno.LeafHash(raw))
		hashes = append(hashes, steno.LeafHash(raw))
	}
	commit()
	l.files[name] = seg
	l.root = l.state.Root()
	l.tiles(hashes)
	l.files["steno.json"] = fmt.Appendf(nil, `{"format":1,"origin":%q,"vkey":%q}`, testOrigin, l.vkey)
	return l.sign(t)
}

// tiles writes the full tiles by recursion over the whole tree, which is not how the verifier does it.
func (l *testLog) tiles(level [][32]byte) {
	for n := 0; len(level) >= 256; n++ {
		var above [][32]byte
		for i := 0; i+256 <= len(level); i += 256 {
			l.files[fmt.Sprintf("tile/%d/%03d", n, i/256)] = bytes.Join(slices.Collect(func(yield func([]byte) bool) {
				for _, h := range level[i : i+256] {
					if !yield(h[:]) {
						return
					}
				}
			}), nil)
			above = append(above, perfectRoot(level[i:i+256]))
		}
		level = above
	}
}

func perfectRoot(h [][32]byte) [32]byte {
	if len(h) == 1 {
		return h[0]
	}
	return steno.NodeHash(perfectRoot(h[:len(h)/2]), perfectRoot(h[len(h)/2:]))
}

func (l *testLog) checkpoint(t testing.TB) []byte {
	c := steno.Checkpoint{Origin: testOrigin, Size: l.state.Size, Root: l.root}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, l.signer)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (l *testLog) sign(t testing.TB) *testLog {
	l.files["checkpoint"] = l.checkpoint(t)
	l.files["../anchor"] = l.files["checkpoint"]
	return l
}

// write puts the files into a new directory.
func (l *testLog) write(t testing.TB) string {
	dir := filepath.Join(t.TempDir(), "log")
	for _, name := range slices.Sorted(maps.Keys(l.files)) {
		put(t, dir, name, l.files[name])
	}
	return dir
}

func diskPath(dir, name string) string {
	if name == "../anchor" {
		return filepath.Join(dir+".anchor", "checkpoint")
	}
	return filepath.Join(dir, filepath.FromSlash(name))
}

func put(t testing.TB, dir, name string, b []byte) {
	t.Helper()
	path := diskPath(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// smallLog has three segments, public and sealed records, exchanges open over a segment's end, and stops cleanly.
func smallLog(t testing.TB) *testLog {
	l := newTestLog(t)
	l.public(t, steno.TypeDayKeyOpened, steno.DayKeyOpened{No: 1, Class: "standard", Day: "2026-11-23", KeepUntil: "2028-11-23"})
	l.sealed(steno.FlagOpens, 1, 100)
	l.sealed(steno.FlagOpens, 2, 33)
	l.sealed(steno.FlagCloses, 1, 7)
	l.sealed(0, 1, 10).roll = true
	l.sealed(steno.FlagContinues, 2, 64)
	l.public(t, steno.TypeHeartbeat, steno.Heartbeat{Open: 1})
	l.sealed(steno.FlagCloses, 2, 51)
	l.sealed(steno.FlagOpens|steno.FlagCloses, 3, 9).roll = true
	l.stop(t)
	return l
}

func verify(t testing.TB, dir string, o steno.VerifyOptions) *steno.Report {
	t.Helper()
	r, err := steno.VerifyDir(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func faults(r *steno.Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "integrity %s (%d), completeness %s (%d), trust %s: %s\n",
		r.Integrity.Verdict, r.Integrity.Count, r.Completeness.Verdict, r.Completeness.Count, r.Trust, r.TrustWords)
	for _, f := range slices.Concat(r.Integrity.Findings, r.Completeness.Findings) {
		fmt.Fprintf(&b, "  %s: %s: %s\n", f.Verdict, f.Where, f.What)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "  note: %s\n", n)
	}
	for _, n := range r.NotLookedAt {
		fmt.Fprintf(&b, "  not looked at: %s\n", n)
	}
	return b.String()
}

func wantExit(t testing.TB, r *steno.Report, code int) {
	t.Helper()
	if r.Exit() != code || r.ExitCode != code {
		t.Errorf("exit %d, want %d: %s", r.Exit(), code, faults(r))
	}
}

func TestVerifySoundLogs(t *testing.T) {
	long := newTestLog(t)
	for i := range 256*256 + 300 {
		e := long.sealed(0, 0, 0)
		e.leaf.Sections, e.leaf.Commitments, e.after = 0, nil, time.Microsecond
		e.apart, e.roll = i%50 == 0, i%30_000 == 29_999
	}
	long.stop(t)
	big := newTestLog(t)
	big.sealed(0, 0, 3<<20)
	big.sealed(0, 0, 900<<10)
	big.sealed(0, 0, 600<<10)
	big.sealed(0, 0, 1<<20-12)
	big.stop(t)
	for name, l := range map[string]*testLog{"small": smallLog(t), "long": long, "big bodies": big} {
		t.Run(name, func(t *testing.T) {
			dir := l.build(t).write(t)
			r := verify(t, dir, steno.VerifyOptions{})
			wantExit(t, r, 0)
			if r.Trust != steno.TrustSelf || r.Origin != testOrigin || r.VKey != l.vkey || r.Size != uint64(len(l.entries)) ||
				r.Root != fmt.Sprintf("%x", l.root) || r.Unsigned != 0 || r.Signed.Size != r.Size || r.Counts.Records != r.Size ||
				r.Counts.Segments != len(l.made) {
				t.Errorf("report: %+v", r)
			}
			if want := countTiles(l); r.Counts.Tiles != want {
				t.Errorf("%d tiles compared, want %d", r.Counts.Tiles, want)
			}
			if !strings.Contains(faults(r), "shows accidents, not a forger") {
				t.Error("it does not say that it is anchored to nothing")
			}
			pinned := verify(t, dir, steno.VerifyOptions{VKey: l.vkey, Checkpoint: l.files["checkpoint"]})
			wantExit(t, pinned, 0)
			if pinned.Trust != steno.TrustCheckpoint {
				t.Errorf("trust %s", pinned.Trust)
			}
		})
	}
}

func countTiles(l *testLog) (n uint64) {
	for name := range l.files {
		if strings.HasPrefix(name, "tile/") {
			n++
		}
	}
	return n
}

func TestVerifyNeedsALog(t *testing.T) {
	for name, dir := range map[string]string{"missing": filepath.Join(t.TempDir(), "no"), "empty": t.TempDir(), "file": mustFile(t)} {
		if r, err := steno.VerifyDir(t.Context(), dir, steno.VerifyOptions{}); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	dir := smallLog(t).build(t).write(t)
	for name, o := range map[string]steno.VerifyOptions{
		"vkey": {VKey: "no key"}, "checkpoint": {Checkpoint: []byte("no checkpoint")}, "remember": {Remember: badFile(t)},
	} {
		if r, err := steno.VerifyDir(t.Context(), dir, o); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func mustFile(t testing.TB) string {
	dir := t.TempDir()
	put(t, dir, "x", nil)
	return filepath.Join(dir, "x")
}

func badFile(t testing.TB) string {
	dir := t.TempDir()
	put(t, dir, "known", []byte("only two\n"))
	return filepath.Join(dir, "known")
}

func BenchmarkVerify(b *testing.B) {
	for _, size := range []int{300, 2000, 32_000} {
		b.Run(fmt.Sprintf("body=%d", size), func(b *testing.B) {
			l := newTestLog(b)
			for i := range (48 << 20) / (size + 300) {
				e := l.sealed(0, 0, size)
				binary.BigEndian.PutUint64(e.body, uint64(i)|1<<63)
				e.apart, e.after = i%20 == 0, time.Microsecond
			}
			l.stop(b)
			dir := l.build(b).write(b)
			bytes := int64(0)
			for name, f := range l.files {
				if strings.HasPrefix(name, "journal/") {
					bytes += int64(len(f))
				}
			}
			b.SetBytes(bytes)
			for b.Loop() {
				wantExit(b, verify(b, dir, steno.VerifyOptions{}), 0)
			}
		})
	}
	b.Run("sha256-one-core", func(b *testing.B) {
		buf := make([]byte, 1<<20)
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			sha256.Sum256(buf)
		}
	})
}
