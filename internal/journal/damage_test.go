package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const firstSegment = "/data/journal/0000000000000000.seg"

// killed returns the disk after a process that has written so many groups was killed; none of them is signed, all are
// durable. ends are the offsets in the first segment at which the groups end.
func killed(t testing.TB, groups int) (fsys *disk.Mem, ends []int64) {
	t.Helper()
	fsys = disk.NewMem()
	l := openLog(t, testConfig(fsys))
	ends = append(ends, l.w.segment.end)
	for i := range groups {
		l.append(t, i, 100+i)
		ends = append(ends, l.w.segment.end)
	}
	return fsys.Crash(nil), ends
}

// flip changes one bit of a file.
func flip(t testing.TB, fsys disk.FS, path string, at int64) {
	t.Helper()
	b, err := fsys.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1 << (at % 8)
	if err := disk.WriteFile(fsys, path, b); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlippedByte(t *testing.T) {
	whole, ends := killed(t, 3)
	size := ends[3]
	for at := range size {
		fsys := whole.Crash(nil)
		flip(t, fsys, firstSegment, at)
		j, rec, err := Open(t.Context(), testConfig(fsys))
		if at >= ends[2] { // the last group: as if it had never been written whole
			if err != nil {
				t.Fatalf("byte %d: %v", at, err)
			}
			b, _ := whole.ReadFile(firstSegment)
			b[at] ^= 1 << (at % 8)
			hash := sha256.Sum256(b[ends[2]:])
			d := rec.Discarded
			if rec.Size != 2 || d == nil || d.Offset != ends[2] || d.Bytes != size-ends[2] || d.RecoveredSize != 2 || !bytes.Equal(d.Hash, hash[:]) {
				t.Fatalf("byte %d: recovered %+v, discarded %+v", at, rec, d)
			}
			if at%50 == 0 {
				l := &testLog{j, rec, testConfig(fsys)}
				l.append(t, 50, 10)
				l.check(t)
			}
			_ = j.Close()
			continue
		}
		var damage *DamageError
		if !errors.As(err, &damage) {
			t.Fatalf("byte %d: %v", at, err)
		}
		if damage.File != firstSegment || damage.From > at || damage.To <= at || damage.Hint() == "" {
			t.Fatalf("byte %d: %v", at, err)
		}
		if now, err := fsys.ReadFile(firstSegment); err != nil || int64(len(now)) != size {
			t.Fatalf("byte %d: the damaged file was touched", at)
		}
	}
}

func TestDamageBetweenSegments(t *testing.T) {
	fsys := disk.NewMem()
	cfg := testConfig(fsys)
	cfg.SegmentBytes = 1000
	l := openLog(t, cfg)
	for i := range 10 {
		l.append(t, i, 300)
	}
	names, err := fsys.ReadDir("/data/journal")
	if err != nil || len(names) < 4 {
		t.Fatalf("%d segments, %v", len(names), err)
	}
	for _, c := range []struct {
		name   string
		damage func(fsys *disk.Mem, path string) error
	}{
		{"a group at the end of a segment", func(fsys *disk.Mem, path string) error {
			info, err := fsys.Stat(path)
			if err == nil {
				flip(t, fsys, path, info.Size-200)
			}
			return err
		}},
		{"a segment is cut off", func(fsys *disk.Mem, path string) error {
			f, err := fsys.OpenAppend(path)
			if err == nil {
				err = f.Truncate(900)
			}
			return err
		}},
		{"a segment is gone", func(fsys *disk.Mem, path string) error { return fsys.Remove(path) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			left := fsys.Crash(nil)
			if err := c.damage(left, filepath.Join("/data/journal", names[1])); err != nil {
				t.Fatal(err)
			}
			_, _, err := Open(t.Context(), cfgOn(cfg, left))
			var damage *DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("opened with %v", err)
			}
		})
	}
}

func cfgOn(cfg Config, fsys disk.FS) Config {
	cfg.FS = fsys
	return cfg
}

