package dialect

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
)

func (gemini) object(a *answer, n int) {
	t := a.reader.tape
	switch a.call.API {
	case "generate_content":
		a.generated(n)
	case "count_tokens":
		a.known = t.get(n, "totalTokens") != 0 || t.get(n, "tokensInfo") != 0 || t.get(n, "input_tokens") != 0
	case "embed_content":
		a.known = t.shape(t.get(n, "embedding")) == object || t.shape(t.get(n, "embeddings")) == array
		a.usage.google(t, t.get(n, "usageMetadata"))
	case "batch_embed_contents":
		a.known = t.shape(t.get(n, "embeddings")) == array
		a.usage.google(t, t.get(n, "usageMetadata"))
	case "predict":
		a.predictions(n)
	case "models":
		a.known = t.shape(t.get(n, "models")) == array || t.shape(t.get(n, "publisherModels")) == array || t.get(n, "name") != 0
		if !a.known {
			a.models(n)
		}
	default: // a resource, an operation that goes on, or a list of them
		a.known = true
	}
}

func (gemini) event(s *Stream, _ string, _ int) {
	if s.answer.call.API == "generate_content" {
		s.geminiChunk()
	} else {
		s.failed()
	}
}

// generated reads a whole answer of generateContent.
func (a *answer) generated(n int) {
	t := a.reader.tape
	a.geminiHead(n)
	i := 0
	for c := range t.elements(t.get(n, "candidates")) {
		index := t.index(t.get(c, "index"), i)
		i++
		first := len(a.reader.items)
		a.reader.geminiParts(t.get(t.get(c, "content"), "parts"), "output", steno.KindFrame)
		a.candidate(c, index)
		for k := first; k < len(a.reader.items); k++ {
			a.reader.items[k].slot.choice = index
		}
	}
}

// geminiHead reads what stands beside the candidates, in a whole answer or in each chunk.
func (a *answer) geminiHead(n int) {
	t := a.reader.tape
	u := t.get(n, "usageMetadata")
	a.known = a.known || t.has(t.get(n, "candidates")) || t.has(t.get(n, "promptFeedback")) || t.has(u)
	set := func(dst *string, v string) {
		if v != "" {
			*dst = v
		}
	}
	set(&a.result.ID, t.str(t.get(n, "responseId"), maxName))
	set(&a.model.Answered, strings.TrimPrefix(t.str(t.get(n, "modelVersion"), maxName), "models/"))
	set(&a.model.ServiceTier, t.enum(t.get(u, "trafficType"), trafficNames))
	a.usage.google(t, u)
	feedback := t.get(n, "promptFeedback")
	if reason := t.enum(t.get(feedback, "blockReason"), blockNames); known(reason) {
		a.refuse("blockReason/"+reason, "in", nil)
	}
	a.rated(t.get(feedback, "safetyRatings"), "in")
}

// known says whether an enumeration says anything: Google's have a first value for what is not said.
func known(enum string) bool { return enum != "" && !strings.HasSuffix(enum, "_UNSPECIFIED") }

