package index

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// story writes what an index has to go through: calls that are open across flushes, late alerts, two days.
func story(l *testLog, n int) {
	var open, done []call
	for i := range n {
		c := newCall(fmt.Sprint("user-", i%5), fmt.Sprint("model-", i%3), fmt.Sprint("talk-", i%4), l.pass(time.Minute))
		l.record(c.requestDraft(), steno.FlagOpens)
		open = append(open, c)
		if len(open) > 6 {
			l.record(open[0].responseDraft([]steno.End{steno.EndComplete, steno.EndTimedOut}[i%2]), steno.FlagCloses)
			done, open = append(done, open[0]), open[1:]
		}
		if i%9 == 8 {
			l.record(done[i/3%len(done)].alertDraft("secret"), 0)
			l.announce(steno.TypeHeartbeat, steno.Heartbeat{Open: len(open)})
		}
		if i == n/2 {
			l.pass(18 * time.Hour)
		}
	}
}

func names(t testing.TB, fsys disk.FS) []string {
	t.Helper()
	list, err := fsys.ReadDir("/data/index")
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// expected is what an index says that has everything in memory.
func (l *testLog) expected() string {
	cfg := l.config(disk.NewMem())
	cfg.FlushRows = 1 << 20
	x := l.index(cfg)
	defer x.Close()
	return answers(l.t, x)
}

func same(t testing.TB, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			t.Fatalf("%s: line %d is %q, want %q (%d and %d lines)", what, i, g[i], w[i], len(g), len(w))
		}
	}
	t.Fatalf("%s: %d lines, want %d", what, len(g), len(w))
}

