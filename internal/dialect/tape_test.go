package dialect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

var oddJSON = []string{
	``, ` `, `{}`, `[]`, `null`, `true`, `tru`, `falsey`, `nul`, `-`, `-0`, `01`, `1.`, `1.5e`, `1E5`, `1e+05`, `.5`, `+1`, `0x1`, `NaN`,
	`"a`, `"a\`, `"\u12`, `"\u12g4"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\x"`, "\"a\tb\"", "\"\x7f\xff\"", `"12345678"`, `"1234567\"90"`,
	`{"a":1,}`, `{"a"}`, `{"a":}`, `{,}`, `[1,]`, `[,1]`, `[1 2]`, `{"a":1 "b":2}`, `{a:1}`, `[1,"x",2]`, `{"a":[1,2,{"b":[]}]} `,
	"\t\r\n {\"a\"\n:\t1\r}", `{"a":1,"a":2}`, `[[[[[]]]]]`, `{"a":{"b":{"c":null}}}`, `"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"bb"`,
	"\"aaaaaaaaaaa\x1f\"", "\"\x20\x21\x22", `{"\u0061":1}`, `1 1`, `{} {}`, `[1e400,-0.0]`, `"` + strings.Repeat("é", 20) + `"`,
}

// takes says whether the tape takes all of b as one value.
func takes(t *tape, b []byte) bool {
	end := t.parse(b)
	return end >= 0 && end == len(b)
}

func FuzzTape(f *testing.F) {
	for _, s := range oddJSON {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tp := &tape{}
		got := takes(tp, b)
		want := json.Valid(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")))
		if got != want && tp.fault.why != "it is nested too deep" {
			t.Fatalf("tape says %v (%+v), encoding/json says %v: %q", got, tp.fault, want, b)
		}
		if got {
			checkTape(t, tp)
		}
	})
}

// checkTape holds each node against encoding/json.
func checkTape(t *testing.T, tp *tape) {
	t.Helper()
	for n := root; n < len(tp.nodes); n++ {
		raw := tp.raw(n)
		if !json.Valid(raw) {
			t.Fatalf("node %d is %q", n, raw)
		}
		if next := int(tp.nodes[n].next); next <= n || next > len(tp.nodes) {
			t.Fatalf("node %d ends at node %d of %d", n, next, len(tp.nodes))
		}
		if s := tp.shape(n); s == text || s == key {
			var want string
			if err := json.Unmarshal(raw, &want); err != nil {
				t.Fatal(err)
			}
			got := string(tp.bytes(n))
			if strings.ToValidUTF8(got, "\uFFFD") != strings.ToValidUTF8(want, "\uFFFD") && !strings.Contains(want, "\uFFFD") {
				t.Fatalf("%q says %q, not %q", raw, want, got)
			}
		}
	}
}

func TestTapeIsJSON(t *testing.T) {
	for _, s := range oddJSON {
		tp := &tape{}
		if got, want := takes(tp, []byte(s)), json.Valid([]byte(s)); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		} else if got {
			checkTape(t, tp)
		}
	}
}

func TestTapeLimits(t *testing.T) {
	tp := &tape{}
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if !takes(tp, []byte(deep)) {
		t.Fatalf("%d levels are refused: %+v", maxDepth, tp.fault)
	}
	if takes(tp, []byte("["+deep+"]")) || tp.fault.why != "it is nested too deep" {
		t.Fatalf("%d levels pass: %+v", maxDepth+1, tp.fault)
	}
	if tp.parse(bytes.Repeat([]byte("["), 1<<20)) >= 0 {
		t.Fatal("a million brackets pass")
	}
	wide := "[" + strings.Repeat("{},", maxValues) + "{}]"
	if takes(tp, []byte(wide)) || tp.fault.why != "it has too many values" {
		t.Fatalf("%d values pass: %+v", maxValues, tp.fault)
	}
	numbers := "[" + strings.Repeat("0.25,", 1<<16) + "1]"
	if !takes(tp, []byte(numbers)) || len(tp.nodes) != 2 || tp.count(root) != 1<<16+1 {
		t.Fatalf("a vector makes %d nodes and has %d numbers", len(tp.nodes), tp.count(root))
	}
}

func TestTapeLookups(t *testing.T) {
	tp := &tape{}
	tp.parse([]byte(`{"a":1,"b":{"c":"x"},"a":2,"d\u0065":[1,2],"n":12.0,"big":1e300,"s":"\u00e9","none":null}`))
	if v := tp.integer(tp.get(root, "a")); v == nil || *v != 2 {
		t.Error("of doubles not the last counts")
	}
	if !tp.is(tp.get(tp.get(root, "b"), "c"), "x") || tp.get(tp.get(root, "zz"), "c") != 0 {
		t.Error("nested lookup")
	}
	if tp.count(tp.get(root, "de")) != 2 {
		t.Error("an escaped name is not found")
	}
	if v := tp.integer(tp.get(root, "n")); v == nil || *v != 12 || tp.integer(tp.get(root, "big")) != nil {
		t.Error("integers")
	}
	if tp.str(tp.get(root, "s"), 10) != "é" || tp.has(tp.get(root, "none")) || tp.has(0) {
		t.Error("texts and null")
	}
	if got := tp.compact(root); !json.Valid(got) {
		t.Errorf("compact: %s", got)
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"},
		{"abcd", 3, "abc"},
		{"aé", 2, "a"},
		{"aéb", 3, "aé"},
		{"\xff", 3, "\uFFFD"},
		{"ab\xf0\x9f\x98\x80", 5, "ab"},
		{"ab\xf0\x9f\x98\x80", 6, "ab😀"},
	} {
		if got := clip([]byte(c.in), c.limit); got != c.want {
			t.Errorf("clip(%q, %d) is %q, want %q", c.in, c.limit, got, c.want)
		}
	}
}

func TestTextSpan(t *testing.T) {
	body := []byte(`{"k":"a\né\u00e9\ud83d\ude00z"}`)
	text := Text{Start: 6, End: len(body) - 2}
	words := string(text.Words(body))
	if words != "a\néé😀z" {
		t.Fatalf("words are %q", words)
	}
	for _, part := range []struct{ words, raw string }{
		{"a", "a"}, {"\n", `\n`}, {"éé", `é\u00e9`}, {"😀", `\ud83d\ude00`}, {"z", "z"}, {words, string(body[6 : len(body)-2])},
	} {
		at := strings.Index(words, part.words)
		start, end := text.Span(body, at, at+len(part.words))
		if string(body[start:end]) != part.raw {
			t.Errorf("%q stands in %q, want %q", part.words, body[start:end], part.raw)
		}
	}
}

func ExampleRoute() {
	c, ok := Route("POST", "/v1/chat/completions", nil)
	fmt.Println(c.Dialect, c.API, c.Operation, ok)
	// Output: openai chat_completions chat true
}
