//go:build bench

package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is a peer: a proxy, or the model stub itself.
type process struct {
	name   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	addr   string // host:port
	ready  map[string]string
}

// start runs a command until it has printed its line of JSON, in which the member says where it listens.
func start(name, member string, env []string, bin string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(bin, args...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = &p.stderr
	// A peer must not outlive the measurement, however that ends.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("couldn't start %s: %w", name, err)
	}
	r := bufio.NewReader(out)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("%s did not start: %w: %s", name, p.cmd.Wait(), p.stderr.Bytes())
	}
	if err := json.Unmarshal(line, &p.ready); err != nil {
		return nil, fmt.Errorf("%s: the ready line is %q: %w", name, line, err)
	}
	p.addr = strings.TrimPrefix(p.ready[member], "http://")
	go io.Copy(io.Discard, r)
	return p, nil
}

// stop is SIGTERM and a clean end.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s did not stop cleanly: %w: %s", p.name, err, p.stderr.Bytes())
	}
	return nil
}

func (p *process) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// cpu is what the process has used so far, of all its threads.
func (p *process) cpu() (time.Duration, error) {
	var ts unix.Timespec
	id := int32(^p.cmd.Process.Pid<<3 | 2) // the clock of another process, see clock_getcpuclockid(3)
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("couldn't read the CPU time of %s: %w", p.name, err)
	}
	return time.Duration(ts.Nano()), nil
}

// settle waits until the process has done what a load left it to do, at most a few seconds.
func (p *process) settle() error {
	const look, idle = 20 * time.Millisecond, time.Millisecond
	before, err := p.cpu()
	for end := time.Now().Add(5 * time.Second); err == nil && time.Now().Before(end); {
		time.Sleep(look)
		var now time.Duration
		if now, err = p.cpu(); now-before < idle {
			break
		}
		before = now
	}
	return err
}

// peakMemory is the largest resident size so far, in MiB.
func (p *process) peakMemory() float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		var kib float64
		if n, _ := fmt.Sscanf(line, "VmHWM: %f kB", &kib); n == 1 {
			return kib / 1024
		}
	}
	return 0
}

const (
	gatewayKey  = "sk-steno-" + "bench"
	providerKey = "provider-" + "bench"
)

// peers are the processes of one run. Order is that of the tables.
type peers struct {
	stub, bare, floor, steno *process
	data                     string // steno's
}

func (p *peers) all() []*process { return []*process{p.stub, p.bare, p.floor, p.steno} }

func startPeers(dir, bin string) (_ *peers, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &peers{data: filepath.Join(dir, "data")}
	defer func() {
		if err != nil {
			p.kill()
		}
	}()
	if p.stub, err = start("stub", "stub", nil, bin, "stub", "--addr", "127.0.0.1:0", "--json"); err != nil {
		return nil, err
	}
	upstream := "http://" + p.stub.addr
	if p.bare, err = start("bare", "proxy", nil, self, "proxy", "-upstream", upstream); err != nil {
		return nil, err
	}
	if p.floor, err = start("floor", "proxy", nil, self, "proxy", "-upstream", upstream, "-log", filepath.Join(dir, "floor.log")); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(gatewayKey))
	config := filepath.Join(dir, "steno.yaml")
	text := fmt.Sprintf(`gateway:
  upstreams:
    openai: {dialect: openai, url: %q, credential: {env: PROVIDER_KEY}}
  keys:
    - {id: bench, sha256: %s, user: bench-app, role: service, tenant: acme}
`, upstream, hex.EncodeToString(sum[:]))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p.steno, err = start("steno", "gateway", []string{"PROVIDER_KEY=" + providerKey}, bin,
		"serve", "--data", p.data, "--config", config, "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0", "--json")
	return p, err
}

func (p *peers) kill() {
	for _, q := range p.all() {
		if q != nil {
			q.kill()
		}
	}
}
