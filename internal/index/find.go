package index

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/steno-audit/steno"
)

// Found is what an id leads to.
type Found struct {
	Exchange steno.ID // zero: the record belongs to none
	Record   steno.ID // set when the id was that of a record
	Leaf     uint64   // of that record
	Leaves   []uint64 // of all records of the exchange, ascending; else of the record
}

// ErrNotFound is wrapped by *NotFoundError.
var ErrNotFound = errors.New("not found")

// NotFoundError says that nothing has such an id.
type NotFoundError struct{ ID string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no exchange, event or provider's response has an id that begins with %q", e.ID)
}

// Unwrap returns ErrNotFound.
func (e *NotFoundError) Unwrap() error { return ErrNotFound }

// AmbiguousError says that several things have such an id.
type AmbiguousError struct {
	ID         string
	Candidates []steno.ID // of exchanges and records, at most 10
	More       bool       // there are more
}

func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Candidates), len(e.Candidates)+1)
	for i, id := range e.Candidates {
		names[i] = id.String()
	}
	if e.More {
		names = append(names, "…")
	}
	return fmt.Sprintf("%q may mean %s; give more of the id", e.ID, strings.Join(names, ", "))
}

const (
	minPrefix     = 4
	maxCandidates = 10
)

// Find returns what has an id: that of an exchange, of a record, or the provider's id of a response; whole, or a prefix
// of at least four characters that only one has. Steno's ids come before the provider's, whole ones before prefixes.
func (x *Index) Find(ctx context.Context, id string) (Found, error) {
	if len(id) < minPrefix {
		return Found{}, fmt.Errorf("%q is too short for an id; give at least %d characters of it", id, minPrefix)
	}
	var found Found
	var not error
	err := x.look(ctx, func(v *view) error {
		f := finder{v: v, id: id}
		if lo, hi, ok := idRange(id); ok {
			if err := f.ids(lo, hi); err != nil {
				return err
			}
		}
		for _, step := range []func() error{f.responses, f.responsePrefixes} {
			if len(f.matches) > 0 {
				break
			}
			if err := step(); err != nil {
				return err
			}
		}
		if not = f.unclear(); not != nil {
			return nil //nolint:nilerr // the look went well; what it found is reported below
		}
		var err error
		found, err = f.resolve()
		return err
	})
	if err == nil {
		err = not
	}
	return found, err
}

// idRange returns the first and last id that begin with a prefix of hex digits.
func idRange(prefix string) (lo, hi steno.ID, ok bool) {
	if len(prefix) > 2*len(lo) {
		return lo, hi, false
	}
	fill := func(c string) (id steno.ID, err error) {
		_, err = hex.Decode(id[:], []byte(strings.ToLower(prefix)+strings.Repeat(c, 2*len(id)-len(prefix))))
		return id, err
	}
	lo, err := fill("0")
	if err != nil {
		return lo, hi, false
	}
	hi, err = fill("f")
	return lo, hi, err == nil
}

func between(id, lo, hi steno.ID) bool {
	return bytes.Compare(id[:], lo[:]) >= 0 && bytes.Compare(id[:], hi[:]) <= 0
}

// match is one thing that has the id.
type match struct {
	exchange steno.ID
	record   steno.ID // zero: the exchange itself
	leaf     uint64
}

type finder struct {
	v       *view
	id      string
	matches []match
}

// full says whether enough was found to say that there is too much.
func (f *finder) full() bool { return len(f.matches) > 4*maxCandidates }

