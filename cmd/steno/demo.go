package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/steno-audit/steno/internal/demo"
)

func demoCommand() *cobra.Command {
	var f serveFlags
	var quiet bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run everything offline: server, model stub and sample traffic in a fresh directory",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), f, quiet, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.register(c)
	c.Flags().BoolVar(&quiet, "no-traffic", false, "send no sample traffic")
	c.Flags().Lookup("data").Usage = "data directory (default: a fresh one among the temporary files)"
	return c
}

func runDemo(ctx context.Context, f serveFlags, quiet bool, stdout, stderr io.Writer) error {
	if f.data == "" && os.Getenv("STENO_DATA") == "" {
		dir, err := os.MkdirTemp("", "steno-demo-")
		if err != nil {
			return fmt.Errorf("couldn't make a directory for the demo: %w", err)
		}
		f.data = dir + "/data"
	}
	cfg, err := loadConfig(f, os.Getenv)
	if err != nil {
		return err
	}
	stubURL, stopStub, err := startStub(ctx)
	if err != nil {
		return err
	}
	defer stopStub()
	key, keys, err := demoKeys()
	if err != nil {
		return err
	}
	cfg.Gateway.Keys = append(cfg.Gateway.Keys, keys...)
	const any = "STENO_DEMO_CREDENTIAL" // the stub accepts every credential
	if err := os.Setenv(any, "demo-credential"); err != nil {
		return err
	}
	cfg.Gateway.Upstreams = map[string]upstreamConfig{
		"openai":    {Dialect: "openai", URL: stubURL, Credential: credential{Secret: secret{Env: any}}},
		"anthropic": {Dialect: "anthropic", URL: stubURL, Credential: credential{Secret: secret{Env: any}}},
	}
	traffic := trafficRunner{quiet: quiet}
	defer traffic.stop()
	return runServer(ctx, cfg, true, func(s *server) error {
		s.ready.Key = key["sdk"]
		if err := printDemo(s, stdout, f.json); err != nil {
			return err
		}
		traffic.start(s.ready.Gateway, key, stderr)
		return nil
	}, stderr)
}

// startStub runs the model stub as a process of its own, which dies with this one.
func startStub(ctx context.Context) (url string, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, fmt.Errorf("couldn't find this program to start the stub: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, "stub", "--addr", "127.0.0.1:0", "--json")
	cmd.Stderr = os.Stderr
	dieWithParent(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("couldn't start the stub: %w", err)
	}
	stop = sync.OnceFunc(func() {
		if err := cmd.Process.Signal(os.Interrupt); err == nil || errors.Is(err, os.ErrProcessDone) {
			cmd.Wait() //nolint:errcheck // it was told to end
		}
	})
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var started struct {
		Stub string `json:"stub"`
	}
	if err == nil {
		err = json.Unmarshal(line, &started)
	}
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the stub did not start: %w", err)
	}
	return started.Stub, stop, nil
}

// demoKeys makes a key for each sample application, and one for the person at the keyboard.
func demoKeys() (map[string]string, []gatewayKey, error) {
	byName := map[string]string{}
	var entries []gatewayKey
	add := func(id, user, role, team string) error {
		k, err := newKey()
		if err != nil {
			return err
		}
		byName[id] = k
		entries = append(entries, gatewayKey{ID: id, SHA256: hashKey(k), User: user, Role: role, Team: team, Tenant: "demo"})
		return nil
	}
	err := add("sdk", "you", "developer", "demo")
	for _, a := range demo.Apps() {
		err = errors.Join(err, add(a.ID, a.User, a.Role, a.Team))
	}
	return byName, entries, err
}

func printDemo(s *server, w io.Writer, asJSON bool) error {
	if asJSON {
		return s.printReady(w, true)
	}
	_, err := fmt.Fprintf(w, `steno %[1]s: a demo with a model stub and sample traffic. Nothing leaves this machine.

  console   %[2]s
  data      %[3]s

For the OpenAI SDKs:
  export OPENAI_BASE_URL=%[4]s/v1
  export OPENAI_API_KEY=%[5]s

For the Anthropic SDKs and coding agents:
  export ANTHROPIC_BASE_URL=%[4]s
  export ANTHROPIC_API_KEY=%[5]s

Or, pasted as it is:
  curl -si %[4]s/v1/chat/completions -H 'Authorization: Bearer %[5]s' -H 'Content-Type: application/json' -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"What does a court reporter do?"}]}'

Read it back:
  export STENO_SERVER=%[6]s STENO_TOKEN=%[7]s
  steno list
  steno show ID            # the id in the answer's x-steno-exchange header
  steno verify %[3]s

Ctrl-C stops it.
`, version(), s.consoleLink(), s.ready.Data, s.ready.Gateway, s.ready.Key, s.ready.Console, s.ready.Token)
	return err
}

// trafficRunner sends the sample traffic until it is stopped.
type trafficRunner struct {
	quiet  bool
	cancel context.CancelFunc
	done   chan struct{}
}

func (t *trafficRunner) start(gateway string, keys map[string]string, stderr io.Writer) {
	if t.quiet {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.cancel, t.done = cancel, make(chan struct{})
	go func() {
		defer close(t.done)
		if err := demo.Run(ctx, demo.Config{Gateway: gateway, Keys: keys, Every: 2 * time.Second}); err != nil && ctx.Err() == nil {
			fmt.Fprintln(stderr, "steno: the sample traffic stopped:", err)
		}
	}()
}

func (t *trafficRunner) stop() {
	if t.cancel != nil {
		t.cancel()
		<-t.done
	}
}
