package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// Config says where a log is and what it is called. The caller holds the lock of Dir, and of AnchorDir too where
// copies of Dir could be opened beside it.
type Config struct {
	FS        disk.FS
	Dir       string      // the data directory
	AnchorDir string      // where the newest signed checkpoint is kept, outside of Dir
	Origin    string      // of the log's checkpoints
	Signer    note.Signer // its name is the origin
	VKey      string      // the verifier key that fits the signer

	SegmentBytes    int64                   // a segment that has passed it is the last no more; 0: 64 MiB
	Now             func() time.Time        // nil: time.Now
	Clock           func() steno.ClockState // what the kernel knows of its clock; nil: unknown
	CheckpointEvery time.Duration           // 0: each second, and after 10,000 leaves; below 0: only by Sign
}

// Journal is an open log. Its methods may be called concurrently.
type Journal struct {
	cfg            Config
	verifier       note.Verifier
	source         [16]byte
	anchorPath     string
	checkpointPath string

	mu        sync.Mutex // guards the queue
	wake      *sync.Cond // of the writer
	queue     []*batch   // not yet taken by the writer, oldest first
	queued    int        // bytes not yet durable
	opens     int        // leaves not yet durable that open an exchange
	number    uint64     // of the newest leaf of our source
	closing   bool
	failure   error         // sticky
	done      chan struct{} // closed when the writer has stopped
	closeOnce sync.Once
	closeErr  error

	w writer // of the writer's goroutine alone

	stateMu sync.RWMutex // guards what is durable
	ledger  *ledger
	grown   chan struct{} // closed when the log has grown; nil while nobody waits
	size    atomic.Uint64
	openN   atomic.Int64 // open exchanges

	segments segments
	tree     tree

	signing      sync.Mutex // held while a checkpoint is made
	anchored     *checkpoint
	published    atomic.Pointer[checkpoint]
	due          chan struct{}
	stop         chan struct{} // ends the checkpointer
	checkpointer chan struct{} // closed when it has ended
}

// Open recovers the log in a directory, or begins one, and makes it ready to append to: what was found whole is
// durable and anchored, whatever has happened before. It refuses with a *DamageError, *TailLostError or *ForkError, and
// has then changed nothing that counts.
func Open(ctx context.Context, cfg Config) (*Journal, *Recovered, error) {
	j, err := newJournal(cfg)
	if err != nil {
		return nil, nil, err
	}
	cfg = j.cfg
	dir := filepath.Join(cfg.Dir, "journal")
	for _, d := range []string{dir, cfg.AnchorDir} {
		if err := cfg.FS.MkdirAll(d); err != nil { // durable: the directories, before the names in them
			return nil, nil, fmt.Errorf("couldn't make the log's directories: %w", err)
		}
	}
	r := recovery{fs: cfg.FS, dir: dir, log: steno.NewLogID(cfg.Origin), anchor: j.anchorPath}
	if r.signed, err = loadCheckpoint(cfg.FS, j.anchorPath, cfg.Origin, j.verifier); err != nil {
		return nil, nil, err
	}
	j.anchored = r.signed
	if r.signed == nil {
		// The published one is no anchor, it is restored together with the log. But it is signed, so that a log that
		// does not fit it is not to be gone on with; one that cannot be read is as good as none.
		if c, err := loadCheckpoint(cfg.FS, j.checkpointPath, cfg.Origin, j.verifier); err == nil && c != nil {
			r.signed, r.anchor = c, j.checkpointPath
		}
	}
	if err := r.run(ctx); err != nil {
		return nil, nil, err
	}
	state := r.ledger.state()
	rec := &Recovered{
		Fresh: state.Size == 0, Size: state.Size, Unanchored: j.anchored == nil && state.Size > 0,
		Discarded: r.discarded, Open: state.Open,
		Last: newest(state.Sources, true), LastSource: newest(state.Sources, false),
	}
	j.start(&r)
	if _, err := j.sign(false); err != nil { // durable: the anchor, before the first append
		_ = r.into.file.Close()
		return nil, nil, err
	}
	go j.write()
	if every := cfg.CheckpointEvery; every >= 0 {
		if every == 0 {
			every = defaultEvery
		}
		go j.keepCheckpoints(every)
	} else {
		close(j.checkpointer)
	}
	return j, rec, nil
}

