//go:build wire

package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// TestRecordedTrafficThroughTheGateway replays every recorded exchange through the real binary: the client gets the recorded
// bytes, the log gives both bodies back byte for byte, and what it says of the answer is what the parsers say.
func TestRecordedTrafficThroughTheGateway(t *testing.T) {
	ex := Load(t)
	upstream := httptest.NewServer(Replay(ex))
	defer upstream.Close()
	ready, stop := startGateway(t, upstream.URL)
	understood, all := map[string]int{}, map[string]int{}
	for n, e := range ex {
		req, err := http.NewRequestWithContext(context.Background(), e.Method, ready["gateway"]+"/"+e.Provider+e.Path, bytes.NewReader(e.Request))
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range e.RequestHeader {
			if k != "Accept-Encoding" && k != "Content-Length" && k != "Connection" && k != "Host" {
				req.Header[k] = v
			}
		}
		req.Header.Set(ReplayID, strconv.Itoa(n))
		res, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(e.ID, err)
		}
		got, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != e.Status || !bytes.Equal(got, e.Response) {
			t.Fatalf("%s: status %d, %d bytes, %v; recorded %d, %d", e.ID, res.StatusCode, len(got), err, e.Status, len(e.Response))
		}
		id := res.Header.Get("X-Steno-Exchange")
		for side, want := range map[string][]byte{"request": e.Request, "response": e.Response} {
			if raw := ask(t, ready, "/api/exchanges/"+id+"/raw/"+side+"?reveal=1"); !bytes.Equal(raw, want) {
				t.Errorf("%s: the %s on record has %d bytes, the wire had %d", e.ID, side, len(raw), len(want))
			}
		}
		all[e.Provider]++
		if same(t, ready, id, e) {
			understood[e.Provider]++
		}
	}
	stop()
	for _, p := range providers {
		if all[p.name] == 0 {
			continue
		}
		t.Logf("%-14s %4d exchanges through the gateway, %3d %% understood", p.name, all[p.name], understood[p.name]*100/all[p.name])
	}
}

// same compares what the record says with what the parsers say of the recorded bytes. It reports whether the call is one
// that is understood.
func same(t *testing.T, ready map[string]string, id string, e Exchange) bool {
	t.Helper()
	var x struct {
		Model  steno.Model  `json:"model_used"`
		Result steno.Result `json:"result"`
	}
	if err := json.Unmarshal(ask(t, ready, "/api/exchanges/"+id), &x); err != nil {
		t.Fatal(e.ID, err)
	}
	call := e.Call()
	if call.API == "" {
		return false
	}
	want := call.ParseResponse(e.Status, e.ResponseHeader, e.Response, call.ParseRequest(e.Request, e.RequestHeader).UsageRequested)
	usage := func(u *steno.Usage) string { b, _ := json.Marshal(u); return string(b) }
	if usage(x.Result.Usage) != usage(want.Result.Usage) || !slices.Equal(x.Result.FinishReasons, want.Result.FinishReasons) ||
		x.Model.Answered != want.Model.Answered || fmt.Sprint(x.Result.ToolCalls) != fmt.Sprint(want.Result.ToolCalls) {
		t.Errorf("%s: on record %s %v %s %v, the parsers say %s %v %s %v", e.ID, usage(x.Result.Usage), x.Result.FinishReasons, x.Model.Answered, x.Result.ToolCalls,
			usage(want.Result.Usage), want.Result.FinishReasons, want.Model.Answered, want.Result.ToolCalls)
	}
	return true
}

func ask(t *testing.T, ready map[string]string, path string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, ready["console"]+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+ready["token"])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d, %v: %s", path, res.StatusCode, err, b)
	}
	return b
}

// startGateway builds and starts steno before the replaying upstream. stop ends it and verifies what it wrote.
func startGateway(t *testing.T, upstream string) (ready map[string]string, stop func()) {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "steno")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/steno").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cfg := "gateway:\n  upstreams:\n"
	for _, p := range providers {
		if !slices.Contains(dialect.Dialects, p.dialect) {
			continue
		}
		cfg += fmt.Sprintf("    %s: {dialect: %s, url: %s, credential: passthrough}\n", p.name, p.dialect, upstream)
	}
	file, data := filepath.Join(dir, "steno.yaml"), filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, "serve", "--config", file, "--data", data, "--gateway", "127.0.0.1:0", "--console", "127.0.0.1:0", "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, &ready) != nil {
		t.Fatalf("steno did not start: %v\n%s", err, stderr.String())
	}
	return ready, func() {
		t.Helper()
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("steno did not stop cleanly: %v\n%s", err, stderr.String())
		}
		if out, err := exec.Command(bin, "verify", data, "--texts").CombinedOutput(); err != nil {
			t.Errorf("verify: %v\n%s", err, out)
		}
	}
}
