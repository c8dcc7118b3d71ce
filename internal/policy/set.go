package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

// Schema is the Cedar schema that policies are validated against.
//
//go:embed schema.cedarschema
var Schema string

var validator = func() *validate.Validator {
	var s schema.Schema
	s.SetFilename("schema")
	if err := s.UnmarshalCedar([]byte(Schema)); err != nil {
		panic(err) // it is embedded: a test loads it
	}
	r, err := s.Resolve()
	if err != nil {
		panic(err)
	}
	return validate.New(r, validate.WithStrict())
}()

// Set is the policies in force. It is never changed.
type Set struct {
	policies *cedar.PolicySet
	ids      []string
	version  string
}

// Source is the text of one policy file.
type Source struct {
	Name string
	Text []byte
}

// Mistake is something wrong with a policy, at its place.
type Mistake struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Policy string `json:"policy,omitempty"`
	Reason string `json:"reason"`
}

func (m Mistake) Error() string {
	at := m.File
	if m.Line > 0 {
		at += ":" + strconv.Itoa(m.Line)
	}
	if m.Policy != "" {
		at += ": policy " + strconv.Quote(m.Policy)
	}
	return at + ": " + m.Reason
}

// Mistakes are all that is wrong with a set. No policy of such a set is in force.
type Mistakes []Mistake

func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i := range m {
		lines[i] = m[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Read reads the policy files. Patterns such as /etc/steno/*.cedar are expanded; one that matches nothing is an error.
func Read(patterns []string) ([]Source, error) {
	var out []Source
	for _, p := range patterns {
		names, err := filepath.Glob(p)
		if err != nil {
			return nil, fmt.Errorf("%q is no pattern of files: %w", p, err)
		}
		if len(names) == 0 {
			return nil, fmt.Errorf("there is no policy file %s", p)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				return nil, fmt.Errorf("couldn't read a policy file: %w", err)
			}
			out = append(out, Source{name, b})
		}
	}
	return out, nil
}

// Load reads and parses policy files.
func Load(patterns []string) (*Set, error) {
	src, err := Read(patterns)
	if err != nil {
		return nil, err
	}
	return Parse(src)
}

// maxText bounds one file: policies are written by people.
const maxText = 1 << 20

// Parse makes a set of policies. A policy's id is its @id, else the file's name and its place in it. The error is
// Mistakes, all of them.
func Parse(src []Source) (*Set, error) {
	s := &Set{policies: cedar.NewPolicySet()}
	var wrong Mistakes
	h := sha256.New()
	seen := map[string]cedar.Position{}
	for _, f := range src {
		if len(f.Text) > maxText {
			wrong = append(wrong, Mistake{File: f.Name, Reason: fmt.Sprintf("it has %d bytes, more than the %d that a policy file may have", len(f.Text), maxText)})
			continue
		}
		fmt.Fprintf(h, "%d:%s%d:", len(filepath.Base(f.Name)), filepath.Base(f.Name), len(f.Text))
		h.Write(f.Text)
		list, err := cedar.NewPolicyListFromBytes(f.Name, f.Text)
		if err != nil {
			wrong = append(wrong, syntaxMistake(f, err))
			continue
		}
		if len(list) == 0 {
			wrong = append(wrong, Mistake{File: f.Name, Reason: "it has no policies; a set without one permits nothing, write permit(principal, action, resource); to permit all"})
		}
		for i, p := range list {
			id := string(p.Annotations()["id"])
			if id == "" {
				id = strings.TrimSuffix(filepath.Base(f.Name), filepath.Ext(f.Name)) + "#" + strconv.Itoa(i+1)
			}
			if at, twice := seen[id]; twice {
				wrong = append(wrong, Mistake{f.Name, p.Position().Line, id, fmt.Sprintf("the same @id stands at %s:%d", at.Filename, at.Line)})
				continue
			}
			seen[id] = p.Position()
			wrong = append(wrong, judge(f.Name, id, p)...)
			s.policies.Add(cedar.PolicyID(id), p)
			s.ids = append(s.ids, id)
		}
	}
	if len(wrong) > 0 {
		return nil, wrong
	}
	slices.Sort(s.ids)
	s.version = hex.EncodeToString(h.Sum(nil)[:6])
	return s, nil
}

// judge validates one policy against the schema.
func judge(file, id string, p *cedar.Policy) Mistakes {
	var wrong Mistakes
	for name := range p.Annotations() {
		if name != "id" && name != "message" && name != "description" {
			wrong = append(wrong, Mistake{file, p.Position().Line, id, fmt.Sprintf("@%s means nothing here; known are @id, @message (told to a caller who is denied) and @description", name)})
		}
	}
	err := validator.Policy(id, (*ast.Policy)(p.AST()))
	if err == nil {
		return wrong
	}
	errs := []error{err}
	var many interface{ Unwrap() []error }
	if errors.As(err, &many) {
		errs = many.Unwrap()
	}
	for _, e := range errs {
		wrong = append(wrong, Mistake{file, p.Position().Line, id, oneLine(e.Error())})
	}
	return wrong
}

var placeInError = regexp.MustCompile(`:(\d+):\d+\b|line (\d+)`)

// syntaxMistake finds the line that the parser's error speaks of.
func syntaxMistake(f Source, err error) Mistake {
	m := Mistake{File: f.Name, Reason: oneLine(err.Error())}
	if at := placeInError.FindStringSubmatch(m.Reason); at != nil {
		m.Line, _ = strconv.Atoi(at[1] + at[2]) // digits, or absent
	}
	return m
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// IDs returns the policies' ids, sorted.
func (s *Set) IDs() []string { return slices.Clone(s.ids) }

// Version names the text of the set: a hash of its files.
func (s *Set) Version() string { return s.version }
