//go:build wire

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// TestRecordedTrafficIsRead puts every recorded exchange through the parsers: the pieces make the bytes again, and all
// on the paths that are understood is understood.
func TestRecordedTrafficIsRead(t *testing.T) {
	understood, others := map[string]int{}, map[string]int{}
	for _, e := range Load(t) {
		call, ok := dialect.Route(e.Method, e.Path, e.RequestHeader)
		if !ok || call.Dialect != e.Provider {
			t.Fatalf("%s: %s %s is routed to %+v", e.ID, e.Method, e.Path, call)
		}
		req := call.ParseRequest(e.Request, e.RequestHeader)
		res := call.ParseResponse(e.Status, e.ResponseHeader, e.Response, false)
		for what, c := range map[string]struct {
			pieces []steno.Piece
			body   []byte
		}{"request": {req.Pieces, e.Request}, "response": {res.Pieces, e.Response}} {
			if got, err := steno.Join(c.pieces); err != nil || !bytes.Equal(got, c.body) {
				t.Errorf("%s: the pieces of the %s do not make it again (%v)", e.ID, what, err)
			}
		}
		if call.API == "" {
			others[e.Method+" "+pattern(e.Path)]++
			continue
		}
		understood[e.Method+" "+pattern(e.Path)]++
		if !req.Understood || !res.Understood || req.Problem != "" || res.Problem != "" {
			t.Errorf("%s %s %s: request %q, response %q", e.ID, e.Method, e.Path, req.Problem, res.Problem)
		}
		for _, w := range append(req.Texts, res.Texts...) {
			if w.Start >= w.End {
				t.Errorf("%s: an empty text", e.ID)
			}
		}
	}
	t.Logf("understood:\n%sothers:\n%s", tally(understood), tally(others))
	if len(understood) < 6 {
		t.Errorf("only %d paths are understood", len(understood))
	}
}

var ids = regexp.MustCompile(`(asst|thread|run|resp)_\w+`)

// pattern is a path without query and ids.
func pattern(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return ids.ReplaceAllString(path, "${1}_…")
}

func tally(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}) {
		fmt.Fprintf(&b, "%5d %s\n", m[k], k)
	}
	return b.String()
}

// TestRecordedStreamsInChunks: however the network cuts a recorded stream, the facts are the same, nothing of the
// terminal event passes, and a stream without its end is called cut.
func TestRecordedStreamsInChunks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 6))
	n := 0
	for _, e := range Load(t) {
		call, _ := dialect.Route(e.Method, e.Path, e.RequestHeader)
		if !e.Streamed() || call.API == "" {
			continue
		}
		n++
		want := call.ParseResponse(e.Status, e.ResponseHeader, e.Response, false)
		want.Pieces = nil
		terminal := bytes.LastIndex(e.Response, []byte("data: [DONE]"))
		if i := bytes.Index(e.Response, []byte("event: response.completed")); i >= 0 {
			terminal = i
		}
		if i := bytes.Index(e.Response, []byte("event: message_stop")); i >= 0 {
			terminal = i
		}
		s := call.NewStream("text/event-stream")
		for at := 0; at < len(e.Response); {
			size := min(1+rnd.IntN(300), len(e.Response)-at)
			at += size
			if free := s.Feed(e.Response[at-size : at]); free > terminal {
				t.Fatalf("%s: %d bytes pass, the terminal event begins at %d", e.ID, free, terminal)
			}
		}
		if got := s.Response(e.Status, e.ResponseHeader); !s.Finished() || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: finished %v, in chunks:\n%+v\nwant\n%+v", e.ID, s.Finished(), got, want)
		}
		if end := call.ParseResponse(e.Status, e.ResponseHeader, e.Response[:terminal], false).Result.End; end != steno.EndUpstreamCut {
			t.Errorf("%s without its terminal event is %s", e.ID, end)
		}
	}
	if n < 100 {
		t.Errorf("only %d streams", n)
	}
}

