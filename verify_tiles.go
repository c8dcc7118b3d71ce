package steno

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const tileSize = tileHashes * 32

// tilePath is the path of a full tile under tile/, as C2SP tlog-tiles writes it: 1234067 is x001/x234/067.
func tilePath(level int, n uint64) string {
	p := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		p = fmt.Sprintf("x%03d/%s", n%1000, p)
	}
	return strconv.Itoa(level) + "/" + p
}

// parseTilePath reads what tilePath writes.
func parseTilePath(p string) (level int, n uint64, ok bool) {
	l, rest, _ := strings.Cut(p, "/")
	level, err := strconv.Atoi(l)
	if err != nil || level < 0 || level > 7 || len(rest) > 40 {
		return 0, 0, false
	}
	for part := range strings.SplitSeq(rest, "/") {
		d, err := strconv.ParseUint(strings.TrimPrefix(part, "x"), 10, 16)
		if err != nil || n > 1<<54 {
			return 0, 0, false
		}
		n = n*1000 + d
	}
	return level, n, tilePath(level, n) == p
}

// tileDir compares the full tiles in a data directory with those computed. They are derived: a missing one is no fault.
type tileDir struct {
	v       *verifier
	dir     string
	missing uint64
}

func (t *tileDir) compare(level int, n uint64, hashes []byte) {
	name := "tile/" + tilePath(level, n)
	b, err := os.ReadFile(filepath.Join(t.dir, filepath.FromSlash(name)))
	if errors.Is(err, fs.ErrNotExist) {
		t.missing++
		return
	}
	t.v.r.Counts.Tiles++
	if err != nil {
		t.v.r.broken(Where{File: name}, "couldn't read the tile: %v", err)
		return
	}
	t.v.compareTile(name, level, n, b, hashes)
}

func (v *verifier) compareTile(name string, level int, n uint64, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	if len(got) != len(want) {
		v.r.broken(Where{File: name}, "the tile has %d bytes, it should have %d", len(got), len(want))
		return
	}
	for i := 0; i < len(want); i += 32 {
		if bytes.Equal(got[i:i+32], want[i:i+32]) {
			continue
		}
		w := Where{File: name, From: int64(i), To: int64(i + 32)}
		if level > 0 {
			v.r.broken(w, "hash %d of the tile is not that of the leaves under it", i/32)
			continue
		}
		index := n*tileHashes + uint64(i/32)
		w.Leaf = &index
		v.r.broken(w, "the leaf is not the one whose hash is in the tile: one of them was changed")
	}
}

// finish looks for tiles that no leaves belong to.
func (t *tileDir) finish(ctx context.Context) error {
	r := t.v.r
	if t.missing > 0 {
		r.note("%d full tiles are not written; steno derives them again", t.missing)
	}
	root := filepath.Join(t.dir, "tile")
	var onDisk uint64
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			r.skipped("%s: %v", path, err)
			return nil
		case d.IsDir():
			return nil
		}
		rel, _ := filepath.Rel(root, path)
		rel = filepath.ToSlash(rel)
		level, n, ok := parseTilePath(rel)
		switch {
		case !ok:
			r.skipped("tile/%s: no full tile", rel)
		case n < t.v.tree.size>>(8*(level+1)):
			onDisk++
		case !t.v.o.Live:
			r.broken(Where{File: "tile/" + rel}, "a tile of leaves that the log does not have: its end is gone, or the tile is from another log")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("couldn't verify: %w", err)
	}
	if onDisk > r.Counts.Tiles {
		r.skipped("%d tiles over leaves that could not be read", onDisk-r.Counts.Tiles)
	}
	return nil
}
