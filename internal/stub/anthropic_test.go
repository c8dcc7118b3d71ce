package stub

import (
	"encoding/json"
	"strings"
	"testing"
)

// follow checks the grammar of a message's events and puts the message together.
func follow(t *testing.T, events []event) (message obj, stops obj) {
	t.Helper()
	open, pings := -1, 0
	blocks := list{}
	var block obj
	args := ""
	for i, e := range events {
		v := e.json(t)
		want(t, str(t, v, "type"), e.name, "type")
		switch e.name {
		case "message_start":
			want(t, i, 0, "place of message_start")
			message = at(t, v, "message").(obj)
		case "ping":
			pings++
		case "content_block_start":
			want(t, open, -1, "open block")
			open = num(t, v, "index")
			want(t, open, len(blocks), "index")
			block, args = at(t, v, "content_block").(obj), ""
		case "content_block_delta":
			want(t, num(t, v, "index"), open, "index of a delta")
			d := at(t, v, "delta").(obj)
			switch str(t, d, "type") {
			case "text_delta":
				block["text"] = block["text"].(string) + str(t, d, "text")
			case "thinking_delta":
				block["thinking"] = block["thinking"].(string) + str(t, d, "thinking")
			case "signature_delta":
				block["signature"] = str(t, d, "signature")
			case "input_json_delta":
				args += str(t, d, "partial_json")
			default:
				t.Errorf("delta %v", d)
			}
		case "content_block_stop":
			want(t, num(t, v, "index"), open, "index of a stop")
			if block["type"] == "tool_use" {
				var in obj
				if err := json.Unmarshal([]byte(args), &in); err != nil {
					t.Fatalf("%v in %s", err, args)
				}
				block["input"] = in
			}
			blocks, open = append(blocks, block), -1
		case "message_delta":
			want(t, i, len(events)-2, "place of message_delta")
			stops = v
		case "message_stop":
			want(t, i, len(events)-1, "place of message_stop")
		default:
			t.Errorf("event %q", e.name)
		}
	}
	want(t, pings, 1, "pings")
	message["content"] = blocks
	return message, stops
}

func TestMessages(t *testing.T) {
	base := start(t, Config{})
	a := post(t, base, "/v1/messages", claudeBody())
	v := a.ok(t)
	want(t, str(t, v, "model"), "claude-sonnet-4-5-20250929", "model")
	want(t, str(t, v, "stop_reason"), "end_turn", "stop")
	want(t, at(t, v, "stop_sequence"), nil, "stop sequence")
	if str(t, v, "content", 0, "text") == "" || num(t, v, "usage", "output_tokens") == 0 {
		t.Errorf("no words in %v", v)
	}
	for _, h := range []string{"Request-Id", "Anthropic-Organization-Id", "Anthropic-Ratelimit-Requests-Remaining"} {
		if a.header.Get(h) == "" {
			t.Errorf("no header %s", h)
		}
	}
	v = post(t, base, "/v1/messages", claudeBody(obj{"max_tokens": 5})).ok(t)
	want(t, str(t, v, "stop_reason"), "max_tokens", "stop")
	v = post(t, base, "/v1/messages", claudeBody(obj{"stop_sequences": list{"e"}})).ok(t)
	want(t, str(t, v, "stop_reason"), "stop_sequence", "stop")
	want(t, str(t, v, "stop_sequence"), "e", "stop sequence")
	v = post(t, base, "/v1/messages", claudeBody(obj{"thinking": obj{"type": "enabled", "budget_tokens": 1024}})).ok(t)
	want(t, str(t, v, "content", 0, "type"), "thinking", "first block")
	want(t, str(t, v, "content", 1, "type"), "text", "second block")
	v = post(t, base, "/v1/messages", claudeBody(anthTool)).ok(t)
	want(t, str(t, v, "stop_reason"), "tool_use", "stop")
	want(t, str(t, v, "content", 1, "name"), "get_weather", "tool")
	str(t, v, "content", 1, "input", "location")
	results := append(append(list{}, askTool...), obj{"role": "assistant", "content": list{obj{"type": "tool_use", "id": "t", "name": "get_weather", "input": obj{}}}},
		obj{"role": "user", "content": list{obj{"type": "tool_result", "tool_use_id": "t", "content": "the weather is fine"}}})
	v = post(t, base, "/v1/messages", claudeBody(anthTool, obj{"messages": results})).ok(t)
	want(t, str(t, v, "stop_reason"), "end_turn", "stop after a result")
}

