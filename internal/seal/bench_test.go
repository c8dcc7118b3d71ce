package seal

import (
	"math/rand"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// BenchmarkSeal seals a record of 4 KiB in three sections with two new pieces.
func BenchmarkSeal(b *testing.B) {
	r := rand.New(rand.NewSource(1))
	l := newTestLog(b)
	random := make([]byte, 8192) // does not compress, so what is measured is the sealing
	r.Read(random)
	b.Run("random", func(b *testing.B) {
		d := draft("ana", steno.Piece{Kind: steno.KindFrame, Bytes: random[:2000]}, steno.Piece{Kind: steno.KindInput, Bytes: random[2000:4096]})
		benchSeal(b, l, d)
	})
	text := prose(r, 8192)
	b.Run("text", func(b *testing.B) {
		benchSeal(b, l, draft("ana", piece(steno.KindFrame, text[:2000]), piece(steno.KindInput, text[2000:4096])))
	})
	b.Run("typical request", func(b *testing.B) {
		benchSeal(b, l, requestDraft(noon, piece(steno.KindFrame, text[:2000]), piece(steno.KindInput, text[2000:4096])))
	})
	b.Run("typical response", func(b *testing.B) { benchSeal(b, l, responseDraft(noon, 1, text[:1000])) })
}

func benchSeal(b *testing.B, l *testLog, d *steno.Draft) {
	b.ReportAllocs()
	var x *Sealed
	for b.Loop() {
		var err error
		if x, err = l.sealer.Seal(d, noon); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(x.Body)), "body-bytes")
}

// BenchmarkKeys derives and seals alone: what of a record's time is neither JSON nor compression.
func BenchmarkKeys(b *testing.B) {
	l := newTestLog(b)
	l.append(draft("ana"), noon)
	day, err := l.sealer.day("acme", noon)
	if err != nil {
		b.Fatal(err)
	}
	chunk := make([]byte, 2000)
	for b.Loop() {
		id := [16]byte(steno.NewID(time.Unix(0, 0)))
		rec, _, _, err := l.keys.sealing(aliasesInBlock, day, id)
		if err != nil {
			b.Fatal(err)
		}
		w := &bodyWriter{log: l.keys.log, seal: id, b: make([]byte, 0, 8192)}
		for i, s := range []steno.Section{steno.SectionIdentity, steno.SectionPrompt, steno.SectionMetadata} {
			key := sectionKey(rec, s)
			commitSection(s, saltOf(key), 0, make([][32]byte, 4+i), nil)
			if err := w.chunk(chunkSection, s, codecRaw, 0, key, [gcmNonce]byte{}, chunk[:200], padFields); err != nil {
				b.Fatal(err)
			}
		}
		for n := range uint32(2) {
			key := pieceKey(rec, n)
			commitPiece(saltOf(key), chunk)
			if err := w.chunk(chunkPiece, 0, codecRaw, n, key, [gcmNonce]byte{}, chunk, padFields); err != nil {
				b.Fatal(err)
			}
		}
		hashParts(w.b)
	}
}

func BenchmarkOpen(b *testing.B) {
	l := newTestLog(b)
	r := rand.New(rand.NewSource(1))
	i := l.append(requestDraft(noon, piece(steno.KindInput, prose(r, 4096))), noon)
	for b.Loop() {
		if _, err := l.tryOpen(i, all); err != nil {
			b.Fatal(err)
		}
	}
}