// ids finds exchanges and records by their own ids.
func (f *finder) ids(lo, hi steno.ID) error {
	for _, e := range f.v.exchanges {
		if between(e.ID, lo, hi) {
			f.matches = append(f.matches, match{exchange: e.ID})
		}
	}
	for _, e := range f.v.events {
		if between(e.ID, lo, hi) {
			f.matches = append(f.matches, match{e.Exchange, e.ID, e.Leaf})
		}
	}
	for _, p := range f.v.parts {
		if f.full() {
			return nil
		}
		refs, err := f.v.idRows(p, tableExchanges, lo, hi)
		if err != nil {
			return err
		}
		for _, r := range refs {
			f.matches = append(f.matches, match{exchange: r.id})
		}
		if refs, err = f.v.idRows(p, tableEvents, lo, hi); err != nil {
			return err
		}
		rows, err := f.v.loadEvents(refs)
		if err != nil {
			return err
		}
		for _, e := range rows {
			f.matches = append(f.matches, match{e.Exchange, e.ID, e.Leaf})
		}
	}
	return nil
}

// idRows returns the rows of a part whose ids lie between two; those that are newer elsewhere are left out.
func (v *view) idRows(p *part, t table, lo, hi steno.ID) ([]ref, error) {
	if !p.span(t).mayHave(lo, hi) {
		return nil, nil
	}
	x, err := v.x.tables.acquire(p, t)
	if err != nil {
		return nil, err
	}
	defer v.x.tables.release(x)
	var refs []ref
	for n, g := range x.groups() {
		if !g.mayHave(lo, hi) {
			continue
		}
		err := g.column("id", func(i int, val parquet.Value) {
			id := steno.ID(val.ByteArray())
			if _, hidden := v.hidden[p][id]; !between(id, lo, hi) || hidden && t == tableExchanges || len(refs) > 4*maxCandidates {
				return
			}
			refs = append(refs, ref{Position: Position{id: id}, part: p, group: n, row: i})
		})
		if err != nil {
			return nil, err
		}
	}
	return refs, nil
}

// responses finds exchanges by the whole id of the provider's response.
func (f *finder) responses() error {
	for _, e := range f.v.exchanges {
		if e.ResponseID == f.id {
			f.matches = append(f.matches, match{exchange: e.ID})
		}
	}
	for _, p := range f.v.parts {
		if p.Exchanges.Rows == 0 || f.full() {
			continue
		}
		t, err := f.v.x.keys.newTokenizer(p.Day)
		if err != nil {
			return err
		}
		if err := f.responseRows(p, map[token]bool{t.hash(kindResponseID, 0, f.id): true}); err != nil {
			return err
		}
	}
	return nil
}

// responsePrefixes goes through the names of all parts: there is no order by provider's ids.
func (f *finder) responsePrefixes() error {
	for _, e := range f.v.exchanges {
		if strings.HasPrefix(e.ResponseID, f.id) {
			f.matches = append(f.matches, match{exchange: e.ID})
		}
	}
	for _, p := range f.v.parts {
		if err := f.v.ctx.Err(); err != nil || f.full() {
			return err
		}
		tokens := map[token]bool{}
		err := f.v.x.tables.eachName(p, kindResponseID, func(t token, value []byte) {
			if strings.HasPrefix(string(value), f.id) && len(tokens) <= 4*maxCandidates {
				tokens[t] = true
			}
		})
		if err != nil {
			return err
		}
		if len(tokens) == 0 || p.Exchanges.Rows == 0 {
			continue
		}
		if err := f.responseRows(p, tokens); err != nil {
			return err
		}
	}
	return nil
}

