package dialect

import (
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/steno-audit/steno"
)

// gemini is the grammar of Google's models on the Gemini API and on Vertex AI, which differ in their paths. A Vertex path may
// name another publisher's model, and both have an OpenAI-compatible side: those calls speak their own grammar.
type gemini struct{}

// geminiAPIs are the APIs that are Google's own.
var geminiAPIs = map[string]bool{
	"": true, "generate_content": true, "count_tokens": true, "embed_content": true, "batch_embed_contents": true, "predict": true,
	"predict_long_running": true, "batch_generate_content": true, "models": true, "google_resource": true,
}

// google is the grammar of a call whose dialect is Gemini.
func (c Call) google() grammar {
	switch {
	case c.API == "messages":
		return anthropic{}
	case geminiAPIs[c.API]:
		return gemini{}
	}
	return openAI{}
}

func (gemini) call(c *Call, method, path string) {
	path = googlePath(path)
	if rest, ok := strings.CutPrefix(path, "openai/"); ok {
		openAI{}.call(c, method, "/v1/"+rest)
		return
	}
	if _, rest, ok := strings.Cut(path, "/endpoints/"); ok {
		if id, rest, ok := strings.Cut(rest, "/"); ok {
			openAI{}.call(c, method, "/v1/"+rest)
			if id != "openapi" {
				c.Model = "endpoints/" + id
			}
			return
		}
	}
	if method == http.MethodPost {
		if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
			c.verb(path[:i], path[i+1:])
			return
		}
	}
	switch {
	case method == http.MethodGet && isGoogleModel(path) && !strings.Contains(path, "/operations/"):
		c.API, c.Operation = "models", "models"
	case isResource(path):
		c.API, c.Operation = "google_resource", "manage"
	}
}

// googlePath is a path without the version before it, escapes undone: a model may have an @ in its name.
func googlePath(path string) string {
	if p, err := url.PathUnescape(path); err == nil {
		path = p
	}
	path = strings.Trim(path, "/")
	if first, rest, ok := strings.Cut(path, "/"); ok && len(first) > 1 && first[0] == 'v' && first[1]-'0' < 10 {
		return rest
	}
	return path
}

// verb reads a call by what is asked of a model, a tuned model or an endpoint.
func (c *Call) verb(resource, verb string) {
	c.Model = googleModel(resource)
	switch verb {
	case "generateContent":
		c.API, c.Operation = "generate_content", "generate_content"
	case "streamGenerateContent":
		c.API, c.Operation, c.Stream = "generate_content", "generate_content", true
	case "countTokens", "computeTokens":
		c.API, c.Operation = "count_tokens", "count_tokens"
	case "embedContent":
		c.API, c.Operation = "embed_content", "embeddings"
	case "batchEmbedContents":
		c.API, c.Operation = "batch_embed_contents", "embeddings"
	case "predict":
		c.API, c.Operation = "predict", "generate_content"
		if strings.Contains(c.Model, "embed") {
			c.Operation = "embeddings"
		}
	case "predictLongRunning":
		c.API, c.Operation = "predict_long_running", "generate_content"
	case "batchGenerateContent", "asyncBatchEmbedContent":
		c.API, c.Operation = "batch_generate_content", "manage"
	case "fetchPredictOperation", "cancel":
		c.API, c.Operation = "google_resource", "manage"
	case "rawPredict", "streamRawPredict":
		c.partner(resource)
		c.Stream = c.API != "" && verb == "streamRawPredict"
	}
}

// partner reads a call of a model that Vertex AI hosts for its publisher, whose own format it speaks.
func (c *Call) partner(resource string) {
	_, publisher, _ := strings.Cut("/"+resource, "/publishers/")
	publisher, _, _ = strings.Cut(publisher, "/")
	switch {
	case publisher == "anthropic" && c.Model == "count-tokens":
		c.API, c.Operation, c.Model = "count_tokens", "count_tokens", "" // the body names the model
	case publisher == "anthropic":
		c.API, c.Operation = "messages", "chat"
	case publisher == "mistralai", publisher == "ai21", publisher == "meta":
		c.API, c.Operation = "chat_completions", "chat"
	}
}

// googleModel is the model that a resource is. What is not a model of the provider's keeps the word that says so.
func googleModel(resource string) string {
	for _, collection := range [...]string{"/models/", "/tunedModels/", "/endpoints/"} {
		if _, id, ok := strings.Cut("/"+resource, collection); ok {
			if collection != "/models/" {
				id = collection[1:] + id
			}
			return clip([]byte(id), maxName)
		}
	}
	return ""
}

func isGoogleModel(path string) bool {
	return path == "models" || strings.HasPrefix(path, "models/") || strings.HasPrefix(path, "publishers/") && strings.Contains(path, "/models")
}

// resources are the collections of things that Google keeps for a caller, in the places where a path has a collection.
var resources = map[string]bool{
	"cachedContents": true, "files": true, "batches": true, "tunedModels": true, "operations": true, "fileSearchStores": true, "corpora": true,
	"tuningJobs": true, "batchPredictionJobs": true, "ragCorpora": true, "models": true, "endpoints": true, "datasets": true,
}

