package index

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// partInfo is a part as the manifest lists it.
type partInfo struct {
	Name      string
	Day       uint32
	Exchanges span
	Events    span
	Names     span
	Dead      []steno.ID // rows of which another part has a newer state
}

// part is a set of tables that were written together. Each names all that its rows speak of; its files never change.
type part struct {
	partInfo
	// Guarded by the mu of the index.
	dead   map[steno.ID]struct{} // as Dead
	over   map[steno.ID]struct{} // rows of which memory has a newer state
	merged *part                 // where its rows are now
	// Guarded by the openTables.
	views   int // questions that may still open it
	retired bool
}

func newPart(i partInfo) *part {
	p := &part{partInfo: i, dead: map[steno.ID]struct{}{}, over: map[steno.ID]struct{}{}}
	for _, id := range i.Dead {
		p.dead[id] = struct{}{}
	}
	return p
}

// now is the part that has the rows now. The caller holds the mu of the index.
func (p *part) now() *part {
	for p.merged != nil {
		p = p.merged
	}
	return p
}

func (p *partInfo) span(t table) *span {
	switch t {
	case tableExchanges:
		return &p.Exchanges
	case tableEvents:
		return &p.Events
	}
	return &p.Names
}

func (p *partInfo) rows(t table) int { return p.span(t).Rows }

func (p *partInfo) file(t table) string { return p.Name + "." + t.String() }

// openTables keeps files of parts open, within limits, and removes those of parts that nobody needs any more.
type openTables struct {
	fs   disk.FS
	dir  string
	keys tableKeys

	chunks *chunkCache

	mu    sync.Mutex
	open  map[string]*openTable
	clock uint64
}

const maxOpenTables = 96

// openTable is an open file.
type openTable struct {
	sealed *sealedFile
	file   *parquet.File
	users  int
	used   uint64
	doomed bool
}

func newOpenTables(fsys disk.FS, dir string, keys tableKeys) *openTables {
	return &openTables{fs: fsys, dir: dir, keys: keys, chunks: &chunkCache{all: map[chunkName]*chunk{}}, open: map[string]*openTable{}}
}

func (o *openTables) path(name string) string { return filepath.Join(o.dir, name) }

// seal opens the sealed file of a table and checks that it is the one that the manifest means.
func (o *openTables) seal(p *part, t table) (*sealedFile, error) {
	s, err := o.keys.openSealed(o.fs, o.chunks, o.path(p.file(t)), t)
	if err != nil {
		return nil, err
	}
	if steno.ID(s.header[16:32]) != p.span(t).File || s.day() != p.Day {
		_ = s.Close()
		return nil, fmt.Errorf("%s: %w: it is another file than the one that was written", s.name, errDamaged)
	}
	return s, nil
}

// check looks at the head of a file.
func (o *openTables) check(p *part, t table) error {
	s, err := o.seal(p, t)
	if err != nil {
		return err
	}
	return s.Close()
}

