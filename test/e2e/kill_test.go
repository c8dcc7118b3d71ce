//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// answered is a call whose answer arrived whole.
type answered struct {
	tag, id string
	body    []byte
}

// TestKillUnderLoad kills the server at random moments while calls are under way. Every request that the upstream saw has
// its record, every answer that a client got whole is returned byte for byte, none is there twice, and what was cut is
// recorded as unknown.
func TestKillUnderLoad(t *testing.T) {
	kills := 20
	if s := os.Getenv("KILLS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	s := newSite(t)
	var mu sync.Mutex
	var whole []answered
	for k := range kills {
		p := s.serve()
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for w := range 6 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					tag := fmt.Sprintf("tag-%d-%d-%d", k, w, i)
					path, body := loadCall(tag, w+i)
					id, status, answer, err := call(ctx, p, path, body, "X-Stub-Tag", tag)
					if err == nil && status == 200 {
						mu.Lock()
						whole = append(whole, answered{tag, id, answer})
						mu.Unlock()
					}
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(300)) * time.Millisecond) // when it dies is the test's chance, not its wait
		p.kill()
		cancel()
		wg.Wait()
	}
	p := s.serve()
	checkAfterKills(t, s, p, whole)
	p.stop()
	s.verify()
	t.Logf("%d kills, %d answers whole, all on record", kills, len(whole))
}

// loadCall is one of several kinds of call.
func loadCall(tag string, n int) (path string, body []byte) {
	switch n % 4 {
	case 0:
		return "/v1/chat/completions", fmt.Appendf(nil, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Question %s"}],"user":"u%d"}`, tag, n%7)
	case 1:
		return "/v1/chat/completions", fmt.Appendf(nil, `{"model":"gpt-4o-mini+delay=1ms","stream":true,"messages":[{"role":"user","content":"Question %s"}]}`, tag)
	case 2:
		return "/v1/messages", fmt.Appendf(nil, `{"model":"claude-sonnet-4-5","max_tokens":200,"stream":true,"messages":[{"role":"user","content":"Question %s"}]}`, tag)
	}
	return "/v1/responses", fmt.Appendf(nil, `{"model":"gpt-4.1-mini","input":"Question %s"}`, tag)
}

// row is a line of `list --json`.
type row struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	Status string    `json:"status"`
}

// allRows reads every exchange, a page of the newest at a time.
func allRows(t *testing.T, p *process) []row {
	t.Helper()
	seen := map[string]bool{}
	var rows []row
	until := ""
	for {
		code, out, errb := run(t, append([]string{"list", "--server", p.ready["console"], "--token", p.ready["token"], "--limit", "1000", "--json"}, strings.Fields(until)...)...)
		if code != 0 {
			t.Fatalf("list exits with %d: %s", code, errb)
		}
		fresh := 0
		for line := range bytes.Lines(out) {
			var r row
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			if fresh == 0 && !seen[r.ID] {
				until = "--until " + r.Time.Add(time.Nanosecond).Format(time.RFC3339Nano) // the oldest of the page stands first
			}
			if !seen[r.ID] {
				seen[r.ID] = true
				fresh++
				rows = append(rows, r)
			}
		}
		if fresh == 0 {
			return rows
		}
	}
}

func checkAfterKills(t *testing.T, s *site, p *process, whole []answered) {
	t.Helper()
	byTag := map[string][]row{}
	unknown := 0
	for _, r := range allRows(t, p) {
		req := read(t, p, "/api/exchanges/"+r.ID+"/raw/request?reveal=1")
		i := bytes.Index(req, []byte("Question "))
		if i < 0 {
			t.Fatalf("the request of %s is %q", r.ID, req)
		}
		tag, _, _ := bytes.Cut(req[i+len("Question "):], []byte(`"`))
		byTag[string(tag)] = append(byTag[string(tag)], r)
		switch r.Status {
		case "open":
			t.Errorf("%s is still open", r.ID)
		case "unknown":
			unknown++
		}
	}
	f, err := os.Open(s.tally)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen := 0
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var l struct{ Event, Tag string }
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
		if l.Tag == "" || l.Event != "asked" {
			continue
		}
		seen++
		if n := len(byTag[l.Tag]); n != 1 {
			t.Errorf("the upstream saw %s, the log has it %d times", l.Tag, n)
		}
	}
	for tag, rows := range byTag {
		if len(rows) > 1 {
			t.Errorf("%s is on record %d times", tag, len(rows))
		}
	}
	for _, a := range whole {
		got := read(t, p, "/api/exchanges/"+a.id+"/raw/response?reveal=1")
		if !bytes.Equal(got, a.body) {
			t.Errorf("the answer to %s has %d bytes on record, the client got %d", a.tag, len(got), len(a.body))
		}
		if rows := byTag[a.tag]; len(rows) != 1 || rows[0].ID != a.id {
			t.Errorf("the answer to %s named the exchange %s, on record is %v", a.tag, a.id, rows)
		}
	}
	if seen == 0 || len(whole) == 0 {
		t.Errorf("the upstream saw %d requests, clients got %d answers: the load did not run", seen, len(whole))
	}
	t.Logf("the upstream saw %d requests; %d exchanges on record, %d of them unknown", seen, len(byTag), unknown)
}
