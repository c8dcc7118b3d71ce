package index

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Config says what is indexed and where.
type Config struct {
	FS        disk.FS
	Dir       string // all of it belongs to the index
	Log       *journal.Journal
	Keys      *seal.Keys
	FlushRows int          // exchanges and events in memory; 0: 20,000
	Logger    *slog.Logger // nil: nothing is said
}

const defaultFlushRows = 20_000

// Index answers questions about the log. Its methods may be called concurrently.
type Index struct {
	cfg    Config
	keys   tableKeys
	tables *openTables
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	done   chan struct{} // closed when the follower has ended
	close  sync.Once
	closed error

	// writing is held while the set of files is changed on the disk; it guards saved and is taken before mu.
	writing sync.Mutex
	saved   manifest

	compacting sync.WaitGroup
	compactor  chan struct{} // holds a token while files are merged

	mu      sync.RWMutex // guards what follows
	cursor  uint64       // the next leaf to be read
	newest  newest
	parts   []*part
	moved   chan struct{} // closed when the cursor passes until; nil while nobody waits
	until   uint64        // the first leaf that is waited for
	failed  error         // why the follower has stopped
	rebuild error         // what is damaged; the follower is to begin anew
	life    int           // counts beginnings
	again   context.CancelFunc
	subs    map[*subscriber]struct{}
	told    uint64 // subscribers are told of leaves from here on: what is read again is no news
}

// newest is what is not in files yet, or newer than it is there.
type newest struct {
	exchanges map[steno.ID]*exchange
	events    []*event
	pending   []pendingRecord   // of exchanges that are not known yet
	clean     map[steno.ID]bool // exchanges that are in a file as they are here: they are open, more of them is to come
	day       uint32            // newest day key that a record was sealed under
	last      [32]byte          // hash of the leaf before the cursor
	retryAt   int               // rows at which to try again after files couldn't be written
}

func newNewest(m *manifest) newest {
	return newest{
		exchanges: map[steno.ID]*exchange{}, clean: map[steno.ID]bool{}, pending: m.Pending, day: m.Day, last: m.Last,
	}
}

// pendingRecord is a record that speaks of an exchange that has not begun: an alert that overtook its call.
type pendingRecord struct {
	Exchange steno.ID
	Leaf     uint64
}

const maxPending = 4096

func (n *newest) rows() int { return len(n.exchanges) - len(n.clean) + len(n.events) }

// Open opens the index in a directory, or begins one, and follows the log from where it was left. What it finds damaged
// it builds again; only a directory that cannot be had at all is an error. It does not wait for the follower: see Wait.
func Open(ctx context.Context, cfg Config) (*Index, error) {
	if cfg.FS == nil || cfg.Dir == "" || cfg.Log == nil || cfg.Keys == nil {
		return nil, errors.New("an index needs a file system, a directory, a log and its keys")
	}
	if cfg.FlushRows <= 0 {
		cfg.FlushRows = defaultFlushRows
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if err := cfg.FS.MkdirAll(cfg.Dir); err != nil {
		return nil, fmt.Errorf("couldn't make the index's directory: %w", err)
	}
	x := &Index{
		cfg: cfg, keys: cfg.Keys.TableKey, done: make(chan struct{}), compactor: make(chan struct{}, 1),
		subs: map[*subscriber]struct{}{}, told: cfg.Log.Size(),
	}
	x.tables = newOpenTables(cfg.FS, cfg.Dir, x.keys)
	x.reset(manifest{Began: cfg.Log.Size()})
	if err := x.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		cfg.Logger.Warn("the index is built again from the log", "dir", cfg.Dir, "reason", err)
	}
	x.sweep()
	x.ctx, x.stop = context.WithCancel(context.WithoutCancel(ctx))
	go x.run(x.ctx)
	return x, nil
}

