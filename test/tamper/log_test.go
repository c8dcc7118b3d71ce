package tamper_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

const origin = "steno.test/tamper"

// written is a log that journal and seal wrote: two starts, the first of them killed.
type written struct {
	dir    string
	keys   *seal.Keys
	signer note.Signer
	vkey   string
}

func must[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func writeLog(t testing.TB, segmentBytes int64) *written {
	dir := filepath.Join(t.TempDir(), "data")
	w := &written{dir: dir, keys: must(seal.Create(disk.OS(), dir+".keys", origin, time.Now()))(t)}
	signer, vkey, err := w.keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	w.signer, w.vkey = signer, vkey
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Appendf(nil, "{\"format\":1,\"origin\":%q,\"vkey\":%q}\n", origin, vkey)
	if err := os.WriteFile(filepath.Join(dir, "steno.json"), settings, 0o644); err != nil {
		t.Fatal(err)
	}
	for start := range 2 {
		j, rec, err := journal.Open(t.Context(), journal.Config{
			FS: disk.OS(), Dir: dir, AnchorDir: dir + ".anchor", Origin: origin, Signer: signer, VKey: vkey,
			SegmentBytes: segmentBytes, CheckpointEvery: -1,
		})
		if err != nil {
			t.Fatal(err)
		}
		announce := func(kind steno.PublicType, v any) error { _, err := j.Announce(kind, v); return err }
		say := func(kind steno.PublicType, v any) {
			if err := announce(kind, v); err != nil {
				t.Fatal(err)
			}
		}
		if rec.Fresh {
			say(steno.TypeLogCreated, steno.LogCreated{Origin: origin, VKey: vkey, Created: time.Now().UnixNano()})
		}
		started := steno.SourceStarted{Name: "test", Version: "test", HeartbeatNS: int64(time.Hour), ExchangeTimeout: int64(time.Hour)}
		if p := rec.LastSource; p != nil {
			started.Previous, started.PreviousNumber = p.Source[:], p.Number
		}
		say(steno.TypeSourceStarted, started)
		w.calls(t, j, announce, start)
		if start == 1 {
			say(steno.TypeSourceStopped, steno.SourceStopped{Reason: "test"})
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// calls records three turns of a conversation.
func (w *written) calls(t testing.TB, j *journal.Journal, announce func(steno.PublicType, any) error, start int) {
	sealer := seal.NewSealer(w.keys, seal.Config{Announce: announce})
	history := []steno.Piece{{Kind: steno.KindSystem, Bytes: []byte(strings.Repeat("You answer questions about invoices. ", 20))}}
	record := func(d *steno.Draft, flags steno.LeafFlags) {
		s := must(sealer.Seal(d, time.Now()))(t)
		s.Leaf.Flags |= flags
		sealer.Durable(s, must(j.Append(s.Leaf, s.Body).Wait(t.Context()))(t))
	}
	for turn := range 3 {
		now := time.Now()
		x, who := steno.NewID(now), &steno.Identity{User: "ana"}
		history = append(history, steno.Piece{Kind: steno.KindInput, Bytes: fmt.Appendf(nil, "What is due on invoice %d%d?", start, turn)})
		record(&steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.request", Exchange: x, Time: now, Identity: who, Model: &steno.Model{Asked: "m"},
		}, Request: slices.Clone(history)}, steno.FlagOpens)
		answer := steno.Piece{Kind: steno.KindOutput, Bytes: fmt.Appendf(nil, "It is %d euros.", 100+turn)}
		history = append(history, answer)
		record(&steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.response", Exchange: x, Time: now, Identity: who, Result: &steno.Result{End: steno.EndComplete},
		}, Response: []steno.Piece{answer}}, steno.FlagCloses)
	}
}

