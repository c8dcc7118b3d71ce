package seal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"github.com/steno-audit/steno"
)

// Config says how a Sealer works.
type Config struct {
	// Announce appends a public record and returns when it is durable. It must not wait for a Seal of this sealer.
	Announce func(t steno.PublicType, v any) error
	// Class is the retention class of day keys; "" is "standard".
	Class string
	// KeepMonths is for how long a day key is kept at least; 0 is 24.
	KeepMonths int
	// DedupBytes bounds the memory of the table of pieces that may be referred to; 0 is 64 MiB.
	DedupBytes int64
}

const (
	dedupEntryBytes = 160     // measured: key, place, commitment and the map's share
	maxSubjects     = 1 << 20 // whose alias is remembered; who is forgotten gets another
	aliasesInBlock  = 1 << 16
)

// Sealer seals drafts. Safe for concurrent use.
type Sealer struct {
	keys *Keys
	cfg  Config

	subjects *cache[subject, uint64]
	aliasMu  sync.Mutex // held while a new subject gets its alias
	next     uint64     // alias of the next subject
	end      uint64     // of the block

	dayMu sync.Mutex // held while day keys are opened

	dedupKey [32]byte
	dedup    *cache[[32]byte, place]
}

// subject is whose a record is: a person of a tenant, or the tenant itself where no person is concerned.
type subject struct{ tenant, user string }

// place is where a durable piece is stored.
type place struct {
	leaf       uint64
	alias      uint64
	day        uint32
	piece      uint32
	commitment [32]byte
}

// NewSealer returns a sealer under these keys. It starts with an empty memory: what the log has is found out by
// storing it once more.
func NewSealer(k *Keys, cfg Config) *Sealer {
	if cfg.Class == "" {
		cfg.Class = "standard"
	}
	if cfg.KeepMonths == 0 {
		cfg.KeepMonths = 24
	}
	if cfg.DedupBytes == 0 {
		cfg.DedupBytes = 64 << 20
	}
	s := &Sealer{
		keys: k, cfg: cfg, subjects: newCache[subject, uint64](maxSubjects),
		dedup: newCache[[32]byte, place](int(min(cfg.DedupBytes/dedupEntryBytes, math.MaxInt32))),
	}
	must(io.ReadFull(k.random, s.dedupKey[:])) // crypto/rand never fails on a supported system
	k.mu.Lock()
	k.sealers = append(k.sealers, s)
	k.mu.Unlock()
	return s
}

// Sealed is a record ready to be appended. The caller sets in the leaf what the log orders: written at, source,
// number, and whether it opens, continues or closes its exchange.
type Sealed struct {
	Leaf steno.Leaf
	Body []byte

	alias uint64
	fresh []freshPiece
}

// freshPiece is a piece that the record stores itself.
type freshPiece struct {
	id         [32]byte
	piece      uint32
	commitment [32]byte
}

// Seal seals a draft under the day key of the day in which `at` lies. Each call seals anew, under a seal id of its
// own: a record that could not be appended is sealed again, not appended later.
func (s *Sealer) Seal(d *steno.Draft, at time.Time) (*Sealed, error) {
	var who subject
	if d.Identity != nil {
		who = subject{d.Identity.Tenant, d.Identity.User}
	}
	request, err := memberPieces(d, steno.SectionPrompt)
	if err != nil {
		return nil, err
	}
	response, err := memberPieces(d, steno.SectionOutput)
	if err != nil {
		return nil, err
	}
	if request, err = splitPieces(request); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	if response, err = splitPieces(response); err != nil {
		return nil, fmt.Errorf("response: %w", err)
	}
	if len(request)+len(response) > maxPieces {
		return nil, fmt.Errorf("a record has at most %d pieces, this one has %d", maxPieces, len(request)+len(response))
	}
	day, err := s.day(who.tenant, at)
	if err != nil {
		return nil, err
	}
	alias, err := s.alias(who)
	if err != nil {
		return nil, err
	}
	x, err := s.seal(d, at, alias, day, request, response)
	if errors.Is(err, ErrErasedPerson) {
		// Erased since the alias was looked up, which the sealer was told before: who comes back is somebody new.
		if alias, err = s.alias(who); err != nil {
			return nil, err
		}
		x, err = s.seal(d, at, alias, day, request, response)
	}
	return x, err
}

