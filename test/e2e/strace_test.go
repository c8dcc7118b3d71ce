//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSyncBeforeForwardAndBeforeTheLastByte watches the system calls of one call: fdatasync of the segment has returned
// before the first byte goes to the upstream, and again before the last byte goes to the client.
func TestSyncBeforeForwardAndBeforeTheLastByte(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatal("strace is needed; .ci/run installs it")
	}
	for _, stream := range []bool{false, true} {
		t.Run(fmt.Sprintf("stream=%v", stream), func(t *testing.T) {
			s := newSite(t)
			trace := filepath.Join(s.dir, "trace")
			args := append([]string{"-f", "-yy", "-s", "64", "-o", trace, "-e", "trace=fdatasync,fsync,write,writev,pwrite64,sendto,sendmsg", binary(t)}, s.serveArgs()...)
			p := start(t, s.dir, s.env(), "strace", args...)
			_, body := loadCall("warm", 0)
			if _, status, _, err := call(context.Background(), p, "/v1/chat/completions", body); err != nil || status != 200 {
				t.Fatal(status, err)
			}
			mark := "MARKED"
			text := fmt.Sprintf(`{"model":"gpt-4o-mini","stream":%v,"messages":[{"role":"user","content":"%s"}]}`, stream, mark)
			if _, status, _, err := call(context.Background(), p, "/v1/chat/completions", []byte(text), "X-Stub-Tag", mark); err != nil || status != 200 {
				t.Fatal(status, err)
			}
			children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.cmd.Process.Pid, p.cmd.Process.Pid))
			var pid int
			if _, err2 := fmt.Sscan(string(children), &pid); err != nil || err2 != nil {
				t.Fatal("strace has no child", err, err2)
			}
			syscall.Kill(pid, syscall.SIGTERM)
			done := make(chan struct{})
			go func() { p.cmd.Wait(); close(done) }()
			select {
			case <-done:
			case <-time.After(time.Minute):
				t.Fatal("steno did not stop")
			}
			gateway, _ := url.Parse(p.ready["gateway"])
			stub, _ := url.Parse(s.stub.ready["stub"])
			checkTrace(t, trace, gateway.Host, stub.Host)
		})
	}
}

var traceLine = regexp.MustCompile(`^(\d+)\s+(?:<\.\.\. (\w+) resumed>|(\w+)\(\d+<([^>]*(?:>[^>,)]*)?)>)`)

// checkTrace reads the second call of the trace. dirty is a segment write that no finished sync covers yet.
func checkTrace(t *testing.T, path, gateway, stub string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type syncing struct{ covers int }
	running := map[string]syncing{}
	writes, covered := 0, 0
	forwards, checkedForwards := 0, 0
	var lastAnswerCovered bool
	var writesAtForward int
	answers := 0
	sc := bufio.NewScanner(f)
	sc.Buffer(make([]byte, 1<<20), 1<<20)
	for sc.Scan() {
		line := sc.Text()
		m := traceLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		pid, resumed, name, target := m[1], m[2], m[3], m[4]
		unfinished := strings.Contains(line, "<unfinished ...>")
		switch {
		case resumed == "fdatasync" || resumed == "fsync":
			covered = max(covered, running[pid].covers)
			delete(running, pid)
		case strings.HasPrefix(name, "f") && strings.Contains(target, ".seg"):
			if unfinished {
				running[pid] = syncing{writes}
			} else {
				covered = max(covered, writes)
			}
		case strings.Contains(name, "write") && strings.Contains(target, ".seg"):
			writes++
		case strings.Contains(target, "->"+stub) && strings.Contains(line, "POST /v1/"):
			forwards++
			writesAtForward = writes
			if covered < writes {
				t.Errorf("call %d goes to the upstream while %d segment writes are not synced: %s", forwards, writes-covered, line)
			}
			if writes == 0 {
				t.Errorf("call %d goes to the upstream before anything was written", forwards)
			}
			checkedForwards++
		case strings.Contains(target, gateway+"->"):
			answers++
			lastAnswerCovered = covered >= writes && writes > writesAtForward
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	if forwards < 2 || answers < 2 {
		t.Fatalf("the trace shows %d forwarded calls and %d writes to clients; it was not read", forwards, answers)
	}
	if !lastAnswerCovered {
		t.Error("the last byte went to the client before the record of the answer was synced")
	}
	t.Logf("%d segment writes, %d forwards, %d writes to clients", writes, checkedForwards, answers)
}
