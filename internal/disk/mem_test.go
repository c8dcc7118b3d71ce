package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"slices"
	"sync"
	"syscall"
	"testing"
)

// settled returns a Mem with one directory and, in it, one durable file a for
// each content given: a, b, c, …
func settled(t *testing.T, contents ...string) *Mem {
	t.Helper()
	m := NewMem()
	must(t, m.MkdirAll("/d"))
	for i, content := range contents {
		must(t, WriteFile(m, "/d/"+string(rune('a'+i)), []byte(content)))
	}
	return m
}

// outcomes crashes many times and returns what describe said, and how often.
func outcomes(m *Mem, describe func(*Mem) string) map[string]int {
	seen := map[string]int{}
	for seed := range int64(200) {
		seen[describe(m.Crash(rand.New(rand.NewSource(seed))))]++
	}
	return seen
}

func names(m *Mem) string {
	list, err := m.ReadDir("/d")
	return fmt.Sprint(list, err)
}

func wantOutcomes(t *testing.T, got map[string]int, all ...string) {
	t.Helper()
	for outcome, n := range got {
		if !slices.Contains(all, outcome) {
			t.Errorf("%d crashes left %s", n, outcome)
		}
	}
	for _, outcome := range all {
		if got[outcome] == 0 {
			t.Errorf("no crash left %s", outcome)
		}
	}
}

// failAt fails the n-th operation of a kind, counted from now.
func failAt(m *Mem, kind string, n int, fault Fault) {
	var mu sync.Mutex
	m.Fault(func(op Op) Fault {
		mu.Lock()
		defer mu.Unlock()
		if op.Kind == kind {
			if n--; n == -1 {
				return fault
			}
		}
		return Fault{}
	})
}

func TestCrashLosesUnsyncedBytes(t *testing.T) {
	m := settled(t, "kept ")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	write(t, f, "too ")
	must(t, f.Sync())
	write(t, f, "not")
	wantContent(t, m, "/d/a", "kept too not")
	wantContent(t, m.Crash(nil), "/d/a", "kept too ")
	wantOutcomes(t, outcomes(m, func(m *Mem) string {
		content, _ := m.ReadFile("/d/a")
		return string(content)
	}), "kept too ", "kept too not", "kept too \x00\x00\x00")

	must(t, f.Truncate(2))
	must(t, f.PunchHole(0, 1))
	wantContent(t, m.Crash(nil), "/d/a", "kept too ")
	must(t, f.Sync())
	wantContent(t, m.Crash(nil), "/d/a", "\x00e")
	if len(outcomes(m, func(m *Mem) string { return fmt.Sprint(m.ReadFile("/d/a")) })) != 1 {
		t.Error("a synced file has several outcomes")
	}
}

func TestCrashLosesUnsyncedNames(t *testing.T) {
	m := settled(t)
	f := create(t, m, "/d/a", "content")
	must(t, f.Sync())
	wantNames(t, m.Crash(nil), "/d")
	wantOutcomes(t, outcomes(m, names), "[] <nil>", "[a] <nil>")
	must(t, m.SyncDir("/d"))
	wantContent(t, m.Crash(nil), "/d/a", "content")

	must(t, m.Rename("/d/a", "/d/b"))
	wantNames(t, m.Crash(nil), "/d", "a")
	wantOutcomes(t, outcomes(m, names), "[a] <nil>", "[b] <nil>")
	must(t, m.SyncDir("/d"))
	wantOutcomes(t, outcomes(m, names), "[b] <nil>")

	must(t, m.Remove("/d/b"))
	wantOutcomes(t, outcomes(m, names), "[b] <nil>", "[] <nil>")
	must(t, m.SyncDir("/d"))
	wantOutcomes(t, outcomes(m, names), "[] <nil>")

	// Changes may survive without those that came before them.
	must(t, create(t, m, "/d/c", "").Close())
	must(t, create(t, m, "/d/e", "").Close())
	wantOutcomes(t, outcomes(m, names), "[] <nil>", "[c] <nil>", "[e] <nil>", "[c e] <nil>")
}

