package steno

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

var groupStructs = map[string]reflect.Type{
	"event": reflect.TypeFor[Event](), "identity": reflect.TypeFor[Identity](), "model": reflect.TypeFor[Model](),
	"prompt": reflect.TypeFor[Prompt](), "result": reflect.TypeFor[Result](), "timing": reflect.TypeFor[Timing](),
	"safety": reflect.TypeFor[Safety](), "data": reflect.TypeFor[Data](), "system": reflect.TypeFor[System](),
	"origin": reflect.TypeFor[Origin](), "link": reflect.TypeFor[Link](), "usage": reflect.TypeFor[Usage](),
	"cost": reflect.TypeFor[Cost](), "tool_call": reflect.TypeFor[ToolCall](), "confidence": reflect.TypeFor[Confidence](),
	"step": reflect.TypeFor[Step](), "check": reflect.TypeFor[Check](), "finding": reflect.TypeFor[Finding](),
	"span": reflect.TypeFor[Span](), "document": reflect.TypeFor[Document](), "decision": reflect.TypeFor[Decision](),
}

// catalogueTypeOf says what the catalogue calls a Go type, the hex strings apart.
func catalogueTypeOf(t *testing.T, f reflect.Type) string {
	switch f {
	case reflect.TypeFor[ID]():
		return "id"
	case reflect.TypeFor[time.Time]():
		return "time"
	case reflect.TypeFor[json.RawMessage]():
		return "json"
	case reflect.TypeFor[map[string]json.RawMessage]():
		return "object"
	}
	switch f.Kind() {
	case reflect.Pointer:
		return catalogueTypeOf(t, f.Elem())
	case reflect.Slice:
		return "array of " + catalogueTypeOf(t, f.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Float64:
		return "number"
	case reflect.Int, reflect.Int64, reflect.Uint64, reflect.Uint32:
		return "integer"
	}
	for name, s := range groupStructs {
		if s == f {
			return name
		}
	}
	t.Fatalf("no name for %s", f)
	return ""
}

// TestCatalogueMembers holds the catalogue against the structs of the event model, both ways.
func TestCatalogueMembers(t *testing.T) {
	c := theCatalogue()
	if len(c.Groups) != len(groupStructs) {
		t.Errorf("%d groups, %d structs", len(c.Groups), len(groupStructs))
	}
	for _, g := range c.Groups {
		s, ok := groupStructs[g.Name]
		if !ok {
			t.Errorf("no struct for group %s", g.Name)
			continue
		}
		seen := map[string]bool{}
		for i := range s.NumField() {
			f := s.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			seen[name] = true
			m := g.member(name)
			if m == nil {
				t.Errorf("%s.%s (%s) is not in the catalogue", s.Name(), f.Name, name)
				continue
			}
			if want := catalogueTypeOf(t, f.Type); m.Type != want && (want != "string" || !strings.HasPrefix(m.Type, "hex")) {
				t.Errorf("%s/%s is %s in the catalogue, %s in the struct", g.Name, name, m.Type, want)
			}
			if m.Text != textMembers[name] {
				t.Errorf("%s/%s: text %v in the catalogue, %v in the struct", g.Name, name, m.Text, textMembers[name])
			}
			if m.Doc == "" {
				t.Errorf("%s/%s has no doc", g.Name, name)
			}
			// What is always written has to be there: but for the time, which is set where it is absent.
			if always := options == "" && name != "time"; m.Required != always {
				t.Errorf("%s/%s: required is %v, in the struct %v", g.Name, name, m.Required, always)
			}
			switch f.Type {
			case reflect.TypeFor[End]():
				if len(m.Enum) != 10 || !slices.Contains(m.Enum, string(EndUpstreamFailed)) || !slices.Contains(m.Enum, string(EndUnknown)) {
					t.Errorf("ends: %v", m.Enum)
				}
			case reflect.TypeFor[Flag](), reflect.TypeFor[[]Flag]():
				if len(m.Enum) != len(Flags) {
					t.Errorf("%s/%s is not the list of flags", g.Name, name)
				}
			}
		}
		for _, m := range g.Members {
			if !seen[m.Name] {
				t.Errorf("%s/%s is in the catalogue and in no struct", g.Name, m.Name)
			}
		}
	}
	var flags []string
	for _, f := range Flags {
		flags = append(flags, string(f))
	}
	if !slices.Equal(c.Flags, flags) {
		t.Errorf("flags %v, in the code %v", c.Flags, flags)
	}
	for name, section := range map[string]Section{"identity": SectionIdentity, "data": SectionContext, "result": SectionMetadata} {
		if c.group(name).Section != section.String() {
			t.Errorf("%s is sealed in %s", name, c.group(name).Section)
		}
	}
}

var publicStructs = map[PublicType]any{
	TypeLogCreated: LogCreated{}, TypeSourceStarted: SourceStarted{}, TypeSourceStopped: SourceStopped{}, TypeHeartbeat: Heartbeat{},
	TypeLogGap: LogGap{}, TypeTailDiscarded: TailDiscarded{}, TypeClockStepped: ClockStepped{}, TypeInsecureListener: InsecureListener{},
	TypeDayKeyOpened: DayKeyOpened{}, TypeAliasBlockOpened: AliasBlockOpened{}, TypeDayKeyDestroyed: DayKeyDestroyed{},
}

func TestCataloguePublicRecords(t *testing.T) {
	seen := map[PublicType]bool{}
	for _, e := range theCatalogue().Types {
		if e.Public == nil {
			continue
		}
		kind := PublicType(e.Public.Log)<<8 | PublicType(e.Public.Type)
		seen[kind] = true
		if publicNames[kind] != e.Name || e.Submit {
			t.Errorf("%s is %s in the code", e.Name, kind)
		}
		s, ok := publicStructs[kind]
		if !ok {
			continue // what this version does not write, only names
		}
		var tags, members []string
		for i := range reflect.TypeOf(s).NumField() {
			tag, _, _ := strings.Cut(reflect.TypeOf(s).Field(i).Tag.Get("cbor"), ",")
			tags = append(tags, tag)
		}
		for _, m := range e.Members {
			members = append(members, m.Name)
		}
		if !slices.Equal(tags, members) {
			t.Errorf("%s: members %v, in the code %v", e.Name, members, tags)
		}
	}
	for kind, name := range publicNames {
		if !seen[kind] {
			t.Errorf("%s is not in the catalogue", name)
		}
	}
}

func TestCatalogueTypes(t *testing.T) {
	c := theCatalogue()
	var logs []string
	for _, l := range c.Logs {
		logs = append(logs, l.Name)
	}
	if !slices.Equal(logs, logNames[1:]) {
		t.Errorf("logs %v", logs)
	}
	schema := loadSchema(t)
	seen := map[string]bool{}
	for _, e := range c.Types {
		log, what, _ := strings.Cut(e.Name, ".")
		if seen[e.Name] || e.Log != log || what == "" || !slices.Contains(logs, log) || e.Doc == "" {
			t.Errorf("%s: repeated, of another log or without doc", e.Name)
		}
		seen[e.Name] = true
		if e.Public != nil {
			continue
		}
		if Submittable(e.Name) != e.Submit || !e.Emitted && len(e.Groups) == 0 {
			t.Errorf("%s: submit %v, groups %v", e.Name, e.Submit, e.Groups)
		}
		for _, r := range e.Required {
			g, m, _ := strings.Cut(r, "/")
			if !slices.Contains(e.Groups, g) || c.group(g).member(m) == nil {
				t.Errorf("%s needs %s, of none of its groups", e.Name, r)
			}
		}
		ev := decodeEvent(t, e.Example)
		if err := Validate(&ev); err != nil {
			t.Errorf("the example of %s is not valid: %v", e.Name, err)
		}
		if err := schema.check(e.Example); err != nil {
			t.Errorf("the example of %s is not valid by the schema: %v", e.Name, err)
		}
		// Each thing that it needs is missed, by both.
		needs := slices.Clone(e.Required)
		for _, d := range e.Details {
			if d.Required {
				needs = append(needs, "system/details/"+d.Name)
			}
		}
		for _, need := range needs {
			b := without(t, e.Example, strings.Split(need, "/"))
			ev := decodeEvent(t, b)
			var bad *ValidationError
			if err := Validate(&ev); !errors.As(err, &bad) || !slices.ContainsFunc(bad.Problems, func(p Problem) bool { return p.Member == "/"+need }) {
				t.Errorf("%s without %s: %v", e.Name, need, err)
			}
			if schema.check(b) == nil {
				t.Errorf("%s without %s is valid by the schema", e.Name, need)
			}
		}
	}
}

func decodeEvent(t *testing.T, b []byte) (e Event) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return e
}

