package steno

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// The catalogue says which events there are and what they may say. It is data: validation, the JSON Schema and
// docs/catalogue.md come from it, and a test holds it against the structs of the event model.
//
//go:generate go test -run TestCataloguePage . -update
//go:embed catalogue.json
var catalogueJSON []byte

type catalogue struct {
	Flags  []string         `json:"flags"`
	Logs   []catalogueLog   `json:"logs"`
	Groups []catalogueGroup `json:"groups"` // of an event, first; then the structs inside them
	Types  []catalogueType  `json:"types"`
}

type catalogueLog struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
}

type catalogueGroup struct {
	Name    string            `json:"name"`
	Doc     string            `json:"doc"`
	Section string            `json:"section"` // in which it is sealed; empty for what stands inside another group
	Members []catalogueMember `json:"members"`
}

// catalogueMember is one member of a group. Type is string, id, hex16, hex32, time, integer, number, boolean, object
// (any members), json (any value), the name of a group, or "array of" one of these.
type catalogueMember struct {
	Name     string    `json:"name"`
	Type     string    `json:"type"`
	Doc      string    `json:"doc"`
	Required bool      `json:"required"`
	Enum     enumNames `json:"enum"`  // all values that it may have
	Known    []string  `json:"known"` // values that it has at times, others are allowed
	Text     bool      `json:"text"`  // words of a person or model: sealed as pieces
	Sealed   string    `json:"sealed"`
}

// enumNames is a list, or the name of one that stands once.
type enumNames []string

