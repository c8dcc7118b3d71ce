package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the scripts run this binary as steno.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"steno": main})
}

// TestScripts runs the command line as processes of their own, as testdata/script tells it.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			// A secret is put together here, so that none stands in a file of the repository.
			e.Setenv("SECRET", strings.Join([]string{"sk", "script", strings.Repeat("Q7z", 8)}, "-"))
			var servers []*exec.Cmd
			e.Values[serversKey{}] = &servers
			e.Defer(func() {
				if err := stopServers(&servers); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "fill": fill, "validjson": validJSON, "server": serveScript, "stop": stopScript,
			"call": callScript(10 * time.Second), "callonce": callScript(0), "keyof": keyOf, "signtoken": signToken,
		},
	})
}

// exits runs a program that must end with an exit code: exits CODE PROGRAM ARG… Its output is for stdout and stderr.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	script := []string{"-c", `"$@"; echo "exit code $?"`, "sh"}
	ts.Check(ts.Exec("sh", append(script, args[1:]...)...))
	out := ts.ReadFile("stdout")
	if want := "exit code " + args[0] + "\n"; !strings.HasSuffix(out, want) {
		ts.Fatalf("%s: want %s, got %s\n%s", args[1:], want, out, ts.ReadFile("stderr"))
	}
}

// fill writes a file with the variables in it replaced: fill FILE.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: fill FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile(args[0]), "@SECRET@", ts.Getenv("SECRET"))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// validJSON demands that the last standard output is one JSON value.
func validJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 0 || json.Valid([]byte(ts.ReadFile("stdout"))) == neg {
		ts.Fatalf("the output is JSON: %v", neg)
	}
}

// serveScript runs a server until `stop` or the end of the script; it waits until the server is ready and sets PID,
// GATEWAY, CONSOLE and TOKEN:
// server serve|demo ARG…
func serveScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server COMMAND ARG…")
	}
	// Scripts have their own PATH, in which the program is.
	cmd := exec.Command("sh", append([]string{"-c", `PATH=$0 exec steno "$@"`, ts.Getenv("PATH")},
		slices.Concat(args, []string{"--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0", "--json"})...)...)
	cmd.Dir = ts.MkAbs(".")
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	servers := ts.Value(serversKey{}).(*[]*exec.Cmd)
	*servers = append(*servers, cmd)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	ts.Check(err)
	var r ready
	ts.Check(json.Unmarshal(line, &r))
	ts.Setenv("PID", strconv.Itoa(cmd.Process.Pid))
	ts.Setenv("GATEWAY", r.Gateway)
	ts.Setenv("CONSOLE", r.Console)
	ts.Setenv("TOKEN", r.Token)
}

// keyOf sets a variable to the key that `steno key new` has printed: keyof FILE NAME.
func keyOf(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keyof FILE NAME")
	}
	first, _, _ := strings.Cut(ts.ReadFile(args[0]), "\n")
	ts.Setenv(args[1], first)
}

// callScript asks the gateway for a chat completion with a key ("-" for none) until it answers with the status, for some
// time at most; the answer's body is in the file "answer": call STATUS KEY [HEADER VALUE]…
func callScript(patience time.Duration) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: call STATUS KEY [HEADER VALUE]…")
		}
		until := time.Now().Add(patience)
		for {
			status, body := askOnce(ts, args[1], args[2:])
			ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
			if strconv.Itoa(status) == args[0] {
				return
			}
			if time.Now().After(until) {
				ts.Fatalf("answered %d %s, want %s", status, body, args[0])
			}
		}
	}
}

func askOnce(ts *testscript.TestScript, key string, headers []string) (int, []byte) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, ts.Getenv("GATEWAY")+"/v1/chat/completions",
		strings.NewReader(`{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}`))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if key != "-" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	body, err := io.ReadAll(resp.Body)
	ts.Check(errors.Join(err, resp.Body.Close()))
	return resp.StatusCode, body
}

type serversKey struct{}

// stopScript ends the servers in good order.
func stopScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: stop")
	}
	ts.Check(stopServers(ts.Value(serversKey{}).(*[]*exec.Cmd)))
}

func stopServers(servers *[]*exec.Cmd) error {
	var failed error
	for _, cmd := range *servers {
		failed = errors.Join(failed, cmd.Process.Signal(os.Interrupt), cmd.Wait())
	}
	*servers = nil
	return failed
}
