package seal

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/steno-audit/steno"
)

// sub derives a key or salt from a record's key and below: one SHA-256 block, since all that goes in has one length.
func sub(key [32]byte, label string, i uint64) [32]byte {
	var b [55]byte
	copy(b[:15], label)
	binary.BigEndian.PutUint64(b[15:], i)
	copy(b[23:], key[:])
	return sha256.Sum256(b[:])
}

func sectionKey(rec [32]byte, s steno.Section) [32]byte {
	return sub(rec, "steno/1 seal", uint64(s))
}

func pieceKey(rec [32]byte, n uint32) [32]byte { return sub(rec, "steno/1 piece", uint64(n)) }
func saltOf(key [32]byte) [32]byte             { return sub(key, "steno/1 salt", 0) }
func fieldSalt(sectionKey [32]byte, i int) [32]byte {
	return sub(sectionKey, "steno/1 field", uint64(i))
}

// recordKey mixes the day's secret into the leaf key, after the tree: so that destroying it expires the day.
func recordKey(leaf [32]byte, d []byte, log steno.LogID, seal [16]byte) ([32]byte, error) {
	info := make([]byte, 0, 48)
	info = append(info, "steno/1 record"...)
	info = append(info, log[:]...)
	info = append(info, seal[:]...)
	k, err := hkdf.Key(sha256.New, leaf[:], d, string(info), 32)
	if err != nil {
		return [32]byte{}, fmt.Errorf("couldn't derive a record's key: %w", err)
	}
	return [32]byte(k), nil
}

// commitPiece commits to the bytes of one piece.
func commitPiece(salt [32]byte, b []byte) [32]byte {
	return hashParts([]byte("steno/1 piece\x00"), salt[:], b)
}

// commitField commits to one member of a section of fields.
func commitField(salt [32]byte, f steno.Field) [32]byte {
	var n [2]byte
	binary.BigEndian.PutUint16(n[:], uint16(len(f.Name)))
	return hashParts([]byte("steno/1 field\x00"), salt[:], n[:], []byte(f.Name), f.Value)
}

// commitFields commits to a section of fields by the root over the commitments of its fields.
func commitFields(s steno.Section, key [32]byte, fields []steno.Field) [32]byte {
	hashes := make([][32]byte, len(fields))
	for i, f := range fields {
		hashes[i] = commitField(fieldSalt(key, i), f)
	}
	return commitSection(s, saltOf(key), 0, hashes, nil)
}

// commitList commits to a list by the root over the commitments of its pieces, and to the list's own bytes.
func commitList(s steno.Section, key [32]byte, pieces [][32]byte, list []byte) [32]byte {
	h := sha256.Sum256(list)
	return commitSection(s, saltOf(key), 1, pieces, h[:])
}

func commitSection(s steno.Section, salt [32]byte, form byte, entries [][32]byte, tail []byte) [32]byte {
	b := make([]byte, 0, 128)
	b = append(b, "steno/1 section\x00"...)
	b = append(b, byte(s))
	b = append(b, salt[:]...)
	b = append(b, form)
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	root := steno.TreeHash(entries)
	b = append(b, root[:]...)
	return sha256.Sum256(append(b, tail...))
}

func hashParts(parts ...[]byte) [32]byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n <= 512 { // in one go, without a hash's state on the heap
		b := make([]byte, 0, 512)
		for _, p := range parts {
			b = append(b, p...)
		}
		return sha256.Sum256(b)
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	var out [32]byte
	h.Sum(out[:0])
	return out
}