func TestCrashReplacesWhole(t *testing.T) {
	m := settled(t, "old")
	f := create(t, m, "/d/x", "new")
	must(t, f.Sync())
	must(t, m.Rename("/d/x", "/d/a"))
	wantContent(t, m.Crash(nil), "/d/a", "old")
	wantOutcomes(t, outcomes(m, func(m *Mem) string {
		content, err := m.ReadFile("/d/a")
		return fmt.Sprint(string(content), err)
	}), "old<nil>", "new<nil>")
}

// TestCrashAmidMove moves a file between directories. It may be under both names
// and must never be under none.
func TestCrashAmidMove(t *testing.T) {
	where := func(m *Mem) string {
		_, a := m.Stat("/d/a")
		_, b := m.Stat("/e/b")
		return fmt.Sprint(a == nil, b == nil)
	}
	for _, step := range []struct {
		sync string
		left []string
	}{
		{"", []string{"true false", "false true"}},
		{"/e", []string{"true true", "false true"}},
		{"/d", []string{"false true"}},
	} {
		m := settled(t, "content")
		must(t, m.MkdirAll("/e"))
		must(t, m.Rename("/d/a", "/e/b"))
		if step.sync != "" {
			must(t, m.SyncDir(step.sync))
		}
		wantOutcomes(t, outcomes(m, where), step.left...)
		if step.sync == "/e" {
			must(t, m.SyncDir("/d"))
			wantOutcomes(t, outcomes(m, where), "false true")
		}
	}
}

// TestOldChangeDoesNotComeBack syncs the later of two changes to a name first.
func TestOldChangeDoesNotComeBack(t *testing.T) {
	m := settled(t, "moved")
	must(t, m.MkdirAll("/e"))
	must(t, create(t, m, "/e/x", "").Close())
	must(t, m.Remove("/e/x"))
	must(t, m.Rename("/d/a", "/e/x"))
	for _, dir := range []string{"/d", "/e"} {
		must(t, m.SyncDir(dir))
		wantOutcomes(t, outcomes(m, func(m *Mem) string {
			content, err := m.ReadFile("/e/x")
			return fmt.Sprint(string(content), err)
		}), "moved<nil>")
	}
}

// TestFailedSync is the trap: the bytes of a failed sync read back, a later sync
// succeeds, and after a power loss they are gone.
func TestFailedSync(t *testing.T) {
	m := settled(t, "kept ")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	write(t, f, "lost ")
	failAt(m, "sync", 0, Fault{Err: syscall.EIO})
	want(t, "sync", f.Sync(), syscall.EIO)
	must(t, f.Sync())
	wantContent(t, m, "/d/a", "kept lost ")
	left := outcomes(m, func(m *Mem) string { return fmt.Sprint(m.ReadFile("/d/a")) })
	wantContent(t, m.Crash(nil), "/d/a", "kept ")
	if len(left) != 1 {
		t.Errorf("the bytes of a failed sync survived some crashes: %v", left)
	}

	write(t, f, "later")
	must(t, f.Sync())
	must(t, m.SyncDir("/d"))
	wantContent(t, m, "/d/a", "kept lost later")
	wantContent(t, m.Crash(nil), "/d/a", "kept \x00\x00\x00\x00\x00later")

	// The size is not in the pages that were given up.
	must(t, f.Truncate(3))
	failAt(m, "sync", 0, Fault{Err: syscall.EIO})
	want(t, "sync", f.Sync(), syscall.EIO)
	wantContent(t, m.Crash(nil), "/d/a", "kept \x00\x00\x00\x00\x00later")
	must(t, f.Sync())
	wantContent(t, m.Crash(nil), "/d/a", "kep")
}

