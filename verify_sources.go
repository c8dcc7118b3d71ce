package steno

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"maps"
	"slices"
	"time"
)

// sourceBook keeps account of sources and exchanges: what the log itself says should be there. It is the completeness
// verdict, and the part of the state frames that is not the tree. Sources that are over and exchanges that are closed
// are forgotten, so memory grows only with what is open.
type sourceBook struct {
	r         *Report
	sources   map[[16]byte]*sourceAccount
	over      map[[16]byte]uint64 // last numbers of the sources that were forgotten when the newest one appeared
	exchanges map[ID]*exchangeAccount
	full      bool
}

type sourceAccount struct {
	SourceState
	begins    uint64 // first leaf
	started   bool
	nameless  bool // said once that it never started
	name      string
	heartbeat int64
	timeout   int64
	beat      int64 // last start, heartbeat or stop
	holes     []numberHole
}

type exchangeAccount struct {
	OpenExchange
	timeout int64
}

// numberHole is a run of numbers that have not been seen, found missing at a leaf.
type numberHole struct{ from, to, leaf uint64 }

// maxHoles bounds the holes of one source that are kept open for latecomers.
const maxHoles = 1024

func newSourceBook(r *Report) *sourceBook {
	return &sourceBook{
		r: r, sources: map[[16]byte]*sourceAccount{}, over: map[[16]byte]uint64{}, exchanges: map[ID]*exchangeAccount{},
	}
}

func (s *sourceAccount) String() string {
	id := "source " + hex.EncodeToString(s.Source[:4])
	if s.name != "" {
		id += " (" + s.name + ")"
	}
	return id
}

func (k *sourceBook) add(index uint64, l *Leaf) {
	s := k.sources[l.Source]
	if s == nil {
		if s = k.appear(index, l); s == nil {
			return
		}
	}
	if s.Stopped && l.PublicType() != TypeSourceStopped {
		k.r.missing(atLeaf(index), "%s writes although it is over", s)
	}
	k.number(s, index, l)
	s.Number, s.WrittenAt = max(s.Number, l.Number), l.WrittenAt
	k.public(s, index, l)
	if !l.Exchange.IsZero() {
		k.exchange(s, index, l)
	}
}

func (k *sourceBook) appear(index uint64, l *Leaf) *sourceAccount {
	stopped := false
	for _, s := range k.sorted() {
		if !s.Stopped {
			continue
		}
		if !stopped {
			clear(k.over)
			stopped = true
		}
		k.over[s.Source] = s.Number
		k.close(s)
		delete(k.sources, s.Source)
	}
	if len(k.sources) >= maxStateItems {
		k.overflow()
		return nil
	}
	s := &sourceAccount{SourceState: SourceState{Source: l.Source}, begins: index, beat: l.WrittenAt}
	k.sources[l.Source] = s
	k.r.Counts.Sources++
	return s
}

func (k *sourceBook) overflow() {
	if !k.full {
		k.full = true
		k.r.unsure(Where{}, "more than %d sources or exchanges are open at once: those beyond are not followed", maxStateItems)
	}
}

func (k *sourceBook) number(s *sourceAccount, index uint64, l *Leaf) {
	n := l.Number
	switch {
	case n == 0:
		k.r.missing(atLeaf(index), "a record of %s carries no number", s)
	case n == s.Number+1:
	case n > s.Number:
		if len(s.holes) == maxHoles {
			k.hole(s, s.holes[0])
			s.holes = s.holes[1:]
		}
		s.holes = append(s.holes, numberHole{s.Number + 1, n - 1, index})
	case !s.fill(n, n):
		k.r.missing(atLeaf(index), "number %d of %s occurs a second time", n, s)
	}
}

