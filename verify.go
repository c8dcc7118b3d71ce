package steno

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"time"
)

// VerifyOptions says what a verification is anchored to and how far it looks. The zero value checks the log against
// itself: that shows accidents, not a forger.
type VerifyOptions struct {
	VKey       string // the log's verifier key (C2SP signed note), from outside the log
	Checkpoint []byte // a signed checkpoint that the auditor kept: the log must still begin with that tree
	// Remember is a file that works as ssh's known_hosts does: for each origin the key and the newest checkpoint seen.
	// A log not in it is remembered, and the report says so. It is written only after integrity was found to hold.
	Remember string
	// Texts opens and checks one sealed record with its body; it is called in the order of the log, for records whose
	// body is as the leaf says, and must not keep body. Nil: texts are not looked at, and the report says so.
	Texts func(index uint64, l *Leaf, body []byte) error
	Now   time.Time // zero: the present
	// Progress is told of the bytes read so far, from one goroutine at a time; total is 0 where it is not known.
	Progress func(done, total int64)
	Live     bool // a writer is at work on this log: its newest source need not have stopped
}

// Verdict is what can be said of a log.
type Verdict string

// The verdicts.
const (
	Holds   Verdict = "holds"
	Fails   Verdict = "fails"
	Unknown Verdict = "unknown"
)

// Trust names what a verification was anchored to.
type Trust string

// The anchors, weakest first.
const (
	TrustSelf       Trust = "self"       // nothing from outside: shows accidents, not a forger
	TrustKey        Trust = "key"        // a verifier key that the caller gave
	TrustRemembered Trust = "remembered" // key and checkpoint of an earlier verification
	TrustCheckpoint Trust = "checkpoint" // a checkpoint that the caller gave
)

// Words says what an anchor is worth.
func (t Trust) Words() string {
	switch t {
	case TrustKey:
		return "against the key that was given: shows changes by anybody who does not hold the signing key"
	case TrustCheckpoint:
		return "against the checkpoint that was given: shows every change to what was there then, whoever made it"
	case TrustRemembered:
		return "against key and checkpoint remembered from an earlier visit: shows every change to what was there then, whoever made it"
	}
	return "against the key found in the log itself: shows accidents, not a forger"
}

// maxFindings bounds the findings listed under one verdict; those beyond it are counted.
const maxFindings = 100

// Where is a place in a log: a file and the bytes from From up to To, a leaf, or both.
type Where struct {
	File string  `json:"file,omitempty"`
	From int64   `json:"from,omitempty"`
	To   int64   `json:"to,omitempty"` // 0: the file as a whole
	Leaf *uint64 `json:"leaf,omitempty"`
}

func (w Where) String() string {
	s := w.File
	if w.To > 0 {
		s += fmt.Sprintf(" bytes %d–%d", w.From, w.To-1)
	}
	if w.Leaf != nil {
		if s != "" {
			s += ", "
		}
		s += fmt.Sprintf("leaf %d", *w.Leaf)
	}
	return s
}

// Fault is one thing that keeps a verdict from holding.
type Fault struct {
	Verdict Verdict `json:"verdict"` // fails, or unknown
	Where   Where   `json:"where"`
	What    string  `json:"what"`
}

// Opinion is a verdict with what it rests on. Findings lists at most 100, of Count.
type Opinion struct {
	Verdict  Verdict `json:"verdict"`
	Findings []Fault `json:"findings"`
	Count    int     `json:"count"`
}

func (o *Opinion) add(v Verdict, w Where, format string, args ...any) {
	o.Count++
	switch {
	case len(o.Findings) < maxFindings:
		o.Findings = append(o.Findings, Fault{v, w, fmt.Sprintf(format, args...)})
	case v == Fails && o.Verdict != Fails: // the list is full of doubts: what decides the verdict is shown in their place
		o.Findings[maxFindings-1] = Fault{v, w, fmt.Sprintf(format, args...)}
	}
	if v == Fails || o.Verdict == Holds {
		o.Verdict = v
	}
}

// Counts says how much was looked at.
type Counts struct {
	Segments      int    `json:"segments"`
	Records       uint64 `json:"records"`
	Public        uint64 `json:"public"`
	Sealed        uint64 `json:"sealed"`
	BodyBytes     int64  `json:"body_bytes"`
	Erased        uint64 `json:"bodies_erased"`  // absent, under a destroyed day key
	Refused       uint64 `json:"bodies_refused"` // not served
	Tiles         uint64 `json:"tiles"`
	Texts         uint64 `json:"texts"` // sealed records that were opened
	Sources       uint64 `json:"sources"`
	OpenExchanges int    `json:"open_exchanges"`
}

