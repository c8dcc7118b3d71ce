package steno

import (
	"bytes"
	"math/bits"
	"slices"
)

// verifyTree computes the Merkle tree of the leaves as they come, its full tiles, and its roots at the sizes that
// somebody signed.
type verifyTree struct {
	size   uint64
	edge   [][32]byte // roots of the perfect subtrees, largest first
	lost   bool       // a leaf could not be read: edge says nothing until a state frame gives another one
	watch  []uint64   // ascending
	roots  map[uint64][32]byte
	tiles  [8]tileRow
	onTile func(level int, n uint64, hashes []byte)
}

// tileRow collects the nodes of one level of tiles.
type tileRow struct {
	hashes []byte
	whole  bool // hashes begins where a tile begins
}

const tileHashes = 256

func newVerifyTree(watch []uint64) *verifyTree {
	slices.Sort(watch)
	t := &verifyTree{watch: slices.Compact(watch), roots: map[uint64][32]byte{}}
	t.seen()
	return t
}

func (t *verifyTree) add(h [32]byte) {
	index := t.size
	t.size++
	if t.lost {
		t.seen()
		return
	}
	t.tile(0, index, h)
	level := 0
	for i := index; i&1 == 1; i >>= 1 {
		last := len(t.edge) - 1
		h = NodeHash(t.edge[last], h)
		t.edge = t.edge[:last]
		if level++; level%8 == 0 {
			t.tile(level/8, index>>level, h)
		}
	}
	t.edge = append(t.edge, h)
	t.seen()
}

// seen keeps the root of a size that is watched for.
func (t *verifyTree) seen() {
	for len(t.watch) > 0 && t.watch[0] <= t.size {
		if t.watch[0] == t.size && !t.lost {
			t.roots[t.size] = t.root()
		}
		t.watch = t.watch[1:]
	}
}

func (t *verifyTree) root() [32]byte { return (&State{Edge: t.edge}).Root() }

func (t *verifyTree) tile(level int, n uint64, h [32]byte) {
	if t.onTile == nil || level >= len(t.tiles) {
		return
	}
	row := &t.tiles[level]
	if n%tileHashes == 0 {
		row.hashes, row.whole = row.hashes[:0], true
	}
	if !row.whole {
		return
	}
	row.hashes = append(row.hashes, h[:]...)
	if n%tileHashes == tileHashes-1 {
		t.onTile(level, n/tileHashes, row.hashes)
		row.whole = false
	}
}

// lose says that leaves could not be read and that the tree has size leaves after them.
func (t *verifyTree) lose(size uint64) {
	t.lost, t.size = true, size
	for i := range t.tiles {
		t.tiles[i].whole = false
	}
	t.seen()
}

// resume goes on from an edge that a state frame gives; it is proven as soon as a signed root above it fits.
func (t *verifyTree) resume(size uint64, edge [][32]byte) {
	t.lose(size)
	if len(edge) == bits.OnesCount64(size) {
		t.lost, t.edge = false, slices.Clone(edge)
	}
}

// sameEdge compares the edge with that of a state frame.
func (t *verifyTree) sameEdge(edge [][32]byte) bool {
	return slices.EqualFunc(t.edge, edge, func(a, b [32]byte) bool { return bytes.Equal(a[:], b[:]) })
}
