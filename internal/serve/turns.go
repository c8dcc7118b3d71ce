package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// turns is the conversation of a call, or of an event that was submitted with its words.
func (c *call) turns(request, response *wire) []Turn {
	out := []Turn{}
	if c.request == nil && c.response == nil {
		for _, e := range c.entries {
			out = append(out, submitted(e.event())...)
		}
		return out
	}
	of := c.dialectCall()
	for _, w := range []*wire{request, response} {
		switch {
		case w.missing:
			out = append(out, c.remains(w)...)
		case len(w.plain) == 0:
		case len(w.plain) > maxTranscript:
			out = append(out, Turn{Side: w.side, New: true, Parts: []Part{{
				Kind: steno.KindBody.String(), Media: fmt.Sprintf("%d bytes, too many to take apart; --raw %s has them", len(w.plain), w.side),
			}}})
		case w.side == sideRequest:
			out = append(out, fromDialect(of.Transcript(w.plain, nil, ""), w)...)
		default:
			out = append(out, fromDialect(of.Transcript(nil, w.plain, w.contentType()), w)...)
		}
	}
	for _, e := range []*entry{c.request, c.response} {
		out = append(out, submitted(e.event())...)
		if c.request == c.response {
			break
		}
	}
	return out
}

func fromDialect(turns []dialect.Turn, w *wire) []Turn {
	out := make([]Turn, 0, len(turns))
	for _, t := range turns {
		n := Turn{Role: t.Role, Name: t.Name, ID: t.ID, Side: w.side, New: t.New || w.side == sideResponse, Parts: make([]Part, 0, len(t.Parts))}
		for _, p := range t.Parts {
			if p.Kind == steno.KindBody && !w.decoded {
				p.Text, p.Media = "", fmt.Sprintf("%d bytes compressed with %s, which steno does not undo", len(w.raw), w.encoding)
			}
			n.Parts = append(n.Parts, Part{
				Kind: p.Kind.String(), Text: p.Text, Name: p.Name, ID: p.ID, Media: p.Media, Document: p.Document, Start: p.Start, End: p.End,
			})
		}
		out = append(out, n)
	}
	return out
}

// remains shows what is left of a direction of which parts are erased: piece by piece, since the whole is no JSON any more.
func (c *call) remains(w *wire) []Turn {
	entries := []*entry{c.request}
	section := steno.SectionPrompt
	if w.side == sideResponse {
		entries, section = append(append([]*entry(nil), c.parts...), c.response), steno.SectionOutput
	}
	var out []Turn
	for _, e := range entries {
		if e == nil || e.leaf.Sections&section == 0 {
			continue
		}
		if e.opened == nil {
			out = append(out, gone(w.side, steno.KindBody, e.erased))
			continue
		}
		pieces := e.opened.Request
		if w.side == sideResponse {
			pieces = e.opened.Response
		}
		missing := map[int]int{}
		for _, m := range e.opened.Missing {
			if m.Section == section && m.Piece < 0 {
				out = append(out, gone(w.side, steno.KindBody, "erased"))
			} else if m.Section == section {
				missing[m.Piece] = m.Length
			}
		}
		for i, p := range pieces {
			n, erased := missing[i]
			switch {
			case erased:
				out = append(out, gone(w.side, p.Kind, fmt.Sprintf("erased, %d bytes", n)))
			case p.Kind == steno.KindFrame || p.Kind == steno.KindHead || p.Kind == steno.KindTrailer || p.Kind == steno.KindMark:
			case dialect.Encoded(w.encoding) || !utf8.Valid(p.Bytes):
				out = append(out, gone(w.side, p.Kind, fmt.Sprintf("%d bytes that are not text", len(p.Bytes))))
			default:
				t := gone(w.side, p.Kind, "")
				t.Parts[0].Text = pieceText(p.Bytes)
				out = append(out, t)
			}
		}
	}
	return out
}

func gone(side string, k steno.Kind, why string) Turn {
	return Turn{Role: roleOf(k), Side: side, New: true, Parts: []Part{{Kind: k.String(), Media: why}}}
}

func roleOf(k steno.Kind) string {
	switch k {
	case steno.KindSystem:
		return "system"
	case steno.KindInput:
		return "user"
	case steno.KindToolDefinition:
		return "tools"
	case steno.KindToolResult:
		return "tool"
	case steno.KindToolCall, steno.KindOutput, steno.KindReasoning:
		return "assistant"
	}
	return ""
}

// pieceText is a piece as text: a JSON string without its escapes, all else as it stands.
func pieceText(b []byte) string {
	var s string
	if err := json.Unmarshal(b, &s); err == nil {
		return s
	}
	if err := json.Unmarshal([]byte(`"`+string(b)+`"`), &s); err == nil {
		return s
	}
	return string(b)
}

