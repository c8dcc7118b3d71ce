package check

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/zricethezav/gitleaks/v8/config"
)

// secretRules are the rules of gitleaks, without its detector: that one takes
// ten milliseconds for 32 KiB of talk about keys and passwords, writes to a
// global log and weighs several megabytes. Rules for files of a certain name
// are left out, and its comment that allows a secret is not honoured: here
// the text's author is not the one to decide.
type secretRules struct {
	version string
	matcher *matcher
	rules   []secretRule // as the matcher's patterns
	allow   []allowance
}

type secretRule struct {
	id      string
	group   int // of the expression that is the secret; 0: the first that is not empty
	entropy float64
	allow   []allowance
	score   float64
}

// allowance says what a rule matches and is no secret all the same.
type allowance struct {
	target string // what expr is held against: "" the secret, match, or line
	expr   *regexp.Regexp
	words  []string // lower case; none may be in the secret
	both   bool     // expr and words, not either
}

// The rules' file, as far as it is used.
type rulesFile struct {
	Allowlist  rulesAllow
	Allowlists []rulesAllow
	Rules      []struct {
		ID          string
		Path        string
		Regex       string
		SecretGroup int
		Entropy     float64
		Keywords    []string
		Allowlist   rulesAllow
		Allowlists  []rulesAllow
		Required    []any
		SkipReport  bool
	}
}

type rulesAllow struct {
	Condition   string
	Paths       []string
	Commits     []string
	RegexTarget string
	Regexes     []string
	StopWords   []string
	TargetRules []string
}

// Scores of secrets: a rule that knows its provider's form of key is hardly
// ever wrong; the rule that takes anything random behind a telling name is at
// times.
const (
	scoreSecret  = 0.95
	scoreGeneric = 0.7
	genericRule  = "generic-api-key"
)

// reachOf bounds those expressions without bound for which defaultReach is
// too much or too little.
var reachOf = map[string]int{
	genericRule:        256, // any long word; a longer one runs into the window's end and is followed
	"curl-auth-header": 256, // for each of six lines
	"curl-auth-user":   256,
	"private-key":      longestReach, // one of 16384 bits has 12 KiB
}

func loadSecretRules() (*secretRules, error) {
	return parseSecretRules([]byte(config.DefaultConfig))
}

func parseSecretRules(file []byte) (*secretRules, error) {
	var f rulesFile
	if err := toml.Unmarshal(file, &f); err != nil {
		return nil, fmt.Errorf("couldn't read the rules for secrets: %w", err)
	}
	sum := sha256.Sum256(file)
	s := &secretRules{version: "gitleaks-" + hex.EncodeToString(sum[:4])}
	var err error
	for _, a := range append(f.Allowlists, f.Allowlist) {
		if len(a.TargetRules) > 0 {
			return nil, fmt.Errorf("rules for secrets: an allowlist for certain rules (%s) is not known here", a.TargetRules[0])
		}
		if s.allow, err = appendAllowance(s.allow, a); err != nil {
			return nil, fmt.Errorf("rules for secrets: allowlist: %w", err)
		}
	}
	var patterns []pattern
	for _, r := range f.Rules {
		if r.Regex == "" || r.Path != "" || r.SkipReport {
			continue
		}
		if len(r.Required) > 0 {
			return nil, fmt.Errorf("rule for secrets %s: a rule that requires others is not known here", r.ID)
		}
		re, err := regexp.Compile(r.Regex)
		if err != nil {
			return nil, fmt.Errorf("rule for secrets %s: %w", r.ID, err)
		}
		p := pattern{re: re, reach: reachOf[r.ID]}
		for _, k := range r.Keywords {
			p.keywords = append(p.keywords, strings.ToLower(k))
		}
		rule := secretRule{id: r.ID, group: r.SecretGroup, entropy: r.Entropy, score: scoreSecret}
		if r.ID == genericRule {
			rule.score = scoreGeneric
		}
		for _, a := range append(r.Allowlists, r.Allowlist) {
			if rule.allow, err = appendAllowance(rule.allow, a); err != nil {
				return nil, fmt.Errorf("rule for secrets %s: allowlist: %w", r.ID, err)
			}
		}
		patterns = append(patterns, p)
		s.rules = append(s.rules, rule)
	}
	if s.matcher, err = newMatcher(patterns); err != nil {
		return nil, fmt.Errorf("rules for secrets: %w", err)
	}
	return s, nil
}