func (s *Sealer) seal(d *steno.Draft, at time.Time, alias uint64, day uint32, request, response []steno.Piece) (*Sealed, error) {
	x := &Sealed{alias: alias}
	l := &x.Leaf
	var err error
	if err = s.header(l, d, at); err != nil {
		return nil, err
	}
	l.DayKey = day
	rec, ref, ring, err := s.keys.sealing(alias, day, l.Seal)
	if err != nil {
		return nil, err
	}
	l.KeyRef = ref
	size := 2048
	for _, list := range [][]steno.Piece{request, response} {
		for i := range list {
			size += 160
			if len(list[i].Bytes) < 16<<10 { // a long one is new seldom enough to let it grow
				size += len(list[i].Bytes) / 2
			}
		}
	}
	w := &bodyWriter{log: s.keys.log, seal: l.Seal, b: make([]byte, 0, min(size, 1<<20))}
	r := &recordSealer{s: s, x: x, rec: rec, w: w, exact: true}
	for _, sec := range steno.Sections {
		switch sec {
		case steno.SectionPrompt:
			err = r.list(sec, request)
		case steno.SectionOutput:
			err = r.list(sec, response)
		default:
			err = r.fields(sec, &d.Event)
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't seal section %s: %w", sec, err)
		}
	}
	if l.Sections == 0 {
		return nil, errors.New("a draft with nothing to seal: an event has at least a type")
	}
	for n, p := range r.fresh {
		if err := w.piece(uint32(n), p.key, p.bytes, p.stream); err != nil {
			return nil, fmt.Errorf("couldn't seal piece %d: %w", n, err)
		}
	}
	if len(w.b) > steno.MaxBodySize {
		return nil, fmt.Errorf("a body has at most %d bytes, this one has %d", steno.MaxBodySize, len(w.b))
	}
	x.Body = w.b
	l.BodyLength, l.BodyHash = uint64(len(w.b)), sha256.Sum256(w.b)
	if r.exact {
		s.keys.remember(x, d, ring)
	}
	return x, nil
}

// header sets what the leaf says in clear, and draws the seal id.
func (s *Sealer) header(l *steno.Leaf, d *steno.Draft, at time.Time) error {
	l.Record, l.Exchange = d.ID, d.Exchange
	if l.Record.IsZero() {
		l.Record = steno.NewID(at)
	}
	if d.Imported {
		l.Flags |= steno.FlagImported
	}
	when := d.Time
	if when.IsZero() {
		when = at
	}
	if y := when.UTC().Year(); y < 1678 || y > 2261 {
		return fmt.Errorf("the event's time is in the year %d, a leaf holds 1678 to 2261", y)
	}
	l.SourceAt = when.UnixNano()
	if _, err := io.ReadFull(s.keys.random, l.Seal[:]); err != nil {
		return fmt.Errorf("couldn't draw a seal id: %w", err)
	}
	return nil
}

// recordSealer is one sealing under way.
type recordSealer struct {
	s       *Sealer
	x       *Sealed
	rec     [32]byte
	w       *bodyWriter
	fresh   []sealedPiece
	scratch []byte
	exact   bool // what was sealed of fields is what the draft says, to the byte
}

type sealedPiece struct {
	key    [32]byte
	bytes  []byte
	stream bool
}

func (r *recordSealer) fields(sec steno.Section, e *steno.Event) error {
	fields, err := e.Fields(sec)
	if err != nil || len(fields) == 0 {
		return err
	}
	if r.scratch, err = appendFields(r.scratch[:0], fields); err != nil {
		return err
	}
	r.exact = r.exact && exact(r.scratch)
	key := sectionKey(r.rec, sec)
	r.commit(sec, commitFields(sec, key, fields))
	return r.w.section(sec, key, r.scratch)
}

