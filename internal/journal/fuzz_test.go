package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// FuzzSegment opens a log whose only segment holds any bytes. It is refused with a reason, or it is a whole log and
// can be gone on with; and walking over the same bytes does not trust them more.
func FuzzSegment(f *testing.F) {
	whole, ends := killed(f, 3)
	b, err := whole.ReadFile(firstSegment)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, uint16(0), byte(0))
	f.Add(b[:ends[2]+20], uint16(0), byte(0))
	f.Add(b[:ends[0]], uint16(0), byte(0))
	f.Add(b, uint16(ends[1]+1), byte(0x40))
	f.Add(b, uint16(ends[2]+3), byte(1))
	f.Add([]byte{}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint16, flip byte) {
		b = bytes.Clone(b)
		if int(at) < len(b) {
			b[at] ^= flip
		}
		fsys := disk.NewMem()
		if err := disk.WriteFile(fsys, "/segment", b); err != nil {
			t.Fatal(err)
		}
		if file, err := fsys.Open("/segment"); err == nil && len(b) >= steno.SegmentHeaderSize {
			h := steno.SegmentHeader{Log: steno.NewLogID(testOrigin)}
			w := newWalker(file, "/segment", h, steno.SegmentHeaderSize, int64(len(b)), pointWindow)
			for i := range uint64(len(b)) {
				if _, err := w.entry(i, true); err != nil {
					break
				}
			}
		}
		openAnyBytes(t, b)
	})
}

// FuzzFrames opens a log whose only segment holds any order of frames with right checksums.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 4, 0, 6, 0}) // leaf, leaf with body, commit
	f.Add([]byte{2, 9, 2, 9, 6, 0, 2, 3, 6, 0, 2, 1})
	f.Add([]byte{2, 9, 6, 1, 2, 3, 6, 0, 6, 2})
	f.Add([]byte{2, 9, 4, 9, 6, 0, 1, 0, 3, 0, 5, 5, 7, 7})
	f.Fuzz(func(t *testing.T, plan []byte) {
		state := steno.State{}
		root := state.Root()
		h := steno.SegmentHeader{Log: steno.NewLogID(testOrigin), Root: [12]byte(root[:12])}
		b := h.Append(nil)
		b = steno.AppendFrame(b, &h, int64(len(b)), steno.FrameState, state.Append(nil))
		group := steno.Commit{}
		start := len(b)
		for ; len(plan) >= 2 && len(b) < 1<<16; plan = plan[2:] {
			what, n := plan[0]%8, int(plan[1])
			frame := func(t steno.FrameType, p []byte) { b = steno.AppendFrame(b, &h, int64(len(b)), t, p) }
			switch what {
			case 0, 1, 2, 3: // a leaf; 2 and 3: with its body; odd: with a wrong promise
				leaf, body := sealedLeaf(len(b)), testBody(n, n)
				leaf.Number, leaf.BodyLength, leaf.BodyHash = 1, uint64(n), sha256.Sum256(body)
				if what&1 == 1 {
					leaf.BodyHash[0]++
				}
				raw := leaf.Append(nil)
				state.Add(&leaf, steno.LeafHash(raw))
				group.Count++
				frame(steno.FrameLeaf, raw)
				if what >= 2 && n > 0 {
					frame(steno.FrameBody, body)
				}
			case 4:
				frame(steno.FrameBody, testBody(n, n))
			case 5:
				frame(steno.FrameType(n%4+1), testBody(n, steno.CommitSize))
			default: // a commit, of which up to one thing is wrong
				group.Size, group.Root, group.GroupBytes = state.Size, state.Root(), uint32(len(b)-start)
				group.WrittenAt = state.WrittenAt
				switch n % 8 {
				case 1:
					group.Count++
				case 2:
					group.Root[0]++
				case 3:
					group.GroupBytes++
				case 4:
					group.FirstLeaf++
					group.Size++
				}
				frame(steno.FrameCommit, group.Append(nil))
				group = steno.Commit{FirstLeaf: state.Size}
				start = len(b)
			}
		}
		openAnyBytes(t, b)
	})
}

// openAnyBytes opens a log whose only segment holds these bytes, which must be refused or be good to go on with.
func openAnyBytes(t *testing.T, b []byte) {
	fsys := disk.NewMem()
	if err := fsys.MkdirAll("/data/journal"); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(fsys, firstSegment, b); err != nil {
		t.Fatal(err)
	}
	j, rec, err := Open(t.Context(), testConfig(fsys))
	if err != nil {
		var damage *DamageError
		if !errors.As(err, &damage) || damage.From < 0 || damage.To > int64(len(b)) {
			t.Fatalf("refused with %v", err)
		}
		if now, err := fsys.ReadFile(firstSegment); err != nil || !bytes.Equal(now, b) {
			t.Fatal("a refused log was touched")
		}
		return
	}
	l := &testLog{j, rec, testConfig(fsys)}
	defer l.Close()
	l.append(t, 77, 10)
	s := readStory(t, fsys, "/data")
	if uint64(len(s.leaves)) != rec.Size+1 {
		t.Fatalf("%d leaves were recovered, and one was added; the files hold %d", rec.Size, len(s.leaves))
	}
	l.checkReading(t, s)
	l.checkProofs(t, s)
}

