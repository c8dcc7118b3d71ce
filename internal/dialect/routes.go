package dialect

import "strings"

// A route is a method and a path that stand for a call. In the path * is one segment and ** are those that are left, or
// none; no method is every method.
type route struct{ method, path, api, operation string }

// routed is the call of the first route that fits.
func routed(routes []route, method, path string) (api, operation string) {
	for i := range routes {
		if r := &routes[i]; (r.method == "" || r.method == method) && r.fits(path) {
			return r.api, r.operation
		}
	}
	return "", ""
}

func (r *route) fits(path string) bool {
	pattern := r.path
	for {
		want, more, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/")
		if want == "**" {
			return true
		}
		got, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		if got == "" || want == "" {
			return got == want
		}
		if want != "*" && want != got {
			return false
		}
		pattern, path = more, rest
	}
}

// openAIRoutes are OpenAI's: what makes models speak, and what keeps files, batches, vector stores, fine-tunes, assistants,
// their threads, and answers that were stored.
var openAIRoutes = []route{
	{"POST", "/chat/completions", "chat_completions", "chat"},
	{"POST", "/chat", "chat_completions", "chat"}, // Writer
	{"POST", "/completions", "completions", "text_completion"},
	{"POST", "/responses", "responses", "chat"},
	{"POST", "/responses/compact", "responses", "chat"},
	{"POST", "/responses/input_tokens", "input_tokens", "count_tokens"},
	// A background response is asked for again, or cancelled, by its id; its usage may be seen more than once.
	{"GET", "/responses/*", "responses", "retrieve"},
	{"POST", "/responses/*/cancel", "responses", "retrieve"},
	{"POST", "/embeddings", "embeddings", "embeddings"},
	{"POST", "/rerank", "rerank", "rerank"}, // Voyage, Jina, vLLM
	{"POST", "/images/*", "images", "image_generation"},
	{"POST", "/videos", "videos", "video_generation"},
	{"POST", "/videos/*/remix", "videos", "video_generation"},
	{"GET", "/videos/*/content", "file_content", "manage"},
	{"POST", "/audio/speech", "speech", "speech"},
	{"POST", "/audio/transcriptions", "transcriptions", "transcription"},
	{"POST", "/audio/translations", "transcriptions", "translation"},
	{"POST", "/moderations", "moderations", "moderation"},
	{"GET", "/models/**", "models", "models"},
	{"DELETE", "/models/**", "models", "manage"},
	{"GET", "/files/*/content", "file_content", "manage"},
	{"GET", "/containers/*/files/*/content", "file_content", "manage"},
	{"POST", "/vector_stores/*/search", "vector_store_search", "retrieval"},
	// A run makes the model speak, and is asked for until it has.
	{"POST", "/threads/runs", "runs", "invoke_agent"},
	{"POST", "/threads/*/runs", "runs", "invoke_agent"},
	{"POST", "/threads/*/runs/*/submit_tool_outputs", "runs", "invoke_agent"},
	{"POST", "/threads/*/runs/*/cancel", "runs", "retrieve"},
	{"GET", "/threads/*/runs/*", "runs", "retrieve"},
	{"", "/responses/**", "stored", "manage"},
	{"", "/chat/completions/**", "stored", "manage"},
	{"", "/conversations/**", "conversations", "manage"},
	{"", "/threads/**", "threads", "manage"},
	{"", "/assistants/**", "assistants", "manage"},
	{"", "/files/**", "files", "manage"},
	{"", "/uploads/**", "uploads", "manage"},
	{"", "/batches/**", "batches", "manage"},
	{"", "/vector_stores/**", "vector_stores", "manage"},
	{"", "/fine_tuning/**", "fine_tuning", "manage"},
	{"", "/evals/**", "evals", "manage"},
	{"", "/containers/**", "containers", "manage"},
	{"", "/videos/**", "videos", "manage"},
}

// anthropicRoutes are Anthropic's.
var anthropicRoutes = []route{
	{"POST", "/messages", "messages", "chat"},
	{"POST", "/messages/count_tokens", "count_tokens", "count_tokens"},
	{"POST", "/complete", "complete", "text_completion"},
	{"GET", "/models/**", "models", "models"},
	{"GET", "/messages/batches/*/results", "batch_results", "retrieve"},
	{"", "/messages/batches/**", "message_batches", "manage"},
	{"GET", "/files/*/content", "file_content", "manage"},
	{"", "/files/**", "files", "manage"},
	{"", "/skills/**", "skills", "manage"},
}
