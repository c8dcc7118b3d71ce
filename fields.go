package steno

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Field is one member of a section of fields: its value is JSON.
type Field struct {
	Name  string
	Value []byte
}

// member is one struct field of a group, found once by reflection.
type member struct {
	name    string // as sealed: "group/member", or the member alone in identity and context
	index   []int
	isText  bool
	omitted func(reflect.Value) bool
}

var textMembers = map[string]bool{
	"gen_ai.input.messages": true, "gen_ai.system_instructions": true, "gen_ai.tool.definitions": true, "gen_ai.output.messages": true,
}

// members of each section of fields, in the order in which they are sealed.
var members = map[Section][]member{
	SectionIdentity: groupMembers("Identity", ""),
	SectionContext:  groupMembers("Data", ""),
	SectionMetadata: metadataMembers(),
}

func metadataMembers() []member {
	var out []member
	t := reflect.TypeFor[Event]()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch f.Name {
		case "ID", "Exchange", "Imported", "Identity", "Data": // in the leaf, or sections of their own
		case "Model", "Prompt", "Result", "Timing", "Safety", "System":
			out = append(out, groupMembers(f.Name, name+"/")...)
		default:
			out = append(out, member{name: name, index: f.Index, omitted: reflect.Value.IsZero})
		}
	}
	return out
}

func groupMembers(group, prefix string) []member {
	g, ok := reflect.TypeFor[Event]().FieldByName(group)
	if !ok {
		panic("no group " + group)
	}
	t := g.Type.Elem()
	out := make([]member, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		out = append(out, member{
			name: prefix + name, index: append(append([]int(nil), g.Index...), f.Index...),
			isText: textMembers[name], omitted: reflect.Value.IsZero,
		})
	}
	return out
}

// Fields returns the members of one section of fields that have something to say, in a fixed order. Text members are
// left out: they are pieces. An absent group has no fields.
func (e *Event) Fields(s Section) ([]Field, error) {
	v := reflect.ValueOf(e).Elem()
	var out []Field
	for _, m := range members[s] {
		if m.isText {
			continue
		}
		f := v.Field(m.index[0])
		if len(m.index) > 1 {
			if f.IsNil() {
				continue
			}
			f = f.Elem().Field(m.index[1])
		}
		if m.omitted(f) {
			continue
		}
		val, err := fieldValue(f)
		if err != nil {
			return nil, fmt.Errorf("couldn't encode %s: %w", m.name, err)
		}
		out = append(out, Field{m.name, val})
	}
	return out, nil
}

// fieldValue is json.Marshal without HTML escaping, and without the reflection walk for most of what fields hold.
func fieldValue(f reflect.Value) ([]byte, error) {
	switch f.Kind() {
	case reflect.String:
		if s := f.String(); plainASCII(s) {
			out := make([]byte, 0, len(s)+2)
			return append(append(append(out, '"'), s...), '"'), nil
		}
	case reflect.Int, reflect.Int64:
		return strconv.AppendInt(nil, f.Int(), 10), nil
	case reflect.Bool:
		return strconv.AppendBool(nil, f.Bool()), nil
	case reflect.Struct:
		if t, ok := f.Interface().(time.Time); ok {
			return t.MarshalJSON()
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f.Interface()); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// plainASCII says whether a string stands in JSON as it is.
func plainASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// SetFields puts the fields of a section back into the event. A field that this version does not know is an error:
// what cannot be shown must not be dropped silently.
func (e *Event) SetFields(s Section, fields []Field) error {
	v := reflect.ValueOf(e).Elem()
	for _, f := range fields {
		m, ok := named[s][f.Name]
		if !ok {
			return fmt.Errorf("section %s has a field %q that this version does not know", s, f.Name)
		}
		dst := v.Field(m.index[0])
		if len(m.index) > 1 {
			if dst.IsNil() {
				dst.Set(reflect.New(dst.Type().Elem()))
			}
			dst = dst.Elem().Field(m.index[1])
		}
		if err := json.Unmarshal(f.Value, dst.Addr().Interface()); err != nil {
			return fmt.Errorf("field %s of section %s: %w", f.Name, s, err)
		}
	}
	return nil
}

// named finds a section's members by name.
var named = func() map[Section]map[string]member {
	out := map[Section]map[string]member{}
	for s, list := range members {
		out[s] = map[string]member{}
		for _, m := range list {
			out[s][m.name] = m
		}
	}
	return out
}()
