package dialect

import "github.com/steno-audit/steno"

// claude reads an answer of Messages.
func (a *answer) claude(n int) {
	t := a.reader.tape
	a.known = t.shape(t.get(n, "content")) == array
	a.claudeHead(n)
	a.reader.content(t.get(n, "content"), "output", steno.KindFrame)
	a.usage.final = true
	a.stopped(n)
}

// claudeHead reads what stands both in a whole message and in a stream's message_start.
func (a *answer) claudeHead(n int) {
	t := a.reader.tape
	a.head(n)
	u := t.get(n, "usage")
	a.usage.anthropic(t, u)
	if tier := t.str(t.get(u, "service_tier"), 64); tier != "" {
		a.model.ServiceTier = tier
	}
}

// stopped reads how the message ended, from the message or a message_delta's delta.
func (a *answer) stopped(n int) bool {
	t := a.reader.tape
	reason := t.str(t.get(n, "stop_reason"), 64)
	if reason == "" {
		return false
	}
	a.choice(0).finish = reason
	if reason == "refusal" {
		a.refuse("stop_reason", "out", nil)
	}
	return true
}

// legacy reads an answer of the old text completions.
func (a *answer) legacy(n int) {
	t := a.reader.tape
	a.known = t.get(n, "completion") != 0
	a.head(n)
	a.reader.words(t.get(n, "completion"), "output", steno.KindFrame)
	a.stopped(n)
}
