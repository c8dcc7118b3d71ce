package dialect

import (
	"strings"

	"github.com/steno-audit/steno"
)

// serverResult reads what a tool gave back that Anthropic ran itself: each has a block with the tool's name, and in it an
// object of the tool's own.
func (r *reader) serverResult(n int, typ, origin string, kind steno.Kind) bool {
	switch {
	case strings.HasSuffix(typ, "_tool_result"):
		r.result(n, r.get(n, "content"), "tool_use_id")
	case strings.HasSuffix(typ, "_tool_result_error"):
		r.words(r.get(n, "error_code"), "tool", steno.KindToolResult)
	case strings.HasSuffix(typ, "code_execution_result"): // with bash_ before it, or not
		r.words(r.get(n, "stdout"), "tool", steno.KindToolResult)
		r.words(r.get(n, "stderr"), "tool", steno.KindToolResult)
		for f := range r.elements(r.get(n, "content")) {
			r.mediaOf(r.get(f, "file_id"), "file", steno.KindToolResult)
		}
	case strings.HasPrefix(typ, "text_editor_code_execution_"):
		r.words(r.get(n, "content"), "tool", steno.KindToolResult)
		r.content(r.get(n, "lines"), "tool", steno.KindToolResult)
	case typ == "tool_search_tool_search_result":
		r.content(r.get(n, "tool_references"), "tool", steno.KindToolResult)
	case typ == "tool_reference":
		r.words(r.get(n, "tool_name"), "tool", steno.KindToolResult)
	case typ == "web_fetch_result":
		r.fetched(n)
	case typ == "compaction" && r.get(n, "encrypted_content") == 0: // what was said before, in short
		r.words(r.get(n, "content"), origin, kind)
	default:
		return false
	}
	return true
}

// fetched reads a page that was fetched: a document under its address.
func (r *reader) fetched(n int) {
	in := r.get(n, "content")
	doc := steno.Document{ID: r.str(r.get(n, "url"), maxName), Title: r.str(r.get(in, "title"), maxTitle), Origin: "web_fetch"}
	r.docs.add(doc)
	first := len(r.items)
	if src := r.get(in, "source"); r.is(r.get(src, "type"), "text") {
		r.words(r.get(src, "data"), "document", steno.KindContext)
	} else {
		r.mediaOf(src, "document", steno.KindContext)
	}
	if r.detail && len(r.items) > first {
		r.items[first].doc = &doc
	}
}

// batched reads a request of a batch: its parameters are a call of their own.
func (r *reader) batched(n int) bool {
	params := r.get(n, "params")
	if r.get(n, "custom_id") == 0 || r.shape(params) != object {
		return false
	}
	r.content(r.get(params, "system"), "system", steno.KindSystem)
	for m := range r.elements(r.get(params, "messages")) {
		r.message(m)
	}
	return true
}
