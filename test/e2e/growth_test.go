//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

const turns = 100

// talk is a conversation that grows the log: next returns a turn's request and how many bytes of it are new; took is given
// the answer and returns how many bytes of JSON it says.
type talk struct {
	name  string
	path  string
	limit float64 // stored bytes per new byte; 0: only printed
	next  func() (body []byte, fresh int)
	took  func(answer []byte) int
}

// TestGrowth measures how much the whole data directory grows for conversations whose history is sent again and again.
func TestGrowth(t *testing.T) {
	for _, stream := range []bool{false, true} {
		for _, make := range []func(bool) *talk{chatTalk, agentTalk, responsesTalk} {
			k := make(stream)
			t.Run(fmt.Sprintf("%s, stream=%v", k.name, stream), func(t *testing.T) {
				s := newSite(t)
				p := s.serve()
				sent, fresh, said := 0, 0, 0
				for i := range turns {
					body, n := k.next()
					sent += len(body)
					fresh += n
					_, status, answer, err := call(context.Background(), p, k.path, body)
					if err != nil || status != 200 {
						t.Fatalf("turn %d: status %d, %v: %s", i, status, err, answer)
					}
					said += k.took(answer)
				}
				p.stop()
				stored := size(t, s.data()) + size(t, s.data()+".keys") + size(t, s.data()+".anchor")
				ratio := float64(stored) / float64(fresh+said)
				t.Logf("%s, stream=%v: %d turns, %d bytes sent, new: %d asked + %d answered; stored %d = %.2f of what was new",
					k.name, stream, turns, sent, fresh, said, stored, ratio)
				if k.limit > 0 && ratio > k.limit {
					t.Errorf("the log grows by %.2f times what was new; at most %.1f is allowed", ratio, k.limit)
				}
				s.verify()
			})
		}
	}
}

// size adds up the files under a directory.
func size(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += int(info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

type obj = map[string]any

var vocabulary = strings.Fields(`the a of to and in is it file line error value test function returns when before after index leaf record
	which because should must never always window range offset length buffer query table column request answer stream token model prompt
	context session account invoice delivery contract clause paragraph section summary decision review deploy branch commit merge conflict`)

// words makes about n bytes of text that no other call makes.
func words(r *rand.Rand, n int) string {
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(vocabulary[r.IntN(len(vocabulary))])
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "_%d", r.IntN(10000))
		}
		b.WriteByte(" .,\n"[min(r.IntN(12), 3)%4])
	}
	return b.String()
}

// chatTalk is a plain chat: short questions, the history in each request.
func chatTalk(stream bool) *talk {
	r := rand.New(rand.NewPCG(1, 1))
	messages := []any{obj{"role": "system", "content": "You are a helpful assistant."}}
	return &talk{
		name: "chat", path: "/v1/chat/completions",
		next: func() ([]byte, int) {
			m := obj{"role": "user", "content": words(r, 400)}
			messages = append(messages, m)
			return encode(obj{"model": "gpt-4o-mini+words=60", "messages": messages, "stream": stream, "user": "ana"}), len(encode(m))
		},
		took: func(answer []byte) int {
			text := chatText(answer, stream)
			m := obj{"role": "assistant", "content": text}
			messages = append(messages, m)
			if stream {
				return len(encode(m))
			}
			return len(answer)
		},
	}
}

func chatText(answer []byte, stream bool) string {
	if !stream {
		var a struct {
			Choices []struct{ Message struct{ Content string } }
		}
		if json.Unmarshal(answer, &a) != nil || len(a.Choices) == 0 {
			return ""
		}
		return a.Choices[0].Message.Content
	}
	var b strings.Builder
	eachData(answer, func(data []byte) {
		var c struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if json.Unmarshal(data, &c) == nil && len(c.Choices) > 0 {
			b.WriteString(c.Choices[0].Delta.Content)
		}
	})
	return b.String()
}

func eachData(answer []byte, f func([]byte)) {
	for line := range strings.SplitSeq(string(answer), "\n") {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			f([]byte(data))
		}
	}
}