// files are the log's files, the anchor among them, by name.
func (w *written) files(t testing.TB) map[string][]byte {
	out := map[string][]byte{}
	for prefix, dir := range map[string]string{"": w.dir, "../data.anchor": w.dir + ".anchor"} {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(path)
			rel, _ := filepath.Rel(dir, path)
			out[filepath.Join(prefix, rel)] = b
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// place writes files as another data directory.
func place(t testing.TB, files map[string][]byte) string {
	dir := filepath.Join(t.TempDir(), "data")
	for name, b := range files {
		put(t, filepath.Join(dir, name), b)
	}
	return dir
}

func put(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, dir string, o steno.VerifyOptions) *steno.Report {
	t.Helper()
	return must(steno.VerifyDir(t.Context(), dir, o))(t)
}

func wantExit(t testing.TB, r *steno.Report, code int) {
	t.Helper()
	if r.Exit() != code {
		t.Errorf("exit %d, want %d: %+v %+v %v", r.Exit(), code, r.Integrity, r.Completeness, r.Notes)
	}
}

// record is one leaf with its body.
type record struct {
	leaf *steno.Leaf
	body []byte
}

// segmentRecords are the groups of each segment, in their order.
func segmentRecords(t testing.TB, files map[string][]byte) (names []string, groups [][][]record, heads []steno.SegmentHeader) {
	for name := range files {
		if strings.HasSuffix(name, ".seg") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		b := files[name]
		heads = append(heads, must(steno.ParseSegmentHeader(b))(t))
		var all [][]record
		var group []record
		for at := steno.SegmentHeaderSize; at < len(b); {
			h := must(steno.ParseFrameHeader(b[at:]))(t)
			payload := b[at+steno.FrameHeaderSize:][:h.Length]
			switch h.Type {
			case steno.FrameLeaf:
				group = append(group, record{leaf: must(steno.ParseLeaf(payload))(t)})
			case steno.FrameBody:
				group[len(group)-1].body = bytes.Clone(payload)
			case steno.FrameCommit:
				all, group = append(all, group), nil
			}
			at += steno.FrameSize(h.Length)
		}
		groups = append(groups, all)
	}
	return names, groups, heads
}

// recompute is what a forger does who has the disk: the records are changed and all hashes, trees, commits, headers and
// state frames made anew. Without a signer the checkpoint stays.
func (w *written) recompute(t testing.TB, change func(all []*record), signer note.Signer) map[string][]byte {
	files := w.files(t)
	names, groups, heads := segmentRecords(t, files)
	var all []*record
	for _, s := range groups {
		for _, g := range s {
			for i := range g {
				all = append(all, &g[i])
			}
		}
	}
	change(all)
	var state steno.State
	for i, name := range names {
		delete(files, name)
		root := state.Root()
		head := heads[i]
		head.FirstLeaf, head.Root = state.Size, [12]byte(root[:12])
		seg := head.Append(nil)
		seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameState, state.Append(nil))
		for _, g := range groups[i] {
			at, first := len(seg), state.Size
			for _, r := range g {
				if r.leaf == nil {
					continue
				}
				raw := r.leaf.Append(nil)
				seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameLeaf, raw)
				if len(r.body) > 0 {
					seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameBody, r.body)
				}
				state.Add(r.leaf, steno.LeafHash(raw))
			}
			if state.Size == first {
				continue
			}
			c := steno.Commit{
				FirstLeaf: first, Count: uint32(state.Size - first), Size: state.Size, Root: state.Root(),
				WrittenAt: state.WrittenAt, GroupBytes: uint32(len(seg) - at),
			}
			seg = steno.AppendFrame(seg, &head, int64(len(seg)), steno.FrameCommit, c.Append(nil))
		}
		files[fmt.Sprintf("journal/%016x.seg", head.FirstLeaf)] = seg
	}
	if signer != nil {
		text := steno.Checkpoint{Origin: origin, Size: state.Size, Root: state.Root()}.Text()
		signed := must(note.Sign(&note.Note{Text: text}, signer))(t)
		files["checkpoint"], files["../data.anchor/checkpoint"] = signed, signed
	}
	return files
}
