package seal

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/steno-audit/steno"
)

// codec says how a chunk's plaintext is encoded. Values are part of the format.
type codec uint8

const (
	codecRaw    codec = 0
	codecZstd   codec = 1
	codecDict   codec = 2
	codecStream codec = 3
)

// ErrSealed is wrapped by the errors about bodies that are not what their leaves or keys say.
var ErrSealed = errors.New("sealed bytes are damaged or not of format 1")

// dictionary is typical text of our own fields and of the providers' formats, written by hand: no customer's. It is
// part of the format: to change it takes a new codec.
//
//go:embed dictionary.v1
var dictionary []byte

const (
	minCompressed = 64       // below, a frame's head eats what is won
	minList       = 512      // a shorter list is mostly commitments, which do not compress
	maxDictPlain  = 32 << 10 // above, what is before in the text itself is dictionary enough
	streamShare   = 4        // of a stream, what its codec leaves where it does well
	padFields     = 32
	padIdentity   = 64
	padMax        = 64
)

// zstd's coders are made for many goroutines at once and pool their state.
var (
	zstdPlain = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(steno.MaxChunkPlain), zstd.WithSingleSegment(true)))
	zstdDict = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
		zstd.WithWindowSize(steno.MaxChunkPlain), zstd.WithSingleSegment(true), zstd.WithEncoderDictRaw(0, dictionary)))
	unzstdPlain = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStreamPart),
		zstd.WithDecoderMaxWindow(maxStreamPart)))
	unzstdDict = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(maxStreamPart),
		zstd.WithDecoderMaxWindow(maxStreamPart), zstd.WithDecoderDictRaw(0, dictionary)))
)

// encode returns the shortest encoding of at most one chunk of plaintext, or b itself. What saves no padded block is
// not worth the work of decoding it.
func encode(b []byte, stream bool, pad int) (codec, []byte) {
	best, how := b, codecRaw
	if len(b) < minCompressed {
		return how, best
	}
	try := func(c codec, e []byte) {
		if padded(len(e), pad) < padded(len(best), pad) {
			best, how = e, c
		}
	}
	if stream && looksLikeStream(b) {
		// Decoding it again costs little and makes sure, whatever the stream is, that it is the bytes of the wire. Where
		// it leaves little, zstd would leave more.
		if e, ok := encodeStream(b); ok && len(e) < len(best) {
			if back, err := decodeStream(e); err == nil && bytes.Equal(back, b) {
				if try(codecStream, e); len(e) <= len(b)/streamShare {
					return how, best
				}
			}
		}
	}
	if len(b) <= maxDictPlain {
		try(codecDict, zstdDict.EncodeAll(b, nil))
	} else {
		try(codecZstd, zstdPlain.EncodeAll(b, nil))
	}
	return how, best
}

// decode is the reverse of encode, for bytes of any origin: no more than a chunk comes out.
func decode(c codec, b []byte) ([]byte, error) {
	var out []byte
	var err error
	switch c {
	case codecRaw:
		out = b
	case codecZstd:
		out, err = unzstdPlain.DecodeAll(b, nil)
	case codecDict:
		out, err = unzstdDict.DecodeAll(b, nil)
	case codecStream:
		out, err = decodeStream(b)
	default:
		return nil, fmt.Errorf("%w: codec %d is unknown", ErrSealed, c)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if len(out) > steno.MaxChunkPlain {
		return nil, fmt.Errorf("%w: a chunk of %d bytes, at most %d are allowed", ErrSealed, len(out), steno.MaxChunkPlain)
	}
	return out, nil
}

// padded returns the length of n bytes with their padding.
func padded(n, pad int) int { return (n + pad) / pad * pad }

// unpad cuts 0x80 and the zeros after it.
func unpad(b []byte) ([]byte, error) {
	for i := len(b) - 1; i >= 0 && i >= len(b)-padMax; i-- {
		switch b[i] {
		case 0x80:
			return b[:i], nil
		case 0:
		default:
			return nil, fmt.Errorf("%w: a chunk without padding", ErrSealed)
		}
	}
	return nil, fmt.Errorf("%w: a chunk without padding", ErrSealed)
}

// uvarint reads one in its shortest form.
func uvarint(b []byte) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || (n > 1 && b[n-1] == 0) {
		return 0, nil, fmt.Errorf("%w: a number is cut off, too long or not in its shortest form", ErrSealed)
	}
	return v, b[n:], nil
}

func zigzag(v int64) uint64   { return uint64(v)<<1 ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