// Names of the numbers that clients may ask for instead.
var (
	finishNames      = []string{"", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", 11: "IMAGE_SAFETY"}
	blockNames       = []string{"", "SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT"}
	probabilityNames = []string{"", "NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"}
	modalityNames    = []string{"", "TEXT", "IMAGE", "VIDEO", "AUDIO", "DOCUMENT"}
	trafficNames     = []string{"", "ON_DEMAND", "PROVISIONED_THROUGHPUT"}
	categoryNames    = []string{
		"", "HATE_SPEECH", "DANGEROUS_CONTENT", "HARASSMENT", "SEXUALLY_EXPLICIT", "CIVIC_INTEGRITY",
		7: "HARASSMENT", 8: "HATE_SPEECH", 9: "SEXUALLY_EXPLICIT", 10: "DANGEROUS_CONTENT", 11: "CIVIC_INTEGRITY",
	}
)

// enum is a value of an enumeration by its name. Clients may ask for numbers; one that the two APIs do not mean
// alike, or that is new, stays a number.
func (t *tape) enum(n int, names []string) string {
	if t.shape(n) == text {
		return t.str(n, 64)
	}
	v := t.integer(n)
	if v == nil || *v == 0 {
		return ""
	}
	if *v > 0 && *v < int64(len(names)) && names[*v] != "" {
		return names[*v]
	}
	return strconv.FormatInt(*v, 10)
}

// withheld are the finish reasons that say that words were kept back because of what they are. 7 and 8 are numbers that mean
// different ones of them in the two APIs.
var withheld = map[string]bool{
	"SAFETY": true, "RECITATION": true, "BLOCKLIST": true, "PROHIBITED_CONTENT": true, "SPII": true, "MODEL_ARMOR": true, "IMAGE_SAFETY": true,
	"IMAGE_PROHIBITED_CONTENT": true, "IMAGE_RECITATION": true, "7": true, "8": true,
}

// candidate reads what a candidate says beside its words.
func (a *answer) candidate(c, index int) {
	t := a.reader.tape
	ch := a.choice(index)
	if reason := t.enum(t.get(c, "finishReason"), finishNames); known(reason) {
		ch.finish = reason
		if withheld[reason] {
			a.refuse("finishReason/"+reason, "out", nil)
		}
	}
	a.rated(t.get(c, "safetyRatings"), "out")
	citations := t.get(c, "citationMetadata")
	for _, name := range [...]string{"citations", "citationSources"} { // of Vertex AI and of the Gemini API
		for source := range t.elements(t.get(citations, name)) {
			a.geminiCitation(source)
		}
	}
	a.grounding(t.get(c, "groundingMetadata"), index)
	for page := range t.elements(t.get(t.get(c, "urlContextMetadata"), "urlMetadata")) {
		a.documents.add(steno.Document{ID: t.str(t.get(page, "retrievedUrl"), maxName), Origin: "url_context"})
	}
	for token := range t.elements(t.get(t.get(c, "logprobsResult"), "chosenCandidates")) {
		a.confidence.by = "gemini.logprobs"
		a.confidence.add(t.float(t.get(token, "logProbability")))
	}
	a.confidence.mean(t.float(t.get(c, "avgLogprobs")))
}

var ratingScores = map[string]float64{"LOW": 0.3, "MEDIUM": 0.6, "HIGH": 1}

// rated reads safety ratings. A stream rates again with every chunk: of a category the highest counts.
func (a *answer) rated(n int, direction string) {
	t := a.reader.tape
	for el := range t.elements(n) {
		category := strings.TrimPrefix(t.enum(t.get(el, "category"), categoryNames), "HARM_CATEGORY_")
		probability := t.enum(t.get(el, "probability"), probabilityNames)
		score := ratingScores[probability]
		if t.shape(t.get(el, "blocked")) == yes {
			score = 1
		}
		if score == 0 || category == "" || strings.ContainsFunc(category+probability, notWord) {
			continue
		}
		rule := "safetyRatings/" + category
		at := slices.IndexFunc(a.findings, func(f steno.Finding) bool {
			return f.Direction == direction && strings.HasPrefix(f.Rule, rule+"/")
		})
		f := steno.Finding{
			Flag: ratingFlag(category), Rule: rule + "/" + probability, Source: a.call.Dialect, Direction: direction, Score: score, Action: "record",
		}
		switch {
		case at >= 0 && a.findings[at].Score < score:
			a.findings[at] = f
		case at < 0 && len(a.findings) < maxFindings:
			a.findings = append(a.findings, f)
		}
	}
}

func ratingFlag(category string) steno.Flag {
	switch strings.TrimPrefix(category, "IMAGE_") {
	case "HATE_SPEECH", "HATE":
		return "hate"
	case "SEXUALLY_EXPLICIT":
		return "sexual"
	case "HARASSMENT", "DANGEROUS_CONTENT":
		return "harmful"
	case "JAILBREAK":
		return "jailbreak"
	}
	return "other"
}

func (a *answer) geminiCitation(n int) {
	t := a.reader.tape
	doc := steno.Document{ID: t.str(t.get(n, "uri"), maxName), Title: t.str(t.get(n, "title"), maxTitle), Origin: "citation"}
	if end := t.integer(t.get(n, "endIndex")); end != nil {
		doc.Chunk = "char " + strconv.Itoa(t.index(t.get(n, "startIndex"), 0)) + "-" + strconv.FormatInt(*end, 10)
	}
	a.documents.add(doc)
}

// grounding reads what was searched for and what was found. The scores stand with the sentences that they support.
func (a *answer) grounding(n, choice int) {
	t, r := a.reader.tape, &a.reader
	if t.shape(n) != object {
		return
	}
	for _, search := range [...]struct{ queries, tool, typ string }{
		{"webSearchQueries", "google_search", "extension"},
		{"imageSearchQueries", "image_search", "extension"},
		{"retrievalQueries", "retrieval", "datastore"},
	} {
		at := slot{choice: choice, field: 'q'}
		again := func(it item) bool { return it.slot == at && it.name == search.tool } // each chunk may say it
		if v := t.get(n, search.queries); t.shape(v) == array && t.count(v) > 0 && !slices.ContainsFunc(r.items, again) {
			r.call(v, 0, 0, search.typ)
			r.items[len(r.items)-1].name, r.items[len(r.items)-1].slot = search.tool, at
		}
	}
	scores := map[int]float64{}
	for support := range t.elements(t.get(n, "groundingSupports")) {
		sure := t.floats(t.get(support, "confidenceScores"))
		for i, chunk := range t.floats(t.get(support, "groundingChunkIndices")) {
			if i < len(sure) && len(scores) < maxDocuments {
				scores[int(chunk)] = max(scores[int(chunk)], sure[i])
			}
		}
	}
	i := 0
	for chunk := range t.elements(t.get(n, "groundingChunks")) {
		var score *float64
		if s, ok := scores[i]; ok {
			score = &s
		}
		a.groundingChunk(chunk, choice, score)
		i++
	}
}

func (a *answer) groundingChunk(n, choice int, score *float64) {
	t, r := a.reader.tape, &a.reader
	for _, kind := range [...]struct{ name, uri, origin string }{
		{"web", "uri", "web_search"}, {"image", "sourceUri", "web_search"}, {"maps", "uri", "google_maps"}, {"retrievedContext", "uri", "file_search"},
	} {
		v := t.get(n, kind.name)
		if !t.has(v) {
			continue
		}
		doc := steno.Document{
			ID: t.str(t.get(v, kind.uri), maxName), Title: t.str(t.get(v, "title"), maxTitle),
			Index: t.str(t.get(v, "fileSearchStore"), maxName), Score: score, Origin: kind.origin,
		}
		if doc.ID == "" {
			doc.ID = t.str(t.get(v, "documentName"), maxName)
		}
		before := len(a.documents.list)
		a.documents.add(doc)
		words := t.get(v, "text")
		if t.shape(words) == text && r.nonEmpty(words) && len(a.documents.list) > before {
			r.add(words, item{kind: steno.KindContext, origin: "document", slot: slot{choice: choice, field: 'd', index: len(r.items)}})
		}
	}
}

// floats are the numbers of an array, which have no nodes; nothing if there is anything else in it.
func (t *tape) floats(n int) []float64 {
	if t.shape(n) != array || int(t.nodes[n].next) != n+1 {
		return nil
	}
	var out []float64
	for field := range bytes.SplitSeq(t.src[t.nodes[n].start+1:t.nodes[n].end-1], []byte{','}) {
		f, err := strconv.ParseFloat(string(bytes.TrimSpace(field)), 64)
		if err != nil {
			return nil
		}
		out = append(out, f)
	}
	return out
}

// google reads usageMetadata. The prompt includes what was cached, and is counted apart from what tools put into it; what the
// model thought is counted apart from what it said. A stream has the counts so far in every chunk.
func (u *usage) google(t *tape, n int) {
	if t.shape(n) != object {
		return
	}
	u.asked = true
	sum := func(dst **int64, names ...string) {
		var total int64
		found := false
		for _, name := range names {
			if v := t.integer(t.get(n, name)); v != nil {
				total, found = total+*v, true
			}
		}
		if found {
			take(dst, &total)
		}
	}
	sum(&u.input, "promptTokenCount", "toolUsePromptTokenCount")
	sum(&u.output, "candidatesTokenCount", "thoughtsTokenCount")
	sum(&u.cacheRead, "cachedContentTokenCount")
	sum(&u.reasoning, "thoughtsTokenCount")
	sum(&u.total, "totalTokenCount")
	for _, name := range [...]string{"promptTokensDetails", "cacheTokensDetails", "toolUsePromptTokensDetails", "candidatesTokensDetails"} {
		for el := range t.elements(t.get(n, name)) {
			// Google asks of images and films in a prompt what it asks of text.
			kind := t.enum(t.get(el, "modality"), modalityNames)
			u.media = u.media || kind == "AUDIO" || name == "candidatesTokensDetails" && kind != "TEXT" && kind != ""
		}
	}
}

// predictions reads an answer of Vertex AI's older method: vectors, images, or words.
func (a *answer) predictions(n int) {
	t, r := a.reader.tape, &a.reader
	list := t.get(n, "predictions")
	a.known = t.shape(list) == array || int(t.nodes[n].next) == n+1 // none at all, if all images were filtered
	var tokens int64
	counted := false
	for el := range t.elements(list) {
		if v := t.integer(t.get(t.get(t.get(el, "embeddings"), "statistics"), "token_count")); v != nil {
			tokens, counted = tokens+*v, true
		}
		if v := t.get(el, "bytesBase64Encoded"); t.has(v) {
			r.media(v, r.mediaType(el))
		}
		if t.has(t.get(el, "raiFilteredReason")) {
			a.refuse("raiFilteredReason", "out", nil)
		}
		r.words(t.get(el, "content"), "output", steno.KindFrame)
		r.words(t.get(el, "prompt"), "output", steno.KindFrame) // as the model wrote it anew
	}
	if counted {
		a.usage.asked = true
		take(&a.usage.input, &tokens)
	}
}

// geminiVectors counts the vectors of an answer, and says how long the last is.
func (a *answer) geminiVectors() (count, length int) {
	t := a.reader.tape
	for _, name := range [...]string{"embedding", "embeddings", "predictions"} {
		for el := range t.one(t.get(root, name)) {
			if e := t.get(el, "embeddings"); e != 0 {
				el = e
			}
			count++
			length = t.count(t.get(el, "values"))
		}
	}
	return count, length
}

// geminiChunk reads a chunk of a streamed answer. The one in which the last candidate finishes is held, and what follows it; an
// array ends with its bracket, server-sent events end with that chunk.
func (s *Stream) geminiChunk() {
	a, t := s.answer, &s.tape
	if a.error(root) {
		s.terminal()
		return
	}
	a.geminiHead(root)
	i := 0
	for c := range t.elements(t.get(root, "candidates")) {
		index := t.index(t.get(c, "index"), i)
		i++
		for part := range t.one(t.get(t.get(c, "content"), "parts")) {
			s.geminiDelta(part, index)
		}
		a.candidate(c, index)
	}
	done := len(a.choices) > 0
	for _, c := range a.choices {
		done = done && c.finish != ""
	}
	blocked := func(f steno.Finding) bool { return strings.HasPrefix(f.Rule, "blockReason/") }
	done = done || slices.ContainsFunc(a.findings, blocked)
	switch {
	case done && s.hold < 0:
		s.hold, s.soft, s.finished = s.from, true, s.framing != framingArray
	case !done && s.soft:
		s.hold, s.soft, s.finished = -1, false, false
	}
	a.usage.final = done
}

// geminiDelta reads a part of a chunk. Words belong to those before them until something else comes between.
func (s *Stream) geminiDelta(n, choice int) {
	r := &s.answer.reader
	words, call := r.get(n, "text"), r.either(n, "functionCall", "function_call")
	switch {
	case r.shape(call) == object:
		s.geminiCall(call, choice)
	case r.shape(words) == text:
		at, like := slot{choice: choice, field: 'c'}, item{origin: "output"}
		if r.shape(r.get(n, "thought")) == yes {
			at.field, like.kind = 't', steno.KindReasoning
		}
		s.fragment(words, s.run(at), like)
	default:
		first := len(r.items)
		r.geminiBlock(n, "output", steno.KindFrame)
		for i := first; i < len(r.items); i++ {
			r.items[i].slot = slot{choice: choice, field: 'p', index: i}
		}
		s.first = s.first || len(r.items) > first
	}
}

// run is the slot of the choice's last item if that is of the same kind, else a new one.
func (s *Stream) run(at slot) slot {
	items := s.answer.reader.items
	for i := len(items) - 1; i >= 0; i-- {
		if have := items[i].slot; have.choice == at.choice {
			if have.field == at.field {
				return have
			}
			break
		}
	}
	at.index = len(items)
	return at
}

// geminiCall reads a function call: whole, or in fragments, of which only the first has the name.
func (s *Stream) geminiCall(n, choice int) {
	r := &s.answer.reader
	s.first = true
	at := slot{choice: choice, field: 'f', index: len(r.items)}
	it := s.find(s.run(at))
	if name := r.get(n, "name"); it == nil || r.shape(name) == text && r.nonEmpty(name) {
		it = s.append(at, item{
			kind: steno.KindToolCall, origin: "output", toolType: "function", name: r.str(name, maxName), id: r.str(r.get(n, "id"), maxName),
		})
	}
	if args := r.get(n, "args"); r.has(args) {
		it.plain = true
		it.join(r, args)
	}
	for part := range r.elements(r.get(n, "partialArgs")) {
		if v := r.get(part, "stringValue"); r.shape(v) == text && r.nonEmpty(v) {
			it.join(r, v)
		}
	}
}
