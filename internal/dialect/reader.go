package dialect

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/steno-audit/steno"
)

// Limits on names that become metadata, in bytes.
const (
	maxName  = 256
	maxTitle = 256
)

// An item is one thing that a message or an answer is made of: words, a tool call, an image, a document.
type item struct {
	kind       steno.Kind // KindFrame: that of its message
	origin     string     // of the Text that it makes; "" = nothing for checks to look at
	start, end int        // in the body; of words without quotes
	plain      bool       // JSON, or anything but the inside of a JSON string
	name, id   string     // of a tool
	toolType   string     // function, custom, extension, datastore
	media      string
	doc        *steno.Document
	refusal    bool
	joined     *joined
	slot       slot
}

// A slot is where an item of an answer belongs: the choice, the output item or content block, the part of it, and
// which of its words.
type slot struct {
	choice, index, part int
	field               byte
}

// reader turns messages, content blocks and output items of all APIs into items. Their types do not collide.
type reader struct {
	*tape
	base       int  // offset of the tape's source in the body
	scattered  bool // the source does not stand in the body in one run, but somewhere from base to end
	end        int
	stream     bool // words are kept, since the body may be gone when they are asked for
	answer     bool // what is read is what the model said
	detail     bool // names, ids and descriptions of media are wanted
	docs       *documents
	confidence *confidence
	items      []item
}

// message reads a chat message, a Responses input or output item, or a bare text.
func (r *reader) message(n int) {
	who := r.role(n)
	kind := steno.KindFrame
	if who == toolRole {
		kind = steno.KindToolResult
	}
	origin := who.origin(r.answer)
	switch r.shape(n) {
	case text:
		r.words(n, origin, kind)
		return
	case object:
	default:
		return
	}
	if r.get(n, "role") == 0 && r.has(r.get(n, "type")) && !r.is(r.get(n, "type"), "message") {
		r.block(n, origin, kind)
		return
	}
	if r.batched(n) {
		return
	}
	for _, name := range [...]string{"reasoning_content", "reasoning", "thinking", "tool_plan"} {
		if v := r.get(n, name); r.shape(v) == text && r.nonEmpty(v) {
			r.words(v, origin, steno.KindReasoning)
		}
	}
	first := len(r.items)
	r.content(r.get(n, "content"), origin, kind)
	r.geminiParts(r.get(n, "parts"), origin, kind)
	r.words(r.get(n, "message"), origin, kind) // Cohere's version 1
	r.cohereResults(r.get(n, "tool_results"))
	for el := range r.elements(r.get(n, "images")) {
		r.media(el, "image")
	}
	if id := r.get(n, "tool_call_id"); kind == steno.KindToolResult && r.detail && id != 0 {
		for i := first; i < len(r.items); i++ {
			r.items[i].id = r.str(id, maxName)
			r.items[i].name = r.str(r.get(n, "name"), maxName)
		}
	}
	if name := r.get(n, "tool_name"); kind == steno.KindToolResult && r.detail && name != 0 { // Ollama
		for i := first; i < len(r.items); i++ {
			r.items[i].name = r.str(name, maxName)
		}
	}
	r.refused(r.get(n, "refusal"), origin)
	for call := range r.elements(r.get(n, "tool_calls")) {
		r.toolCall(call)
	}
	if call := r.get(n, "function_call"); r.shape(call) == object {
		r.call(r.get(call, "arguments"), r.get(call, "name"), 0, "function")
	}
	if audio := r.get(n, "audio"); r.shape(audio) == object {
		r.words(r.get(audio, "transcript"), origin, kind)
		r.media(r.get(audio, "data"), "audio")
	}
	r.citations(r.get(n, "annotations"))
	r.executed(r.get(n, "executed_tools"))
}

func (r *reader) nonEmpty(n int) bool { return r.nodes[n].end > r.nodes[n].start }

func (r *reader) content(n int, origin string, kind steno.Kind) {
	switch r.shape(n) {
	case text:
		r.words(n, origin, kind)
	case array:
		for el := range r.elements(n) {
			switch r.shape(el) {
			case text:
				r.words(el, origin, kind)
			case array:
				r.content(el, origin, kind)
			default:
				r.block(el, origin, kind)
			}
		}
	case object:
		r.block(n, origin, kind)
	}
}

// add appends an item for the value n, or for nothing in the body if n is 0.
func (r *reader) add(n int, it item) {
	switch {
	case n == 0:
	case r.stream:
		it.plain = r.shape(n) != text
		it.join(r, n)
	default:
		it.plain = r.shape(n) != text
		it.start, it.end = int(r.nodes[n].start), int(r.nodes[n].end)
	}
	r.items = append(r.items, it)
}

