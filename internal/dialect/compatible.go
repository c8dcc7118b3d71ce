package dialect

import (
	"github.com/steno-audit/steno"
)

// compatibleRoutes are paths that servers which speak OpenAI's format have beside it: llama.cpp's and Text Generation
// Inference's own calls, vLLM's scores and tokens, Voyage's vectors, and the Messages API that many of them offer.
var compatibleRoutes = []route{
	{"POST", "/messages", "messages", "chat"},
	{"POST", "/messages/count_tokens", "count_tokens", "count_tokens"},
	{"POST", "/completion", "completion", "text_completion"},
	{"POST", "/infill", "completion", "text_completion"},
	{"POST", "/generate", "generate", "text_completion"},
	{"POST", "/generate_stream", "generate", "text_completion"},
	{"POST", "/contextualizedembeddings", "embeddings", "embeddings"},
	{"POST", "/multimodalembeddings", "embeddings", "embeddings"},
	{"POST", "/pooling", "embeddings", "embeddings"},
	{"POST", "/reranking", "rerank", "rerank"},
	{"POST", "/score", "rerank", "rerank"},
	{"POST", "/classify", "classify", "classification"},
	{"POST", "/tokenize", "tokenize", "manage"},
	{"POST", "/detokenize", "detokenize", "manage"},
}

func (c Call) openAI() grammar {
	switch c.API {
	case "messages", "count_tokens":
		return anthropic{}
	}
	return openAI{}
}

// compatible reads an answer to one of those calls, and says whether it was one.
func (a *answer) compatible(n int) bool {
	t := a.reader.tape
	switch a.call.API {
	case "completion":
		a.llamaServer(n)
		a.reader.words(t.get(n, "content"), "output", steno.KindFrame)
	case "generate":
		a.inferred(n)
		a.reader.words(t.get(n, "generated_text"), "output", steno.KindFrame)
		for tok := range t.elements(t.get(t.get(n, "details"), "tokens")) {
			a.token(tok)
		}
	case "rerank":
		a.head(n)
		a.usage.openAI(t, t.get(n, "usage"))
		a.usage.allInput()
		for _, name := range [...]string{"results", "data"} { // the latter of Voyage, and of vLLM's scores
			if v := t.get(n, name); t.shape(v) == array {
				a.ranked(v)
			}
		}
	case "classify":
		a.head(n)
		a.usage.openAI(t, t.get(n, "usage"))
		a.known = t.shape(t.get(n, "data")) == array
		for el := range t.elements(t.get(n, "data")) {
			a.reader.words(t.get(el, "label"), "output", steno.KindFrame)
		}
	case "tokenize":
		a.known = t.shape(t.get(n, "tokens")) == array
	case "detokenize":
		a.known = t.get(n, "prompt") != 0 || t.get(n, "content") != 0
	default:
		return false
	}
	return true
}

// compatibleEvent reads an event of one of those calls, and says whether it was one.
func (s *Stream) compatibleEvent() bool {
	a, t := s.answer, &s.tape
	switch api := a.call.API; {
	case api != "completion" && api != "generate":
		return false
	case a.error(root):
		s.terminal()
	case api == "completion":
		a.llamaServer(root)
		s.fragment(t.get(root, "content"), slot{choice: t.index(t.get(root, "index"), 0), field: 'c'}, item{origin: "output"})
		if t.shape(t.get(root, "stop")) == yes {
			s.terminal()
		}
	default:
		a.inferred(root)
		tok := t.get(root, "token")
		a.token(tok)
		if t.shape(t.get(tok, "special")) != yes {
			s.fragment(t.get(tok, "text"), slot{field: 'c'}, item{origin: "output"})
		}
		if t.has(t.get(root, "generated_text")) {
			s.terminal()
		}
	}
	return true
}

// llamaServer reads what llama.cpp says beside the words: counts come with the last event.
func (a *answer) llamaServer(n int) {
	t := a.reader.tape
	a.head(n)
	a.usage.asked = true
	a.known = a.known || t.get(n, "content") != 0 && t.get(n, "stop") != 0
	take(&a.usage.input, t.integer(t.get(n, "tokens_evaluated")))
	take(&a.usage.output, t.integer(t.get(n, "tokens_predicted")))
	a.timings(n)
	reason := t.str(t.get(n, "stop_type"), 64)
	for _, was := range [...]string{"eos", "limit", "word"} { // before there was a stop_type
		if reason == "" && t.shape(t.get(n, "stopped_"+was)) == yes {
			reason = was
		}
	}
	if reason != "" && reason != "none" {
		a.choice(0).finish = reason
	}
	for tok := range t.elements(t.get(n, "completion_probabilities")) {
		a.confidence.by = "llama.cpp.logprobs"
		a.confidence.add(t.float(t.get(tok, "logprob")))
	}
}

