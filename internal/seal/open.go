package seal

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/steno-audit/steno"
)

// ReadFunc returns the record at a leaf.
type ReadFunc func(index uint64) (*steno.Leaf, []byte, error)

// Opened is a record in the clear, as far as it was asked for. Words that were sealed as members of the event are
// members again, other pieces are in Request and Response; one that was longer than a chunk is several.
type Opened struct {
	steno.Draft
	Alias   uint64 // whose it is; 0 when only a hold keeps it
	DayKey  uint32
	Missing []Missing
	From    []uint64 // leaves of other records that store pieces of this one, ascending
}

// Missing is a part that is erased: a whole section, or a piece, which is left empty in its list.
type Missing struct {
	Section    steno.Section
	Piece      int // place in the list; -1 for the whole section
	Length     int
	Commitment [32]byte
}

// Open opens the wanted sections of a record and checks its body's hash and the commitment of each section against
// the leaf. read is asked for the records that store what a list refers to; it may be nil when no list is wanted. A
// record of which nothing that was asked for can be opened is an error that wraps ErrErased.
func (k *Keys) Open(l *steno.Leaf, body []byte, read ReadFunc, want steno.Section) (*Opened, error) {
	if l.DayKey == 0 || l.Flags&steno.FlagPublicOnly != 0 {
		return nil, errors.New("a public record has nothing sealed")
	}
	if err := checkBody(l, body); err != nil {
		return nil, err
	}
	keys, err := k.opening(l)
	if err != nil {
		return nil, err
	}
	b, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	o := &Opened{Alias: keys.alias, DayKey: l.DayKey}
	o.ID, o.Exchange, o.Imported = l.Record, l.Exchange, l.Flags&steno.FlagImported != 0
	o.Time = time.Unix(0, l.SourceAt).UTC()
	op := &opening{k: k, l: l, b: b, keys: keys, read: read, out: o}
	opened, wanted := 0, 0
	for _, s := range steno.Sections {
		if want&s == 0 || l.Sections&s == 0 {
			continue
		}
		wanted++
		key, ok := keys.section(s)
		if !ok {
			c, _ := l.Commitment(s)
			o.Missing = append(o.Missing, Missing{Section: s, Piece: -1, Commitment: c})
			continue
		}
		if err := op.section(s, key); err != nil {
			return nil, fmt.Errorf("couldn't open section %s: %w", s, err)
		}
		opened++
	}
	if wanted > 0 && opened == 0 {
		return nil, fmt.Errorf("record %s: %w", l.Record, ErrErasedText)
	}
	return o, nil
}

// opening is one Open under way.
type opening struct {
	k    *Keys
	l    *steno.Leaf
	b    *body
	keys *recordKeys
	read ReadFunc
	out  *Opened
}

func (o *opening) section(s steno.Section, key [32]byte) error {
	plain, err := o.b.section(s, o.k.log, o.l.Seal, key)
	if err != nil {
		return err
	}
	want, _ := o.l.Commitment(s)
	if !s.IsList() {
		fields, err := parseFields(plain)
		if err != nil {
			return err
		}
		if commitFields(s, key, fields) != want {
			return fmt.Errorf("%w: its fields are not those that the leaf commits to", ErrSealed)
		}
		return o.out.SetFields(s, fields)
	}
	list, err := o.list(s, plain)
	if err != nil {
		return err
	}
	pieces, hashes, err := o.pieces(s, list)
	if err != nil {
		return err
	}
	if commitList(s, key, hashes, plain) != want {
		return fmt.Errorf("%w: its pieces are not those that the leaf commits to", ErrSealed)
	}
	if done, err := restoreMembers(&o.out.Event, s, pieces); done || err != nil {
		return err
	}
	if s == steno.SectionPrompt {
		o.out.Request = pieces
	} else {
		o.out.Response = pieces
	}
	return nil
}

// list parses a list. The pieces that the output section stores are numbered after those of the prompt.
func (o *opening) list(s steno.Section, plain []byte) ([]entry, error) {
	list, err := parseList(plain)
	if err != nil {
		return nil, err
	}
	// Both lists together name all stored pieces, so those of the output are the last.
	if s == steno.SectionOutput && o.l.Sections&steno.SectionPrompt != 0 {
		n := newPieces(list)
		if n > len(o.b.pieces) {
			return nil, fmt.Errorf("%w: it has %d pieces of its own, the body %d", ErrSealed, n, len(o.b.pieces))
		}
		for i := range list {
			if !list[i].old {
				list[i].piece += uint32(len(o.b.pieces) - n)
			}
		}
	}
	return list, nil
}

