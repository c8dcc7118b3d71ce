package dialect

import (
	"github.com/steno-audit/steno"
)

// invoked reads an answer of InvokeModel. Whose it is its shape says: the model in the path may be an ARN that names none.
func (a *answer) invoked(n int) {
	t := a.reader.tape
	get := func(name string) int { return t.get(n, name) }
	switch {
	case t.shape(t.get(get("output"), "message")) == object: // Amazon Nova
		a.converse(n)
	case t.shape(get("content")) == array: // Anthropic
		a.claude(n)
	case get("completion") != 0:
		a.legacy(n)
	case t.shape(get("choices")) == array: // Mistral's chat, AI21's Jamba, DeepSeek, imported models
		a.completion(n)
		for c := range t.elements(get("choices")) {
			a.choiceStopped(c)
		}
	case t.shape(get("results")) == array: // Amazon Titan
		a.titan(n)
	case t.shape(get("embedding")) == array || t.shape(get("embeddings")) != none || get("embeddingsByType") != 0:
		a.known = true
		take(&a.usage.input, t.integer(get("inputTextTokenCount")))
	case get("generation") != 0: // Meta
		a.llama(n)
	case t.shape(get("outputs")) == array: // Mistral
		a.mistralText(n)
	case t.shape(get("completions")) == array: // AI21's Jurassic
		a.jurassic(n)
	case t.shape(get("generations")) == array || get("generation_id") != 0 || get("response_id") != 0: // Cohere
		a.commandText(n)
	case t.shape(get("images")) == array || t.shape(get("artifacts")) == array:
		a.known = true
		a.images(n)
	}
	a.invocation(n)
}

// invocation reads what Bedrock itself adds to an answer or to the last event of a stream, and says whether it is there.
func (a *answer) invocation(n int) bool {
	t := a.reader.tape
	metrics, trace := t.get(n, "amazon-bedrock-invocationMetrics"), t.get(n, "amazon-bedrock-trace")
	a.usage.invocation(t, metrics)
	a.guardrail(t.get(trace, "guardrail"))
	if t.is(t.get(n, "amazon-bedrock-guardrailAction"), "INTERVENED") {
		a.refuse("guardrail_intervened", "out", nil)
	}
	return metrics != 0 || trace != 0
}

func (a *answer) titan(n int) {
	t := a.reader.tape
	a.known = true
	take(&a.usage.input, t.integer(t.get(n, "inputTextTokenCount")))
	var sum int64
	i := 0
	for el := range t.elements(t.get(n, "results")) {
		first := len(a.reader.items)
		a.reader.words(t.get(el, "outputText"), "output", steno.KindFrame)
		a.placed(first, i)
		if count := t.integer(t.get(el, "tokenCount")); count != nil && *count >= 0 && *count < 1<<40 {
			sum += *count
			a.usage.output = &sum
		}
		a.finished(i, t.str(t.get(el, "completionReason"), 64))
		i++
	}
}

// placed gives the items from first on to a choice.
func (a *answer) placed(first, index int) {
	for k := first; k < len(a.reader.items); k++ {
		a.reader.items[k].slot.choice = index
	}
}

// finished notes how a choice ended, in the words of the model's maker.
func (a *answer) finished(index int, reason string) bool {
	if reason == "" {
		return false
	}
	a.choice(index).finish = reason
	switch reason {
	case "CONTENT_FILTERED", "ERROR_TOXIC", "content_filter":
		a.refuse(reason, "out", nil)
	}
	return true
}

func (a *answer) llama(n int) bool {
	t := a.reader.tape
	a.known = true
	take(&a.usage.input, t.integer(t.get(n, "prompt_token_count")))
	take(&a.usage.output, t.integer(t.get(n, "generation_token_count")))
	if !a.reader.stream {
		a.reader.words(t.get(n, "generation"), "output", steno.KindFrame)
	}
	return a.finished(0, t.str(t.get(n, "stop_reason"), 64))
}

func (a *answer) mistralText(n int) {
	t := a.reader.tape
	a.known = true
	i := 0
	for el := range t.elements(t.get(n, "outputs")) {
		first := len(a.reader.items)
		a.reader.words(t.get(el, "text"), "output", steno.KindFrame)
		a.placed(first, i)
		a.finished(i, t.str(t.get(el, "stop_reason"), 64))
		i++
	}
}

// choiceStopped reads the stop_reason that some have in place of a finish_reason.
func (a *answer) choiceStopped(c int) bool {
	t := a.reader.tape
	return a.finished(t.index(t.get(c, "index"), 0), t.str(t.get(c, "stop_reason"), 64))
}

func (a *answer) jurassic(n int) {
	t := a.reader.tape
	a.known = true
	i := 0
	for el := range t.elements(t.get(n, "completions")) {
		first := len(a.reader.items)
		a.reader.words(t.get(t.get(el, "data"), "text"), "output", steno.KindFrame)
		a.placed(first, i)
		a.finished(i, t.str(t.get(t.get(el, "finishReason"), "reason"), 64))
		i++
	}
}

