package disk

import (
	"bytes"
	"maps"
	"math/rand"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// Crash returns the disk as it is after a power loss now; m itself goes on. What
// was synced is there. Of the rest, by r: each sector of each file holds what was
// synced or any later state of it, sizes likewise (a size may survive without its
// bytes, which are zeros then), and each change to names is kept or lost on its
// own or, as often, in the order of a file system's journal. With r nil all that
// was not synced is lost. The outcome depends on nothing but r and what was done.
func (m *Mem) Crash(r *rand.Rand) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{r: r, kept: map[*node][]kept{}, done: map[*node]*node{}}
	if r != nil {
		c.keepNames(m.pending)
	}
	return &Mem{root: c.copy(m.root)}
}

// Restart kills the process but not the machine: what the kernel has is there for
// the next one, synced or not, and can be synced still. m and its files return
// ErrCrashed from now on.
func (m *Mem) Restart() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.dead = true
	return &Mem{root: m.root, pending: m.pending, seq: m.seq}
}

type crash struct {
	r    *rand.Rand // nil: nothing more than the synced survives
	kept map[*node][]kept
	done map[*node]*node // copied already: a file may have two names
}

// kept is a name in some directory that was never synced and survives.
type kept struct {
	name string
	entry
}

// odds draws how likely unsynced things are to survive. Drawn anew for each file,
// so that all or nothing of a large file comes up too, and not only a mixture.
func (c *crash) odds() float64 { return float64(c.r.Intn(5)) / 4 }

func (c *crash) keepNames(pending []*relink) {
	odds, ordered := c.odds(), c.r.Intn(2) == 0
	upTo := c.r.Intn(len(pending) + 1)
	for i, r := range pending {
		if ordered && i >= upTo || !ordered && c.r.Float64() >= odds {
			continue
		}
		for _, l := range r.links {
			c.kept[l.dir] = append(c.kept[l.dir], kept{l.name, entry{r.seq, l.node}})
		}
	}
}

// copy returns what is left of a node and of all below it.
func (c *crash) copy(n *node) *node {
	if d := c.done[n]; d != nil {
		return d
	}
	if n.names == nil {
		image := c.image(n)
		f := &node{data: image, durable: bytes.Clone(image)}
		c.done[n] = f
		return f
	}
	d := newDir()
	c.done[n] = d
	left := maps.Clone(n.stable)
	for _, k := range c.kept[n] {
		if left[k.name].seq < k.seq {
			left[k.name] = k.entry
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		if e := left[name]; e.node != nil {
			d.names[name] = c.copy(e.node)
			d.stable[name] = entry{node: d.names[name]}
		}
	}
	return d
}

// image returns what is left of the bytes of a file.
func (c *crash) image(n *node) []byte {
	if c.r == nil || len(n.dirty) == 0 {
		return bytes.Clone(n.durable)
	}
	odds := c.odds()
	image := make([]byte, c.size(n, odds))
	copy(image, n.durable)
	touched := n.touched(int64(len(image)))
	for _, at := range slices.Sorted(maps.Keys(touched)) {
		edits := touched[at]
		var buf [sector]byte
		if at < int64(len(n.durable)) {
			copy(buf[:], n.durable[at:])
		}
		for _, e := range edits[:c.stage(len(edits), odds)] {
			e.inSector(buf[:], at)
		}
		copy(image[at:], buf[:])
	}
	return image
}

// stage picks how many of so many unsynced changes reached the disk.
func (c *crash) stage(changes int, odds float64) int {
	if changes == 0 || c.r.Float64() < odds {
		return changes
	}
	return c.r.Intn(changes)
}

// size picks the size that reached the disk: one that the file has had since the
// last sync, or the end of a sector that a write passed on its way.
func (c *crash) size(n *node, odds float64) int64 {
	sizes := []int64{int64(len(n.durable))}
	for _, e := range n.dirty {
		size := sizes[len(sizes)-1]
		switch e.kind {
		case "write":
			size = max(size, e.off+e.n)
		case "truncate":
			size = e.off
		}
		sizes = append(sizes, size)
	}
	i := c.stage(len(n.dirty), odds)
	if i == len(n.dirty) {
		return sizes[i]
	}
	if more := sizes[i+1] - sizes[i]; more > 0 && n.dirty[i].kind == "write" && c.r.Intn(2) == 0 {
		if cut := (sizes[i] + c.r.Int63n(more)) / sector * sector; cut > sizes[i] {
			return cut
		}
	}
	return sizes[i]
}

// touched returns the unsynced changes to each sector of the first size bytes,
// by the offset of the sector.
func (n *node) touched(size int64) map[int64][]edit {
	touched := map[int64][]edit{}
	for _, e := range n.dirty {
		end := size
		if e.kind != "truncate" {
			end = min(size, e.off+e.n)
		}
		for at := e.off / sector * sector; at < end; at += sector {
			touched[at] = append(touched[at], e)
		}
	}
	return touched
}

// inSector makes the part of the change that falls into the sector at that
// offset. What lies behind the end of a file is zeros already.
func (e edit) inSector(buf []byte, at int64) {
	from := max(0, e.off-at)
	switch e.kind {
	case "write":
		copy(buf[from:], e.data[max(0, at-e.off):])
	case "truncate":
		clear(buf[min(from, sector):])
	case "punch":
		clear(buf[min(from, sector):min(max(0, e.off+e.n-at), sector)])
	}
}