func isResource(path string) bool {
	if rest, ok := strings.CutPrefix(path, "projects/"); ok {
		_, rest, _ = strings.Cut(rest, "/locations/")
		_, path, _ = strings.Cut(rest, "/")
	}
	first, _, _ := strings.Cut(path, "/")
	return resources[first] || strings.Contains(path, "/operations/")
}

// isGemini says whether a call is one of Google's that no other dialect has.
func isGemini(method, path string) bool {
	first, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if strings.HasPrefix(first, "v1beta") || strings.HasPrefix(first, "v1alpha") {
		return true
	}
	if first != "v1" {
		return false
	}
	if strings.HasPrefix(rest, "models/") { // OpenAI has these too, but asks nothing of them
		c := RouteAs(Gemini, method, path)
		return c.Model != "" && c.API != ""
	}
	return strings.HasPrefix(rest, "projects/") || strings.HasPrefix(rest, "publishers/") || strings.HasPrefix(rest, "tunedModels/")
}

func (gemini) refusal(status int, code, message string) any {
	type info struct {
		Type   string `json:"@type"`
		Reason string `json:"reason"`
		Domain string `json:"domain"`
	}
	type detail struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  string `json:"status"`
		Details []info `json:"details"`
	}
	return struct {
		Error detail `json:"error"`
	}{detail{status, message, googleStatus(status), []info{{"type.googleapis.com/google.rpc.ErrorInfo", code, "steno"}}}}
}

// googleStatus is the name that Google gives to an HTTP status.
func googleStatus(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	}
	if status >= 500 {
		return "INTERNAL"
	}
	return "INVALID_ARGUMENT"
}

// either finds a member under one of its two names: Google takes camel and snake case.
func (t *tape) either(n int, camel, snake string) int {
	if v := t.get(n, camel); v != 0 {
		return v
	}
	return t.get(n, snake)
}

// one goes through the elements of an array, or gives the value itself: Google takes one for a list of one.
func (t *tape) one(n int) iter.Seq[int] {
	if t.shape(n) == array {
		return t.elements(n)
	}
	return func(yield func(int) bool) {
		if t.has(n) {
			yield(n)
		}
	}
}

// geminiBlock reads what has no type, as parts of a content have none, nor contents, nor requests inside another. It says
// whether n is one of them.
func (r *reader) geminiBlock(n int, origin string, kind steno.Kind) bool {
	if parts := r.get(n, "parts"); r.has(parts) {
		r.geminiParts(parts, origin, kind)
		return true
	}
	if r.geminiPart(n, origin, kind) {
		return true
	}
	content, contents, request := r.get(n, "content"), r.get(n, "contents"), r.get(n, "request")
	if batch := r.get(r.get(r.either(n, "inputConfig", "input_config"), "requests"), "requests"); r.shape(batch) == array {
		r.content(batch, origin, kind)
		return true
	}
	if !r.has(r.get(content, "parts")) && !r.has(contents) && !r.has(r.get(request, "contents")) && !r.has(r.get(request, "content")) {
		return false
	}
	r.content(r.either(n, "systemInstruction", "system_instruction"), "system", steno.KindSystem)
	r.words(r.get(n, "title"), origin, kind)
	for _, v := range [...]int{content, contents, request} {
		r.content(v, origin, kind)
	}
	return true
}

func (r *reader) geminiParts(n int, origin string, kind steno.Kind) {
	for part := range r.one(n) {
		if r.shape(part) == text {
			r.words(part, origin, kind)
		} else {
			r.block(part, origin, kind)
		}
	}
}

// geminiKinds are the members of a part that say what it is; the second name is in snake case, where that is another.
var geminiKinds = [...]struct{ camel, snake string }{
	{"text", "text"},
	{"functionCall", "function_call"},
	{"functionResponse", "function_response"},
	{"inlineData", "inline_data"},
	{"fileData", "file_data"},
	{"executableCode", "executable_code"},
	{"codeExecutionResult", "code_execution_result"},
	{"toolCall", "tool_call"},
	{"toolResponse", "tool_response"},
	{"thoughtSignature", "thought_signature"},
}

