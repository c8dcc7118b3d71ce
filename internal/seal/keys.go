package seal

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"golang.org/x/mod/sumdb/note"
)

// Keys is the opened key ring. Safe for concurrent use by one process; that only one process writes is for the
// caller to see to (the lock of the data directory).
type Keys struct {
	fs     disk.FS
	dir    string
	origin string
	log    steno.LogID
	random io.Reader // crypto/rand, but for test vectors

	writing  sync.Mutex // held while the ring is changed; taken before mu
	kek      *keyset.Handle
	kekStale bool // the file may lack the primary key of kek
	mu       sync.RWMutex
	ring     *ring // in force
	number   uint64
	byName   map[dayName]uint32
	prefixes *cache[prefix, [32]byte]
	refs     *cache[uint32, refCipher]
	recent   *cache[[16]byte, recent]
	sealers  []*Sealer
}

// dayName is what a day key is opened for.
type dayName struct{ tenant, class, day string }

// prefix is the node of one alias and day key.
type prefix struct {
	tenant string
	alias  uint64
	day    uint32
}

// Create makes the key directory with a key-encryption key and the first ring of a log. It refuses if a ring is there.
// dir is the key directory itself, usually DIR.keys.
func Create(fsys disk.FS, dir, origin string, now time.Time) (*Keys, error) {
	return create(fsys, dir, origin, now, nil, rand.Reader)
}

func create(fsys disk.FS, dir, origin string, now time.Time, kek *keyset.Handle, random io.Reader) (*Keys, error) {
	if _, err := fsys.Stat(ringName(dir)); err == nil {
		return nil, fmt.Errorf("%s: a key ring is there already: %w", ringName(dir), fs.ErrExist)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("couldn't look for a key ring: %w", err)
	}
	if err := fsys.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("couldn't make the key directory: %w", err)
	}
	k := newKeys(fsys, dir, origin, random)
	r := (&ring{Created: now.UnixNano(), NextDay: 1, NextBlock: 1}).copy()
	var err error
	if r.Signer, err = k.fresh(); err != nil {
		return nil, err
	}
	if r.Credential, err = k.fresh(); err != nil {
		return nil, err
	}
	if k.kek = kek; k.kek == nil {
		if k.kek, err = newKEK(); err != nil {
			return nil, err
		}
	}
	k.kekStale = true
	if _, _, err := signer(origin, r.Signer); err != nil {
		return nil, err
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	if _, err := k.write(r, 1); err != nil {
		return nil, err
	}
	k.publish(r, 1)
	return k, nil
}

// Open reads the ring of a log. It changes nothing on the disk.
func Open(fsys disk.FS, dir, origin string) (*Keys, error) {
	b, err := fsys.ReadFile(ringName(dir))
	if err != nil {
		return nil, fmt.Errorf("couldn't read the key ring: %w", err)
	}
	f, err := parseRing(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ringName(dir), err)
	}
	k := newKeys(fsys, dir, origin, rand.Reader)
	if f.log != k.log {
		return nil, fmt.Errorf("%s: %w: it belongs to a log of another origin than %q", ringName(dir), ErrRing, origin)
	}
	if f.uri != kekURI {
		return nil, fmt.Errorf("%s: its key-encryption key is %q, only %q is known", ringName(dir), f.uri, kekURI)
	}
	if b, err = fsys.ReadFile(kekName(dir)); err != nil {
		return nil, fmt.Errorf("couldn't read the key-encryption key: %w", err)
	}
	defer clear(b)
	if k.kek, err = parseKEK(b); err != nil {
		return nil, fmt.Errorf("%s: %w", kekName(dir), err)
	}
	a, err := kekAEAD(k.kek)
	if err != nil {
		return nil, err
	}
	dataKey, err := a.Decrypt(f.wrapped, ringAAD(f.log, f.number))
	if err != nil {
		return nil, fmt.Errorf("%s does not open with %s: another key-encryption key, or changed bytes: %w", ringName(dir), kekName(dir), err)
	}
	defer clear(dataKey)
	r, err := f.open(dataKey)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ringName(dir), err)
	}
	k.publish(r.copy(), f.number)
	return k, nil
}

func newKeys(fsys disk.FS, dir, origin string, random io.Reader) *Keys {
	return &Keys{
		fs: fsys, dir: dir, origin: origin, log: steno.NewLogID(origin), random: random,
		prefixes: newCache[prefix, [32]byte](1 << 16), refs: newCache[uint32, refCipher](1 << 12),
		recent: newCache[[16]byte, recent](maxRecent),
	}
}

