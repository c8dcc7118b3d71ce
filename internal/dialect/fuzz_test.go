package dialect

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

// requestSeeds are small requests of every API, with what is odd in some.
var requestSeeds = []string{
	`{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]},{"role":"assistant","content":"b"},{"role":"tool","tool_call_id":"c","content":"[{\"id\":1,\"score\":2}]"}],"tools":[{"name":"t","cache_control":null}]}`,
	`{"messages":[1,{"cache_control":1}, {"a":2 , "cache_control" : [] , "b":3},"x",2],"messages":{"cache_control":{}},"system":["a",{"cache_control":{"cache_control":1}}]}`,
	`{"input":[{"type":"function_call_output","output":[{"type":"input_image","image_url":"data:a;base64,AA"}]},{"type":"mcp_call","arguments":"x","output":"y"}],"prompt":{"id":"p","variables":{"v":"w"}},"tools":[{"type":"mcp","server_label":"l"}]}`,
	`{"input":"x","instructions":["y"],"documents":[{"id":"d","text":"t"},3],"prediction":{"type":"content","content":"p"},"suffix":null,"user":[1],"metadata":{"user_id":2,"x":"y"}} trailing`,
	"\xef\xbb\xbf\t{\"m\xffodel\":\"\\ud800\",\"messages\" :\n[ ] ,\"tools\":[],\"model\":1E5}\r\n", `{"prompt":[[1,2],[3]]}`, `{"prompt":[1,2]}`, `[]`, `{`, ``,
}

func FuzzParseRequest(f *testing.F) {
	for i, s := range requestSeeds {
		f.Add(uint8(i), []byte(s))
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		c := allCalls[int(kind)%len(allCalls)]
		r := c.ParseRequest(body, http.Header{})
		got, err := steno.Join(r.Pieces)
		if err != nil || !bytes.Equal(got, body) {
			t.Fatalf("pieces make %q (%v), not %q", got, err, body)
		}
		for _, p := range r.Pieces {
			if len(p.Bytes) == 0 || len(p.Bytes) > MaxPiece {
				t.Fatalf("a piece of %d bytes", len(p.Bytes))
			}
		}
		checkTexts(t, body, r.Texts)
		facts, err := json.Marshal([]any{r.Model, r.Prompt, r.Documents, r.User, r.UserSource, r.Conversation, r.Problem})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.User) > maxUser*3 || r.Understood != r.Model.Understood || (r.Problem == "" && !r.Understood) {
			t.Fatalf("%s", facts)
		}
	})
}

