package stub

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

var bodies = []string{
	`{}`, `[]`, ` {"a" : [1, -2.5e+3, true, false, null, "x\"\\\u00e9\n"] , "b":{"c":{}} }`,
	`{"a":1,}`, `{"a"}`, `[1 2]`, `"\x"`, `"\u12g4"`, "\"\x01\"", `01`, `-`, `1.`, `1e`, `nul`, `{"a":1}}`, ``, `"unended`, `{"a\u0062":"12345678\"12345678"}`,
	`"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaéééééééé\\"`, strings.Repeat("[", 20) + strings.Repeat("]", 20),
}

// tooDeep reports whether b may nest deeper than the stub reads.
func tooDeep(b []byte) bool {
	return bytes.Count(b, []byte("["))+bytes.Count(b, []byte("{")) >= maxDepth
}

func FuzzScan(f *testing.F) {
	for _, b := range bodies {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if tooDeep(b) {
			return
		}
		if valid(b) != json.Valid(b) {
			t.Fatalf("valid says %v of %q", valid(b), b)
		}
		if !valid(b) {
			return
		}
		var c, i bytes.Buffer
		if err := json.Compact(&c, b); err != nil {
			t.Fatal(err)
		}
		compact := appendCompact(nil, b)
		if !bytes.Equal(compact, c.Bytes()) {
			t.Errorf("compact %q, not %q", compact, c.Bytes())
		}
		if err := json.Indent(&i, b, "", "  "); err != nil {
			t.Fatal(err)
		}
		if got, want := appendIndented(nil, compact), bytes.TrimRight(i.Bytes(), " \n\r\t"); !bytes.Equal(got, want) {
			t.Errorf("indented %q, not %q", got, want)
		}
		compareMembers(t, b)
	})
}

// compareMembers compares the first level of b with what encoding/json reads.
func compareMembers(t *testing.T, b []byte) {
	var want map[string]json.RawMessage
	if kind(b) != '{' || json.Unmarshal(b, &want) != nil {
		return
	}
	n := 0
	got := make(map[string]string)
	for k, v := range members(b) {
		if utf8.Valid(k) {
			got[string(k)] = string(v)
		}
		n++
	}
	for k, v := range want {
		if g, ok := got[k]; strings.ToValidUTF8(k, "") == k && !strings.ContainsRune(k, utf8.RuneError) && (!ok || g != string(v)) {
			t.Errorf("member %q is %q, not %q", k, g, v)
		}
	}
	if n < len(want) {
		t.Errorf("%d members of %d", n, len(want))
	}
}

func TestTooDeep(t *testing.T) {
	if deep := strings.Repeat("[", maxDepth+2) + strings.Repeat("]", maxDepth+2); valid([]byte(deep)) {
		t.Error("read a body nested beyond the limit")
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "plain", "a \"quote\" \\ \n\r\t\x01", "naïve – “café” 😀 words", strings.Repeat("é", 20), " \n\n x  y "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		if got := text(appendString(nil, s)); got != s {
			t.Errorf("%q read back as %q", s, got)
		}
		var joined strings.Builder
		for i := 0; i < len(s); {
			end := pieceEnd(s, i)
			if end <= i || !utf8.ValidString(s[i:end]) {
				t.Fatalf("piece %q of %q", s[i:end], s)
			}
			joined.WriteString(s[i:end])
			i = end
		}
		if joined.String() != s || firstPieces(s, pieces(s)) != len(s) {
			t.Errorf("pieces of %q make %q", s, joined.String())
		}
		for _, w := range topics(s) {
			if !utf8.ValidString(w) || !strings.Contains(s, w) {
				t.Errorf("topic %q of %q", w, s)
			}
		}
	})
}

func TestProse(t *testing.T) {
	for n := range 300 {
		r := random(n)
		words := string(prose(nil, &r, templates, []string{"Zanzibar"}, n, true))
		if got := len(strings.Fields(words)); got != n {
			t.Fatalf("%d words for %d: %q", got, n, words)
		}
		if n > 0 && !strings.HasSuffix(strings.TrimRight(words, "?"), ".") && !strings.HasSuffix(words, "?") {
			t.Errorf("no end: %q", words)
		}
	}
}