// submitted is the words of an event in the shape of the OpenTelemetry conventions: messages with parts.
func submitted(e *steno.Event) []Turn {
	if e == nil {
		return nil
	}
	var out []Turn
	if p := e.Prompt; p != nil {
		if len(p.Instructions) > 0 {
			out = append(out, Turn{Role: "system", Side: sideRequest, New: true, Parts: messageParts(p.Instructions, steno.KindSystem)})
		}
		if len(p.Definitions) > 0 {
			out = append(out, Turn{Role: "tools", Side: sideRequest, New: true, Parts: []Part{{Kind: steno.KindToolDefinition.String(), Text: string(p.Definitions)}}})
		}
		out = append(out, messages(p.Input, sideRequest, steno.KindInput)...)
	}
	if r := e.Result; r != nil {
		out = append(out, messages(r.Output, sideResponse, steno.KindOutput)...)
	}
	return out
}

func messages(raw json.RawMessage, side string, kind steno.Kind) []Turn {
	if len(raw) == 0 {
		return nil
	}
	var list []struct {
		Role  string          `json:"role"`
		Name  string          `json:"name"`
		Parts json.RawMessage `json:"parts"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return []Turn{{Side: side, New: true, Parts: []Part{{Kind: kind.String(), Text: pieceText(raw)}}}}
	}
	var out []Turn
	for _, m := range list {
		out = append(out, Turn{Role: m.Role, Name: m.Name, Side: side, New: true, Parts: messageParts(m.Parts, kind)})
	}
	return out
}

func messageParts(raw json.RawMessage, kind steno.Kind) []Part {
	var list []struct {
		Type      string          `json:"type"`
		Content   json.RawMessage `json:"content"`
		ID        string          `json:"id"`
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
		Result    json.RawMessage `json:"result"`
		Response  json.RawMessage `json:"response"`
	}
	if len(raw) == 0 {
		return []Part{}
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return []Part{{Kind: kind.String(), Text: pieceText(raw)}}
	}
	out := []Part{}
	for i, p := range list {
		n := Part{Kind: kind.String(), Text: pieceText(p.Content), ID: p.ID, Name: p.Name}
		switch p.Type {
		case "tool_call":
			n.Kind, n.Text = steno.KindToolCall.String(), pieceText(p.Arguments)
		case "tool_call_response":
			n.Kind, n.Text = steno.KindToolResult.String(), pieceText(append(p.Result, p.Response...))
		case "reasoning":
			n.Kind = steno.KindReasoning.String()
		case "text", "":
		default: // what is not known is shown as it came
			var every []json.RawMessage
			if json.Unmarshal(raw, &every) == nil && i < len(every) {
				n.Text = string(every[i])
			}
		}
		out = append(out, n)
	}
	return out
}

// steps are the eight steps: what the records say of each, and which record it is.
func (c *call) steps(x *Exchange) []Step {
	out := make([]Step, len(StepNames))
	at := func(name string) *Step {
		for i, n := range StepNames {
			if n == name {
				return &out[i]
			}
		}
		return nil
	}
	for i, n := range StepNames {
		out[i] = Step{Name: n, Outcome: "none"}
	}
	for _, e := range []*entry{c.request, c.response} {
		ev := e.event()
		if ev == nil || ev.Timing == nil {
			continue
		}
		for _, s := range ev.Timing.Steps {
			if to := at(s.Name); to != nil {
				to.Start, to.End, to.Outcome, to.Detail = s.Start, s.End, s.Outcome, s.Detail
				to.heldBy(e)
			}
		}
	}
	answer, output := at("answer"), at("output")
	t := x.Timing
	if t != nil && !t.Forwarded.IsZero() {
		if m := at("model"); !m.Start.IsZero() && t.Forwarded.After(m.End) {
			m.End = t.Forwarded // it goes to the model once it is durable
		}
	}
	if c.response == nil {
		if c.request != nil {
			answer.Outcome, output.Outcome, at("alerts").Outcome = "open", "open", "open"
		}
	} else if ev := c.response.event(); ev != nil && output.Start.IsZero() && c.response != c.request && ev.Timing != nil {
		output.Start, output.End, output.Outcome = ev.Timing.Finished, ev.Timing.Finished, "ok"
		if ev.Safety != nil {
			var micros int64
			for _, k := range ev.Safety.Checks {
				micros = max(micros, k.Micros) // each says how long all of them took together
			}
			output.End = output.Start.Add(time.Duration(micros) * time.Microsecond)
			output.Detail = checksDone(ev.Safety)
		}
		output.heldBy(c.response)
	}
	if a := at("alerts"); len(c.alerts) > 0 {
		first, last := c.alerts[0], c.alerts[len(c.alerts)-1]
		a.Start, a.End, a.Outcome = first.opened.Time, last.opened.Time, "ok"
		a.Detail = plural(len(c.alerts), "alert")
		a.heldBy(last)
	}
	return out
}

func (s *Step) heldBy(e *entry) {
	i := e.index
	s.Record, s.Leaf, s.DurableAt = e.leaf.Record.String(), &i, time.Unix(0, e.leaf.WrittenAt).UTC()
}

func checksDone(s *steno.Safety) string {
	var not []string
	for _, c := range s.Checks {
		if c.Outcome != "done" {
			not = append(not, c.Name)
		}
	}
	switch {
	case len(not) > 0:
		return "not done: " + strings.Join(not, ", ")
	case len(s.Checks) == 0:
		return "no checks"
	}
	return plural(len(s.Checks), "check") + ", " + plural(len(s.Findings), "finding")
}