func TestFailedSyncThatPersisted(t *testing.T) {
	m := settled(t, "kept ")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	write(t, f, "too")
	failAt(m, "sync", 0, Fault{Err: syscall.EIO, Applied: true})
	want(t, "sync", f.Sync(), syscall.EIO)
	wantContent(t, m.Crash(nil), "/d/a", "kept too")
}

func TestFailedSyncDirCanBeRepeated(t *testing.T) {
	m := settled(t)
	must(t, create(t, m, "/d/a", "").Close())
	failAt(m, "syncdir", 0, Fault{Err: syscall.EIO})
	want(t, "syncdir", m.SyncDir("/d"), syscall.EIO)
	wantOutcomes(t, outcomes(m, names), "[] <nil>", "[a] <nil>")
	must(t, m.SyncDir("/d"))
	wantNames(t, m.Crash(nil), "/d", "a")
}

func TestShortWrite(t *testing.T) {
	m := settled(t, "")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	for _, c := range []struct {
		fault Fault
		n     int
		err   error
		left  string
	}{
		{Fault{Short: 3}, 3, io.ErrShortWrite, "abc"},
		{Fault{Short: 3, Err: syscall.ENOSPC}, 3, syscall.ENOSPC, "abc"},
		{Fault{Err: syscall.ENOSPC}, 0, syscall.ENOSPC, ""},
		{Fault{Err: syscall.EIO, Applied: true}, 6, syscall.EIO, "abcdef"},
		{Fault{Short: 9}, 6, nil, "abcdef"},
	} {
		must(t, f.Truncate(0))
		failAt(m, "write", 0, c.fault)
		n, err := f.Write([]byte("abcdef"))
		if n != c.n || !errors.Is(err, c.err) {
			t.Errorf("%+v: wrote %d, %v, want %d, %v", c.fault, n, err, c.n, c.err)
		}
		wantContent(t, m, "/d/a", c.left)
		write(t, f, "!")
		wantContent(t, m, "/d/a", c.left+"!")
	}
}

// TestFaultBeforeAndAfter fails and crashes each kind of operation, with the
// effect and without.
func TestFaultBeforeAndAfter(t *testing.T) {
	state := func(m *Mem) string {
		var b bytes.Buffer
		for _, dir := range []string{"/", "/d"} {
			list, err := m.ReadDir(dir)
			fmt.Fprint(&b, list, err)
		}
		content, err := m.ReadFile("/d/a")
		fmt.Fprintf(&b, "%q %v", content, err)
		return b.String()
	}
	for _, op := range []struct {
		kind string
		do   func(m *Mem, f File) error
	}{
		{"create", func(m *Mem, _ File) error { _, err := m.Create("/d/x"); return err }},
		{"write", func(_ *Mem, f File) error { _, err := f.Write([]byte("more")); return err }},
		{"rename", func(m *Mem, _ File) error { return m.Rename("/d/a", "/d/x") }},
		{"remove", func(m *Mem, _ File) error { return m.Remove("/d/a") }},
		{"mkdir", func(m *Mem, _ File) error { return m.MkdirAll("/e") }},
		{"truncate", func(_ *Mem, f File) error { return f.Truncate(1) }},
		{"punch", func(_ *Mem, f File) error { return f.PunchHole(0, 2) }},
	} {
		for _, fault := range []Fault{
			{Err: syscall.EIO},
			{Err: syscall.EIO, Applied: true},
			{Crash: true},
			{Crash: true, Applied: true},
		} {
			m := settled(t, "content")
			f, err := m.OpenAppend("/d/a")
			must(t, err)
			before := state(m)
			failAt(m, op.kind, 0, fault)
			err = op.do(m, f)
			if fault.Crash {
				want(t, op.kind, err, ErrCrashed)
				if _, err := m.ReadDir("/d"); !errors.Is(err, ErrCrashed) {
					t.Errorf("%s: a dead process reads: %v", op.kind, err)
				}
				want(t, op.kind, f.Sync(), ErrCrashed)
				want(t, op.kind, f.Close(), ErrCrashed)
				m = m.Restart()
			} else {
				want(t, op.kind, err, fault.Err)
			}
			if changed := state(m) != before; changed != fault.Applied {
				t.Errorf("%s with %+v: changed %v", op.kind, fault, changed)
			}
		}
	}
}

