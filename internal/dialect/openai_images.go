package dialect

import (
	"strings"

	"github.com/steno-audit/steno"
)

// imageAnswer reads an answer with images. They are described, never shown; what the model made of the prompt is words.
func (a *answer) imageAnswer(n int) {
	t := a.reader.tape
	a.head(n)
	a.usage.openAI(t, t.get(n, "usage"))
	a.known = t.shape(t.get(n, "data")) == array
	what := a.imageFormat(n)
	for img := range t.elements(t.get(n, "data")) {
		a.reader.words(t.get(img, "revised_prompt"), "output", steno.KindFrame)
		a.image(img, what)
	}
}

// imageFormat is the media type that an answer or an event gives for its images.
func (a *answer) imageFormat(n int) string {
	t := a.reader.tape
	if f := t.str(t.get(n, "output_format"), 16); f != "" && !strings.ContainsFunc(f, notWord) {
		return "image/" + f
	}
	return "image"
}

func (a *answer) image(n int, what string) {
	if len(a.reader.items) < maxItems {
		a.reader.media(a.reader.get(n, "b64_json"), what)
		a.reader.media(a.reader.get(n, "url"), what)
	}
}

// imageEvent reads an event of an image that comes in ever better versions: *.partial_image, then *.completed.
func (s *Stream) imageEvent(typ string) {
	a, t := s.answer, &s.tape
	switch {
	case a.error(root) || typ == "error":
		s.terminal()
		if a.failed == "" {
			a.failed = a.errorType(root)
		}
	case strings.HasSuffix(typ, ".partial_image"):
		a.known, s.first = true, true
		a.image(root, "part of "+a.imageFormat(root))
	case strings.HasSuffix(typ, ".completed"):
		s.terminal()
		a.known, s.first = true, true
		a.image(root, a.imageFormat(root))
		a.usage.openAI(t, t.get(root, "usage"))
	}
}

// video reads a job that makes a video.
func (a *answer) video(n int) {
	a.kept(n)
	if e := a.reader.get(n, "error"); a.reader.has(e) {
		a.failed = a.errorType(e)
	}
}
