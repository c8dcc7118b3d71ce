package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestQuickstartByHand runs the two programs of docs/quickstart.md that log one call by hand, as they stand on the page,
// against a server of its own, and reads back what they logged.
func TestQuickstartByHand(t *testing.T) {
	page, err := os.ReadFile("../../docs/quickstart.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cfg, err := loadConfig(serveFlags{data: filepath.Join(dir, "data"), gateway: "127.0.0.1:0", console: "127.0.0.1:0"}, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	s, err := startServer(t.Context(), cfg, false, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(context.WithoutCancel(t.Context()), "test"); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct{ language, file, id, says string }{
		{"go", "main.go", "call-1042", "durable"},
		{"python", "main.py", "call-1043", `"accepted":["`},
	} {
		t.Run(c.language, func(t *testing.T) {
			block := regexp.MustCompile("(?ms)^```" + c.language + "\n(.*?)^```").FindStringSubmatch(string(page))
			if block == nil {
				t.Fatalf("docs/quickstart.md has no block of %s", c.language)
			}
			name := filepath.Join(dir, c.file)
			if err := os.WriteFile(name, []byte(block[1]), 0o600); err != nil {
				t.Fatal(err)
			}
			run := []string{"go", "run", name}
			if c.language == "python" {
				python, err := exec.LookPath("python3")
				if err != nil {
					t.Skip("there is no python3")
				}
				run = []string{python, name}
			}
			cmd := exec.CommandContext(t.Context(), run[0], run[1:]...)
			cmd.Env = append(os.Environ(), "STENO_URL="+s.ready.Gateway, "STENO_KEY=")
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.says) {
				t.Fatalf("%v: %s", err, out)
			}
			x := shownCall(t, s, c.id)
			for _, want := range []string{"What is due on 1042?", "312 euros.", `"user.id":"ana"`, `"gen_ai.request.model":"own-7b"`, `"steno.usage.total_tokens":52`, `"personal_data"`, "steno.latency_ms", `"source":"billing-app"`} {
				if !strings.Contains(x, want) {
					t.Errorf("what is on record has no %s: %s", want, x)
				}
			}
		})
	}
}

// shownCall asks the reading API for the exchange whose record has the origin's id.
func shownCall(t *testing.T, s *server, origin string) string {
	t.Helper()
	get := func(path string) []byte {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ready.Console+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+s.ready.Token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, resp.StatusCode, b, err)
		}
		return b
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil { // the index follows the log
		var list struct {
			Rows []struct {
				ID string `json:"id"`
			} `json:"rows"`
		}
		if err := json.Unmarshal(get("/api/exchanges"), &list); err != nil {
			t.Fatal(err)
		}
		for _, x := range list.Rows {
			if shown := string(get("/api/exchanges/" + x.ID)); strings.Contains(shown, `"`+origin+`"`) {
				return shown
			}
		}
	}
	t.Fatalf("nothing on record has the id %s", origin)
	return ""
}
