package dialect

import "github.com/steno-audit/steno"

// unlikely is what OpenAI writes for a token outside the ones it keeps: it says less than a probability.
const unlikely = -9999

// confidence sums the log probabilities of an answer's tokens.
type confidence struct {
	tokens int
	sum    float64
	least  float64
	by     string // what gave them; "" = openai.logprobs

	means   float64 // the sum of what the provider calls their mean, of answers without the tokens' own
	answers int
}

// mean adds a mean that the provider has worked out itself.
func (c *confidence) mean(p *float64) {
	if p != nil {
		c.means += *p
		c.answers++
	}
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
	if c.tokens == 0 && c.answers > 0 {
		said := steno.Confidence{Kind: "logprob_mean", Value: c.means / float64(c.answers), By: "gemini.avgLogprobs"}
		if c.by != "" {
			said.Kind, said.By = "reported", c.by
		}
		return []steno.Confidence{said}
	}
	if c.tokens == 0 {
		return nil
	}
	by := c.by
	if by == "" {
		by = "openai.logprobs"
	}
	return []steno.Confidence{
		{Kind: "logprob_mean", Value: c.sum / float64(c.tokens), Tokens: c.tokens, By: by},
		{Kind: "logprob_min", Value: c.least, Tokens: c.tokens, By: by},
	}
}