func TestMessagesStream(t *testing.T) {
	base := start(t, Config{})
	a := post(t, base, "/v1/messages", claudeBody(stream))
	m, end := follow(t, a.events(t))
	want(t, str(t, end, "delta", "stop_reason"), "end_turn", "stop")
	words := str(t, m, "content", 0, "text")
	want(t, num(t, end, "usage", "output_tokens"), pieces(words)+3, "tokens")
	want(t, num(t, end, "usage", "input_tokens"), num(t, m, "usage", "input_tokens"), "cumulative input")
	if !strings.Contains(string(a.body), "  }\n\n") {
		t.Error("no padding before the last brace of any event")
	}

	m, end = follow(t, post(t, base, "/v1/messages", claudeBody(stream, anthTool, obj{"thinking": obj{"type": "enabled", "budget_tokens": 1024}})).events(t))
	want(t, str(t, end, "delta", "stop_reason"), "tool_use", "stop")
	want(t, len(at(t, m, "content").(list)), 3, "blocks")
	if str(t, m, "content", 0, "thinking") == "" || str(t, m, "content", 0, "signature") == "" {
		t.Errorf("no thinking in %v", m)
	}
	args, err := json.Marshal(at(t, m, "content", 2, "input"))
	if err != nil {
		t.Fatal(err)
	}
	checkWeather(t, string(args))
}

func TestMessagesCache(t *testing.T) {
	base := start(t, Config{})
	system := func(ttl string) obj {
		mark := obj{"type": "ephemeral"}
		if ttl != "" {
			mark["ttl"] = ttl
		}
		return obj{"system": list{obj{"type": "text", "text": strings.Repeat("Long words. ", 400), "cache_control": mark}}}
	}
	plain := post(t, base, "/v1/messages", claudeBody()).ok(t)
	want(t, num(t, plain, "usage", "cache_creation_input_tokens"), 0, "without a mark")
	v := post(t, base, "/v1/messages", claudeBody(system(""))).ok(t)
	made := num(t, v, "usage", "cache_creation_input_tokens")
	want(t, num(t, v, "usage", "cache_creation", "ephemeral_5m_input_tokens"), made, "five minutes")
	if made < 1000 {
		t.Errorf("cached %d", made)
	}
	v = post(t, base, "/v1/messages", claudeBody(system("1h"))).ok(t)
	want(t, num(t, v, "usage", "cache_creation", "ephemeral_1h_input_tokens"), num(t, v, "usage", "cache_creation_input_tokens"), "an hour")

	count := post(t, base, "/v1/messages/count_tokens", claudeBody(system(""))).ok(t)
	v = post(t, base, "/v1/messages", claudeBody(system(""))).ok(t)
	want(t, num(t, count, "input_tokens"), num(t, v, "usage", "input_tokens")+num(t, v, "usage", "cache_creation_input_tokens")+num(t, v, "usage", "cache_read_input_tokens"), "count")

	turns := list{
		obj{"role": "user", "content": "Hello"},
		obj{"role": "assistant", "content": "Hi"},
		obj{"role": "user", "content": list{obj{"type": "text", "text": "And now?", "cache_control": obj{"type": "ephemeral"}}}},
	}
	v = post(t, base, "/v1/messages", claudeBody(system(""), obj{"messages": turns})).ok(t)
	if read := num(t, v, "usage", "cache_read_input_tokens"); read < 900 {
		t.Errorf("a second turn read %d tokens", read)
	}
}

func TestComplete(t *testing.T) {
	base := start(t, Config{})
	ask := obj{"model": "claude-instant-1.2", "max_tokens_to_sample": 300, "prompt": "\n\nHuman: " + repeatMark + "old words\n\nAssistant:"}
	v := post(t, base, "/v1/complete", ask).ok(t)
	want(t, str(t, v, "completion"), " old words", "completion")
	want(t, str(t, v, "stop_reason"), "stop_sequence", "stop")
	ask["stream"] = true
	words := ""
	for _, e := range post(t, base, "/v1/complete", ask).events(t) {
		if e.name == "completion" {
			words += str(t, e.json(t), "completion")
		}
	}
	want(t, words, " old words", "completion of a stream")
}

func TestAnthropicErrors(t *testing.T) {
	base := start(t, Config{})
	for _, c := range []struct {
		name, path string
		body       any
		status     int
		kind       string
	}{
		{"not JSON", "/v1/messages", `{`, 400, "invalid_request_error"},
		{"no model", "/v1/messages", obj{}, 400, "invalid_request_error"},
		{"no messages", "/v1/messages", obj{"model": "claude-opus-4-5", "max_tokens": 1}, 400, "invalid_request_error"},
		{"no max_tokens", "/v1/messages", obj{"model": "claude-opus-4-5", "messages": list{}}, 400, "invalid_request_error"},
		{"a role", "/v1/messages", claudeBody(obj{"messages": list{obj{"role": "system", "content": "x"}}}), 400, "invalid_request_error"},
		{"no such model", "/v1/messages", claudeBody(obj{"model": "no-such-claude"}), 404, "not_found_error"},
		{"nowhere", "/v1/messages/nowhere", obj{}, 404, "not_found_error"},
		{"no prompt", "/v1/complete", obj{"model": "claude-instant-1.2"}, 400, "invalid_request_error"},
	} {
		a := post(t, base, c.path, c.body)
		want(t, a.status, c.status, c.name)
		v := a.json(t)
		want(t, str(t, v, "type"), "error", c.name)
		want(t, str(t, v, "error", "type"), c.kind, c.name)
		want(t, str(t, v, "request_id"), a.header.Get("Request-Id"), c.name)
	}
}
