package console_test

import (
	"bufio"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// request is a body whose words would do harm in a page that does not escape them.
func request(words string) string {
	b, err := json.Marshal(map[string]any{"model": "gpt-4o-mini", "temperature": 0.5, "messages": []any{
		map[string]string{"role": "system", "content": "You sell lamps."},
		map[string]string{"role": "user", "content": "Hello"},
		map[string]string{"role": "assistant", "content": "Good day."},
		map[string]string{"role": "user", "content": words},
	}})
	if err != nil {
		panic(err) // strings
	}
	return string(b)
}

// people makes a log with one of each: a finished call, one with a secret, one that is open, one that was cut.
func people(w *world) map[string]sample {
	return map[string]sample{
		"done":   w.call(sample{user: "ana.silva", request: request("How many <script>alert(1)</script> lamps?"), response: answer}),
		"secret": w.call(sample{user: "tomas.berg", request: request("my key is " + leak()), response: strings.Replace(answer, "Four", leak(), 1), secret: leak()}),
		"open":   w.call(sample{user: "r.duarte", request: request("What is the time?"), open: true}),
		"cut":    w.call(sample{user: "m.keller", request: request("Go on."), response: answer, end: steno.EndUpstreamCut}),
	}
}

func paths(all map[string]sample) []string {
	out := []string{
		"/", "/?since=all", "/?since=all&as=table", "/?user=nobody", "/?flag=secret&status=complete", "/?conversation=c-1", "/events",
		"/events?type=monitoring.heartbeat", "/events?type=none.such", "/events?log=security", "/governance", "/monitoring", "/monitoring?model=none", "/integrity", "/connect",
	}
	for _, s := range all {
		for _, view := range []string{"", "?view=raw", "?view=headers", "?view=json", "?view=lineage"} {
			out = append(out, "/exchanges/"+s.id.String()+view)
		}
	}
	slices.Sort(out)
	return out
}

var void = []string{"meta", "link", "input", "br", "hr", "img"}

// wellFormed says where tags do not fit each other.
func wellFormed(page string) error {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.Entity = false, xml.HTMLEntity
	var open []string
	ids := map[string]bool{}
	for {
		tok, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		line, _ := d.InputPos()
		switch tok := tok.(type) {
		case xml.StartElement:
			for _, a := range tok.Attr {
				if a.Name.Local == "id" && ids[a.Value] {
					return fmt.Errorf("line %d: the id %s is given twice", line, a.Value)
				} else if a.Name.Local == "id" {
					ids[a.Value] = true
				}
				if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") && a.Name.Local != "on" {
					return fmt.Errorf("line %d: <%s %s> is inline", line, tok.Name.Local, a.Name.Local)
				}
			}
			if !slices.Contains(void, tok.Name.Local) {
				open = append(open, tok.Name.Local)
			}
		case xml.EndElement:
			if slices.Contains(void, tok.Name.Local) {
				continue
			}
			if len(open) == 0 || open[len(open)-1] != tok.Name.Local {
				return fmt.Errorf("line %d: </%s> closes %v", line, tok.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		return fmt.Errorf("left open: %v", open)
	}
	return nil
}

func TestWellFormedTellsApart(t *testing.T) {
	for _, bad := range []string{"<p><b></p></b>", "<div>", `<p style="x"></p>`, `<p onclick="x"></p>`, `<p id="a"></p><p id="a"></p>`} {
		if wellFormed(bad) == nil {
			t.Errorf("%s is taken for well formed", bad)
		}
	}
	if err := wellFormed(`<!DOCTYPE html><p hidden>a &amp; b<br></p>`); err != nil {
		t.Error(err)
	}
}

var (
	fetched = regexp.MustCompile(`(?:src|href|action|hx-get|data-live|data-follow)="([^"]*)"`)
	inline  = regexp.MustCompile(`<script(?:>|[^>]*[^>]>[^<])|<style`)
)

func TestPages(t *testing.T) {
	w := newWorld(t, true)
	for _, path := range paths(people(w)) {
		body := w.page(path)
		if err := wellFormed(body); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, m := range fetched.FindAllStringSubmatch(body, -1) {
			if u := m[1]; !strings.HasPrefix(u, "/") && !strings.HasPrefix(u, "#") || strings.HasPrefix(u, "//") {
				t.Errorf("%s leads to %s, which is outside", path, u)
			}
		}
		if s := inline.FindString(body); s != "" {
			t.Errorf("%s has an inline script or style: %s", path, s)
		}
		if !strings.Contains(body, `<span class="demo"`) || strings.Count(body, "demo") < 2 {
			t.Errorf("%s does not say demo at its top and at its foot", path)
		}
		for _, bad := range []string{"N/A", "<script>alert", "@when", "@copyable", "%!"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
		if strings.Contains(body, leak()) {
			t.Errorf("%s has a secret in it that a check found", path)
		}
	}
}

func TestServeSaysNoDemo(t *testing.T) {
	w := newWorld(t, false)
	for _, path := range []string{"/", "/events", "/governance", "/monitoring", "/integrity", "/connect"} {
		if body := w.page(path); strings.Contains(body, `class="demo"`) {
			t.Errorf("%s of a real log says demo", path)
		}
	}
}

func TestEmptyLogLeadsOn(t *testing.T) {
	body := newWorld(t, false).page("/")
	for _, want := range []string{"Nothing is recorded yet.", `href="/connect"`} {
		if !strings.Contains(body, want) {
			t.Errorf("the first page of an empty log lacks %q", want)
		}
	}
}

func TestFilters(t *testing.T) {
	w := newWorld(t, false)
	all := people(w)
	for _, c := range []struct{ query, only string }{
		{"user=ana.silva", "done"}, {"flag=secret", "secret"}, {"status=open", "open"}, {"status=upstream_cut", "cut"},
	} {
		body := w.page("/?since=all&" + c.query)
		for name, s := range all {
			if got := strings.Contains(body, `id="x`+s.id.String()); got != (name == c.only) {
				t.Errorf("/?%s: the %s call is shown: %v", c.query, name, got)
			}
		}
	}
	if body := w.page("/?since=all&user=ana.silva"); !strings.Contains(body, "1 of 1 in this range") {
		t.Error("the count does not add up to the row")
	}
	if body := w.page("/?since=all&user=ana"); !strings.Contains(body, "user:ana.silva") {
		t.Error("a user that is nearly named is not offered")
	}
	for _, bad := range []string{"/?colour=red", "/?flag=none", "/?status=none", "/?since=yesterday-ish", "/?user=a&user=b", "/?before=x", "/?since=1h&until=2h", "/events?exchange=1"} {
		if status, body := w.get(bad); status != http.StatusBadRequest || !strings.Contains(body, "<h1>") {
			t.Errorf("%s: %d, want a page that says what is wrong", bad, status)
		}
	}
}

func TestSearch(t *testing.T) {
	w := newWorld(t, false)
	s := people(w)["done"]
	for _, c := range []struct{ q, want string }{
		{"user:ana.silva status:complete", "/?status=complete&user=ana.silva"},
		{"user:ana", "/?user=ana.silva"}, // nobody else begins so
		{`user:"ana b"`, "/?user=ana+b"},
		{s.id.String()[:12], "/exchanges/" + s.id.String()[:12]},
		{"", "/"},
	} {
		resp := w.do(http.MethodGet, "/search?q="+url.QueryEscape(c.q), nil)
		resp.Body.Close()
		if got := resp.Header.Get("Location"); got != c.want {
			t.Errorf("%q leads to %q, want %q", c.q, got, c.want)
		}
	}
	if status, body := w.get("/search?q=colour:red"); status != http.StatusBadRequest || !strings.Contains(body, "conversation") {
		t.Errorf("an unknown field: %d, want 400 and the fields that there are", status)
	}
	if body := w.page("/complete?q=us"); !strings.Contains(body, `data-value="user:"`) {
		t.Errorf("fields are not completed: %s", body)
	}
	if body := w.page("/complete?q=status:open+user:t"); !strings.Contains(body, `data-value="user:tomas.berg"`) {
		t.Errorf("values are not completed: %s", body)
	}
}

func TestRevealIsAskedFor(t *testing.T) {
	w := newWorld(t, false)
	s := people(w)["secret"]
	masked := w.page("/exchanges/" + s.id.String())
	for _, want := range []string{"[secret: test-key]", "?reveal=1", "which is recorded", "2 secrets"} {
		if !strings.Contains(masked, want) {
			t.Errorf("the masked page lacks %q", want)
		}
	}
	if shown := w.page("/exchanges/" + s.id.String() + "?reveal=1"); !strings.Contains(shown, leak()) || !strings.Contains(shown, "is on record") {
		t.Error("the page does not show the secret when it is asked to, or does not say that it is recorded")
	}
}

func TestExchangeSays(t *testing.T) {
	w := newWorld(t, false)
	all := people(w)
	body := w.page("/exchanges/" + all["done"].id.String())
	for _, want := range []string{
		"gpt-4o-mini-2024-07-18", "3 earlier messages", "new in this call", "unpriced", "verified", "Four &lt;b&gt;lamps&lt;/b&gt;.", "ladder", "asserted by the application",
		"temperature", "checks in",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page of a finished call lacks %q", want)
		}
	}
	if body := w.page("/exchanges/" + all["open"].id.String()); !strings.Contains(body, "data-follow") || !strings.Contains(body, "under way") {
		t.Error("the page of an open call does not follow it, or does not say that it is open")
	}
	if body := w.page("/exchanges/" + all["cut"].id.String()); !strings.Contains(body, "broke off") {
		t.Error("the page of a call that was cut does not say so")
	}
	if status, body := w.get("/exchanges/ffffffffffff"); status != http.StatusNotFound || !strings.Contains(body, "To the exchanges") {
		t.Errorf("an id of nothing: %d, want 404 and a way on", status)
	}
	if status, _ := w.get("/exchanges/" + all["cut"].id.String() + "?view=none"); status != http.StatusBadRequest {
		t.Errorf("a view that there is not: %d, want 400", status)
	}
}

func TestLive(t *testing.T) {
	w := newWorld(t, false)
	first := w.call(sample{user: "ana.silva", request: request("One?"), response: answer})
	resp := w.do(http.MethodGet, "/live?user=ana.silva", nil)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	next := func() (row struct{ ID, State, HTML string }) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		check(t, json.Unmarshal(lines.Bytes(), &row))
		return row
	}
	if row := next(); row.ID != first.id.String() || !strings.HasPrefix(row.HTML, "<tr") {
		t.Fatalf("the first row is %+v", row)
	}
	w.call(sample{user: "r.duarte", request: request("Not asked for"), response: answer})
	second := w.call(sample{user: "ana.silva", request: request("Two?"), response: answer})
	for {
		row := next()
		if row.ID != second.id.String() {
			t.Fatalf("a row of somebody else came: %+v", row)
		}
		if err := wellFormed("<table>" + row.HTML + "</table>"); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(row.State, "complete") {
			return // it was open first, perhaps
		}
	}
}

func TestVerdicts(t *testing.T) {
	w := newWorld(t, false)
	people(w)
	body := w.page("/integrity")
	if strings.Count(body, "not computed") != 2 || strings.Contains(body, "is-holds") {
		t.Error("the verdicts are not grey before they are computed")
	}
	resp := w.do(http.MethodPost, "/integrity", nil)
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	check(t, err)
	if err := wellFormed(string(b)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(string(b), "is-holds") {
		t.Errorf("without a script the page comes without its verdicts: %s", b)
	}
	resp = w.do(http.MethodPost, "/integrity", map[string]string{"Accept": "application/x-ndjson"})
	defer resp.Body.Close()
	var last struct{ HTML string }
	progress := false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		check(t, json.Unmarshal(lines.Bytes(), &last))
		progress = progress || strings.Contains(lines.Text(), `"total"`)
	}
	if !progress || !strings.Contains(last.HTML, "is-holds") {
		t.Errorf("the stream has progress: %v; its last line is %q", progress, last.HTML)
	}
}