func (e *enumNames) UnmarshalJSON(b []byte) error {
	if string(b) == `"flags"` {
		*e = nil
		for _, f := range Flags {
			*e = append(*e, string(f))
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(e))
}

type catalogueType struct {
	Name     string            `json:"name"`
	Log      string            `json:"log"`
	Doc      string            `json:"doc"`
	Public   *cataloguePublic  `json:"public"` // of a public record: the numbers in its leaf
	Members  []catalogueMember `json:"members"`
	Groups   []string          `json:"groups"`   // that it speaks through
	Required []string          `json:"required"` // "group/member"
	Details  []catalogueMember `json:"details"`  // members of system/details
	Emitted  bool              `json:"emitted"`  // this version makes it
	Submit   bool              `json:"submit"`   // it may be submitted from outside
	Example  json.RawMessage   `json:"example"`
}

type cataloguePublic struct {
	Log  uint8 `json:"log"`
	Type uint8 `json:"type"`
}

var theCatalogue = sync.OnceValue(func() *catalogue {
	c := new(catalogue)
	if err := json.Unmarshal(catalogueJSON, c); err != nil {
		panic("catalogue.json: " + err.Error()) // it is compiled in, and every test reads it
	}
	return c
})

func (c *catalogue) group(name string) *catalogueGroup {
	i := slices.IndexFunc(c.Groups, func(g catalogueGroup) bool { return g.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Groups[i]
}

func (c *catalogue) eventType(name string) *catalogueType {
	i := slices.IndexFunc(c.Types, func(t catalogueType) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &c.Types[i]
}

func (g *catalogueGroup) member(name string) *catalogueMember {
	i := slices.IndexFunc(g.Members, func(m catalogueMember) bool { return m.Name == name })
	if i < 0 {
		return nil
	}
	return &g.Members[i]
}

// Submittable says whether events of a type may be submitted from outside. All others steno makes itself.
func Submittable(eventType string) bool {
	t := theCatalogue().eventType(eventType)
	return t != nil && t.Submit
}

// EventTypes returns the names of all types of events, log by log.
func EventTypes() []string {
	c := theCatalogue()
	out := make([]string, len(c.Types))
	for i, t := range c.Types {
		out[i] = t.Name
	}
	return out
}

// JSONSchema returns the JSON Schema (draft 2020-12) of an event as it is submitted, a Submission.
func JSONSchema() []byte {
	c := theCatalogue()
	defs := map[string]any{}
	for _, g := range c.Groups[1:] {
		defs[g.Name] = g.schema()
	}
	event := c.Groups[0].schema()
	for _, side := range []string{"request", "response"} {
		event["properties"].(map[string]any)[side] = map[string]any{
			"$ref": "#/$defs/message", "description": "The " + side + " as it was on the wire, in place of its words.",
		}
	}
	defs["message"] = messageSchema()
	event["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	event["title"] = "steno event"
	event["$defs"] = defs
	var names []string
	var rules []any
	for _, t := range c.Types {
		if t.Public != nil {
			continue
		}
		names = append(names, t.Name)
		rules = append(rules, map[string]any{
			"if":   map[string]any{"properties": map[string]any{"type": map[string]any{"const": t.Name}}},
			"then": t.schema(),
		})
	}
	event["properties"].(map[string]any)["type"] = map[string]any{"enum": names, "description": c.Groups[0].member("type").Doc}
	event["allOf"] = rules
	b, err := json.MarshalIndent(event, "", "  ")
	if err != nil {
		panic(err) // maps of strings
	}
	return append(b, '\n')
}

// messageSchema describes a Message.
func messageSchema() map[string]any {
	text := func(doc string) map[string]any { return map[string]any{"type": "string", "description": doc} }
	return map[string]any{
		"type": "object", "description": "One side of a call over HTTP.", "additionalProperties": false,
		"properties": map[string]any{
			"method": text("Of a request."), "url": text("Of a request, without credentials."),
			"status": map[string]any{"type": "integer", "minimum": 0, "description": "Of an answer."},
			"headers": map[string]any{
				"type": "object", "description": "Without credentials; each name has a list of values.",
				"additionalProperties": map[string]any{"type": "array", "items": map[string]any{"type": "string"}},
			},
			"body":        text("The bytes, where they are UTF-8."),
			"body_base64": map[string]any{"type": "string", "contentEncoding": "base64", "description": "The bytes, where they are not."},
		},
	}
}

func (g *catalogueGroup) schema() map[string]any {
	props, required := map[string]any{}, []string{}
	for _, m := range g.Members {
		props[m.Name] = m.schema()
		if m.Required {
			required = append(required, m.Name)
		}
	}
	return map[string]any{
		"type": "object", "description": g.Doc, "properties": props, "required": required, "additionalProperties": false,
	}
}

func (m *catalogueMember) schema() map[string]any {
	out := map[string]any{}
	if of, ok := strings.CutPrefix(m.Type, "array of "); ok {
		items := catalogueMember{Type: of, Enum: m.Enum, Known: m.Known}
		out["type"], out["items"] = "array", items.schema()
	} else {
		switch m.Type {
		case "string", "boolean", "number", "object":
			out["type"] = m.Type
		case "integer":
			out["type"], out["minimum"] = m.Type, 0
		case "time":
			out["type"], out["format"] = "string", "date-time"
		case "id", "hex32":
			out["type"], out["pattern"] = "string", "^[0-9a-fA-F]{32}$"
		case "hex16":
			out["type"], out["pattern"] = "string", "^[0-9a-fA-F]{16}$"
		case "json":
		default:
			out["$ref"] = "#/$defs/" + m.Type
		}
		if m.Enum != nil {
			out["enum"] = m.Enum
		}
		if m.Known != nil {
			out["examples"] = m.Known
		}
	}
	if m.Doc != "" {
		out["description"] = m.Doc
	}
	return out
}

// schema says what one type needs beyond what every event does.
func (t *catalogueType) schema() map[string]any {
	groups := map[string][]string{}
	for _, r := range t.Required {
		g, m, _ := strings.Cut(r, "/")
		groups[g] = append(groups[g], m)
	}
	props, required := map[string]any{}, []string{}
	for _, g := range t.Groups {
		if members := groups[g]; members != nil {
			props[g] = map[string]any{"required": members}
			required = append(required, g)
		}
	}
	var details []string
	about := map[string]any{}
	for _, d := range t.Details {
		about[d.Name] = map[string]any{"description": d.Doc}
		if d.Required {
			details = append(details, d.Name)
		}
	}
	if len(about) > 0 {
		rule := map[string]any{"properties": about}
		if details != nil {
			rule["required"] = details
		}
		system, _ := props["system"].(map[string]any)
		if system == nil {
			system = map[string]any{}
		}
		system["properties"] = map[string]any{"details": rule}
		props["system"] = system
	}
	return map[string]any{"description": t.Doc, "properties": props, "required": required}
}