func FuzzTilePath(f *testing.F) {
	for _, s := range []string{
		"tile/0/000", "tile/0/x001/x234/067.p/5", "tile/entries/x999/001", "tile/63/000", "tile/0/067/", "tile/0/x067",
		"tile/0/+67", "tile/00/067", "tile/0/067.p/0", "tile/0/067.p/256", "tile/0/x000/067", "tile/64/000",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		level, n, width, ok := parseTilePath(s)
		if !ok {
			return
		}
		rest, _, _ := strings.Cut(s, ".p/")
		if width == 0 || width > tileWidth || level < -1 || level > 63 || strings.Contains(s, ".p/") != (width < tileWidth) {
			t.Fatalf("%q: level %d, width %d", s, level, width)
		}
		if name := strings.Split(rest, "/")[1]; tilePath(name, n) != rest {
			t.Fatalf("%q is read as %s", s, tilePath(name, n))
		}
	})
}

func FuzzCheckpoint(f *testing.F) {
	v, err := note.NewVerifier(testVKey)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		testOrigin + "\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
		testOrigin + "\n5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nextension\n",
		testOrigin + "\n05\nAAAA\n", testOrigin + "\n", "\n\n\n", "other\n1\n\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		msg, err := note.Sign(&note.Note{Text: text}, testSigner)
		if err != nil {
			return
		}
		c, err := openCheckpoint(msg, testOrigin, v)
		if err != nil {
			return
		}
		again, err := signCheckpoint(testOrigin, testSigner, c.size, c.root)
		if err != nil {
			t.Fatal(err)
		}
		n, err := note.Open(again.note, note.VerifierList(v))
		if err != nil || !strings.HasPrefix(text, n.Text) {
			t.Fatalf("%q is read as %q, %v", text, n.Text, err)
		}
	})
}

func TestHandler(t *testing.T) {
	l := openLog(t, testConfig(disk.NewMem()))
	l.fill(t, 0, 300, 20)
	l.check(t)
	l.append(t, 1000, 20) // durable, not covered
	for path, want := range map[string]int{
		"/checkpoint": 200, "checkpoint": 200, "/tile/0/000": 200, "/tile/0/000.p/17": 200, "/tile/0/001.p/44": 200,
		"/tile/0/001.p/45": 404, "/tile/0/001": 404, "/tile/1/000.p/1": 200, "/tile/1/000.p/2": 404, "/tile/2/000.p/1": 404,
		"/tile/63/000.p/1": 404, "/tile/0/x999/x999/x999/x999/x999/999": 404, "/tile/entries/001.p/44": 200,
		"/tile/entries/001.p/45": 404, "/tile/entries/000": 200, "/tile/0/1": 404, "/tile/0/000.p/0": 404, "/tile/8/0/000": 404,
		"/body/0": 200, "/body/299": 200, "/body/300": 404, "/body/00": 404, "/body/": 404, "/body/-1": 404,
		"/body/18446744073709551615": 404, "/": 404, "/journal/0000000000000000.seg": 404, "/tile/../journal": 404,
	} {
		r := testRequest("GET", path)
		w := answerOf(l, r)
		if w.Code != want {
			t.Errorf("%s: %d, not %d", path, w.Code, want)
		}
		cache := w.Header().Get("Cache-Control")
		if want == 200 && strings.Contains(path, "tile") != strings.Contains(cache, "immutable") {
			t.Errorf("%s: Cache-Control %q", path, cache)
		}
		head := answerOf(l, testRequest("HEAD", path))
		if head.Code != want || want == 200 && (head.Body.Len() != 0 || head.Header().Get("Content-Length") != w.Header().Get("Content-Length")) {
			t.Errorf("HEAD %s: %d, %v", path, head.Code, head.Header())
		}
	}
	if w := answerOf(l, testRequest("POST", "/checkpoint")); w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Errorf("POST: %d", w.Code)
	}
	w := answerOf(l, testRequest("GET", "/checkpoint"))
	if b, _ := io.ReadAll(w.Body); w.Header().Get("Content-Type") != "text/plain; charset=utf-8" || !bytes.Equal(b, l.Checkpoint()) {
		t.Errorf("the checkpoint is served as %v: %s", w.Header(), b)
	}
}
