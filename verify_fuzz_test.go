package steno

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// fuzzSegment is a small sound segment.
func fuzzSegment(body int) []byte {
	head := SegmentHeader{Log: NewLogID("log.example/fuzz")}
	empty := State{}
	root := empty.Root()
	head.Root = [12]byte(root[:12])
	seg := head.Append(nil)
	seg = AppendFrame(seg, &head, int64(len(seg)), FrameState, empty.Append(nil))
	at := len(seg)
	public, _ := EncodePublic(LogCreated{Origin: "log.example/fuzz", VKey: "k", Created: 1})
	created := Leaf{Log: LogMonitoring, Type: 1, Flags: FlagPublicOnly, WrittenAt: 1, Number: 1, Public: public}
	sealed := Leaf{WrittenAt: 1, Number: 2, Sections: SectionPrompt, Commitments: make([][32]byte, 1), BodyLength: uint64(body)}
	for _, l := range []*Leaf{&created, &sealed} {
		seg = AppendFrame(seg, &head, int64(len(seg)), FrameLeaf, l.Append(nil))
		empty.Add(l, LeafHash(l.Append(nil)))
	}
	seg = AppendFrame(seg, &head, int64(len(seg)), FrameBody, make([]byte, body))
	c := Commit{Count: 2, Size: 2, Root: empty.Root(), WrittenAt: 1, GroupBytes: uint32(len(seg) - at)}
	return AppendFrame(seg, &head, int64(len(seg)), FrameCommit, c.Append(nil))
}

func FuzzVerifyFile(f *testing.F) {
	f.Add(fuzzSegment(10))
	f.Add(fuzzSegment(3000))
	f.Add(fuzzSegment(10)[:300])
	f.Add([]byte("log.example/fuzz\n2\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— x AAAA\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<20 {
			t.Skip()
		}
		r, err := verifyBytes(t.Context(), "fuzz", bytes.NewReader(b), int64(len(b)), VerifyOptions{Now: time.Unix(0, 2)})
		if err != nil {
			return
		}
		if r.Exit() == 0 {
			t.Errorf("one file alone is never found complete: %+v", r)
		}
		if r.Counts.BodyBytes > int64(len(b)) && r.Integrity.Verdict != Fails {
			t.Errorf("%d bytes of bodies in a file of %d", r.Counts.BodyBytes, len(b))
		}
	})
}

func FuzzParseLeaf(f *testing.F) {
	f.Add((&Leaf{Sections: SectionPrompt | SectionOutput, Commitments: make([][32]byte, 2), Public: []byte{0xa0}}).Append(nil))
	f.Add((&Leaf{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLeaf(b)
		if err == nil && !bytes.Equal(l.Append(nil), b) {
			t.Error("a leaf has two encodings")
		}
	})
}

func FuzzParseState(f *testing.F) {
	s := State{Size: 3, Edge: make([][32]byte, 2), Sources: []SourceState{{Number: 3}}, Open: []OpenExchange{{FirstLeaf: 2}}}
	f.Add(s.Append(nil))
	f.Add((&State{}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseState(b); err == nil && len(s.Append(nil)) != len(b) {
			t.Error("bytes of a state are not accounted for")
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add((&Commit{Count: 2, Size: 2}).Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := ParseCommit(b); err == nil && !bytes.Equal(c.Append(nil), b) {
			t.Error("a commit has two encodings")
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add(Checkpoint{Origin: "log.example/fuzz", Size: 7}.Text())
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := ParseCheckpoint(text); err == nil && !strings.HasPrefix(text, c.Text()) {
			t.Error("a checkpoint has two encodings")
		}
	})
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("0/x001/x234/067")
	f.Fuzz(func(t *testing.T, p string) {
		if level, n, ok := parseTilePath(p); ok && tilePath(level, n) != p {
			t.Error("a tile has two paths")
		}
	})
}
