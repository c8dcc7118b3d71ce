package dialect

import "github.com/steno-audit/steno"

// whole makes the value v a piece.
func (p *requestParser) whole(v int, kind steno.Kind) {
	s, e := p.reader.place(v)
	if e-s <= len(`""`) { // empty
		p.cut.loose = true
		return
	}
	if p.marked {
		p.cut.mark(p.reader.tape, v)
	}
	p.cut.add(s, e, kind)
	p.cut.whole = true
}

// each makes every element of the array v a piece with the separator before it.
func (p *requestParser) each(v int, kind func(el int) steno.Kind) {
	t := p.reader.tape
	s, _ := t.place(v)
	before := s + 1
	for el := range t.elements(v) {
		_, end := t.place(el)
		p.message(el, before, end, kind(el))
		before = end
	}
	if end := int(t.nodes[v].end) - 1; t.space(before) < end { // numbers behind the last element with a node
		p.cut.loose = true
	}
}

// message cuts one message; long documents in it are pieces of their own, since they come in other messages too.
func (p *requestParser) message(el, start, end int, kind steno.Kind) {
	t := p.reader.tape
	if p.marked {
		p.cut.mark(t, el)
	}
	content := t.get(el, "content")
	if content == 0 {
		content = t.get(el, "parts")
	}
	before := int(t.nodes[content].start) + 1
	for b := range t.elements(content) {
		s, e := t.place(b)
		if e-s >= minDocument && (t.is(t.get(b, "type"), "document") || t.is(t.get(b, "type"), "search_result") || p.reader.isGeminiDocument(b)) {
			if before > start {
				p.cut.add(start, before, kind)
				p.cut.loose = true
			}
			p.cut.add(before, e, steno.KindContext)
			p.cut.loose = true
			start = e
		}
		before = e
	}
	p.cut.add(start, end, kind)
}

// texts turns the items that the reader has gathered into Texts.
func (p *requestParser) texts(isNew bool) {
	for _, it := range p.reader.items {
		if it.origin == "" || it.end <= it.start {
			continue
		}
		p.Texts = append(p.Texts, Text{Start: it.start, End: it.end, Origin: it.origin, New: isNew, plain: it.plain})
	}
}

// turns reads messages, input items, or a prompt that is a text or a list of texts.
func (p *requestParser) turns(v int) {
	t := p.reader.tape
	if t.shape(v) != array {
		p.Prompt.Messages, p.Prompt.New = 0, 0
		if t.shape(v) == text || t.has(t.get(v, "parts")) { // Google takes one content for a list of one
			p.Prompt.Messages, p.Prompt.New = 1, 1
		}
		p.simple(v, "user", steno.KindInput)
		return
	}
	last, count := p.reader.lastAnswer(v)
	p.history = p.history || last > 0
	p.Prompt.Messages, p.Prompt.New = count, 0
	if count == 0 && t.count(v) > 0 { // token numbers
		p.Prompt.Messages, p.Prompt.New = 1, 1
		p.whole(v, steno.KindInput)
		return
	}
	if !p.call.converses() { // texts without a history: one piece
		p.Prompt.New = count
		p.reader.items = p.reader.items[:0]
		p.reader.content(v, "user", steno.KindInput)
		p.texts(true)
		p.whole(v, steno.KindInput)
		return
	}
	p.each(v, func(el int) steno.Kind {
		who, isNew := p.reader.role(el), el > last
		if isNew {
			p.Prompt.New++
		}
		if p.Model.Asked == "" { // of a batch
			p.Model.Asked = t.str(t.get(t.get(el, "params"), "model"), maxName)
		}
		p.reader.items = p.reader.items[:0]
		from := len(p.Texts)
		p.reader.message(el)
		p.texts(isNew)
		switch {
		case who == systemRole:
			for i := from; i < len(p.Texts); i++ {
				p.first = append(p.first, i)
			}
			return steno.KindSystem
		case !isNew:
			return steno.KindHistory
		case who == toolRole:
			return steno.KindToolResult
		}
		return steno.KindInput
	})
}

// past reads messages that were all said before.
func (p *requestParser) past(v int) {
	t := p.reader.tape
	if t.shape(v) != array {
		p.cut.loose = true
		return
	}
	p.each(v, func(el int) steno.Kind {
		p.Prompt.Messages++
		p.history = true
		p.reader.items = p.reader.items[:0]
		p.reader.message(el)
		p.texts(false)
		if p.reader.role(el) == systemRole {
			return steno.KindSystem
		}
		return steno.KindHistory
	})
}

// simple reads a value that is words of one origin as one piece.
func (p *requestParser) simple(v int, origin string, kind steno.Kind) {
	if !p.reader.has(v) {
		p.cut.loose = true
		return
	}
	p.reader.items = p.reader.items[:0]
	p.reader.content(v, origin, kind)
	p.texts(true)
	p.whole(v, kind)
}

// system reads a system prompt: a text, or blocks of which each is a piece.
func (p *requestParser) system(v int) {
	t := p.reader.tape
	from := len(p.Texts)
	switch t.shape(v) {
	case array:
		p.reader.items = p.reader.items[:0]
		p.reader.content(v, "system", steno.KindSystem)
		p.texts(true)
		p.each(v, func(int) steno.Kind { return steno.KindSystem })
	default:
		p.simple(v, "system", steno.KindSystem)
	}
	for i := from; i < len(p.Texts); i++ {
		p.first = append(p.first, i)
	}
}

// retrieved reads documents given beside the messages, each a piece.
func (p *requestParser) retrieved(v int) {
	t := p.reader.tape
	p.reader.items = p.reader.items[:0]
	if t.shape(v) != array {
		p.simple(v, "document", steno.KindContext)
		return
	}
	p.documents.given(t, v)
	for el := range t.elements(v) {
		p.reader.anyValue(el, "document", steno.KindContext, 0)
	}
	p.texts(true)
	p.each(v, func(int) steno.Kind { return steno.KindContext })
}

// tools reads a list of tools: one piece, since it changes as a whole. Checks look at it the first time.
func (p *requestParser) tools(v int) {
	t := p.reader.tape
	if !t.has(v) {
		p.cut.loose = true
		return
	}
	for el := range t.elements(t.toolList(v)) {
		for _, o := range t.offers(el) {
			if o.name != "" && len(p.Prompt.Tools) < maxTools {
				p.Prompt.Tools = append(p.Prompt.Tools, o.name)
			}
		}
	}
	s, e := t.place(v)
	if e-s > minWords {
		p.first = append(p.first, len(p.Texts))
		p.Texts = append(p.Texts, Text{Start: s, End: e, Origin: "system", plain: true})
	}
	p.whole(v, steno.KindToolDefinition)
}

// toolList is the list of tools in what offers them: Converse puts it into an object, with the choice among them.
func (t *tape) toolList(n int) int {
	if list := t.get(n, "tools"); list != 0 {
		return list
	}
	return n
}

// toolName is the name of a tool that is offered; one that the provider runs may have only a type or a label.
func (t *tape) toolName(n int) string {
	for _, v := range [...]int{
		t.get(n, "name"), t.get(t.get(n, "function"), "name"), t.get(t.get(n, "custom"), "name"),
		t.get(t.get(n, "toolSpec"), "name"), t.get(t.get(n, "systemTool"), "name"), t.get(n, "server_label"), t.get(n, "type"), t.get(n, "id"),
	} {
		if s := t.str(v, maxName); s != "" {
			return s
		}
	}
	return ""
}
