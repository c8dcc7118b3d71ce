package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"

	"github.com/fxamacker/cbor/v2"
	"github.com/steno-audit/steno"
)

// ErrRing is wrapped by the errors about a ring file that is not one, or not this log's.
var ErrRing = errors.New("not a key ring of format 1 for this log")

// ring is the secret state, all of it. One that readers can see is never changed: a change is made to a copy, and
// what is in its maps is replaced, not written to.
type ring struct {
	Created    int64                         `cbor:"created"`
	Applied    uint64                        `cbor:"applied"`
	Tenants    map[string]tenantTree         `cbor:"tenants"`
	Days       map[uint32]*dayKey            `cbor:"days"`
	Survivors  map[cbor.ByteString]survivors `cbor:"survivors"`
	Vault      map[cbor.ByteString]held      `cbor:"vault"`
	Signer     []byte                        `cbor:"signer"`
	Credential []byte                        `cbor:"credential"`
	NextDay    uint32                        `cbor:"next_day"`
	NextBlock  uint32                        `cbor:"next_block"`
}

type tenantTree struct {
	Cover cover `cbor:"cover"`
}

// dayKey is the secret of one tenant, class and UTC day.
type dayKey struct {
	Tenant    string `cbor:"tenant"`
	Class     string `cbor:"class"`
	Day       string `cbor:"day"`
	KeepUntil string `cbor:"keep_until"`
	D         []byte `cbor:"d"`
	Index     []byte `cbor:"index"`
	Names     []byte `cbor:"names"`
	Announced bool   `cbor:"announced"` // the public record of its opening is durable
}

// survivors are the keys of what is left of a record of which a text was erased. Alias and day say what takes them
// with it.
type survivors struct {
	Alias uint64            `cbor:"alias"`
	Day   uint32            `cbor:"day"`
	Keys  map[string][]byte `cbor:"keys"` // "s" + section bit value, "p" + piece number
}

// held is what the vault keeps of one record: its key, or what survives of it.
type held struct {
	Rec  []byte            `cbor:"k,omitempty"`
	Keys map[string][]byte `cbor:"keys,omitempty"`
}

var (
	ringMagic = [8]byte{'S', 'T', 'E', 'N', 'O', 'R', 'N', 'G'}
	ringEnc   = must(cbor.CoreDetEncOptions().EncMode())
	ringDec   = must(cbor.DecOptions{
		MaxNestedLevels: 8, MaxArrayElements: 1 << 26, MaxMapPairs: 1 << 24, IndefLength: cbor.IndefLengthForbidden,
		DupMapKey: cbor.DupMapKeyEnforcedAPF,
		// A member that would be lost when the ring is written again may be a key.
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

const (
	ringFixed  = 40
	gcmNonce   = 12
	gcmTag     = 16
	maxWrapped = 4096
)

// ringFile is the ring as it is on the disk.
type ringFile struct {
	number  uint64
	log     steno.LogID
	uri     string // of the key-encryption key
	wrapped []byte
	head    []byte // all before the nonce
	nonce   []byte
	sealed  []byte
}

// parseRing reads the outside of a ring file. The result shares memory with b.
func parseRing(b []byte) (*ringFile, error) {
	if len(b) < ringFixed || [8]byte(b) != ringMagic {
		return nil, fmt.Errorf("%w: it does not begin with %q", ErrRing, ringMagic)
	}
	if b[8] != steno.FormatVersion || [7]byte(b[9:]) != [7]byte{} {
		return nil, fmt.Errorf("%w: version %d", ErrRing, b[8])
	}
	f := &ringFile{number: binary.BigEndian.Uint64(b[16:]), log: steno.LogID(b[24:40])}
	at := ringFixed
	for _, part := range []*[]byte{nil, &f.wrapped} {
		if len(b) < at+2 {
			return nil, fmt.Errorf("%w: it ends at byte %d, in its head", ErrRing, len(b))
		}
		n := int(binary.BigEndian.Uint16(b[at:]))
		if at += 2; n > maxWrapped || len(b) < at+n {
			return nil, fmt.Errorf("%w: a part of its head has %d bytes", ErrRing, n)
		}
		if part == nil {
			f.uri = string(b[at : at+n])
		} else {
			*part = b[at : at+n]
		}
		at += n
	}
	if len(b) < at+gcmNonce+gcmTag {
		return nil, fmt.Errorf("%w: it ends at byte %d, before its content", ErrRing, len(b))
	}
	f.head, f.nonce, f.sealed = b[:at], b[at:at+gcmNonce], b[at+gcmNonce:]
	return f, nil
}

// open decrypts the content with the unwrapped data key.
func (f *ringFile) open(dataKey []byte) (*ring, error) {
	a, err := newGCM(dataKey)
	if err != nil {
		return nil, err
	}
	plain, err := a.Open(nil, f.nonce, f.sealed, f.head)
	if err != nil {
		return nil, fmt.Errorf("%w: its content does not open: it was changed or cut", ErrRing)
	}
	defer clear(plain)
	return parseContent(plain)
}

// sealRing is open's reverse. The data key and nonce are fresh for each call.
func (f *ringFile) sealRing(r *ring, dataKey []byte) ([]byte, error) {
	b := make([]byte, 0, 4096)
	b = append(b, ringMagic[:]...)
	b = append(b, steno.FormatVersion, 0, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, f.number)
	b = append(b, f.log[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.uri)))
	b = append(b, f.uri...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f.wrapped)))
	b = append(b, f.wrapped...)
	head := len(b)
	a, err := newGCM(dataKey)
	if err != nil {
		return nil, err
	}
	plain, err := ringEnc.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("couldn't encode the ring: %w", err)
	}
	defer clear(plain)
	return a.Seal(append(b, f.nonce...), f.nonce, plain, b[:head]), nil
}

