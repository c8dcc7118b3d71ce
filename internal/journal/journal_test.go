package journal

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

func TestAppendReadReopen(t *testing.T) {
	for name, fsys := range map[string]disk.FS{"memory": disk.NewMem(), "machine": disk.OS()} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(fsys)
			if name == "machine" {
				dir := t.TempDir()
				cfg.Dir, cfg.AnchorDir = filepath.Join(dir, "log"), filepath.Join(dir, "log.anchor")
			}
			l := openLog(t, cfg)
			if !l.rec.Fresh || l.rec.Unanchored || l.rec.LastSource != nil {
				t.Fatalf("a new log is recovered as %+v", l.rec)
			}
			l.check(t)
			for i := range 40 {
				if got := l.append(t, i, i*50); got != uint64(i) {
					t.Fatalf("append %d became leaf %d", i, got)
				}
			}
			l.fill(t, 100, 700, 300) // over several segments
			before := l.check(t)
			for range 3 {
				source := l.Source()
				l = l.reopen(t)
				if l.rec.Fresh || l.rec.Unanchored || l.rec.Discarded != nil || l.rec.Size != 740 {
					t.Fatalf("recovered %+v", l.rec)
				}
				if l.Source() == source {
					t.Fatal("two starts have one source")
				}
				after := l.check(t)
				for i := range before.leaves {
					if !bytes.Equal(before.leaves[i], after.leaves[i]) || !bytes.Equal(before.bodies[i], after.bodies[i]) {
						t.Fatalf("leaf %d has changed", i)
					}
				}
			}
			l.fill(t, 1000, 300, 10)
			l.check(t)
		})
	}
}

func TestManyTiles(t *testing.T) {
	cfg := testConfig(disk.NewMem())
	cfg.SegmentBytes = 1 << 20
	l := openLog(t, cfg)
	l.fill(t, 0, 66_000, 0) // a full tile on level 1
	s := l.check(t)
	l = l.reopen(t)
	l.check(t)
	names := []string{"/data/tile/1/000", "/data/tile/0/000", "/data/tile/0/123", "/data/tile/0/256"}
	for _, damage := range []func(path string) error{
		cfg.FS.Remove,
		func(path string) error {
			b, err := cfg.FS.ReadFile(path)
			if err != nil {
				return err
			}
			b[77] ^= 1
			return disk.WriteFile(cfg.FS, path, b)
		},
		func(path string) error { return disk.WriteFile(cfg.FS, path, make([]byte, 8192)) },
	} {
		for _, n := range names {
			if err := damage(n); err != nil {
				t.Fatal(err)
			}
		}
		l = l.reopen(t)
		l.checkServed(t, s)
		l.checkProofs(t, s)
	}
}