// geminiPart reads a part: an object with one member that says what it is, and some beside it.
func (r *reader) geminiPart(n int, origin string, kind steno.Kind) bool {
	is := false
	for _, k := range geminiKinds {
		is = is || r.either(n, k.camel, k.snake) != 0
	}
	if !is {
		return false
	}
	if r.shape(r.get(n, "thought")) == yes {
		kind = steno.KindReasoning
	}
	for k, v := range r.members(n) {
		switch name := string(r.bytes(k)); name {
		case "text":
			r.words(v, origin, kind)
		case "functionCall", "function_call":
			r.call(r.get(v, "args"), r.get(v, "name"), r.get(v, "id"), "function")
		case "functionResponse", "function_response":
			r.geminiResult(v, r.str(r.get(v, "name"), maxName))
		case "inlineData", "inline_data":
			r.geminiMedia(v, kind)
		case "fileData", "file_data":
			r.geminiFile(v)
		case "executableCode", "executable_code":
			r.hosted(v, r.get(v, "code"), "code_execution", "extension")
		case "codeExecutionResult", "code_execution_result":
			r.words(r.get(v, "output"), "tool", steno.KindToolResult)
		case "toolCall", "tool_call":
			r.hosted(v, r.get(v, "args"), r.hostedName(v), "extension")
		case "toolResponse", "tool_response":
			r.geminiResult(v, r.hostedName(v))
		case "thought", "thoughtSignature", "thought_signature", "videoMetadata", "video_metadata", "mediaResolution", "media_resolution":
		default: // checks see what this version does not know
			r.anyValue(v, origin, kind, 0)
		}
	}
	return true
}

// hostedName is the name of a tool that Google runs: GOOGLE_SEARCH_WEB and the like.
func (r *reader) hostedName(n int) string {
	return strings.ToLower(r.str(r.either(n, "toolType", "tool_type"), maxName))
}

// geminiResult reads what a tool gave back: an object, often with nothing but one text in it.
func (r *reader) geminiResult(n int, name string) {
	first := len(r.items)
	answer := r.get(n, "response")
	if words := r.sole(answer); words != 0 {
		r.words(words, "tool", steno.KindToolResult)
	} else if r.has(answer) {
		r.add(answer, item{kind: steno.KindToolResult, origin: "tool"})
		r.docs.fromToolText(r.raw(answer))
	}
	for part := range r.one(r.get(n, "parts")) {
		r.block(part, "tool", steno.KindToolResult)
	}
	if !r.detail {
		return
	}
	if len(r.items) == first {
		r.add(0, item{kind: steno.KindToolResult})
	}
	for i := first; i < len(r.items); i++ {
		r.items[i].name, r.items[i].id = name, r.str(r.get(n, "id"), maxName)
	}
}

// sole is the text that is all there is in an object, 0 if there is anything else.
func (r *reader) sole(n int) int {
	found := 0
	for _, v := range r.members(n) {
		if found != 0 || r.shape(v) != text {
			return 0
		}
		found = v
	}
	return found
}

// geminiMedia reads an image, audio, video or document in the body itself.
func (r *reader) geminiMedia(n int, kind steno.Kind) {
	what := r.mediaType(n)
	doc := steno.Document{Title: r.str(r.either(n, "displayName", "display_name"), maxTitle), Origin: "document"}
	r.docs.add(doc)
	if !r.detail {
		return
	}
	it := item{kind: kind, media: r.describe(r.get(n, "data"), what)}
	if doc.Title != "" {
		it.doc = &doc
	}
	r.add(0, it)
}

// geminiFile reads a reference to a file that Google has, or is to fetch.
func (r *reader) geminiFile(n int) {
	doc := steno.Document{
		ID:    r.str(r.either(n, "fileUri", "file_uri"), maxName),
		Title: r.str(r.either(n, "displayName", "display_name"), maxTitle), Origin: "document",
	}
	r.docs.add(doc)
	if r.detail {
		r.add(0, item{kind: steno.KindContext, media: r.mediaType(n) + " at " + doc.ID, doc: &doc})
	}
}

func (r *reader) mediaType(n int) string {
	if m := r.str(r.either(n, "mimeType", "mime_type"), 64); m != "" {
		return m
	}
	return "file"
}

// isGeminiDocument says whether a part is a document in the body, and not something to look at or to listen to.
func (r *reader) isGeminiDocument(n int) bool {
	what := r.bytes(r.either(r.either(n, "inlineData", "inline_data"), "mimeType", "mime_type"))
	kind, _, _ := strings.Cut(string(what), "/")
	return kind == "application" || kind == "text"
}

// An offer is a tool that is offered, and where it is defined.
type offer struct {
	name string
	node int
}

// offers are the tools in an element of a request's tools: mostly one; Gemini has the functions of an element in a list, and
// what Google itself runs as members beside it.
func (t *tape) offers(n int) []offer {
	if t.get(n, "name") != 0 || t.get(n, "type") != 0 || t.shape(n) != object {
		return []offer{{t.toolName(n), n}}
	}
	var out []offer
	for k, v := range t.members(n) {
		switch name := t.str(k, maxName); name {
		case "functionDeclarations", "function_declarations":
			for f := range t.one(v) {
				out = append(out, offer{t.toolName(f), f})
			}
		case "googleSearch", "google_search", "googleSearchRetrieval", "google_search_retrieval", "codeExecution", "code_execution", "urlContext",
			"url_context", "retrieval", "computerUse", "computer_use", "fileSearch", "file_search", "googleMaps", "google_maps",
			"enterpriseWebSearch", "enterprise_web_search":
			out = append(out, offer{name, v})
		}
	}
	if out == nil {
		return []offer{{t.toolName(n), n}}
	}
	return out
}
