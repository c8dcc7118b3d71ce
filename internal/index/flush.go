package index

import (
	"fmt"
	"slices"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// batch is what goes into one part.
type batch struct {
	exchanges []*exchange
	events    []*event
}

// flush writes what is in memory only to files. The rows of exchanges that are still open are written as they are, and
// stay in memory too. Only the follower calls it, or Close when that has ended.
//
// A crash before the manifest is written leaves files that nobody knows; one after it loses nothing.
func (x *Index) flush() error {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.RLock()
	n, cursor := x.newest, x.cursor
	x.mu.RUnlock()
	if n.rows() == 0 {
		return nil
	}
	anyDay, ok := x.anyDay(n.day)
	if !ok {
		return nil // nothing was ever sealed: there are few rows, and no key to seal them
	}
	batches, err := x.batches(&n, anyDay)
	if err != nil || batches == nil {
		return err
	}
	m := x.saved.clone()
	defer func() { x.saved.Next = max(x.saved.Next, m.Next) }() // no name twice, whatever became of its first file
	var fresh []*part
	for _, day := range sortedDays(batches) {
		p, err := x.writePart(&m, day, batches[day])
		if err != nil {
			x.tables.retire(fresh...)
			return err
		}
		fresh = append(fresh, p)
	}
	written := func(id steno.ID) bool { return n.exchanges[id] != nil && !n.clean[id] }
	x.mu.RLock()
	dead := make([][]steno.ID, len(x.parts))
	for i, p := range x.parts {
		for id := range p.over {
			if written(id) {
				dead[i] = append(dead[i], id)
			}
		}
		m.Parts[i].Dead = append(slices.Clone(m.Parts[i].Dead), dead[i]...)
	}
	x.mu.RUnlock()
	for _, p := range fresh {
		m.Parts = append(m.Parts, p.partInfo)
	}
	m.Cursor, m.Last, m.Day, m.Pending = cursor, n.last, n.day, n.pending
	if err := x.writeManifest(&m, anyDay); err != nil {
		return err // it is not known which manifest counts, so the files stay; sweep removes them if it doesn't
	}
	x.saved = m
	x.settle(fresh, dead, written)
	x.compact()
	return nil
}

// batches sorts what is in memory only by day. It returns nil where a day is gone: then all is to be built again.
func (x *Index) batches(n *newest, anyDay uint32) (map[uint32]*batch, error) {
	out := map[uint32]*batch{}
	of := func(day uint32) *batch {
		if day == 0 {
			day = anyDay
		}
		if out[day] == nil {
			out[day] = &batch{}
		}
		return out[day]
	}
	for id, e := range n.exchanges {
		if !n.clean[id] {
			b := of(e.day)
			b.exchanges = append(b.exchanges, e)
		}
	}
	for _, e := range n.events {
		b := of(e.day)
		b.events = append(b.events, e)
	}
	for day := range out {
		if x.destroyed(day) {
			x.spoil(fmt.Errorf("day key %d was destroyed", day))
			return nil, nil
		}
	}
	return out, nil
}

func sortedDays(m map[uint32]*batch) []uint32 {
	var out []uint32
	for d := range m {
		out = append(out, d)
	}
	slices.Sort(out)
	return out
}

// settle takes new parts into use in place of what is in memory.
func (x *Index) settle(fresh []*part, dead [][]steno.ID, written func(steno.ID) bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i, p := range x.parts {
		for _, id := range dead[i] {
			delete(p.over, id)
			p.dead[id] = struct{}{}
		}
		p.Dead = x.saved.Parts[i].Dead
	}
	old := x.newest
	x.newest.exchanges, x.newest.clean = map[steno.ID]*exchange{}, map[steno.ID]bool{}
	x.newest.events, x.newest.retryAt = nil, 0
	for id, e := range old.exchanges {
		if !e.opened || e.closed {
			continue
		}
		x.newest.exchanges[id], x.newest.clean[id] = e, true
		if written(id) {
			for _, p := range fresh {
				if p.Day == e.day || e.day == 0 {
					p.over[id] = struct{}{}
				}
			}
		}
	}
	x.parts = append(slices.Clone(x.parts), fresh...)
}

// writePart writes the files of a part. The caller holds writing, and lists the part in a manifest.
func (x *Index) writePart(m *manifest, day uint32, b *batch) (*part, error) {
	t, err := x.keys.newTokenizer(day)
	if err != nil {
		return nil, err
	}
	p := newPart(partInfo{Name: x.partName(m, day), Day: day})
	exchanges := make([]exchangeRow, len(b.exchanges))
	for i, e := range b.exchanges {
		exchanges[i] = t.exchange(e)
	}
	slices.SortFunc(exchanges, func(a, b exchangeRow) int { return compareExchanges(&a, &b) })
	events := make([]eventRow, len(b.events))
	for i, e := range b.events {
		events[i] = t.event(e)
	}
	if err := writeTable(x, p, tableExchanges, exchanges, spanExchange); err != nil {
		return p.abandon(x, err)
	}
	if err := writeTable(x, p, tableEvents, events, spanEvent); err != nil {
		return p.abandon(x, err)
	}
	if err := writeTable(x, p, tableNames, sortNames(t.names), spanName); err != nil {
		return p.abandon(x, err)
	}
	return p, nil
}

func (p *part) abandon(x *Index, err error) (*part, error) {
	x.tables.retire(p)
	return nil, err
}

// partName takes the next name. Names begin with the day, so that a look into the directory tells what is there.
func (x *Index) partName(m *manifest, day uint32) string {
	n := m.Next
	m.Next++
	return fmt.Sprintf("%s.%d.%06d", x.dayName(day), day, n)
}

func spanExchange(s *span, r *exchangeRow) { s.grow(r.Time, r.Time, r.ID) }
func spanEvent(s *span, r *eventRow)       { s.grow(int64(r.Leaf)+1, r.Time, r.ID) }
func spanName(s *span, _ *nameRow)         { s.Rows++ }

func writeTable[T any](x *Index, p *part, t table, rows []T, grow func(*span, *T)) error {
	if len(rows) == 0 {
		return nil
	}
	w := newTableWriter[T]()
	if err := w.write(rows...); err != nil {
		return err
	}
	for i := range rows {
		grow(p.span(t), &rows[i])
	}
	return finishTable(x, p, t, w)
}

// finishTable seals a table and makes it durable.
func finishTable[T any](x *Index, p *part, t table, w *tableWriter[T]) error {
	plain, err := w.finish()
	if err != nil {
		return err
	}
	b, err := x.keys.sealFile(t, p.Day, plain)
	if err != nil {
		return err
	}
	p.span(t).File = steno.ID(b[16:32])
	return disk.WriteFile(x.cfg.FS, x.tables.path(p.file(t)), b)
}
