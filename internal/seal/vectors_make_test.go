package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func vectorDraft(tenant, user string, pieces ...steno.Piece) *steno.Draft {
	return &steno.Draft{
		Event: steno.Event{
			Type: "inference.request", Identity: &steno.Identity{User: user, Tenant: tenant, Team: "support", Address: "192.0.2.7"},
			Model: &steno.Model{Provider: "openai", Asked: "gpt-4o-mini", Path: "/v1/chat/completions"},
		},
		Request: pieces,
	}
}

func vectorField(t *testing.T) *vector {
	v := newVectorLog(t, "01", "One field of the identity section is opened to who has no key: name, value, salt and path lead to the leaf's commitment, and the leaf to the root. The address beside it stays closed.")
	i := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "Good morning.")), noon, steno.FlagOpens)
	v.ring("only")
	v.opens("only", i, steno.SectionIdentity, steno.SectionMetadata)
	fields, err := v.open(uint64(i)).Fields(steno.SectionIdentity)
	if err != nil {
		t.Fatal(err)
	}
	for n, f := range fields {
		if f.Name == "user.id" {
			v.disclose(i, steno.SectionIdentity, n)
		}
	}
	return v.finish()
}

func vectorPiece(t *testing.T) *vector {
	v := newVectorLog(t, "02", "The second piece of a list is erased: the record's leaf key is punctured, its other keys survive. The neighbour opens and is proved to who has no key; a later record that refers to the erased piece still verifies.")
	texts := []steno.Piece{piece(steno.KindSystem, "You are brief."), piece(steno.KindInput, "My number is 555-0100."), piece(steno.KindInput, "When do you open?")}
	a := v.add(vectorDraft("acme", "ana@example.org", texts...), noon, steno.FlagOpens)
	b := v.add(vectorDraft("acme", "ana@example.org", append(texts, piece(steno.KindInput, "Well?"))...), noon.Add(time.Minute), 0)
	v.ring("before")
	v.opens("before", a, steno.SectionPrompt)
	v.opens("before", b, steno.SectionPrompt)
	err := v.keys.EraseText(v.leaves[a], Part{Section: steno.SectionIdentity}, Part{Section: steno.SectionMetadata}, Part{Piece: 0}, Part{Piece: 2})
	if err != nil {
		t.Fatal(err)
	}
	v.ring("after")
	v.opens("after", a, steno.SectionIdentity, steno.SectionPrompt)
	v.opens("after", b, steno.SectionPrompt)
	v.disclose(a, steno.SectionPrompt, 2)
	return v.finish()
}

func vectorKeyless(t *testing.T) *vector {
	v := newVectorLog(t, "03", "Without any key: each body has the hash that its leaf names, the leaves have the root, and a damaged body is told from a good one.")
	d := vectorDraft("acme", "ana@example.org", piece(steno.KindInput, strings.Repeat("What is it? ", 20)))
	d.Response = []steno.Piece{piece(steno.KindOutput, "It is what it is.")}
	i := v.add(d, noon, steno.FlagOpens|steno.FlagCloses)
	v.v.Rings = nil
	for _, at := range []int{0, len(v.bodies[i]) / 2, len(v.bodies[i]) - 1} {
		bad := bytes.Clone(v.bodies[i])
		bad[at] ^= 1
		v.v.Damaged = append(v.v.Damaged, damagedBody{i, bad})
	}
	return v.finish()
}

func vectorDay(t *testing.T) *vector {
	v := newVectorLog(t, "04", "A day key is destroyed: what was sealed under it does not open any more, the next day's records do.")
	a := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "on Monday")), noon, 0)
	b := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "on Tuesday")), noon.AddDate(0, 0, 1), 0)
	v.ring("before")
	v.opens("before", a, steno.SectionIdentity, steno.SectionPrompt)
	v.opens("before", b, steno.SectionPrompt)
	if err := v.keys.EraseDay(v.leaves[a].DayKey); err != nil {
		t.Fatal(err)
	}
	v.ring("after")
	v.opens("after", a, steno.SectionIdentity, steno.SectionPrompt)
	v.opens("after", b, steno.SectionPrompt)
	if err := v.record(steno.TypeDayKeyDestroyed, steno.DayKeyDestroyed{No: v.leaves[a].DayKey, Class: "standard", Day: "2026-11-23"}); err != nil {
		t.Fatal(err)
	}
	return v.finish()
}

