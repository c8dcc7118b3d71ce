package dialect

import (
	"github.com/steno-audit/steno"
)

// resource reads an answer of one of OpenAI's APIs beside those that chat and embed.
func (a *answer) resource(n int) {
	switch a.call.API {
	case "images":
		a.imageAnswer(n)
	case "videos":
		a.video(n)
	case "transcriptions":
		a.transcribed(n)
	case "moderations":
		a.moderation(n)
	case "runs":
		a.run(n)
	case "vector_store_search":
		a.search(n)
	default:
		a.kept(n)
	}
}

// resourceEvent reads an event of one of them.
func (s *Stream) resourceEvent(typ string) {
	switch s.answer.call.API {
	case "runs":
		s.runEvent(typ)
	case "images":
		s.imageEvent(typ)
	case "transcriptions":
		s.transcriptEvent(typ)
	case "speech":
		s.speechEvent(typ)
	default:
		s.failed()
	}
}

// kept reads what a provider keeps for its customers: files, batches, stores, jobs, threads, stored answers, one or a list.
func (a *answer) kept(n int) {
	r := &a.reader
	a.head(n)
	data := r.get(n, "data")
	a.known = r.get(n, "id") != 0 || r.shape(data) == array || r.get(n, "object") != 0
	a.result.State = r.str(r.get(n, "status"), 32)
	if a.result.State == "" {
		a.result.State = r.str(r.get(n, "processing_status"), 32) // Anthropic's batches
	}
	switch a.call.API {
	case "stored", "threads", "conversations":
		a.said(n)
		for el := range r.elements(data) {
			a.said(el)
		}
	case "vector_stores":
		for el := range r.elements(data) {
			if r.is(r.get(el, "type"), "text") { // a file's content
				r.block(el, "document", steno.KindContext)
			}
		}
	}
}

// said reads what was said in something that was kept: a stored completion, a message of a thread, an item of a
// conversation, a step of a run.
func (a *answer) said(n int) {
	r := &a.reader
	switch {
	case len(r.items) >= maxItems:
	case r.shape(r.get(n, "choices")) == array:
		for c := range r.elements(r.get(n, "choices")) {
			r.message(r.get(c, "message"))
		}
	case r.is(r.get(n, "object"), "thread.run.step"):
		a.step(n)
	case r.get(n, "role") != 0 || r.has(r.get(n, "type")):
		first := len(r.items)
		r.answer = r.role(n) == modelRole // else it is what the model was told
		r.message(n)
		r.answer = true
		for i := first; i < len(r.items); i++ {
			r.items[i].slot.choice = a.turns
		}
		a.turns++
	}
}

// search reads what a search in a vector store found.
func (a *answer) search(n int) {
	r := &a.reader
	data := r.get(n, "data")
	a.known = r.shape(data) == array
	for hit := range r.elements(data) {
		r.docs.add(steno.Document{
			ID: r.str(r.get(hit, "file_id"), maxName), Title: r.str(r.get(hit, "filename"), maxTitle),
			Score: r.float(r.get(hit, "score")), Origin: "file_search",
		})
		if len(r.items) < maxItems {
			r.content(r.get(hit, "content"), "document", steno.KindContext)
		}
	}
}
