package index

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/seal"
)

// testKeys has one day key.
func testKeys(day uint32, table string) (key [32]byte, err error) {
	if day != 1 {
		return key, seal.ErrErasedDay
	}
	copy(key[:], table)
	return key, nil
}

// Whatever stands in a file of the index, it is read as written or refused.
func FuzzSealed(f *testing.F) {
	plain := bytes.Repeat([]byte("rows and rows "), 10_000) // several chunks
	whole, err := tableKeys(testKeys).sealFile(tableEvents, 1, plain)
	if err != nil {
		f.Fatal(err)
	}
	short, err := tableKeys(testKeys).sealFile(tableEvents, 1, plain[:10])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(short)
	f.Add(short[:sealedHeader])
	f.Add(whole[:len(whole)-1])
	f.Add(append(bytes.Clone(short), short...))
	f.Fuzz(func(t *testing.T, b []byte) {
		fsys := disk.NewMem()
		if err := fsys.MkdirAll("/i"); err != nil {
			t.Fatal(err)
		}
		if err := disk.WriteFile(fsys, "/i/f", b); err != nil {
			t.Fatal(err)
		}
		s, err := tableKeys(testKeys).openSealed(fsys, &chunkCache{all: map[chunkName]*chunk{}}, "/i/f", tableEvents)
		if err != nil {
			if !errors.Is(err, errDamaged) && !errors.Is(err, seal.ErrErased) {
				t.Fatal(err)
			}
			return
		}
		defer s.Close()
		got, err := io.ReadAll(io.NewSectionReader(s, 0, s.size))
		switch {
		case err != nil && !errors.Is(err, errDamaged):
			t.Fatal(err)
		case err == nil && !bytes.Equal(got, plain) && !bytes.Equal(got, plain[:10]): // each process seals anew
			t.Fatalf("%d bytes that nobody sealed were opened", len(got))
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, s := range []string{"", "_", "1_00000000000000000000000000000000", Position{at: -5}.String(), Position{at: noon.UnixNano()}.String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err != nil {
			return
		}
		again, err := ParsePosition(p.String())
		if err != nil || again != p {
			t.Fatalf("%q is %v, and then %v (%v)", s, p, again, err)
		}
	})
}
