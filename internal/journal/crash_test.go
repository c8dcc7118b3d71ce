package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// faults are the ways in which one operation goes wrong.
var faults = map[string]func(op disk.Op) disk.Fault{
	"crash before":         func(disk.Op) disk.Fault { return disk.Fault{Crash: true} },
	"crash after":          func(disk.Op) disk.Fault { return disk.Fault{Crash: true, Applied: true} },
	"crash in a write":     func(op disk.Op) disk.Fault { return disk.Fault{Crash: true, Short: op.Size / 2} },
	"EIO":                  func(disk.Op) disk.Fault { return disk.Fault{Err: syscall.EIO} },
	"EIO, but it happened": func(disk.Op) disk.Fault { return disk.Fault{Err: syscall.EIO, Applied: true} },
	"ENOSPC in the middle": func(op disk.Op) disk.Fault { return disk.Fault{Err: syscall.ENOSPC, Short: op.Size / 2} },
	"short write":          func(op disk.Op) disk.Fault { return disk.Fault{Short: op.Size / 2} },
}

// witness is what the outside knows of a log: what was acknowledged, and what was published.
type witness struct {
	mu        sync.Mutex
	acked     map[uint64]int // index to seed
	published [][]byte
}

func (w *witness) saw(index uint64, seed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acked[index] = seed
}

// check compares a recovered log with what was promised.
func (w *witness) check(t *testing.T, s *story) {
	t.Helper()
	for index, seed := range w.acked {
		if index >= uint64(len(s.leaves)) {
			t.Fatalf("leaf %d was acknowledged, the log has %d", index, len(s.leaves))
		}
		l, err := steno.ParseLeaf(s.leaves[index])
		if err != nil {
			t.Fatal(err)
		}
		if l.Record != sealedLeaf(seed).Record || !bytes.Equal(s.bodies[index], testBody(seed, crashBody(seed))) {
			t.Fatalf("leaf %d is not the one that was acknowledged", index)
		}
	}
	seen := map[steno.ID]int{}
	for i, b := range s.leaves {
		l, _ := steno.ParseLeaf(b)
		if was, ok := seen[l.Record]; ok {
			t.Fatalf("leaf %d stands in the log as leaf %d, too", was, i)
		}
		seen[l.Record] = i
	}
	for _, msg := range w.published {
		size, root := parseNote(t, msg)
		if size > uint64(len(s.leaves)) {
			t.Fatalf("a tree of %d leaves was published, the log has %d", size, len(s.leaves))
		}
		if want := s.root(t, size); tlog.Hash(root) != want {
			t.Fatalf("another tree of %d leaves was published", size)
		}
	}
}

// crashBody varies the sizes: none, within a sector, over several.
func crashBody(seed int) int { return []int{0, 40, 700, 1500}[seed%4] }

// errStop ends a workload whose disk has failed.
var errStop = errors.New("the workload ends here")

