package steno

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// State is what a reader of one segment must know of all the leaves before it: the content of the state frame. It can
// be computed from those leaves and proves nothing by itself.
type State struct {
	Size      uint64     // leaves before
	WrittenAt int64      // of the last one
	Edge      [][32]byte // roots of the perfect subtrees of the tree at Size, largest first
	Sources   []SourceState
	Open      []OpenExchange
}

// SourceState is the last that is known of a source.
type SourceState struct {
	Source    [16]byte
	Number    uint64 // its last
	Stopped   bool
	WrittenAt int64
}

// OpenExchange is an exchange that was opened and not closed.
type OpenExchange struct {
	Exchange  ID
	FirstLeaf uint64
	WrittenAt int64 // of its last record
}

const maxStateItems = 1 << 20

// Append appends the encoding; Sources and Open are sorted first.
func (s *State) Append(b []byte) []byte {
	slices.SortFunc(s.Sources, func(a, b SourceState) int { return bytes.Compare(a.Source[:], b.Source[:]) })
	slices.SortFunc(s.Open, func(a, b OpenExchange) int { return bytes.Compare(a.Exchange[:], b.Exchange[:]) })
	b = append(b, FormatVersion)
	b = binary.BigEndian.AppendUint64(b, s.Size)
	b = binary.BigEndian.AppendUint64(b, uint64(s.WrittenAt))
	b = append(b, byte(len(s.Edge)))
	for _, h := range s.Edge {
		b = append(b, h[:]...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Sources)))
	for _, x := range s.Sources {
		b = append(b, x.Source[:]...)
		b = binary.BigEndian.AppendUint64(b, x.Number)
		var f byte
		if x.Stopped {
			f = 1
		}
		b = append(b, f)
		b = binary.BigEndian.AppendUint64(b, uint64(x.WrittenAt))
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(s.Open)))
	for _, x := range s.Open {
		b = append(b, x.Exchange[:]...)
		b = binary.BigEndian.AppendUint64(b, x.FirstLeaf)
		b = binary.BigEndian.AppendUint64(b, uint64(x.WrittenAt))
	}
	return b
}

// ParseState reads what Append writes.
func ParseState(b []byte) (*State, error) {
	const fixed, sourceSize, openSize = 18, 33, 32
	bad := func(why string) (*State, error) { return nil, fmt.Errorf("%w: state frame: %s", ErrSegment, why) }
	if len(b) < fixed || b[0] != FormatVersion {
		return bad("too short, or of another version")
	}
	be := binary.BigEndian
	s := &State{Size: be.Uint64(b[1:]), WrittenAt: int64(be.Uint64(b[9:]))}
	n := int(b[17])
	if b = b[fixed:]; n != bits.OnesCount64(s.Size) || len(b) < 32*n+4 {
		return bad("the tree's edge does not fit its size")
	}
	for range n {
		s.Edge = append(s.Edge, [32]byte(b))
		b = b[32:]
	}
	n = int(be.Uint32(b))
	if b = b[4:]; n > maxStateItems || len(b) < n*sourceSize+4 {
		return bad("sources do not fit")
	}
	for range n {
		if b[24] > 1 {
			return bad("unknown flag of a source")
		}
		s.Sources = append(s.Sources, SourceState{[16]byte(b), be.Uint64(b[16:]), b[24] == 1, int64(be.Uint64(b[25:]))})
		b = b[sourceSize:]
	}
	n = int(be.Uint32(b))
	if b = b[4:]; n > maxStateItems || len(b) != n*openSize {
		return bad("open exchanges do not fit")
	}
	for range n {
		s.Open = append(s.Open, OpenExchange{ID(b[:16]), be.Uint64(b[16:]), int64(be.Uint64(b[24:]))})
		b = b[openSize:]
	}
	return s, nil
}

// Add takes the next leaf into account: its place in the tree, its source's count, and what it does to its exchange.
// It keeps a state in step with the log, in the writer, in recovery and in the verifier alike; it checks nothing.
func (s *State) Add(l *Leaf, leafHash [32]byte) {
	index := s.Size
	h := leafHash
	for i := index; i&1 == 1; i >>= 1 {
		last := len(s.Edge) - 1
		h = NodeHash(s.Edge[last], h)
		s.Edge = s.Edge[:last]
	}
	s.Edge = append(s.Edge, h)
	s.Size++
	s.WrittenAt = l.WrittenAt

	stopped := l.PublicType() == TypeSourceStopped
	i := slices.IndexFunc(s.Sources, func(x SourceState) bool { return x.Source == l.Source })
	if i < 0 {
		s.Sources = slices.DeleteFunc(s.Sources, func(x SourceState) bool { return x.Stopped })
		s.Sources = append(s.Sources, SourceState{Source: l.Source})
		i = len(s.Sources) - 1
	}
	s.Sources[i].Number, s.Sources[i].WrittenAt = max(s.Sources[i].Number, l.Number), l.WrittenAt
	s.Sources[i].Stopped = s.Sources[i].Stopped || stopped
	if l.PublicType() == TypeSourceStarted { // it says for how many numbers the one before it stood, if that was killed
		var st SourceStarted
		if DecodePublic(l.Public, &st) == nil && len(st.Previous) == len(l.Source) {
			for k := range s.Sources {
				if s.Sources[k].Source == [16]byte(st.Previous) {
					s.Sources[k].Stopped = true
				}
			}
		}
	}

	if l.Exchange.IsZero() {
		return
	}
	o := slices.IndexFunc(s.Open, func(x OpenExchange) bool { return x.Exchange == l.Exchange })
	switch {
	case l.Flags&FlagCloses != 0:
		if o >= 0 {
			s.Open = slices.Delete(s.Open, o, o+1)
		}
	case l.Flags&FlagOpens != 0 && o < 0:
		s.Open = append(s.Open, OpenExchange{l.Exchange, index, l.WrittenAt})
	case l.Flags&FlagContinues != 0 && o >= 0:
		s.Open[o].WrittenAt = l.WrittenAt
	}
}

// Root returns the root of the tree at Size.
func (s *State) Root() [32]byte {
	if len(s.Edge) == 0 {
		return EmptyRoot
	}
	h := s.Edge[len(s.Edge)-1]
	for i := len(s.Edge) - 2; i >= 0; i-- {
		h = NodeHash(s.Edge[i], h)
	}
	return h
}
