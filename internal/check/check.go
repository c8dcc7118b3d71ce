package check

import (
	"context"
	"errors"
)

// Where findings come from, as Finding.Source says it.
const (
	SourceSecrets   = "steno/secrets"
	SourceInjection = "steno/injection"
)

// Config says which checks run.
type Config struct {
	Secrets   bool
	Injection bool
}

// Origin says whose words a text is.
type Origin int

// The origins of a text. What a tool or a document says is read by the model
// but was not written by the one who asks: an instruction there weighs more
// than the same in a user's turn, and one in the operator's own system prompt
// weighs next to nothing.
const (
	User   Origin = iota
	Tool          // a tool's result, or a retrieved document
	System        // the operator's own instructions
	Output        // what the model said
)

// Finding is a sign of something in a text.
type Finding struct {
	Flag    string // secret, injection, jailbreak, prompt_leak
	Rule    string // the rule's name in its source
	Source  string // which check: SourceSecrets or SourceInjection
	Version string // of the check's rules
	Start   int    // offset of the first byte, in what was given
	End     int    // offset after the last byte
	Score   float64
}

// Checker runs the checks of its Config.
type Checker struct {
	secrets   *secretRules // nil: not asked for
	injection *signatures  // nil: not asked for
}

// New makes a Checker. With nothing switched on it finds nothing.
func New(c Config) (*Checker, error) {
	k := &Checker{}
	var err1, err2 error
	if c.Secrets {
		k.secrets, err1 = loadSecretRules()
	}
	if c.Injection {
		k.injection, err2 = loadSignatures()
	}
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return k, nil
}

// Version names the rules of a source, and is empty for a check that does not
// run.
func (c *Checker) Version(source string) string {
	switch {
	case source == SourceSecrets && c.secrets != nil:
		return c.secrets.version
	case source == SourceInjection && c.injection != nil:
		return c.injection.version
	}
	return ""
}

// Text checks a text. Findings are in order of their place and at most
// maxFindings. When ctx ends, Text returns early with what it has: the caller
// sees that by ctx.Err and must not take the rest for clean.
func (c *Checker) Text(ctx context.Context, text []byte, origin Origin) []Finding {
	var fs []Finding
	c.value(ctx, part{text: text}, origin, maxNesting, &fs)
	return tidy(fs)
}

// JSON checks the string values of raw JSON, such as a message as it was on
// the wire. Strings are unescaped before they are judged; offsets are those
// of the raw bytes and never cut an escape sequence in two, so that a span
// can be overwritten without spoiling the JSON. Bytes that are no JSON are
// checked as text. It ends early as Text does.
func (c *Checker) JSON(ctx context.Context, raw []byte, origin Origin) []Finding {
	var fs []Finding
	if !looksLikeJSON(raw) {
		return c.Text(ctx, raw, origin)
	}
	c.strings(ctx, part{text: raw}, origin, maxNesting, &fs)
	return tidy(fs)
}

// maxNesting bounds JSON texts within strings of JSON texts. A tool call's
// arguments are one deep, what the tool passes on may be two or three.
const maxNesting = 3

// value checks one text, and if it is JSON in turn the strings in it.
func (c *Checker) value(ctx context.Context, p part, origin Origin, depth int, fs *[]Finding) {
	if len(p.text)-p.own < shortest {
		return
	}
	lower := lowerASCII(p.text)
	if c.secrets != nil {
		c.secrets.check(ctx, p, lower, fs)
	}
	if c.injection != nil {
		c.injection.check(ctx, p.withoutKey(), lower[p.own:], origin, fs)
	}
	if inner := p.withoutKey(); depth > 0 && looksLikeJSON(inner.text) {
		c.strings(ctx, inner, origin, depth-1, fs)
	}
}

// strings checks each string value in a JSON text.
func (c *Checker) strings(ctx context.Context, p part, origin Origin, depth int, fs *[]Finding) {
	eachString(p.text, func(key, value token) bool {
		if value.end-value.start < shortest {
			return true
		}
		c.value(ctx, p.unquoted(key, value), origin, depth, fs)
		return ctx.Err() == nil
	})
}

// shortest is the length of the shortest text worth judging: no rule's
// expression matches fewer bytes. A test holds the rules to it.
const shortest = 5
