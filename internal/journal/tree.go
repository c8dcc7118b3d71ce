package journal

import (
	"fmt"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const (
	tileWidth      = 256
	maxCachedTiles = 128
)

// tree answers for the hashes of the tree below its right edge. On level L stand the roots of the perfect subtrees
// of 256^L leaves; 256 of them are a tile. A partial tile is in memory whole, a full one is in a file. Files are never
// synced and never believed: a full tile is the one whose root the level above holds, and the highest level is in
// memory. What is missing or wrong is made again from the leaves.
type tree struct {
	fs     disk.FS
	dir    string
	leaves func(from, to uint64) ([][32]byte, error) // hashes of durable leaves

	freshMu sync.Mutex
	fresh   [][32]byte // of leaves that became durable, not yet in levels
	spare   [][32]byte

	mu       sync.Mutex // guards what follows, also while it hashes and reads; the writer never takes it
	size     uint64     // leaves in levels
	start    edge       // of the tree that was recovered
	loaded   bool       // levels hold their partial tiles from before the start
	levels   []level
	unstored []tileID
	cache    map[tileID][][32]byte // full tiles that were checked
	made     map[string]bool       // directories
}

type level struct {
	from   uint64 // a multiple of 256
	hashes [][32]byte
}

type tileID struct {
	level int
	n     uint64
}

func (t *tree) open(fsys disk.FS, dir string, start *edge, leaves func(from, to uint64) ([][32]byte, error)) {
	t.fs, t.dir, t.leaves, t.start = fsys, dir, leaves, *start
	t.cache, t.made = map[tileID][][32]byte{}, map[string]bool{}
}

// grow is told of leaves in order, when they are durable.
func (t *tree) grow(hashes [][32]byte) {
	t.freshMu.Lock()
	t.fresh = append(t.fresh, hashes...)
	t.freshMu.Unlock()
}

// fold brings the levels up to what is durable. The caller holds the lock.
func (t *tree) fold() error {
	if !t.loaded {
		if err := t.load(); err != nil {
			return err
		}
		t.loaded = true
	}
	t.freshMu.Lock()
	fresh := t.fresh
	t.fresh = t.spare[:0]
	t.freshMu.Unlock()
	for _, h := range fresh {
		t.push(0, h)
	}
	t.size += uint64(len(fresh))
	t.spare = fresh
	return nil
}

func (t *tree) push(l int, h [32]byte) {
	if l == len(t.levels) {
		t.levels = append(t.levels, level{})
	}
	v := &t.levels[l]
	v.hashes = append(v.hashes, h)
	if n := v.from + uint64(len(v.hashes)); n%tileWidth == 0 {
		t.unstored = append(t.unstored, tileID{l, n/tileWidth - 1})
		t.push(l+1, subtree(v.hashes[len(v.hashes)-tileWidth:]))
	}
}

// subtree returns the root over a power of two of hashes.
func subtree(h [][32]byte) [32]byte {
	if len(h) == 1 {
		return h[0]
	}
	var half [tileWidth / 2][32]byte
	level := half[:len(h)/2]
	for n := len(level); n > 0; n /= 2 {
		for i := range n {
			level[i] = steno.NodeHash(h[2*i], h[2*i+1])
		}
		h = level
	}
	return level[0]
}

// load fills in the partial tiles that were there when the log was opened, and checks them against the tree's edge.
func (t *tree) load() error {
	e := &t.start
	t.size, t.levels = e.size, nil
	for l := 0; e.size>>(8*l) > 0; l++ {
		to := e.size >> (8 * l)
		from := to &^ (tileWidth - 1)
		hashes, err := t.children(tileID{l, from / tileWidth}, to-from, false)
		if err != nil {
			return err
		}
		if !t.onEdge(l, hashes) {
			if hashes, err = t.children(tileID{l, from / tileWidth}, to-from, true); err != nil {
				return err
			}
			if !t.onEdge(l, hashes) {
				return fmt.Errorf("couldn't rebuild the tree: leaves before %d have other hashes than the tree of that size", e.size)
			}
		}
		t.levels = append(t.levels, level{from, hashes})
	}
	return nil
}

// onEdge compares the partial tile of a level with the edge of the tree at the start.
func (t *tree) onEdge(l int, hashes [][32]byte) bool {
	k := 0
	for bit := 63; bit >= 0; bit-- {
		if t.start.size>>bit&1 == 0 {
			continue
		}
		if bit>>3 == l {
			n := 1 << (bit & 7)
			if subtree(hashes[:n]) != t.start.roots[k] {
				return false
			}
			hashes = hashes[n:]
		}
		k++
	}
	return true
}

// children computes the hashes of a tile from what is below it. Unless all is to be made again from the leaves, files
// of the level below are taken as they are; the caller checks the result.
func (t *tree) children(id tileID, width uint64, anew bool) ([][32]byte, error) {
	from := id.n * tileWidth
	if id.level == 0 {
		return t.leaves(from, from+width)
	}
	hashes := make([][32]byte, 0, tileWidth)
	for i := range width {
		below := tileID{id.level - 1, from + i}
		var tile [][32]byte
		if !anew {
			tile = t.readTile(below)
		}
		if tile == nil {
			var err error
			if tile, err = t.children(below, tileWidth, anew); err != nil {
				return nil, err
			}
			if err := t.writeTile(below, tile); err != nil {
				return nil, err
			}
		}
		hashes = append(hashes, subtree(tile))
	}
	return hashes, nil
}

// full returns a full tile, checked against the tile above it.
func (t *tree) full(id tileID) ([][32]byte, error) {
	if tile := t.cache[id]; tile != nil {
		return tile, nil
	}
	want, err := t.hash(id.level+1, id.n)
	if err != nil {
		return nil, err
	}
	tile := t.readTile(id)
	for _, anew := range []bool{false, true} {
		if tile != nil && subtree(tile) == want {
			t.remember(id, tile)
			return tile, nil
		}
		if tile, err = t.children(id, tileWidth, anew); err != nil {
			return nil, err
		}
		if subtree(tile) == want {
			if err := t.writeTile(id, tile); err != nil {
				return nil, err
			}
		}
	}
	if subtree(tile) != want {
		return nil, fmt.Errorf("couldn't rebuild tile %d of level %d: the leaves below it have other hashes than the tree", id.n, id.level)
	}
	t.remember(id, tile)
	return tile, nil
}

func (t *tree) remember(id tileID, tile [][32]byte) {
	for k := range t.cache {
		if len(t.cache) < maxCachedTiles {
			break
		}
		delete(t.cache, k)
	}
	t.cache[id] = tile
}

// hash returns one hash of a level.
func (t *tree) hash(l int, i uint64) ([32]byte, error) {
	tile, err := t.tile(tileID{l, i / tileWidth}, i%tileWidth+1)
	if err != nil {
		return [32]byte{}, err
	}
	return tile[i%tileWidth], nil
}

// tile returns the first hashes of a tile, which must not be changed. The caller holds the lock.
func (t *tree) tile(id tileID, width uint64) ([][32]byte, error) {
	from := id.n * tileWidth
	if id.level >= len(t.levels) || from/tileWidth != id.n || from+width > t.size>>(8*id.level) {
		return nil, fmt.Errorf("couldn't read tile %d of level %d: %w", id.n, id.level, ErrBeyondEnd)
	}
	if v := &t.levels[id.level]; from >= v.from {
		return v.hashes[from-v.from:][:width], nil
	}
	tile, err := t.full(id)
	if err != nil {
		return nil, err
	}
	return tile[:width], nil
}

// store writes the tiles that have become full since the last time, and lets go of them.
func (t *tree) store() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fold(); err != nil {
		return err
	}
	for _, id := range t.unstored {
		v := &t.levels[id.level]
		if err := t.writeTile(id, v.hashes[id.n*tileWidth-v.from:][:tileWidth]); err != nil {
			return err
		}
	}
	t.unstored = t.unstored[:0]
	for l := range t.levels {
		v := &t.levels[l]
		if n := len(v.hashes) / tileWidth * tileWidth; n > 0 {
			v.hashes = slices.Clone(v.hashes[n:])
			v.from += uint64(n)
		}
	}
	return nil
}

