package stub

import (
	"encoding/binary"
	"time"
)

// random is a stream of numbers that is a function of its start (splitmix64).
type random uint64

// Each use draws from a stream of its own, so that a longer answer keeps its ids.
const (
	forIDs  = 0x9e3779b97f4a7c15
	forText = 0xc2b2ae3d27d4eb4f
	forPads = 0x165667b19e3779f9
	forTool = 0x27d4eb2f165667c5
	forThat = 0x85ebca77c2b2ae63 // times, rates, fingerprints
)

func newRandom(hash [32]byte, use uint64, nth int) random {
	r := random(binary.LittleEndian.Uint64(hash[:]) ^ use ^ uint64(nth)*0xff51afd7ed558ccd)
	r.next()
	return r
}

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n).
func (r *random) below(n int) int { return int((r.next() >> 33) * uint64(n) >> 31) }

const (
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
)

// letters appends n letters of an alphabet of at most 64.
func (r *random) letters(b []byte, n int, alphabet string) []byte {
	for n > 0 {
		for v, k := r.next(), 0; k < 8 && n > 0; k, n = k+1, n-1 {
			b = append(b, alphabet[int(v&0xff)*len(alphabet)>>8])
			v >>= 8
		}
	}
	return b
}

func (r *random) id(prefix string, n int, alphabet string) string {
	var a [64]byte
	return string(r.letters(append(a[:0], prefix...), n, alphabet))
}

// The stub lives in one year, so that its times are a function of the request.
var (
	yearStart = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	yearLong  = 365 * 24 * 3600
)
