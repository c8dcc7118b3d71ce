package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/parquet-go/parquet-go"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

// view is the index at one moment.
type view struct {
	x         *Index
	ctx       context.Context
	exchanges []*exchange
	events    []*event
	parts     []*part
	hidden    map[*part]map[steno.ID]struct{} // rows of which there is a newer state
}

// look calls f with a view. Where f finds the index damaged, it is called again when the index has been built again.
func (x *Index) look(ctx context.Context, f func(*view) error) error {
	for try := 0; ; try++ {
		v, life := x.view(ctx)
		err := f(v)
		x.tables.unhold(v.parts)
		if err == nil || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), err)
		}
		if !isDamage(err) && !errors.Is(err, seal.ErrErased) || try == 2 {
			return fmt.Errorf("couldn't read the index: %w", err)
		}
		if err := x.heal(ctx, life, err); err != nil {
			return err
		}
	}
}

// heal has the index built again if it is still the one that was found damaged, and waits for that.
func (x *Index) heal(ctx context.Context, life int, why error) error {
	x.mu.Lock()
	if x.life == life {
		x.spoilLocked(why)
	}
	x.mu.Unlock()
	for {
		x.mu.Lock()
		if err := x.failed; err != nil {
			x.mu.Unlock()
			return fmt.Errorf("the index is damaged and has stopped: %w", errors.Join(why, err))
		}
		if x.life != life {
			x.mu.Unlock()
			return x.CatchUp(ctx)
		}
		moved := x.waitLocked(0)
		x.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// view takes what there is now. The caller gives the parts back to unhold.
func (x *Index) view(ctx context.Context) (*view, int) {
	v := &view{x: x, ctx: ctx, hidden: map[*part]map[steno.ID]struct{}{}}
	x.mu.RLock()
	defer x.mu.RUnlock()
	v.exchanges = make([]*exchange, 0, len(x.newest.exchanges))
	for _, e := range x.newest.exchanges {
		v.exchanges = append(v.exchanges, e)
	}
	v.events, v.parts = x.newest.events, x.parts
	for _, p := range v.parts {
		if len(p.dead)+len(p.over) > 0 {
			v.hidden[p] = p.hidden()
		}
	}
	x.tables.hold(v.parts)
	return v, x.life
}

// hidden returns the rows of which there is a newer state elsewhere. The caller holds the mu of the index.
func (p *part) hidden() map[steno.ID]struct{} {
	out := make(map[steno.ID]struct{}, len(p.dead)+len(p.over))
	for id := range p.dead {
		out[id] = struct{}{}
	}
	for id := range p.over {
		out[id] = struct{}{}
	}
	return out
}

// filter is a query as one part understands it.
type filter struct {
	q      *Query
	t      table
	hidden map[steno.ID]struct{}
	users  map[token]struct{}
	convs  map[token]struct{}
	docs   map[token]struct{}
	prompt map[token]struct{}
}

// filter translates the values of a query into the tokens of a part. It returns nil if no row of the part can match.
func (v *view) filter(p *part, t table, q *Query) (*filter, error) {
	if !p.span(t).mayMatch(q) || t == tableEvents && (q.Document != "" || q.Prompt != "") {
		return nil, nil
	}
	f := &filter{q: q, t: t}
	if t == tableExchanges {
		f.hidden = v.hidden[p]
	}
	for _, c := range []struct {
		kind  kind
		value string
		into  *map[token]struct{}
	}{
		{kindUser, q.User, &f.users},
		{kindConversation, q.Conversation, &f.convs},
		{kindDocument, q.Document, &f.docs},
		{kindPrompt, q.Prompt, &f.prompt},
	} {
		if c.value == "" {
			continue
		}
		m := map[token]struct{}{}
		err := v.x.tables.eachName(p, c.kind, func(t token, value []byte) {
			if string(value) == c.value {
				m[t] = struct{}{}
			}
		})
		if err != nil {
			return nil, err
		}
		if len(m) == 0 {
			return nil, nil
		}
		*c.into = m
	}
	return f, nil
}

// atColumn is the column by which a table is ordered.
func (t table) atColumn() string {
	if t == tableEvents {
		return "leaf"
	}
	return "time"
}

// rows returns the numbers and positions of the rows of a group that match.
func (f *filter) rows(g *group) ([]int, []Position, error) {
	if f.outside(g) {
		return nil, nil, nil
	}
	sel := make([]bool, g.n)
	for i := range sel {
		sel[i] = true
	}
	if err := f.columns(g, sel); err != nil {
		return nil, nil, err
	}
	var rows []int
	for i, ok := range sel {
		if ok {
			rows = append(rows, i)
		}
	}
	if len(rows) == 0 {
		return nil, nil, nil
	}
	pos := make([]Position, g.n)
	err := g.column(f.t.atColumn(), func(i int, v parquet.Value) {
		if pos[i].at = v.Int64(); f.t == tableEvents {
			pos[i].at++
		}
	})
	if err == nil && f.t == tableExchanges {
		err = g.column("id", func(i int, v parquet.Value) { pos[i].id = steno.ID(v.ByteArray()) })
	}
	if err != nil {
		return nil, nil, err
	}
	n := 0
	var at []Position
	for _, i := range rows {
		if _, hidden := f.hidden[pos[i].id]; !hidden && f.q.beyond(pos[i]) {
			rows[n] = i
			n++
			at = append(at, pos[i])
		}
	}
	return rows[:n], at, nil
}

// outside says whether no row of a group can lie in the time that is asked for.
func (f *filter) outside(g *group) bool {
	lo, hi, ok := g.bounds("time")
	return ok && (!f.q.Since.IsZero() && hi < f.q.Since.UnixNano() || !f.q.Until.IsZero() && lo >= f.q.Until.UnixNano())
}

// columns unselects the rows whose values do not match, one column after the other.
func (f *filter) columns(g *group, sel []bool) error {
	q := f.q
	var err error
	keep := func(wanted bool, column string, ok func(v parquet.Value) bool) {
		if wanted && err == nil {
			err = g.column(column, func(i int, v parquet.Value) { sel[i] = sel[i] && ok(v) })
		}
	}
	equal := func(want string) func(parquet.Value) bool {
		return func(v parquet.Value) bool { return string(v.ByteArray()) == want }
	}
	among := func(m map[token]struct{}) func(parquet.Value) bool {
		return func(v parquet.Value) bool { _, ok := m[token(v.ByteArray())]; return ok }
	}
	keep(!q.Since.IsZero() || !q.Until.IsZero(), "time", func(v parquet.Value) bool { return q.within(v.Int64()) })
	keep(f.users != nil, "user", among(f.users))
	keep(f.convs != nil, "conversation", among(f.convs))
	keep(f.prompt != nil, "prompt", among(f.prompt))
	keep(f.docs != nil, "documents", func(v parquet.Value) bool {
		for d := range slices.Chunk(v.ByteArray(), len(token{})) {
			if _, ok := f.docs[token(d)]; ok && len(d) == len(token{}) {
				return true
			}
		}
		return false
	})
	keep(q.Status != "", "status", equal(q.Status))
	keep(q.Flag != "", "flags", func(v parquet.Value) bool { return hasFlag(v.ByteArray(), q.Flag) })
	if q.Model != "" && err == nil {
		either := make([]bool, len(sel))
		for _, c := range []string{"model", "answered_model"} {
			if err == nil {
				err = g.column(c, func(i int, v parquet.Value) { either[i] = either[i] || string(v.ByteArray()) == q.Model })
			}
		}
		for i := range sel {
			sel[i] = sel[i] && either[i]
		}
	}
	if f.t == tableEvents {
		keep(q.Type != "", "type", equal(q.Type))
		keep(q.Log != "", "type", func(v parquet.Value) bool { return ofLog(string(v.ByteArray()), q.Log) })
		keep(!q.Exchange.IsZero(), "exchange", func(v parquet.Value) bool { return steno.ID(v.ByteArray()) == q.Exchange })
	}
	return err
}

// hasFlag looks for a flag in a list with commas between.
func hasFlag(list []byte, flag string) bool {
	for len(list) > 0 {
		var f []byte
		f, list, _ = bytes.Cut(list, []byte{','})
		if string(f) == flag {
			return true
		}
	}
	return false
}

// ref is a row that matches, wherever it is.
type ref struct {
	Position
	exchange *exchange // in memory
	event    *event
	part     *part // else in a part
	group    int
	row      int
}

// best are the refs that come first: the newest, or the oldest. They are a heap, the last of them on top.
type best struct {
	limit  int
	oldest bool
	refs   []ref
}

// compare is below 0 where p comes before o.
func (b *best) compare(p, o Position) int {
	if b.oldest {
		return p.compare(o)
	}
	return o.compare(p)
}

func (b *best) add(r ref) {
	if len(b.refs) < b.limit {
		b.refs = append(b.refs, r)
		for i := len(b.refs) - 1; i > 0 && b.compare(b.refs[(i-1)/2].Position, b.refs[i].Position) < 0; i = (i - 1) / 2 {
			b.refs[i], b.refs[(i-1)/2] = b.refs[(i-1)/2], b.refs[i]
		}
		return
	}
	if b.compare(r.Position, b.refs[0].Position) >= 0 {
		return
	}
	b.refs[0] = r
	for i := 0; ; {
		last := i
		for _, k := range []int{2*i + 1, 2*i + 2} {
			if k < len(b.refs) && b.compare(b.refs[last].Position, b.refs[k].Position) < 0 {
				last = k
			}
		}
		if last == i {
			return
		}
		b.refs[i], b.refs[last] = b.refs[last], b.refs[i]
		i = last
	}
}

// takes says whether rows at that time could still be among the first.
func (b *best) takes(at int64) bool {
	return len(b.refs) < b.limit || at == b.refs[0].at || (at > b.refs[0].at) != b.oldest
}

// cut leaves the first limit refs, the newest last, and says whether there were more.
func (b *best) cut(limit int) bool {
	slices.SortFunc(b.refs, func(p, o ref) int { return b.compare(p.Position, o.Position) })
	more := len(b.refs) > limit
	b.refs = b.refs[:min(limit, len(b.refs))]
	if !b.oldest {
		slices.Reverse(b.refs)
	}
	return more
}

// search finds the first rows that match in all parts and what the caller has put into b from memory.
func (v *view) search(t table, q *Query, b *best) error {
	parts := slices.Clone(v.parts)
	near := func(s *span) int64 {
		if b.oldest {
			return s.MinAt
		}
		return s.MaxAt
	}
	slices.SortFunc(parts, func(p, o *part) int {
		c := cmp.Compare(near(p.span(t)), near(o.span(t)))
		if !b.oldest {
			c = -c
		}
		return c
	})
	for _, p := range parts {
		if p.rows(t) > 0 && !b.takes(near(p.span(t))) {
			break
		}
		if err := v.searchPart(p, t, q, b); err != nil {
			return err
		}
	}
	return nil
}

func (v *view) searchPart(p *part, t table, q *Query, b *best) error {
	f, err := v.filter(p, t, q)
	if f == nil || err != nil {
		return err
	}
	x, err := v.x.tables.acquire(p, t)
	if err != nil {
		return err
	}
	defer v.x.tables.release(x)
	groups := x.groups()
	for k := range groups {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		i := k
		if !b.oldest {
			i = len(groups) - 1 - k
		}
		if lo, hi, ok := groups[i].bounds(t.atColumn()); ok {
			at := hi
			if b.oldest {
				at = lo
			}
			if t == tableEvents {
				at++
			}
			if !b.takes(at) {
				break
			}
		}
		rows, at, err := f.rows(&groups[i])
		if err != nil {
			return err
		}
		// In a group rows stand in order.
		from, to := max(0, len(rows)-b.limit), len(rows)
		if b.oldest {
			from, to = 0, min(len(rows), b.limit)
		}
		for n := from; n < to; n++ {
			b.add(ref{Position: at[n], part: p, group: i, row: rows[n]})
		}
	}
	return nil
}

// place is a group of a part.
type place struct {
	part  *part
	group int
}

// load reads the rows that refs point to in parts. use is called with the place in refs.
func load[T any](v *view, t table, refs []ref, use func(i int, p *part, row *T)) error {
	at := map[place][]int{}
	for i, r := range refs {
		if r.part != nil {
			at[place{r.part, r.group}] = append(at[place{r.part, r.group}], i)
		}
	}
	for pl, list := range at {
		slices.SortFunc(list, func(a, b int) int { return cmp.Compare(refs[a].row, refs[b].row) })
		x, err := v.x.tables.acquire(pl.part, t)
		if err != nil {
			return err
		}
		rows := make([]int, len(list))
		for k, i := range list {
			rows[k] = refs[i].row
		}
		groups := x.groups()
		err = pick(&groups[pl.group], rows, func(k int, row *T) { use(list[k], pl.part, row) })
		v.x.tables.release(x)
		if err != nil {
			return err
		}
	}
	return nil
}

// loadExchanges returns the exchanges that refs point to, with their names up to that kind.
func (v *view) loadExchanges(refs []ref, last kind) ([]*exchange, error) {
	out := make([]*exchange, len(refs))
	rows := make([]exchangeRow, len(refs))
	names := map[*part]map[token]string{}
	for i, r := range refs {
		out[i] = r.exchange
	}
	err := load(v, tableExchanges, refs, func(i int, p *part, row *exchangeRow) {
		rows[i] = *row
		rows[i].Leaves, rows[i].Documents = slices.Clone(row.Leaves), slices.Clone(row.Documents)
		want(names, p, row.tokens(last)...)
	})
	if err != nil {
		return nil, err
	}
	if err := v.names(names, last); err != nil {
		return nil, err
	}
	for i, r := range refs {
		if r.part != nil {
			out[i] = rows[i].exchange(r.part.Day, names[r.part])
		}
	}
	return out, nil
}

// loadEvents returns the rows of events that refs point to, with their names.
func (v *view) loadEvents(refs []ref) ([]EventRow, error) {
	out := make([]EventRow, len(refs))
	rows := make([]eventRow, len(refs))
	names := map[*part]map[token]string{}
	for i, r := range refs {
		if r.event != nil {
			out[i] = r.event.EventRow
		}
	}
	err := load(v, tableEvents, refs, func(i int, p *part, row *eventRow) {
		rows[i] = *row
		want(names, p, row.User)
	})
	if err != nil {
		return nil, err
	}
	if err := v.names(names, kindUser); err != nil {
		return nil, err
	}
	for i, r := range refs {
		if r.part != nil {
			out[i] = rows[i].row(names[r.part])
		}
	}
	return out, nil
}

func want(names map[*part]map[token]string, p *part, tokens ...token) {
	if names[p] == nil {
		names[p] = map[token]string{}
	}
	for _, t := range tokens {
		names[p][t] = ""
	}
}

func (v *view) names(names map[*part]map[token]string, last kind) error {
	for p, m := range names {
		if err := v.x.tables.names(p, last, m); err != nil {
			return err
		}
	}
	return nil
}
