package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// Depths of the key tree. They are part of the format.
const (
	aliasBits = 40
	dayBits   = 24
	slotBits  = 48
	treeDepth = aliasBits + dayBits + slotBits
	maxAlias  = 1<<aliasBits - 1
	maxDay    = 1<<dayBits - 1
)

// path is a place in a tenant's key tree, first bit first: alias, day key, slot. A shorter path is padded with zeros.
type path [treeDepth / 8]byte

func makePath(alias uint64, day uint32, slot []byte) path {
	var p path
	binary.BigEndian.PutUint64(p[:], alias<<dayBits|uint64(day))
	copy(p[8:], slot)
	return p
}

func (p path) bit(i int) byte { return p[i/8] >> (7 - i%8) & 1 }

// cut zeroes all bits from n on.
func (p path) cut(n int) path {
	if n < treeDepth {
		p[n/8] &^= 0xff >> (n % 8)
		clear(p[n/8+1:])
	}
	return p
}

// sibling is the node beside the one of n bits on the path.
func (p path) sibling(n int) path {
	p = p.cut(n)
	p[(n-1)/8] ^= 0x80 >> ((n - 1) % 8)
	return p
}

// child goes one level down.
func child(node *[32]byte, bit byte) [32]byte {
	var b [44]byte
	copy(b[:], "steno/1 ggm")
	b[11] = bit
	copy(b[12:], node[:])
	return sha256.Sum256(b[:])
}

// descend goes from the node at depth `from` of the path to depth `to`.
func descend(node [32]byte, p path, from, to int) [32]byte {
	for i := from; i < to; i++ {
		node = child(&node, p.bit(i))
	}
	return node
}

// coverNode is a node that the ring holds; all below it can be derived. In CBOR the path has ⌈bits/8⌉ bytes.
type coverNode struct {
	_    struct{} `cbor:",toarray"`
	Bits uint8
	Path []byte
	Key  []byte
}

// cover is what is left of a tree: nodes of which none is below another, in the order of their paths. It is never
// changed in place: readers hold it without a lock.
type cover []coverNode

func newCover(root [32]byte) cover {
	return cover{{Path: []byte{}, Key: root[:]}}
}

func (n *coverNode) path() path {
	var p path
	copy(p[:], n.Path)
	return p
}

func makeCoverNode(p path, bits int, key [32]byte) coverNode {
	p = p.cut(bits)
	return coverNode{Bits: uint8(bits), Path: bytes.Clone(p[:(bits+7)/8]), Key: key[:]}
}

// after returns the place of the first node whose path is greater than p.
func (c cover) after(p path) int {
	return sort.Search(len(c), func(i int) bool { q := c[i].path(); return bytes.Compare(q[:], p[:]) > 0 })
}

// find returns the node that is p or above it, where p has n bits.
func (c cover) find(p path, n int) (int, bool) {
	p = p.cut(n)
	i := c.after(p) - 1
	if i < 0 || int(c[i].Bits) > n || p.cut(int(c[i].Bits)) != c[i].path() {
		return 0, false
	}
	return i, true
}

// below says whether a node is left at or below p, or above it.
func (c cover) below(p path, n int) bool {
	if _, ok := c.find(p, n); ok {
		return true
	}
	p = p.cut(n)
	i := sort.Search(len(c), func(i int) bool { q := c[i].path(); return bytes.Compare(q[:], p[:]) >= 0 })
	return i < len(c) && c[i].path().cut(n) == p
}

// puncture returns the cover without anything at or below the first n bits of p, and the keys that went.
func (c cover) puncture(p path, n int) (cover, [][]byte) {
	p = p.cut(n)
	if i, ok := c.find(p, n); ok {
		node, from := [32]byte(c[i].Key), int(c[i].Bits)
		added := make(cover, 0, n-from)
		for d := from; d < n; d++ {
			s := child(&node, 1-p.bit(d))
			added = append(added, makeCoverNode(p.sibling(d+1), d+1, s))
			node = child(&node, p.bit(d))
		}
		clear(node[:])
		slices.SortFunc(added, func(a, b coverNode) int {
			x, y := a.path(), b.path()
			return bytes.Compare(x[:], y[:])
		})
		out := make(cover, 0, len(c)+len(added))
		return append(append(append(out, c[:i]...), added...), c[i+1:]...), [][]byte{c[i].Key}
	}
	out := make(cover, 0, len(c))
	var gone [][]byte
	for _, node := range c {
		if int(node.Bits) > n && node.path().cut(n) == p {
			gone = append(gone, node.Key)
		} else {
			out = append(out, node)
		}
	}
	return out, gone
}

// check reports what makes the cover one that puncture never writes.
func (c cover) check() error {
	for i, n := range c {
		if n.Bits > treeDepth || len(n.Path) != (int(n.Bits)+7)/8 || len(n.Key) != 32 {
			return fmt.Errorf("a node of %d bits with a path of %d bytes and a key of %d", n.Bits, len(n.Path), len(n.Key))
		}
		p := n.path()
		if p != p.cut(int(n.Bits)) {
			return errors.New("a node's path goes beyond its bits")
		}
		if i > 0 {
			q := c[i-1].path()
			if bytes.Compare(q[:], p[:]) >= 0 || p.cut(int(c[i-1].Bits)) == q {
				return errors.New("nodes out of order, or one below another")
			}
		}
	}
	return nil
}