// commandText reads the answers of Cohere's models: a list of generations, or one text with calls and citations.
func (a *answer) commandText(n int) {
	t := a.reader.tape
	a.known = true
	a.head(n)
	if id := t.str(t.get(n, "response_id"), maxName); id != "" {
		a.result.ID = id
	}
	i := 0
	for el := range t.elements(t.get(n, "generations")) {
		first := len(a.reader.items)
		a.reader.words(t.get(el, "text"), "output", steno.KindFrame)
		a.placed(first, i)
		a.finished(i, t.str(t.get(el, "finish_reason"), 64))
		i++
	}
	a.reader.words(t.get(n, "text"), "output", steno.KindFrame)
	a.finished(0, t.str(t.get(n, "finish_reason"), 64))
	a.commandRest(n)
}

// commandRest reads the tool calls and citations of Cohere's chat.
func (a *answer) commandRest(n int) {
	t, r := a.reader.tape, &a.reader
	for call := range t.elements(t.get(n, "tool_calls")) {
		r.call(t.get(call, "parameters"), t.get(call, "name"), 0, "function")
	}
	for c := range t.elements(t.get(n, "citations")) {
		for id := range t.elements(t.get(c, "document_ids")) {
			r.docs.add(steno.Document{ID: t.str(id, maxName), Origin: "citation"})
		}
	}
}

// images reads the answers of models that draw.
func (a *answer) images(n int) {
	t := a.reader.tape
	for el := range t.elements(t.get(n, "images")) {
		a.reader.media(el, "image")
	}
	for el := range t.elements(t.get(n, "artifacts")) {
		a.reader.media(t.get(el, "base64"), "image")
		a.finished(0, t.str(t.get(el, "finishReason"), 64))
	}
	for el := range t.elements(t.get(n, "finish_reasons")) {
		a.finished(0, t.str(el, 64))
	}
}

// invokedChunk reads one event of a model's maker, the root of the tape. The last has what Bedrock adds to it.
func (s *Stream) invokedChunk() {
	a, t := s.answer, &s.tape
	get := func(name string) int { return t.get(root, name) }
	words, at := item{origin: "output"}, slot{field: 'c'}
	ended := false
	switch typ := string(t.bytes(get("type"))); {
	case typ == "completion" || get("completion") != 0:
		s.legacyEvent(typ)
	case typ != "": // Anthropic
		s.messageEvent(typ)
	case t.has(get("error")):
		a.error(root)
		ended = true
	case get("outputText") != 0: // Amazon Titan
		a.known = true
		at.choice = t.index(get("index"), 0)
		s.fragment(get("outputText"), at, words)
		take(&a.usage.input, t.integer(get("inputTextTokenCount")))
		take(&a.usage.output, t.integer(get("totalOutputTextTokenCount")))
		ended = a.finished(at.choice, t.str(get("completionReason"), 64))
	case get("generation") != 0: // Meta
		s.fragment(get("generation"), at, words)
		ended = a.llama(root)
	case t.shape(get("outputs")) == array: // Mistral
		ended = s.mistralChunk(get("outputs"))
	case t.shape(get("choices")) == array:
		s.choicesChunk(get("choices"))
	case get("event_type") != 0 || get("is_finished") != 0 || get("generations") != 0: // Cohere
		ended = s.commandChunk()
	default: // Amazon Nova
		for k, v := range t.members(root) {
			s.converseEvent(string(t.bytes(k)), v)
		}
	}
	if a.invocation(root) || ended {
		s.terminal()
	}
}

func (s *Stream) mistralChunk(list int) (ended bool) {
	a, t := s.answer, &s.tape
	a.known = true
	i := 0
	for el := range t.elements(list) {
		s.fragment(t.get(el, "text"), slot{choice: i, field: 'c'}, item{origin: "output"})
		ended = a.finished(i, t.str(t.get(el, "stop_reason"), 64)) || ended
		i++
	}
	return ended
}

// choicesChunk reads a chunk of a maker whose chat is made like OpenAI's, apart from the name of the reason and, with
// some, message in place of delta. The metrics that follow the last say that it was the last.
func (s *Stream) choicesChunk(choices int) {
	a, t := s.answer, &s.tape
	a.known = true
	a.head(root)
	a.usage.openAI(t, t.get(root, "usage"))
	i := 0
	for c := range t.elements(choices) {
		index := t.index(t.get(c, "index"), i)
		i++
		s.delta(t.get(c, "delta"), index)
		s.delta(t.get(c, "message"), index)
		s.fragment(t.get(c, "text"), slot{choice: index, field: 'c'}, item{origin: "output"})
		a.ended(c, index)
		a.choiceStopped(c)
	}
}

// commandChunk reads an event of Cohere's models.
func (s *Stream) commandChunk() (ended bool) {
	a, t := s.answer, &s.tape
	a.known = true
	a.head(root)
	typ := string(t.bytes(t.get(root, "event_type")))
	switch typ {
	case "", "text-generation":
		s.fragment(t.get(root, "text"), slot{field: 'c', choice: t.index(t.get(root, "index"), 0)}, item{origin: "output"})
	case "tool-calls-generation", "citation-generation":
		first := len(a.reader.items)
		a.commandRest(root)
		for i := first; i < len(a.reader.items); i++ {
			a.reader.items[i].slot = slot{field: 'f', index: i}
			s.first = true
		}
	}
	if id := t.str(t.get(t.get(root, "response"), "response_id"), maxName); id != "" {
		a.result.ID = id
	}
	a.finished(0, t.str(t.get(root, "finish_reason"), 64))
	return t.shape(t.get(root, "is_finished")) == yes
}