// fill takes numbers out of the holes and says whether they were all missing.
func (s *sourceAccount) fill(from, to uint64) bool {
	var left []numberHole
	filled := uint64(0)
	for _, h := range s.holes {
		lo, hi := max(h.from, from), min(h.to, to)
		if lo > hi {
			left = append(left, h)
			continue
		}
		filled += hi - lo + 1
		if h.from < lo {
			left = append(left, numberHole{h.from, lo - 1, h.leaf})
		}
		if hi < h.to {
			left = append(left, numberHole{hi + 1, h.to, h.leaf})
		}
	}
	s.holes = left
	return filled == to-from+1
}

func (k *sourceBook) hole(s *sourceAccount, h numberHole) {
	if h.from == h.to {
		k.r.missing(atLeaf(h.leaf), "number %d of %s is missing: a record was left out before this leaf", h.from, s)
		return
	}
	k.r.missing(atLeaf(h.leaf), "numbers %d to %d of %s are missing: %d records were left out before this leaf", h.from, h.to, s, h.to-h.from+1)
}

func (k *sourceBook) public(s *sourceAccount, index uint64, l *Leaf) {
	t := l.PublicType()
	if !s.started && !s.nameless && t != TypeSourceStarted && t != TypeLogCreated && t != TypeTailDiscarded {
		s.nameless = true
		k.r.missing(atLeaf(index), "%s begins without saying that it started", s)
	}
	bad := func(err error) { k.r.broken(atLeaf(index), "the public part of %s is not readable: %v", t, err) }
	switch t {
	case TypeSourceStarted:
		var v SourceStarted
		if err := DecodePublic(l.Public, &v); err != nil {
			bad(err)
			return
		}
		s.started, s.name, s.heartbeat, s.timeout, s.beat = true, v.Name, max(v.HeartbeatNS, 0), max(v.ExchangeTimeout, 0), l.WrittenAt
		if v.Unanchored {
			k.r.note("%s started without an anchor at leaf %d: from there on a fork of the log would not have been noticed", s, index)
		}
		if len(v.Previous) == len(l.Source) && [16]byte(v.Previous) != [16]byte{} {
			k.succeed(s, [16]byte(v.Previous), v.PreviousNumber, index)
		}
	case TypeHeartbeat:
		k.beat(s, index, l.WrittenAt)
	case TypeSourceStopped:
		k.beat(s, index, l.WrittenAt)
		s.Stopped = true
	case TypeLogGap:
		var v LogGap
		if err := DecodePublic(l.Public, &v); err != nil {
			bad(err)
			return
		}
		if v.FirstNumber > 0 && v.LastNumber >= v.FirstNumber {
			s.fill(v.FirstNumber, v.LastNumber) // they are accounted for here, once
		}
		k.r.missing(atLeaf(index), "%s let %d calls pass unrecorded from %s to %s: %s", s, v.Calls,
			nanoTime(v.From).Format(time.RFC3339), nanoTime(v.To).Format(time.RFC3339), printable(v.Why))
	case TypeTailDiscarded:
		var v TailDiscarded
		if err := DecodePublic(l.Public, &v); err != nil {
			bad(err)
			return
		}
		k.r.note("at leaf %d a start after a crash left out %d bytes of a group that was never whole, so never acknowledged", index, v.Bytes)
	}
}

// succeed marks the source that another one followed: it was killed, and had reached the number that the other says.
func (k *sourceBook) succeed(s *sourceAccount, previous [16]byte, number, index uint64) {
	reached, known := k.over[previous]
	if p := k.sources[previous]; p != nil {
		p.Stopped = true
		reached, known = p.Number, true
	}
	id := hex.EncodeToString(previous[:4])
	switch {
	case !known && number > 0:
		k.r.missing(atLeaf(index), "%s follows source %s with %d records, of which the log has none", s, id, number)
	case known && reached != number:
		k.r.missing(atLeaf(index), "source %s ends with number %d, the one that follows it says %d", id, reached, number)
	}
}

func (k *sourceBook) beat(s *sourceAccount, index uint64, at int64) {
	if silent := at - s.beat; s.heartbeat > 0 && silent > 2*s.heartbeat {
		k.r.missing(atLeaf(index), "%s gave no sign of life for %s before this leaf, it promised one every %s",
			s, time.Duration(silent).Round(time.Millisecond), time.Duration(s.heartbeat))
	}
	s.beat = at
}