func TestLostTail(t *testing.T) {
	fsys := disk.NewMem()
	l := openLog(t, testConfig(fsys))
	l.fill(t, 0, 5, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	old := fsys.Crash(nil)
	l = openLog(t, testConfig(fsys))
	l.fill(t, 10, 5, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	anchor, err := fsys.ReadFile("/data.anchor/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	lost := func(name string, fsys *disk.Mem) {
		t.Helper()
		_, _, err := Open(t.Context(), testConfig(fsys))
		var tail *TailLostError
		if !errors.As(err, &tail) || tail.Anchored != 10 || tail.Hint() == "" {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := disk.WriteFile(old, "/data.anchor/checkpoint", anchor); err != nil {
		t.Fatal(err)
	}
	lost("an old copy under a new anchor", old)
	if err := old.Remove("/data.anchor/checkpoint"); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(old, "/data/checkpoint", anchor); err != nil {
		t.Fatal(err)
	}
	lost("an old copy with a new published checkpoint", old)

	empty := disk.NewMem()
	if err := empty.MkdirAll("/data.anchor"); err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(empty, "/data.anchor/checkpoint", anchor); err != nil {
		t.Fatal(err)
	}
	lost("nothing but an anchor", empty)

	cut := fsys.Crash(nil)
	f, err := cut.OpenAppend("/data/journal/0000000000000005.seg")
	if err != nil {
		t.Fatal(err)
	}
	if err := cut.Remove("/data/journal/000000000000000a.seg"); err != nil && !errors.Is(err, syscall.ENOENT) {
		t.Fatal(err)
	}
	size, _ := f.Size()
	if err := f.Truncate(size - 8); err != nil {
		t.Fatal(err)
	}
	lost("a tear in what was signed", cut)
}

func TestFork(t *testing.T) {
	fsys := disk.NewMem()
	l := openLog(t, testConfig(fsys))
	l.fill(t, 0, 5, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	grow := func(seed int) *disk.Mem {
		left := fsys.Crash(nil)
		l := openLog(t, testConfig(left))
		l.fill(t, seed, 3, 100)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return left
	}
	a, b := grow(100), grow(200)
	anchor, err := b.ReadFile("/data.anchor/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	other := a.Crash(nil)
	if err := disk.WriteFile(other, "/data.anchor/checkpoint", anchor); err != nil {
		t.Fatal(err)
	}
	var fork *ForkError
	if _, _, err := Open(t.Context(), testConfig(other)); !errors.As(err, &fork) || fork.Size != 8 || fork.Hint() == "" {
		t.Fatalf("opened beside another history: %v", err)
	}

	for name, meddle := range map[string]func(fsys *disk.Mem) error{
		"another writer":    func(fsys *disk.Mem) error { return disk.WriteFile(fsys, "/data.anchor/checkpoint", anchor) },
		"no anchor":         func(fsys *disk.Mem) error { return fsys.Remove("/data.anchor/checkpoint") },
		"an unsigned thing": func(fsys *disk.Mem) error { return disk.WriteFile(fsys, "/data.anchor/checkpoint", []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			left := a.Crash(nil)
			l := openLog(t, testConfig(left))
			l.append(t, 300, 10)
			if err := meddle(left); err != nil {
				t.Fatal(err)
			}
			_, err := l.Sign(t.Context())
			if !errors.As(err, &fork) && name != "an unsigned thing" || err == nil {
				t.Fatalf("signed with %v", err)
			}
			<-l.Done()
			if _, aerr := l.Append(sealedLeaf(1), nil).Wait(t.Context()); !errors.Is(aerr, err) || !errors.Is(l.Failed(), err) {
				t.Fatalf("goes on after %v: %v", err, aerr)
			}
			if cerr := l.Close(); !errors.Is(cerr, err) {
				t.Fatalf("closed with %v", cerr)
			}
		})
	}
}

func TestAnchorLost(t *testing.T) {
	whole, _ := killed(t, 4)
	for _, gone := range [][]string{{"/data.anchor/checkpoint"}, {"/data.anchor/checkpoint", "/data/checkpoint"}} {
		fsys := whole.Crash(nil)
		for _, name := range gone {
			if err := fsys.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
		l := openLog(t, testConfig(fsys))
		if !l.rec.Unanchored || l.rec.Size != 4 {
			t.Fatalf("recovered %+v", l.rec)
		}
		l.check(t)
		if l = l.reopen(t); l.rec.Unanchored {
			t.Fatal("still unanchored")
		}
	}
	skey, _, err := note.GenerateKey(rand.New(rand.NewSource(2)), testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	c, err := signCheckpoint(testOrigin, signer, 2, [32]byte{})
	if err != nil {
		t.Fatal(err)
	}
	if err := disk.WriteFile(whole, "/data.anchor/checkpoint", c.note); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Open(t.Context(), testConfig(whole)); err == nil || !strings.Contains(err.Error(), "/data.anchor/checkpoint") {
		t.Fatalf("opened with an anchor of another key: %v", err)
	}
}

func TestForeignSegmentsAndConfigs(t *testing.T) {
	whole, _ := killed(t, 2)
	const origin = "example.com/other"
	skey, vkey, err := note.GenerateKey(rand.New(rand.NewSource(3)), origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(whole)
	cfg.Origin, cfg.Signer, cfg.VKey, cfg.AnchorDir = origin, signer, vkey, "/other"
	if _, _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another log") {
		t.Fatalf("opened another log's segments: %v", err)
	}
	cfg.VKey = testVKey
	if _, _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "one key") {
		t.Fatalf("opened with another log's key: %v", err)
	}
}

func TestStrayFilesAreIgnored(t *testing.T) {
	fsys, _ := killed(t, 3)
	stray := []string{"README", "x.seg", "0000000000000003.SEG", "000000000000003.seg", "00000000000000FF.seg", "0000000000000003.seg.bak"}
	for _, name := range slices.Concat(stray, []string{"0000000000000001.seg.tmp"}) {
		if err := disk.WriteFile(fsys, "/data/journal/"+name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	l := openLog(t, testConfig(fsys))
	l.append(t, 10, 10)
	l.check(t)
	for _, name := range stray {
		if _, err := fsys.Stat("/data/journal/" + name); err != nil {
			t.Errorf("a stray file was touched: %v", err)
		}
	}
	if _, err := fsys.Stat("/data/journal/0000000000000001.seg.tmp"); err == nil {
		t.Error("an unfinished segment was left")
	}
}

// TestErasedBody zeroes a body as an erasure does: allowed under a signed checkpoint, a tear where there is none.
func TestErasedBody(t *testing.T) {
	for _, signed := range []bool{true, false} {
		fsys := disk.NewMem()
		l := openLog(t, testConfig(fsys))
		for i := range 3 {
			l.append(t, i, 500)
		}
		if signed {
			if _, err := l.Sign(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		left := fsys.Crash(nil)
		e, err := l.Read(2)
		if err != nil {
			t.Fatal(err)
		}
		b, err := left.ReadFile(firstSegment)
		if err != nil {
			t.Fatal(err)
		}
		f, err := left.OpenAppend(firstSegment)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.PunchHole(int64(bytes.Index(b, e.Body)), 500); err != nil {
			t.Fatal(err)
		}
		again := openLog(t, testConfig(left))
		if !signed {
			if again.rec.Size != 2 || again.rec.Discarded == nil {
				t.Fatalf("recovered %+v", again.rec)
			}
			continue
		}
		if again.rec.Size != 3 || again.rec.Discarded != nil {
			t.Fatalf("recovered %+v", again.rec)
		}
		if got, err := again.Read(2); err != nil || !erased(got.Body) || sha256.Sum256(got.Body) == got.Leaf.BodyHash {
			t.Fatalf("the erased body reads as %v, %v", got, err)
		}
		again.get(t, "/body/2", 410)
		again.get(t, "/body/1", 200)
	}
}

func TestFailureIsForGood(t *testing.T) {
	for op, fault := range map[string]disk.Fault{
		"sync":  {Err: syscall.EIO},
		"write": {Err: syscall.ENOSPC, Short: 10},
	} {
		t.Run(op, func(t *testing.T) {
			fsys := disk.NewMem()
			l := openLog(t, testConfig(fsys))
			l.append(t, 0, 100)
			ended := make(chan error, 1)
			go func() {
				var last error
				for _, err := range l.Follow(context.Background(), 0) {
					last = err
				}
				ended <- last
			}()
			fsys.Fault(func(o disk.Op) disk.Fault {
				if o.Kind == op {
					return fault
				}
				return disk.Fault{}
			})
			_, err := l.Append(sealedLeaf(1), testBody(1, 100)).Wait(soon(t))
			var failed *FailedError
			if !errors.As(err, &failed) || !errors.Is(err, fault.Err) || failed.Path != firstSegment || failed.Hint() == "" {
				t.Fatalf("append ended with %v", err)
			}
			fsys.Fault(nil)
			ops := fsys.Ops()
			<-l.Done()
			if _, err := l.Append(sealedLeaf(2), nil).Wait(soon(t)); !errors.Is(err, failed) {
				t.Fatalf("a later append ended with %v", err)
			}
			if _, err := l.Sign(t.Context()); !errors.Is(err, failed) {
				t.Fatalf("a later Sign ended with %v", err)
			}
			if err := <-ended; !errors.Is(err, failed) {
				t.Fatalf("a follower ended with %v", err)
			}
			if e, err := l.Read(0); err != nil || !bytes.Equal(e.Body, testBody(0, 100)) {
				t.Fatalf("what was durable cannot be read: %v", err)
			}
			if err := l.Close(); !errors.Is(err, failed) || l.Size() != 1 {
				t.Fatalf("closed with %v at size %d", err, l.Size())
			}
			if fsys.Ops() != ops {
				t.Fatal("the disk was touched after the failure")
			}
			openLog(t, testConfig(fsys)).check(t)
		})
	}
}

// TestVerifierAgrees has the verifier, which shares only the format with this package, look at a log with a past.
func TestVerifierAgrees(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(disk.OS())
	cfg.Dir, cfg.AnchorDir, cfg.SegmentBytes = filepath.Join(dir, "log"), filepath.Join(dir, "log.anchor"), 4000
	var previous steno.SourceState
	for life := range 3 {
		l := openLog(t, cfg)
		started := steno.SourceStarted{Name: "test", HeartbeatNS: int64(time.Hour), ExchangeTimeout: int64(time.Hour)}
		if life == 0 {
			if _, err := l.Announce(steno.TypeLogCreated, steno.LogCreated{Origin: testOrigin, VKey: testVKey, Created: 1}); err != nil {
				t.Fatal(err)
			}
		} else {
			started.Previous, started.PreviousNumber = previous.Source[:], previous.Number
		}
		if _, err := l.Announce(steno.TypeSourceStarted, started); err != nil {
			t.Fatal(err)
		}
		l.fill(t, life*1000, 300, 200)
		state := l.State()
		previous = *newest(state.Sources, true)
		switch life {
		case 0: // killed before anything was signed
			_ = l.w.segment.file.Close()
			l.fail(fmt.Errorf("killed"))
			continue
		case 2:
			if _, err := l.Announce(steno.TypeSourceStopped, steno.SourceStopped{Reason: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r, err := steno.VerifyDir(t.Context(), cfg.Dir, steno.VerifyOptions{VKey: testVKey})
	if err != nil {
		t.Fatal(err)
	}
	if r.Integrity.Verdict != steno.Holds || r.Completeness.Verdict != steno.Holds || r.Size != 905 || r.Unsigned != 0 {
		t.Fatalf("%+v", r)
	}
	l := openLog(t, cfg)
	server := httptest.NewServer(http.StripPrefix("/log", l.Handler()))
	defer server.Close()
	if r, err = steno.VerifyURL(t.Context(), server.URL+"/log/", server.Client(), steno.VerifyOptions{VKey: testVKey}); err != nil {
		t.Fatal(err)
	}
	if r.Integrity.Verdict != steno.Holds || r.Size != 905 {
		t.Fatalf("over HTTP: %+v", r)
	}
}
