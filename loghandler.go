package steno

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// LogHandler is a slog.Handler that turns records into events: those with an attribute "event" that names a type of the
// catalogue. Every record, these too, goes on to the next handler.
//
// Other attributes fill the event: "actor", "user.id" or "gen_ai.request.model" go to the member of that name, in whatever
// group it stands, or in the one that a slog group names (system, identity, model …); what is no member of an event goes
// into system.details. The message is the reason, where no attribute is. An event that the catalogue refuses is not
// recorded: Handle returns why, and Client.OnError hears it.
type LogHandler struct {
	client *Client
	next   slog.Handler
	groups []string
	attrs  []groupedAttr
}

type groupedAttr struct {
	groups []string
	attr   slog.Attr
}

// NewLogHandler returns a handler that records through c and passes every record on to next, which may be nil.
func NewLogHandler(c *Client, next slog.Handler) *LogHandler {
	return &LogHandler{client: c, next: next}
}

// Enabled is true: what an event is worth recording, its type decides and not its level.
func (h *LogHandler) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs returns a handler whose records have the attributes.
func (h *LogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.attrs = slices.Clip(n.attrs)
	for _, a := range attrs {
		n.attrs = append(n.attrs, groupedAttr{h.groups, a})
	}
	if n.next != nil {
		n.next = n.next.WithAttrs(attrs)
	}
	return &n
}

// WithGroup returns a handler whose later attributes are in the group.
func (h *LogHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.groups = append(slices.Clip(n.groups), name)
	if n.next != nil {
		n.next = n.next.WithGroup(name)
	}
	return &n
}

// Handle records the event that a record is, if it is one, and passes it on. It returns when the event is queued.
func (h *LogHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.record(ctx, r)
	if err != nil {
		err = fmt.Errorf("couldn't record a log record as an event: %w", err)
		h.client.complain(err)
	}
	if h.next != nil && h.next.Enabled(ctx, r.Level) {
		err = errors.Join(err, h.next.Handle(ctx, r))
	}
	return err
}

func (h *LogHandler) record(ctx context.Context, r slog.Record) error {
	m := eventMembers{}
	for _, a := range h.attrs {
		m.add(a.groups, a.attr)
	}
	r.Attrs(func(a slog.Attr) bool {
		m.add(h.groups, a)
		return true
	})
	kind, ok := m[""]["event"].(string)
	if !ok {
		return nil // a log record like any other
	}
	delete(m[""], "event")
	e, err := m.event(kind, r.Message)
	if err != nil {
		return err
	}
	e.Time = r.Time.UTC()
	e.TraceID, e.Parent, _ = parseTrace(h.client.trace(ctx))
	if e.Identity == nil {
		e.Identity = identityOf(ctx)
	}
	if err := Validate(e); err != nil {
		return err
	}
	if !Submittable(kind) {
		return fmt.Errorf("events of type %s are made by steno alone", kind)
	}
	return h.client.Enqueue(ctx, *e)
}

// eventMembers are the attributes by the group of the event that they stand in; "" holds those of none.
type eventMembers map[string]map[string]any

func (m eventMembers) add(groups []string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups = append(slices.Clip(groups), a.Key)
		}
		for _, inner := range v.Group() {
			m.add(groups, inner)
		}
		return
	}
	if a.Key == "" {
		return
	}
	group, name := "", a.Key
	if len(groups) > 0 {
		group, name = groups[0], strings.Join(append(slices.Clip(groups[1:]), a.Key), ".")
	}
	if m[group] == nil {
		m[group] = map[string]any{}
	}
	m[group][name] = plainValue(v)
}

// plainValue is a value that marshals as people expect: errors and durations as text.
func plainValue(v slog.Value) any {
	switch x := v.Any().(type) {
	case error:
		return x.Error()
	case fmt.Stringer:
		if v.Kind() == slog.KindDuration {
			return x.String()
		}
	}
	return v.Any()
}

// memberGroup finds the group of an event in which a member stands.
var memberGroup = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	c := theCatalogue()
	for _, in := range c.Groups[0].Members {
		if g := c.group(in.Type); g != nil && g.Section != "" {
			for _, m := range g.Members {
				out[m.Name] = in.Name
			}
		}
	}
	return out
})

func (m eventMembers) event(kind, message string) (*Event, error) {
	out := map[string]map[string]any{}
	details := map[string]any{}
	put := func(group, name string, v any) {
		if out[group] == nil {
			out[group] = map[string]any{}
		}
		out[group][name] = v
	}
	top := map[string]any{"type": kind}
	for group, values := range m {
		for name, v := range values {
			at, known := memberGroup()[name]
			switch {
			case group == "" && (name == "exchange" || name == "links" || name == "flags" || name == "origin"):
				top[name] = v
			case group == "" && known && name != "details":
				put(at, name, v)
			case group != "" && known && at == group && name != "details":
				put(group, name, v)
			case group == "details" || group == "":
				details[name] = v
			default:
				details[group+"."+name] = v
			}
		}
	}
	if system := out["system"]; system != nil || len(details) > 0 || strings.HasPrefix(kind, "governance.") {
		if system == nil {
			system = map[string]any{}
			out["system"] = system
		}
		if system["action"] == nil {
			_, system["action"], _ = strings.Cut(kind, ".")
		}
		if system["reason"] == nil && message != "" {
			system["reason"] = message
		}
		if len(details) > 0 {
			system["details"] = details
		}
	}
	for group, values := range out {
		top[group] = values
	}
	b, err := json.Marshal(top)
	if err != nil {
		return nil, err
	}
	e := new(Event)
	if err := json.Unmarshal(b, e); err != nil {
		return nil, err
	}
	return e, nil
}