func vectorHold(t *testing.T) *vector {
	v := newVectorLog(t, "05", "Two records of one person are held, then their day key is destroyed: the held ones open by the vault, others of that day do not. Released, they are gone as well.")
	a := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "held")), noon, 0)
	b := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindHistory, "held"), piece(steno.KindInput, "held too")), noon, 0)
	c := v.add(vectorDraft("acme", "ben@example.org", piece(steno.KindInput, "not held")), noon, 0)
	if err := v.keys.Hold(v.leaves[a], v.leaves[b]); err != nil {
		t.Fatal(err)
	}
	v.ring("held")
	v.opens("held", c, steno.SectionPrompt)
	if err := v.keys.EraseDay(v.leaves[a].DayKey); err != nil {
		t.Fatal(err)
	}
	v.ring("expired")
	for _, i := range []int{a, b, c} {
		v.opens("expired", i, steno.SectionIdentity, steno.SectionPrompt)
	}
	if err := v.keys.Release(v.leaves[a].Seal, v.leaves[b].Seal); err != nil {
		t.Fatal(err)
	}
	v.ring("released")
	v.opens("released", b, steno.SectionPrompt)
	return v.finish()
}

func vectorHundred(t *testing.T) *vector {
	v := newVectorLog(t, "06", "The hundredth turn of a conversation refers to what a hundred records before it store; it opens in one step from each. A moving mark stands in the last message.")
	var history []steno.Piece
	last := 0
	for turn := range 100 {
		history = append(history, piece(steno.KindInput, fmt.Sprintf(`,{"role":"user","content":"turn %d"}`, turn)))
		pieces := []steno.Piece{piece(steno.KindFrame, `{"messages":[`)}
		for i, p := range history {
			if i < len(history)-1 {
				p.Kind = steno.KindHistory
			}
			pieces = append(pieces, p)
		}
		pieces = append(pieces, steno.Piece{Kind: steno.KindMark, Bytes: []byte(`"cache_control":{"type":"ephemeral"},`), At: 2}, piece(steno.KindFrame, `]}`))
		last = v.add(vectorDraft("acme", "ana@example.org", pieces...), noon.Add(time.Duration(turn)*time.Second), 0)
	}
	v.ring("only")
	v.opens("only", last, steno.SectionPrompt)
	return v.finish()
}

func vectorMidnight(t *testing.T) *vector {
	v := newVectorLog(t, "07", "A call over midnight: its request is sealed under one day key, its response under the next. Destroying the first leaves the second.")
	midnight := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	q := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "How late is it?")), midnight.Add(-time.Second), steno.FlagOpens)
	d := vectorDraft("acme", "ana@example.org")
	d.Type, d.Response = "inference.response", []steno.Piece{piece(steno.KindHead, `{"status":200}`), piece(steno.KindOutput, "Midnight.")}
	a := v.add(d, midnight.Add(time.Second), steno.FlagCloses)
	v.ring("before")
	v.opens("before", q, steno.SectionPrompt)
	v.opens("before", a, steno.SectionOutput)
	if err := v.keys.EraseDay(v.leaves[q].DayKey); err != nil {
		t.Fatal(err)
	}
	v.ring("after")
	v.opens("after", q, steno.SectionPrompt)
	v.opens("after", a, steno.SectionOutput)
	return v.finish()
}

