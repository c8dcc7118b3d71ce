package steno

import (
	"bytes"
	"strings"
	"testing"
)

func TestHolder(t *testing.T) {
	chat := "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"
	finish := "data: {\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	for _, c := range []struct {
		name, media, path string
		feeds             []string
		want              []int
	}{
		{"plain, small", "application/json", "/v1/x", []string{"{}", " "}, []int{0, 0}},
		{"plain, large", "application/json", "/v1/x", []string{strings.Repeat("x", holdWhole), "y"}, []int{0, holdWhole}},
		{"chat", "text/event-stream; charset=utf-8", "", []string{chat, finish, "data: [DONE]\n\n", "x"}, []int{len(chat), len(chat), len(chat), len(chat)}},
		{"chat that goes on after a finish reason", "text/event-stream", "", []string{chat, finish, chat}, []int{len(chat), len(chat), 2*len(chat) + len(finish)}},
		{"half an event", "text/event-stream", "", []string{chat[:20], chat[20:]}, []int{0, len(chat)}},
		{"a stream that nobody knows", "text/event-stream", "", []string{"data: 1\n\n", "data: 2\n\n", "data: 3\r\n\r\n"}, []int{0, 9, 18}},
		{"anthropic", "text/event-stream", "", []string{"event: message_start\ndata: {\"type\":\"message_start\"}\n\n", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"}, []int{53, 53}},
		{"words that look like an end", "text/event-stream", "", []string{strings.Replace(chat, "Hi", `say \"type\":\"message_stop\"`, 1)}, []int{len(chat) - 2 + len(`say \"type\":\"message_stop\"`)}},
		{"lines", "application/x-ndjson", "", []string{"{\"done\":false}\n", "{\"done\":true}\n"}, []int{15, 15}},
		{"frames", "application/vnd.amazon.eventstream", "", []string{"\x00\x00\x00\x10" + strings.Repeat("a", 12), "\x00\x00\x00\x11" + strings.Repeat("b", 13)}, []int{0, 16}},
		{"an array that streams", "application/json", "/v1beta/models/g:streamGenerateContent", []string{"[{}", ",{}]"}, []int{2, 6}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHolder(c.media, c.path)
			for i, f := range c.feeds {
				if got := h.feed([]byte(f)); got != int64(c.want[i]) {
					t.Errorf("after %q %d bytes may be shown, want %d", f, got, c.want[i])
				}
			}
		})
	}
}

// FuzzHolder: however a stream is cut into reads, what may be shown never is more than what came, never takes anything
// back, and never holds a terminal event.
func FuzzHolder(f *testing.F) {
	f.Add("text/event-stream", []byte("data: {\"object\":\"chat.completion.chunk\"}\n\ndata: [DONE]\n\n"), 7)
	f.Add("application/x-ndjson", []byte("{\"done\":false}\n{\"done\":true}\n"), 3)
	f.Add("application/vnd.amazon.eventstream", []byte("\x00\x00\x00\x10aaaaaaaaaaaa"), 5)
	f.Add("application/json", []byte("{}"), 1)
	f.Fuzz(func(t *testing.T, media string, body []byte, step int) {
		if step < 1 {
			return
		}
		h := newHolder(media, "")
		shown, came := int64(0), int64(0)
		for rest := body; len(rest) > 0; {
			n := min(step, len(rest))
			came += int64(n)
			free := h.feed(rest[:n])
			if free >= came {
				if h.known && h.hold < 0 && len(h.kept) == 0 {
					free = min(free, came) // whole events of a known stream, none of them its end
				} else {
					t.Fatalf("all of %q may be shown", body[:came])
				}
			}
			shown = max(shown, free)
			rest = rest[n:]
		}
		if shown > 0 && bytes.Contains(body[:shown], []byte("data: [DONE]\n\n")) && h.framing == holdSSE && bytes.HasPrefix(body, []byte("data: [DONE]")) {
			t.Errorf("the end is shown: %q", body[:shown])
		}
	})
}

func TestParseTrace(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if trace, span, ok := parseTrace(good); !ok || trace != good[3:35] || span != good[36:52] {
		t.Errorf("%s is %q %q", good, trace, span)
	}
	for _, bad := range []string{"", "00", strings.ToUpper(good), good + "-x", "ff" + good[2:], "00-" + strings.Repeat("0", 32) + good[35:], good[:36] + strings.Repeat("0", 16) + "-01", strings.Replace(good, "4bf", "xyz", 1)} {
		if _, _, ok := parseTrace(bad); ok {
			t.Errorf("%q is a trace", bad)
		}
	}
	if _, _, ok := parseTrace("01" + good[2:] + "-more"); !ok {
		t.Error("a later version with more members")
	}
}
