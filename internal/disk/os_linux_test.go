package disk

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestSystemCalls looks at what reaches the kernel, as nothing else can tell
// whether a sync on the machine's file system is there.
func TestSystemCalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: the system calls are not looked at")
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	trace := filepath.Join(t.TempDir(), "trace")
	cmd := child(t, "write", dir, strace, "-f", "-y", "-o", trace, "-e",
		"trace=openat,write,fdatasync,fsync,rename,renameat,renameat2,mkdir,mkdirat,fallocate,ftruncate")
	if err := cmd.Run(); err != nil {
		if exec.Command(strace, "-o", trace, "true").Run() != nil {
			t.Skip("strace may not trace here: the system calls are not looked at")
		}
		t.Fatal(err)
	}
	got := calls(t, trace, dir)
	wanted := []string{
		"openat parent", "fsync parent", // an earlier attempt may have been cut off
		"mkdirat a", "openat .", "fsync .",
		"mkdirat a/b", "openat a", "fsync a",
		"openat f.tmp", "write f.tmp", "fdatasync f.tmp", "renameat f.tmp", "openat .", "fsync .",
		"openat f", "fallocate f", "fdatasync f",
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("system calls:\n%q\nwant:\n%q", got, wanted)
	}
}

// calls lists the system calls on a directory, what is in it and its parent: the
// call and the first path it names, relative to the directory.
func calls(t *testing.T, trace, dir string) []string {
	t.Helper()
	f, err := os.Open(trace)
	must(t, err)
	defer f.Close()
	call := regexp.MustCompile(`^\d+ +(\w+)\((.*?)(\) += .*|<unfinished .*)$`)
	paths := regexp.MustCompile(`["<](/[^">]*)[">]`)
	var list []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		c := call.FindStringSubmatch(lines.Text())
		if c == nil {
			continue
		}
		// The working directory, AT_FDCWD</…>, is not what the call is about.
		args := regexp.MustCompile(`AT_FDCWD<[^>]*>`).ReplaceAllString(c[2], "")
		p := paths.FindStringSubmatch(args)
		if p == nil {
			continue
		}
		name := p[1]
		switch rel, inside := strings.CutPrefix(name, dir+"/"); {
		case inside:
			name = rel
		case name == dir:
			name = "."
		case name == filepath.Dir(dir):
			name = "parent"
		default:
			continue
		}
		list = append(list, strings.TrimSuffix(c[1], "2")+" "+name)
	}
	return list
}

// TestZero is what PunchHole does where there are no holes.
func TestZero(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	content := bytes.Repeat([]byte("x"), 300_000)
	must(t, os.WriteFile(name, content, 0o600))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	for _, hole := range [][2]int64{{10, 200_000}, {299_990, 1 << 40}, {400_000, 5}} {
		must(t, zero(f, hole[0], hole[1]))
		clear(content[min(hole[0], 300_000):min(hole[0]+hole[1], 300_000)])
		wantContent(t, OS(), name, string(content))
	}
}

func TestPunchHoleGivesSpaceBack(t *testing.T) {
	dir := t.TempDir()
	kind, err := Type(dir)
	must(t, err)
	if !slices.Contains([]string{"ext4", "xfs", "tmpfs"}, kind) {
		t.Skipf("not known to have holes: %s", kind)
	}
	f := create(t, OS(), filepath.Join(dir, "f"), strings.Repeat("x", 1<<20))
	defer f.Close()
	must(t, f.Sync())
	before := blocks(t, f)
	must(t, f.PunchHole(0, 1<<19))
	if after := blocks(t, f); after > before*2/3 {
		t.Errorf("%d blocks of %d are left with half the file punched", after, before)
	}
}

func blocks(t *testing.T, f File) int64 {
	t.Helper()
	fi, err := f.(osFile).f.Stat()
	must(t, err)
	return fi.Sys().(*syscall.Stat_t).Blocks
}

// TestType holds the names against what the kernel calls its mounts.
func TestType(t *testing.T) {
	mounts, err := os.ReadFile("/proc/mounts")
	must(t, err)
	kinds := map[string]string{}
	for line := range strings.Lines(string(mounts)) {
		if part := strings.Fields(line); len(part) > 2 {
			kinds[part[1]] = part[2] // a later mount covers an earlier one
		}
	}
	checked := 0
	for dir, kind := range kinds {
		if !slices.Contains([]string{"tmpfs", "ext4", "xfs", "btrfs", "overlay"}, kind) {
			continue
		}
		got, err := Type(dir)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		if got != kind || err != nil {
			t.Errorf("%s is %q, %v, want %q", dir, got, err, kind)
		}
		checked++
	}
	if checked == 0 {
		t.Skip("no file system here that has a name")
	}
	if got, err := Type("/proc"); err != nil || got != "0x9fa0" {
		t.Errorf("/proc is %q, %v, want its number", got, err)
	}
	if _, err := Type(filepath.Join(t.TempDir(), "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
