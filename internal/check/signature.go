package check

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

//go:embed signatures.yaml
var signatureFile []byte

// signatures are the known forms of injection, jailbreak and prompt leak.
type signatures struct {
	version string
	matcher *matcher
	list    []signature // as the matcher's patterns
}

// signature is one form, as signatures.yaml has it.
type signature struct {
	ID       string   `yaml:"id"`
	Flag     string   `yaml:"flag"`
	Score    float64  `yaml:"score"` // in a user's turn
	In       []string `yaml:"in"`    // the origins in which it means anything; none: all
	Keywords []string `yaml:"keywords"`
	Pattern  string   `yaml:"pattern"`
	Match    []string `yaml:"match"` // texts in which it must be found
	Miss     []string `yaml:"miss"`  // texts in which nothing with its flag may be found

	weight [4]float64 // by origin; 0: not reported
}

var originNames = []string{User: "user", Tool: "tool", System: "system", Output: "output"}

// String gives the origin's name.
func (o Origin) String() string {
	if o < 0 || int(o) >= len(originNames) {
		return fmt.Sprintf("origin %d", int(o))
	}
	return originNames[o]
}

// leastScore is what a finding must have to be worth telling.
const leastScore = 0.3

// weigh gives the score that a signature has where it was met.
func weigh(score float64, o Origin) float64 {
	switch o {
	case Tool:
		// Data that gives orders: half of the doubt goes.
		score += (1 - score) / 2
	case System:
		score *= 0.3
	case Output:
		// A model that talks about attacks, or hands one on to a tool.
		score *= 0.7
	}
	if score < leastScore {
		return 0
	}
	return score
}

// gap is what a space in a pattern stands for: space and whatever punctuation
// people put between words.
const gap = `[\s"'*_~#>,.:;!()\[\]{}\x60\\/|-]{1,8}`

func loadSignatures() (*signatures, error) { return parseSignatures(signatureFile) }

func parseSignatures(file []byte) (*signatures, error) {
	var f struct {
		Version    string      `yaml:"version"`
		Signatures []signature `yaml:"signatures"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(file), yaml.Strict()).Decode(&f); err != nil {
		return nil, fmt.Errorf("couldn't read the signatures: %w", err)
	}
	if f.Version == "" {
		return nil, errors.New("signatures: version is missing")
	}
	s := &signatures{version: f.Version, list: f.Signatures}
	var patterns []pattern
	seen := map[string]bool{}
	for i := range s.list {
		g := &s.list[i]
		p, err := g.compile()
		if err == nil && seen[g.ID] {
			err = errors.New("there is another of that id")
		}
		if err != nil {
			return nil, fmt.Errorf("signature %d (%s): %w", i+1, g.ID, err)
		}
		seen[g.ID] = true
		patterns = append(patterns, p)
	}
	var err error
	if s.matcher, err = newMatcher(patterns); err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	return s, nil
}

func (g *signature) compile() (pattern, error) {
	var none pattern
	switch {
	case g.ID == "":
		return none, errors.New("id is missing")
	case g.Flag != "injection" && g.Flag != "jailbreak" && g.Flag != "prompt_leak":
		return none, fmt.Errorf("flag is %q, want injection, jailbreak or prompt_leak", g.Flag)
	case g.Score <= 0 || g.Score > 1:
		return none, fmt.Errorf("score is %v, want more than 0 and at most 1", g.Score)
	case len(g.Match) == 0 || len(g.Miss) == 0:
		return none, errors.New("match and miss want an example each at least")
	}
	for _, in := range g.In {
		if !slices.Contains(originNames, in) {
			return none, fmt.Errorf("in: origin %q is not known, want %s", in, strings.Join(originNames, ", "))
		}
	}
	for o := range g.weight {
		if len(g.In) == 0 || slices.Contains(g.In, originNames[o]) {
			g.weight[o] = weigh(g.Score, Origin(o))
		}
	}
	expr := strings.ReplaceAll(strings.TrimSpace(g.Pattern), " ", gap)
	re, err := regexp.Compile(expr)
	if err != nil {
		return none, err
	}
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return none, err
	}
	// Without an end in sight a signature would cost more the longer the text.
	const most = 1 << 11
	if n := longest(tree, most+1); n > most {
		return none, fmt.Errorf("pattern can match %d bytes or more, want at most %d: give repetitions a bound", n, most)
	}
	return pattern{re: re, keywords: g.Keywords}, nil
}

// check adds a finding for each signature met in p. lower is p's text with
// its ASCII in lower case.
func (s *signatures) check(ctx context.Context, p part, lower []byte, o Origin, fs *[]Finding) {
	text, back := normalise(p.text, lower)
	if back != nil {
		p = part{text: text, back: append([]spans{back}, p.back...)}
	}
	s.matcher.find(ctx, text, spaced(text), func(n int, loc []int) {
		g := &s.list[n]
		if o < 0 || int(o) >= len(g.weight) || g.weight[o] == 0 {
			return
		}
		start, end, ok := p.raw(loc[0], loc[1])
		if !ok {
			return
		}
		*fs = append(*fs, Finding{
			Flag: g.Flag, Rule: g.ID, Source: SourceInjection, Version: s.version,
			Start: start, End: end, Score: g.weight[o],
		})
	})
}
