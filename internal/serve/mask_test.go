package serve_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

// Whatever a check says and wherever it points, its words are not in what is shown, and tags lie inside the text.
func FuzzMask(f *testing.F) {
	f.Add("my key is abcdef and abcdef again", 10, 16, 0, 5)
	f.Add("aaaaaaaa", 1, 3, 2, 6)
	f.Add("ü€😀 secret ü", 3, 9, 1, 4)
	f.Add(`quote " and \ and \u0041`, 6, 10, 0, 3)
	f.Fuzz(func(t *testing.T, words string, start, end, tagStart, tagEnd int) {
		body, err := json.Marshal(map[string]any{"model": "m", "messages": []any{map[string]any{"role": "user", "content": words}}})
		check(t, err)
		texts := chat.ParseRequest(body, nil).Texts
		if len(texts) != 1 {
			t.Skip()
		}
		said := string(texts[0].Words(body))
		if start < 0 || end > len(said) || start >= end || tagStart < 0 || tagEnd > len(said) || tagStart >= tagEnd {
			t.Skip()
		}
		secret := strings.TrimSpace(said[start:end])
		if len(secret) < 4 || strings.Contains("[secret: k]", secret) {
			t.Skip()
		}
		from, to := texts[0].Span(body, start, end)
		tagFrom, tagTo := texts[0].Span(body, tagStart, tagEnd)
		part, shown := serve.TestingMask(body, texts, []steno.Finding{
			{Flag: "secret", Rule: "k", Span: &steno.Span{Body: "request", Start: from, End: to}},
			{Flag: "injection", Rule: "i", Span: &steno.Span{Body: "request", Start: tagFrom, End: tagTo}},
		}, said)
		for _, piece := range strings.Split(part.Text, "[secret: k]") {
			if strings.Contains(piece, secret) {
				t.Errorf("%q is in %q", secret, part.Text)
			}
		}
		for _, piece := range bytes.Split(shown, []byte("[secret: k]")) {
			if bytes.Contains(piece, []byte(secret)) {
				t.Errorf("%q is in %q", secret, shown)
			}
		}
		for _, tag := range part.Tags {
			if tag.Start < 0 || tag.End > len(part.Text) || tag.Start > tag.End {
				t.Errorf("tag %+v in a text of %d bytes", tag, len(part.Text))
			}
		}
	})
}
