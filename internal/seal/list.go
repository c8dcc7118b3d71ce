package seal

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/steno-audit/steno"
)

// entry is one piece in a list.
type entry struct {
	kind       steno.Kind
	at         uint64 // of a mark
	old        bool
	leaf       uint64   // of an old piece: whose it is
	piece      uint32   // the record's own number of the piece: of this record for a new one
	length     uint64   // of a new piece
	commitment [32]byte // of a new piece
}

// Types of runs.
const (
	runNew     = 0
	runOld     = 1
	runNewMark = 2
	runOldMark = 3
)

// appendList encodes a list. New entries come in the order of their piece numbers.
func appendList(b []byte, list []entry) []byte {
	last := uint64(0) // leaf of the previous old run
	for i := 0; i < len(list); {
		e := list[i]
		n := 1
		switch {
		case e.kind == steno.KindMark && !e.old:
			b = append(b, runNewMark|byte(e.kind)<<2)
			b = binary.AppendUvarint(b, e.at)
			b = binary.AppendUvarint(b, e.length)
			b = append(b, e.commitment[:]...)
		case e.kind == steno.KindMark:
			b = append(b, runOldMark|byte(e.kind)<<2)
			b = binary.AppendUvarint(b, e.at)
			b = binary.AppendUvarint(b, zigzag(int64(e.leaf-last)))
			b = binary.AppendUvarint(b, uint64(e.piece))
			last = e.leaf
		case !e.old:
			for i+n < len(list) && !list[i+n].old && list[i+n].kind == e.kind {
				n++
			}
			b = append(b, runNew|byte(e.kind)<<2)
			b = binary.AppendUvarint(b, uint64(n))
			for _, x := range list[i : i+n] {
				b = binary.AppendUvarint(b, x.length)
				b = append(b, x.commitment[:]...)
			}
		default:
			for i+n < len(list) && list[i+n].old && list[i+n].kind == e.kind && list[i+n].leaf == e.leaf &&
				list[i+n].piece == e.piece+uint32(n) {
				n++
			}
			b = append(b, runOld|byte(e.kind)<<2)
			b = binary.AppendUvarint(b, zigzag(int64(e.leaf-last)))
			b = binary.AppendUvarint(b, uint64(e.piece))
			b = binary.AppendUvarint(b, uint64(n))
			last = e.leaf
		}
		i += n
	}
	return b
}

// parseList reads what appendList writes. Its new pieces are numbered from 0.
func parseList(b []byte) ([]entry, error) {
	var out []entry
	next := uint32(0)
	last := uint64(0)
	for len(b) > 0 {
		kind, t := steno.Kind(b[0]>>2), b[0]&3
		b = b[1:]
		if kind > steno.KindMark || (kind == steno.KindMark) != (t == runNewMark || t == runOldMark) {
			return nil, fmt.Errorf("%w: a run of type %d with pieces of kind %d", ErrSealed, t, kind)
		}
		e := entry{kind: kind, old: t == runOld || t == runOldMark}
		count, err := uint64(1), error(nil)
		if kind == steno.KindMark {
			if e.at, b, err = uvarint(b); err != nil {
				return nil, err
			}
		}
		if e.old {
			var delta, piece uint64
			if delta, b, err = uvarint(b); err != nil {
				return nil, err
			}
			if piece, b, err = uvarint(b); err != nil {
				return nil, err
			}
			last += uint64(unzigzag(delta))
			e.leaf, e.piece = last, uint32(piece)
			if piece >= maxPieces || last > math.MaxInt64 {
				return nil, fmt.Errorf("%w: a run of piece %d of leaf %d", ErrSealed, piece, last)
			}
		}
		if t == runNew || t == runOld {
			if count, b, err = uvarint(b); err != nil {
				return nil, err
			}
		}
		if count == 0 || count > maxPieces-uint64(len(out)) || (e.old && count > maxPieces-uint64(e.piece)) {
			return nil, fmt.Errorf("%w: a run of %d pieces after %d, a list has at most %d", ErrSealed, count, len(out), maxPieces)
		}
		for range count {
			if !e.old {
				if e.length, b, err = uvarint(b); err != nil {
					return nil, err
				}
				if e.length > steno.MaxChunkPlain || len(b) < 32 {
					return nil, fmt.Errorf("%w: a piece of %d bytes with %d bytes of list left", ErrSealed, e.length, len(b))
				}
				e.commitment, b = [32]byte(b), b[32:]
				e.piece, next = next, next+1
			}
			out = append(out, e)
			if e.old {
				e.piece++
			}
		}
	}
	return out, nil
}

// newPieces counts the pieces that the record stores itself.
func newPieces(list []entry) int {
	n := 0
	for i := range list {
		if !list[i].old {
			n++
		}
	}
	return n
}

// appendFields encodes a section of fields.
func appendFields(b []byte, fields []steno.Field) ([]byte, error) {
	for _, f := range fields {
		if len(f.Name) > math.MaxUint16 || len(f.Value) > maxSection {
			return nil, fmt.Errorf("field %.40q has a name of %d bytes and a value of %d", f.Name, len(f.Name), len(f.Value))
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(f.Name)))
		b = append(b, f.Name...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(f.Value)))
		b = append(b, f.Value...)
	}
	return b, nil
}

// parseFields reads what appendFields writes. The result shares memory with b.
func parseFields(b []byte) ([]steno.Field, error) {
	var out []steno.Field
	for len(b) > 0 {
		if len(b) < 2 {
			return nil, fmt.Errorf("%w: a field is cut off", ErrSealed)
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; len(b) < n+4 {
			return nil, fmt.Errorf("%w: a field is cut off", ErrSealed)
		}
		f := steno.Field{Name: string(b[:n])}
		v := binary.BigEndian.Uint32(b[n:])
		if b = b[n+4:]; uint64(len(b)) < uint64(v) {
			return nil, fmt.Errorf("%w: field %.40q is cut off", ErrSealed, f.Name)
		}
		f.Value, b = b[:v:v], b[v:]
		out = append(out, f)
	}
	return out, nil
}
