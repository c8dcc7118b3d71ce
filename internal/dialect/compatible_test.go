package dialect

import (
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var (
	llamaText = Call{Dialect: OpenAI, API: "completion", Operation: "text_completion"}
	tgiText   = Call{Dialect: OpenAI, API: "generate", Operation: "text_completion"}
	ranking   = Call{Dialect: OpenAI, API: "rerank", Operation: "rerank"}
)

func init() {
	allCalls = append(allCalls, llamaText, tgiText, ranking, Call{Dialect: OpenAI, API: "classify", Operation: "classification"},
		Call{Dialect: OpenAI, API: "tokenize", Operation: "manage"}, Call{Dialect: OpenAI, API: "messages", Operation: "chat"})
	requestSeeds = append(requestSeeds,
		`{"input_prefix":"a","input_suffix":"b","input_extra":[{"filename":"f","text":"t"}],"prompt":"p","n_predict":2}`,
		`{"inputs":"p","parameters":{"max_new_tokens":2},"text_1":"a","text_2":["b"],"queries":["c"]}`,
		`{"content":"a","stop":true,"stopped_eos":true,"tokens_predicted":1,"timings":{"cache_n":1,"prompt_n":2,"predicted_n":3},"completion_probabilities":[{"logprob":-1}],"generated_text":"g","details":{"tokens":[{"logprob":-1}]},"token":{"text":"t"},"search_results":[{"url":"u"}],"citations":["c",1],"x_groq":{"error":1},"message":"m","detail":"d"}`,
		`{"choices":[{"delta":{"executed_tools":[{"type":"search","arguments":"{}","output":"o","search_results":{"results":[{"url":"u","score":1}]}},2]},"message":{"executed_tools":[{}]}}]}`,
	)
	add := func(name, held string, call Call, lines, words []string, want Response) {
		s := streams[0]
		s.name, s.call, s.held, s.body, s.words, s.want = name, call, held, events(lines...), words, want
		streams = append(streams, s)
	}
	add("llama.cpp's completion", `data: {"index":0,"content":"","tokens":[],"stop":true`, llamaText, []string{
		`{"index":0,"content":" the","tokens":[1],"stop":false,"id_slot":0,"completion_probabilities":[{"id":1,"token":" the","logprob":-0.5}]}`,
		`{"index":0,"content":" court","tokens":[2],"stop":false,"id_slot":0}`,
		`{"index":0,"content":"","tokens":[],"stop":true,"model":"m.gguf","tokens_predicted":2,"tokens_evaluated":9,"stop_type":"eos","stopping_word":"","tokens_cached":10,"timings":{"cache_n":4,"prompt_n":5,"predicted_n":2}}`,
	}, []string{"output  the court"}, Response{
		Result: steno.Result{
			End: steno.EndComplete, FinishReasons: []string{"eos"}, Usage: reported(9, 2, 4, -1, -1, -1),
			Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, Tokens: 1, By: "llama.cpp.logprobs"}, {Kind: "logprob_min", Value: -0.5, Tokens: 1, By: "llama.cpp.logprobs"}},
		},
		Model: steno.Model{Answered: "m.gguf"},
	})
	add("llama.cpp fails", `data: {"error"`, llamaText, []string{
		`{"content":"a","stop":false}`, `{"error":{"code":500,"message":"no slot","type":"server_error"}}`,
	}, []string{"output a"}, Response{Result: steno.Result{End: steno.EndErrorInAnswer, ErrorType: "server_error", Usage: partial(-1, -1, -1, -1, -1, -1)}})
	add("text generation inference", `data: {"index":3`, tgiText, []string{
		`{"index":1,"token":{"id":5,"text":"Good","logprob":-0.25,"special":false},"generated_text":null,"details":null}`,
		`{"index":2,"token":{"id":6,"text":" day","logprob":-0.75,"special":false},"generated_text":null,"details":null}`,
		`{"index":3,"token":{"id":2,"text":"</s>","special":true},"generated_text":"Good day","details":{"finish_reason":"eos_token","generated_tokens":3,"input_length":7,"seed":null}}`,
	}, []string{"output Good day"}, Response{Result: steno.Result{
		End: steno.EndComplete, FinishReasons: []string{"eos_token"}, Usage: reported(7, 3, -1, -1, -1, -1),
		Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, Tokens: 2, By: "tgi.logprobs"}, {Kind: "logprob_min", Value: -0.75, Tokens: 2, By: "tgi.logprobs"}},
	}})
	add("groq runs tools and counts in a member of its own", `data: [DONE]`, chat, []string{
		`{"id":"g","model":"groq/compound","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}],"x_groq":{"id":"req_1"}}`,
		`{"id":"g","model":"groq/compound","choices":[{"index":0,"delta":{"reasoning":"<tool>","executed_tools":[{"index":0,"type":"search","arguments":"{\"query\": \"rain\"}"}]},"finish_reason":null}]}`,
		`{"id":"g","model":"groq/compound","choices":[{"index":0,"delta":{"executed_tools":[{"index":0,"type":"search","arguments":"{\"query\": \"rain\"}","output":"it rains","search_results":{"results":[{"title":"Rain","url":"https://r.example","content":"x","score":0.5}]}}]},"finish_reason":null}]}`,
		`{"id":"g","model":"groq/compound","choices":[{"index":0,"delta":{"content":"It rains."},"finish_reason":null}]}`,
		`{"id":"g","model":"groq/compound","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"x_groq":{"id":"req_1","usage":{"queue_time":0.1,"prompt_tokens":30,"completion_tokens":4,"total_tokens":34}}}`,
		`[DONE]`,
	}, []string{"output <tool>", `output {"query": "rain"}`, "tool it rains", "output It rains."}, Response{
		Result: steno.Result{
			ID: "g", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(30, 4, -1, -1, -1, 34),
			ToolCalls: []steno.ToolCall{{Name: "search", Type: "extension"}},
		},
		Model:     steno.Model{Answered: "groq/compound"},
		Documents: []steno.Document{{ID: "https://r.example", Title: "Rain", Score: ptr(0.5), Origin: "web_search"}},
	})
	add("groq fails", `data: {"id":"g","choices":[],"x_groq":{"error"`, chat, []string{
		`{"id":"g","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`, `{"id":"g","choices":[],"x_groq":{"error":"over_capacity"}}`,
	}, []string{"output a"}, Response{Result: steno.Result{ID: "g", End: steno.EndErrorInAnswer, ErrorType: "error", Usage: &steno.Usage{Source: "absent"}}})
	add("deepseek thinks, and finds its prompt in its cache", `data: [DONE]`, chat, []string{
		`{"id":"d","model":"deepseek-reasoner","choices":[{"index":0,"delta":{"role":"assistant","content":null,"reasoning_content":"Hm"},"finish_reason":null}],"usage":null}`,
		`{"id":"d","model":"deepseek-reasoner","choices":[{"index":0,"delta":{"content":null,"reasoning_content":"."},"finish_reason":null}],"usage":null}`,
		`{"id":"d","model":"deepseek-reasoner","choices":[{"index":0,"delta":{"content":"Yes"},"finish_reason":null}],"usage":null}`,
		`{"id":"d","model":"deepseek-reasoner","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"completion_tokens_details":{"reasoning_tokens":2},"prompt_cache_hit_tokens":16,"prompt_cache_miss_tokens":4}}`,
		`[DONE]`,
	}, []string{"output Hm.", "output Yes"}, Response{
		Result: steno.Result{ID: "d", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(20, 5, 16, -1, 2, 25)},
		Model:  steno.Model{Answered: "deepseek-reasoner"},
	})
	add("llama.cpp's chat without usage, and pages that were found", `data: [DONE]`, chat, []string{
		`{"id":"l","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}],"citations":["https://c.example"],"search_results":[{"title":"C","url":"https://c.example","date":"2026-01-01"}]}`,
		`{"id":"l","model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"citations":["https://c.example"],"timings":{"cache_n":7,"prompt_n":1,"predicted_n":2}}`,
		`[DONE]`,
	}, []string{"output a"}, Response{
		Result:    steno.Result{ID: "l", End: steno.EndComplete, FinishReasons: []string{"stop"}, Usage: reported(8, 2, 7, -1, -1, -1)},
		Model:     steno.Model{Answered: "m"},
		Documents: []steno.Document{{ID: "https://c.example", Title: "C", Origin: "web_search"}, {ID: "https://c.example", Origin: "citation"}},
	})
	add("openrouter's provider breaks down", `data: {"id":"o","error"`, chat, []string{
		`{"id":"o","provider":"X","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"a","reasoning":"r"},"finish_reason":null}]}`,
		`{"id":"o","error":{"code":502,"message":"Upstream broke"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}`,
	}, []string{"output a", "output r"}, Response{
		Result: steno.Result{ID: "o", End: steno.EndErrorInAnswer, ErrorType: "502", Usage: &steno.Usage{Source: "absent"}},
		Model:  steno.Model{Answered: "m"},
	})
}

