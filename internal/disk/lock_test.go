//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMain lets the test binary be the other process of a test.
func TestMain(m *testing.M) {
	dir := os.Getenv("STENO_TEST_DIR")
	var err error
	switch os.Getenv("STENO_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "lock":
		if _, err = Lock(dir); err == nil {
			fmt.Println("locked")
			_, _ = io.Copy(io.Discard, os.Stdin) // until the parent kills or dies
		}
	case "write":
		err = writeAll(OS(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// writeAll does one of everything that makes bytes or names durable.
func writeAll(fsys FS, dir string) error {
	if err := fsys.MkdirAll(filepath.Join(dir, "a", "b")); err != nil {
		return err
	}
	if err := WriteFile(fsys, filepath.Join(dir, "f"), []byte("content")); err != nil {
		return err
	}
	f, err := fsys.OpenAppend(filepath.Join(dir, "f"))
	if err != nil {
		return err
	}
	return errors.Join(f.PunchHole(0, 4), f.Sync(), f.Close())
}

// child prepares the test binary to be run as another process.
func child(t *testing.T, what, dir string, before ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	args := append(before, self)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "STENO_TEST_CHILD="+what, "STENO_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func wantLocked(t *testing.T, dir string, pid int) {
	t.Helper()
	unlock, err := Lock(dir)
	if err == nil {
		_ = unlock()
		t.Fatal("the directory was locked twice")
	}
	var locked *LockedError
	if !errors.As(err, &locked) || locked.Dir != dir || locked.PID != pid {
		t.Fatalf("got %#v, want that %d has %s", err, pid, dir)
	}
	if text := err.Error(); !strings.Contains(text, fmt.Sprintf("process %d", pid)) || !strings.Contains(text, dir) {
		t.Errorf("the error %q names no process or no directory", text)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := Lock(dir)
	must(t, err)
	wantLocked(t, dir, os.Getpid())
	must(t, unlock())
	unlock, err = Lock(dir)
	must(t, err)
	must(t, unlock())

	if _, err := Lock(filepath.Join(dir, "gone")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("lock of a missing directory: %v", err)
	}
}

func TestLockIsFreedByDeath(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "lock", dir)
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || line != "locked\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	wantLocked(t, dir, cmd.Process.Pid)

	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // killed: always an error
	unlock, err := Lock(dir)
	must(t, err)
	defer unlock()
	wantLocked(t, dir, os.Getpid())
}

// TestLockNamesNobody: a holder that could not write itself in.
func TestLockNamesNobody(t *testing.T) {
	for _, text := range []string{"", "nonsense", "-4", strings.Repeat("1", 100)} {
		dir := t.TempDir()
		unlock, err := Lock(dir)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "LOCK"), []byte(text), 0o600))
		_, err = Lock(dir)
		var locked *LockedError
		if !errors.As(err, &locked) || locked.PID != 0 || !strings.Contains(err.Error(), "another process") {
			t.Errorf("with %q in the lock: %v", text, err)
		}
		must(t, unlock())
	}
}
