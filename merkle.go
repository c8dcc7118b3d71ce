package steno

import "crypto/sha256"

// EmptyRoot is the Merkle tree hash of no leaves (RFC 6962 section 2.1).
var EmptyRoot = sha256.Sum256(nil)

// LeafHash is RFC 6962's hash of an entry: SHA-256(0x00 ‖ entry).
func LeafHash(entry []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(entry)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

// NodeHash is RFC 6962's hash of an interior node: SHA-256(0x01 ‖ left ‖ right).
func NodeHash(left, right [32]byte) [32]byte {
	var b [65]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[33:], right[:])
	return sha256.Sum256(b[:])
}

// TreeHash is RFC 6962's Merkle tree hash over entries that are themselves hashes, such as commitments.
func TreeHash(entries [][32]byte) [32]byte {
	if len(entries) == 0 {
		return EmptyRoot
	}
	level := make([][32]byte, len(entries))
	for i := range entries {
		var b [33]byte
		copy(b[1:], entries[i][:])
		level[i] = sha256.Sum256(b[:])
	}
	// Pairing neighbours level by level and carrying an odd last node up unchanged is the same tree as splitting at
	// the largest power of two.
	for n := len(level); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			level[i] = NodeHash(level[2*i], level[2*i+1])
		}
		if n%2 == 1 {
			level[n/2] = level[n-1]
		}
	}
	return level[0]
}