// parseContent reads the ring's CBOR and checks all that the code relies on.
func parseContent(b []byte) (*ring, error) {
	r := &ring{}
	if err := ringDec.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRing, err)
	}
	if len(r.Signer) != 32 || len(r.Credential) != 32 {
		return nil, fmt.Errorf("%w: the signing seed has %d bytes, the credential key %d, 32 are right", ErrRing, len(r.Signer), len(r.Credential))
	}
	for id, t := range r.Tenants {
		if err := t.Cover.check(); err != nil {
			return nil, fmt.Errorf("%w: tree of tenant %q: %w", ErrRing, id, err)
		}
	}
	for no, d := range r.Days {
		if d == nil || no == 0 || no >= r.NextDay || len(d.D) != 32 || len(d.Index) != 32 || len(d.Names) != 32 {
			return nil, fmt.Errorf("%w: day key %d is not one", ErrRing, no)
		}
		if _, ok := r.Tenants[d.Tenant]; !ok {
			return nil, fmt.Errorf("%w: day key %d belongs to tenant %q, which has no tree", ErrRing, no, d.Tenant)
		}
	}
	for id, s := range r.Survivors {
		if len(id) != 16 || !keysFit(s.Keys) {
			return nil, fmt.Errorf("%w: survivors of %x", ErrRing, string(id))
		}
	}
	for id, h := range r.Vault {
		if len(id) != 16 || (h.Rec != nil) == (h.Keys != nil) || (h.Rec != nil && len(h.Rec) != 32) || !keysFit(h.Keys) {
			return nil, fmt.Errorf("%w: vault entry %x", ErrRing, string(id))
		}
	}
	return r, nil
}

func keysFit(m map[string][]byte) bool {
	for _, k := range m {
		if len(k) != 32 {
			return false
		}
	}
	return true
}

// copy returns a ring that may be changed, whose values are still shared.
func (r *ring) copy() *ring {
	c := *r
	c.Tenants, c.Days = maps.Clone(r.Tenants), maps.Clone(r.Days)
	c.Survivors, c.Vault = maps.Clone(r.Survivors), maps.Clone(r.Vault)
	if c.Tenants == nil {
		c.Tenants = map[string]tenantTree{}
	}
	if c.Days == nil {
		c.Days = map[uint32]*dayKey{}
	}
	if c.Survivors == nil {
		c.Survivors = map[cbor.ByteString]survivors{}
	}
	if c.Vault == nil {
		c.Vault = map[cbor.ByteString]held{}
	}
	return &c
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