func (r *recordSealer) list(sec steno.Section, pieces []steno.Piece) error {
	if len(pieces) == 0 {
		return nil
	}
	list := make([]entry, len(pieces))
	hashes := make([][32]byte, len(pieces))
	for i, p := range pieces {
		list[i], hashes[i] = r.piece(p, sec)
	}
	r.scratch = appendList(r.scratch[:0], list)
	key := sectionKey(r.rec, sec)
	r.commit(sec, commitList(sec, key, hashes, r.scratch))
	return r.w.section(sec, key, r.scratch)
}

// piece refers to a durable piece with the same bytes, which is always fewer bytes than storing even a small one
// (commitment, header and tag alone are 60), or takes it in.
func (r *recordSealer) piece(p steno.Piece, sec steno.Section) (entry, [32]byte) {
	e := entry{kind: p.Kind, at: uint64(p.At), length: uint64(len(p.Bytes))}
	id := r.s.pieceID(r.x.alias, r.x.Leaf.DayKey, p.Bytes)
	if at, ok := r.s.dedup.get(id); ok {
		e.old, e.leaf, e.piece = true, at.leaf, at.piece
		return e, at.commitment
	}
	e.piece = uint32(len(r.fresh))
	key := pieceKey(r.rec, e.piece)
	e.commitment = commitPiece(saltOf(key), p.Bytes)
	r.fresh = append(r.fresh, sealedPiece{key, p.Bytes, sec == steno.SectionOutput})
	r.x.fresh = append(r.x.fresh, freshPiece{id, e.piece, e.commitment})
	return e, e.commitment
}

func (r *recordSealer) commit(sec steno.Section, c [32]byte) {
	r.x.Leaf.Sections |= sec
	r.x.Leaf.Commitments = append(r.x.Leaf.Commitments, c)
}

// pieceID tells pieces apart: a hash under a key that dies with the process, so that the table is no oracle.
func (s *Sealer) pieceID(alias uint64, day uint32, b []byte) [32]byte {
	var head [44]byte
	copy(head[:], s.dedupKey[:])
	binary.BigEndian.PutUint64(head[32:], alias)
	binary.BigEndian.PutUint32(head[40:], day)
	return hashParts(head[:], b)
}

// Durable says that the record is durable as that leaf: its pieces may be referred to from now on.
func (s *Sealer) Durable(x *Sealed, index uint64) {
	for _, p := range x.fresh {
		s.dedup.put(p.id, place{index, x.alias, x.Leaf.DayKey, p.piece, p.commitment})
	}
}

// retire forgets pieces that must not be referred to any more and, with subjects, who has the alias.
func (s *Sealer) retire(gone func(alias uint64, day uint32) bool, subjects bool) {
	if subjects {
		s.subjects.drop(func(_ subject, a uint64) bool { return gone(a, 0) })
	}
	s.dedup.drop(func(_ [32]byte, p place) bool { return gone(p.alias, p.day) })
}

// alias returns the alias of a subject, a new one if it has none that is remembered.
func (s *Sealer) alias(who subject) (uint64, error) {
	if a, ok := s.subjects.get(who); ok {
		return a, nil
	}
	s.aliasMu.Lock()
	defer s.aliasMu.Unlock()
	if a, ok := s.subjects.get(who); ok {
		return a, nil
	}
	if s.next == s.end {
		no, err := s.keys.takeBlock()
		if err != nil {
			return 0, err
		}
		if err := s.cfg.Announce(steno.TypeAliasBlockOpened, steno.AliasBlockOpened{No: no}); err != nil {
			return 0, fmt.Errorf("couldn't announce a block of aliases: %w", err)
		}
		s.next = uint64(no) * aliasesInBlock
		s.end = s.next + aliasesInBlock
	}
	a := s.next
	s.next++
	s.subjects.put(who, a)
	return a, nil
}

// takeBlock takes the next block of aliases, for good.
func (k *Keys) takeBlock() (uint32, error) {
	var no uint32
	err := k.change(false, func(r *ring) ([][]byte, error) {
		if uint64(r.NextBlock)*aliasesInBlock > maxAlias {
			return nil, errors.New("all aliases of this log are taken")
		}
		no = r.NextBlock
		r.NextBlock++
		return nil, nil
	})
	if err != nil {
		return 0, fmt.Errorf("couldn't open a block of aliases: %w", err)
	}
	return no, nil
}
