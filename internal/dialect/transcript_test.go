package dialect

import (
	"fmt"
	"strings"
	"testing"
)

// script writes turns as lines, so that they can be compared.
func scriptOf(turns []Turn) string {
	var b strings.Builder
	for _, t := range turns {
		age := "old"
		if t.New {
			age = "new"
		}
		fmt.Fprintf(&b, "%s %s %s%s\n", t.Role, age, t.Name, t.ID)
		for _, p := range t.Parts {
			fmt.Fprintf(&b, "  %v", p.Kind)
			for _, s := range []string{p.Name, p.ID, p.Media, p.Text} {
				if s != "" {
					fmt.Fprintf(&b, " %s", s)
				}
			}
			if p.Document != nil {
				fmt.Fprintf(&b, " [%s%s]", p.Document.ID, p.Document.Title)
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func TestTranscript(t *testing.T) {
	for _, c := range []struct {
		name, request, response, want string
		call                          Call
		stream                        bool
	}{
		{
			name: "chat with tools and media", call: chat,
			request: `{"messages":[{"role":"developer","content":"brief"},{"role":"user","name":"ana","content":[{"type":"text","text":"what\nis it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJDRA=="}},{"type":"image_url","image_url":{"url":"https://a.example/i.png"}},{"type":"input_audio","input_audio":{"data":"QUJD","format":"wav"}},{"type":"file","file":{"file_id":"file-1","filename":"a.pdf"}}]},` +
				`{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"look","arguments":"{\"a\":\"é\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"a cat"}],"tools":[{"type":"function","function":{"name":"look"}}]}`,
			response: `{"choices":[{"index":0,"message":{"content":"A cat.","reasoning_content":"hm"}},{"index":1,"message":{"refusal":"No."}}]}`,
			want: `
tools old 
  tool_definition look {"type":"function","function":{"name":"look"}}
system old 
  system brief
user old ana
  history what
is it?
  history image/png, 4 bytes
  history image at https://a.example/i.png
  history audio, 3 bytes
  context file [file-1a.pdf]
assistant old 
  tool_call look c1 {"a":"é"}
tool new lookc1
  tool_result c1 a cat
assistant new 
  reasoning hm
  output A cat.
assistant new 
  output No.`,
		},
		{
			name: "messages, streamed", call: messages, stream: true,
			request: `{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QUJDRA=="},"title":"Policy"},{"type":"text","text":"days?"}]},{"role":"assistant","content":[{"type":"redacted_thinking","data":"QUJD"},{"type":"tool_use","id":"u","name":"hr","input":{"q": 1}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"u","content":[{"type":"search_result","source":"https://hr.example","title":"HR","content":[{"type":"text","text":"thirty"}]}]}]}],"system":"be kind"}`,
			response: streams[9].body,
			want: `
system old 
  system be kind
user old 
  context application/pdf, 4 bytes [Policy]
  history days?
assistant old 
  reasoning redacted thinking, 3 bytes
  tool_call hr u {"q": 1}
tool new hru
  context u thirty [https://hr.exampleHR]
assistant new 
  reasoning hmm
  output Looking
  tool_call look tu {"a":1}
  context [Doc]`,
		},
		{
			name: "responses", call: resps,
			request:  `{"instructions":"be kind","input":[{"role":"user","content":"hi"},{"type":"reasoning","summary":[{"type":"summary_text","text":"think"}]},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"done"}]}`,
			response: `{"object":"response","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"bye"}]}]}`,
			want: `
system old 
  system be kind
user old 
  history hi
assistant old 
  reasoning think
  tool_call f c {}
tool new fc
  tool_result c done
assistant new 
  output bye`,
		},
		{
			name: "embeddings show no vector", call: embed, request: `{"input":["a","b"]}`, response: `{"data":[{"embedding":[0.5,0.25,1]},{"embedding":[1,2,3]}]}`,
			want: "user new \n  input a\nuser new \n  input b\nassistant new \n  output 2 vectors of 3 numbers",
		},
		{
			name: "an error stands as it is", call: chat, request: `{"messages":[{"role":"user","content":"hi"}]}`, response: `{"error":{"message":"no"}}`,
			want: "user new \n  input hi\n new \n  body {\"error\":{\"message\":\"no\"}}",
		},
		{
			name: "not understood", call: Call{Dialect: OpenAI}, request: "\xff\x00", response: "words",
			want: " new \n  body not text, 2 bytes\n new \n  body words",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			turns := c.call.Transcript([]byte(c.request), []byte(c.response), contentType(c.stream))
			equal(t, "transcript", scriptOf(turns), c.want)
			for _, turn := range turns {
				for _, p := range turn.Parts {
					body := map[string]string{"request": c.request, "response": c.response}[p.Body]
					if p.Start < 0 || p.End > len(body) || p.Start > p.End {
						t.Errorf("part %q at %d to %d of the %s", p.Text, p.Start, p.End, p.Body)
					}
					if p.End > p.Start && p.Text != "" && !strings.ContainsAny(body[p.Start:p.End], `\`) && body[p.Start:p.End] != p.Text {
						t.Errorf("part %q stands in %q", p.Text, body[p.Start:p.End])
					}
				}
			}
		})
	}
}

func contentType(stream bool) string {
	if stream {
		return "text/event-stream"
	}
	return "application/json"
}
