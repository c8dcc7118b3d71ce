package dialect

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// conversation is a chat of n messages with words of about size bytes in all.
func conversation(n, size int) []byte {
	var b strings.Builder
	b.WriteString(`{"model":"gpt-x","messages":[{"role":"system","content":"You are a helpful assistant."}`)
	words := strings.Repeat("The quick brown fox jumps over the lazy dog.\\n", size/n/46+1)[:size/n/2*2]
	for i := range n {
		role := [...]string{"user", "assistant"}[i%2]
		fmt.Fprintf(&b, `,{"role":%q,"content":"%d %s"}`, role, i, strings.TrimRight(words, `\`))
	}
	b.WriteString(`],"temperature":0.7,"stream":true,"stream_options":{"include_usage":true},"user":"u-17"}`)
	return []byte(b.String())
}

func BenchmarkParseRequest(b *testing.B) {
	agent := []byte(`{"model":"claude-x","max_tokens":1024,"system":[{"type":"text","text":"` + strings.Repeat("Do as you are told. ", 700) + `","cache_control":{"type":"ephemeral"}}],"tools":[` +
		strings.TrimRight(strings.Repeat(`{"name":"look","description":"looks at a thing and says what it is","input_schema":{"type":"object","properties":{"thing":{"type":"string","description":"what to look at"}},"required":["thing"]}},`, 80), ",") +
		`],"messages":[{"role":"user","content":[{"type":"text","text":"go on","cache_control":{"type":"ephemeral"}}]}]}`)
	for _, c := range []struct {
		name string
		call Call
		body []byte
	}{
		{"2KiB", chat, conversation(5, 2000)},
		{"32KiBhistory", chat, conversation(41, 32000)},
		{"agent", messages, agent},
	} {
		b.Run(c.name, func(b *testing.B) {
			if r := c.call.ParseRequest(c.body, http.Header{}); !r.Understood || r.Problem != "" {
				b.Fatal(r.Problem)
			}
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				c.call.ParseRequest(c.body, http.Header{})
			}
		})
	}
}

func BenchmarkParseResponse(b *testing.B) {
	body := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("words and ", 60) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		chat.ParseResponse(200, plainJSON, body, false)
	}
}

func BenchmarkStream(b *testing.B) {
	chunk := `data: {"id":"chatcmpl-ChZGrWePAKduzUEk8i6v9utQc14XI","object":"chat.completion.chunk","created":1764499721,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_50906f2aac","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"T3FmnOmia"}` + "\n\n"
	delta := "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" words\"}         }\n\n"
	event := "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":100,\"item_id\":\"msg_0fef0f8a68937870006911e9ef0ecc81949d727f28043244eb\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"obfuscation\":\"PhcPdqbulv1WAj8\"}\n\n"
	for _, c := range []struct {
		name, event string
		call        Call
	}{{"chat", chunk, chat}, {"messages", delta, messages}, {"responses", event, resps}} {
		for _, per := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", c.name, per), func(b *testing.B) {
				p := []byte(strings.Repeat(c.event, per))
				b.SetBytes(int64(256 / per * len(p)))
				b.ReportAllocs()
				for b.Loop() {
					s := c.call.newStream(framingSSE)
					for range 256 / per {
						s.Feed(p)
					}
				}
			})
		}
	}
}
