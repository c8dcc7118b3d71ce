package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steno-audit/steno"
)

// servedProcess is `steno serve` in a process of its own.
type servedProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	at  ready
}

func startProcess(t *testing.T, configFile string) *servedProcess {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &servedProcess{t: t, cmd: exec.Command(self)}
	p.cmd.Args = []string{"steno", "serve", "--config", configFile, "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0", "--json"}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.end(os.Kill)
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatalf("it never became ready: %v", err)
	}
	if err := json.Unmarshal(line, &p.at); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *servedProcess) call(path string) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.at.Gateway+path, strings.NewReader(`{"model":"m","messages":[]}`))
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode
}

// end stops the process and returns its exit code; -1 when a signal ended it.
func (p *servedProcess) end(sig os.Signal) int {
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait() // the exit code says it
	return p.cmd.ProcessState.ExitCode()
}

// failLog makes the kernel refuse every write of the process beyond 4 KiB of a file: the log fails, small files do not.
func (p *servedProcess) failLog() {
	p.t.Helper()
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4 << 10, Max: 4 << 10}, nil); err != nil {
		p.t.Fatal(err)
	}
}

// waitForGap waits until so many calls are in the file of the gap.
func waitForGap(t *testing.T, name string, calls uint64) keptGap {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var g keptGap
		if b, err := os.ReadFile(name); err == nil && json.Unmarshal(b, &g) == nil && g.Calls >= calls {
			return g
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			t.Fatalf("%s never had %d calls: %+v", name, calls, g)
		}
	}
}

