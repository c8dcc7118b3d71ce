package stub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func readTally(t *testing.T, path string) (lines []obj) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var v obj
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		lines = append(lines, v)
	}
	return lines
}

func hexSum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestTally(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tally")
	s, err := New(Config{Tally: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	srv := httptest.NewServer(s)
	base := srv.URL
	body, err := json.Marshal(chatBody(stream, obj{"metadata": obj{"tag": "in the body"}}))
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, base, "/v1/chat/completions", string(body), "x-stub", "stall-mid=1h")
	ctx, leave := context.WithCancel(t.Context())
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	lines := readTally(t, path) // its headers are here: so is its line
	want(t, len(lines), 1, "lines")
	want(t, lines[0]["event"], "asked", "event")
	want(t, lines[0]["tag"], "in the body", "tag")
	want(t, lines[0]["request_sha256"], hexSum(body), "request")
	leave()
	resp.Body.Close()

	a := post(t, base, "/v1/chat/completions", chatBody(), "x-stub-tag", "t1")
	cut := post(t, base, "/v1/messages", claudeBody(stream), "x-stub-tag", "t2", "x-stub", "cut")
	srv.Close() // waits for the ends to be written
	byTag := make(map[any][]obj)
	for _, l := range readTally(t, path) {
		byTag[l["tag"]] = append(byTag[l["tag"]], l)
	}
	for _, c := range []struct {
		tag, end, sum string
	}{{"in the body", "gone", ""}, {"t1", "answered", hexSum(a.body)}, {"t2", "cut", hexSum(cut.body)}} {
		l := byTag[c.tag]
		if len(l) != 2 {
			t.Fatalf("%d lines of %s", len(l), c.tag)
		}
		want(t, l[1]["event"], c.end, c.tag)
		want(t, l[1]["call"], l[0]["call"], c.tag+": call")
		if c.sum != "" {
			want(t, l[1]["response_sha256"], c.sum, c.tag+": response")
		}
	}
}

func TestTallyOfMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tally")
	s, err := New(Config{Tally: path})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 20 {
				n, err := s.tally.asked("/", "", [32]byte{byte(i)})
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.tally.ended(n, "answered", 200, 1, "", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	open := make(map[any]bool)
	lines := readTally(t, path)
	for _, l := range lines {
		if want := l["event"] == "answered"; open[l["call"]] != want {
			t.Errorf("out of order: %v", l)
		}
		open[l["call"]] = true
	}
	want(t, len(lines), 16*20*2, "lines")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.tally.asked("/", "", [32]byte{}); err == nil {
		t.Error("a closed tally took a line")
	}
}

func TestTallyThatFails(t *testing.T) {
	if _, err := New(Config{Tally: t.TempDir()}); err == nil {
		t.Error("a directory is no tally")
	}
	s, err := New(Config{Tally: filepath.Join(t.TempDir(), "tally")})
	if err != nil {
		t.Fatal(err)
	}
	s.tally.f.Close()
	for range 2 {
		if _, err := s.tally.asked("/", "", [32]byte{}); err == nil {
			t.Error("acknowledged a line that isn't durable")
		}
	}
}
