package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand"
	"strings"
	"syscall"
	"testing"
)

// faults are all the ways in which one operation may go wrong.
var faults = map[string]Fault{
	"crash before":  {Crash: true},
	"crash after":   {Crash: true, Applied: true},
	"crash amid":    {Crash: true, Short: 700},
	"fails":         {Err: syscall.EIO},
	"fails done":    {Err: syscall.EIO, Applied: true},
	"disk full":     {Err: syscall.ENOSPC, Short: 700},
	"short write":   {Short: 700},
	"disk full now": {Err: syscall.ENOSPC},
}

// atEveryOp runs work on a fresh disk, with each fault at its first, second, …
// operation until it gets through without one.
func atEveryOp(t *testing.T, fresh func() *Mem, work func(*Mem) error, check func(m *Mem, err error)) {
	t.Helper()
	for name, fault := range faults {
		for k := 0; ; k++ {
			m := fresh()
			start, fired := m.Ops(), false
			m.Fault(func(op Op) Fault {
				if op.N != start+k {
					return Fault{}
				}
				fired = true
				return fault
			})
			err := work(m)
			m.Fault(nil)
			check(m, err)
			if t.Failed() {
				t.Fatalf("so with %q at operation %d, where the work said: %v", name, k, err)
			}
			if !fired {
				if k == 0 {
					t.Fatal("the work does nothing")
				}
				break
			}
		}
	}
}

// wrecks are the disks that a power loss now may leave.
func wrecks(m *Mem) []*Mem {
	all := []*Mem{m.Crash(nil)}
	for seed := range int64(30) {
		all = append(all, m.Crash(rand.New(rand.NewSource(seed))))
	}
	return all
}

// wholeOrNot reads the file that is being replaced. It tells "old", "new", "none"
// or what is wrong.
func wholeOrNot(m *Mem, old, new string) string {
	content, err := m.ReadFile("/d/f")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "none"
	case err != nil:
		return err.Error()
	case string(content) == old:
		return "old"
	case string(content) == new:
		return "new"
	}
	return fmt.Sprintf("%d bytes, neither old nor new", len(content))
}

func TestWriteFileAtEveryCrash(t *testing.T) {
	old, new := strings.Repeat("old ", 500), strings.Repeat("fresh ", 400)
	before := map[string]func() *Mem{
		"none": func() *Mem { return settled(t) },
		"old": func() *Mem {
			m := settled(t)
			must(t, WriteFile(m, "/d/f", []byte(old)))
			return m
		},
		"old, and a leftover": func() *Mem {
			m := settled(t)
			must(t, WriteFile(m, "/d/f", []byte(old)))
			f := create(t, m, "/d/f.tmp", strings.Repeat("left", 2000))
			must(t, f.Sync())
			must(t, m.SyncDir("/d"))
			return m
		},
	}
	for had, fresh := range before {
		t.Run(had, func(t *testing.T) {
			had, _, _ := strings.Cut(had, ",")
			write := func(m *Mem) error { return WriteFile(m, "/d/f", []byte(new)) }
			atEveryOp(t, fresh, write, func(m *Mem, err error) {
				if err != nil && strings.TrimSpace(err.Error()) == "" {
					t.Error("an error without text")
				}
				for _, left := range wrecks(m) {
					got := wholeOrNot(left, old, new)
					if got != "new" && (err == nil || got != had) {
						t.Errorf("the file is left with: %s", got)
					}
					// The next one starts from whatever is there.
					must(t, write(left))
					if got := wholeOrNot(left.Crash(nil), old, new); got != "new" {
						t.Errorf("after another try: %s", got)
					}
					wantNames(t, left, "/d", "f")
				}
				// So does one that starts where the process alone has died.
				next := m.Restart()
				must(t, write(next))
				if got := wholeOrNot(next.Crash(nil), old, new); got != "new" {
					t.Errorf("after a restart: %s", got)
				}
			})
		})
	}
}

func TestMkdirAllAtEveryCrash(t *testing.T) {
	mkdir := func(m *Mem) error { return m.MkdirAll("/a/b/c") }
	durable := func(m *Mem) {
		t.Helper()
		for _, left := range wrecks(m) {
			if info, err := left.Stat("/a/b/c"); err != nil || !info.Dir {
				t.Errorf("the directory did not survive: %v", err)
			}
		}
	}
	atEveryOp(t, NewMem, mkdir, func(m *Mem, err error) {
		if err == nil {
			durable(m)
		}
		// Cut off anywhere, the next call makes durable what it finds.
		next := m.Restart()
		must(t, mkdir(next))
		durable(next)
	})
}

func TestMkdirAllBelowForeignDirectory(t *testing.T) {
	m := settled(t)
	failAt(m, "syncdir", 0, Fault{Err: syscall.EACCES})
	must(t, m.MkdirAll("/d"))
	failAt(m, "syncdir", 0, Fault{Err: syscall.EIO})
	want(t, "existing directory", m.MkdirAll("/d"), syscall.EIO)
	failAt(m, "syncdir", 1, Fault{Err: syscall.EACCES})
	want(t, "new directory", m.MkdirAll("/d/e"), syscall.EACCES)
}