// facts are what the parser says of an exchange, in the words of extract.py.
func facts(e Exchange, number int) map[string]any {
	call, _ := dialect.Route(e.Method, e.Path, e.RequestHeader)
	if call.API == "" {
		return nil
	}
	req := call.ParseRequest(e.Request, e.RequestHeader)
	res := call.ParseResponse(e.Status, e.ResponseHeader, e.Response, false)
	path, _, _ := strings.Cut(e.Path, "?")
	calls := [][]string{}
	for _, c := range res.Result.ToolCalls {
		calls = append(calls, []string{c.ID, c.Name, c.Type})
	}
	said := []string{}
	for _, w := range res.Texts {
		said = append(said, string(w.Words(e.Response)))
	}
	if e.Status >= 300 {
		said = []string{}
	}
	usage := map[string]any{}
	if u := res.Result.Usage; u != nil {
		usage["source"] = u.Source
		for name, v := range map[string]*int64{
			"input": u.Input, "output": u.Output, "cache_read": u.CacheRead, "cache_write": u.CacheWrite, "reasoning": u.Reasoning, "total": u.Total,
		} {
			if v != nil {
				usage[name] = *v
			}
		}
	}
	return map[string]any{
		"number": number, "provider": e.Provider, "id": e.ID, "path": path, "streamed": e.Streamed(), "status": res.Result.Status,
		"asked": req.Model.Asked, "messages": req.Prompt.Messages, "offered": append([]string{}, req.Prompt.Tools...),
		"answered": res.Model.Answered, "response": res.Result.ID, "finish": append([]string{}, res.Result.FinishReasons...),
		"state": res.Result.State, "error": res.Result.ErrorType, "refusal": res.Result.Refusal, "usage": usage, "calls": calls, "said": said,
	}
}

// lines are the facts of all exchanges, a JSON line each.
func lines(t *testing.T, ex []Exchange) []string {
	t.Helper()
	var out []string
	number, provider := 0, ""
	for _, e := range ex {
		if e.Provider != provider {
			number, provider = 0, e.Provider
		}
		if f := facts(e, number); f != nil {
			b, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, string(b))
		}
		number++
	}
	return out
}

// extracted are the lines of a version of extract.py.
func extracted(t *testing.T, script string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "extract.py")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", path, Dir(t))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("extract.py: %v\n%s", err, stderr.String())
	}
	return strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
}