func TestCompatibleAnswers(t *testing.T) {
	route := func(path string) Call { return RouteAs(OpenAI, "POST", path) }
	for _, c := range []struct {
		name, body, words string
		call              Call
		status            int
		want              steno.Result
		docs              []steno.Document
	}{
		{
			name: "llama.cpp", call: route("/completion"), status: 200, words: "output  a",
			body: `{"index":0,"content":" a","stop":true,"model":"m","tokens_predicted":1,"tokens_evaluated":3,"stopped_eos":false,"stopped_limit":true,"timings":{"prompt_n":3,"predicted_n":1}}`,
			want: steno.Result{End: "complete", FinishReasons: []string{"limit"}, Usage: reported(3, 1, -1, -1, -1, -1)},
		},
		{
			name: "text generation inference", call: route("/generate"), status: 200, words: "output Good day",
			body: `{"generated_text":"Good day","details":{"finish_reason":"length","generated_tokens":2,"prefill":[],"tokens":[{"id":1,"text":"Good","logprob":-0.5}]}}`,
			want: steno.Result{
				End: "complete", FinishReasons: []string{"length"}, Usage: reported(-1, 2, -1, -1, -1, -1),
				Confidence: []steno.Confidence{{Kind: "logprob_mean", Value: -0.5, Tokens: 1, By: "tgi.logprobs"}, {Kind: "logprob_min", Value: -0.5, Tokens: 1, By: "tgi.logprobs"}},
			},
		},
		{
			name: "an order of Voyage's", call: route("/v1/rerank"), status: 200, words: "document found",
			body: `{"object":"list","data":[{"relevance_score":0.5,"index":1,"document":"found"}],"model":"rerank-2.5","usage":{"total_tokens":26}}`,
			want: steno.Result{End: "complete", Usage: reported(26, -1, -1, -1, -1, 26)},
			docs: []steno.Document{{ID: "document 1 of the prompt", Score: ptr(0.5), Origin: "rerank"}},
		},
		{
			name: "an order of vLLM's", call: route("/rerank"), status: 200, words: "document found",
			body: `{"id":"r","model":"m","usage":{"total_tokens":56},"results":[{"index":0,"document":{"text":"found"},"relevance_score":0.25}]}`,
			want: steno.Result{ID: "r", End: "complete", Usage: reported(56, -1, -1, -1, -1, 56)},
			docs: []steno.Document{{ID: "document 0 of the prompt", Score: ptr(0.25), Origin: "rerank"}},
		},
		{
			name: "a score", call: route("/v1/score"), status: 200,
			body: `{"id":"s","object":"list","model":"m","data":[{"index":0,"object":"score","score":0.75}],"usage":{"prompt_tokens":9,"total_tokens":9,"completion_tokens":0}}`,
			want: steno.Result{ID: "s", End: "complete", Usage: reported(9, 0, -1, -1, -1, 9)},
			docs: []steno.Document{{ID: "document 0 of the prompt", Score: ptr(0.75), Origin: "rerank"}},
		},
		{
			name: "a class", call: route("/classify"), status: 200, words: "output spam",
			body: `{"id":"k","object":"list","model":"m","data":[{"index":0,"label":"spam","probs":[0.9,0.1],"num_classes":2}],"usage":{"prompt_tokens":4,"total_tokens":4}}`,
			want: steno.Result{ID: "k", End: "complete", Usage: reported(4, -1, -1, -1, -1, 4)},
		},
		{
			name: "vectors of Voyage's", call: route("/v1/contextualizedembeddings"), status: 200,
			body: `{"object":"list","data":[{"object":"list","data":[{"object":"embedding","embedding":[0.1],"index":0}],"index":0}],"model":"voyage-context-3","usage":{"total_tokens":8}}`,
			want: steno.Result{End: "complete", Usage: reported(8, -1, -1, -1, -1, 8)},
		},
		{name: "tokens", call: route("/tokenize"), status: 200, body: `{"count":2,"max_model_len":4096,"tokens":[1,2]}`, want: steno.Result{End: "complete"}},
		{name: "text of tokens", call: route("/v1/detokenize"), status: 200, body: `{"prompt":"ab"}`, want: steno.Result{End: "complete"}},
		{
			name: "Messages on a compatible server", call: route("/anthropic/v1/messages"), status: 200, words: "output a",
			body: `{"id":"m","type":"message","role":"assistant","model":"deepseek-chat","content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"cache_read_input_tokens":3}}`,
			want: steno.Result{ID: "m", End: "complete", FinishReasons: []string{"end_turn"}, Usage: reported(4, 2, 3, -1, -1, -1)},
		},
		{
			name: "tools that Groq ran", call: chat, status: 200, words: "output It rains.|output {}|tool out",
			body: `{"id":"g","model":"groq/compound","choices":[{"index":0,"message":{"role":"assistant","content":"It rains.","executed_tools":[{"index":0,"type":"python","arguments":"{}","output":"out","search_results":{"results":[]}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3},"x_groq":{"id":"req_1"}}`,
			want: steno.Result{ID: "g", End: "complete", FinishReasons: []string{"stop"}, Usage: reported(1, 2, -1, -1, -1, 3), ToolCalls: []steno.ToolCall{{Name: "python", Type: "extension"}}},
		},
		{name: "an error of vLLM's", call: chat, status: 400, body: `{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}`, want: steno.Result{End: "provider_error", ErrorType: "BadRequestError"}},
		{name: "an error of a gate", call: embed, status: 401, body: `{"detail":"Provided API key is invalid."}`, want: steno.Result{End: "provider_error", ErrorType: "401"}},
		{name: "an error of Azure's gate", call: azureChat, status: 429, body: `{"statusCode":429,"message":"Rate limit is exceeded."}`, want: steno.Result{End: "provider_error", ErrorType: "429"}},
		{name: "a number for an error", call: chat, status: 200, body: `{"error":{"code":402,"message":"no credits"}}`, want: steno.Result{End: "error_in_answer", ErrorType: "402"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.call.ParseResponse(c.status, plainJSON, []byte(c.body), false)
			c.want.Status, c.want.Bytes = c.status, int64(len(c.body))
			if c.want.Usage == nil && c.call.Generates() {
				c.want.Usage = &steno.Usage{Source: "absent"}
			}
			if !r.Understood || r.Problem != "" || !reflect.DeepEqual(r.Result, c.want) {
				t.Errorf("%q %s\nwant %s", r.Problem, asJSON(r.Result), asJSON(c.want))
			}
			equal(t, "words", strings.Join(said([]byte(c.body), r.Texts), "|"), c.words)
			if !reflect.DeepEqual(r.Documents, c.docs) {
				t.Errorf("documents are %s", asJSON(r.Documents))
			}
		})
	}
}