// join appends the words of the value n to an item of a stream.
func (it *item) join(r *reader, n int) {
	v := r.nodes[n]
	f := frag{start: r.base + int(v.start), end: r.base + int(v.end)}
	if v.shape != text {
		f.form = plain
	}
	if r.scattered {
		f = frag{start: r.base, end: r.end, form: within}
	}
	if it.joined == nil {
		it.joined, it.start = &joined{}, f.start
	}
	it.end = f.end
	it.joined.add(r.inner(n), f, v.escaped)
}

func (r *reader) words(n int, origin string, kind steno.Kind) {
	if r.shape(n) != text {
		return
	}
	r.add(n, item{kind: kind, origin: origin})
	if origin == "tool" {
		r.docs.fromToolText(r.bytes(n))
	}
}

func (r *reader) refused(n int, origin string) {
	if r.shape(n) == text && r.nonEmpty(n) {
		r.add(n, item{origin: origin, refusal: true})
	}
}

// call appends a tool call whose arguments are the value n.
func (r *reader) call(args, name, id int, typ string) {
	it := item{kind: steno.KindToolCall, origin: modelRole.origin(r.answer)}
	if r.detail {
		it.name, it.id, it.toolType = r.str(name, maxName), r.str(id, maxName), typ
	}
	if !r.has(args) {
		args, it.origin = 0, ""
	}
	r.add(args, it)
}

// toolCall reads an element of a chat message's tool_calls.
func (r *reader) toolCall(n int) {
	if custom := r.get(n, "custom"); r.has(custom) {
		r.call(r.get(custom, "input"), r.get(custom, "name"), r.get(n, "id"), "custom")
		return
	}
	f := r.get(n, "function")
	if args := r.get(n, "parameters"); f == 0 && args != 0 { // Cohere's version 1
		r.call(args, r.get(n, "name"), 0, "function")
		return
	}
	r.call(r.get(f, "arguments"), r.get(f, "name"), r.get(n, "id"), "function")
}

// hosted appends a call of a tool that the provider itself runs; such items often have no name.
func (r *reader) hosted(n, args int, name, typ string) {
	r.call(args, r.get(n, "name"), r.get(n, "id"), typ)
	it := &r.items[len(r.items)-1]
	if r.detail && it.name == "" {
		it.name = name
	}
}

// result appends what a tool gave back.
func (r *reader) result(n, content int, id string) {
	first := len(r.items)
	switch r.shape(content) {
	case text, array:
		r.content(content, "tool", steno.KindToolResult)
	case object:
		if r.has(r.get(content, "type")) {
			r.block(content, "tool", steno.KindToolResult)
		} else {
			r.add(content, item{kind: steno.KindToolResult, origin: "tool"})
			r.docs.fromToolText(r.raw(content))
		}
	}
	if r.detail {
		if len(r.items) == first {
			r.add(0, item{kind: steno.KindToolResult})
		}
		for i := first; i < len(r.items); i++ {
			r.items[i].id = r.str(r.get(n, id), maxName)
		}
	}
}

// block reads a content block or an input or output item by its type.
func (r *reader) block(n int, origin string, kind steno.Kind) {
	if r.shape(n) != object {
		return
	}
	typ := string(r.bytes(r.get(n, "type")))
	switch typ {
	case "text", "input_text", "output_text", "summary_text":
		if v := r.get(n, "text"); r.shape(v) == object { // of a thread
			r.words(r.get(v, "value"), origin, kind)
			r.citations(r.get(v, "annotations"))
		}
		r.words(r.get(n, "text"), origin, kind)
		r.citations(r.get(n, "citations"))
		r.citations(r.get(n, "annotations"))
		r.confidence.fromTokens(r.tape, r.get(n, "logprobs"))
	case "refusal":
		r.refused(r.get(n, "refusal"), origin)
	case "thinking":
		r.content(r.get(n, "thinking"), origin, steno.KindReasoning)
	case "reasoning", "reasoning_text":
		r.words(r.get(n, "text"), origin, steno.KindReasoning)
		r.content(r.get(n, "summary"), origin, steno.KindReasoning)
		r.content(r.get(n, "content"), origin, steno.KindReasoning)
	case "redacted_thinking":
		r.mediaOf(r.get(n, "data"), "redacted thinking", steno.KindReasoning)
	case "tool_use":
		r.call(r.get(n, "input"), r.get(n, "name"), r.get(n, "id"), "function")
	case "server_tool_use", "mcp_tool_use":
		r.hosted(n, r.get(n, "input"), typ, "extension")
	case "function_call":
		r.call(r.get(n, "arguments"), r.get(n, "name"), r.callID(n), "function")
	case "custom_tool_call":
		r.call(r.get(n, "input"), r.get(n, "name"), r.callID(n), "custom")
	case "tool_result":
		r.result(n, r.get(n, "content"), "tool_use_id")
	case "function_call_output", "custom_tool_call_output", "local_shell_call_output", "shell_call_output",
		"apply_patch_call_output", "computer_call_output":
		r.result(n, r.get(n, "output"), "call_id")
	case "document", "search_result":
		r.document(n, typ)
	case "web_search_result":
		r.docs.add(steno.Document{
			ID: r.str(r.get(n, "url"), maxName), Title: r.str(r.get(n, "title"), maxTitle), Origin: "web_search",
		})
	case "message":
		r.content(r.get(n, "content"), origin, kind)
	default:
		if typ == "" && (r.geminiBlock(n, origin, kind) || r.converseBlock(n, origin, kind)) {
			return
		}
		if !r.mistralBlock(n, typ, origin, kind) && !r.serverResult(n, typ, origin, kind) && !r.mediaBlock(n, typ) && !r.hostedCall(n, typ) {
			r.anything(n, origin, kind, 0)
		}
	}
}

