package steno_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func ExampleTransport() {
	client := &steno.Client{URL: "http://127.0.0.1:4600", Key: os.Getenv("STENO_KEY"), Source: "billing-app"}
	defer client.Close(context.Background())

	models := &http.Client{Transport: &steno.Transport{Client: client}}

	ctx := steno.WithIdentity(context.Background(), steno.Identity{User: "ana", Role: "clerk"})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.openai.com/v1/chat/completions", strings.NewReader(`{"model":"gpt-4o-mini","messages":[]}`))
	if err != nil {
		return
	}
	resp, err := models.Do(req) // an error where the request could not be recorded: then it was not sent
	if err != nil {
		return
	}
	defer resp.Body.Close()
}

func generate(ctx context.Context, prompt string) string { return prompt }

func ExampleClient_Begin() {
	client := &steno.Client{URL: "http://127.0.0.1:4600", Key: os.Getenv("STENO_KEY"), Source: "billing-app"}
	defer client.Close(context.Background())

	answer := func(ctx context.Context, user, prompt string) (string, error) {
		ex, err := client.Begin(ctx, steno.Event{Identity: &steno.Identity{User: user}}) // durable: a call came in
		if err != nil {
			return "", err
		}
		if err := ex.Prompt(ctx, prompt); err != nil {
			return "", err
		}
		if err := ex.Model(ctx, steno.Model{Asked: "own-7b", Version: "2026-11-01"}); err != nil {
			return "", err
		}
		if err := ex.Check(ctx, steno.Check{Name: "own/pii", Version: "3", Direction: "in", Outcome: "done"}); err != nil {
			return "", err
		}
		said := generate(ex.Context(ctx), prompt)
		if err := ex.Respond(ctx, said); err != nil { // durable: now it may be shown
			return "", err
		}
		return said, ex.End(ctx, steno.Result{FinishReasons: []string{"stop"}})
	}
	_ = answer
}

func ExampleClient_spool() {
	client := &steno.Client{
		URL: "http://127.0.0.1:4600", Key: os.Getenv("STENO_KEY"), Source: "billing-app",
		Spool: "/var/lib/billing-app/steno.spool",
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := client.Flush(ctx); err != nil { // what an earlier run left
		fmt.Println(err)
	}
}

func ExampleNewLogHandler() {
	client := &steno.Client{URL: "http://127.0.0.1:4600", Key: os.Getenv("STENO_KEY"), Source: "registry"}
	defer client.Close(context.Background())

	log := slog.New(steno.NewLogHandler(client, slog.Default().Handler()))
	log.Info("passed the review", "event", "governance.model_approved", "actor", "eva", "target", "own-7b", "outcome", "approved")
}

// TestDocSDK holds the Go of docs/sdk.md to be the examples above, which compile.
func TestDocSDK(t *testing.T) {
	page, err := os.ReadFile(filepath.FromSlash("docs/sdk.md"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("sdk_example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 4 {
		t.Fatalf("docs/sdk.md has %d blocks of Go", len(blocks))
	}
	for _, b := range blocks {
		var indented strings.Builder
		for line := range strings.Lines(b[1]) {
			if line != "\n" {
				indented.WriteByte('\t')
			}
			indented.WriteString(line)
		}
		if !strings.Contains(string(source), indented.String()) {
			t.Errorf("no example has what docs/sdk.md shows:\n%s", b[1])
		}
	}
}
