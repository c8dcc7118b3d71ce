//go:build wire

package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// TestRecordedTrafficIsRead puts every recorded exchange through the parsers: the pieces make the bytes again, and each is
// understood or on the list of what is not, with the reason.
func TestRecordedTrafficIsRead(t *testing.T) {
	understood, others := map[string]int{}, map[string]int{}
	for _, e := range Load(t) {
		call := e.Call()
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
		if reason := e.reason(); reason != "" {
			others[e.Provider+": "+reason]++
			continue
		}
		if call.API == "" {
			t.Errorf("%s %s: %s %s is not understood, and no reason is given", e.Provider, e.ID, e.Method, e.Path)
			continue
		}
		understood[e.Provider]++
		if !req.Understood || !res.Understood || req.Problem != "" || res.Problem != "" {
			t.Errorf("%s %s %s %s: request %q, response %q", e.Provider, e.ID, e.Method, e.Path, req.Problem, res.Problem)
		}
		for _, w := range append(req.Texts, res.Texts...) {
			if w.Start >= w.End {
				t.Errorf("%s: an empty text", e.ID)
			}
		}
	}
	t.Logf("understood:\n%snot understood:\n%s", tally(understood), tally(others))
}

// notUnderstood says of paths that are no model calls, or of recordings that are damaged (by their ids), why they are
// recorded whole and not taken apart.
var notUnderstood = map[string]string{
	"writer test_completions/test_writer_async_streaming_completions_legacy#0": "a stream that says nothing of its end: Writer's text completions",
	"writer test_chat/test_writer_async_chat_tool_calls_legacy#0":              "the request was written down with a comma too many and is no JSON",
	"others POST /query":                                             "a vector database, and no model: Pinecone",
	"bedrock test_invoke_model_with_invalid_model#0":                 "the request has no body: a test of an unknown model",
	"bedrock test_invoke_model_with_response_stream_invalid_model#0": "the request has no body: a test of an unknown model",
}

// reason is why the exchange is not taken apart, "" if it has to be.
func (e *Exchange) reason() string {
	path, _, _ := strings.Cut(e.Path, "?")
	for _, r := range []string{notUnderstood[e.Provider+" "+e.ID], notUnderstood[e.Provider+" "+e.Method+" "+path]} {
		if r != "" {
			return r
		}
	}
	return ""
}

func tally(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%5d %s\n", m[k], k)
	}
	return b.String()
}

// TestRecordedStreamsInChunks: however the network cuts a recorded stream, the facts are the same, nothing of what is held
// at its end passes early, and without that it is called cut.
func TestRecordedStreamsInChunks(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 6))
	n := map[string]int{}
	for _, e := range Load(t) {
		call := e.Call()
		whole := call.NewStream(e.ResponseHeader.Get("Content-Type"))
		if whole == nil || e.reason() != "" {
			continue
		}
		n[e.Provider]++
		want := call.ParseResponse(e.Status, e.ResponseHeader, e.Response, false)
		want.Pieces = nil
		terminal := whole.Feed(e.Response)
		s := call.NewStream(e.ResponseHeader.Get("Content-Type"))
		for at := 0; at < len(e.Response); {
			size := min(1+rnd.IntN(300), len(e.Response)-at)
			at += size
			if free := s.Feed(e.Response[at-size : at]); free > terminal {
				t.Fatalf("%s: %d bytes pass, what is held begins at %d", e.ID, free, terminal)
			}
		}
		if got := s.Response(e.Status, e.ResponseHeader); !s.Finished() || !reflect.DeepEqual(got, want) {
			t.Errorf("%s %s: finished %v, in chunks:\n%+v\nwant\n%+v", e.Provider, e.ID, s.Finished(), got, want)
		}
		if want.Result.End != steno.EndComplete {
			continue
		}
		if end := call.ParseResponse(e.Status, e.ResponseHeader, e.Response[:terminal], false).Result.End; terminal == len(e.Response) || end != steno.EndUpstreamCut {
			t.Errorf("%s %s without what is held (from byte %d of %d) is %s", e.Provider, e.ID, terminal, len(e.Response), end)
		}
	}
	t.Logf("streams:\n%s", tally(n))
	if n["openai"] < 50 {
		t.Errorf("only %d streams of OpenAI", n["openai"])
	}
}

// facts are what the parser says of an exchange, in the words of extract.py.
func facts(e Exchange, number int) map[string]any {
	call := e.Call()
	if call.API == "" || e.reason() != "" || !call.Generates() {
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
	cmd.Env = append(os.Environ(), "EXTRACT_MODULES=.")
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

// differences compares two lists of lines as JSON, exchange by exchange and member by member.
func differences(ours, theirs []string) []string {
	a, b := byExchange(ours), byExchange(theirs)
	var out []string
	for _, key := range slices.Sorted(maps.Keys(a)) {
		if b[key] == nil {
			out = append(out, fmt.Sprintf("%s (%v): path: extract.py does not read %v", key, a[key]["id"], a[key]["path"]))
			continue
		}
		for k := range b[key] {
			if _, ok := a[key][k]; !ok {
				a[key][k] = nil
			}
		}
		a[key]["said"], b[key]["said"] = unspaced(a[key]["said"]), unspaced(b[key]["said"])
		for _, k := range slices.Sorted(maps.Keys(a[key])) {
			if !reflect.DeepEqual(a[key][k], b[key][k]) {
				out = append(out, fmt.Sprintf("%s (%v): %s: %v, extract.py says %v", key, a[key]["id"], k, a[key][k], b[key][k]))
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if a[key] == nil {
			out = append(out, fmt.Sprintf("%s (%v): path: the parser does not read %v", key, b[key]["id"], b[key]["path"]))
		}
	}
	return out
}

func byExchange(lines []string) map[string]map[string]any {
	out := map[string]map[string]any{}
	for _, line := range lines {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil {
			out[fmt.Sprintf("%v %v", m["provider"], m["number"])] = m
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
		{"usage", `"thoughtsTokenCount"`, `"toughTokenCount"`},
		{"finish", `"finishReason"`, `"finishSeason"`},
		{"answered", `"modelVersion"`, `"modelAversion"`},
		{"response", `"responseId"`, `"responseNid"`},
	} {
		ex := Load(t)
		altered := -1
		for i := range ex {
			if altered < 0 && bytes.Contains(compacted(ex[i].Response), []byte(c.find)) {
				if call := ex[i].Call(); call.API != "" && call.Generates() {
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
		{"path", `    ("openai", "POST", "/v1/embeddings", embeddings),` + "\n", ""},
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
