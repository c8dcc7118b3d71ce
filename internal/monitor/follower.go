package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"sync/atomic"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Config says what to follow.
type Config struct {
	FS     disk.FS
	Dir    string // where the state is kept
	Log    *journal.Journal
	Keys   *seal.Keys
	Index  *index.Index
	Record func(ctx context.Context, d *steno.Draft) error
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
}

// Follower runs until Close.
type Follower struct {
	cfg    Config
	state  state
	saved  uint64
	passed atomic.Uint64
	cancel context.CancelFunc
	done   chan struct{}
	days   chan struct{}
	err    error

	calls     map[steno.ID]route // under way
	values    map[subject]string // last seen, what state.Seen has only hashes of
	announced map[change]bool    // changes that a process before this one recorded beyond its state
	pairs     map[pair]*recent
}

// state is what survives a restart.
type state struct {
	Next uint64            `json:"next"` // leaves below are dealt with
	Seen map[string]seen   `json:"seen"` // by keyed hash of a subject
	OK   map[string]uint64 `json:"ok"`   // approvals by keyed hash of tenant and name, and the leaf that says so
}

// seen is the value last seen of a subject.
type seen struct {
	Value string `json:"value"` // keyed hash
	Leaf  uint64 `json:"leaf"`  // where it was seen first in a row
}

// Bounds of the state and of what is read again after a crash.
const (
	saveEvery   = 10_000 // leaves
	maxSubjects = 100_000
	maxCalls    = 100_000
)

// Start reads the state and follows the log in the background.
func Start(ctx context.Context, cfg Config) (*Follower, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	f := &Follower{
		cfg: cfg, done: make(chan struct{}), days: make(chan struct{}), calls: map[steno.ID]route{}, values: map[subject]string{},
		announced: map[change]bool{}, pairs: map[pair]*recent{},
	}
	if err := f.load(); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	go f.keepDays(ctx)
	return f, nil
}

// Passed returns the first leaf that the follower has not dealt with.
func (f *Follower) Passed() uint64 { return f.passed.Load() }

// Close stops the follower and returns the error that stopped it earlier, if one did.
func (f *Follower) Close() error {
	f.cancel()
	<-f.done
	<-f.days
	if f.err != nil {
		return f.err
	}
	return f.save()
}

func (f *Follower) name() string { return path.Join(f.cfg.Dir, "monitor") }

// load reads the state; one that is damaged or of another log begins anew, since nothing depends on it.
func (f *Follower) load() error {
	if err := f.cfg.FS.MkdirAll(f.cfg.Dir); err != nil {
		return fmt.Errorf("couldn't make the followers' directory: %w", err)
	}
	b, err := f.cfg.FS.ReadFile(f.name())
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("couldn't read the monitor's state: %w", err)
	default:
		if err := json.Unmarshal(b, &f.state); err != nil || f.state.Next > f.cfg.Log.Size() {
			f.cfg.Logger.Warn("the monitor's state is damaged; it begins again with the first record", "file", f.name())
			f.state = state{}
		}
	}
	if f.state.Seen == nil {
		f.state.Seen = map[string]seen{}
	}
	if f.state.OK == nil {
		f.state.OK = map[string]uint64{}
	}
	f.saved = f.state.Next
	f.passed.Store(f.state.Next)
	return nil
}

func (f *Follower) save() error {
	if f.state.Next == f.saved {
		return nil
	}
	b, err := json.Marshal(&f.state)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(f.cfg.FS, f.name(), b); err != nil {
		return fmt.Errorf("couldn't write the monitor's state: %w", err)
	}
	f.saved = f.state.Next
	return nil
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	if err := f.recall(ctx); err != nil {
		f.stopped(ctx, err)
		return
	}
	for e, err := range f.cfg.Log.Follow(ctx, f.state.Next) {
		if err == nil {
			err = f.take(ctx, e)
		}
		if err != nil {
			f.stopped(ctx, err)
			return
		}
		f.state.Next = e.Index + 1
		f.passed.Store(f.state.Next)
		if f.state.Next-f.saved >= saveEvery {
			if err := f.save(); err != nil {
				f.stopped(ctx, err)
				return
			}
		}
	}
}

// stopped keeps the error: the log goes on without its follower, and the next start takes up where it was.
func (f *Follower) stopped(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	f.err = err
	f.cfg.Logger.Error("changes of models are no longer noticed; they will be at the next start", "error", err)
}

// recall finds which changes are on record beyond the state, so that none is recorded twice.
func (f *Follower) recall(ctx context.Context) error {
	for i := f.state.Next; i < f.cfg.Log.Size() && ctx.Err() == nil; i++ {
		e, err := f.cfg.Log.Read(i)
		if err != nil {
			return fmt.Errorf("couldn't read record %d: %w", i, err)
		}
		if e.Leaf.Flags&(steno.FlagPublicOnly|steno.FlagOpens|steno.FlagContinues|steno.FlagCloses) != 0 || e.Leaf.DayKey == 0 {
			continue
		}
		o := f.open(e)
		if o == nil || o.Type != "governance.model_changed" || o.System == nil {
			continue
		}
		for _, l := range o.Links {
			if l.Rel == "first" && l.Leaf != nil {
				f.announced[change{*l.Leaf, detail(o.System, "member")}] = true
			}
		}
	}
	return nil
}

// glance opens who and what of a record, as far as it is still in memory without a system event's details; nil for one that
// is public, erased or does not open: the index says which do not.
func (f *Follower) glance(e *journal.Entry) *seal.Opened {
	if e.Leaf.Flags&steno.FlagPublicOnly != 0 || e.Leaf.DayKey == 0 {
		return nil
	}
	if o, ok := f.cfg.Keys.Recall(e.Leaf); ok {
		return o
	}
	return f.open(e)
}

// open is glance with the details.
func (f *Follower) open(e *journal.Entry) *seal.Opened {
	if e.Leaf.Flags&steno.FlagPublicOnly != 0 || e.Leaf.DayKey == 0 {
		return nil
	}
	o, err := f.cfg.Keys.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata)
	if err != nil {
		return nil
	}
	return o
}

func detail(s *steno.System, name string) string {
	var v string
	if json.Unmarshal(s.Details[name], &v) != nil {
		return ""
	}
	return v
}