// Whatever stands before the version, or in its place, a path is the same call; what is none of these is not understood.
func TestCompatibleCalls(t *testing.T) {
	for _, path := range []string{
		"/v1/chat/completions", "/chat/completions", "/openai/v1/chat/completions", "/api/v1/chat/completions", "/inference/v1/chat/completions",
		"/beta/chat/completions", "/beta/v1/chat/completions", "/v1/chat", "/compatible-mode/v1/chat/completions",
	} {
		if got := RouteAs(OpenAI, "POST", path); got != chat {
			t.Errorf("%s is %+v", path, got)
		}
	}
	for path, want := range map[string]Call{
		"/beta/completions":               complete,
		"/v1/multimodalembeddings":        embed,
		"/completion":                     llamaText,
		"/infill":                         llamaText,
		"/generate_stream":                tgiText,
		"/anthropic/v1/messages":          {Dialect: OpenAI, API: "messages", Operation: "chat"},
		"/api/v1/messages/count_tokens":   {Dialect: OpenAI, API: "count_tokens", Operation: "count_tokens"},
		"/openai/v1/audio/transcriptions": {Dialect: OpenAI, API: "transcriptions", Operation: "transcription"},
		"/query":                          {Dialect: OpenAI}, // a vector database
		"/slots/0":                        {Dialect: OpenAI},
	} {
		if got := RouteAs(OpenAI, "POST", path); got != want {
			t.Errorf("%s is %+v, want %+v", path, got, want)
		}
	}
}

func TestCompatibleRequests(t *testing.T) {
	for _, c := range []struct {
		call        Call
		body, texts string
	}{
		{llamaText, `{"input_prefix":"def f(","input_suffix":"return","input_extra":[{"filename":"a.py","text":"x = 1"}],"prompt":"go on"}`, "user true def f(\nuser true return\ndocument true a.py\ndocument true x = 1\nuser true go on"},
		{tgiText, `{"inputs":"go on","parameters":{"max_new_tokens":20}}`, "user true go on"},
		{ranking, `{"model":"m","text_1":"who","text_2":["a","b"]}`, "user true who\nuser true a\nuser true b"},
		{embed, `{"model":"voyage-multimodal-3","inputs":[{"content":[{"type":"text","text":"a"},{"type":"image_base64","image_base64":"data:image/png;base64,QUJD"}]}]}`, "user true a"},
	} {
		r := parse(t, c.call, c.body)
		equal(t, c.body, words([]byte(c.body), r.Texts), c.texts)
	}
}
