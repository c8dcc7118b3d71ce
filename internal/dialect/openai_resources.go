package dialect

import (
	"mime"
	"net/http"
	"strings"

	"github.com/steno-audit/steno"
)

// resource says which of OpenAI's other APIs a path is: what makes images, speech and verdicts, and what keeps files, batches,
// vector stores, fine-tunes, assistants and their threads.
func resource(method, path string) (api, operation string) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	post := method == http.MethodPost
	switch {
	case first == "images" && post:
		return "images", "image_generation"
	case first == "audio" && rest == "speech" && post:
		return "speech", "speech"
	case first == "audio" && (rest == "transcriptions" || rest == "translations") && post:
		return "transcriptions", "transcription"
	case first == "moderations" && post:
		return "moderations", "moderation"
	case first == "threads":
		return thread(method, rest)
	case first == "assistants":
		return "assistants", "manage"
	case first == "files" && strings.HasSuffix(rest, "/content"):
		return "file_content", "manage"
	case first == "responses" && (rest != "" || !post), path == "/chat/completions", strings.HasPrefix(path, "/chat/completions/"):
		return "stored", "manage"
	case first == "models" && method == http.MethodDelete:
		return "resources", "manage"
	}
	switch first {
	case "files", "uploads", "batches", "vector_stores", "fine_tuning", "evals", "containers", "conversations":
		return first, "manage"
	}
	return "", ""
}

// thread reads a path under /threads: a run makes the model speak, and is asked for until it has.
func thread(method, path string) (api, operation string) {
	at := strings.Split(path, "/")
	last := at[len(at)-1]
	switch {
	case method == http.MethodPost && (last == "runs" || last == "submit_tool_outputs"):
		return "runs", "invoke_agent"
	case method == http.MethodGet && len(at) == 3 && at[1] == "runs":
		return "runs", "retrieve"
	}
	return "threads", "manage"
}

// resource reads an answer of one of them.
func (a *answer) resource(n int) {
	t := a.reader.tape
	switch a.call.API {
	case "images":
		a.imageAnswer(n)
	case "transcriptions":
		a.known = t.get(n, "text") != 0
		a.reader.words(t.get(n, "text"), "output", steno.KindFrame)
		a.usage.openAI(t, t.get(n, "usage"))
	case "moderations":
		a.moderation(n)
	case "runs":
		a.run(n)
	case "threads":
		a.head(n)
		a.known = t.get(n, "id") != 0 || t.shape(t.get(n, "data")) == array
		if t.get(n, "role") != 0 {
			a.reader.message(n)
		}
		for m := range t.elements(t.get(n, "data")) {
			if t.get(m, "role") != 0 {
				a.reader.message(m)
			}
		}
	default:
		a.head(n)
		a.known = t.get(n, "id") != 0 || t.shape(t.get(n, "data")) == array || t.get(n, "object") != 0
		for hit := range t.elements(t.get(n, "data")) { // a search in a vector store
			if t.get(hit, "file_id") != 0 && t.get(hit, "score") != 0 {
				a.documents.fromHits(t, t.get(n, "data"), "file_search")
				break
			}
		}
		a.result.State = t.str(t.get(n, "status"), 32)
	}
}

func (a *answer) imageAnswer(n int) {
	t := a.reader.tape
	a.head(n)
	a.usage.openAI(t, t.get(n, "usage"))
	a.known = t.shape(t.get(n, "data")) == array
	for img := range t.elements(t.get(n, "data")) {
		a.reader.words(t.get(img, "revised_prompt"), "output", steno.KindFrame)
		a.reader.media(t.get(img, "b64_json"), "image")
		a.reader.media(t.get(img, "url"), "image")
	}
}

// run reads a run of an assistant.
func (a *answer) run(n int) {
	t := a.reader.tape
	a.head(n)
	a.known = t.is(t.get(n, "object"), "thread.run")
	a.usage.openAI(t, t.get(n, "usage"))
	a.result.State = t.str(t.get(n, "status"), 32)
	if reason := t.str(t.get(t.get(n, "incomplete_details"), "reason"), 64); reason != "" {
		a.choice(0).finish = reason
	}
	if e := t.get(n, "last_error"); t.has(e) {
		a.failed = a.errorType(e)
	}
	for call := range t.elements(t.get(t.get(t.get(n, "required_action"), "submit_tool_outputs"), "tool_calls")) {
		a.reader.toolCall(call)
	}
}

