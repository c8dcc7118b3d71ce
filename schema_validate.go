package steno

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Problem is one thing that is wrong with an event: the member, as a JSON pointer, and what would be right.
type Problem struct {
	Member string `json:"member"`
	What   string `json:"what"`
}

// ValidationError says all that is wrong with an event.
type ValidationError struct {
	Problems []Problem
}

func (e *ValidationError) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Member + " " + p.What)
	}
	return b.String()
}

const maxProblems = 20

// Validate checks an event against the catalogue: its type is known, what its type needs is there, and every member with
// a closed list has a value from it. The error is a *ValidationError. A time that is absent is not missed: it is set when
// the event is recorded.
func Validate(e *Event) error {
	v := validation{c: theCatalogue()}
	v.eventType(e)
	v.group(reflect.ValueOf(e).Elem(), &v.c.Groups[0], "")
	if e.Safety != nil {
		v.findings(e.Safety.Findings)
	}
	if len(v.problems) > 0 {
		return &ValidationError{v.problems}
	}
	return nil
}

type validation struct {
	c        *catalogue
	problems []Problem
}

func (v *validation) problem(member, format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, Problem{member, fmt.Sprintf(format, args...)})
	}
}

// eventType checks that the type is known and what it needs is there.
func (v *validation) eventType(e *Event) {
	if e.Type == "" {
		return // said as any member that is missing
	}
	t := v.c.eventType(e.Type)
	switch {
	case t == nil:
		v.problem("/type", "is %s, which is not in the catalogue; the nearest is %q", quote(e.Type), v.nearest(e.Type))
		return
	case t.Public != nil:
		v.problem("/type", "is %q: that is a public record of the log, no event", e.Type)
		return
	}
	event := reflect.ValueOf(e).Elem()
	for _, r := range t.Required {
		group, name, _ := strings.Cut(r, "/")
		g := structMember(event, group)
		if g.IsNil() || structMember(g.Elem(), name).IsZero() {
			v.problem("/"+r, "is missing: %s needs it (%s)", e.Type, strings.TrimSuffix(v.c.group(group).member(name).Doc, "."))
		}
	}
	for _, d := range t.Details {
		if d.Required && (e.System == nil || e.System.Details[d.Name] == nil) {
			v.problem("/system/details/"+d.Name, "is missing: %s needs it (%s)", e.Type, strings.TrimSuffix(d.Doc, "."))
		}
	}
}

// nearest is the type with the fewest letters to change.
func (v *validation) nearest(name string) string {
	best, least := "", 1<<30
	for _, t := range v.c.Types {
		if t.Public != nil {
			continue
		}
		if d := distance(name, t.Name); d < least {
			best, least = t.Name, d
		}
	}
	return best
}

func distance(a, b string) int {
	a = a[:min(len(a), 100)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			before, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, before+cost)
		}
	}
	return row[len(b)]
}

// structMember returns the field with a JSON name; the catalogue and the structs have the same.
func structMember(s reflect.Value, name string) reflect.Value {
	for i := range s.NumField() {
		if tag, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ","); tag == name {
			return s.Field(i)
		}
	}
	panic("no member " + name + " in " + s.Type().Name())
}

func (v *validation) group(s reflect.Value, g *catalogueGroup, path string) {
	for i := range s.NumField() {
		name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
		m := g.member(name)
		if m == nil {
			panic("no member " + name + " in the catalogue's group " + g.Name)
		}
		v.value(s.Field(i), m, m.Type, path+"/"+name)
	}
}

func (v *validation) value(f reflect.Value, m *catalogueMember, kind, path string) {
	if f.IsZero() {
		if k := f.Kind(); m.Required && (k == reflect.String || k == reflect.Struct) { // of numbers 0 is a value
			v.problem(path, "is missing (%s)", strings.TrimSuffix(m.Doc, "."))
		}
		return
	}
	if of, ok := strings.CutPrefix(kind, "array of "); ok {
		for i := range f.Len() {
			item := *m
			item.Required = true
			v.value(f.Index(i), &item, of, path+"/"+strconv.Itoa(i))
		}
		return
	}
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	switch kind {
	case "string":
		if s := f.String(); m.Enum != nil && !slices.Contains(m.Enum, s) {
			v.problem(path, "is %s, it has to be one of %s", quote(s), strings.Join(m.Enum, ", "))
		}
	case "hex16", "hex32":
		want := 16
		if kind == "hex32" {
			want = 32
		}
		if _, err := hex.DecodeString(f.String()); err != nil || f.Len() != want {
			v.problem(path, "is %s, it has to be %d hex digits", quote(f.String()), want)
		}
	case "integer":
		if f.CanInt() && f.Int() < 0 {
			v.problem(path, "is %d, it has to be 0 or more", f.Int())
		}
	case "time":
		if t := f.Interface().(time.Time); t.Year() < 1970 || t.Year() > 9999 {
			v.problem(path, "is in the year %d, it has to be in one from 1970 to 9999", t.Year())
		}
	case "json":
		if !json.Valid(f.Bytes()) {
			v.problem(path, "is no valid JSON")
		}
	case "object":
		for _, k := range f.MapKeys() {
			if !json.Valid(f.MapIndex(k).Bytes()) {
				v.problem(path+"/"+k.String(), "is no valid JSON")
			}
		}
	case "id", "boolean", "number":
	default:
		v.group(f, v.c.group(kind), path)
	}
}

// findings checks what no list can say.
func (v *validation) findings(found []Finding) {
	for i, f := range found {
		path := "/safety/steno.findings/" + strconv.Itoa(i)
		if !(f.Score >= 0 && f.Score <= 1) {
			v.problem(path+"/score", "is %v, it has to be from 0 to 1", f.Score)
		}
		if f.Span != nil && f.Span.End < f.Span.Start {
			v.problem(path+"/span", "ends at %d, before it begins at %d", f.Span.End, f.Span.Start)
		}
	}
}

func quote(s string) string {
	if len(s) > 60 {
		s = s[:60] + "…"
	}
	return strconv.QuoteToASCII(s)
}