// appendAllowance adds what a allows, unless that hangs on a file's path or a
// commit: there are none here.
func appendAllowance(to []allowance, a rulesAllow) ([]allowance, error) {
	and := false
	switch strings.ToUpper(a.Condition) {
	case "", "OR", "||":
	case "AND", "&&":
		and = true
	default:
		return nil, fmt.Errorf("condition %q is not known", a.Condition)
	}
	if len(a.Regexes)+len(a.StopWords) == 0 || and && len(a.Paths)+len(a.Commits) > 0 {
		return to, nil
	}
	out := allowance{target: a.RegexTarget, both: and && len(a.Regexes) > 0 && len(a.StopWords) > 0}
	switch out.target {
	case "secret":
		out.target = ""
	case "", "match", "line":
	default:
		return nil, fmt.Errorf("regexTarget %q is not known", a.RegexTarget)
	}
	if len(a.Regexes) > 0 {
		re, err := regexp.Compile("(?:" + strings.Join(a.Regexes, ")|(?:") + ")")
		if err != nil {
			return nil, err
		}
		out.expr = re
	}
	for _, w := range a.StopWords {
		out.words = append(out.words, strings.ToLower(w))
	}
	slices.Sort(out.words)
	out.words = slices.Compact(out.words)
	return append(to, out), nil
}

// check adds a finding for each secret in p.
func (s *secretRules) check(ctx context.Context, p part, lower []byte, fs *[]Finding) {
	s.matcher.find(ctx, p.text, lower, func(n int, loc []int) {
		r := &s.rules[n]
		from, to, ok := r.secret(p.text, loc)
		if !ok || r.entropy > 0 && entropy(p.text[from:to]) <= r.entropy {
			return
		}
		if allowed(s.allow, p.text, loc, from, to) || allowed(r.allow, p.text, loc, from, to) {
			return
		}
		start, end, ok := p.raw(from, to)
		if !ok {
			return
		}
		*fs = append(*fs, Finding{
			Flag: "secret", Rule: r.id, Source: SourceSecrets, Version: s.version,
			Start: start, End: end, Score: r.score,
		})
	})
}

// secret gives the span of the secret in a match.
func (r *secretRule) secret(text []byte, loc []int) (from, to int, ok bool) {
	if r.group > 0 {
		from, to = loc[2*r.group], loc[2*r.group+1]
		return from, to, from >= 0
	}
	for i := 2; i < len(loc); i += 2 {
		if loc[i] >= 0 && loc[i+1] > loc[i] {
			return loc[i], loc[i+1], true
		}
	}
	from, to = loc[0], loc[1]
	for to > from && text[to-1] == '\n' {
		to--
	}
	for from < to && text[from] == '\n' {
		from++
	}
	return from, to, from < to
}

func allowed(as []allowance, text []byte, loc []int, from, to int) bool {
	for i := range as {
		if as[i].allows(text, loc, from, to) {
			return true
		}
	}
	return false
}

func (a *allowance) allows(text []byte, loc []int, from, to int) bool {
	byExpr := false
	if a.expr != nil {
		target := text[from:to]
		switch a.target {
		case "match":
			target = bytes.Trim(text[loc[0]:loc[1]], "\n")
		case "line":
			target = lines(text, loc[0], loc[1])
		}
		byExpr = a.expr.Match(target)
	}
	if byExpr != a.both {
		return byExpr // alone it allows, or fails what both must allow
	}
	low := string(lowerASCII(text[from:to]))
	return slices.ContainsFunc(a.words, func(w string) bool { return strings.Contains(low, w) })
}

// lines gives the whole lines of a match, up to a length: a text of one line
// must not be read again for each match in it.
func lines(text []byte, start, end int) []byte {
	const most = 1 << 10
	from := max(0, start-most)
	if i := bytes.LastIndexByte(text[from:start], '\n'); i >= 0 {
		from += i + 1
	}
	to := min(len(text), end+most)
	if i := bytes.IndexByte(text[end:to], '\n'); i >= 0 {
		to = end + i
	}
	return text[from:to]
}

// entropy is Shannon's, in bits for a character, as the rules count it.
func entropy(b []byte) float64 {
	counts := map[rune]int{}
	for _, r := range string(b) {
		counts[r]++
	}
	// Sorted, so that the sum comes out the same each time.
	ns := make([]int, 0, len(counts))
	for _, n := range counts {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	var e float64
	for _, n := range ns {
		f := float64(n) / float64(len(b))
		e -= f * math.Log2(f)
	}
	return e
}
