package capture

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// The samples of docs/coverage.md: exchanges in a provider's documented format, put through the gateway. Each dialect has
// its own file coverage_NAME_test.go, whose init adds its samples. A cell of the table is filled only by a sample that
// asserts what the cell says; TestCoverage fails where an empty cell has no reason, or where the page is out of date
// (go test ./internal/capture -run TestCoverage -write-coverage makes it again).

var writeCoverage = flag.Bool("write-coverage", false, "write docs/coverage.md again")

// columns of the table, in its order.
var columns = []string{"plain", "streamed", "tools", "cut by client", "cut by upstream", "error", "usage", "provider flags", "cost"}

// A sample is one exchange and what has to be on record of it.
type sample struct {
	dialect string
	name    string // what the sample shows
	method  string // "" = POST
	path    string // as the client of the dialect sends it, with query
	header  map[string]string
	request string

	status      int               // 0 = 200
	contentType string            // "" = application/json
	says        map[string]string // other headers of the answer
	answer      string

	// What has to be on record. Members that are empty are not looked at, apart from end.
	end      steno.End // "" = complete
	asked    string
	answered string
	finish   []string
	said     []string // texts of the answer, in their order
	tools    []string // names of the tools called
	offered  []string // names of the tools offered
	usage    string   // "input=… output=… cache_read=… cache_write=… reasoning=… total=…", those that there are
	flags    []string // of the provider's own findings, "flag:rule"
	refusal  bool
	cost     string // dollars
	errType  string
	docs     []string // ids or titles of documents
	cutAt    int      // of a stream: how many bytes go out before it is cut; 0 = after half of it
}

var samples []sample

// noCell says why a cell is empty: by "dialect api column", "api column", "operation column", "dialect column" or "column", in this order.
var noCell = map[string]string{}

func (s *sample) call() dialect.Call {
	method := s.method
	if method == "" {
		method = http.MethodPost
	}
	return dialect.RouteAs(s.dialect, method, s.path)
}

func (s *sample) streamed() bool {
	return s.call().NewStream(s.contentType) != nil
}

// cells are the columns that the sample fills.
func (s *sample) cells() []string {
	var out []string
	add := func(ok bool, column string) {
		if ok {
			out = append(out, column)
		}
	}
	whole := s.end == "" && s.status < 300 && (len(s.finish) > 0 || len(s.said) > 0 || s.usage != "" || s.answered != "" || s.asked != "")
	add(whole && !s.streamed(), "plain")
	add(whole && s.streamed(), "streamed")
	add(len(s.tools) > 0, "tools")
	add(s.errType != "", "error")
	add(s.usage != "", "usage")
	add(len(s.flags) > 0, "provider flags")
	add(s.cost != "", "cost")
	return out
}