// responseRows finds the exchanges of a part by the tokens of their responses.
func (f *finder) responseRows(p *part, tokens map[token]bool) error {
	x, err := f.v.x.tables.acquire(p, tableExchanges)
	if err != nil {
		return err
	}
	defer f.v.x.tables.release(x)
	for _, g := range x.groups() {
		c, err := g.chunk("response_id")
		if err != nil {
			return err
		}
		maybe := false
		for t := range tokens {
			ok, err := c.BloomFilter().Check(parquet.FixedLenByteArrayValue(t[:]))
			if err != nil {
				return fmt.Errorf("%s: %w", x.sealed.name, err)
			}
			maybe = maybe || ok
		}
		if !maybe {
			continue
		}
		hit := map[int]bool{}
		if err := g.column("response_id", func(i int, v parquet.Value) {
			if tokens[token(v.ByteArray())] {
				hit[i] = true
			}
		}); err != nil {
			return err
		}
		if len(hit) == 0 {
			continue
		}
		if err := g.column("id", func(i int, v parquet.Value) {
			id := steno.ID(v.ByteArray())
			if _, hidden := f.v.hidden[p][id]; hit[i] && !hidden {
				f.matches = append(f.matches, match{exchange: id})
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// unclear returns why no one thing has the id. An exchange and its records have ids that begin alike: what all belongs
// to one exchange means that.
func (f *finder) unclear() error {
	if len(f.matches) == 0 {
		return &NotFoundError{f.id}
	}
	first, one := f.matches[0], true
	var candidates []steno.ID
	for _, m := range f.matches {
		one = one && m.exchange == first.exchange && (!m.exchange.IsZero() || m.record == first.record)
		name := m.record
		if name.IsZero() {
			name = m.exchange
		}
		if !slices.Contains(candidates, name) {
			candidates = append(candidates, name)
		}
	}
	if one {
		return nil
	}
	slices.SortFunc(candidates, func(a, b steno.ID) int { return bytes.Compare(a[:], b[:]) })
	return &AmbiguousError{f.id, candidates[:min(len(candidates), maxCandidates)], len(candidates) > maxCandidates}
}

// resolve returns the one thing that was found.
func (f *finder) resolve() (Found, error) {
	first := f.matches[0]
	found := Found{Exchange: first.exchange, Leaves: []uint64{first.leaf}}
	if len(f.matches) == 1 && !first.record.IsZero() {
		found.Record, found.Leaf = first.record, first.leaf
	}
	if first.exchange.IsZero() {
		return found, nil
	}
	row, err := f.v.exchange(first.exchange, 0)
	if err == nil && row != nil {
		found.Leaves = row.Leaves
	}
	return found, err
}

// exchange returns the row of an exchange, with its names up to that kind; nil if there is none.
func (v *view) exchange(id steno.ID, last kind) (*exchange, error) {
	for _, e := range v.exchanges {
		if e.ID == id {
			return e, nil
		}
	}
	row, _, err := v.stored(id, last)
	return row, err
}

// Exchange returns the row of one exchange; its error is a *NotFoundError if there is none.
func (x *Index) Exchange(ctx context.Context, id steno.ID) (Row, error) {
	var row *exchange
	err := x.look(ctx, func(v *view) (err error) {
		row, err = v.exchange(id, kindLast)
		return err
	})
	if err != nil {
		return Row{}, err
	}
	if row == nil {
		return Row{}, &NotFoundError{id.String()}
	}
	return row.Row, nil
}

// stored returns the row of an exchange from the parts, and which one has it; nil if none has.
func (v *view) stored(id steno.ID, last kind) (*exchange, *part, error) {
	for _, p := range v.parts {
		refs, err := v.idRows(p, tableExchanges, id, id)
		if err != nil {
			return nil, nil, err
		}
		if len(refs) == 0 {
			continue
		}
		rows, err := v.loadExchanges(refs[:1], last)
		if err != nil {
			return nil, nil, err
		}
		return rows[0], p, nil
	}
	return nil, nil, nil
}

// stored is the follower's look at one exchange in the parts, without what is in memory.
func (x *Index) stored(id steno.ID) (*exchange, *part, error) {
	v := &view{x: x, ctx: x.ctx, hidden: map[*part]map[steno.ID]struct{}{}}
	x.mu.RLock()
	for _, p := range x.parts {
		if !p.Exchanges.mayHave(id, id) {
			continue
		}
		v.parts = append(v.parts, p)
		if _, dead := p.dead[id]; dead {
			v.hidden[p] = map[steno.ID]struct{}{id: {}}
		}
	}
	x.tables.hold(v.parts)
	x.mu.RUnlock()
	defer x.tables.unhold(v.parts)
	return v.stored(id, kindLast)
}