func (r *reader) callID(n int) int {
	if id := r.get(n, "call_id"); id != 0 {
		return id
	}
	return r.get(n, "id")
}

// hostedCall reads the items of the Responses API for tools that the provider runs, their results beside them.
func (r *reader) hostedCall(n int, typ string) bool {
	name, ok := strings.CutSuffix(typ, "_call")
	if !ok {
		return false
	}
	args := r.get(n, "arguments")
	for _, member := range [...]string{"action", "code", "queries", "input", "operation"} {
		if args == 0 {
			args = r.get(n, member)
		}
	}
	toolType := "extension"
	if name == "file_search" {
		toolType = "datastore"
	}
	r.hosted(n, args, name, toolType)
	if id := r.get(n, "call_id"); r.detail && id != 0 {
		r.items[len(r.items)-1].id = r.str(id, maxName)
	}
	for res := range r.elements(r.get(n, "results")) { // file_search_call
		r.docs.add(steno.Document{
			ID: r.str(r.get(res, "file_id"), maxName), Title: r.str(r.get(res, "filename"), maxTitle),
			Score: r.float(r.get(res, "score")), Origin: "file_search",
		})
		if r.shape(r.get(res, "text")) == text {
			r.add(r.get(res, "text"), item{kind: steno.KindContext, origin: "document"})
		}
	}
	for src := range r.elements(r.get(r.get(n, "action"), "sources")) { // web_search_call
		r.docs.add(steno.Document{ID: r.str(r.get(src, "url"), maxName), Origin: "web_search"})
	}
	r.content(r.get(n, "output"), "tool", steno.KindToolResult) // mcp_call
	for out := range r.elements(r.get(n, "outputs")) {          // code_interpreter_call
		r.words(r.get(out, "logs"), "tool", steno.KindToolResult)
	}
	r.media(r.get(n, "result"), "image") // image_generation_call
	return true
}

// document reads a document or search_result block.
func (r *reader) document(n int, typ string) {
	if d := r.get(n, "document"); r.shape(d) == object { // Cohere
		r.docs.add(steno.Document{ID: r.str(r.get(d, "id"), maxName), Title: r.str(r.get(d, "title"), maxTitle), Origin: "document"})
		r.anyValue(r.get(d, "data"), "document", steno.KindContext, 0)
		return
	}
	src := r.get(n, "source")
	doc := steno.Document{Title: r.str(r.get(n, "title"), maxTitle), Origin: "document"}
	if typ == "search_result" {
		doc.ID = r.str(src, maxName)
	} else {
		doc.ID = r.str(r.get(src, "file_id"), maxName)
		if doc.ID == "" {
			doc.ID = r.str(r.get(src, "url"), maxName)
		}
	}
	r.docs.add(doc)
	first := len(r.items)
	if r.shape(r.get(n, "context")) == text {
		r.add(r.get(n, "context"), item{kind: steno.KindContext, origin: "document"})
	}
	switch {
	case typ == "search_result":
		r.content(r.get(n, "content"), "document", steno.KindContext)
	case r.is(r.get(src, "type"), "text"):
		r.words(r.get(src, "data"), "document", steno.KindContext)
	case r.is(r.get(src, "type"), "content"):
		r.content(r.get(src, "content"), "document", steno.KindContext)
	default:
		r.mediaOf(src, "document", steno.KindContext)
	}
	if r.detail {
		if len(r.items) == first {
			r.add(0, item{kind: steno.KindContext})
		}
		r.items[first].doc = &doc
	}
}

