package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math/rand"
	mathrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const testOrigin = "example.com/log"

var testSigner, testVKey = func() (note.Signer, string) {
	skey, vkey, err := note.GenerateKey(rand.New(rand.NewSource(1)), testOrigin)
	if err != nil {
		panic(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		panic(err)
	}
	return s, vkey
}()

// testLog is a log under test. Its check reads the files without any code of the package.
type testLog struct {
	*Journal
	rec *Recovered
	cfg Config
}

func testConfig(fsys disk.FS) Config {
	return Config{
		FS: fsys, Dir: "/data", AnchorDir: "/data.anchor", Origin: testOrigin, Signer: testSigner, VKey: testVKey,
		CheckpointEvery: -1, SegmentBytes: 16 << 10,
	}
}

func openLog(t testing.TB, cfg Config) *testLog {
	t.Helper()
	j, rec, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return &testLog{j, rec, cfg}
}

// reopen closes the log and opens it again.
func (l *testLog) reopen(t testing.TB) *testLog {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return openLog(t, l.cfg)
}

// testBody returns bytes that tell where they belong, never all zero.
func testBody(seed, size int) []byte {
	b := make([]byte, size)
	r := mathrand.NewPCG(uint64(seed), 1)
	for i := range b {
		b[i] = byte(r.Uint64() >> 56)
	}
	if size > 0 {
		b[0] |= 1
	}
	return b
}

func sealedLeaf(seed int) steno.Leaf {
	r := mathrand.NewPCG(uint64(seed), 2)
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint64() >> 56)
		}
	}
	l := steno.Leaf{Sections: steno.SectionIdentity | steno.SectionPrompt, SourceAt: int64(seed), DayKey: 1}
	fill(l.Record[:])
	fill(l.Exchange[:])
	fill(l.Seal[:])
	l.Commitments = make([][32]byte, 2)
	fill(l.Commitments[0][:])
	fill(l.Commitments[1][:])
	return l
}

