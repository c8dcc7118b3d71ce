package seal

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
	"github.com/steno-audit/steno"
)

// ErrHeld says that a record is under a legal hold and must not be erased.
var ErrHeld = errors.New("the record is held")

// ErasePerson destroys all keys of one alias of a tenant: every text sealed under it, on whatever day. A person has a
// set of aliases, each is erased by a call of its own. Records in the hold vault stay openable. Erasing what is
// erased already changes nothing.
func (k *Keys) ErasePerson(tenant string, alias uint64) error {
	if alias > maxAlias {
		return fmt.Errorf("an alias has %d bits, %d has more", aliasBits, alias)
	}
	// Sealers forget the alias first: what they seal for the person from now on is under a new one.
	k.retire(func(a uint64, _ uint32) bool { return a == alias }, true)
	p := makePath(alias, 0, nil)
	return k.destroy(func(r *ring) ([][]byte, error) {
		t, ok := r.Tenants[tenant]
		if !ok {
			return nil, fmt.Errorf("there is no tenant %q in the key ring", tenant)
		}
		c, gone := t.Cover.puncture(p, aliasBits)
		r.Tenants[tenant] = tenantTree{c}
		for id, s := range r.Survivors {
			// A tenant's day is gone only with its survivors, so each survivor's day tells its tenant.
			if d := r.Days[s.Day]; s.Alias == alias && d != nil && d.Tenant == tenant {
				gone = append(gone, dropSurvivors(r, id)...)
			}
		}
		return gone, nil
	})
}

// EraseDay destroys a day key: every text sealed under it, but for the records in the hold vault. Whether the day may
// go yet is for the caller to know. A day that is gone already is an error, since its number was never another's.
func (k *Keys) EraseDay(no uint32) error {
	k.retire(func(_ uint64, d uint32) bool { return d == no }, false)
	return k.destroy(func(r *ring) ([][]byte, error) {
		d, ok := r.Days[no]
		if !ok {
			return nil, fmt.Errorf("there is no day key %d in the key ring", no)
		}
		delete(r.Days, no)
		gone := [][]byte{d.D, d.Index, d.Names}
		for id, s := range r.Survivors {
			if s.Day == no {
				gone = append(gone, dropSurvivors(r, id)...)
			}
		}
		return gone, nil
	})
}

// Part is what may survive in a record of which a text is erased: a section of fields, or one of the pieces that the
// record itself stores.
type Part struct {
	Section steno.Section // 0: a piece
	Piece   uint32        // the record's own number of it
}

// EraseText destroys the keys of one record, but for those of the parts that survive. Lists of pieces always
// survive, if they could be opened until now: they hold no text, and later records refer to what they say. (Another
// record of the same person and day whose slot is the same, one in 2^48, would go too.)
func (k *Keys) EraseText(l *steno.Leaf, survive ...Part) error {
	o, err := k.opening(l)
	if err != nil {
		return fmt.Errorf("couldn't erase a text of record %s: %w", l.Record, err)
	}
	k.retire(func(a uint64, d uint32) bool { return a == o.alias && d == l.DayKey }, false)
	return k.destroy(func(r *ring) ([][]byte, error) {
		id := cbor.ByteString(l.Seal[:])
		if _, ok := r.Vault[id]; ok {
			return nil, fmt.Errorf("couldn't erase a text of record %s: %w", l.Record, ErrHeld)
		}
		k.mu.RLock()
		o, err := k.openingLocked(r, l)
		k.mu.RUnlock()
		if err != nil {
			return nil, fmt.Errorf("couldn't erase a text of record %s: %w", l.Record, err)
		}
		s := survivors{Alias: o.alias, Day: l.DayKey, Keys: map[string][]byte{}}
		for _, sec := range steno.Sections {
			if key, ok := o.section(sec); ok && sec.IsList() && l.Sections&sec != 0 {
				s.Keys[sectionName(sec)] = bytes.Clone(key[:])
			}
		}
		for _, p := range survive {
			name, key, ok := pieceName(p.Piece), [32]byte{}, false
			if p.Section != 0 {
				name = sectionName(p.Section)
				key, ok = o.section(p.Section)
			} else {
				key, ok = o.piece(p.Piece)
			}
			if ok { // else it is gone already
				s.Keys[name] = bytes.Clone(key[:])
			}
		}
		var gone [][]byte
		if o.some != nil {
			gone = dropSurvivors(r, id)
		}
		d := r.Days[l.DayKey]
		c, more := r.Tenants[d.Tenant].Cover.puncture(makePath(o.alias, l.DayKey, l.Seal[:slotBits/8]), treeDepth)
		r.Tenants[d.Tenant] = tenantTree{c}
		r.Survivors[id] = s
		return append(gone, more...), nil
	})
}

// dropSurvivors returns the keys that went. r is a copy in the making.
func dropSurvivors(r *ring, id cbor.ByteString) [][]byte {
	var gone [][]byte
	for _, key := range r.Survivors[id].Keys {
		gone = append(gone, key)
	}
	delete(r.Survivors, id)
	return gone
}

// Hold copies the keys of records into the ring's vault, where neither the end of their day nor the erasure of their
// person takes them. What a record refers to is stored by other records (see Opened.From): they must be held too.
func (k *Keys) Hold(leaves ...*steno.Leaf) error {
	return k.change(false, func(r *ring) ([][]byte, error) {
		k.mu.RLock()
		defer k.mu.RUnlock()
		for _, l := range leaves {
			id := cbor.ByteString(l.Seal[:])
			if _, ok := r.Vault[id]; ok {
				continue
			}
			o, err := k.openingLocked(r, l)
			if err != nil {
				return nil, fmt.Errorf("couldn't hold record %s: %w", l.Record, err)
			}
			if o.rec != nil {
				r.Vault[id] = held{Rec: bytes.Clone(o.rec[:])}
				continue
			}
			r.Vault[id] = held{Keys: o.some}
		}
		return nil, nil
	})
}

// Release ends the hold of records: those whose day or person is gone are erased by it.
func (k *Keys) Release(seals ...[16]byte) error {
	return k.destroy(func(r *ring) ([][]byte, error) {
		var gone [][]byte
		for _, s := range seals {
			id := cbor.ByteString(s[:])
			h, ok := r.Vault[id]
			if !ok {
				return nil, fmt.Errorf("seal %x is not held", s)
			}
			delete(r.Vault, id)
			if h.Rec != nil {
				gone = append(gone, h.Rec)
			}
			for _, key := range h.Keys {
				gone = append(gone, key)
			}
		}
		return gone, nil
	})
}

func (k *Keys) destroy(edit func(*ring) ([][]byte, error)) error { return k.change(true, edit) }

// retire makes all sealers forget what they know of aliases and day keys: pieces that may be referred to and, with
// subjects, who has the alias.
func (k *Keys) retire(gone func(alias uint64, day uint32) bool, subjects bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	for _, s := range k.sealers {
		s.retire(gone, subjects)
	}
}