// mediaBlock reads the blocks whose content is no words: images, audio, files.
func (r *reader) mediaBlock(n int, typ string) bool {
	switch typ {
	case "image":
		r.media(r.get(n, "source"), "image")
	case "image_base64", "video_base64", "video_url": // Voyage
		r.media(r.get(n, typ), typ[:len("image")])
	case "image_url", "input_image":
		v := r.get(n, "image_url")
		if r.shape(v) == object {
			v = r.get(v, "url")
		}
		if v == 0 {
			v = r.get(n, "file_id")
		}
		r.media(v, "image")
	case "input_audio", "output_audio", "audio":
		r.words(r.get(n, "transcript"), modelRole.origin(r.answer), steno.KindFrame)
		v := r.get(n, "input_audio")
		if v == 0 {
			v = n
		}
		r.media(r.get(v, "data"), "audio")
	case "file", "input_file":
		v := r.get(n, "file")
		if v == 0 {
			v = n
		}
		r.file(v)
	case "image_file": // of a thread
		r.media(r.get(r.get(n, typ), "file_id"), "image")
	case "computer_screenshot":
		r.media(r.get(n, "image_url"), "image")
	case "container_upload":
		r.file(n)
	case "item_reference", "compaction", "encrypted_content":
		r.media(n, typ)
	default:
		return false
	}
	return true
}

func (r *reader) file(n int) {
	doc := steno.Document{
		ID: r.str(r.get(n, "file_id"), maxName), Title: r.str(r.get(n, "filename"), maxTitle), Origin: "document",
	}
	if doc.ID == "" {
		doc.ID = r.str(r.get(n, "file_url"), maxName)
	}
	r.docs.add(doc)
	data := r.get(n, "file_data")
	if r.detail {
		r.add(0, item{kind: steno.KindContext, media: r.describe(data, "file"), doc: &doc})
	}
}

// media appends something that is shown by kind and size.
func (r *reader) media(n int, what string) { r.mediaOf(n, what, steno.KindFrame) }

func (r *reader) mediaOf(n int, what string, kind steno.Kind) {
	if r.detail && r.has(n) {
		r.add(0, item{kind: kind, media: r.describe(n, what)})
	}
}

// describe says what a piece of media is and how big, without any of it.
func (r *reader) describe(n int, what string) string {
	if r.shape(n) == object { // Anthropic's source
		switch {
		case r.has(r.get(n, "data")):
			if m := r.str(r.get(n, "media_type"), 64); m != "" {
				what = m
			}
			n = r.get(n, "data")
		case r.has(r.get(n, "url")):
			return what + " at " + r.str(r.get(n, "url"), 128)
		case r.has(r.get(n, "file_id")):
			return what + " in file " + r.str(r.get(n, "file_id"), 128)
		default:
			return what
		}
	}
	b := r.inner(n)
	if r.shape(n) != text {
		return what
	}
	if rest, ok := bytes.CutPrefix(b, []byte("data:")); ok {
		if typ, data, ok := bytes.Cut(rest, []byte(",")); ok {
			typ, _, _ = bytes.Cut(typ, []byte(";"))
			what, b = clip(typ, 64), data
		}
	} else if bytes.HasPrefix(b, []byte("http://")) || bytes.HasPrefix(b, []byte("https://")) {
		return what + " at " + clip(b, 128)
	} else if bytes.HasPrefix(b, []byte("file-")) || bytes.HasPrefix(b, []byte("file_")) {
		return what + " in file " + clip(b, 128)
	}
	return fmt.Sprintf("%s, %d bytes", what, base64.StdEncoding.DecodedLen(len(b))-bytes.Count(b[max(0, len(b)-2):], []byte("=")))
}

// anything gathers the words of a block that this version does not know, so that checks see them: all its texts but
// those under names that hold no words.
func (r *reader) anything(n int, origin string, kind steno.Kind, depth int) {
	if depth > 8 {
		r.add(n, item{kind: kind, origin: origin})
		return
	}
	for k, v := range r.members(n) {
		switch string(r.bytes(k)) {
		case "type", "id", "call_id", "tool_use_id", "status", "role", "data", "signature", "encrypted_content",
			"encrypted_stdout", "file_data", "media_type", "cache_control", "bytes", "bytesBase64Encoded":
			if r.shape(v) != object { // a document of Cohere's is no bytes
				continue
			}
		case "content":
			r.content(v, origin, kind)
			continue
		}
		r.anyValue(v, origin, kind, depth)
	}
}

func (r *reader) anyValue(v int, origin string, kind steno.Kind, depth int) {
	switch r.shape(v) {
	case text:
		r.words(v, origin, kind)
	case array:
		for el := range r.elements(v) {
			r.anyValue(el, origin, kind, depth+1)
		}
	case object:
		r.anything(v, origin, kind, depth+1)
	}
}