func checkTexts(t *testing.T, body []byte, texts []Text) {
	t.Helper()
	for _, x := range texts {
		if x.Start < 0 || x.End > len(body) || x.Start >= x.End || x.Origin == "" {
			t.Fatalf("a text at %d to %d of %d", x.Start, x.End, len(body))
		}
		w := x.Words(body)
		for _, r := range [][2]int{{0, len(w)}, {len(w) / 3, len(w) / 2}, {len(w), len(w)}} {
			if start, end := x.Span(body, r[0], r[1]); start < 0 || end > len(body) || start > end {
				t.Fatalf("words %v stand at %d to %d of %d", r, start, end, len(body))
			}
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	for i, s := range append([]string{
		`{"choices":[{"index":1e3,"message":{"content":["a",{"type":"text","text":"b"}],"tool_calls":[{"custom":{}},1]},"logprobs":{"content":[{"logprob":-1}],"token_logprobs":[null,1,"x"]}}],"usage":{"prompt_tokens":-1,"total_tokens":1e99},"model":"\ud800"}`,
		`{"output":[{"type":"x_call","results":[{}],"outputs":[{"logs":"l"}]},{"type":"message","content":"s"}],"status":"failed","error":null,"object":"response"}`,
		`{"content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"}]}},{"type":"tool_result","content":{"a":"b"}}],"stop_reason":"refusal"}`,
		`{"error":{"type":1}}`, `{"data":[{"embedding":[1,2]}]}`, `{`,
	}, requestSeeds...) {
		f.Add(uint8(i), 200, []byte(s))
	}
	for i, s := range streams {
		f.Add(uint8(i), 200, []byte(s.body))
	}
	f.Fuzz(func(t *testing.T, kind uint8, status int, body []byte) {
		c := allCalls[int(kind)%len(allCalls)]
		for _, h := range []http.Header{plainJSON, sse} {
			r := c.ParseResponse(status, h, body, false)
			c.Consequences("POST", "/v1/vector_stores/vs/files", status, body, body)
			got, err := steno.Join(r.Pieces)
			if err != nil || !bytes.Equal(got, body) {
				t.Fatalf("pieces make %q (%v), not %q", got, err, body)
			}
			checkTexts(t, body, r.Texts)
			if _, err := json.Marshal([]any{r.Result, r.Model, r.Documents, r.Findings, r.Problem}); err != nil {
				t.Fatal(err)
			}
			if r.Result.End == "" {
				t.Fatal("no end")
			}
		}
	})
}

func FuzzStream(f *testing.F) {
	for i, s := range streams {
		f.Add(uint8(i), []byte{3, 1, 200}, []byte(s.body))
		f.Add(uint8(i), []byte{1}, []byte(strings.ReplaceAll(s.body, "\n", "\r")))
	}
	f.Add(uint8(0), []byte{2}, []byte("data: {\r\ndata: }\r\r\n\n: c\n\nevent\ndata:[DONE]\n\n"))
	f.Fuzz(func(t *testing.T, kind uint8, sizes, body []byte) {
		c := allCalls[int(kind)%len(allCalls)]
		one := c.newStream(framingSSE)
		all := one.Feed(body)
		if all > len(body) {
			t.Fatalf("released %d of %d", all, len(body))
		}
		want := one.Response(200, sse)
		s := c.newStream(framingSSE)
		released, at := 0, 0
		for i := 0; at < len(body); i++ {
			n := len(body) - at
			if len(sizes) > 0 {
				n = min(n, 1+int(sizes[i%len(sizes)]))
			}
			at += n
			r := s.Feed(body[at-n : at])
			if r < released || r > at {
				t.Fatalf("released %d, then %d, of %d", released, r, at)
			}
			released = r
		}
		if got := s.Response(200, sse); released != all || s.Finished() != one.Finished() || !reflect.DeepEqual(got, want) {
			t.Fatalf("in chunks: released %d, want %d: %s\nwant %s", released, all, asJSON(got), asJSON(want))
		}
		checkTexts(t, body, want.Texts)
	})
}

func FuzzTranscript(f *testing.F) {
	for i, s := range requestSeeds {
		f.Add(uint8(i), false, []byte(s), []byte(s))
	}
	for i, s := range streams {
		f.Add(uint8(i), true, []byte(`{}`), []byte(s.body))
	}
	f.Fuzz(func(t *testing.T, kind uint8, stream bool, request, response []byte) {
		c := allCalls[int(kind)%len(allCalls)]
		for _, turn := range c.Transcript(request, response, contentType(stream)) {
			for _, p := range turn.Parts {
				body := map[string][]byte{"request": request, "response": response}[p.Body]
				if p.Start < 0 || p.End > len(body) || p.Start > p.End {
					t.Fatalf("part at %d to %d of %d", p.Start, p.End, len(body))
				}
			}
		}
	})
}

func FuzzSpan(f *testing.F) {
	f.Add([]byte(`a\u00e9\n\ud83d\ude00`), uint8(2))
	f.Add([]byte(`\ud83d\u12`), uint8(0))
	f.Fuzz(func(t *testing.T, raw []byte, at uint8) {
		words := unquote(nil, raw)
		if i := offset(raw, int(at)); i < 0 || i > len(raw) {
			t.Fatalf("%d of %d", i, len(raw))
		}
		if i := offset(raw, len(words)); i != len(raw) {
			t.Fatalf("the end of the words is at %d of %d", i, len(raw))
		}
	})
}

// Bodies made to be costly take time in proportion to their length.
func TestCostlyBodies(t *testing.T) {
	const n = 20_000
	for name, body := range map[string]string{
		"members":  `{` + strings.Repeat(`"a":1,`, n) + `"b":2}`,
		"messages": `{"messages":[` + strings.Repeat(`{},`, n) + `{}]}`,
		"marks":    `{"messages":[` + strings.Repeat(`{"cache_control":1},`, n) + `{}]}`,
		"tools":    `{"tools":[` + strings.Repeat(`{"name":"a"},`, n) + `{}]}`,
		"texts":    `{"input":[` + strings.Repeat(`"a",`, n) + `"b"]}`,
		"blocks":   `{"messages":[{"role":"user","content":[` + strings.Repeat(`{"type":"document","title":"x"},`, n) + `{}]}]}`,
		"calls":    `{"choices":[{"message":{"tool_calls":[` + strings.Repeat(`{"id":"x"},`, n) + `{}]}}]}`,
		"choices":  `{"choices":[` + strings.Repeat(`{"index":1,"finish_reason":"stop"},`, n) + `{}]}`,
		"content":  `{"content":[` + strings.Repeat(`{"type":"text","text":"a"},`, n) + `{}]}`,
		"nested":   `{"messages":[` + strings.Repeat(`{"type":"message","content":[`, 200) + strings.Repeat(`]}`, 200) + `]}`,
	} {
		for _, c := range allCalls {
			r := parse(t, c, body)
			if got, err := steno.Join(r.Pieces); err != nil || len(got) != len(body) {
				t.Errorf("%s: %v", name, err)
			}
			c.ParseResponse(200, plainJSON, []byte(body), false)
		}
	}
	var many strings.Builder
	for i := range n / 4 {
		many.WriteString(events(`{"choices":[{"index":` + strings.Repeat("1", 1+i%5) + `,"delta":{"content":"a"}}]}`))
	}
	chat.ParseResponse(200, sse, []byte(many.String()), false)
}
