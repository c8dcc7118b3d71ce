package dialect

import (
	"fmt"

	"github.com/steno-audit/steno"
)

// Limits on what is read of retrieved documents.
const (
	maxDocuments = 128     // in one call
	maxToolText  = 1 << 20 // bytes of a tool's answer that is looked into
)

// documents gathers the documents of a call, each once.
type documents struct {
	list []steno.Document
}

// add appends a document that has a name of any kind and is not there yet.
func (d *documents) add(doc steno.Document) {
	if d == nil || doc.ID == "" && doc.Title == "" || len(d.list) >= maxDocuments {
		return
	}
	for _, have := range d.list {
		if have.ID == doc.ID && have.Title == doc.Title && have.Chunk == doc.Chunk && have.Origin == doc.Origin {
			return
		}
	}
	d.list = append(d.list, doc)
}

// Names under which retrieval tools and vector stores give the parts of a hit. The first that is there counts.
var (
	hitLists    = []string{"results", "documents", "docs", "chunks", "matches", "hits", "data", "items", "sources", "passages", "points", "value"}
	hitInside   = []string{"metadata", "payload", "_source", "document", "fields"}
	hitID       = []string{"id", "document_id", "doc_id", "documentId", "docId", "_id", "file_id", "uuid", "source", "url", "uri", "link", "path"}
	hitVersion  = []string{"version", "document_version", "revision", "etag"}
	hitTitle    = []string{"title", "name", "filename", "file_name"}
	hitIndex    = []string{"index", "index_name", "_index", "collection", "namespace", "vector_store_id"}
	hitVector   = []string{"vector_id", "vectorId", "embedding_id", "point_id"}
	hitChunk    = []string{"chunk_id", "chunkId", "chunk_index", "chunk", "page"}
	hitScore    = []string{"score", "similarity", "relevance_score", "relevance", "_score", "@search.score", "certainty", "distance"}
	hitHash     = []string{"hash", "sha256", "content_hash", "checksum", "digest"}
	hitText     = []string{"text", "content", "page_content", "pageContent", "passage", "snippet", "excerpt", "chunk_text", "body"}
	maxHitChunk = 64
)

// fromToolText looks for documents in what a tool gave back. Retrieval tools answer with JSON: a list of objects that
// have an id or a title, and a text or a score. Anything else is left alone.
func (d *documents) fromToolText(words []byte) {
	if d == nil || len(words) > maxToolText || len(d.list) >= maxDocuments {
		return
	}
	for len(words) > 0 && (words[0] == ' ' || words[0] == '\n' || words[0] == '\t' || words[0] == '\r') {
		words = words[1:]
	}
	if len(words) == 0 || words[0] != '{' && words[0] != '[' {
		return
	}
	t := newTape()
	defer t.free()
	if t.parse(words) < 0 {
		return
	}
	d.fromHits(t, root, "tool_message")
}

// fromHits reads a list of hits, an object that has such a list, or one hit.
func (d *documents) fromHits(t *tape, n int, origin string) {
	if t.shape(n) == array {
		for el := range t.elements(n) {
			d.fromHit(t, el, origin)
		}
		return
	}
	before := len(d.list)
	for _, name := range hitLists {
		v := t.get(n, name)
		if t.shape(v) == object { // Elasticsearch has hits.hits
			v = t.get(v, "hits")
		}
		for el := range t.elements(v) {
			d.fromHit(t, el, origin)
		}
		if len(d.list) > before {
			return
		}
	}
	d.fromHit(t, n, origin)
}

func (d *documents) fromHit(t *tape, n int, origin string) {
	if t.shape(n) != object {
		return
	}
	in := []int{n}
	for _, name := range hitInside {
		if v := t.get(n, name); t.shape(v) == object {
			in = append(in, v)
		}
	}
	find := func(names []string, shapes ...shape) int {
		for _, o := range in {
			for _, name := range names {
				v := t.get(o, name)
				for _, s := range shapes {
					if t.shape(v) == s {
						return v
					}
				}
			}
		}
		return 0
	}
	str := func(names []string, limit int) string {
		v := find(names, text, number)
		if t.shape(v) == number {
			return clip(t.inner(v), limit)
		}
		return t.str(v, limit)
	}
	doc := steno.Document{
		ID: str(hitID, maxName), Version: str(hitVersion, maxName), Title: str(hitTitle, maxTitle), Index: str(hitIndex, maxName),
		VectorID: str(hitVector, maxName), Hash: str(hitHash, maxName), Score: t.float(find(hitScore, number)), Origin: origin,
	}
	// "chunk" is an id in some stores and the words themselves in others: words never become metadata.
	if c := find(hitChunk, text, number); c != 0 && len(t.inner(c)) <= maxHitChunk {
		doc.Chunk = str(hitChunk, maxHitChunk)
	}
	hasText := find(hitText, text) != 0 || doc.Chunk == "" && find(hitChunk, text) != 0
	if doc.Score != nil || hasText {
		d.add(doc)
	}
}

// citations reads the citations or annotations of an answer's text.
func (r *reader) citations(n int) {
	if !r.answer || r.docs == nil {
		return
	}
	for c := range r.elements(n) {
		r.citation(c)
	}
}

func (r *reader) citation(c int) {
	for _, name := range [...]string{"url_citation", "file_citation", "file_path"} { // chat completions and threads nest it
		if v := r.get(c, name); r.shape(v) == object {
			c = v
			break
		}
	}
	doc := steno.Document{Origin: "citation"}
	for _, name := range [...]string{"file_id", "source", "url"} {
		if doc.ID == "" {
			doc.ID = r.str(r.get(c, name), maxName)
		}
	}
	for _, name := range [...]string{"document_title", "title", "filename"} {
		if doc.Title == "" {
			doc.Title = r.str(r.get(c, name), maxTitle)
		}
	}
	if i := r.integer(r.get(c, "document_index")); i != nil && doc.ID == "" && doc.Title == "" {
		doc.ID = fmt.Sprintf("document %d of the prompt", *i)
	}
	for _, unit := range [...]string{"char", "page", "block"} {
		from, to := r.integer(r.get(c, "start_"+unit+"_index")), r.integer(r.get(c, "end_"+unit+"_index"))
		if unit == "page" {
			from, to = r.integer(r.get(c, "start_page_number")), r.integer(r.get(c, "end_page_number"))
		}
		if from != nil && to != nil {
			doc.Chunk = fmt.Sprintf("%s %d-%d", unit, *from, *to)
		}
	}
	r.docs.add(doc)
}