// reset forgets everything but what the manifest says. The caller holds no lock.
func (x *Index) reset(m manifest) {
	parts := make([]*part, len(m.Parts))
	for i := range m.Parts {
		parts[i] = newPart(m.Parts[i])
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	x.saved = m
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cursor, x.parts, x.rebuild = m.Cursor, parts, nil
	x.newest = newNewest(&m)
	x.life++
	x.wakeLocked()
}

// load takes over the files that the manifest lists, if they belong to this log.
func (x *Index) load() error {
	m, err := x.readManifest()
	if err != nil {
		return err
	}
	if err := x.fits(m); err != nil {
		return err
	}
	x.reset(*m)
	return nil
}

// fits checks a manifest against the log, the keys and the files that it lists.
func (x *Index) fits(m *manifest) error {
	if size := x.cfg.Log.Size(); m.Cursor > size {
		return fmt.Errorf("it has read %d leaves, the log has %d", m.Cursor, size)
	}
	if m.Cursor > 0 {
		last, err := x.cfg.Log.ReadLeaf(m.Cursor - 1)
		if err != nil {
			return err
		}
		if steno.LeafHash(last.Raw) != m.Last {
			return fmt.Errorf("it has followed another log: leaf %d is not the one that it has read", m.Cursor-1)
		}
	}
	for i := range m.Parts {
		p := newPart(m.Parts[i])
		for _, t := range []table{tableExchanges, tableEvents, tableNames} {
			if p.rows(t) == 0 {
				continue
			}
			if err := x.tables.check(p, t); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep removes files that no manifest lists: what a crash left.
func (x *Index) sweep() {
	keep := map[string]bool{manifestName: true}
	for _, p := range x.saved.Parts {
		for _, t := range []table{tableExchanges, tableEvents, tableNames} {
			keep[p.file(t)] = true
		}
	}
	names, err := x.cfg.FS.ReadDir(x.cfg.Dir)
	if err != nil {
		x.cfg.Logger.Warn("couldn't look for files that the index doesn't need any more", "error", err)
	}
	for _, n := range names {
		if keep[n] && (n != manifestName || x.saved.Next > 0) {
			continue
		}
		if err := x.cfg.FS.Remove(filepath.Join(x.cfg.Dir, n)); err != nil {
			x.cfg.Logger.Warn("couldn't remove a file that the index doesn't need any more", "file", n, "error", err)
		}
	}
}

// Close stops following, writes what is in memory and closes the files.
func (x *Index) Close() error {
	x.close.Do(func() {
		x.stop()
		<-x.done
		x.compacting.Wait()
		if x.damage() == nil {
			x.closed = x.flush()
		}
		x.tables.closeAll()
		x.mu.Lock()
		for s := range x.subs {
			s.end()
		}
		x.subs = nil
		x.mu.Unlock()
	})
	return x.closed
}

// Cursor returns how many leaves were read.
func (x *Index) Cursor() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.cursor
}

// Lag returns how many durable leaves were not read yet.
func (x *Index) Lag() uint64 {
	c := x.Cursor() // before the size, which only grows
	return x.cfg.Log.Size() - min(c, x.cfg.Log.Size())
}

// Wait returns once the rows of a leaf are visible.
func (x *Index) Wait(ctx context.Context, leaf uint64) error {
	for {
		x.mu.Lock()
		if x.cursor > leaf {
			x.mu.Unlock()
			return nil
		}
		if err := x.failed; err != nil {
			x.mu.Unlock()
			return fmt.Errorf("the index has stopped before leaf %d: %w", leaf, err)
		}
		moved := x.waitLocked(leaf)
		x.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// waitLocked returns a channel that is closed when a leaf was read, or before. The caller holds mu.
func (x *Index) waitLocked(leaf uint64) <-chan struct{} {
	if x.moved == nil {
		x.moved, x.until = make(chan struct{}), leaf
	}
	x.until = min(x.until, leaf)
	return x.moved
}

// CatchUp returns once everything that is durable now is visible.
func (x *Index) CatchUp(ctx context.Context) error {
	size := x.cfg.Log.Size()
	if size == 0 {
		return nil
	}
	return x.Wait(ctx, size-1)
}

// wakeLocked wakes all who wait. The caller holds mu.
func (x *Index) wakeLocked() {
	if x.moved != nil {
		close(x.moved)
		x.moved = nil
	}
}

func (x *Index) damage() error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rebuild
}