// acquire opens a table; the caller gives it back to release.
func (o *openTables) acquire(p *part, t table) (*openTable, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clock++
	name := p.file(t)
	if x := o.open[name]; x != nil {
		x.users++
		x.used = o.clock
		return x, nil
	}
	s, err := o.seal(p, t)
	if err != nil {
		return nil, err
	}
	f, err := parquet.OpenFile(s, s.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err == nil && f.NumRows() != int64(p.rows(t)) {
		err = fmt.Errorf("%s: %w: it has %d rows, not %d", s.name, errDamaged, f.NumRows(), p.rows(t))
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	x := &openTable{sealed: s, file: f, users: 1, used: o.clock}
	o.evict()
	o.open[name] = x
	return x, nil
}

// evict closes the table that was not used for the longest time. The caller holds the lock.
func (o *openTables) evict() {
	if len(o.open) < maxOpenTables {
		return
	}
	var oldest string
	for name, x := range o.open {
		if x.users == 0 && (oldest == "" || x.used < o.open[oldest].used) {
			oldest = name
		}
	}
	if oldest != "" {
		_ = o.open[oldest].sealed.Close()
		delete(o.open, oldest)
	}
}

func (o *openTables) release(x *openTable) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if x.users--; x.users == 0 && x.doomed {
		_ = x.sealed.Close()
	}
}

// hold keeps the files of parts until unhold.
func (o *openTables) hold(parts []*part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parts {
		p.views++
	}
}

func (o *openTables) unhold(parts []*part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parts {
		if p.views--; p.views == 0 && p.retired {
			o.remove(p)
		}
	}
}

// retire removes the files of parts as soon as nobody looks at them. One that cannot be removed is so at the next Open.
func (o *openTables) retire(parts ...*part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parts {
		if p.retired = true; p.views == 0 {
			o.remove(p)
		}
	}
}

// remove removes the files of a part. The caller holds the lock.
func (o *openTables) remove(p *part) {
	for _, t := range []table{tableExchanges, tableEvents, tableNames} {
		if p.rows(t) == 0 {
			continue
		}
		o.shut(p.file(t))
		_ = o.fs.Remove(o.path(p.file(t)))
	}
}

// shut closes a table, once it is given back. The caller holds the lock.
func (o *openTables) shut(name string) {
	x := o.open[name]
	if x == nil {
		return
	}
	delete(o.open, name)
	if x.doomed = true; x.users == 0 {
		_ = x.sealed.Close()
	}
}

func (o *openTables) closeAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name := range o.open {
		o.shut(name)
	}
}

// group is a row group of an open table.
type group struct {
	table *openTable
	rows  parquet.RowGroup
	n     int
}

func (x *openTable) groups() []group {
	rgs := x.file.RowGroups()
	out := make([]group, len(rgs))
	for i, rg := range rgs {
		out[i] = group{x, rg, int(rg.NumRows())}
	}
	return out
}

// chunk returns a column that has one value in each row.
func (g *group) chunk(name string) (*parquet.FileColumnChunk, error) {
	leaf, ok := g.table.file.Schema().Lookup(name)
	if !ok {
		return nil, fmt.Errorf("%s: %w: it has no column %s", g.table.sealed.name, errDamaged, name)
	}
	c, ok := g.rows.ColumnChunks()[leaf.ColumnIndex].(*parquet.FileColumnChunk)
	if !ok {
		return nil, fmt.Errorf("%s: column %s is not read from a file", g.table.sealed.name, name)
	}
	return c, nil
}

// column calls f with the value of the column in each row. What the value points to is gone when f returns.
func (g *group) column(name string, f func(i int, v parquet.Value)) error {
	c, err := g.chunk(name)
	if err != nil {
		return err
	}
	pages := c.Pages()
	defer pages.Close()
	var buf [256]parquet.Value
	for i := 0; i < g.n; {
		p, err := pages.ReadPage()
		if err != nil {
			return fmt.Errorf("%s: column %s ends at row %d of %d: %w", g.table.sealed.name, name, i, g.n, err)
		}
		values := p.Values()
		for {
			n, err := values.ReadValues(buf[:])
			for _, v := range buf[:min(n, g.n-i)] {
				f(i, v)
				i++
			}
			if n == 0 || err != nil {
				break
			}
		}
		parquet.Release(p)
	}
	return nil
}

// bounds returns the smallest and largest value of a column of integers, as far as the file tells.
func (g *group) bounds(name string) (lo, hi int64, ok bool) {
	c, err := g.chunk(name)
	if err != nil {
		return 0, 0, false
	}
	a, b, ok := c.Bounds()
	if !ok || a.IsNull() || b.IsNull() {
		return 0, 0, false
	}
	return a.Int64(), b.Int64(), true
}

