package stub

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
)

func TestChat(t *testing.T) {
	base := start(t, Config{})
	a := post(t, base, "/v1/chat/completions", chatBody())
	v := a.ok(t)
	want(t, str(t, v, "object"), "chat.completion", "object")
	want(t, str(t, v, "model"), "gpt-4o-mini-2024-07-18", "model")
	want(t, str(t, v, "choices", 0, "finish_reason"), "stop", "finish")
	want(t, at(t, v, "choices", 0, "message", "refusal"), nil, "refusal")
	words := str(t, v, "choices", 0, "message", "content")
	if !strings.Contains(words, "Zanzibar") && !strings.Contains(words, "ferry") && !strings.Contains(words, "schedule") &&
		!strings.Contains(words, "naïvely") && !strings.Contains(words, "cost") {
		t.Errorf("nothing of the question in %q", words)
	}
	want(t, num(t, v, "usage", "completion_tokens"), pieces(words), "completion tokens")
	want(t, num(t, v, "usage", "total_tokens"), num(t, v, "usage", "prompt_tokens")+pieces(words), "total tokens")
	for _, h := range []string{"X-Request-Id", "Openai-Processing-Ms", "X-Ratelimit-Remaining-Tokens"} {
		if a.header.Get(h) == "" {
			t.Errorf("no header %s", h)
		}
	}
	if strings.Index(string(a.body), "\n  \"id\": \"chatcmpl-") != 1 {
		t.Errorf("not printed as OpenAI does: %s", a.body)
	}
}

func TestChatChoices(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/chat/completions", chatBody(obj{"n": 3, "logprobs": true, "top_logprobs": 2, "max_tokens": 7})).ok(t)
	want(t, len(at(t, v, "choices").(list)), 3, "choices")
	seen := make(map[string]bool)
	for i := range 3 {
		words := str(t, v, "choices", i, "message", "content")
		seen[words] = true
		want(t, str(t, v, "choices", i, "finish_reason"), "length", "finish")
		joined := ""
		for _, l := range at(t, v, "choices", i, "logprobs", "content").(list) {
			joined += str(t, l, "token")
			want(t, len(at(t, l, "top_logprobs").(list)), 2, "top")
			if p := at(t, l, "logprob").(float64); p > 0 {
				t.Errorf("logprob %v", p)
			}
		}
		want(t, joined, words, "tokens")
	}
	want(t, len(seen), 3, "different choices")
	want(t, num(t, v, "usage", "completion_tokens"), 21, "tokens")
}

func TestChatStream(t *testing.T) {
	base := start(t, Config{})
	events := post(t, base, "/v1/chat/completions", chatBody(chatUsage, obj{"n": 2})).events(t)
	want(t, events[len(events)-1].data, "[DONE]", "last event")
	events = events[:len(events)-1]
	var words [2]string
	var finish [2]any
	pads := make(map[int]bool)
	id := str(t, events[0].json(t), "id")
	for i, e := range events {
		v := e.json(t)
		want(t, str(t, v, "id"), id, "id")
		want(t, str(t, v, "object"), "chat.completion.chunk", "object")
		pads[len(str(t, v, "obfuscation"))] = true
		if i == len(events)-1 {
			want(t, len(at(t, v, "choices").(list)), 0, "choices of the last")
			want(t, num(t, v, "usage", "completion_tokens"), pieces(words[0])+pieces(words[1]), "tokens")
			continue
		}
		want(t, at(t, v, "usage"), nil, "usage of a chunk")
		n := num(t, v, "choices", 0, "index")
		if finish[n] != nil {
			t.Error("a chunk after the last")
		}
		if c, ok := at(t, v, "choices", 0, "delta").(obj)["content"]; ok {
			words[n] += c.(string)
		}
		finish[n] = at(t, v, "choices", 0, "finish_reason")
	}
	want(t, finish, [2]any{"stop", "stop"}, "finish")
	if words[0] == "" || words[0] == words[1] || len(pads) < 4 {
		t.Errorf("words %q, %d lengths of padding", words, len(pads))
	}
	plain := post(t, base, "/v1/chat/completions", chatBody(stream, obj{"stream_options": obj{"include_obfuscation": false}}))
	if s := string(plain.body); strings.Contains(s, "obfuscation") || strings.Contains(s, "usage") {
		t.Error("padding or usage that nobody asked for")
	}
}

