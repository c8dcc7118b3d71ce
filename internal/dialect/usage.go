package dialect

import "github.com/steno-audit/steno"

// usage gathers the token counts of an answer. Streams report them more than once; the last one counts.
type usage struct {
	input, output, cacheRead, cacheWrite, reasoning, total *int64

	excluding bool // input leaves cached tokens out
	asked     bool // the request asked for usage, or the stream has a place for it
	final     bool // the count of the finished answer was seen
	marked    bool // the stream itself says which count is the last
	media     bool // tokens of other than text were counted
}

func take(dst **int64, v *int64) {
	if v != nil && *v >= 0 {
		*dst = v
	}
}

// openAI reads the usage object of any OpenAI API.
func (u *usage) openAI(t *tape, n int) {
	if n != 0 {
		u.asked = true
	}
	if t.shape(n) != object {
		return
	}
	for _, side := range [...]struct {
		dst          **int64
		name, legacy string
	}{{&u.input, "input_tokens", "prompt_tokens"}, {&u.output, "output_tokens", "completion_tokens"}} {
		take(side.dst, t.integer(t.get(n, side.legacy)))
		take(side.dst, t.integer(t.get(n, side.name)))
	}
	take(&u.total, t.integer(t.get(n, "total_tokens")))
	for _, name := range [...]string{"prompt_tokens_details", "input_tokens_details"} {
		d := t.get(n, name)
		take(&u.cacheRead, t.integer(t.get(d, "cached_tokens")))
		take(&u.cacheWrite, t.integer(t.get(d, "cache_write_tokens")))
	}
	for _, name := range [...]string{"completion_tokens_details", "output_tokens_details"} {
		take(&u.reasoning, t.integer(t.get(t.get(n, name), "reasoning_tokens")))
	}
	take(&u.cacheRead, t.integer(t.get(n, "prompt_cache_hit_tokens"))) // DeepSeek
	u.final = true
}

// allInput takes the only count there is for that of the input, of calls that write no tokens: Voyage, Jina.
func (u *usage) allInput() {
	if u.input == nil && u.output == nil {
		u.input = u.total
	}
}

// anthropic reads the usage object of Messages. In a stream message_start has the first counts and message_delta the
// ones so far, some members only in one of them.
func (u *usage) anthropic(t *tape, n int) {
	if t.shape(n) != object {
		return
	}
	u.asked, u.excluding, u.marked = true, true, true
	take(&u.input, t.integer(t.get(n, "input_tokens")))
	take(&u.output, t.integer(t.get(n, "output_tokens")))
	take(&u.cacheRead, t.integer(t.get(n, "cache_read_input_tokens")))
	take(&u.cacheWrite, t.integer(t.get(n, "cache_creation_input_tokens")))
	take(&u.reasoning, t.integer(t.get(t.get(n, "output_tokens_details"), "thinking_tokens")))
}

// bedrock reads the usage object of Converse, and that of Amazon's own models.
func (u *usage) bedrock(t *tape, n int) {
	if t.shape(n) != object {
		return
	}
	u.asked, u.excluding, u.final = true, true, true
	take(&u.input, t.integer(t.get(n, "inputTokens")))
	take(&u.output, t.integer(t.get(n, "outputTokens")))
	take(&u.total, t.integer(t.get(n, "totalTokens")))
	for _, end := range [...]string{"Tokens", "TokenCount"} {
		take(&u.cacheRead, t.integer(t.get(n, "cacheReadInput"+end)))
		take(&u.cacheWrite, t.integer(t.get(n, "cacheWriteInput"+end)))
	}
}

// invocation reads Bedrock's own count at the end of a stream. What the model's maker has said counts before it.
func (u *usage) invocation(t *tape, n int) {
	if t.shape(n) != object || u.input != nil && u.output != nil {
		return
	}
	u.asked, u.excluding, u.final = true, true, true
	take(&u.input, t.integer(t.get(n, "inputTokenCount")))
	take(&u.output, t.integer(t.get(n, "outputTokenCount")))
	take(&u.cacheRead, t.integer(t.get(n, "cacheReadInputTokenCount")))
	take(&u.cacheWrite, t.integer(t.get(n, "cacheWriteInputTokenCount")))
}

// facts is the usage as the event model has it: input with cached tokens.
func (u *usage) facts() *steno.Usage {
	out := &steno.Usage{
		Source: "reported", Input: u.input, Output: u.output, CacheRead: u.cacheRead, CacheWrite: u.cacheWrite,
		Reasoning: u.reasoning, Total: u.total,
	}
	none := u.input == nil && u.output == nil && u.total == nil
	switch {
	case none && !u.asked || none && u.final:
		return &steno.Usage{Source: "absent"}
	case !u.final:
		out.Source = "partial"
	}
	if u.excluding && u.input != nil {
		sum := *u.input
		for _, v := range []*int64{u.cacheRead, u.cacheWrite} {
			if v != nil {
				sum += *v
			}
		}
		out.Input = &sum
	}
	return out
}
