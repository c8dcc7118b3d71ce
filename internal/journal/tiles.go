package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
)

// tilePath returns a tile's place as in C2SP tlog-tiles: the number in groups of three digits.
func tilePath(level string, n uint64) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	return "tile/" + level + "/" + s
}

const bundleLevel = "entries"

// parseTilePath reads the path of a tile, full or partial, or of an entry bundle (level -1), in its one valid form.
func parseTilePath(p string) (level int, n, width uint64, ok bool) {
	p, part, partial := strings.Cut(p, ".p/")
	width = tileWidth
	var err error
	if partial {
		width, err = strconv.ParseUint(part, 10, 64)
		if err != nil || width == 0 || width >= tileWidth || strconv.FormatUint(width, 10) != part {
			return 0, 0, 0, false
		}
	}
	parts := strings.Split(p, "/")
	if len(parts) < 3 || len(parts) > 8 || parts[0] != "tile" {
		return 0, 0, 0, false
	}
	if level = -1; parts[1] != bundleLevel {
		if level, err = strconv.Atoi(parts[1]); err != nil || level < 0 || level > 63 {
			return 0, 0, 0, false
		}
	}
	for _, d := range parts[2:] {
		d = strings.TrimPrefix(d, "x")
		v, err := strconv.ParseUint(d, 10, 64)
		if err != nil || len(d) != 3 {
			return 0, 0, 0, false
		}
		n = n*1000 + v
	}
	return level, n, width, tilePath(parts[1], n) == p // which also refuses every other way of writing it
}

func (t *tree) tileFile(id tileID) string {
	return filepath.Join(t.dir, filepath.FromSlash(tilePath(strconv.Itoa(id.level), id.n)))
}

// readTile returns what a full tile's file holds, nil if that is no tile. Whoever uses it checks it.
func (t *tree) readTile(id tileID) [][32]byte {
	b, err := t.fs.ReadFile(t.tileFile(id))
	if err != nil || len(b) != tileWidth*32 {
		return nil
	}
	tile := make([][32]byte, tileWidth)
	for i := range tile {
		tile[i] = [32]byte(b[32*i:])
	}
	return tile
}

// writeTile stores a full tile. It is not synced: a tile that a crash has lost or torn is noticed and made again.
func (t *tree) writeTile(id tileID, tile [][32]byte) error {
	path := t.tileFile(id)
	fail := func(op string, err error) error { return &FailedError{op, path, err} }
	if dir := filepath.Dir(path); !t.made[dir] {
		if err := t.fs.MkdirAll(dir); err != nil {
			return fail("make the directory of", err)
		}
		t.made[dir] = true
	}
	tmp := path + unfinishedSuffix
	f, err := t.fs.Create(tmp)
	if errors.Is(err, fs.ErrExist) {
		if err = t.fs.Remove(tmp); err == nil {
			f, err = t.fs.Create(tmp)
		}
	}
	if err != nil {
		return fail("create", err)
	}
	n, err := f.Write(tileBytes(tile))
	if err == nil && n != tileWidth*32 {
		err = fmt.Errorf("only %d bytes were taken", n)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fail("write", err)
	}
	if err := t.fs.Rename(tmp, path); err != nil {
		return fail("rename to", err)
	}
	return nil
}

func tileBytes(tile [][32]byte) []byte {
	b := make([]byte, 0, len(tile)*32)
	for i := range tile {
		b = append(b, tile[i][:]...)
	}
	return b
}

// serveTile returns a tile, full or partial, of the tree under the published checkpoint.
func (j *Journal) serveTile(level int, n, width uint64) ([]byte, error) {
	if n > (1<<56)>>(8*level) || n*tileWidth+width > j.Covered()>>(8*level) {
		return nil, fmt.Errorf("no tile %d of level %d with %d hashes: %w", n, level, width, ErrBeyondEnd)
	}
	t := &j.tree
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fold(); err != nil {
		return nil, err
	}
	tile, err := t.tile(tileID{level, n}, width)
	if err != nil {
		return nil, err
	}
	return tileBytes(tile), nil
}

// serveBundle returns the leaves of a tile of level 0, each after its length, of the tree under the published checkpoint.
func (j *Journal) serveBundle(n, width uint64) ([]byte, error) {
	covered := j.Covered()
	if n > 1<<48 || n*tileWidth+width > covered {
		return nil, fmt.Errorf("no entry bundle %d with %d entries: %w", n, width, ErrBeyondEnd)
	}
	c := cursor{j: j, at: n * tileWidth}
	defer c.close()
	var b []byte
	for range width {
		e, err := c.next(covered)
		if err != nil {
			return nil, err
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(e.Raw)))
		b = append(b, e.Raw...)
	}
	return b, nil
}

// leafSizeFits holds the limit of the entry bundles against the one of leaves.
var _ [65535 - steno.MaxLeafSize]struct{}
