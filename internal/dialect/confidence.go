package dialect

import "github.com/steno-audit/steno"

// unlikely is what OpenAI writes for a token outside the ones it keeps: it says less than a probability.
const unlikely = -9999

// confidence sums the log probabilities of an answer's tokens.
type confidence struct {
	tokens int
	sum    float64
	least  float64
}

func (c *confidence) add(p *float64) {
	if c == nil || p == nil {
		return
	}
	c.least = min(c.least, *p)
	if *p > unlikely {
		c.sum += *p
		c.tokens++
	}
}

// fromTokens reads a list of {token, logprob, …}.
func (c *confidence) fromTokens(t *tape, n int) {
	if c == nil {
		return
	}
	for el := range t.elements(n) {
		c.add(t.float(t.get(el, "logprob")))
	}
}

func (c *confidence) facts() []steno.Confidence {
	if c.tokens == 0 {
		return nil
	}
	const by = "openai.logprobs"
	return []steno.Confidence{
		{Kind: "logprob_mean", Value: c.sum / float64(c.tokens), Tokens: c.tokens, By: by},
		{Kind: "logprob_min", Value: c.least, Tokens: c.tokens, By: by},
	}
}
