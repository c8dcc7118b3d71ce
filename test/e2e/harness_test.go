//go:build e2e

// Package e2e drives the real binary from outside, as an operator and an application would: two processes, real disks,
// real signals.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var steno = sync.OnceValues(func() (string, error) {
	if b := os.Getenv("STENO_BIN"); b != "" {
		return b, nil
	}
	dir, err := os.MkdirTemp("", "steno-e2e-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "steno")
	out, err := exec.Command("go", "build", "-o", bin, "../../cmd/steno").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return bin, nil
})

func binary(t testing.TB) string {
	t.Helper()
	b, err := steno()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// process is a running steno.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	stdout *bytes.Buffer
	stderr *bytes.Buffer
	ready  map[string]string
}

// start runs a command until it has printed its line of JSON.
func start(t testing.TB, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, stdout: &bytes.Buffer{}, stderr: &bytes.Buffer{}}
	p.cmd = exec.Command(name, args...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	r := bufio.NewReader(io.TeeReader(out, p.stdout))
	line, err := r.ReadBytes('\n')
	if err != nil {
		p.cmd.Wait()
		t.Fatalf("%s %s did not start: %v\n%s", name, strings.Join(args, " "), err, p.stderr)
	}
	if err := json.Unmarshal(line, &p.ready); err != nil {
		t.Fatalf("the ready line is %q: %v", line, err)
	}
	go io.Copy(io.Discard, r)
	return p
}

// kill is kill -9: nothing is said, nothing is closed.
func (p *process) kill() {
	p.cmd.Process.Signal(syscall.SIGKILL)
	p.cmd.Wait()
}

// stop is SIGTERM, and a clean end.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Fatalf("steno did not stop cleanly: %v\n%s", err, p.stderr)
	}
}

const clientKey = "sk-steno-" + "e2e0000000000000000000000000000000000000"

// site is a data directory with a configuration and a model stub of its own process.
type site struct {
	t     testing.TB
	dir   string
	tally string
	stub  *process
	extra string // lines added to the configuration
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	s.tally = filepath.Join(s.dir, "tally")
	s.stub = start(t, s.dir, nil, binary(t), "stub", "--addr", "127.0.0.1:0", "--tally", s.tally, "--json")
	return s
}

func (s *site) data() string { return filepath.Join(s.dir, "data") }

// serve starts a steno before the stub.
func (s *site) serve() *process {
	s.t.Helper()
	args := s.serveArgs()
	return start(s.t, s.dir, s.env(), binary(s.t), args...)
}

func (s *site) env() []string { return []string{"PROVIDER_KEY=" + providerKey} }

func (s *site) serveArgs() []string {
	s.t.Helper()
	out, err := exec.Command("sh", "-c", "printf %s '"+clientKey+"' | sha256sum").Output()
	if err != nil {
		s.t.Fatal(err)
	}
	cfg := fmt.Sprintf(`
gateway:
  upstreams:
    openai: {dialect: openai, url: %[1]s, credential: {env: PROVIDER_KEY}}
    anthropic: {dialect: anthropic, url: %[1]s, credential: {env: PROVIDER_KEY}}
    own: {dialect: openai, url: %[1]s, credential: passthrough}
  keys:
    - {id: e2e, sha256: %[2]s, user: %[3]s, role: tester, tenant: acme}
%[4]s`, s.stub.ready["stub"], strings.Fields(string(out))[0], "e2e-app", s.extra)
	file := filepath.Join(s.dir, "steno.yaml")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return []string{"serve", "--data", s.data(), "--config", file, "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0", "--json"}
}

// run runs a command to its end and returns its exit code.
func run(t testing.TB, args ...string) (code int, stdout, stderr []byte) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.Bytes(), errb.Bytes()
}

// verify runs the verifier over the data at rest and wants both verdicts to hold.
func (s *site) verify() {
	s.t.Helper()
	code, out, errb := run(s.t, "verify", s.data(), "--texts", "--json")
	if code != 0 {
		s.t.Errorf("verify exits with %d:\n%s\n%s", code, out, errb)
	}
}

// call posts a body to the gateway. A cut answer comes back with its error.
func call(ctx context.Context, p *process, path string, body []byte, headers ...string) (id string, status int, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.ready["gateway"]+path, bytes.NewReader(body))
	if err != nil {
		return "", 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(path, "/v1/messages") {
		req.Header.Set("X-Api-Key", clientKey)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	} else {
		req.Header.Set("Authorization", "Bearer "+clientKey)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return "", 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	return resp.Header.Get("X-Steno-Exchange"), resp.StatusCode, answer, err
}

// read asks the reading API.
func read(t testing.TB, p *process, path string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.ready["console"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.ready["token"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d, %v: %s", path, resp.StatusCode, err, b)
	}
	return b
}