// runEvent reads an event of a streamed run.
func (s *Stream) runEvent(typ string) {
	a, t := s.answer, &s.tape
	switch {
	case typ == "error":
		s.terminal()
		if !a.error(root) {
			a.failed = a.errorType(root)
		}
	case typ == "thread.message.delta":
		for part := range t.elements(t.get(t.get(root, "delta"), "content")) {
			at := slot{index: t.index(t.get(part, "index"), 0), field: 'c'}
			s.fragment(t.get(t.get(part, "text"), "value"), at, item{origin: "output"})
			a.reader.citations(t.get(t.get(part, "text"), "annotations"))
		}
	case strings.HasPrefix(typ, "thread.run.step"):
		if typ == "thread.run.step.delta" {
			s.first = true
		}
	case strings.HasPrefix(typ, "thread.run."):
		known := a.known
		a.run(root)
		a.known = a.known || known
		switch strings.TrimPrefix(typ, "thread.run.") {
		case "completed", "failed", "cancelled", "expired", "incomplete", "requires_action":
			s.terminal()
		}
	}
}

// imageEvent reads an event of images that come in parts.
func (s *Stream) imageEvent(typ string) {
	a, t := s.answer, &s.tape
	if a.error(root) {
		s.terminal()
		return
	}
	a.known = true
	s.first = true
	if strings.HasSuffix(typ, ".completed") {
		s.terminal()
		a.usage.openAI(t, t.get(root, "usage"))
	}
}

// transcriptEvent reads an event of a transcript that comes in parts.
func (s *Stream) transcriptEvent(typ string) {
	a, t := s.answer, &s.tape
	switch typ {
	case "transcript.text.delta":
		a.known = true
		s.fragment(t.get(root, "delta"), slot{field: 'c'}, item{origin: "output"})
	case "transcript.text.done":
		a.known = true
		s.terminal()
		a.usage.openAI(t, t.get(root, "usage"))
	default:
		s.failed()
	}
}

// moderation reads the verdicts on texts; each that is against one becomes a finding.
func (a *answer) moderation(n int) {
	t := a.reader.tape
	a.head(n)
	results := t.get(n, "results")
	a.known = t.shape(results) == array
	for res := range t.elements(results) {
		scores := t.get(res, "category_scores")
		for k, v := range t.members(t.get(res, "categories")) {
			name := t.str(k, 64)
			if t.shape(v) != yes || len(a.findings) >= maxFindings || strings.ContainsFunc(name, notWord) {
				continue
			}
			score := 1.0
			if f := t.float(t.get(scores, name)); f != nil {
				score = *f
			}
			a.findings = append(a.findings, steno.Finding{
				Flag: moderationFlag(name), Rule: "moderation/" + name, Source: a.call.Dialect, Direction: "in", Score: score, Action: "record",
			})
		}
	}
}

func moderationFlag(category string) steno.Flag {
	first, _, _ := strings.Cut(category, "/")
	switch first {
	case "hate", "sexual", "violence":
		return steno.Flag(first)
	case "self-harm":
		return "self_harm"
	case "harassment", "illicit":
		return "harmful"
	}
	return filterFlag(first)
}

// unstructured says whether an answer is no JSON by its nature: sound, a file, a transcript as plain text.
func (c Call) unstructured(status int, h http.Header) bool {
	if status >= 300 || c.API != "speech" && c.API != "file_content" && c.API != "transcriptions" {
		return false
	}
	media, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return media != "application/json" || c.API == "file_content"
}

// whole is what there is to say of such an answer.
func (c Call) whole(status int, h http.Header, body []byte) *Response {
	r := &Response{Understood: true, FirstToken: len(body) > 0, Pieces: split(nil, steno.KindOutput, body)}
	r.Result.End = steno.EndComplete
	r.Result.Bytes = int64(len(body))
	if c.API == "transcriptions" && len(body) > 0 {
		r.Texts = []Text{{Start: 0, End: len(body), Origin: "output", New: true, plain: true}}
	}
	if c.Generates() {
		r.Result.Usage = &steno.Usage{Source: "absent"}
	}
	r.headers(status, h)
	return r
}
