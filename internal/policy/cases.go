package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Cases is a file of test cases: questions, and what the answer has to be.
type Cases struct {
	Policies []string // files, relative to the file of the cases; none: those that the caller says
	Cases    []Case
}

// Case is one question with the answer that is expected.
type Case struct {
	Name   string
	Line   int
	Permit bool
	By     []string // nil: whichever
	Ask    Question
}

// casesFile is how cases are written.
type casesFile struct {
	Policies []string    `yaml:"policies"`
	Cases    []caseEntry `yaml:"cases"`
}

type caseEntry struct {
	Name    string      `yaml:"name"`
	Request caseRequest `yaml:"request"`
	Expect  string      `yaml:"expect"`
	By      []string    `yaml:"by"`
}

type caseRequest struct {
	Caller struct {
		Auth   string `yaml:"auth"`
		Key    string `yaml:"key"`
		User   string `yaml:"user"`
		Team   string `yaml:"team"`
		Role   string `yaml:"role"`
		Tenant string `yaml:"tenant"`
		Issuer string `yaml:"issuer"`
	} `yaml:"caller"`
	Model struct {
		Name     string `yaml:"name"`
		Provider string `yaml:"provider"`
		Upstream string `yaml:"upstream"`
	} `yaml:"model"`
	Operation  string   `yaml:"operation"`
	Stream     bool     `yaml:"stream"`
	Understood *bool    `yaml:"understood"`
	Tools      []string `yaml:"tools"`
	Findings   []string `yaml:"findings"`
	Classes    []string `yaml:"data_classes"`
	Asserted   []string `yaml:"asserted_data_classes"`
	Address    string   `yaml:"address"`
	Time       string   `yaml:"time"`
	LeftUSD    string   `yaml:"budget_left_usd"`
	LeftTokens *int64   `yaml:"budget_left_tokens"`
}

const maxCases = 10_000

// ParseCases reads a file of test cases.
func ParseCases(name string, text []byte) (*Cases, error) {
	if len(text) > maxText {
		return nil, Mistake{File: name, Reason: fmt.Sprintf("it has %d bytes, more than the %d that a file of cases may have", len(text), maxText)}
	}
	var f casesFile
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		var at yaml.Error
		m := Mistake{File: name, Reason: oneLine(yaml.FormatError(err, false, false))}
		if errors.As(err, &at) && at.GetToken() != nil && at.GetToken().Position != nil {
			m.Line, m.Reason = at.GetToken().Position.Line, at.GetMessage()
		}
		return nil, m
	}
	if len(f.Cases) == 0 || len(f.Cases) > maxCases {
		return nil, Mistake{File: name, Reason: fmt.Sprintf("it has %d cases; write `cases:` and under it 1 to %d of {name, request, expect: permit or deny, by: [policy ids]}", len(f.Cases), maxCases)}
	}
	out := &Cases{}
	for _, p := range f.Policies {
		if !filepath.IsAbs(p) {
			p = filepath.Join(filepath.Dir(name), p)
		}
		out.Policies = append(out.Policies, p)
	}
	for i, e := range f.Cases {
		c, err := e.read()
		if c.Name == "" {
			c.Name = "case " + strconv.Itoa(i+1)
		}
		if err != nil {
			return nil, Mistake{File: name, Reason: fmt.Sprintf("case %q: %s", c.Name, err)}
		}
		out.Cases = append(out.Cases, c)
	}
	return out, nil
}

func (e *caseEntry) read() (Case, error) {
	c := Case{Name: e.Name, Permit: e.Expect == "permit", By: e.By}
	if e.Expect != "permit" && e.Expect != "deny" {
		return c, fmt.Errorf("expect: %q is neither permit nor deny", e.Expect)
	}
	r := &e.Request
	c.Ask = Question{
		Caller: Caller(r.Caller), Model: Model(r.Model), Operation: r.Operation, Stream: r.Stream, Understood: r.Understood == nil || *r.Understood,
		Tools: r.Tools, Findings: r.Findings, Classes: r.Classes, Asserted: r.Asserted, Time: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC), LeftTokens: r.LeftTokens,
	}
	for _, s := range r.Asserted {
		if !slices.Contains(c.Ask.Classes, s) {
			c.Ask.Classes = append(slices.Clip(c.Ask.Classes), s)
		}
	}
	if c.Ask.Caller.Auth == "" {
		c.Ask.Caller.Auth = "anonymous"
		if c.Ask.Caller.Key != "" {
			c.Ask.Caller.Auth = "key"
		}
	}
	if !slices.Contains([]string{"key", "jwt", "mtls", "passthrough", "anonymous"}, c.Ask.Caller.Auth) {
		return c, fmt.Errorf("request.caller.auth: %q is none of key, jwt, mtls, passthrough, anonymous", c.Ask.Caller.Auth)
	}
	if c.Ask.Model.Upstream == "" {
		c.Ask.Model.Upstream = c.Ask.Model.Provider
	}
	var err error
	if r.Address != "" {
		if c.Ask.Address, err = netip.ParseAddr(r.Address); err != nil {
			return c, fmt.Errorf("request.address: %q is no address", r.Address)
		}
	}
	if r.Time != "" {
		if c.Ask.Time, err = time.Parse(time.RFC3339, r.Time); err != nil {
			return c, fmt.Errorf("request.time: %q is no time; write it as 2026-11-24T09:00:00Z", r.Time)
		}
	}
	if r.LeftUSD != "" {
		usd, err := strconv.ParseFloat(strings.TrimPrefix(r.LeftUSD, "$"), 64)
		if err != nil || math.IsNaN(usd) || math.Abs(usd) > 1e12 {
			return c, fmt.Errorf("request.budget_left_usd: %q is no amount; write it as 12.50", r.LeftUSD)
		}
		left := int64(math.Round(usd * 1e4))
		c.Ask.LeftUSD = &left
	}
	return c, nil
}

// Outcome is what became of one case.
type Outcome struct {
	Name   string   `json:"name"`
	OK     bool     `json:"ok"`
	Permit bool     `json:"permit"`
	By     []string `json:"by"`
	Failed []string `json:"failed,omitempty"` // policies that could not be evaluated
	Want   string   `json:"want,omitempty"`   // what was expected instead, in words
}

// Try asks one case's question.
func (s *Set) Try(c *Case) Outcome {
	d := s.Decide(&c.Ask)
	o := Outcome{Name: c.Name, Permit: d.Permit, By: d.Policies, Failed: d.Failed, OK: d.Permit == c.Permit}
	want := map[bool]string{true: "permit", false: "deny"}[c.Permit]
	if c.By != nil {
		by := slices.Clone(c.By)
		slices.Sort(by)
		if !slices.Equal(by, d.Policies) {
			o.OK = false
		}
		want += " by [" + strings.Join(by, " ") + "]"
	}
	if !o.OK {
		o.Want = want
	}
	return o
}