// fresh returns 32 random bytes.
func (k *Keys) fresh() ([]byte, error) {
	b := make([]byte, 32)
	if _, err := io.ReadFull(k.random, b); err != nil {
		return nil, fmt.Errorf("couldn't draw a key: %w", err)
	}
	return b, nil
}

// write makes r durable as ring number n, and says whether it is in force even though something else failed: bytes of
// what it replaced may be left. The caller holds writing.
//
// The file of the key-encryption key has, at every moment, the key that whichever ring is on the disk was wrapped
// with: a new one is added to it before the ring is wrapped with it, and an old one dropped after.
func (k *Keys) write(r *ring, n uint64) (inForce bool, err error) {
	if k.kekStale {
		if err := k.writeKEK(k.kek); err != nil {
			return false, err
		}
		k.kekStale = false
	}
	b, err := k.wrap(r, n)
	if err != nil {
		return false, err
	}
	if err := replace(k.fs, ringName(k.dir), b); err != nil {
		var left *wipeError
		return errors.As(err, &left), fmt.Errorf("couldn't write the key ring: %w", err)
	}
	if k.kek.Len() == 1 {
		return true, nil
	}
	only, err := primaryOnly(k.kek)
	if err != nil {
		return true, err
	}
	if err := k.writeKEK(only); err != nil {
		return true, err
	}
	k.kek = only
	return true, nil
}

// wrap encodes and encrypts a ring under a fresh data key.
func (k *Keys) wrap(r *ring, n uint64) ([]byte, error) {
	a, err := kekAEAD(k.kek)
	if err != nil {
		return nil, err
	}
	dataKey, err := k.fresh()
	if err != nil {
		return nil, err
	}
	defer clear(dataKey)
	f := &ringFile{number: n, log: k.log, uri: kekURI, nonce: make([]byte, gcmNonce)}
	if _, err := io.ReadFull(k.random, f.nonce); err != nil {
		return nil, fmt.Errorf("couldn't draw a nonce: %w", err)
	}
	if f.wrapped, err = a.Encrypt(dataKey, ringAAD(k.log, n)); err != nil {
		return nil, fmt.Errorf("couldn't wrap the ring's data key: %w", err)
	}
	return f.sealRing(r, dataKey)
}

func (k *Keys) writeKEK(h *keyset.Handle) error {
	b, err := encodeKEK(h)
	if err != nil {
		return err
	}
	defer clear(b)
	if err := replace(k.fs, kekName(k.dir), b); err != nil {
		return fmt.Errorf("couldn't write the key-encryption key: %w", err)
	}
	return nil
}

// change makes a new ring, durable, and puts it in force. edit gets a copy and returns the keys that are no longer
// in it. When they are to be destroyed, the new ring is wrapped by a new key-encryption key and the old one goes.
// After an error it is not known which ring is on the disk, and in memory the old one stays in force, unless only the
// wiping of what was replaced has failed: then the new one is in force, and the error tells of the rest.
func (k *Keys) change(destroy bool, edit func(*ring) ([][]byte, error)) error {
	k.writing.Lock()
	defer k.writing.Unlock()
	r := k.ring.copy() // only publish sets k.ring, under writing
	gone, err := edit(r)
	if err != nil {
		return err
	}
	if destroy {
		h, err := addKEK(k.kek)
		if err != nil {
			return err
		}
		k.kek, k.kekStale = h, true
	}
	n := k.number + 1
	inForce, err := k.write(r, n)
	if !inForce {
		return err
	}
	k.publish(r, n)
	k.mu.Lock() // nobody derives from them any more
	for _, b := range gone {
		clear(b)
	}
	k.mu.Unlock()
	return err
}