func vectorTenants(t *testing.T) *vector {
	v := newVectorLog(t, "08", "Two tenants in one log, each with a tree and day keys of its own. A person of the first is erased; the person of the same name at the second is not, nor is who else is at the first.")
	a := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "at acme")), noon, 0)
	b := v.add(vectorDraft("binco", "ana@example.org", piece(steno.KindInput, "at binco")), noon, 0)
	c := v.add(vectorDraft("acme", "", piece(steno.KindInput, "the tenant's own")), noon, 0)
	v.ring("before")
	for _, i := range []int{a, b, c} {
		v.opens("before", i, steno.SectionPrompt)
	}
	if err := v.keys.ErasePerson("acme", v.open(uint64(a)).Alias); err != nil {
		t.Fatal(err)
	}
	v.ring("after")
	for _, i := range []int{a, b, c} {
		v.opens("after", i, steno.SectionPrompt)
	}
	return v.finish()
}

func vectorKEKs(t *testing.T) *vector {
	v := newVectorLog(t, "09", "The ring under a new key-encryption key: the same content, a number higher; neither key opens the other's ring.")
	i := v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "words")), noon, 0)
	v.ring("before")
	if err := v.keys.NewKEK(); err != nil {
		t.Fatal(err)
	}
	v.ring("after")
	v.opens("before", i, steno.SectionPrompt)
	v.opens("after", i, steno.SectionPrompt)
	v.v.Closed = []closedRing{{"before", "after"}, {"after", "before"}}
	_, vkey, err := v.keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	v.v.VKey = vkey
	return v.finish()
}

func vectorEngine(t *testing.T) *vector {
	v := newVectorLog(t, "10", "The log in a stream engine: each leaf is one message, its index the message's offset. The tree is a function of the leaves' bytes in that order and of nothing else.")
	for _, w := range []string{"one", "two", "three"} {
		v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, w)), noon, 0)
	}
	out := v.finish()
	out.Rings = nil
	var hashes [][32]byte
	for i, l := range out.Leaves {
		hashes = append(hashes, steno.LeafHash(l))
		root := rootOf(hashes)
		out.Messages = append(out.Messages, message{i, l, root[:]})
	}
	return out
}

func vectorStream(t *testing.T) *vector {
	v := &vector{About: "Encodings of every codec. Codec 2 and the parts of codec 3 use the dictionary, whose hash is here."}
	h := sha256.Sum256(dictionary)
	v.Hashes = map[string]string{"internal/seal/dictionary.v1": hex.EncodeToString(h[:])}
	chat := `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1760000000,"model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":%q},"finish_reason":null}]}` + "\n\n"
	var b strings.Builder
	for _, w := range strings.SplitAfter("It was a bright cold day in April, and the clocks were striking thirteen.", " ") {
		fmt.Fprintf(&b, chat, w)
	}
	b.WriteString("data: [DONE]\n\n")
	for _, s := range []string{b.String(), string(sampleStream(12)), "event: cut off in a str\ndata: {\"a\":\"b", ""} {
		e, ok := encodeStream([]byte(s))
		if !ok {
			t.Fatal("no encoding")
		}
		v.Streams = append(v.Streams, encoded{int(codecStream), e, hexBytes(s)})
	}
	// One whose parts are raw, byte by byte as described: one column, one template "n=" "", events 8, same, next, next.
	hand := []byte{0x00, 20, 1, 1, 1, 2, 'n', '=', 2, 1, '\n', 3, 0, 2, 0, 0, 0, 1, 4, 0, 1, 2, 2, 1, '8'}
	hand[1] = byte(len(hand) - 3)
	plain, err := decodeStream(hand)
	if err != nil || string(plain) != "n=8\nn=8\nn=9\nn=10\n" {
		t.Fatalf("%q, %v", plain, err)
	}
	v.Streams = append(v.Streams, encoded{int(codecStream), hand, plain})
	text := []byte(strings.Repeat("a text that repeats itself, ", 5))
	fields, err := appendFields(nil, []steno.Field{{Name: "type", Value: []byte(`"inference.request"`)}, {Name: "model/gen_ai.request.model", Value: []byte(`"gpt-4o-mini"`)}})
	if err != nil {
		t.Fatal(err)
	}
	v.Streams = append(
		v.Streams, encoded{int(codecRaw), text, text}, encoded{int(codecZstd), zstdPlain.EncodeAll(text, nil), text},
		encoded{int(codecDict), zstdDict.EncodeAll(fields, nil), fields},
	)
	return v
}

