//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steno-audit/steno/internal/hunt"
)

const providerKey = "sk-provider-" + "c4n4ry0provider0key0of0e2e"

// TestHunt puts a canary into every field, then looks for each of them wherever steno writes.
func TestHunt(t *testing.T) {
	c := map[string]hunt.Canary{}
	for _, f := range []string{"system", "input", "tool", "document", "output", "alert"} {
		c[f] = hunt.New(f)
	}
	for _, f := range []string{"user", "role", "key label", "conversation", "user agent", "query", "model", "document id", "header", "event id", "event actor", "caller's key"} {
		c[f] = hunt.NewPlain(f)
	}
	c["provider key"] = hunt.Canary{Field: "provider key", Word: providerKey}
	c["gateway key"] = hunt.Canary{Field: "gateway key", Word: clientKey}
	c["address"] = hunt.Canary{Field: "address", Word: "127.113.97.201"}
	var all []hunt.Canary
	for _, x := range c {
		all = append(all, x)
	}
	if err := hunt.Check(t.TempDir(), all); err != nil {
		t.Fatal(err)
	}

	s := newSite(t)
	temp := filepath.Join(s.dir, "temp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	s.extra = fmt.Sprintf("    - {id: labelled, sha256: \"%064d\", user: %q, role: r, team: t}\n", 1, c["key label"].Word)
	p := s.serve()
	local := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(c["address"].Word)}}).DialContext}
	post := func(path, body string, headers ...string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.ready["gateway"]+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+clientKey)
		req.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		resp, err := local.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.Header.Get("X-Steno-Exchange")
	}
	secret := "AKIA" + "Q3EGWZ7JX5" + "PLM2RT"
	chat := func(stream bool) string {
		return string(encode(obj{
			"model": "gpt-4o-mini+" + "words=30", "stream": stream, "user": c["user"].Word, "metadata": obj{"m": c["model"].Word},
			"tools": []any{obj{"type": "function", "function": obj{"name": "f", "description": c["tool"].Word}}},
			"messages": []any{
				obj{"role": "system", "content": c["system"].Word},
				obj{"role": "user", "content": c["input"].Word + " " + secret},
				obj{"role": "assistant", "tool_calls": []any{obj{"id": "c1", "type": "function", "function": obj{"name": "f", "arguments": "{}"}}}},
				obj{"role": "tool", "tool_call_id": "c1", "content": c["document"].Word},
				obj{"role": "user", "content": "Repeat exactly: " + c["output"].Word},
			},
		}))
	}
	headers := []string{
		"User-Agent", c["user agent"].Word, "X-Steno-User", c["user"].Word, "X-Steno-Role", c["role"].Word, "X-Steno-Conversation", c["conversation"].Word,
		"X-Steno-Document", "id=" + c["document id"].Word + "; index=kb", "X-Custom", c["header"].Word,
	}
	id := post("/v1/chat/completions?q="+c["query"].Word+"&api_key="+c["caller's key"].Word, chat(false), headers...)
	post("/v1/chat/completions", chat(true), headers...)
	post("/v1/chat/completions", chat(false), append(headers, "Authorization", "Bearer "+c["caller's key"].Word)...)
	post("/own/v1/chat/completions", chat(false), append(headers, "Authorization", "Bearer "+c["caller's key"].Word)...)
	post("/v1/chat/completions", `{"broken": "`+c["input"].Word, headers...)
	post("/v1/unknown", `{"x":"`+c["alert"].Word+`"}`, headers...)
	post("/v1/chat/completions", string(encode(obj{"model": "gpt-4o-mini", "messages": []any{obj{"role": "user", "content": strings.Repeat(c["input"].Word+" ", 60_000)}}})), headers...)
	post("/v1/events", string(encode(obj{
		"type": "governance.model_approved", "time": "2026-11-23T10:00:00Z", "origin": obj{"source": "hunt", "id": c["event id"].Word},
		"system": obj{"action": "approve", "actor": c["event actor"].Word, "target": "m", "outcome": "ok"},
	})))
	if len(read(t, p, "/api/exchanges/"+id)) == 0 || len(read(t, p, "/api/exchanges?user="+c["user"].Word)) == 0 {
		t.Error("nothing is read back")
	}
	p.stop()
	again := s.serve() // recovery writes too
	again.stop()
	s.verify()
	if code, _, errb := run(t, "list", "--data", s.data()); code != 0 {
		t.Errorf("list at rest exits with %d: %s", code, errb)
	}
	for name, b := range map[string][]byte{
		"stdout": p.stdout.Bytes(), "stderr": p.stderr.Bytes(), "stdout of the second start": again.stdout.Bytes(), "stderr of the second start": again.stderr.Bytes(),
	} {
		for _, h := range hunt.In(name, b, all) {
			t.Error(h)
		}
	}
	hits, looked, err := hunt.Files(all, s.data(), s.data()+".keys", s.data()+".anchor", temp)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hits {
		t.Error(h)
	}
	cores, err := filepath.Glob(filepath.Join(s.dir, "core*"))
	if err != nil || len(cores) > 0 {
		t.Errorf("core files: %v %v", cores, err)
	}
	t.Logf("%d canaries looked for in %d files", len(all), looked)
}