func TestStateOfManyExchanges(t *testing.T) {
	l := openLog(t, testConfig(disk.NewMem()))
	if _, err := l.Announce(steno.TypeSourceStarted, steno.SourceStarted{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	open := func(seed int, flags steno.LeafFlags) *Pending {
		leaf := sealedLeaf(seed)
		leaf.Flags = flags
		return l.Append(leaf, nil)
	}
	var last *Pending
	for i := range 900 {
		open(i, steno.FlagOpens)
		if i%3 == 1 {
			open(i, steno.FlagContinues)
		}
		if i%3 == 2 {
			last = open(i, steno.FlagCloses)
		}
		open(5000+i, steno.FlagOpens|steno.FlagCloses)
		open(i+1, steno.FlagContinues) // of one that is not open
	}
	if _, err := last.Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	l.check(t)
	first, src := l.State(), l.Source()
	if len(first.Open) != 600 {
		t.Fatalf("%d exchanges are open, not 600", len(first.Open))
	}
	l = l.reopen(t)
	if len(l.rec.Open) != 600 || l.rec.Last == nil || l.rec.Last.Source != src || l.rec.Last.Number != first.Sources[0].Number {
		t.Fatalf("recovered %d open, last source %+v", len(l.rec.Open), l.rec.Last)
	}
	if _, err := l.Announce(steno.TypeSourceStarted, steno.SourceStarted{Name: "a", Previous: src[:], PreviousNumber: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Announce(steno.TypeSourceStopped, steno.SourceStopped{Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	l.check(t)
	second := l.Source()
	l = l.reopen(t)
	if l.rec.Last != nil || l.rec.LastSource.Source != second || !l.rec.LastSource.Stopped {
		t.Fatalf("recovered last %+v, last source %+v", l.rec.Last, l.rec.LastSource)
	}
	l.append(t, 1, 1) // a new source: those that have stopped are dropped
	if s := l.State(); len(s.Sources) != 1 {
		t.Fatalf("sources are %+v", s.Sources)
	}
	l.check(t)
}

func TestAppendRefuses(t *testing.T) {
	l := openLog(t, testConfig(disk.NewMem()))
	for name, f := range map[string]func(*steno.Leaf){
		"commitments": func(l *steno.Leaf) { l.Commitments = nil },
		"sections":    func(l *steno.Leaf) { l.Sections = 1 << 15; l.Commitments = l.Commitments[:1] },
		"flags":       func(l *steno.Leaf) { l.Flags = 1 << 15 },
		"log":         func(l *steno.Leaf) { l.Log = 99 },
		"size":        func(l *steno.Leaf) { l.Public = make([]byte, steno.MaxLeafSize) },
	} {
		leaf := sealedLeaf(1)
		f(&leaf)
		if _, err := l.Append(leaf, nil).Wait(t.Context()); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	if l.append(t, 1, 0) != 0 {
		t.Fatal("a refused leaf has taken a place")
	}
	first, last := l.Skip(3)
	if first != 2 || last != 4 {
		t.Fatalf("skipped %d to %d", first, last)
	}
	if _, err := l.Announce(steno.TypeLogGap, steno.LogGap{FirstNumber: first, LastNumber: last, Calls: 3}); err != nil {
		t.Fatal(err)
	}
	l.check(t)
	if _, err := l.Read(2); !errors.Is(err, ErrBeyondEnd) {
		t.Fatalf("reading beyond the end: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(sealedLeaf(1), nil).Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Fatalf("append after close: %v", err)
	}
	if _, err := l.Read(0); !errors.Is(err, ErrClosed) {
		t.Fatalf("read after close: %v", err)
	}
}

func TestQueueIsBounded(t *testing.T) {
	fsys := disk.NewMem()
	l := openLog(t, testConfig(fsys))
	hold, held := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fsys.Fault(func(op disk.Op) disk.Fault {
		if op.Kind == "sync" {
			once.Do(func() { close(held) })
			<-hold
		}
		return disk.Fault{}
	})
	first := l.Append(sealedLeaf(0), nil)
	<-held // the writer is in its sync now
	body := make([]byte, 32<<20)
	body[0] = 1
	var queued []*Pending
	var busy error
	for range 9 {
		p := l.Append(sealedLeaf(1), body)
		select {
		case <-p.Done():
			_, busy = p.Wait(t.Context())
		default:
			queued = append(queued, p)
		}
	}
	if !errors.Is(busy, ErrBusy) || len(queued) != 7 {
		t.Fatalf("%d of 9 were queued, then %v", len(queued), busy)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := first.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("waiting without patience: %v", err)
	}
	close(hold)
	for i, p := range append([]*Pending{first}, queued...) {
		if n, err := p.Wait(soon(t)); err != nil || n != uint64(i) {
			t.Fatalf("append %d became %d, %v", i, n, err)
		}
	}
	l.append(t, 3, 10)
	l.check(t)
}

func TestFollow(t *testing.T) {
	l := openLog(t, testConfig(disk.NewMem()))
	const n, followers = 2000, 3
	var wg sync.WaitGroup
	for f := range followers {
		wg.Go(func() {
			next := uint64(f * 100)
			for e, err := range l.Follow(soon(t), next) {
				if err != nil {
					t.Error(err)
					return
				}
				if e.Index != next || e.Leaf.Number != next+1 || !bytes.Equal(e.Body, testBody(int(e.Leaf.SourceAt), 64)) {
					t.Errorf("follower %d got %d for %d", f, e.Index, next)
				}
				if next++; next == n {
					return
				}
			}
			t.Errorf("follower %d ended at %d", f, next)
		})
	}
	for g := range 4 {
		wg.Go(func() {
			for i := range n / 4 {
				if _, err := l.Append(sealedLeaf(g*n+i), testBody(g*n+i, 64)).Wait(soon(t)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	l.check(t)

	// A follower that waits ends with its context, and hears of the end of the log.
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, ctx := range []context.Context{ctx, t.Context()} {
		go func() {
			var last error
			for _, err := range l.Follow(ctx, n) {
				last = err
			}
			ended <- last
		}()
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatalf("a cancelled follower ended with %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Fatalf("a follower of a closed log ended with %v", err)
	}
}

func TestCheckpointsComeByThemselves(t *testing.T) {
	for name, every := range map[string]time.Duration{"by time": time.Millisecond, "by number": time.Hour} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(disk.NewMem())
			cfg.CheckpointEvery = every
			l := openLog(t, cfg)
			l.fill(t, 0, checkpointLeaves, 0)
			deadline := time.NewTimer(time.Minute)
			defer deadline.Stop()
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for l.Covered() < checkpointLeaves {
				select {
				case <-tick.C:
				case <-deadline.C:
					t.Fatalf("only %d leaves are covered", l.Covered())
				}
			}
			if size, _ := parseNote(t, l.Checkpoint()); size != l.Covered() {
				t.Fatalf("the checkpoint signs %d", size)
			}
		})
	}
}

func TestClockStep(t *testing.T) {
	var mu sync.Mutex
	var by time.Duration
	cfg := testConfig(disk.NewMem())
	cfg.CheckpointEvery = time.Millisecond
	cfg.Clock = func() steno.ClockState { return steno.NewClockState(true, 17) }
	cfg.Now = func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(by)
	}
	l := openLog(t, cfg)
	l.append(t, 1, 10)
	mu.Lock()
	by = -time.Hour
	mu.Unlock()
	for e, err := range l.Follow(soon(t), 1) {
		if err != nil {
			t.Fatal(err)
		}
		var step steno.ClockStepped
		if e.Leaf.PublicType() != steno.TypeClockStepped || steno.DecodePublic(e.Leaf.Public, &step) != nil {
			t.Fatalf("leaf 1 is %v", e.Leaf.PublicType())
		}
		if d := time.Duration(step.ByNS) + time.Hour; d.Abs() > time.Minute {
			t.Fatalf("a step of %v was recorded", time.Duration(step.ByNS))
		}
		break
	}
	l.append(t, 2, 10) // its time is not before the leaf's before it, which check looks at
	l.check(t)
}