func script(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("extract.py")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// differences compares two lists of lines as JSON, member by member.
func differences(ours, theirs []string) []string {
	var out []string
	if len(ours) != len(theirs) {
		out = append(out, fmt.Sprintf("%d lines of the parser, %d of extract.py", len(ours), len(theirs)))
	}
	for i := range min(len(ours), len(theirs)) {
		var a, b map[string]any
		if err := json.Unmarshal([]byte(ours[i]), &a); err != nil {
			out = append(out, err.Error())
			continue
		}
		if err := json.Unmarshal([]byte(theirs[i]), &b); err != nil {
			out = append(out, err.Error())
			continue
		}
		for k := range b {
			if _, ok := a[k]; !ok {
				a[k] = nil
			}
		}
		a["said"], b["said"] = unspaced(a["said"]), unspaced(b["said"])
		for k := range a {
			if !reflect.DeepEqual(a[k], b[k]) {
				out = append(out, fmt.Sprintf("line %d, %v: %s: %v, extract.py says %v", i+1, a["id"], k, a[k], b[k]))
			}
		}
	}
	return out
}

// unspaced sorts what was said, and writes what is JSON in one way: the input of a tool is an object for Anthropic, and
// extract.py does not know how it was spaced.
func unspaced(said any) []string {
	var out []string
	list, ok := said.([]any)
	if !ok {
		return nil
	}
	for _, v := range list {
		s := fmt.Sprint(v)
		var parsed any
		if json.Unmarshal([]byte(s), &parsed) == nil {
			if b, err := json.Marshal(parsed); err == nil {
				s = string(b)
			}
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// TestFactsEqualAnIndependentExtraction holds the parser's facts against extract.py's, line by line.
func TestFactsEqualAnIndependentExtraction(t *testing.T) {
	ours := lines(t, Load(t))
	if dir := os.Getenv("STENO_WIRE_FACTS"); dir != "" {
		if err := os.WriteFile(dir, []byte(strings.Join(ours, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	diff := differences(ours, extracted(t, script(t)))
	for _, d := range diff[:min(len(diff), 20)] {
		t.Error(d)
	}
	t.Logf("%d exchanges, %d differences", len(ours), len(diff))
	if len(ours) < 400 {
		t.Errorf("only %d exchanges", len(ours))
	}
}

// TestSabotage alters one side or the other, and the comparison must say so each time, at the fact that was altered.
func TestSabotage(t *testing.T) {
	good := script(t)
	theirs := extracted(t, good)
	for _, c := range []struct{ fact, find, put string }{
		{"usage", `"total_tokens"`, `"tot_tokens"`},
		{"usage", `"cache_read_input_tokens"`, `"cache_rid_input_tokens"`},
		{"finish", `"finish_reason"`, `"finish_season"`},
		{"finish", `"stop_reason":"`, `"stop_reason":"x`},
		{"answered", `"model":"claude`, `"model":"clod`},
		{"calls", `"name":"get_`, `"name":"got_`},
		{"said", `"text_delta","text":"`, `"text_delta","text":"x`},
		{"error", `"model_not_found"`, `"model_not_lost"`},
		{"response", `"id":"resp_`, `"id":"rasp_`},
	} {
		ex := Load(t)
		altered := -1
		for i := range ex {
			if altered < 0 && bytes.Contains(compacted(ex[i].Response), []byte(c.find)) {
				if call, _ := dialect.Route(ex[i].Method, ex[i].Path, ex[i].RequestHeader); call.API != "" {
					ex[i].Response = bytes.ReplaceAll(compacted(ex[i].Response), []byte(c.find), []byte(c.put))
					altered = i
				}
			}
		}
		if altered < 0 {
			t.Errorf("nothing to alter: %s", c.find)
			continue
		}
		expect(t, c.fact, "the parser reads "+c.put, differences(lines(t, ex), theirs))
	}
	ours := lines(t, Load(t))
	for _, c := range []struct{ fact, find, put string }{
		{"usage", `usage["input_tokens"] + (read or 0)`, `usage["input_tokens"]`},
		{"finish", `facts["finish"].append(choice["finish_reason"])`, `facts["finish"].append("stop")`},
		{"answered", `facts["answered"], facts["response"] = answer["model"], answer["id"]`, `facts["answered"], facts["response"] = answer["id"], answer["id"]`},
		{"calls", `call["id"] += piece.get("id") or ""`, `pass`},
		{"said", `+= delta.get(member) or ""`, `= delta.get(member) or ""`},
		{"messages", `return len(value)`, `return len(value) - 1`},
		{"path", `    ("openai", "POST", "/v1/embeddings"): embeddings,` + "\n", ""},
	} {
		if !strings.Contains(good, c.find) {
			t.Errorf("nothing to alter in extract.py: %s", c.find)
			continue
		}
		expect(t, c.fact, "extract.py has "+c.put, differences(ours, extracted(t, strings.ReplaceAll(good, c.find, c.put))))
	}
}

// compacted takes out the space behind colons, so that one spelling finds members however they were printed.
func compacted(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`": `), []byte(`":`)) }

func expect(t *testing.T, fact, what string, diff []string) {
	t.Helper()
	if !slices.ContainsFunc(diff, func(d string) bool { return strings.Contains(d, ": "+fact+": ") }) {
		t.Errorf("%s, and no difference in %s is found, but %d others", what, fact, len(diff))
	}
}

func TestReplay(t *testing.T) {
	ex := Load(t)
	srv := httptest.NewServer(Replay(ex))
	defer srv.Close()
	ask := func(n int, body []byte, path string) (int, []byte, http.Header) {
		req, err := http.NewRequest(ex[n].Method, srv.URL+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(ReplayID, strconv.Itoa(n))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, got, res.Header
	}
	for n, e := range ex {
		status, got, h := ask(n, e.Request, e.Path)
		if status != e.Status || !bytes.Equal(got, e.Response) || h.Get("Content-Type") != e.ResponseHeader.Get("Content-Type") {
			t.Fatalf("%s: status %d, %d bytes; recorded %d, %d", e.ID, status, len(got), e.Status, len(e.Response))
		}
	}
	if status, got, _ := ask(0, append([]byte("x"), ex[0].Request...), ex[0].Path); status != 599 || !bytes.Contains(got, []byte("from byte 0")) {
		t.Errorf("another body is answered with %d %s", status, got)
	}
	if status, _, _ := ask(0, ex[0].Request, "/v1/other"); status != 599 {
		t.Errorf("another path is answered with %d", status)
	}
}