// pick reads whole rows of a group, by their numbers in ascending order, page by page where they stand far apart.
func pick[T any](g *group, rows []int, f func(i int, row *T)) error {
	for _, c := range g.rows.ColumnChunks() {
		if _, err := c.OffsetIndex(); err != nil {
			return fmt.Errorf("%s: %w", g.table.sealed.name, err)
		}
	}
	r := parquet.NewGenericRowGroupReader[T](g.rows)
	defer r.Close() //nolint:errcheck // it was only read from
	const near, most = 16, 64
	buf := make([]T, most)
	for i := 0; i < len(rows); {
		from, n := rows[i], 1
		for _, row := range rows[i+1:] {
			if d := row - from; d >= most || d-n >= near {
				break
			}
			n = row - from + 1
		}
		if err := r.SeekToRow(int64(from)); err != nil {
			return fmt.Errorf("%s: %w", g.table.sealed.name, err)
		}
		clear(buf)
		if k, err := r.Read(buf[:n]); k < n {
			return fmt.Errorf("%s: couldn't read row %d of %d: %w", g.table.sealed.name, from+k, g.n, errors.Join(err, errDamaged))
		}
		for ; i < len(rows) && rows[i] < from+n; i++ {
			f(i, &buf[rows[i]-from])
		}
	}
	return nil
}

// names fills in what tokens of kinds up to last stand for. A name that was removed stands for nothing.
func (o *openTables) names(p *part, last kind, want map[token]string) error {
	delete(want, token{})
	if len(want) == 0 || p.Names.Rows == 0 {
		return nil
	}
	x, err := o.acquire(p, tableNames)
	if err != nil {
		return err
	}
	defer o.release(x)
	for _, g := range x.groups() {
		if lo, _, ok := g.bounds32("kind"); ok && lo > int32(last) {
			return nil
		}
		var rows []int
		var tokens []token
		err := g.column("token", func(i int, v parquet.Value) {
			t := token(v.ByteArray())
			if _, ok := want[t]; ok {
				rows, tokens = append(rows, i), append(tokens, t)
			}
		})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			continue
		}
		err = g.column("value", func(i int, v parquet.Value) {
			if k, ok := slices.BinarySearch(rows, i); ok {
				want[tokens[k]] = string(v.ByteArray())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachName calls f with the names of one kind.
func (o *openTables) eachName(p *part, k kind, f func(t token, value []byte)) error {
	if p.Names.Rows == 0 {
		return nil
	}
	x, err := o.acquire(p, tableNames)
	if err != nil {
		return err
	}
	defer o.release(x)
	for _, g := range x.groups() {
		if lo, hi, ok := g.bounds32("kind"); ok && (int32(k) < lo || int32(k) > hi) {
			continue
		}
		from, to := g.n, 0 // rows of the kind: they stand together
		err := g.column("kind", func(i int, v parquet.Value) {
			if v.Int32() == int32(k) {
				from, to = min(from, i), i+1
			}
		})
		if err != nil {
			return err
		}
		if from >= to {
			continue
		}
		tokens := make([]token, g.n)
		if err := g.column("token", func(i int, v parquet.Value) { tokens[i] = token(v.ByteArray()) }); err != nil {
			return err
		}
		err = g.column("value", func(i int, v parquet.Value) {
			if i >= from && i < to {
				f(tokens[i], v.ByteArray())
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mayHave says whether ids between two can be in a group, as far as the file tells.
func (g *group) mayHave(lo, hi steno.ID) bool {
	c, err := g.chunk("id")
	if err != nil {
		return true // reading it will say so
	}
	a, b, ok := c.Bounds()
	return !ok || a.IsNull() || b.IsNull() || bytes.Compare(hi[:], a.ByteArray()) >= 0 && bytes.Compare(lo[:], b.ByteArray()) <= 0
}

func (g *group) bounds32(name string) (lo, hi int32, ok bool) {
	c, err := g.chunk(name)
	if err != nil {
		return 0, 0, false
	}
	a, b, ok := c.Bounds()
	if !ok || a.IsNull() || b.IsNull() {
		return 0, 0, false
	}
	return a.Int32(), b.Int32(), true
}
