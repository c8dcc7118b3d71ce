package seal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// dictionaryHash fixes the dictionary of format 1: it is part of the format, and logs that were written with it must
// open for ever.
const dictionaryHash = "59a9f46bcf8176da9eb2090ba4590b8c0e3ef7cc906bf4e025ea2df60efcf5ae"

var makeDictionary = flag.Bool("make-dictionary", false, "write dictionary.v1 anew from testdata/dictionary: only for a new codec")

func TestDictionary(t *testing.T) {
	if *makeDictionary {
		if err := os.WriteFile("dictionary.v1", buildDictionary(t), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Skip("written; run the tests again")
	}
	h := sha256.Sum256(dictionary)
	if got := hex.EncodeToString(h[:]); got != dictionaryHash {
		t.Errorf("the dictionary's SHA-256 is %s, format 1 has %s", got, dictionaryHash)
	}
	if len(dictionary) > 16<<10 {
		t.Errorf("the dictionary has %d bytes", len(dictionary))
	}
}

// buildDictionary puts the samples together as they look when they are compressed: what is met most often comes last,
// where references to it are shortest.
func buildDictionary(t *testing.T) []byte {
	var out []byte
	add := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", "dictionary", name))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.TrimSuffix(b, []byte("\n"))
	}
	out = append(out, add("words.txt")...)
	out = append(out, add("answers.txt")...)
	out = append(out, add("requests.txt")...)
	var structures, values []byte
	for _, name := range []string{"messages.sse", "responses.sse", "chat.sse"} {
		e, n := readStream(add(name))
		s, text := e.parts(n)
		structures = append(structures, s...)
		values = append(values, text...)
	}
	out = append(append(out, structures...), values...)
	out = append(out, add("heads.txt")...)
	for _, e := range []*steno.Event{sampleResponse(), sampleRequest()} {
		for _, s := range []steno.Section{steno.SectionContext, steno.SectionIdentity, steno.SectionMetadata} {
			fields, err := e.Fields(s)
			if err != nil {
				t.Fatal(err)
			}
			if out, err = appendFields(out, fields); err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}

var sampleTime = time.Date(2026, 11, 23, 12, 0, 0, 123456000, time.UTC)

func sampleSteps(names ...string) []steno.Step {
	var out []steno.Step
	for _, n := range names {
		out = append(out, steno.Step{Name: n, Start: sampleTime, End: sampleTime, Outcome: "ok"})
	}
	return out
}

func sampleRequest() *steno.Event {
	return &steno.Event{
		Type: "inference.request", Time: sampleTime, TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", Parent: "00f067aa0ba902b7",
		Flags: []steno.Flag{"personal_data"},
		Identity: &steno.Identity{
			User: "user@example.com", UserSource: "header", Asserted: []string{"user.id"}, Tenant: "default",
			Key: "key1", Caller: "app", Auth: "key", CredentialMAC: "mac:0123456789abcdef0123456789abcdef", Conversation: "conv1",
			Address: "127.0.0.1", UserAgent: "OpenAI/Python 1.109.1",
		},
		Model: &steno.Model{
			Provider: "openai", Operation: "chat", Asked: "gpt-4o-mini", Stream: true, Dialect: "openai", API: "chat_completions",
			Upstream: "openai", Server: "api.openai.com", Method: "POST", Path: "/v1/chat/completions", Understood: true,
			Parameters: map[string]json.RawMessage{
				"max_tokens": json.RawMessage("1024"), "model": json.RawMessage(`"gpt-4o-mini"`), "stream": json.RawMessage("true"),
				"stream_options": json.RawMessage(`{"include_usage":true}`), "temperature": json.RawMessage("0.7"), "tool_choice": json.RawMessage(`"auto"`),
			},
		},
		Prompt: &steno.Prompt{Bytes: 1234, Messages: 12, New: 1, Tools: []string{"search", "lookup"}},
		Timing: &steno.Timing{Received: sampleTime, Steps: sampleSteps("received", "identity")},
		Safety: &steno.Safety{
			Checks: []steno.Check{
				{Name: "secrets", Version: "1", Direction: "in", Outcome: "done", Micros: 120},
				{Name: "injection", Version: "1", Direction: "in", Outcome: "done", Micros: 80},
			},
			Action: "record",
		},
	}
}

func sampleResponse() *steno.Event {
	n := int64(123)
	return &steno.Event{
		Type: "inference.response", Time: sampleTime,
		Model: &steno.Model{
			Provider: "anthropic", Operation: "chat", Asked: "gpt-4o-mini", Answered: "gpt-4o-mini-2024-07-18", Version: "gpt-4o-mini-2024-07-18",
			VersionSource: "response.model", Fingerprint: "fp_50906f2aac", ServiceTier: "default", Stream: true, Dialect: "anthropic", API: "messages",
			Upstream: "anthropic", Server: "api.anthropic.com", Understood: true,
		},
		Result: &steno.Result{
			ID: "chatcmpl-", RequestID: "req_", End: steno.EndComplete, Status: 200, FinishReasons: []string{"stop"}, State: "completed",
			Usage:     &steno.Usage{Source: "reported", Input: &n, Output: &n, CacheRead: &n, CacheWrite: &n, Reasoning: &n, Total: &n},
			Cost:      &steno.Cost{USD: "0.000123", Row: "a1b2c3d4", Date: "2025-08-07", State: "priced"},
			ToolCalls: []steno.ToolCall{{ID: "call_", Name: "search", Type: "function"}}, Bytes: 1234,
		},
		Timing: &steno.Timing{
			Received: sampleTime, Forwarded: sampleTime, FirstByte: sampleTime, FirstToken: sampleTime, Finished: sampleTime, LatencyMS: 1234.567,
			TTFT: 0.123, Steps: sampleSteps("answer"),
		},
	}
}