// ReadHashes makes a tlog.HashReader of the tree. The caller holds the lock.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		l, n := tlog.SplitStoredHashIndex(x)
		first, width := uint64(n)<<(l%8), uint64(1)<<(l%8) // in hashes of the tile level below or at it
		tile, err := t.tile(tileID{l / 8, first / tileWidth}, first%tileWidth+width)
		if err != nil {
			return nil, err
		}
		out[i] = tlog.Hash(subtree(tile[first%tileWidth:]))
	}
	return out, nil
}

// InclusionProof proves that a leaf is in the tree of a size.
func (j *Journal) InclusionProof(index, size uint64) (tlog.RecordProof, error) {
	if n := j.Size(); size > n || index >= size {
		return nil, fmt.Errorf("couldn't prove leaf %d in a tree of %d leaves: %w, which has %d", index, size, ErrBeyondEnd, n)
	}
	return prove(&j.tree, func(r tlog.HashReader) (tlog.RecordProof, error) {
		return tlog.ProveRecord(int64(size), int64(index), r)
	})
}

// ConsistencyProof proves that the tree of one size begins with the tree of another.
func (j *Journal) ConsistencyProof(old, size uint64) (tlog.TreeProof, error) {
	if n := j.Size(); size > n || old > size || old == 0 {
		return nil, fmt.Errorf("couldn't prove that a tree of %d leaves begins with one of %d: %w, which has %d", size, old, ErrBeyondEnd, n)
	}
	return prove(&j.tree, func(r tlog.HashReader) (tlog.TreeProof, error) {
		return tlog.ProveTree(int64(size), int64(old), r)
	})
}

func prove[P any](t *tree, f func(tlog.HashReader) (P, error)) (P, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.fold(); err != nil {
		var none P
		return none, err
	}
	return f(t)
}
