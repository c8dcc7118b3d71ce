package seal

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/steno-audit/steno"
)

func sampleList() []entry {
	c := func(b byte) [32]byte { return [32]byte{b} }
	return []entry{
		{kind: steno.KindHead, length: 300, commitment: c(1), piece: 0},
		{kind: steno.KindInput, length: 1, commitment: c(2), piece: 1},
		{kind: steno.KindInput, length: 262144, commitment: c(3), piece: 2},
		{kind: steno.KindMark, at: 70000, length: 9, commitment: c(4), piece: 3},
		{kind: steno.KindHistory, old: true, leaf: 1 << 40, piece: 7},
		{kind: steno.KindHistory, old: true, leaf: 1 << 40, piece: 8},
		{kind: steno.KindHistory, old: true, leaf: 3, piece: 9},
		{kind: steno.KindMark, at: 3, old: true, leaf: 5, piece: 0},
		{kind: steno.KindFrame, old: true, leaf: 5, piece: 1<<20 - 1},
		{kind: steno.KindFrame, length: 0, commitment: c(5), piece: 4},
	}
}

func TestList(t *testing.T) {
	want := sampleList()
	b := appendList(nil, want)
	got, err := parseList(b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for n := range b {
		if l, err := parseList(b[:n]); err == nil && reflect.DeepEqual(l, want) {
			t.Errorf("cut at %d it is the same", n)
		}
	}
	for name, b := range map[string][]byte{
		"an unknown kind":       {14 << 2, 1},
		"a mark in a plain run": {13<<2 | runNew, 1},
		"a plain piece as mark": {3<<2 | runNewMark, 0, 0},
		"too many":              {3<<2 | runOld, 0, 0, 0x80, 0x80, 0x80, 0x01},
		"none":                  {3<<2 | runOld, 0, 0, 0},
		"a long number":         {3<<2 | runOld, 0x80, 0x00, 0, 1},
		"a negative leaf":       {3<<2 | runOld, 1, 0, 1},
		"a piece too long":      append([]byte{3 << 2, 1, 0x81, 0x80, 0x10}, make([]byte, 32)...),
	} {
		if l, err := parseList(b); err == nil {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func FuzzList(f *testing.F) {
	f.Add(appendList(nil, sampleList()))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseList(b)
		if err != nil {
			return
		}
		again, err := parseList(appendList(nil, l))
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

func FuzzFields(f *testing.F) {
	b, err := appendFields(nil, []steno.Field{{Name: "a", Value: []byte("1")}, {Name: "", Value: nil}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := parseFields(b)
		if err != nil {
			return
		}
		again, err := appendFields(nil, fields)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("it does not come back: %v", err)
		}
	})
}

func FuzzBody(f *testing.F) {
	l := newTestLog(f)
	f.Add(l.bodies0(f))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := parseBody(b)
		if err != nil {
			return
		}
		n := 0
		for _, chunks := range p.sections {
			for i := range chunks {
				n += steno.ChunkHeaderSize + len(chunks[i].sealed)
				_, _ = chunks[i].open(l.keys.log, [16]byte{}, [32]byte{})
			}
		}
		for i := range p.pieces {
			n += steno.ChunkHeaderSize + len(p.pieces[i].sealed)
		}
		if n != len(b) {
			t.Errorf("%d bytes in chunks, %d in all", n, len(b))
		}
	})
}

func (l *testLog) bodies0(t testing.TB) []byte {
	x, err := l.sealer.Seal(fullDraft("ana"), noon)
	if err != nil {
		t.Fatal(err)
	}
	return x.Body
}

// FuzzDecode undoes codecs and padding of bytes of any origin, as if their seal had opened.
func FuzzDecode(f *testing.F) {
	text := bytes.Repeat([]byte("some text "), 30)
	c, e := encode(text, false, padFields)
	f.Add(byte(c), append(bytes.Clone(e), 0x80))
	f.Add(byte(codecZstd), append(zstdPlain.EncodeAll(text, nil), 0x80, 0))
	f.Add(byte(codecZstd), append(zstdPlain.EncodeAll(make([]byte, 1<<19), nil), 0x80, 0))
	f.Fuzz(func(t *testing.T, c byte, b []byte) {
		p, err := unpad(b)
		if err != nil {
			return
		}
		if out, err := decode(codec(c), p); err == nil && len(out) > steno.MaxChunkPlain {
			t.Errorf("%d bytes came out", len(out))
		}
	})
}