// append appends a record and waits for it.
func (l *testLog) append(t testing.TB, seed, size int) uint64 {
	t.Helper()
	i, err := l.Append(sealedLeaf(seed), testBody(seed, size)).Wait(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// fill appends n records at once and waits for all.
func (l *testLog) fill(t testing.TB, seed, n, size int) {
	t.Helper()
	var pending []*Pending
	for i := range n {
		pending = append(pending, l.Append(sealedLeaf(seed+i), testBody(seed+i, size)))
	}
	for _, p := range pending {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// story is what the files of a log say.
type story struct {
	leaves [][]byte
	bodies [][]byte
	stored []tlog.Hash
	state  steno.State
}

func (s *story) root(t testing.TB, size uint64) tlog.Hash {
	t.Helper()
	if size == 0 {
		return tlog.Hash(steno.EmptyRoot)
	}
	h, err := tlog.TreeHash(int64(size), hashReader(s.stored))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func hashReader(stored []tlog.Hash) tlog.HashReaderFunc {
	return func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, x := range indexes {
			if x >= int64(len(stored)) {
				return nil, fmt.Errorf("hash %d of %d", x, len(stored))
			}
			out[i] = stored[x]
		}
		return out, nil
	}
}

func (s *story) add(t testing.TB, leaf, body []byte) {
	t.Helper()
	hashes, err := tlog.StoredHashes(int64(len(s.leaves)), leaf, hashReader(s.stored))
	if err != nil {
		t.Fatal(err)
	}
	s.stored = append(s.stored, hashes...)
	s.leaves, s.bodies = append(s.leaves, leaf), append(s.bodies, body)
	l, err := steno.ParseLeaf(leaf)
	if err != nil {
		t.Fatal(err)
	}
	if l.WrittenAt < s.state.WrittenAt {
		t.Fatalf("leaf %d was written before the one before it", len(s.leaves)-1)
	}
	s.state.Add(l, [32]byte(tlog.RecordHash(leaf)))
}

// readStory reads the segments in order and checks all that is in them.
func readStory(t testing.TB, fsys disk.FS, dir string) *story {
	t.Helper()
	dir = filepath.Join(dir, "journal")
	names, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	type file struct {
		name  string
		h     steno.SegmentHeader
		bytes []byte
	}
	var files []file
	for _, n := range names {
		if len(n) != 20 || !strings.HasSuffix(n, ".seg") || n != strings.ToLower(n) {
			continue
		}
		b, err := fsys.ReadFile(filepath.Join(dir, n))
		if err != nil {
			t.Fatal(err)
		}
		h, err := steno.ParseSegmentHeader(b)
		if err != nil {
			t.Fatalf("%s: %v", n, err)
		}
		if want := fmt.Sprintf("%016x.seg", h.FirstLeaf); n != want || h.Log != steno.NewLogID(testOrigin) {
			t.Fatalf("%s has the header %+v", n, h)
		}
		files = append(files, file{n, h, b})
	}
	// The number decides: each supersedes what earlier ones hold from its first leaf on.
	slices.SortFunc(files, func(a, b file) int { return int(int64(a.h.Number) - int64(b.h.Number)) })
	s := &story{}
	for i, f := range files {
		end := ^uint64(0)
		for _, later := range files[i+1:] {
			end = min(end, later.h.FirstLeaf)
		}
		if f.h.FirstLeaf < end {
			readSegmentStory(t, s, f.name, f.h, f.bytes, end)
		}
	}
	return s
}

func readSegmentStory(t testing.TB, s *story, name string, h steno.SegmentHeader, b []byte, end uint64) {
	t.Helper()
	frame := func(at int) (steno.FrameType, []byte, int) {
		fh, err := steno.ParseFrameHeader(b[at:])
		if err != nil {
			t.Fatalf("%s at %d: %v", name, at, err)
		}
		p := b[at+12:][:fh.Length]
		if !fh.Check(&h, int64(at), p) {
			t.Fatalf("%s at %d: wrong checksum", name, at)
		}
		return fh.Type, p, at + steno.FrameSize(fh.Length)
	}
	if uint64(len(s.leaves)) != h.FirstLeaf {
		t.Fatalf("%s begins at leaf %d, the log has %d before it", name, h.FirstLeaf, len(s.leaves))
	}
	typ, p, at := frame(64)
	if root := s.root(t, h.FirstLeaf); typ != steno.FrameState || !bytes.Equal(root[:12], h.Root[:]) {
		t.Fatalf("%s: wrong root or no state", name)
	}
	if want := s.state.Append(nil); !bytes.Equal(p, want) {
		t.Fatalf("%s: the state frame is\n%x, computed\n%x", name, p, want)
	}
	first, start := uint64(len(s.leaves)), at
	for at < len(b) && first < end {
		typ, p, next := frame(at)
		switch typ {
		case steno.FrameLeaf:
			l, err := steno.ParseLeaf(p)
			if err != nil {
				t.Fatal(err)
			}
			var body []byte
			if l.BodyLength > 0 {
				if typ, body, next = frame(next); typ != steno.FrameBody || uint64(len(body)) != l.BodyLength || sha256.Sum256(body) != l.BodyHash {
					t.Fatalf("%s at %d: wrong body of leaf %d", name, at, len(s.leaves))
				}
			}
			s.add(t, p, body)
		case steno.FrameCommit:
			c, err := steno.ParseCommit(p)
			if err != nil {
				t.Fatal(err)
			}
			if size := uint64(len(s.leaves)); c.FirstLeaf != first || c.Size != size || c.Root != [32]byte(s.root(t, size)) ||
				c.WrittenAt != s.state.WrittenAt || int(c.GroupBytes) != at-start {
				t.Fatalf("%s at %d: commit %+v after %d leaves", name, at, c, size)
			}
			first, start = uint64(len(s.leaves)), next
		default:
			t.Fatalf("%s at %d: frame of type %d", name, at, typ)
		}
		at = next
	}
	if first != uint64(len(s.leaves)) {
		t.Fatalf("%s ends within a group", name)
	}
}

// parseNote reads a checkpoint without the package's code.
func parseNote(t testing.TB, msg []byte) (size uint64, root []byte) {
	t.Helper()
	v, err := note.NewVerifier(testVKey)
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	var origin, b64 string
	if _, err := fmt.Sscanf(n.Text, "%s\n%d\n%s\n", &origin, &size, &b64); err != nil || origin != testOrigin {
		t.Fatalf("checkpoint %q: %v", n.Text, err)
	}
	if root, err = base64.StdEncoding.DecodeString(b64); err != nil {
		t.Fatal(err)
	}
	return size, root
}

// check verifies everything the log has: what its files say, what it answers, and what it serves.
func (l *testLog) check(t testing.TB) *story {
	t.Helper()
	if _, err := l.Sign(context.Background()); err != nil {
		t.Fatal(err)
	}
	s := readStory(t, l.cfg.FS, l.cfg.Dir)
	if uint64(len(s.leaves)) != l.Size() {
		t.Fatalf("the files hold %d leaves, the log says %d", len(s.leaves), l.Size())
	}
	state := l.State()
	if got, want := state.Append(nil), s.state.Append(nil); !bytes.Equal(got, want) {
		t.Fatalf("the log's state is\n%x, computed\n%x", got, want)
	}
	for name, path := range map[string]string{"anchor": l.cfg.AnchorDir, "published": l.cfg.Dir} {
		msg, err := l.cfg.FS.ReadFile(filepath.Join(path, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		size, root := parseNote(t, msg)
		if want := s.root(t, size); size != l.Size() || !bytes.Equal(root, want[:]) {
			t.Fatalf("%s checkpoint of size %d, root %x; the log has %d, %x", name, size, root, l.Size(), want)
		}
	}
	s.checkNumbers(t)
	l.checkReading(t, s)
	l.checkServed(t, s)
	l.checkProofs(t, s)
	return s
}

// checkNumbers finds holes and repeated numbers of sources. Numbers that were skipped are in a log_gap record.
func (s *story) checkNumbers(t testing.TB) {
	t.Helper()
	last := map[[16]byte]uint64{}
	for i, b := range s.leaves {
		l, _ := steno.ParseLeaf(b)
		if l.Number != last[l.Source]+1 {
			var gap steno.LogGap
			if l.PublicType() != steno.TypeLogGap || steno.DecodePublic(l.Public, &gap) != nil ||
				gap.FirstNumber != last[l.Source]+1 || gap.LastNumber+1 != l.Number {
				t.Fatalf("leaf %d has number %d after %d", i, l.Number, last[l.Source])
			}
		}
		last[l.Source] = l.Number
	}
}

func (l *testLog) checkReading(t testing.TB, s *story) {
	t.Helper()
	same := func(i uint64, e *Entry, body []byte) {
		t.Helper()
		if e.Index != i || !bytes.Equal(e.Raw, s.leaves[i]) || !bytes.Equal(e.Body, body) || !bytes.Equal(e.Leaf.Append(nil), e.Raw) {
			t.Fatalf("leaf %d reads back wrong: %+v", i, e)
		}
	}
	for i := range uint64(len(s.leaves)) {
		e, err := l.Read(i)
		if err != nil {
			t.Fatal(err)
		}
		same(i, e, s.bodies[i])
		if e, err = l.ReadLeaf(i); err != nil {
			t.Fatal(err)
		}
		same(i, e, nil)
	}
	if len(s.leaves) == 0 {
		return
	}
	from := uint64(len(s.leaves)) / 3
	next := from
	for e, err := range l.Follow(t.Context(), from) {
		if err != nil {
			t.Fatal(err)
		}
		same(next, e, s.bodies[next])
		if next++; next == uint64(len(s.leaves)) {
			break
		}
	}
}

func (l *testLog) get(t testing.TB, path string, want int) []byte {
	t.Helper()
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	b, err := io.ReadAll(w.Body)
	if err != nil || w.Code != want {
		t.Fatalf("GET %s: %d, not %d: %s", path, w.Code, want, b)
	}
	return b
}

func (l *testLog) checkServed(t testing.TB, s *story) {
	t.Helper()
	size := int64(len(s.leaves))
	want := map[string][]byte{}
	for _, tile := range tlog.NewTiles(8, 0, size) {
		b, err := tlog.ReadTileData(tile, hashReader(s.stored))
		if err != nil {
			t.Fatal(err)
		}
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		want[path] = b
		if tile.L > 0 {
			continue
		}
		var bundle []byte
		for _, leaf := range s.leaves[tile.N*256:][:tile.W] {
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(leaf))), leaf...)
		}
		want[strings.Replace(path, "tile/0/", "tile/entries/", 1)] = bundle
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if got := l.get(t, "/"+path, 200); !bytes.Equal(got, want[path]) {
			t.Fatalf("%s is %d bytes, and not those of the tree (%d bytes)", path, len(got), len(want[path]))
		}
	}
	if size > 0 {
		if got := l.get(t, fmt.Sprintf("/body/%d", size-1), 200); !bytes.Equal(got, s.bodies[size-1]) {
			t.Fatal("the newest body is served wrong")
		}
	}
}

func (l *testLog) checkProofs(t testing.TB, s *story) {
	t.Helper()
	size := uint64(len(s.leaves))
	root := s.root(t, size)
	for _, i := range []uint64{0, size / 3, size / 2, size - 1} {
		if size == 0 {
			break
		}
		p, err := l.InclusionProof(i, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, int64(size), root, int64(i), tlog.RecordHash(s.leaves[i])); err != nil {
			t.Fatalf("leaf %d of %d: %v", i, size, err)
		}
		c, err := l.ConsistencyProof(i+1, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckTree(c, int64(size), root, int64(i+1), s.root(t, i+1)); err != nil {
			t.Fatalf("%d to %d: %v", i+1, size, err)
		}
	}
}

// soon is a context for waits that are to end.
func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// testRequest makes a request as it arrives behind StripPrefix, which may take the first slash away.
func testRequest(method, path string) *http.Request {
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = path
	return r
}

func answerOf(l *testLog, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	return w
}
