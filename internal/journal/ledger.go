package journal

import (
	"bytes"
	"slices"

	"github.com/steno-audit/steno"
)

// edge is the right edge of a tree: the roots of its perfect subtrees, largest first. It is a value: a copy stays as
// it was.
type edge struct {
	size  uint64
	n     int
	roots [64][32]byte
}

func (e *edge) add(leafHash [32]byte) {
	h := leafHash
	for i := e.size; i&1 == 1; i >>= 1 {
		e.n--
		h = steno.NodeHash(e.roots[e.n], h)
	}
	e.roots[e.n] = h
	e.n++
	e.size++
}

func (e *edge) root() [32]byte {
	if e.n == 0 {
		return steno.EmptyRoot
	}
	h := e.roots[e.n-1]
	for i := e.n - 2; i >= 0; i-- {
		h = steno.NodeHash(e.roots[i], h)
	}
	return h
}

// ledger is a steno.State that takes in a leaf in constant time, however many exchanges are open.
type ledger struct {
	edge      edge
	writtenAt int64
	sources   map[[16]byte]*steno.SourceState
	open      map[steno.ID]*steno.OpenExchange
}

func newLedger(s *steno.State) *ledger {
	l := &ledger{
		writtenAt: s.WrittenAt,
		sources:   make(map[[16]byte]*steno.SourceState, len(s.Sources)),
		open:      make(map[steno.ID]*steno.OpenExchange, len(s.Open)),
	}
	l.edge.size = s.Size
	l.edge.n = copy(l.edge.roots[:], s.Edge)
	for _, x := range s.Sources {
		l.sources[x.Source] = &x
	}
	for _, x := range s.Open {
		l.open[x.Exchange] = &x
	}
	return l
}

// note does what steno.State.Add does, but for the tree.
func (l *ledger) note(leaf *steno.Leaf, index uint64) {
	l.writtenAt = leaf.WrittenAt
	s := l.sources[leaf.Source]
	if s == nil {
		for k, x := range l.sources {
			if x.Stopped {
				delete(l.sources, k)
			}
		}
		s = &steno.SourceState{Source: leaf.Source}
		l.sources[leaf.Source] = s
	}
	s.Number, s.WrittenAt = max(s.Number, leaf.Number), leaf.WrittenAt
	switch leaf.PublicType() {
	case steno.TypeSourceStopped:
		s.Stopped = true
	case steno.TypeSourceStarted:
		var st steno.SourceStarted
		if steno.DecodePublic(leaf.Public, &st) == nil && len(st.Previous) == len(leaf.Source) {
			if p := l.sources[[16]byte(st.Previous)]; p != nil {
				p.Stopped = true
			}
		}
	}
	if leaf.Exchange.IsZero() {
		return
	}
	o := l.open[leaf.Exchange]
	switch {
	case leaf.Flags&steno.FlagCloses != 0:
		delete(l.open, leaf.Exchange)
	case leaf.Flags&steno.FlagOpens != 0 && o == nil:
		l.open[leaf.Exchange] = &steno.OpenExchange{Exchange: leaf.Exchange, FirstLeaf: index, WrittenAt: leaf.WrittenAt}
	case leaf.Flags&steno.FlagContinues != 0 && o != nil:
		o.WrittenAt = leaf.WrittenAt
	}
}

// state returns a copy, in the order of a state frame.
func (l *ledger) state() steno.State {
	s := steno.State{Size: l.edge.size, WrittenAt: l.writtenAt, Edge: slices.Clone(l.edge.roots[:l.edge.n])}
	for _, x := range l.sources {
		s.Sources = append(s.Sources, *x)
	}
	for _, x := range l.open {
		s.Open = append(s.Open, *x)
	}
	slices.SortFunc(s.Sources, func(a, b steno.SourceState) int { return bytes.Compare(a.Source[:], b.Source[:]) })
	slices.SortFunc(s.Open, func(a, b steno.OpenExchange) int { return bytes.Compare(a.Exchange[:], b.Exchange[:]) })
	return s
}

// newest returns the source that wrote last, among all or only those that have not stopped.
func newest(sources []steno.SourceState, running bool) *steno.SourceState {
	var best *steno.SourceState
	for _, s := range sources {
		if running && s.Stopped {
			continue
		}
		later := best == nil || s.WrittenAt > best.WrittenAt
		if later || s.WrittenAt == best.WrittenAt && best.Stopped && !s.Stopped {
			best = &s
		}
	}
	return best
}