// joinCalls puts together the tool calls of a stream of chunks.
func joinCalls(t *testing.T, events []event) (names, args []string, finish string) {
	for _, e := range events[:len(events)-1] {
		v := e.json(t)
		if f := at(t, v, "choices", 0, "finish_reason"); f != nil {
			finish = f.(string)
		}
		calls, _ := at(t, v, "choices", 0, "delta").(obj)["tool_calls"].(list)
		for _, c := range calls {
			i := num(t, c, "index")
			if i == len(names) {
				names, args = append(names, str(t, c, "function", "name")), append(args, "")
				if !strings.HasPrefix(str(t, c, "id"), "call_") {
					t.Errorf("no id in %v", c)
				}
			}
			args[i] += str(t, c, "function", "arguments")
		}
	}
	return names, args, finish
}

func checkWeather(t *testing.T, args string) {
	t.Helper()
	var v obj
	if err := json.Unmarshal([]byte(args), &v); err != nil {
		t.Fatalf("%v in %s", err, args)
	}
	if u := str(t, v, "unit"); u != "celsius" && u != "fahrenheit" {
		t.Errorf("unit %q", u)
	}
	if l := str(t, v, "location"); l != "Lisbon" && l != "Turin" {
		t.Errorf("location %q", l)
	}
	if num(t, v, "days") < 1 {
		t.Errorf("days %v", v)
	}
}

func TestChatTools(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/chat/completions", chatBody(chatTool)).ok(t)
	want(t, str(t, v, "choices", 0, "finish_reason"), "tool_calls", "finish")
	want(t, at(t, v, "choices", 0, "message", "content"), nil, "content")
	want(t, str(t, v, "choices", 0, "message", "tool_calls", 0, "function", "name"), "get_weather", "name")
	checkWeather(t, str(t, v, "choices", 0, "message", "tool_calls", 0, "function", "arguments"))

	names, args, finish := joinCalls(t, post(t, base, "/v1/chat/completions", chatBody(chatTool, stream)).events(t))
	want(t, names, []string{"get_weather"}, "names")
	want(t, finish, "tool_calls", "finish")
	checkWeather(t, args[0])

	two := obj{
		"messages": list{obj{"role": "user", "content": "I want the weather and the time of Lisbon and Turin"}},
		"tools": list{
			obj{"type": "function", "function": weather},
			obj{"type": "function", "function": obj{"name": "get_time", "parameters": obj{"type": "object", "properties": obj{"zone": obj{"type": "string"}}}}},
		},
	}
	names, args, _ = joinCalls(t, post(t, base, "/v1/chat/completions", chatBody(two, stream)).events(t))
	want(t, names, []string{"get_weather", "get_time"}, "parallel calls")
	if len(args) != 2 || !json.Valid([]byte(args[1])) {
		t.Errorf("arguments %q", args)
	}
	for _, c := range []struct {
		name string
		more obj
		want string
	}{
		{"not asked for", obj{"messages": list{obj{"role": "user", "content": "Tell me a joke."}}}, "stop"},
		{"forbidden", obj{"tool_choice": "none"}, "stop"},
		{"forced", obj{"messages": list{obj{"role": "user", "content": "Tell me a joke."}}, "tool_choice": obj{"type": "function", "function": obj{"name": "get_weather"}}}, "tool_calls"},
		{"required", obj{"messages": list{obj{"role": "user", "content": "Tell me a joke."}}, "tool_choice": "required"}, "tool_calls"},
		{"answered", obj{"messages": append(append(list{}, askTool...), obj{"role": "assistant", "content": nil, "tool_calls": list{}}, obj{"role": "tool", "tool_call_id": "c", "content": "sun"})}, "stop"},
	} {
		v := post(t, base, "/v1/chat/completions", chatBody(chatTool, c.more)).ok(t)
		want(t, str(t, v, "choices", 0, "finish_reason"), c.want, c.name)
	}
}

