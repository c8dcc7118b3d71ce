// Package alert is a follower of the log: it writes each security.alert as a line of JSON to a file that other tools read.
//
// Records enter in the log's order; lines leave, one an alert, each exactly once whatever kills the process. A line is
// synced before the cursor that passes it; what stands in the file beyond the cursor's offset is cut off at the next start
// and written again, the same bytes: after a failed sync nothing that is read back can be trusted. Lines say which rule found what kind of thing in which exchange, and never whose it was or what it said: the
// file is plain text.
package alert

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
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// Config says what to follow and where to write.
type Config struct {
	FS     disk.FS
	File   string // the JSON lines
	Dir    string // where the cursor is kept
	Log    *journal.Journal
	Keys   *seal.Keys
	Logger *slog.Logger
}

// Line is one alert as written.
type Line struct {
	Time     time.Time       `json:"time"`
	Leaf     uint64          `json:"leaf"`
	ID       steno.ID        `json:"id"`
	Exchange steno.ID        `json:"exchange,omitzero"`
	Flags    []steno.Flag    `json:"flags"`
	Action   string          `json:"action"`
	Findings []steno.Finding `json:"findings"`
}

// cursor is how far the follower is: leaves below Next are dealt with, and their lines end at Offset in the file.
type cursor struct {
	Next   uint64 `json:"next"`
	Offset int64  `json:"offset"`
}

// Follower runs until Close.
type Follower struct {
	cfg    Config
	file   disk.File
	cur    cursor
	saved  cursor
	passed atomic.Uint64
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

// saveEvery bounds how many leaves without an alert are read again after a crash.
const saveEvery = 10_000

// Start opens file and cursor and follows the log in the background.
func Start(ctx context.Context, cfg Config) (*Follower, error) {
	f := &Follower{cfg: cfg, done: make(chan struct{})}
	if err := f.open(); err != nil {
		return nil, err
	}
	ctx, f.cancel = context.WithCancel(ctx)
	go f.run(ctx)
	return f, nil
}

// Passed returns the first leaf that the follower has not dealt with.
func (f *Follower) Passed() uint64 { return f.passed.Load() }

// Close stops the follower and returns the error that stopped it earlier, if one did.
func (f *Follower) Close() error {
	f.cancel()
	<-f.done
	err := f.err
	if err == nil {
		err = f.save()
	}
	return errors.Join(err, f.file.Close())
}

func (f *Follower) cursorName() string { return path.Join(f.cfg.Dir, "alerts") }

// open reads the cursor and cuts the file there.
func (f *Follower) open() error {
	if err := f.cfg.FS.MkdirAll(f.cfg.Dir); err != nil {
		return fmt.Errorf("couldn't make the followers' directory: %w", err)
	}
	var err error
	f.file, err = f.cfg.FS.OpenAppend(f.cfg.File)
	if errors.Is(err, fs.ErrNotExist) {
		f.file, err = f.cfg.FS.Create(f.cfg.File)
	}
	if err == nil {
		err = f.cfg.FS.SyncDir(path.Dir(f.cfg.File)) // durable: the file's name, before a line in it counts
	}
	if err != nil {
		return fmt.Errorf("couldn't open the alerts' file: %w", err)
	}
	size, err := f.file.Size()
	if err != nil {
		return fmt.Errorf("couldn't measure the alerts' file: %w", err)
	}
	b, err := f.cfg.FS.ReadFile(f.cursorName())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// What stands in the file is not ours to cut. The cursor says so before a line is written.
		f.cur.Offset = size
		if err := f.store(); err != nil {
			return err
		}
	case err != nil:
		return fmt.Errorf("couldn't read the cursor of the alerts: %w", err)
	default:
		if err := json.Unmarshal(b, &f.cur); err != nil {
			return fmt.Errorf("the cursor of the alerts, %s, is damaged: %w; remove it together with %s to write all alerts again", f.cursorName(), err, f.cfg.File)
		}
	}
	f.cur.Offset = min(f.cur.Offset, size) // somebody rotated the file: what was in it stays dealt with
	f.saved = f.cur
	f.passed.Store(f.cur.Next)
	if f.cur.Offset < size {
		if err := f.file.Truncate(f.cur.Offset); err != nil {
			return fmt.Errorf("couldn't cut unfinished lines off the alerts' file: %w", err)
		}
	}
	return nil
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	for e, err := range f.cfg.Log.Follow(ctx, f.cur.Next) {
		if err != nil {
			if ctx.Err() == nil {
				f.stopped(err)
			}
			return
		}
		if err := f.take(e); err != nil {
			f.stopped(err)
			return
		}
		f.passed.Store(f.cur.Next)
	}
}

// stopped keeps the error: the log goes on without its follower, and the next start takes up where it was.
func (f *Follower) stopped(err error) {
	f.err = err
	f.cfg.Logger.Error("alerts are no longer written to their file; they stay in the log and follow at the next start", "file", f.cfg.File, "error", err)
}

func (f *Follower) take(e *journal.Entry) error {
	line, err := f.line(e)
	if err != nil {
		return err
	}
	if line == nil {
		f.cur.Next = e.Index + 1
		if f.cur.Next-f.saved.Next >= saveEvery {
			return f.save()
		}
		return nil
	}
	if _, err := f.file.Write(line); err != nil {
		return fmt.Errorf("couldn't write an alert: %w", err)
	}
	if err := f.file.Sync(); err != nil { // durable: the line, before the cursor passes it
		return fmt.Errorf("couldn't sync an alert: %w", err)
	}
	f.cur = cursor{e.Index + 1, f.cur.Offset + int64(len(line))}
	return f.save()
}

// save makes the cursor durable. Until then the lines in the file stand for it.
func (f *Follower) save() error {
	if f.cur == f.saved {
		return nil
	}
	return f.store()
}

func (f *Follower) store() error {
	b, err := json.Marshal(f.cur)
	if err != nil {
		return err
	}
	if err := disk.WriteFile(f.cfg.FS, f.cursorName(), b); err != nil {
		return fmt.Errorf("couldn't write the cursor of the alerts: %w", err)
	}
	f.saved = f.cur
	return nil
}

// line returns the line for a record, nil for one that is no alert or whose text was erased.
func (f *Follower) line(e *journal.Entry) ([]byte, error) {
	if e.Leaf.Flags&(steno.FlagPublicOnly|steno.FlagOpens|steno.FlagContinues|steno.FlagCloses) != 0 {
		return nil, nil
	}
	o, err := f.cfg.Keys.Open(e.Leaf, e.Body, nil, steno.SectionMetadata)
	if errors.Is(err, seal.ErrErased) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't open leaf %d: %w", e.Index, err)
	}
	if o.Type != "security.alert" || o.Safety == nil {
		return nil, nil
	}
	b, err := json.Marshal(Line{
		Time: o.Time.UTC(), Leaf: e.Index, ID: e.Leaf.Record, Exchange: e.Leaf.Exchange,
		Flags: o.Flags, Action: o.Safety.Action, Findings: o.Safety.Findings,
	})
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
