package index

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/steno-audit/steno"
)

const (
	maxParts  = 8       // of one day
	maxMerged = 500_000 // rows of a part that is merged: merging takes memory for the bytes of the result
)

// compact begins to merge parts where a day has too many, if that is not under way. It never keeps the follower.
func (x *Index) compact() {
	select {
	case x.compactor <- struct{}{}:
	default:
		return
	}
	x.compacting.Add(1)
	go func() {
		defer x.compacting.Done()
		defer func() { <-x.compactor }()
		for x.ctx.Err() == nil {
			ins := x.mergeable()
			if len(ins) == 0 {
				return
			}
			if err := x.merge(ins); err != nil {
				x.tables.unhold(ins)
				if x.ctx.Err() == nil {
					x.cfg.Logger.Warn("couldn't merge files of the index", "error", err)
				}
				if isDamage(err) {
					x.spoil(err)
				}
				return
			}
			x.tables.unhold(ins)
		}
	}()
}

// mergeable returns parts of one day that are better one: the smallest of a day that has too many, or all of a day that
// is over. They are held for the caller.
func (x *Index) mergeable() []*part {
	x.mu.RLock()
	defer x.mu.RUnlock()
	today := x.dayName(x.newest.day)
	days := map[uint32][]*part{}
	for _, p := range x.parts {
		days[p.Day] = append(days[p.Day], p)
	}
	for day, list := range days {
		over := x.dayName(day) < today
		if len(list) <= maxParts && (!over || len(list) < 2) {
			continue
		}
		slices.SortStableFunc(list, func(a, b *part) int { return cmp.Compare(a.size(), b.size()) })
		n, rows := 0, 0
		for n < len(list) && (over || n < maxParts) && (n < 2 || rows+list[n].size() <= maxMerged) {
			rows += list[n].size()
			n++
		}
		// Two that are too large together stay as they are.
		if n < 2 || n == 2 && rows > maxMerged {
			continue
		}
		ins := slices.Clone(list[:n])
		x.tables.hold(ins)
		return ins
	}
	return nil
}

func (p *part) size() int { return p.Exchanges.Rows + p.Events.Rows }

// merge makes one part of several of one day. Rows that are dead are left out.
func (x *Index) merge(ins []*part) error {
	x.mu.RLock()
	dead := make([]map[steno.ID]struct{}, len(ins))
	for i, p := range ins {
		dead[i] = make(map[steno.ID]struct{}, len(p.dead))
		for id := range p.dead {
			dead[i][id] = struct{}{}
		}
	}
	x.mu.RUnlock()
	x.writing.Lock()
	day := ins[0].Day
	out := newPart(partInfo{Name: x.partName(&x.saved, day), Day: day})
	x.writing.Unlock()
	err := mergeTable(x, out, tableExchanges, ins, compareExchanges, spanExchange, func(i int, r *exchangeRow) bool {
		_, gone := dead[i][r.ID]
		return !gone
	})
	if err == nil {
		err = mergeTable(x, out, tableEvents, ins, compareEvents, spanEvent, nil)
	}
	if err == nil {
		err = mergeTable(x, out, tableNames, ins, compareNames, spanName, nil)
	}
	if err != nil {
		x.tables.retire(out)
		return err
	}
	return x.replace(ins, out, dead)
}

// replace puts one part in place of several. What has died in them meanwhile is dead in it.
func (x *Index) replace(ins []*part, out *part, dead []map[steno.ID]struct{}) error {
	x.writing.Lock()
	defer x.writing.Unlock()
	m := x.saved.clone()
	m.Parts = nil
	var parts []*part
	x.mu.RLock()
	for i, p := range ins {
		for id := range p.dead {
			if _, left := dead[i][id]; !left {
				out.dead[id] = struct{}{}
				out.Dead = append(out.Dead, id)
			}
		}
	}
	for i, p := range x.parts {
		if !slices.Contains(ins, p) {
			parts, m.Parts = append(parts, p), append(m.Parts, x.saved.Parts[i])
		}
	}
	gone := len(x.parts)-len(parts) != len(ins)
	x.mu.RUnlock()
	if gone {
		return errors.New("the parts to be merged are no more")
	}
	parts, m.Parts = append(parts, out), append(m.Parts, out.partInfo)
	day, ok := x.anyDay(m.Day)
	if !ok {
		return errors.New("there is no day key to seal the manifest with")
	}
	if err := x.writeManifest(&m, day); err != nil {
		return err
	}
	x.saved = m
	x.mu.Lock()
	for _, p := range ins {
		for id := range p.over {
			out.over[id] = struct{}{}
		}
		p.merged = out
	}
	x.parts = parts
	x.mu.Unlock()
	x.tables.retire(ins...)
	return nil
}

// mergeTable merges one table of several parts, row by row. Equal rows become one.
func mergeTable[T any](x *Index, out *part, t table, ins []*part, compare func(a, b *T) int, grow func(*span, *T), keep func(in int, r *T) bool) error {
	w := newTableWriter[T]()
	var heads []*head[T]
	defer func() {
		for _, h := range heads {
			h.stop()
		}
	}()
	for i, p := range ins {
		if p.rows(t) == 0 {
			continue
		}
		h := &head[T]{in: i}
		h.next, h.stop = iter.Pull2(eachRow[T](x.tables, p, t))
		heads = append(heads, h)
		if err := h.advance(keep); err != nil {
			return err
		}
	}
	var last *T
	for {
		var first *head[T]
		for _, h := range heads {
			if h.row != nil && (first == nil || compare(h.row, first.row) < 0) {
				first = h
			}
		}
		if first == nil {
			break
		}
		if last == nil || compare(last, first.row) != 0 {
			if err := w.write(*first.row); err != nil {
				return err
			}
			grow(out.span(t), first.row)
			if last = first.row; w.rows%groupRows == 0 && x.ctx.Err() != nil {
				return x.ctx.Err()
			}
		}
		if err := first.advance(keep); err != nil {
			return err
		}
	}
	if w.rows == 0 {
		return nil
	}
	return finishTable(x, out, t, w)
}

// head is the next row of one of the parts that are merged.
type head[T any] struct {
	in   int
	row  *T
	next func() (*T, error, bool)
	stop func()
}

func (h *head[T]) advance(keep func(in int, r *T) bool) error {
	for {
		row, err, ok := h.next()
		if err != nil {
			return err
		}
		if !ok {
			h.row = nil
			return nil
		}
		if keep == nil || keep(h.in, row) {
			h.row = row
			return nil
		}
	}
}

// eachRow goes through a table from its first row to its last.
func eachRow[T any](o *openTables, p *part, t table) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		x, err := o.acquire(p, t)
		if err != nil {
			yield(nil, err)
			return
		}
		defer o.release(x)
		r := parquet.NewGenericReader[T](x.file)
		defer r.Close() //nolint:errcheck // it was only read from
		for {
			rows := make([]T, 256) // fresh, since rows are kept until they are merged
			n, err := r.Read(rows)
			for i := range rows[:n] {
				if !yield(&rows[i], nil) {
					return
				}
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, fmt.Errorf("%s: %w", x.sealed.name, err))
				return
			}
		}
	}
}