// agentTalk is a coding agent: 30 KB of system prompt and tools in each request, about 1 KB new a turn, the cache mark
// moving along, tool results as user messages.
func agentTalk(stream bool) *talk {
	r := rand.New(rand.NewPCG(2, 2))
	mark := obj{"type": "ephemeral"}
	system := []any{obj{"type": "text", "text": words(r, 18_000), "cache_control": mark}}
	var tools []any
	for i := range 12 {
		tools = append(tools, obj{"name": fmt.Sprintf("tool_%d", i), "description": words(r, 900), "input_schema": obj{"type": "object", "properties": obj{"path": obj{"type": "string", "description": words(r, 60)}}}})
	}
	base := len(encode(system)) + len(encode(tools))
	var messages []any
	n := 0
	return &talk{
		name: "agent", path: "/v1/messages", limit: 3,
		next: func() ([]byte, int) {
			var content []any
			if n == 0 {
				content = []any{obj{"type": "text", "text": words(r, 600)}}
			} else {
				content = []any{obj{"type": "tool_result", "tool_use_id": fmt.Sprintf("toolu_%06d", n), "content": words(r, 650)}}
			}
			plain := obj{"role": "user", "content": content}
			marked := obj{"role": "user", "content": []any{withMark(content[0].(obj), mark)}}
			send := append(append([]any{}, messages...), marked)
			messages = append(messages, plain)
			fresh := len(encode(marked))
			if n == 0 {
				fresh += base
			}
			n++
			return encode(obj{"model": "claude-sonnet-4-5+words=45", "max_tokens": 4000, "stream": stream, "system": system, "tools": tools, "messages": send}), fresh
		},
		took: func(answer []byte) int {
			text := messageText(answer, stream)
			m := obj{"role": "assistant", "content": []any{obj{"type": "text", "text": text}, obj{"type": "tool_use", "id": fmt.Sprintf("toolu_%06d", n), "name": "tool_1", "input": obj{"path": "a.go"}}}}
			messages = append(messages, m)
			if stream {
				return len(encode(m))
			}
			return len(answer)
		},
	}
}

func withMark(o obj, mark any) obj {
	out := obj{}
	for k, v := range o {
		out[k] = v
	}
	out["cache_control"] = mark
	return out
}

func messageText(answer []byte, stream bool) string {
	var b strings.Builder
	if !stream {
		var a struct{ Content []struct{ Text string } }
		if json.Unmarshal(answer, &a) == nil {
			for _, c := range a.Content {
				b.WriteString(c.Text)
			}
		}
		return b.String()
	}
	eachData(answer, func(data []byte) {
		var e struct{ Delta struct{ Text string } }
		if json.Unmarshal(data, &e) == nil {
			b.WriteString(e.Delta.Text)
		}
	})
	return b.String()
}

// responsesTalk leaves its history with the provider.
func responsesTalk(stream bool) *talk {
	r := rand.New(rand.NewPCG(3, 3))
	previous := ""
	return &talk{
		name: "responses", path: "/v1/responses", limit: 3,
		next: func() ([]byte, int) {
			o := obj{"model": "gpt-4.1-mini+words=60", "input": words(r, 600), "stream": stream}
			if previous != "" {
				o["previous_response_id"] = previous
			}
			b := encode(o)
			return b, len(b)
		},
		took: func(answer []byte) int {
			var a struct {
				ID string `json:"id"`
			}
			if !stream {
				if json.Unmarshal(answer, &a) == nil {
					previous = a.ID
				}
				return len(answer)
			}
			said := 0
			eachData(answer, func(data []byte) {
				var e struct {
					Type     string          `json:"type"`
					Response json.RawMessage `json:"response"`
				}
				if json.Unmarshal(data, &e) == nil && e.Type == "response.completed" {
					said = len(e.Response)
					if json.Unmarshal(e.Response, &a) == nil {
						previous = a.ID
					}
				}
			})
			return said
		},
	}
}