func TestChatForms(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/chat/completions", chatBody(obj{"response_format": obj{"type": "json_schema", "json_schema": obj{"schema": obj{
		"type": "object", "properties": obj{"title": obj{"type": "string"}, "tags": obj{"type": "array", "items": obj{"type": "string"}}},
	}}}})).ok(t)
	var made obj
	if err := json.Unmarshal([]byte(str(t, v, "choices", 0, "message", "content")), &made); err != nil {
		t.Fatal(err)
	}
	str(t, made, "title")
	str(t, made, "tags", 1)

	said := "Two\nlines, a \"quote\", a tab\tand ünïcödé 😀"
	v = post(t, base, "/v1/chat/completions", chatBody(obj{"messages": list{obj{"role": "user", "content": "Please. " + repeatMark + said}}})).ok(t)
	want(t, str(t, v, "choices", 0, "message", "content"), said, "repeated")
	v = post(t, base, "/v1/chat/completions", chatBody(obj{"model": "o3-mini"})).ok(t)
	if num(t, v, "usage", "completion_tokens_details", "reasoning_tokens") == 0 {
		t.Error("no reasoning tokens of a reasoning model")
	}
	v = post(t, base, "/v1/chat/completions", chatBody(obj{"stop": list{" "}})).ok(t)
	if strings.Contains(str(t, v, "choices", 0, "message", "content"), " ") {
		t.Error("went on after a stop")
	}
	parts := list{obj{"type": "text", "text": repeatMark + "parts"}, obj{"type": "image_url", "image_url": obj{"url": "data:image/png;base64,AAAA"}}}
	v = post(t, base, "/v1/chat/completions", chatBody(obj{"messages": list{obj{"role": "user", "content": parts}}})).ok(t)
	want(t, str(t, v, "choices", 0, "message", "content"), "parts", "content in parts")
	if num(t, v, "usage", "prompt_tokens") < imageTokens {
		t.Error("the picture counts nothing")
	}
}

func TestCompletions(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/completions", obj{"model": "gpt-3.5-turbo-instruct", "prompt": list{"a", "b"}, "n": 2, "max_tokens": 9, "logprobs": 1}).ok(t)
	want(t, str(t, v, "object"), "text_completion", "object")
	want(t, len(at(t, v, "choices").(list)), 4, "choices")
	words := str(t, v, "choices", 3, "text")
	joined := ""
	for i, tok := range at(t, v, "choices", 3, "logprobs", "tokens").(list) {
		want(t, num(t, v, "choices", 3, "logprobs", "text_offset", i), len(joined), "offset")
		joined += tok.(string)
	}
	want(t, joined, words, "tokens")
	events := post(t, base, "/v1/completions", obj{"model": "davinci-002", "prompt": question, "stream": true, "stream_options": obj{"include_usage": true}}).events(t)
	want(t, events[len(events)-1].data, "[DONE]", "last event")
	usage := events[len(events)-2].json(t)
	want(t, len(at(t, usage, "choices").(list)), 0, "choices of the last")
	finish := at(t, events[len(events)-3].json(t), "choices", 0, "finish_reason")
	want(t, finish, "stop", "finish")
}