func TestRestart(t *testing.T) {
	l := newTestLog(t)
	fsys := disk.NewMem()
	cfg := l.config(fsys)
	for i := range 10 {
		story(l, 9+i)
		x := l.index(cfg)
		same(t, fmt.Sprint("before restart ", i), answers(t, x), l.expected())
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		x = l.index(cfg)
		if x.saved.Cursor != l.log.Size() {
			t.Fatalf("the manifest's cursor is %d after Close, the log has %d leaves", x.saved.Cursor, l.log.Size())
		}
		same(t, fmt.Sprint("after restart ", i), answers(t, x), l.expected())
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCompaction(t *testing.T) {
	l := newTestLog(t)
	fsys := disk.NewMem()
	cfg := l.config(fsys)
	cfg.FlushRows = 10
	x := l.index(cfg)
	for range 4 {
		story(l, 70)
		l.caughtUp(x)
		same(t, "while files are merged", answers(t, x), l.expected())
	}
	if err := x.flush(); err != nil { // the follower is idle
		t.Fatal(err)
	}
	x.compacting.Wait()
	days := map[uint32]int{}
	for _, p := range x.parts {
		days[p.Day]++
	}
	for day, n := range days {
		if n > maxParts {
			t.Errorf("day key %d has %d parts, more than %d", day, n, maxParts)
		}
		if x.dayName(day) < x.dayName(x.newest.day) && n > 1 {
			t.Errorf("day key %d is of a day that is over and has %d parts", day, n)
		}
	}
	files := 1
	for _, p := range x.parts {
		for _, tb := range []table{tableExchanges, tableEvents, tableNames} {
			if p.rows(tb) > 0 {
				files++
			}
		}
	}
	if list := names(t, fsys); len(list) != files {
		t.Errorf("%d files for %d parts: %v", len(list), len(x.parts), list)
	}
	same(t, "merged", answers(t, x), l.expected())
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	same(t, "merged, after restart", answers(t, l.index(cfg)), l.expected())
}

// Whatever is done to its files, the index says the same again.
func TestDamage(t *testing.T) {
	l := newTestLog(t)
	story(l, 40)
	want := l.expected()
	flip := func(at func(size int) int) func(fsys *disk.Mem, name string) {
		return func(fsys *disk.Mem, name string) {
			b, err := fsys.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b[at(len(b))] ^= 1
			replace(t, fsys, name, b)
		}
	}
	for what, hurt := range map[string]func(fsys *disk.Mem, name string){
		"first bit":  flip(func(int) int { return 0 }),
		"header":     flip(func(int) int { return 20 }),
		"first byte": flip(func(int) int { return sealedHeader }),
		"middle":     flip(func(n int) int { return n / 2 }),
		"last byte":  flip(func(n int) int { return n - 1 }),
		"gone": func(fsys *disk.Mem, name string) {
			if err := fsys.Remove(name); err != nil {
				t.Fatal(err)
			}
		},
		"short": func(fsys *disk.Mem, name string) {
			b, err := fsys.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			replace(t, fsys, name, b[:len(b)-17])
		},
		"empty": func(fsys *disk.Mem, name string) { replace(t, fsys, name, nil) },
	} {
		t.Run(what, func(t *testing.T) {
			fsys := disk.NewMem()
			cfg := l.config(fsys)
			if err := l.index(cfg).Close(); err != nil {
				t.Fatal(err)
			}
			for i := 0; ; i++ {
				list := names(t, fsys)
				if i >= len(list) {
					break
				}
				hurt(fsys, filepath.Join("/data/index", list[i]))
				x := l.index(cfg)
				same(t, list[i], answers(t, x), want)
				if err := x.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := fsys.Stat("/data/index/" + manifestName); err != nil {
				t.Error(err)
			}
		})
	}
}

func replace(t testing.TB, fsys disk.FS, name string, b []byte) {
	t.Helper()
	if err := disk.WriteFile(fsys, name, b); err != nil {
		t.Fatal(err)
	}
}

// While it is open its files may go as well.
func TestDamageUnderneath(t *testing.T) {
	l := newTestLog(t)
	story(l, 60)
	fsys := disk.NewMem()
	x := l.index(l.config(fsys))
	x.compacting.Wait()
	for _, n := range names(t, fsys) {
		if err := fsys.Remove(filepath.Join("/data/index", n)); err != nil {
			t.Fatal(err)
		}
	}
	want := l.expected()
	same(t, "all files removed", answers(t, x), want)
	story(l, 5)
	l.caughtUp(x)
	same(t, "and more came", answers(t, x), l.expected())
}

func TestDelete(t *testing.T) {
	l := newTestLog(t)
	story(l, 100)
	fsys := disk.NewMem()
	cfg := l.config(fsys)
	x := l.index(cfg)
	want := answers(t, x)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	for _, n := range names(t, fsys) {
		if err := fsys.Remove(filepath.Join("/data/index", n)); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "built again", answers(t, l.index(cfg)), want)
}

// An index of another log, or of a later state of this one, is of no use.
func TestOtherLog(t *testing.T) {
	a, b := newTestLog(t), newTestLog(t)
	story(a, 30)
	story(b, 30)
	fsys := disk.NewMem()
	if err := a.index(a.config(fsys)).Close(); err != nil {
		t.Fatal(err)
	}
	cfg := a.config(fsys) // the keys fit, the log doesn't
	cfg.Log = b.log
	cfg.FlushRows = 1 << 20 // so that what is saved stays what Open found
	x, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.saved.Cursor != 0 {
		t.Errorf("it went on from leaf %d of another log", x.saved.Cursor)
	}
}

// Each change to the disk is the last before a crash, once not done and once done; then everything is there again.
func TestCrash(t *testing.T) {
	l := newTestLog(t)
	story(l, 12)
	want := l.expected()
	for _, applied := range []bool{false, true} {
		for n := 0; ; n++ {
			fsys := disk.NewMem()
			crashed := crashAt(l, fsys, n, applied)
			var r *rand.Rand // what was not synced is lost, or in part
			if n%2 == 1 {
				r = rand.New(rand.NewSource(int64(n)))
			}
			cfg := l.config(fsys.Crash(r))
			x := l.index(cfg)
			same(t, fmt.Sprintf("crash at operation %d (applied: %v)", n, applied), answers(t, x), want)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			x = l.index(cfg)
			same(t, fmt.Sprintf("restart after a crash at operation %d (applied: %v)", n, applied), answers(t, x), want)
			if err := x.Close(); err != nil {
				t.Fatal(err)
			}
			if !crashed {
				t.Logf("%d operations", n)
				if n < 60 {
					t.Fatalf("only %d operations could crash", n)
				}
				break
			}
		}
	}
}

// crashAt runs an index until the n-th change of its disk, and says whether there were so many.
func crashAt(l *testLog, fsys *disk.Mem, n int, applied bool) bool {
	crashed := false
	ctx, cancel := context.WithTimeout(l.t.Context(), time.Minute)
	defer cancel()
	fsys.Fault(func(op disk.Op) disk.Fault {
		if op.N == n {
			crashed = true
			cancel()
			return disk.Fault{Crash: true, Applied: applied}
		}
		return disk.Fault{}
	})
	cfg := l.config(fsys)
	cfg.FlushRows, cfg.Logger = 11, nil
	x, err := Open(ctx, cfg)
	if err != nil {
		return crashed
	}
	_ = x.CatchUp(ctx)
	_ = x.Close()
	return crashed
}

// A disk that fails is no reason to say less: rows stay in memory until it works again. When they are too many, the
// follower waits for it.
func TestFullDisk(t *testing.T) {
	for _, applied := range []bool{false, true} {
		l := newTestLog(t)
		fsys := disk.NewMem()
		var full atomic.Bool
		full.Store(true)
		fsys.Fault(func(op disk.Op) disk.Fault {
			if full.Load() && strings.HasPrefix(op.Name, "/data/index/") {
				return disk.Fault{Err: errors.New("no space left"), Applied: applied}
			}
			return disk.Fault{}
		})
		cfg := l.config(fsys)
		cfg.Logger, cfg.FlushRows = nil, 40
		x := l.index(cfg)
		story(l, 25)
		l.caughtUp(x)
		if x.saved.Cursor != 0 || x.newest.rows() <= cfg.FlushRows {
			t.Fatalf("%d rows are in memory, and a manifest says %d leaves", x.newest.rows(), x.saved.Cursor)
		}
		same(t, "while the disk is full", answers(t, x), l.expected())
		story(l, 100)
		full.Store(false)
		l.caughtUp(x)
		same(t, "afterwards", answers(t, x), l.expected())
		if err := x.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := fsys.Stat("/data/index/" + manifestName); err != nil {
			t.Errorf("nothing was written when the disk worked again: %v", err)
		}
		same(t, "after restart", answers(t, l.index(cfg)), l.expected())
	}
}
