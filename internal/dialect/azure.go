package dialect

import (
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// azure is the grammar of Azure: OpenAI's, under paths of its own that name a deployment in the model's place, with the
// verdicts of a content filter and citations of the customer's own data. Claude's models there speak Anthropic's.
type azure struct{ openAI }

func (c Call) azure() grammar {
	switch c.API {
	case "messages", "count_tokens", "message_batches", "batch_results":
		return anthropic{}
	}
	return azure{}
}

func (azure) call(c *Call, method, path string) {
	rest, ok := strings.CutPrefix(path, "/openai/")
	if !ok {
		switch first, more, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); {
		case first == "anthropic":
			anthropic{}.call(c, method, "/"+more)
		case first == "models" && more == "info":
			c.API, c.Operation = "models", "models"
		case first == "models" && more != "":
			openAI{}.call(c, method, "/"+more)
		default:
			openAI{}.call(c, method, path)
		}
		return
	}
	model := ""
	if in, ok := strings.CutPrefix(rest, "deployments/"); ok {
		model, rest, _ = strings.Cut(in, "/")
		rest = strings.TrimPrefix(rest, "extensions/")
	}
	openAI{}.call(c, method, "/v1/"+strings.TrimPrefix(rest, "v1/"))
	c.Model = clip([]byte(model), maxName)
}

func (azure) object(a *answer, n int) {
	t := a.reader.tape
	if a.call.API == "models" && t.get(n, "model_name") != 0 {
		a.known = true
		return
	}
	openAI{}.object(a, n)
	for c := range t.elements(t.get(n, "choices")) {
		a.ownData(t.get(t.get(c, "message"), "context"))
	}
	if a.call.API == "images" {
		a.filtered(t.get(n, "prompt_filter_results"), "in")
		for img := range t.elements(t.get(n, "data")) {
			a.filtered(t.get(img, "prompt_filter_results"), "in")
			a.filtered(t.get(img, "content_filter_results"), "out")
		}
	}
}

func (azure) event(s *Stream, typ string, end int) {
	openAI{}.event(s, typ, end)
	for c := range s.tape.elements(s.tape.get(root, "choices")) {
		s.answer.ownData(s.tape.get(s.tape.get(c, "delta"), "context"))
	}
}

// ownData reads what was found in the data that the request names.
func (a *answer) ownData(n int) {
	r := &a.reader
	for c := range r.elements(r.get(n, "citations")) {
		doc := steno.Document{
			ID: r.str(r.get(c, "url"), maxName), Title: r.str(r.get(c, "title"), maxTitle), Chunk: r.str(r.get(c, "chunk_id"), maxHitChunk),
			Score: r.float(r.get(c, "rerank_score")), Origin: "citation",
		}
		if doc.ID == "" {
			doc.ID = r.str(r.get(c, "filepath"), maxName)
		}
		a.documents.add(doc)
		r.words(r.get(c, "content"), "document", steno.KindContext)
	}
}

// promptFilter reads what a content filter says of the prompt, beside the answer.
func (a *answer) promptFilter(n int) {
	t := a.reader.tape
	for el := range t.elements(t.get(n, "prompt_filter_results")) {
		a.filtered(t.get(el, "content_filter_results"), "in")
	}
}

// contentFilters reads the verdicts as the Responses API has them: a list for both sides.
func (a *answer) contentFilters(n int) {
	t := a.reader.tape
	for el := range t.elements(t.get(n, "content_filters")) {
		direction := "out"
		if t.is(t.get(el, "source_type"), "prompt") {
			direction = "in"
		}
		if t.shape(t.get(el, "blocked")) == yes {
			a.refuse("content_filter", direction, nil)
		}
		a.filtered(t.get(el, "content_filter_results"), direction)
	}
}

// filterError reads the verdicts in an error that says why a prompt was not answered.
func (a *answer) filterError(e int) {
	if a.failed != "content_filter" && a.failed != "contentFilter" { // the latter of images
		return
	}
	t := a.reader.tape
	inner := t.get(e, "innererror")
	for _, v := range [...]int{inner, t.get(e, "inner_error")} {
		a.filtered(t.get(v, "content_filter_result"), "in")
		a.filtered(t.get(v, "content_filter_results"), "in")
	}
	a.contentFilters(e)
	a.refuse("content_filter", "in", nil)
}

// filtered reads the verdicts of a content filter: an object with a member for each category.
func (a *answer) filtered(n int, direction string) {
	t := a.reader.tape
	for k, v := range t.members(n) {
		name := t.str(k, 64)
		if strings.ContainsFunc(name, notWord) {
			continue
		}
		if name == "error" || t.shape(t.get(v, "error")) == object {
			a.verdict("content_filter/not_done", "other", direction, 0) // it answered without its filter
			continue
		}
		severity := t.str(t.get(v, "severity"), 16)
		score := filterScores[severity]
		if against(t, v) {
			score = max(score, 1)
		}
		rule := "content_filter/" + name
		if _, ok := filterScores[severity]; ok {
			rule += "/" + severity
		}
		if url := t.str(t.get(t.get(v, "citation"), "URL"), maxName); url != "" { // where protected code stands
			a.documents.add(steno.Document{ID: url, Title: t.str(t.get(t.get(v, "citation"), "license"), maxTitle), Origin: "citation"})
		}
		if !a.lists(v, name, direction) && score > 0 {
			a.verdict(rule, filterFlag(name), direction, score)
		}
	}
}

// lists reads which of the customer's own lists were hit, and says whether any was.
func (a *answer) lists(n int, name, direction string) (any bool) {
	t := a.reader.tape
	if t.shape(n) == object {
		n = t.get(n, "details")
	}
	for list := range t.elements(n) {
		id := t.str(t.get(list, "id"), 64)
		if id == "" || !against(t, list) || strings.ContainsFunc(id, notWord) {
			continue
		}
		a.verdict("content_filter/"+name+"/"+id, filterFlag(name), direction, 1)
		any = true
	}
	return any
}

// against says whether a verdict is one against the text.
func against(t *tape, n int) bool {
	return t.shape(t.get(n, "detected")) == yes || t.shape(t.get(n, "filtered")) == yes
}

// verdict notes a verdict, once for each rule and direction.
func (a *answer) verdict(rule string, flag steno.Flag, direction string, score float64) {
	if len(a.findings) >= maxFindings || slices.ContainsFunc(a.findings, func(f steno.Finding) bool { return f.Rule == rule && f.Direction == direction }) {
		return
	}
	a.findings = append(a.findings, steno.Finding{Flag: flag, Rule: rule, Source: a.call.Dialect, Direction: direction, Score: score, Action: "record"})
}

var filterScores = map[string]float64{"low": 0.3, "medium": 0.6, "high": 1}

func filterFlag(category string) steno.Flag {
	switch category {
	case "hate", "self_harm", "sexual", "violence", "jailbreak":
		return steno.Flag(category)
	case "jailbreaking": // Mistral
		return "jailbreak"
	case "indirect_attack":
		return "injection"
	case "protected_material_text", "protected_material_code":
		return "copyright"
	case "profanity":
		return "harmful"
	}
	return "other"
}