func quietStore(t *testing.T, data string) *store {
	t.Helper()
	s, err := openStore(t.Context(), storeConfig{
		Dir: data, KeyDir: data + ".keys", Name: "gateway", Months: 24, Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *store) {
	t.Helper()
	if err := s.close("test"); err != nil {
		t.Fatal(err)
	}
}

// gapsOnRecord reads the log of a directory that no process has open, by opening it once more.
func gapsOnRecord(t *testing.T, data string) (found []steno.LogGap) {
	t.Helper()
	s := quietStore(t, data)
	defer closeStore(t, s)
	for i := range s.log.Size() {
		e, err := s.log.ReadLeaf(i)
		if err != nil {
			t.Fatal(err)
		}
		if e.Leaf.Flags&steno.FlagPublicOnly == 0 || e.Leaf.PublicType() != steno.TypeLogGap {
			continue
		}
		var g steno.LogGap
		if err := steno.DecodePublic(e.Leaf.Public, &g); err != nil {
			t.Fatal(err)
		}
		found = append(found, g)
	}
	return found
}

// TestCallsThatPassedWhileTheLogFailedAreOnRecordOnce takes the log of a running server away, lets calls pass, ends the
// server, and looks at what the next start and the verifier say.
func TestCallsThatPassedWhileTheLogFailedAreOnRecordOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		sig  os.Signal
	}{{"stopped", syscall.SIGTERM}, {"killed", os.Kill}} {
		t.Run(c.name, func(t *testing.T) {
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"id":"x"}`) }))
			defer upstream.Close()
			dir := t.TempDir()
			data, file := filepath.Join(dir, "data"), filepath.Join(dir, "steno.yaml")
			if err := os.WriteFile(file, fmt.Appendf(nil, `data: %s
gateway:
  allow_anonymous: true
  on_log_failure: allow
  upstreams:
    openai: {dialect: openai, url: %q, credential: passthrough}
`, data, upstream.URL), 0o600); err != nil {
				t.Fatal(err)
			}
			p := startProcess(t, file)
			for i := range 3 {
				if status := p.call("/v1" + strings.Repeat("/", i+1) + "chat/completions"); status != http.StatusOK {
					t.Fatalf("status %d while the log is well", status)
				}
			}
			p.failLog()
			began := time.Now()
			const calls = 4
			for range calls {
				if status := p.call("/v1/chat/completions"); status != http.StatusOK {
					t.Fatalf("status %d: the call did not pass", status)
				}
			}
			ended := time.Now()
			kept := filepath.Join(data, gapFile)
			waitForGap(t, kept, calls)
			p.end(c.sig)
			old, err := os.ReadFile(kept)
			if err != nil {
				t.Fatalf("nothing was kept of the gap: %v", err)
			}

			p = startProcess(t, file)
			if code := p.end(syscall.SIGTERM); code != 0 {
				t.Fatalf("the start after the gap ended with %d", code)
			}
			report, err := steno.VerifyDir(t.Context(), data, steno.VerifyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if report.Integrity.Verdict != steno.Holds {
				t.Errorf("integrity: %+v", report.Integrity)
			}
			found := gapsOnRecord(t, data)
			if len(found) != 1 {
				t.Fatalf("the gap is on record %d times: %+v", len(found), found)
			}
			g := found[0]
			if g.Calls != calls || g.Why != "log_failed" || g.LastNumber-g.FirstNumber != calls-1 {
				t.Errorf("the gap on record is %+v", g)
			}
			if g.From < began.UnixNano() || g.To > ended.UnixNano() || g.From > g.To {
				t.Errorf("the gap is from %d to %d, the calls were from %d to %d", g.From, g.To, began.UnixNano(), ended.UnixNano())
			}
			says := fmt.Sprintf("let %d calls pass unrecorded from %s to %s: log_failed", calls,
				time.Unix(0, g.From).UTC().Format(time.RFC3339), time.Unix(0, g.To).UTC().Format(time.RFC3339))
			if report.Completeness.Verdict != steno.Fails || report.Completeness.Count != 1 || !strings.Contains(report.Completeness.Findings[0].What, says) {
				t.Errorf("completeness is %+v, it should say %q and no more", report.Completeness, says)
			}

			// What a crash between the record and the removal of the file leaves, once.
			if err := os.WriteFile(kept, old, 0o600); err != nil {
				t.Fatal(err)
			}
			if found := gapsOnRecord(t, data); len(found) != 1 {
				t.Errorf("after a crash before the removal the gap is on record %d times: %+v", len(found), found)
			}
			if _, err := os.Stat(kept); !os.IsNotExist(err) {
				t.Errorf("the gap's file is still there: %v", err)
			}
		})
	}
}

// TestAGapThatIsPartlyOnRecord keeps a gap that had grown after a record of its first calls was written.
func TestAGapThatIsPartlyOnRecord(t *testing.T) {
	data := newStoreDir(t)
	s := quietStore(t, data)
	source := s.log.Source()
	at := time.Now()
	s.recorder.Pass(at, io.ErrShortWrite)
	s.recorder.Pass(at, io.ErrShortWrite)
	first, _ := s.recorder.Gap()
	s.keepGap()
	s.writeGap()
	if _, err := os.Stat(filepath.Join(data, gapFile)); !os.IsNotExist(err) {
		t.Fatalf("a gap that is on record is kept in its file: %v", err)
	}
	if _, left := s.recorder.Gap(); left {
		t.Fatal("a gap that is on record is still counted")
	}
	closeStore(t, s)
	grown := first
	grown.LastNumber, grown.Calls, grown.To = first.LastNumber+3, first.Calls+3, first.To+int64(time.Second)
	// The second time is a crash after the record of the rest.
	for range 2 {
		b, err := json.Marshal(keptGap{fmt.Sprintf("%x", source), grown})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(data, gapFile), b, 0o600); err != nil {
			t.Fatal(err)
		}
		found := gapsOnRecord(t, data)
		if len(found) != 2 || found[0] != first {
			t.Fatalf("on record: %+v", found)
		}
		rest := steno.LogGap{From: first.To, To: grown.To, FirstNumber: first.LastNumber + 1, LastNumber: grown.LastNumber, Calls: 3, Why: first.Why}
		if found[1] != rest {
			t.Errorf("the rest on record is %+v, want %+v", found[1], rest)
		}
	}
}

// TestAnOlderFileOfAGap has less calls than the record that was written later.
func TestAnOlderFileOfAGap(t *testing.T) {
	data := newStoreDir(t)
	s := quietStore(t, data)
	s.recorder.Pass(time.Now(), io.ErrShortWrite)
	s.keepGap()
	old, err := os.ReadFile(filepath.Join(data, gapFile))
	if err != nil {
		t.Fatal(err)
	}
	s.recorder.Pass(time.Now(), io.ErrShortWrite)
	closeStore(t, s)
	if err := os.WriteFile(filepath.Join(data, gapFile), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if found := gapsOnRecord(t, data); len(found) != 1 || found[0].Calls != 2 {
		t.Errorf("on record: %+v", found)
	}
}

func TestADamagedFileOfAGapStopsTheStart(t *testing.T) {
	for _, content := range []string{"", "{", `{"calls":3}`, `{"source":"zz","calls":3}`} {
		data := newStoreDir(t)
		if err := os.WriteFile(filepath.Join(data, gapFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(t.Context(), storeConfig{Dir: data, KeyDir: data + ".keys", Name: "gateway", Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err == nil {
			closeStore(t, s)
			t.Errorf("%q was taken for a gap", content)
		} else if !strings.Contains(err.Error(), gapFile+" is damaged") {
			t.Errorf("%q: %v", content, err)
		}
	}
}

// newStoreDir makes a log and closes it.
func newStoreDir(t *testing.T) string {
	t.Helper()
	data := filepath.Join(t.TempDir(), "data")
	s, err := openStore(t.Context(), storeConfig{
		Dir: data, KeyDir: data + ".keys", Name: "gateway", Create: true, Months: 24, Timeout: time.Minute, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	return data
}