func TestEmbeddings(t *testing.T) {
	base := start(t, Config{})
	in := list{"one", "two"}
	v := post(t, base, "/v1/embeddings", obj{"model": "text-embedding-3-small", "input": in}).ok(t)
	w := post(t, base, "/v1/embeddings", obj{"model": "text-embedding-3-small", "input": in, "encoding_format": "base64"}).ok(t)
	for i := range in {
		floats := at(t, v, "data", i, "embedding").(list)
		want(t, len(floats), smallVector, "size")
		raw, err := base64.StdEncoding.DecodeString(str(t, w, "data", i, "embedding"))
		if err != nil || len(raw) != 4*smallVector {
			t.Fatalf("%v, %d bytes", err, len(raw))
		}
		sum := 0.0
		for j, f := range floats {
			x := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*j:]))
			if float32(f.(float64)) != x {
				t.Fatalf("%d: %v as a float, %v in base64", j, f, x)
			}
			sum += float64(x) * float64(x)
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("length %v", sum)
		}
	}
	v = post(t, base, "/v1/embeddings", obj{"model": "text-embedding-3-large", "input": list{1, 2, 3}, "dimensions": 5}).ok(t)
	want(t, len(at(t, v, "data", 0, "embedding").(list)), 5, "dimensions")
	want(t, num(t, v, "usage", "prompt_tokens"), 3, "tokens")
}

func TestModels(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/models", nil).ok(t)
	want(t, str(t, v, "object"), "list", "object")
	want(t, str(t, v, "data", 0, "object"), "model", "object of a model")
	v = post(t, base, "/v1/models/gpt-4o", nil).ok(t)
	want(t, str(t, v, "id"), "gpt-4o", "id")
	v = post(t, base, "/v1/models", nil, "anthropic-version", "2023-06-01").ok(t)
	want(t, str(t, v, "data", 0, "type"), "model", "type")
	want(t, str(t, v, "data", 0, "id"), str(t, v, "first_id"), "first")
	want(t, post(t, base, "/v1/models/gpt-4o", nil, "anthropic-version", "2023-06-01").status, http.StatusNotFound, "the other provider's model")
}

func TestOpenAIErrors(t *testing.T) {
	base := start(t, Config{})
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		param      any
	}{
		{"not JSON", "/v1/chat/completions", `{"model":"gpt-4o",`, 400, nil},
		{"no object", "/v1/chat/completions", `[]`, 400, nil},
		{"no model", "/v1/chat/completions", obj{"messages": list{}}, 400, "model"},
		{"no messages", "/v1/chat/completions", obj{"model": "gpt-4o"}, 400, "messages"},
		{"empty messages", "/v1/chat/completions", obj{"model": "gpt-4o", "messages": list{}}, 400, "messages"},
		{"n", "/v1/chat/completions", chatBody(obj{"n": 0}), 400, "n"},
		{"no such model", "/v1/chat/completions", chatBody(obj{"model": "no-such-model"}), 404, nil},
		{"no input", "/v1/responses", obj{"model": "gpt-4o"}, 400, "input"},
		{"no such response", "/v1/responses", responsesBody(obj{"previous_response_id": "resp_1"}), 400, "previous_response_id"},
		{"no prompt", "/v1/completions", obj{"model": "davinci-002"}, 400, "prompt"},
		{"no text", "/v1/embeddings", obj{"model": "text-embedding-3-small"}, 400, "input"},
		{"nowhere", "/v1/audio/nowhere", obj{}, 404, nil},
		{"not allowed", "/v1/chat/completions", nil, 405, nil},
	} {
		a := post(t, base, c.path, c.body)
		want(t, a.status, c.status, c.name)
		e := at(t, a.json(t), "error")
		want(t, at(t, e, "param"), c.param, c.name+": param")
		want(t, str(t, e, "type"), "invalid_request_error", c.name+": type")
		if str(t, e, "message") == "" {
			t.Errorf("%s: no message", c.name)
		}
	}
	r := request(t, base, "/v1/chat/completions", chatBody())
	r.Header.Del("Authorization")
	want(t, send(t, r).status, http.StatusUnauthorized, "without a key")
}