// TestSyncVouchesForThePast holds a sync back while another write goes on.
func TestSyncVouchesForThePast(t *testing.T) {
	m := settled(t, "")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	write(t, f, "before")
	entered, leave := make(chan bool), make(chan bool)
	m.Fault(func(op Op) Fault {
		if op.Kind == "sync" || op.Kind == "syncdir" {
			entered <- true
			<-leave
		}
		return Fault{}
	})
	done := make(chan error)
	go func() { done <- f.Sync() }()
	<-entered
	write(t, f, "during")
	leave <- true
	must(t, <-done)
	wantContent(t, m.Crash(nil), "/d/a", "before")

	go func() { done <- m.SyncDir("/d") }()
	<-entered
	must(t, create(t, m, "/d/b", "").Close())
	leave <- true
	must(t, <-done)
	wantNames(t, m.Crash(nil), "/d", "a")
}

func TestRestart(t *testing.T) {
	m := settled(t, "kept ")
	f, err := m.OpenAppend("/d/a")
	must(t, err)
	write(t, f, "cached")
	must(t, create(t, m, "/d/b", "").Close())
	next := m.Restart()
	_, err = f.Write([]byte("from the dead"))
	want(t, "write", err, ErrCrashed)
	want(t, "remove", m.Remove("/d/a"), ErrCrashed)
	wantContent(t, next, "/d/a", "kept cached")
	wantContent(t, next.Crash(nil), "/d/a", "kept ")
	g, err := next.Open("/d/a")
	must(t, err)
	must(t, g.Sync())
	must(t, next.SyncDir("/d"))
	wantContent(t, next.Crash(nil), "/d/a", "kept cached")
	wantNames(t, next.Crash(nil), "/d", "a", "b")
}

func TestOps(t *testing.T) {
	m := NewMem()
	var kinds []string
	m.Fault(func(op Op) Fault {
		if op.N != len(kinds) {
			t.Errorf("operation %d is numbered %d", len(kinds), op.N)
		}
		kinds = append(kinds, fmt.Sprint(op.Kind, " ", op.Name, " ", op.Size))
		return Fault{}
	})
	must(t, m.MkdirAll("d/e"))
	f := create(t, m, "d/e/f", "12345")
	must(t, f.Truncate(3))
	must(t, f.PunchHole(1, 2))
	must(t, f.Sync())
	must(t, m.Rename("d/e/f", "/d/g"))
	must(t, m.Remove("/d/g"))
	wanted := []string{
		"mkdir /d 0", "syncdir / 0", "mkdir /d/e 0", "syncdir /d 0",
		"create /d/e/f 0", "write /d/e/f 5", "truncate /d/e/f 3", "punch /d/e/f 2", "sync /d/e/f 0",
		"rename /d/g 0", "remove /d/g 0",
	}
	if !slices.Equal(kinds, wanted) || m.Ops() != len(wanted) {
		t.Errorf("%d operations %q, want %q", m.Ops(), kinds, wanted)
	}
}

