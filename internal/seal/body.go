package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/steno-audit/steno"
)

// Limits of a record. They are part of the format: readers refuse what goes beyond.
const (
	maxPieces  = 1 << 20  // in the lists of a record together
	maxSection = 64 << 20 // bytes of one section, before encoding
	maxOpened  = 1 << 30  // bytes of the pieces of one list
)

const (
	chunkSection = 1
	chunkPiece   = 2
)

// chunk is one sealed part of a body. It shares memory with the body.
type chunk struct {
	header [steno.ChunkHeaderSize]byte
	sealed []byte // ciphertext ‖ tag
}

func (c *chunk) kind() byte             { return c.header[0] }
func (c *chunk) section() steno.Section { return steno.Section(c.header[1]) }
func (c *chunk) codec() codec           { return codec(c.header[2]) }
func (c *chunk) number() uint32         { return binary.BigEndian.Uint32(c.header[4:]) }

// body is what a record stores, by its chunks.
type body struct {
	sections map[steno.Section][]chunk
	pieces   []chunk
}

// parseBody reads the chunks of a body: sections in ascending order, then pieces, each numbered without holes.
func parseBody(b []byte) (*body, error) {
	out := &body{sections: map[steno.Section][]chunk{}}
	last, n := steno.Section(0), uint32(0)
	for at := 0; at < len(b); {
		if len(b)-at < steno.ChunkOverhead {
			return nil, fmt.Errorf("%w: %d bytes after its last chunk", ErrSealed, len(b)-at)
		}
		c := chunk{header: [steno.ChunkHeaderSize]byte(b[at:])}
		size := binary.BigEndian.Uint32(c.header[8:])
		at += steno.ChunkHeaderSize
		if size < gcmTag || size > steno.MaxChunkPlain+padMax+gcmTag || int64(size) > int64(len(b)-at) || c.header[3] != 0 {
			return nil, fmt.Errorf("%w: a chunk with the header % x", ErrSealed, c.header)
		}
		c.sealed = b[at : at+int(size)]
		at += int(size)
		switch s := c.section(); {
		case c.kind() == chunkPiece && s == 0 && int(c.number()) == len(out.pieces) && len(out.pieces) < maxPieces:
			out.pieces = append(out.pieces, c)
		case c.kind() == chunkSection && len(out.pieces) == 0 && s > last && bits.OnesCount16(uint16(s)) == 1 && c.number() == 0:
			last, n = s, 1
			out.sections[s] = append(out.sections[s], c)
		case c.kind() == chunkSection && len(out.pieces) == 0 && s == last && c.number() == n && n < maxSection/steno.MaxChunkPlain:
			n++
			out.sections[s] = append(out.sections[s], c)
		default:
			return nil, fmt.Errorf("%w: a chunk with the header % x out of its place", ErrSealed, c.header)
		}
	}
	return out, nil
}

// sealer of chunks: appends to one body.
type bodyWriter struct {
	log  steno.LogID
	seal [16]byte
	b    []byte
	pad  []byte // scratch
}

// section appends the chunks of a section.
func (w *bodyWriter) section(s steno.Section, key [32]byte, plain []byte) error {
	if len(plain) > maxSection {
		return fmt.Errorf("section %s has %d bytes, at most %d can be sealed", s, len(plain), maxSection)
	}
	pad := padFields
	if s == steno.SectionIdentity {
		pad = padIdentity
	}
	for n := uint32(0); n == 0 || len(plain) > 0; n++ {
		part := plain[:min(len(plain), steno.MaxChunkPlain)]
		plain = plain[len(part):]
		var nonce [gcmNonce]byte
		binary.BigEndian.PutUint64(nonce[4:], uint64(n))
		c, e := codecRaw, part
		if !s.IsList() || len(part) >= minList {
			c, e = encode(part, false, pad)
		}
		if err := w.chunk(chunkSection, s, c, n, key, nonce, e, pad); err != nil {
			return err
		}
	}
	return nil
}

// piece appends the chunk of one piece.
func (w *bodyWriter) piece(n uint32, key [32]byte, plain []byte, stream bool) error {
	c, e := encode(plain, stream, padFields)
	return w.chunk(chunkPiece, 0, c, n, key, [gcmNonce]byte{}, e, padFields)
}

func (w *bodyWriter) chunk(kind byte, s steno.Section, c codec, n uint32, key [32]byte, nonce [gcmNonce]byte, e []byte, pad int) error {
	a, err := newGCM(key[:])
	if err != nil {
		return err
	}
	size := padded(len(e), pad)
	var h [steno.ChunkHeaderSize]byte
	h[0], h[1], h[2] = kind, byte(s), byte(c)
	binary.BigEndian.PutUint32(h[4:], n)
	binary.BigEndian.PutUint32(h[8:], uint32(size+gcmTag))
	w.b = append(w.b, h[:]...)
	w.pad = append(append(w.pad[:0], e...), 0x80)
	for len(w.pad) < size {
		w.pad = append(w.pad, 0)
	}
	w.b = a.Seal(w.b, nonce[:], w.pad, chunkAAD(w.log, w.seal, &h))
	return nil
}

// chunkAAD binds a chunk to its log, its record's sealing and its place.
func chunkAAD(log steno.LogID, seal [16]byte, h *[steno.ChunkHeaderSize]byte) []byte {
	b := make([]byte, 0, 40)
	b = append(b, log[:]...)
	b = append(b, seal[:]...)
	return append(b, h[:8]...)
}

// open decrypts and decodes one chunk.
func (c *chunk) open(log steno.LogID, seal [16]byte, key [32]byte) ([]byte, error) {
	a, err := newGCM(key[:])
	if err != nil {
		return nil, err
	}
	var nonce [gcmNonce]byte
	if c.kind() == chunkSection {
		binary.BigEndian.PutUint64(nonce[4:], uint64(c.number()))
	}
	plain, err := a.Open(nil, nonce[:], c.sealed, chunkAAD(log, seal, &c.header))
	if err != nil {
		return nil, fmt.Errorf("%w: a chunk does not open with its key", ErrSealed)
	}
	if plain, err = unpad(plain); err != nil {
		return nil, err
	}
	return decode(c.codec(), plain)
}

// section decrypts a whole section.
func (b *body) section(s steno.Section, log steno.LogID, seal [16]byte, key [32]byte) ([]byte, error) {
	chunks := b.sections[s]
	if len(chunks) == 0 {
		return nil, fmt.Errorf("%w: the body has no section %s", ErrSealed, s)
	}
	var out []byte
	for i := range chunks {
		p, err := chunks[i].open(log, seal, key)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", s, err)
		}
		out = append(out, p...)
	}
	return out, nil
}

// checkBody says whether a body is the one that the leaf names.
func checkBody(l *steno.Leaf, b []byte) error {
	if uint64(len(b)) != l.BodyLength {
		return fmt.Errorf("%w: the body has %d bytes, its leaf says %d", ErrSealed, len(b), l.BodyLength)
	}
	if sha256.Sum256(b) != l.BodyHash {
		return fmt.Errorf("%w: the body has another hash than its leaf says", ErrSealed)
	}
	return nil
}