// Report is the outcome of a verification. Integrity: no byte was changed, removed or added since it was signed.
// Completeness: what the sources had to say is all there.
type Report struct {
	Target       string    `json:"target"`
	Integrity    Opinion   `json:"integrity"`
	Completeness Opinion   `json:"completeness"`
	Trust        Trust     `json:"trust"`
	TrustWords   string    `json:"trust_in_words"`
	Origin       string    `json:"origin,omitempty"`
	VKey         string    `json:"vkey,omitempty"`
	Demo         bool      `json:"demo,omitempty"`
	Live         bool      `json:"live,omitempty"`
	Size         uint64    `json:"size"`
	Root         string    `json:"root"`
	Signed       *SignedAt `json:"checkpoint,omitempty"` // the newest checkpoint whose signature and root are right
	AsOf         time.Time `json:"as_of,omitzero"`       // when the last leaf was written
	Unsigned     uint64    `json:"leaves_after_checkpoint"`
	Counts       Counts    `json:"counts"`
	Notes        []string  `json:"notes"` // what is worth knowing and is no fault
	NotLookedAt  []string  `json:"not_looked_at"`
	ExitCode     int       `json:"exit"`
}

// SignedAt is a checkpoint and when its last leaf was written.
type SignedAt struct {
	Size uint64    `json:"size"`
	Root string    `json:"root"`
	Time time.Time `json:"time,omitzero"`
}

// Exit returns the exit code of the verify command: 0 fine, 3 integrity fails, 4 completeness fails, 5 one of them
// cannot be known.
func (r *Report) Exit() int {
	switch {
	case r.Integrity.Verdict == Fails:
		return 3
	case r.Completeness.Verdict == Fails:
		return 4
	case r.Integrity.Verdict != Holds || r.Completeness.Verdict != Holds:
		return 5
	}
	return 0
}

func newReport(target string) *Report {
	return &Report{
		Target: target, Trust: TrustSelf, Notes: []string{}, NotLookedAt: []string{},
		Integrity:    Opinion{Verdict: Holds, Findings: []Fault{}},
		Completeness: Opinion{Verdict: Holds, Findings: []Fault{}},
	}
}

func (r *Report) broken(w Where, format string, args ...any) {
	r.Integrity.add(Fails, w, format, args...)
}

func (r *Report) doubt(w Where, format string, args ...any) {
	r.Integrity.add(Unknown, w, format, args...)
}

func (r *Report) missing(w Where, format string, args ...any) {
	r.Completeness.add(Fails, w, format, args...)
}

func (r *Report) unsure(w Where, format string, args ...any) {
	r.Completeness.add(Unknown, w, format, args...)
}

func (r *Report) note(format string, args ...any) {
	if len(r.Notes) < maxFindings {
		r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
	}
}

func (r *Report) skipped(format string, args ...any) {
	if len(r.NotLookedAt) < maxFindings {
		r.NotLookedAt = append(r.NotLookedAt, fmt.Sprintf(format, args...))
	}
}

func (r *Report) finish() *Report {
	r.ExitCode, r.TrustWords = r.Exit(), r.Trust.Words()
	return r
}

// atLeaf is a place known only by the leaf's index.
func atLeaf(i uint64) Where { return Where{Leaf: &i} }

func nanoTime(ns int64) time.Time { return time.Unix(0, ns).UTC() }

func hexOf(h [32]byte) string { return hex.EncodeToString(h[:]) }

// VerifyDir checks the log in a data directory, whether a server runs there or not, up to the size that it has when
// the check begins. It needs no key and writes nothing but o.Remember. The error says that it could not run at all;
// whatever is wrong with the log is in the report.
func VerifyDir(ctx context.Context, dir string, o VerifyOptions) (*Report, error) {
	st, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	if !st.IsDir() {
		return nil, fmt.Errorf("couldn't verify %s: it is no directory", dir)
	}
	before, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	r, err := verifyDir(ctx, dir, o)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && r.Integrity.Verdict != Fails {
		return r, err
	}
	// A writer that starts while a segment is read cuts it and may remove others. That is no damage, and does not happen
	// twice in a row.
	after, listErr := listSegments(dir)
	same := func(a, b segmentFile) bool { return a.name == b.name }
	if listErr != nil || slices.EqualFunc(before, after, same) {
		return r, err
	}
	return verifyDir(ctx, dir, o)
}

// VerifyFile checks one segment or one checkpoint by itself, and says what that can show and what it cannot.
func VerifyFile(ctx context.Context, path string, o VerifyOptions) (*Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("couldn't verify %s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("couldn't verify %s: it is no regular file", path)
	}
	r, err := verifyBytes(ctx, path, f, st.Size(), o)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify %s: %w", path, err)
	}
	return r, nil
}

// VerifyURL checks a log over HTTP, as it is served under base: checkpoint, entries, tiles and bodies. Bodies that are
// refused are counted, and of them nothing is said to hold.
func VerifyURL(ctx context.Context, base string, client *http.Client, o VerifyOptions) (*Report, error) {
	if client == nil {
		client = http.DefaultClient
	}
	return verifyURL(ctx, base, client, o)
}

var errTooDamaged = errors.New("too much of the file is damaged")