// TestCoverage puts every sample through the gateway, cuts the streams among them from both sides, and holds the page of
// the documentation to what was shown.
func TestCoverage(t *testing.T) {
	filled := map[string]map[string][]string{} // row, column, names of the samples
	mark := func(s *sample, column string) {
		row := s.dialect + " " + s.call().API
		if filled[row] == nil {
			filled[row] = map[string][]string{}
		}
		filled[row][column] = append(filled[row][column], s.name)
	}
	up := &samplesUpstream{}
	r := newRig(t, up, func(c *Config) {
		u := c.Upstreams[0].URL
		c.Upstreams = nil
		for _, d := range dialect.Dialects {
			c.Upstreams = append(c.Upstreams, &Upstream{Name: d + "-sample", Dialect: d, URL: u, Credential: "provider-key"})
		}
	})
	for i := range samples {
		s := &samples[i]
		t.Run(s.dialect+"/"+s.name, func(t *testing.T) {
			up.set(s, 0)
			r.t = t
			s.check(t, r)
			for _, column := range s.cells() {
				mark(s, column)
			}
			if s.end == "" && s.status < 300 {
				if s.streamed() {
					s.cutByClient(t, r, up)
					mark(s, "cut by client")
				}
				s.cutByUpstream(t, r, up)
				mark(s, "cut by upstream")
			}
		})
	}
	const path = "../../docs/coverage.md"
	if _, err := os.Stat(path); t.Failed() || err != nil && !*writeCoverage {
		return
	}
	page := coveragePage(t, filled)
	if *writeCoverage {
		if err := os.WriteFile(path, page, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(have, page) {
		t.Errorf("docs/coverage.md is not what these tests show (%v); go test ./internal/capture -run TestCoverage -write-coverage", err)
	}
}

// samplesUpstream answers with the sample at hand. A sample is cut after so many bytes: by closing the connection, or, for
// a cut of the client's, by waiting until it is gone.
type samplesUpstream struct {
	s    *sample
	cut  int
	hang bool
}

func (u *samplesUpstream) set(s *sample, cut int) { u.s, u.cut, u.hang = s, cut, false }

func (u *samplesUpstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := *u // the next sample may be set while this one's connection is being cut
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", now.s.contentType)
	if now.s.contentType == "" {
		h.Set("Content-Type", "application/json")
	}
	for k, v := range now.s.says {
		h.Set(k, v)
	}
	answer := now.s.answer
	if !now.s.streamed() {
		h.Set("Content-Length", strconv.Itoa(len(answer)))
	}
	w.WriteHeader(max(now.s.status, 200))
	if now.cut > 0 {
		answer = answer[:now.cut]
	}
	if _, err := io.WriteString(w, answer); err != nil {
		panic(http.ErrAbortHandler)
	}
	if now.cut > 0 {
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		if now.hang {
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}

func (s *sample) send(r *rig) *http.Request {
	req := r.post("/"+s.dialect+"-sample"+s.path, s.request)
	if s.method != "" {
		req.Method = s.method
	}
	if s.request == "" {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	for k, v := range s.header {
		req.Header.Set(k, v)
	}
	return req
}

func (s *sample) check(t *testing.T, r *rig) {
	t.Helper()
	resp, body, err := r.do(s.send(r))
	if err != nil || resp.StatusCode != max(s.status, 200) || string(body) != s.answer {
		t.Fatalf("status %d, %v, the client got %q", resp.StatusCode, err, body)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	if string(x.request) != s.request || string(x.response) != s.answer {
		t.Errorf("on record are %q and %q", x.request, x.response)
	}
	first, last := x.events[0], x.last()
	if first.Model == nil || !first.Model.Understood {
		t.Errorf("the request is not understood")
	}
	end := s.end
	if end == "" {
		end = steno.EndComplete
		if s.status >= 300 {
			end = steno.EndProviderError
		}
	}
	res := last.Result
	equal(t, "end", string(res.End), string(end))
	if s.asked != "" {
		equal(t, "model asked", first.Model.Asked, s.asked)
	}
	if s.answered != "" {
		equal(t, "model answered", last.Model.Answered, s.answered)
	}
	if s.finish != nil {
		equal(t, "finish reasons", fmt.Sprint(res.FinishReasons), fmt.Sprint(s.finish))
	}
	if s.offered != nil {
		equal(t, "tools offered", fmt.Sprint(first.Prompt.Tools), fmt.Sprint(s.offered))
	}
	var tools []string
	for _, c := range res.ToolCalls {
		tools = append(tools, c.Name)
	}
	equal(t, "tools called", fmt.Sprint(tools), fmt.Sprint(s.tools))
	if s.usage != "" {
		equal(t, "usage", usageWords(res.Usage), s.usage)
	}
	equal(t, "refusal", fmt.Sprint(res.Refusal), fmt.Sprint(s.refusal))
	equal(t, "error", res.ErrorType, s.errType)
	s.checkFlags(t, x)
	s.checkSaid(t)
	if s.cost != "" {
		if res.Cost == nil || res.Cost.USD != s.cost {
			t.Errorf("cost: %+v, want %s", res.Cost, s.cost)
		}
	}
	if s.docs != nil {
		var docs []string
		for _, e := range x.events {
			if e.Data != nil {
				for _, d := range e.Data.Documents {
					docs = append(docs, cmpOr(d.ID, d.Title))
				}
			}
		}
		equal(t, "documents", fmt.Sprint(docs), fmt.Sprint(s.docs))
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// checkFlags compares what the provider itself said.
func (s *sample) checkFlags(t *testing.T, x *taken) {
	t.Helper()
	var flags []string
	for _, e := range x.events {
		if e.Safety == nil {
			continue
		}
		for _, f := range e.Safety.Findings {
			if f.Source == s.dialect {
				flags = append(flags, string(f.Flag)+":"+f.Rule)
			}
		}
	}
	slices.Sort(flags)
	want := slices.Sorted(slices.Values(s.flags))
	if len(want) > 0 {
		equal(t, "provider flags", fmt.Sprint(flags), fmt.Sprint(want))
	}
}

// checkSaid compares the texts of the answer, as a reader of the record sees them.
func (s *sample) checkSaid(t *testing.T) {
	t.Helper()
	if s.said == nil {
		return
	}
	var said []string
	for _, turn := range s.call().Transcript(nil, []byte(s.answer), s.contentType) {
		for _, p := range turn.Parts {
			if p.Text != "" {
				said = append(said, p.Text)
			}
		}
	}
	equal(t, "said", fmt.Sprintf("%q", said), fmt.Sprintf("%q", s.said))
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

func usageWords(u *steno.Usage) string {
	if u == nil {
		return "none"
	}
	var out []string
	for _, f := range []struct {
		name string
		v    *int64
	}{{"input", u.Input}, {"output", u.Output}, {"cache_read", u.CacheRead}, {"cache_write", u.CacheWrite}, {"reasoning", u.Reasoning}, {"total", u.Total}} {
		if f.v != nil {
			out = append(out, fmt.Sprintf("%s=%d", f.name, *f.v))
		}
	}
	return strings.Join(out, " ")
}

func (s *sample) half() int {
	if s.cutAt > 0 {
		return s.cutAt
	}
	return len(s.answer) / 2
}

// cutByClient reads some of the stream and leaves.
func (s *sample) cutByClient(t *testing.T, r *rig, up *samplesUpstream) {
	t.Helper()
	up.set(s, s.half())
	up.hang = true
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := http.DefaultTransport.RoundTrip(s.send(r).WithContext(ctx))
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	got := make([]byte, 1)
	n, err := io.ReadFull(resp.Body, got)
	cancel()
	resp.Body.Close()
	if err != nil {
		t.Fatalf("nothing of the stream came before it was cut: %v", err)
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	equal(t, "cut by the client: end", string(x.last().Result.End), string(steno.EndClientGone))
	if !bytes.HasPrefix(x.response, got[:n]) || !strings.HasPrefix(s.answer, string(x.response)) {
		t.Errorf("cut by the client, on record is %q", x.response)
	}
}

// cutByUpstream lets the upstream break off.
func (s *sample) cutByUpstream(t *testing.T, r *rig, up *samplesUpstream) {
	t.Helper()
	up.set(s, s.half())
	from := r.log.Size()
	var got []byte
	resp, err := http.DefaultTransport.RoundTrip(s.send(r))
	if err == nil { // of an answer that is held back whole the client sees nothing
		got, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Errorf("a cut answer looks whole to the client: %q", got)
	}
	x := r.closed(from)
	equal(t, "cut by the upstream: end", string(x.last().Result.End), string(steno.EndUpstreamCut))
	if string(x.response) != s.answer[:s.half()] || s.streamed() && !bytes.HasPrefix(x.response, got) {
		t.Errorf("cut by the upstream, on record is %q, the client got %q", x.response, got)
	}
}

// coveragePage is docs/coverage.md.
func coveragePage(t *testing.T, filled map[string]map[string][]string) []byte {
	t.Helper()
	var b, notes bytes.Buffer
	b.WriteString(`# What is taken down of which provider

This page is made by the tests: a cell is filled only by a sample in the provider's documented format that went through the
gateway, was the same on both sides byte for byte, and of which the record says what it has to. The number is that of the
samples. Where a cell is empty, the note says why. Recorded traffic of real providers is held against an extraction written
apart in ` + "`make test-wire`" + `.

| Dialect | API |`)
	for _, c := range columns {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString("\n|---|---|" + strings.Repeat(":---:|", len(columns)) + "\n")
	note := 0
	numbers := map[string]int{}
	for _, row := range slices.Sorted(maps.Keys(filled)) {
		d, api, _ := strings.Cut(row, " ")
		fmt.Fprintf(&b, "| %s | %s |", d, api)
		for _, c := range columns {
			if n := len(filled[row][c]); n > 0 {
				fmt.Fprintf(&b, " %d |", n)
				continue
			}
			reason := whyEmpty(d, api, c)
			if reason == "" {
				t.Errorf("%s %s has no sample for %q, and noCell does not say why", d, api, c)
			}
			if numbers[reason] == 0 {
				note++
				numbers[reason] = note
				fmt.Fprintf(&notes, "%d. %s\n", note, reason)
			}
			fmt.Fprintf(&b, " – [%d](#empty-cells) |", numbers[reason])
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n## Empty cells\n\n%s", notes.String())
	return b.Bytes()
}

func whyEmpty(d, api, column string) string {
	op := ""
	for i := range samples {
		if c := samples[i].call(); c.Dialect == d && c.API == api {
			op = c.Operation
		}
	}
	for _, key := range []string{d + " " + api + " " + column, api + " " + column, op + " " + column, d + " " + column, column} {
		if r := noCell[key]; r != "" {
			return r
		}
	}
	return ""
}