// timings reads how many tokens llama.cpp took how long, where it gives no usage.
func (a *answer) timings(n int) {
	t := a.reader.tape
	v := t.get(n, "timings")
	if t.shape(v) != object {
		return
	}
	a.usage.asked = true
	cached, read := t.integer(t.get(v, "cache_n")), t.integer(t.get(v, "prompt_n"))
	take(&a.usage.cacheRead, cached)
	if a.usage.input == nil && read != nil {
		sum := *read
		if cached != nil {
			sum += *cached
		}
		take(&a.usage.input, &sum)
	}
	if a.usage.output == nil {
		take(&a.usage.output, t.integer(t.get(v, "predicted_n")))
	}
}

// inferred reads what Text Generation Inference says beside the words.
func (a *answer) inferred(n int) {
	t := a.reader.tape
	a.usage.asked = true
	a.known = a.known || t.get(n, "generated_text") != 0 || t.shape(t.get(n, "token")) == object
	d := t.get(n, "details")
	if reason := t.str(t.get(d, "finish_reason"), 64); reason != "" {
		a.choice(0).finish = reason
	}
	take(&a.usage.output, t.integer(t.get(d, "generated_tokens")))
	take(&a.usage.input, t.integer(t.get(d, "input_length")))
}

func (a *answer) token(n int) {
	if p := a.reader.float(a.reader.get(n, "logprob")); p != nil {
		a.confidence.by = "tgi.logprobs"
		a.confidence.add(p)
	}
}

// beside reads what some servers put beside the choices: which pages were found (Perplexity, xAI), and counts.
func (a *answer) beside(n int) {
	r := &a.reader
	for hit := range r.elements(r.get(n, "search_results")) {
		a.documents.add(steno.Document{ID: r.str(r.get(hit, "url"), maxName), Title: r.str(r.get(hit, "title"), maxTitle), Origin: "web_search"})
	}
	for url := range r.elements(r.get(n, "citations")) {
		a.documents.add(steno.Document{ID: r.str(url, maxName), Origin: "citation"})
	}
	a.timings(n)
	if groq := r.get(n, "x_groq"); groq != 0 {
		if u := r.get(groq, "usage"); r.has(u) {
			a.usage.openAI(r.tape, u)
		}
		if r.has(r.get(groq, "error")) {
			a.failed = "error"
		}
	}
}

// executed reads the tools that Groq ran itself.
func (r *reader) executed(n int) {
	for el := range r.elements(n) {
		r.call(r.get(el, "arguments"), r.get(el, "type"), 0, "extension")
		r.words(r.get(el, "output"), "tool", steno.KindToolResult)
		r.found(el)
	}
}

// found reads what a search of Groq's gave.
func (r *reader) found(n int) {
	for hit := range r.elements(r.get(r.get(n, "search_results"), "results")) {
		r.docs.add(steno.Document{
			ID: r.str(r.get(hit, "url"), maxName), Title: r.str(r.get(hit, "title"), maxTitle), Score: r.float(r.get(hit, "score")), Origin: "web_search",
		})
	}
}

// executed reads them in a stream: what is called first, what it gave later.
func (s *Stream) executed(n, choice int) {
	t := &s.tape
	i := 0
	for el := range t.elements(n) {
		at := slot{choice: choice, index: t.index(t.get(el, "index"), i), field: 'x'}
		i++
		it := s.find(at)
		if it == nil {
			it = s.append(at, item{kind: steno.KindToolCall, origin: "output", toolType: "extension", name: t.str(t.get(el, "type"), maxName)})
			s.first = true
			if args := t.get(el, "arguments"); t.shape(args) == text && s.answer.reader.nonEmpty(args) {
				it.join(&s.answer.reader, args)
			}
		}
		at.field = 'y'
		s.fragment(t.get(el, "output"), at, item{origin: "tool", kind: steno.KindToolResult})
		s.answer.reader.found(el)
	}
}

// unshaped says whether n is an error of servers that have no object for one: a message, or what is wrong in detail.
func (a *answer) unshaped(n int) bool {
	t := a.reader.tape
	if t.shape(t.get(n, "message")) != text && !t.has(t.get(n, "detail")) {
		return false
	}
	if id := t.str(t.get(n, "request_id"), maxName); id != "" {
		a.result.RequestID = id
	}
	a.failed = "error"
	return true
}