// newJournal checks the configuration.
func newJournal(cfg Config) (*Journal, error) {
	if cfg.FS == nil || cfg.Dir == "" || cfg.AnchorDir == "" || cfg.Signer == nil {
		return nil, errors.New("a log needs a file system, a directory, an anchor directory and a signer")
	}
	v, err := note.NewVerifier(cfg.VKey)
	if err != nil {
		return nil, fmt.Errorf("couldn't use the log's verifier key: %w", err)
	}
	if v.Name() != cfg.Origin || cfg.Signer.Name() != cfg.Origin || cfg.Signer.KeyHash() != v.KeyHash() {
		return nil, fmt.Errorf("signer %s+%08x and verifier key %s+%08x must be one key named by the origin %s",
			cfg.Signer.Name(), cfg.Signer.KeyHash(), v.Name(), v.KeyHash(), cfg.Origin)
	}
	if cfg.SegmentBytes <= 0 {
		cfg.SegmentBytes = defaultSegmentBytes
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Clock == nil {
		cfg.Clock = func() steno.ClockState { return 0 }
	}
	j := &Journal{
		cfg: cfg, verifier: v,
		anchorPath:     filepath.Join(cfg.AnchorDir, checkpointName),
		checkpointPath: filepath.Join(cfg.Dir, checkpointName),
		done:           make(chan struct{}), due: make(chan struct{}, 1),
		stop: make(chan struct{}), checkpointer: make(chan struct{}),
	}
	j.wake = sync.NewCond(&j.mu)
	if _, err := rand.Read(j.source[:]); err != nil {
		return nil, fmt.Errorf("couldn't draw the source's id: %w", err)
	}
	return j, nil
}

// start takes over what recovery has found.
func (j *Journal) start(r *recovery) {
	j.ledger = r.ledger
	size := r.ledger.edge.size
	j.size.Store(size)
	j.openN.Store(int64(len(r.ledger.open)))
	j.w = writer{segment: r.into, edge: r.ledger.edge, writtenAt: r.ledger.writtenAt}
	j.segments.open(j.cfg.FS, r.dir, r.log, r.segments(), r.into)
	j.tree.open(j.cfg.FS, j.cfg.Dir, &r.ledger.edge, j.leafHashes)
}

// Source returns the id of this start of the journal: every leaf appended carries it.
func (j *Journal) Source() [16]byte { return j.source }

// Size returns how many leaves are durable.
func (j *Journal) Size() uint64 { return j.size.Load() }

// State returns a copy of what the durable leaves amount to.
func (j *Journal) State() steno.State {
	j.stateMu.RLock()
	defer j.stateMu.RUnlock()
	return j.ledger.state()
}

// durable returns the size and root of the durable tree.
func (j *Journal) durable() (uint64, [32]byte) {
	j.stateMu.RLock()
	e := j.ledger.edge
	j.stateMu.RUnlock()
	return e.size, e.root()
}

// Failed returns why the writer has stopped for good, nil while it has not.
func (j *Journal) Failed() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failure
}

// Done is closed when the writer has stopped, by a failure or by Close.
func (j *Journal) Done() <-chan struct{} { return j.done }

// Close refuses further appends, finishes those that are queued, signs them and closes the files. It returns the
// failure of the writer if there was one.
func (j *Journal) Close() error {
	j.closeOnce.Do(func() {
		j.mu.Lock()
		j.closing = true
		j.wake.Signal()
		j.mu.Unlock()
		<-j.done
		close(j.stop)
		<-j.checkpointer
		_, j.closeErr = j.Sign(context.Background())
		if err := j.w.segment.file.Close(); j.closeErr == nil && err != nil {
			j.closeErr = fmt.Errorf("couldn't close the log: %w", err)
		}
		j.segments.close()
	})
	return j.closeErr
}