// pieces opens what a list names, in its order, with the commitments of all of it.
func (o *opening) pieces(s steno.Section, list []entry) ([]steno.Piece, [][32]byte, error) {
	out, hashes := make([]steno.Piece, len(list)), make([][32]byte, len(list))
	var total uint64
	fill := func(i int, p found) error {
		out[i] = steno.Piece{Kind: list[i].kind, Bytes: p.bytes, At: int(list[i].at)}
		hashes[i] = p.commitment
		if p.erased {
			o.out.Missing = append(o.out.Missing, Missing{s, i, p.length, p.commitment})
		}
		if total += uint64(p.length); total > maxOpened || list[i].at > uint64(maxOpened) {
			return fmt.Errorf("%w: a list of more than %d bytes", ErrSealed, maxOpened)
		}
		return nil
	}
	old := map[uint64][]int{} // by leaf, so that each record is read once
	for i := range list {
		e := &list[i]
		if e.old {
			old[e.leaf] = append(old[e.leaf], i)
			continue
		}
		p, err := o.own(e)
		if err == nil {
			err = fill(i, p)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	for _, leaf := range sortedKeys(old) {
		src, err := o.source(leaf)
		if err != nil {
			return nil, nil, fmt.Errorf("pieces of leaf %d: %w", leaf, err)
		}
		seen := map[uint32]found{}
		for _, i := range old[leaf] {
			p, ok := seen[list[i].piece]
			if !ok {
				if p, err = src.piece(list[i].piece); err != nil {
					return nil, nil, fmt.Errorf("piece %d of leaf %d: %w", list[i].piece, leaf, err)
				}
				seen[list[i].piece] = p
			}
			if err := fill(i, p); err != nil {
				return nil, nil, err
			}
		}
		if !slices.Contains(o.out.From, leaf) {
			o.out.From = append(o.out.From, leaf)
		}
	}
	slices.Sort(o.out.From)
	slices.SortStableFunc(o.out.Missing, func(a, b Missing) int {
		if a.Section != b.Section {
			return int(a.Section) - int(b.Section)
		}
		return a.Piece - b.Piece
	})
	return out, hashes, nil
}

// found is a piece that a list names. An erased one has no bytes.
type found struct {
	bytes      []byte
	length     int
	commitment [32]byte
	erased     bool
}

// own opens a piece that the record itself stores.
func (o *opening) own(e *entry) (found, error) {
	key, ok := o.keys.piece(e.piece)
	if !ok {
		return found{nil, int(e.length), e.commitment, true}, nil
	}
	p, err := openPiece(o.k.log, o.l.Seal, o.b, e.piece, key)
	if err == nil && (p.length != int(e.length) || p.commitment != e.commitment) {
		err = fmt.Errorf("%w: piece %d is not the one that the list commits to", ErrSealed, e.piece)
	}
	return p, err
}

func openPiece(log steno.LogID, seal [16]byte, b *body, n uint32, key [32]byte) (found, error) {
	if int(n) >= len(b.pieces) {
		return found{}, fmt.Errorf("%w: piece %d is named, the body has %d", ErrSealed, n, len(b.pieces))
	}
	plain, err := b.pieces[n].open(log, seal, key)
	if err != nil {
		return found{}, fmt.Errorf("piece %d: %w", n, err)
	}
	if plain == nil {
		plain = []byte{}
	}
	return found{plain, len(plain), commitPiece(saltOf(key), plain), false}, nil
}

// source is another record that stores pieces of the one that is opened.
type source struct {
	opening
	lists map[uint32]entry // its own new pieces, once one of them is needed for what is erased
}

// source reads a record that a list refers to. References never cross persons or days: a record that does so is not
// one that steno wrote.
func (o *opening) source(leaf uint64) (*source, error) {
	if o.read == nil {
		return nil, errors.New("the list refers to another record, and there is no way to read it")
	}
	l, body, err := o.read(leaf)
	if err != nil {
		return nil, err
	}
	if l.DayKey != o.l.DayKey {
		return nil, fmt.Errorf("%w: it has day key %d, the record that refers to it %d", ErrSealed, l.DayKey, o.l.DayKey)
	}
	if err := checkBody(l, body); err != nil {
		return nil, err
	}
	keys, err := o.k.opening(l)
	if err != nil {
		return nil, err
	}
	if keys.alias != o.keys.alias {
		return nil, fmt.Errorf("%w: it belongs to another person", ErrSealed)
	}
	b, err := parseBody(body)
	if err != nil {
		return nil, err
	}
	return &source{opening: opening{k: o.k, l: l, b: b, keys: keys}}, nil
}

// piece opens one piece of the record. Its commitment is checked by the list that refers to it; that of an erased
// piece is taken from the record's own lists.
func (s *source) piece(n uint32) (found, error) {
	if key, ok := s.keys.piece(n); ok {
		return openPiece(s.k.log, s.l.Seal, s.b, n, key)
	}
	if s.lists == nil {
		s.lists = map[uint32]entry{}
		for _, sec := range steno.Sections {
			key, ok := s.keys.section(sec)
			if !ok || !sec.IsList() || s.l.Sections&sec == 0 {
				continue
			}
			plain, err := s.b.section(sec, s.k.log, s.l.Seal, key)
			if err != nil {
				return found{}, err
			}
			list, err := s.list(sec, plain)
			if err != nil {
				return found{}, err
			}
			for _, e := range list {
				if !e.old {
					s.lists[e.piece] = e
				}
			}
		}
	}
	e, ok := s.lists[n]
	if !ok {
		return found{}, fmt.Errorf("%w: no list of its record names it", ErrSealed)
	}
	return found{nil, int(e.length), e.commitment, true}, nil
}

func sortedKeys(m map[uint64][]int) []uint64 {
	out := make([]uint64, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