func without(t *testing.T, b []byte, path []string) []byte {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	if len(path) == 1 {
		delete(m, path[0])
	} else {
		m[path[0]] = without(t, m[path[0]], path[1:])
	}
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestValidate(t *testing.T) {
	schema := loadSchema(t)
	for in, want := range map[string]string{
		`{}`:                              `/type is missing`,
		`{"type":"inference.reqest"}`:     `the nearest is "inference.request"`,
		`{"type":"monitoring.heartbeat"}`: `public record`,
		`{"type":"inference.response","result":{"steno.end":"done"}}`:         `/result/steno.end is "done", it has to be one of complete, provider_error`,
		`{"type":"inference.request","trace_id":"xyz"}`:                       `/trace_id is "xyz", it has to be 32 hex digits`,
		`{"type":"inference.request","span_id":"00"}`:                         `16 hex digits`,
		`{"type":"inference.request","flags":["rude"]}`:                       `/flags/0 is "rude"`,
		`{"type":"inference.request","flags":[""]}`:                           `/flags/0 is missing`,
		`{"type":"inference.request","origin":{"source":"a"}}`:                `/origin/id is missing`,
		`{"type":"inference.request","time":"1969-01-01T00:00:00Z"}`:          `/time is in the year 1969`,
		`{"type":"inference.request","prompt":{"http.request.body.size":-1}}`: `/prompt/http.request.body.size is -1`,
		`{"type":"inference.request","safety":{"steno.findings":[{"flag":"secret","rule":"r","source":"s","version":"1","direction":"up","score":2,"action":"record","span":{"body":"request","start":9,"end":3}}]}}`: `/safety/steno.findings/0/direction is "up"`,
		`{"type":"inference.request","safety":{"steno.findings":[{"flag":"secret","rule":"r","source":"s","version":"1","direction":"in","score":2,"action":"record"}]}}`:                                             `/safety/steno.findings/0/score is 2`,
		`{"type":"inference.request","safety":{"steno.findings":[{"flag":"secret","rule":"r","source":"s","version":"1","direction":"in","score":1,"action":"record","span":{"body":"request","start":9,"end":3}}]}}`: `ends at 3, before it begins at 9`,
		`{"type":"inference.request","data":{"steno.documents":[{"id":"x"}]}}`: `/data/steno.documents/0/origin is missing`,
	} {
		e := decodeEvent(t, []byte(in))
		if err := Validate(&e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", in, err, want)
		}
		if strings.Contains(want, "score is") || strings.Contains(want, "ends at") || strings.Contains(want, "year") || strings.Contains(want, "flags/0 is missing") {
			continue // beyond what the schema says
		}
		if schema.check([]byte(in)) == nil {
			t.Errorf("%s is valid by the schema", in)
		}
	}
	e := Event{Type: "inference.call", Model: &Model{Parameters: map[string]json.RawMessage{"x": json.RawMessage("{")}}, Prompt: &Prompt{Input: json.RawMessage("{")}}
	if err := Validate(&e); err == nil || !strings.Contains(err.Error(), "/prompt/gen_ai.input.messages is no valid JSON") ||
		!strings.Contains(err.Error(), "/model/steno.request.parameters/x is no valid JSON") {
		t.Errorf("broken JSON: %v", err)
	}
}

func FuzzValidate(f *testing.F) {
	for _, e := range theCatalogue().Types {
		if e.Example != nil {
			f.Add([]byte(e.Example))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Event
		if json.Unmarshal(b, &e) != nil {
			return
		}
		var bad *ValidationError
		if err := Validate(&e); err != nil && (!errors.As(err, &bad) || len(bad.Problems) == 0 || len(bad.Problems) > maxProblems) {
			t.Errorf("%v", err)
		}
	})
}

// jsonSchema checks values against the keywords that our schema uses; an unknown one is an error.
type jsonSchema struct{ root map[string]any }

func loadSchema(t *testing.T) *jsonSchema {
	s := new(jsonSchema)
	if err := json.Unmarshal(JSONSchema(), &s.root); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *jsonSchema) check(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	return s.value(s.root, v, "")
}

func (s *jsonSchema) value(schema map[string]any, v any, at string) error {
	object, isObject := v.(map[string]any)
	for keyword, arg := range schema {
		ok := true
		switch keyword {
		case "$schema", "title", "$defs", "description", "examples", "then", "format":
		case "type":
			switch x := v.(type) {
			case map[string]any:
				ok = arg == "object"
			case []any:
				ok = arg == "array"
			case string:
				ok = arg == "string"
			case bool:
				ok = arg == "boolean"
			case float64:
				ok = arg == "number" || arg == "integer" && x == float64(int64(x))
			default:
				ok = false
			}
		case "enum":
			ok = slices.Contains(arg.([]any), v)
		case "const":
			ok = arg == v
		case "minimum":
			ok = v.(float64) >= arg.(float64)
		case "pattern":
			ok = regexp.MustCompile(arg.(string)).MatchString(fmt.Sprint(v))
		case "required":
			for _, name := range arg.([]any) {
				if _, there := object[name.(string)]; isObject && !there {
					return fmt.Errorf("%s/%s is missing", at, name)
				}
			}
		case "properties":
			for name, sub := range arg.(map[string]any) {
				if x, there := object[name]; there {
					if err := s.value(sub.(map[string]any), x, at+"/"+name); err != nil {
						return err
					}
				}
			}
		case "additionalProperties":
			known := schema["properties"].(map[string]any)
			for name := range object {
				if _, there := known[name]; !there {
					return fmt.Errorf("%s/%s is unknown", at, name)
				}
			}
		case "items":
			for i, x := range v.([]any) {
				if err := s.value(arg.(map[string]any), x, fmt.Sprintf("%s/%d", at, i)); err != nil {
					return err
				}
			}
		case "$ref":
			name := strings.TrimPrefix(arg.(string), "#/$defs/")
			def, there := s.root["$defs"].(map[string]any)[name].(map[string]any)
			if !there {
				return fmt.Errorf("%s is nowhere defined", arg)
			}
			if err := s.value(def, v, at); err != nil {
				return err
			}
		case "allOf":
			for _, sub := range arg.([]any) {
				if err := s.value(sub.(map[string]any), v, at); err != nil {
					return err
				}
			}
		case "if":
			if s.value(arg.(map[string]any), v, at) == nil {
				if err := s.value(schema["then"].(map[string]any), v, at); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("keyword %s is not one that we use", keyword)
		}
		if !ok {
			return fmt.Errorf("%s: %v is not %s %v", at, v, keyword, arg)
		}
	}
	return nil
}

var update = flag.Bool("update", false, "write docs/catalogue.md")

func TestCataloguePage(t *testing.T) {
	const name = "docs/catalogue.md"
	page := cataloguePage(theCatalogue())
	if *update {
		if err := os.WriteFile(name, page, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page) {
		t.Errorf("%s is stale: run go generate", name)
	}
}

func cataloguePage(c *catalogue) []byte {
	var b bytes.Buffer
	b.WriteString(`# The catalogue of events

<!-- Generated from catalogue.json by go generate. -->

Every event belongs to one of six logs; its type is ` + "`log.what_happened`" + `. A type is *made by steno* in this version, or *submitted*
by an application (` + "`POST /v1/events`, or `Client.Submit`" + ` from Go), or both; a type that is neither yet is part of the model and
will be made by a later version. A *public record* is no event: what it says stands in its leaf, for all to read.

The JSON Schema of an event is what ` + "`JSONSchema`" + ` in the Go package returns. Members have the names of the OpenTelemetry semantic
conventions where these have one.
`)
	for _, l := range c.Logs {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", l.Name, l.Doc)
		for _, t := range c.Types {
			if t.Log == l.Name {
				t.page(&b)
			}
		}
	}
	b.WriteString("\n## Members\n")
	for _, g := range c.Groups {
		fmt.Fprintf(&b, "\n### %s\n\n%s", g.Name, g.Doc)
		if g.Section != "" {
			fmt.Fprintf(&b, " Sealed in the section %s, words apart.", g.Section)
		}
		b.WriteString("\n\n| member | type | what it says |\n|---|---|---|\n")
		for _, m := range g.Members {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", m.Name, m.Type, m.words())
		}
	}
	return b.Bytes()
}

func (t *catalogueType) page(b *bytes.Buffer) {
	fmt.Fprintf(b, "\n### %s\n\n%s", t.Name, t.Doc)
	var how []string
	if t.Public != nil {
		how = append(how, fmt.Sprintf("public record %d, %d", t.Public.Log, t.Public.Type))
	}
	if t.Emitted {
		how = append(how, "made by steno")
	}
	if t.Submit {
		how = append(how, "submitted")
	}
	if !t.Emitted && !t.Submit {
		how = append(how, "not made yet")
	}
	fmt.Fprintf(b, " *%s.*\n", strings.Join(how, ", "))
	if t.Public != nil {
		b.WriteString("\n")
		for _, m := range t.Members {
			fmt.Fprintf(b, "- `%s` (%s): %s\n", m.Name, m.Type, m.Doc)
		}
		return
	}
	fmt.Fprintf(b, "\nSpeaks through: %s.", strings.Join(t.Groups, ", "))
	if len(t.Required) > 0 {
		fmt.Fprintf(b, " Needs: `%s`.", strings.Join(t.Required, "`, `"))
	}
	b.WriteString("\n")
	if len(t.Details) > 0 {
		b.WriteString("\n")
	}
	for _, d := range t.Details {
		need := ""
		if d.Required {
			need = " (needed)"
		}
		fmt.Fprintf(b, "- `system/details/%s`%s: %s\n", d.Name, need, d.Doc)
	}
	fmt.Fprintf(b, "\n```json\n%s\n```\n", t.Example)
}

func (m *catalogueMember) words() string {
	s := m.Doc
	switch {
	case m.Text:
		s += " Words: sealed as pieces."
	case len(m.Enum) == len(Flags):
		s += " One of the flags: " + strings.Join(m.Enum, ", ") + "."
	case m.Enum != nil:
		s += " One of: " + strings.Join(m.Enum, ", ") + "."
	case m.Known != nil:
		s += " For example: " + strings.Join(m.Known, ", ") + "."
	}
	if m.Required {
		s += " Needed."
	}
	if m.Sealed == "leaf" {
		s += " In the leaf, not sealed."
	}
	return s
}

// TestSchemaIsStable holds the schema against itself: it is made from maps.
func TestSchemaIsStable(t *testing.T) {
	if !bytes.Equal(JSONSchema(), JSONSchema()) {
		t.Error("two calls give two schemas")
	}
	defs := loadSchema(t).root["$defs"].(map[string]any)
	if got, want := len(slices.Collect(maps.Keys(defs))), len(groupStructs); got != want {
		t.Errorf("%d definitions, want %d: those of the groups inside an event, and a message", got, want)
	}
}