func (k *sourceBook) exchange(s *sourceAccount, index uint64, l *Leaf) {
	x := k.exchanges[l.Exchange]
	id := l.Exchange.String()
	switch {
	case l.Flags&FlagCloses != 0:
		if x == nil && l.Flags&FlagOpens == 0 {
			k.r.missing(atLeaf(index), "exchange %s is closed here and was not open: its first record is not in the log, or it was closed before", id)
		}
		delete(k.exchanges, l.Exchange)
	case l.Flags&FlagOpens != 0 && x == nil:
		if len(k.exchanges) >= maxStateItems {
			k.overflow()
			return
		}
		k.exchanges[l.Exchange] = &exchangeAccount{OpenExchange{l.Exchange, index, l.WrittenAt}, s.timeout}
	case l.Flags&FlagContinues != 0 && x != nil:
		x.WrittenAt = l.WrittenAt
	case l.Flags&FlagContinues != 0:
		k.r.missing(atLeaf(index), "exchange %s is continued here and was not open", id)
	case l.Flags&FlagOpens != 0:
		k.r.missing(atLeaf(index), "exchange %s is opened a second time", id)
	}
}

// close says what is still missing of a source that is over, or of one that the log ends with.
func (k *sourceBook) close(s *sourceAccount) {
	for _, h := range s.holes {
		k.hole(s, h)
	}
	if silent := s.WrittenAt - s.beat; s.heartbeat > 0 && silent > 2*s.heartbeat {
		k.r.missing(atLeaf(s.begins), "%s, which begins here, gave no sign of life for %s before its last record, it promised one every %s",
			s, time.Duration(silent).Round(time.Millisecond), time.Duration(s.heartbeat))
	}
}

// finish judges what is open where the log ends.
func (k *sourceBook) finish(writtenAt int64, live bool) {
	for _, s := range k.sorted() {
		k.close(s)
		if !s.Stopped && !live {
			k.r.unsure(atLeaf(s.begins), "%s, which begins here, neither stopped nor was followed by another: its last known number is %d, and what came after cannot be known", s, s.Number)
		}
	}
	open := slices.SortedFunc(maps.Values(k.exchanges), func(a, b *exchangeAccount) int { return cmp.Compare(a.FirstLeaf, b.FirstLeaf) })
	for _, x := range open {
		if age := writtenAt - x.WrittenAt; age > x.timeout {
			k.r.missing(atLeaf(x.FirstLeaf), "exchange %s was opened here and never closed; the log goes on for %s after its last record",
				x.Exchange, time.Duration(age).Round(time.Millisecond))
		}
	}
	k.r.Counts.OpenExchanges = len(open)
}

func (k *sourceBook) sorted() []*sourceAccount {
	return slices.SortedFunc(maps.Values(k.sources), func(a, b *sourceAccount) int { return bytes.Compare(a.Source[:], b.Source[:]) })
}

// state is what a state frame has to say after the leaves seen so far, the tree's edge apart.
func (k *sourceBook) state() *State {
	st := &State{}
	for _, s := range k.sources {
		st.Sources = append(st.Sources, s.SourceState)
	}
	for _, x := range k.exchanges {
		st.Open = append(st.Open, x.OpenExchange)
	}
	return st
}

// printable keeps control characters of a log out of a terminal.
func printable(s string) string {
	out := []rune(s)
	for i, c := range out {
		if c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0) {
			out[i] = '�'
		}
	}
	if len(out) > 200 {
		return string(out[:200]) + "…"
	}
	return string(out)
}

// alive says whether a source that has not stopped was heard of lately.
func (k *sourceBook) alive(now time.Time) bool {
	for _, s := range k.sources {
		if silent := now.UnixNano() - s.WrittenAt; !s.Stopped && silent <= 2*s.heartbeat {
			return true
		}
	}
	return false
}
