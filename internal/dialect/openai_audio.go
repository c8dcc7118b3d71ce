package dialect

import (
	"fmt"
	"mime"
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// transcribed reads a transcript or a translation of speech.
func (a *answer) transcribed(n int) {
	t := a.reader.tape
	a.known = t.get(n, "text") != 0
	a.reader.words(t.get(n, "text"), "output", steno.KindFrame)
	a.reader.confidence.fromTokens(t, t.get(n, "logprobs"))
	a.usage.openAI(t, t.get(n, "usage"))
}

// transcriptEvent reads an event of a transcript that comes in parts. What ends it says all of it again.
func (s *Stream) transcriptEvent(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "transcript.text.delta":
		a.known = true
		s.fragment(t.get(root, "delta"), slot{field: 'c'}, item{origin: "output"})
		a.confidence.fromTokens(t, t.get(root, "logprobs"))
	case "transcript.text.segment":
		a.known = true
		s.fragment(t.get(root, "text"), slot{field: 's'}, item{origin: "output"})
	case "transcript.text.done":
		s.terminal()
		a.known = true
		if len(a.reader.items) == 0 {
			s.fragment(t.get(root, "text"), slot{field: 'c'}, item{origin: "output"})
		}
		a.usage.openAI(t, t.get(root, "usage"))
	default:
		s.failed()
	}
}

// speechEvent reads an event of speech that comes in parts, of which the size is told.
func (s *Stream) speechEvent(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "speech.audio.delta":
		a.known, s.first = true, true
		it := s.find(slot{field: 'm'})
		if it == nil {
			it = s.append(slot{field: 'm'}, item{})
		}
		a.sound += len(t.inner(t.get(root, "audio"))) / 4 * 3
		it.media = fmt.Sprintf("audio, some %d bytes", a.sound)
	case "speech.audio.done":
		s.terminal()
		a.known = true
		a.usage.openAI(t, t.get(root, "usage"))
	default:
		s.failed()
	}
}

// unstructured says whether an answer is no JSON by its nature: sound, a file, a transcript as plain text.
func (c Call) unstructured(status int, h http.Header) bool {
	if status >= 300 {
		return false
	}
	switch c.API {
	case "file_content", "batch_results":
		return true
	case "speech", "transcriptions":
		media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
		return media != "application/json"
	}
	return false
}

// whole is what there is to say of such an answer.
func (c Call) whole(status int, h http.Header, body []byte) *Response {
	r := &Response{Understood: true, FirstToken: len(body) > 0}
	r.Result.End = steno.EndComplete
	if c.Generates() {
		r.Result.Usage = &steno.Usage{Source: "absent"}
	}
	switch {
	case len(body) == 0:
	case c.API == "transcriptions":
		r.Texts = []Text{{Start: 0, End: len(body), Origin: "output", New: true, plain: true}}
	case c.API != "speech" && !c.results(r, body) && isText(body):
		r.Texts = []Text{{Start: 0, End: min(len(body), maxFormLooked), Origin: "document", New: true, plain: true}}
	}
	r.Pieces = split(nil, steno.KindOutput, body)
	r.Result.Bytes = int64(len(body))
	r.headers(status, h)
	return r
}

// sound describes an answer that is sound or moving pictures, "" if it is neither.
func sound(contentType string, body []byte) string {
	media, _, _ := mime.ParseMediaType(contentType)
	if !strings.HasPrefix(media, "audio/") && !strings.HasPrefix(media, "video/") {
		return ""
	}
	return fmt.Sprintf("%s, %d bytes", media, len(body))
}