// burst appends from three callers at once.
func (w *witness) burst(t *testing.T, j *Journal, seed, each int) error {
	var wg sync.WaitGroup
	errs := make([]error, 3)
	for g := range errs {
		wg.Go(func() {
			for i := range each {
				n := seed + g*100 + i
				index, err := j.Append(sealedLeaf(n), testBody(n, crashBody(n))).Wait(t.Context())
				if err != nil {
					errs[g] = errStop
					return
				}
				w.saw(index, n)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (w *witness) sign(t *testing.T, j *Journal) error {
	msg, err := j.Sign(t.Context())
	if err != nil {
		return errStop
	}
	w.published = append(w.published, msg)
	return nil
}

// live is one life of a recorder: it starts, works, and may stop cleanly.
func (w *witness) live(t *testing.T, cfg Config, seed int, sign, clean bool) error {
	j, _, err := Open(t.Context(), cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", errStop, err)
	}
	defer func() {
		if !clean { // as a killed process does: nothing is written any more
			cfg.FS.(*disk.Mem).Fault(func(disk.Op) disk.Fault { return disk.Fault{Crash: true} })
		}
		_ = j.Close()
	}()
	if err := w.burst(t, j, seed, 3); err != nil {
		return err
	}
	if sign {
		if err := w.sign(t, j); err != nil {
			return err
		}
	}
	return w.burst(t, j, seed+1000, 3)
}

func crashConfig(fsys disk.FS) Config {
	cfg := testConfig(fsys)
	cfg.SegmentBytes = 3000 // some groups each
	return cfg
}

// survive opens what a crash has left and checks everything.
func (w *witness) survive(t *testing.T, fsys *disk.Mem) {
	t.Helper()
	fsys.Fault(nil)
	l := openLog(t, crashConfig(fsys))
	w.check(t, l.check(t))
	l.append(t, 900_000, 100)
	w.check(t, l.check(t))
	l = l.reopen(t)
	w.check(t, l.check(t))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// crashes returns the disks that may be left: nothing unsynced survives, some of it does, and, where the machine did
// not lose its power, all that the page cache holds.
func crashes(fsys *disk.Mem, k int, powerOnly bool) map[string]*disk.Mem {
	left := map[string]*disk.Mem{"all unsynced is lost": fsys.Crash(nil)}
	for i := range 2 {
		left[fmt.Sprintf("some unsynced is lost (%d)", i)] = fsys.Crash(rand.New(rand.NewSource(int64(k*2 + i))))
	}
	if !powerOnly {
		left["only the process died"] = fsys
	}
	return left
}

// everyOp runs work once for each of its operations on the disk, which fails in one way, and checks what is left.
func everyOp(t *testing.T, prepare func(t *testing.T) (*disk.Mem, *witness), work func(t *testing.T, fsys *disk.Mem, w *witness) error) {
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step := 1
			if testing.Short() {
				step = 7
			}
			for k := 0; ; k += step {
				fsys, w := prepare(t)
				before := fsys.Ops()
				var mu sync.Mutex
				fired, crashed := false, false
				fsys.Fault(func(op disk.Op) disk.Fault {
					mu.Lock()
					defer mu.Unlock()
					if fired || op.N-before != k {
						return disk.Fault{}
					}
					fired = true
					f := fault(op)
					crashed = f.Crash
					return f
				})
				err := work(t, fsys, w)
				mu.Lock()
				done, dead := !fired, crashed
				mu.Unlock()
				if done && err != nil {
					t.Fatalf("without a fault: %v", err)
				}
				for how, left := range crashes(fsys, k, dead) {
					if !t.Run(fmt.Sprintf("operation %d, %s", k, how), func(t *testing.T) { w.survive(t, left) }) {
						return
					}
				}
				if done {
					return
				}
			}
		})
	}
}

func TestCrashAtEveryOperation(t *testing.T) {
	everyOp(t,
		func(*testing.T) (*disk.Mem, *witness) { return disk.NewMem(), &witness{acked: map[uint64]int{}} },
		func(t *testing.T, fsys *disk.Mem, w *witness) error {
			cfg := crashConfig(fsys)
			if err := w.live(t, cfg, 10_000, true, true); err != nil {
				return err
			}
			return w.live(t, cfg, 20_000, true, true)
		})
}

// TestCrashInRecovery has something to recover: several segments that no checkpoint covers, behind some that one does.
func TestCrashInRecovery(t *testing.T) {
	seed := int64(0)
	var mu sync.Mutex
	everyOp(t,
		func(t *testing.T) (*disk.Mem, *witness) {
			fsys, w := disk.NewMem(), &witness{acked: map[uint64]int{}}
			if err := w.live(t, crashConfig(fsys), 10_000, true, false); err != nil {
				t.Fatal(err)
			}
			mu.Lock()
			defer mu.Unlock()
			seed++
			left := fsys.Crash(rand.New(rand.NewSource(seed)))
			if seed%2 == 0 {
				tear(t, left)
			}
			return left, w
		},
		func(t *testing.T, fsys *disk.Mem, w *witness) error {
			j, _, err := Open(t.Context(), crashConfig(fsys))
			if err != nil {
				return err
			}
			defer func() {
				_ = j.w.segment.file.Close() // killed: what follows must do without what Close does
				j.fail(errStop)
				_ = j.Close()
			}()
			return w.burst(t, j, 20_000, 1) // few enough that no new segment follows
		})
}

// tear leaves half a group at the end of the newest segment, as a power loss in a write does.
func tear(t *testing.T, fsys *disk.Mem) {
	t.Helper()
	names, err := fsys.ReadDir("/data/journal")
	if err != nil {
		t.Fatal(err)
	}
	for i := len(names) - 1; i >= 0; i-- {
		if _, ok := parseSegmentName(names[i]); !ok {
			continue
		}
		f, err := fsys.OpenAppend("/data/journal/" + names[i])
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Write(testBody(1, 777)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
		return
	}
}

// TestSupersededSegmentsStayAway loses the power after a recovery that has put several segments into one: if a name
// came back behind the anchor, it would pass for the end of the log.
func TestSupersededSegmentsStayAway(t *testing.T) {
	fsys := disk.NewMem()
	cfg := testConfig(fsys)
	cfg.SegmentBytes = 1000
	l := openLog(t, cfg)
	for i := range 10 {
		l.append(t, i, 300)
	}
	for i := range 3 {
		left := fsys.Crash(nil)
		names, err := left.ReadDir("/data/journal")
		if err != nil || i == 0 && len(names) < 4 {
			t.Fatalf("%v, %v", names, err)
		}
		l := openLog(t, testConfig(left)) // whose segments are large: no directory is synced for another one
		if l.rec.Size != uint64(10+2*i) {
			t.Fatalf("life %d: recovered %d leaves of %d", i, l.rec.Size, 10+2*i)
		}
		l.append(t, 100+i, 10)
		l.append(t, 200+i, 10)
		readStory(t, left, "/data")
		fsys = left
	}
}