// TestCrashKeepsSectors does random things to a file and holds what a crash left
// against all states that the file has had since it was last synced.
func TestCrashKeepsSectors(t *testing.T) {
	torn := 0
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		m := settled(t, "")
		f, err := m.OpenAppend("/d/a")
		must(t, err)
		states := [][]byte{{}}
		for range r.Intn(25) {
			content, err := m.ReadFile("/d/a")
			must(t, err)
			switch r.Intn(6) {
			case 0:
				must(t, f.Truncate(r.Int63n(4000)))
			case 1:
				must(t, f.PunchHole(r.Int63n(4000), 1+r.Int63n(2000)))
			case 2:
				must(t, f.Sync())
				states = nil
			default:
				p := bytes.Repeat([]byte{byte('a' + r.Intn(26))}, r.Intn(1500))
				must(t, second(f.Write(p)))
				// The writing may be cut at the end of any sector.
				for n := range len(p) {
					if (len(content)+n)%sector == 0 {
						states = append(states, slices.Concat(content, p[:n]))
					}
				}
			}
			content, err = m.ReadFile("/d/a")
			must(t, err)
			states = append(states, content)
		}
		for range 20 {
			left, err := m.Crash(r).ReadFile("/d/a")
			must(t, err)
			checkSectors(t, seed, left, states)
			if !slices.ContainsFunc(states, func(s []byte) bool { return bytes.Equal(s, left) }) {
				torn++
			}
		}
		left, err := m.Crash(nil).ReadFile("/d/a")
		must(t, err)
		if !bytes.Equal(left, states[0]) {
			t.Fatalf("seed %d: %d bytes left, %d synced", seed, len(left), len(states[0]))
		}
	}
	if torn == 0 {
		t.Error("no crash has torn the file")
	}
}

func second(_ int, err error) error { return err }

func checkSectors(t *testing.T, seed int64, left []byte, states [][]byte) {
	t.Helper()
	if !slices.ContainsFunc(states, func(s []byte) bool { return len(s) == len(left) }) {
		t.Fatalf("seed %d: the file never had the size %d", seed, len(left))
	}
	for at := 0; at < len(left); at += sector {
		part := left[at:min(at+sector, len(left))]
		if !slices.ContainsFunc(states, func(s []byte) bool {
			was := make([]byte, len(part))
			if at < len(s) {
				copy(was, s[at:])
			}
			return bytes.Equal(was, part)
		}) {
			t.Fatalf("seed %d: the sector at %d was never like that", seed, at)
		}
	}
}

func TestCrashIsReproducible(t *testing.T) {
	m := settled(t, "a", "b")
	for i := range 20 {
		create(t, m, fmt.Sprint("/d/", i), string(bytes.Repeat([]byte{'x'}, 3000)))
	}
	image := func() string {
		c := m.Crash(rand.New(rand.NewSource(7)))
		list, err := c.ReadDir("/d")
		must(t, err)
		var b bytes.Buffer
		for _, name := range list {
			content, err := c.ReadFile("/d/" + name)
			must(t, err)
			fmt.Fprintf(&b, "%s %x\n", name, content)
		}
		return b.String()
	}
	first := image()
	for range 5 {
		if image() != first {
			t.Fatal("the same seed left two different disks")
		}
	}
}

func TestCrashLeavesOldGoingOn(t *testing.T) {
	m := settled(t, "content")
	c := m.Crash(nil)
	f, err := c.OpenAppend("/d/a")
	must(t, err)
	must(t, f.PunchHole(0, 4))
	wantContent(t, c.Crash(nil), "/d/a", "content")
	must(t, f.Sync())
	must(t, c.Remove("/d/a"))
	wantContent(t, m, "/d/a", "content")
	wantContent(t, m.Crash(nil), "/d/a", "content")
	if c.Ops() != 3 {
		t.Errorf("the new disk counts %d operations, want 3", c.Ops())
	}
}

func TestConcurrentUse(t *testing.T) {
	m := settled(t)
	m.Fault(func(op Op) Fault {
		_ = m.Ops()
		if op.N%50 == 0 {
			_, err := m.Crash(rand.New(rand.NewSource(int64(op.N)))).ReadDir("/d")
			return Fault{Err: err}
		}
		return Fault{}
	})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				name := fmt.Sprint("/d/", g, "-", i)
				if err := WriteFile(m, name, []byte(name)); err != nil {
					t.Error(err)
				}
				if _, err := m.ReadDir("/d"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	left := m.Crash(nil)
	for g := range 8 {
		for i := range 20 {
			name := fmt.Sprint("/d/", g, "-", i)
			wantContent(t, left, name, name)
		}
	}
	if _, err := left.Stat("/d/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat of nothing: %v", err)
	}
}