// publish puts a ring in force and drops what was derived from the one before.
func (k *Keys) publish(r *ring, n uint64) {
	byName := make(map[dayName]uint32, len(r.Days))
	for no, d := range r.Days {
		byName[dayName{d.Tenant, d.Class, d.Day}] = no
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring, k.number, k.byName = r, n, byName
	k.prefixes.drop(func(prefix, [32]byte) bool { return true })
	k.refs.drop(func(uint32, refCipher) bool { return true })
	k.recent.drop(func([16]byte, recent) bool { return true })
}

// Signer returns the log's signer of notes, whose name is the origin, and its verifier key.
func (k *Keys) Signer() (note.Signer, string, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return signer(k.origin, k.ring.Signer)
}

func signer(origin string, seed []byte) (note.Signer, string, error) {
	key := ed25519.NewKeyFromSeed(seed)
	vkey, err := note.NewEd25519VerifierKey(origin, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, "", fmt.Errorf("couldn't make the verifier key of %q: %w", origin, err)
	}
	// A verifier key is name+hash+base64; a signer's has the same hash and, after the algorithm's byte, the seed.
	hash, _, ok := strings.Cut(strings.TrimPrefix(vkey, origin+"+"), "+")
	if !ok {
		return nil, "", fmt.Errorf("origin %q can't be the name of a key", origin)
	}
	raw := append([]byte{1}, seed...)
	defer clear(raw)
	s, err := note.NewSigner("PRIVATE+KEY+" + origin + "+" + hash + "+" + base64.StdEncoding.EncodeToString(raw))
	if err != nil {
		return nil, "", fmt.Errorf("origin %q can't be the name of a key (it must have no space and no +): %w", origin, err)
	}
	return s, vkey, nil
}

// CredentialMAC returns a keyed hash that tells a provider's credentials apart and, without the ring, nothing.
func (k *Keys) CredentialMAC(secret []byte) string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	m := hmac.New(sha256.New, k.ring.Credential)
	m.Write(secret)
	return "mac:" + hex.EncodeToString(m.Sum(nil)[:16])
}

// Status is what an operator is told of the ring. Nothing in it is secret.
type Status struct {
	Ring      uint64    // counts the rings written
	Created   time.Time // of the first
	Applied   uint64    // leaves whose destructions the ring has seen, see SetApplied
	Tenants   int
	DayKeys   int
	Nodes     int // of the key trees
	Survivors int // records of which a text was erased
	Held      int // records in the hold vault
	Replicas  int // places the ring is kept in
	KEK       string
}

// Status tells what is in the ring.
func (k *Keys) Status() Status {
	k.mu.RLock()
	defer k.mu.RUnlock()
	s := Status{
		Ring: k.number, Created: time.Unix(0, k.ring.Created).UTC(), Applied: k.ring.Applied, Tenants: len(k.ring.Tenants),
		DayKeys: len(k.ring.Days), Survivors: len(k.ring.Survivors), Held: len(k.ring.Vault), Replicas: 1, KEK: "key file",
	}
	for _, t := range k.ring.Tenants {
		s.Nodes += len(t.Cover)
	}
	return s
}

// SetApplied records that every destruction logged before that leaf has been done to this ring.
func (k *Keys) SetApplied(leaf uint64) error {
	return k.change(false, func(r *ring) ([][]byte, error) {
		if leaf < r.Applied {
			return nil, fmt.Errorf("the ring has seen destructions up to leaf %d, %d is before", r.Applied, leaf)
		}
		r.Applied = leaf
		return nil, nil
	})
}

// NewKEK wraps the ring anew under a fresh key-encryption key and destroys the old one.
func (k *Keys) NewKEK() error {
	return k.change(true, func(*ring) ([][]byte, error) { return nil, nil })
}

// TableKey returns the key that seals a table of one day, "index" or "names".
func (k *Keys) TableKey(day uint32, table string) ([32]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, ok := k.ring.Days[day]
	if !ok {
		return [32]byte{}, fmt.Errorf("day key %d: %w", day, ErrErasedDay)
	}
	switch table {
	case "index":
		return [32]byte(d.Index), nil
	case "names":
		return [32]byte(d.Names), nil
	}
	return [32]byte{}, fmt.Errorf("a day has the tables index and names, not %q", table)
}

// DayKeyInfo tells what a day key is for.
type DayKeyInfo struct {
	No        uint32
	Tenant    string
	Class     string
	Day       string // "2026-11-23", UTC
	KeepUntil string
}

// DayKeys lists the day keys that are in the ring, by number.
func (k *Keys) DayKeys() []DayKeyInfo {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make([]DayKeyInfo, 0, len(k.ring.Days))
	for no, d := range k.ring.Days {
		out = append(out, DayKeyInfo{no, d.Tenant, d.Class, d.Day, d.KeepUntil})
	}
	slices.SortFunc(out, func(a, b DayKeyInfo) int { return int(a.No) - int(b.No) })
	return out
}