// segmentVector is a file of the journal, and what a reader must find in it.
type segmentVector struct {
	Bytes    hexBytes      `json:"bytes"`
	Number   uint64        `json:"number"`
	First    uint64        `json:"first_leaf"`
	State    stateVector   `json:"state"`
	Commits  []stateCommit `json:"commits"`
	Torn     int           `json:"torn"` // bytes at the end that are no whole group
	LastSize uint64        `json:"size"` // of the tree after it
}

type stateVector struct {
	Size      uint64     `json:"size"`
	WrittenAt int64      `json:"written_at"`
	Edge      []hexBytes `json:"edge"`
	Sources   int        `json:"sources"`
	Open      int        `json:"open"`
}

type stateCommit struct {
	Size      uint64   `json:"size"`
	Root      hexBytes `json:"root"`
	WrittenAt int64    `json:"written_at"`
	Bytes     uint32   `json:"group_bytes"`
	Clock     uint32   `json:"clock"`
}

func vectorSegment(t *testing.T) *vector {
	v := newVectorLog(t, "12", "Two segments of one log. The first has two groups and the beginning of a third that was torn; the second begins where the whole groups end.")
	v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "one")), noon, steno.FlagOpens)
	v.add(vectorDraft("acme", "ana@example.org", piece(steno.KindInput, "two")), noon, steno.FlagOpens)
	d := vectorDraft("acme", "ana@example.org")
	d.Response = []steno.Piece{piece(steno.KindOutput, "three")}
	v.add(d, noon, steno.FlagCloses)
	out := v.finish()
	out.Rings = nil

	var state steno.State
	next := 0
	segment := func(number uint64, groups ...int) segmentVector {
		root := state.Root()
		h := steno.SegmentHeader{Log: v.keys.log, Number: number, FirstLeaf: state.Size, Root: [12]byte(root[:])}
		s := segmentVector{Number: number, First: state.Size, State: stateVector{
			Size: state.Size, WrittenAt: state.WrittenAt, Edge: []hexBytes{}, Sources: len(state.Sources), Open: len(state.Open),
		}}
		for _, e := range state.Edge {
			s.State.Edge = append(s.State.Edge, bytes.Clone(e[:]))
		}
		b := h.Append(nil)
		b = steno.AppendFrame(b, &h, int64(len(b)), steno.FrameState, state.Append(nil))
		for i, n := range groups {
			before, at := state, len(b)
			before.Edge, before.Sources, before.Open = slices.Clone(state.Edge), slices.Clone(state.Sources), slices.Clone(state.Open)
			first := next
			for range n {
				l := v.leaves[next]
				b = steno.AppendFrame(b, &h, int64(len(b)), steno.FrameLeaf, out.Leaves[next])
				if l.BodyLength > 0 {
					b = steno.AppendFrame(b, &h, int64(len(b)), steno.FrameBody, out.Bodies[next])
				}
				state.Add(l, steno.LeafHash(out.Leaves[next]))
				next++
			}
			if i == 2 { // torn: a leaf without its commit
				s.Torn = len(b) - at
				state, next = before, first
				break
			}
			root := state.Root()
			c := steno.Commit{
				FirstLeaf: uint64(first), Count: uint32(n), Size: state.Size, Root: root, WrittenAt: state.WrittenAt,
				GroupBytes: uint32(len(b) - at), Clock: steno.NewClockState(true, 250),
			}
			b = steno.AppendFrame(b, &h, int64(len(b)), steno.FrameCommit, c.Append(nil))
			s.Commits = append(s.Commits, stateCommit{c.Size, root[:], c.WrittenAt, c.GroupBytes, uint32(c.Clock)})
		}
		s.Bytes, s.LastSize = b, state.Size
		return s
	}
	out.Segments = append(out.Segments, segment(0, 5, 1, 1), segment(1, len(v.leaves)-6))
	return out
}
