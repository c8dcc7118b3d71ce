package seal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/fxamacker/cbor/v2"
	"github.com/steno-audit/steno"
)

// ErrErased says that a text cannot be opened because its key was destroyed. The three below wrap it and say how.
var (
	ErrErased       = errors.New("erased")
	ErrErasedPerson = fmt.Errorf("%w: the keys of the person are destroyed", ErrErased)
	ErrErasedDay    = fmt.Errorf("%w: the key of its day is destroyed", ErrErased)
	ErrErasedText   = fmt.Errorf("%w: the keys of this text are destroyed", ErrErased)
)

// refCipher is AES under a day's K_ref, which hides aliases in leaves.
type refCipher struct{ cipher.Block }

func (k *Keys) ref(no uint32, d *dayKey) (refCipher, error) {
	if c, ok := k.refs.get(no); ok {
		return c, nil
	}
	key := sub([32]byte(d.D), "steno/1 ref", 0)
	b, err := aes.NewCipher(key[:])
	if err != nil {
		return refCipher{}, err
	}
	c := refCipher{b}
	k.refs.put(no, c)
	return c, nil
}

// leafKey derives a record's leaf in the tree. The caller holds mu, so that the ring and what is cached of it agree.
func (k *Keys) leafKey(tenant string, alias uint64, day uint32, seal [16]byte) ([32]byte, error) {
	p := makePath(alias, day, seal[:slotBits/8])
	at := prefix{tenant, alias, day}
	if node, ok := k.prefixes.get(at); ok {
		return descend(node, p, aliasBits+dayBits, treeDepth), nil
	}
	c := k.ring.Tenants[tenant].Cover
	i, ok := c.find(p, treeDepth)
	if !ok {
		if c.below(p, aliasBits) {
			return [32]byte{}, ErrErasedText
		}
		return [32]byte{}, ErrErasedPerson
	}
	node, from := [32]byte(c[i].Key), int(c[i].Bits)
	if from <= aliasBits+dayBits {
		node, from = descend(node, p, from, aliasBits+dayBits), aliasBits+dayBits
		k.prefixes.put(at, node)
	}
	return descend(node, p, from, treeDepth), nil
}

// sealing returns the key for a new record, the reference to it for its leaf, and the number of the ring it is from.
func (k *Keys) sealing(alias uint64, day uint32, seal [16]byte) (rec [32]byte, ref [16]byte, ring uint64, err error) {
	binary.BigEndian.PutUint64(ref[:], alias)
	if _, err := io.ReadFull(k.random, ref[8:]); err != nil {
		return rec, ref, 0, fmt.Errorf("couldn't draw a key reference: %w", err)
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, ok := k.ring.Days[day]
	if !ok {
		return rec, ref, 0, fmt.Errorf("day key %d: %w", day, ErrErasedDay)
	}
	c, err := k.ref(day, d)
	if err != nil {
		return [32]byte{}, ref, 0, err
	}
	c.Encrypt(ref[:], ref[:])
	leaf, err := k.leafKey(d.Tenant, alias, day, seal)
	if err != nil {
		return [32]byte{}, ref, 0, err
	}
	if rec, err = recordKey(leaf, d.D, k.log, seal); err != nil {
		return [32]byte{}, ref, 0, err
	}
	return rec, ref, k.number, nil
}

// recordKeys opens one record: by its key, or by those keys that survive of it.
type recordKeys struct {
	alias uint64 // 0 when its day is gone and it is only held
	rec   *[32]byte
	some  map[string][]byte
}

func (o *recordKeys) section(s steno.Section) ([32]byte, bool) {
	if o.rec != nil {
		return sectionKey(*o.rec, s), true
	}
	b, ok := o.some[sectionName(s)]
	if !ok {
		return [32]byte{}, false
	}
	return [32]byte(b), true
}

func (o *recordKeys) piece(n uint32) ([32]byte, bool) {
	if o.rec != nil {
		return pieceKey(*o.rec, n), true
	}
	b, ok := o.some[pieceName(n)]
	if !ok {
		return [32]byte{}, false
	}
	return [32]byte(b), true
}

func sectionName(s steno.Section) string { return "s" + strconv.Itoa(int(s)) }
func pieceName(n uint32) string          { return "p" + strconv.FormatUint(uint64(n), 10) }

// opening returns the keys of a sealed record.
func (k *Keys) opening(l *steno.Leaf) (*recordKeys, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.openingLocked(k.ring, l)
}

func (k *Keys) openingLocked(r *ring, l *steno.Leaf) (*recordKeys, error) {
	o := &recordKeys{}
	d, ok := r.Days[l.DayKey]
	if ok {
		alias, err := k.alias(d, l)
		if err != nil {
			return nil, err
		}
		o.alias = alias
	}
	id := cbor.ByteString(l.Seal[:])
	if h, ok := r.Vault[id]; ok {
		if h.Rec != nil {
			o.rec = (*[32]byte)(append([]byte(nil), h.Rec...))
		}
		o.some = cloneKeys(h.Keys)
		return o, nil
	}
	if !ok {
		return nil, fmt.Errorf("day key %d: %w", l.DayKey, ErrErasedDay)
	}
	leaf, err := k.leafKey(d.Tenant, o.alias, l.DayKey, l.Seal)
	if err == nil {
		rec, err := recordKey(leaf, d.D, k.log, l.Seal)
		o.rec = &rec
		return o, err
	}
	if s, ok := r.Survivors[id]; ok {
		o.some = cloneKeys(s.Keys)
		return o, nil
	}
	return nil, err
}

// cloneKeys makes a copy that outlives the lock: the ring's own are zeroed when they are destroyed.
func cloneKeys(m map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(m))
	for name, key := range m {
		out[name] = bytes.Clone(key)
	}
	return out
}

// alias reads whose record it is from the leaf's key reference. The caller holds mu.
func (k *Keys) alias(d *dayKey, l *steno.Leaf) (uint64, error) {
	c, err := k.ref(l.DayKey, d)
	if err != nil {
		return 0, err
	}
	var b [16]byte
	c.Decrypt(b[:], l.KeyRef[:])
	a := binary.BigEndian.Uint64(b[:])
	if a > maxAlias {
		return 0, fmt.Errorf("%w: its key reference holds no alias", ErrSealed)
	}
	return a, nil
}
