package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/steno-audit/steno"
)

// textMember is a member of an event that carries words as JSON. It is sealed as pieces: a head that names it, then
// its value, which is one piece, or for an array one piece for each element.
type textMember struct {
	name    string
	section steno.Section
	get     func(*steno.Event) *json.RawMessage // nil when the group is absent
	kinds   func(elements []json.RawMessage) []steno.Kind
}

// textMembers lists them in the order in which they are sealed: what changes least between calls comes first.
var textMembers = []textMember{
	{
		"gen_ai.tool.definitions", steno.SectionPrompt,
		func(e *steno.Event) *json.RawMessage {
			return promptMember(e, func(p *steno.Prompt) *json.RawMessage { return &p.Definitions })
		},
		oneKind(steno.KindToolDefinition),
	},
	{
		"gen_ai.system_instructions", steno.SectionPrompt,
		func(e *steno.Event) *json.RawMessage {
			return promptMember(e, func(p *steno.Prompt) *json.RawMessage { return &p.Instructions })
		},
		oneKind(steno.KindSystem),
	},
	{
		"gen_ai.input.messages", steno.SectionPrompt,
		func(e *steno.Event) *json.RawMessage {
			return promptMember(e, func(p *steno.Prompt) *json.RawMessage { return &p.Input })
		},
		messageKinds,
	},
	{
		"gen_ai.output.messages", steno.SectionOutput,
		func(e *steno.Event) *json.RawMessage {
			if e.Result == nil {
				return nil
			}
			return &e.Result.Output
		},
		oneKind(steno.KindOutput),
	},
}

func promptMember(e *steno.Event, pick func(*steno.Prompt) *json.RawMessage) *json.RawMessage {
	if e.Prompt == nil {
		return nil
	}
	return pick(e.Prompt)
}

func oneKind(k steno.Kind) func([]json.RawMessage) []steno.Kind {
	return func(elements []json.RawMessage) []steno.Kind {
		out := make([]steno.Kind, len(elements))
		for i := range out {
			out[i] = k
		}
		return out
	}
}

// messageKinds tells messages apart by their roles: what is before the model's last answer is history.
func messageKinds(elements []json.RawMessage) []steno.Kind {
	out := make([]steno.Kind, len(elements))
	answered := -1
	for i, e := range elements {
		var m struct {
			Role string `json:"role"`
		}
		_ = json.Unmarshal(e, &m) // an element that is no message is input
		switch m.Role {
		case "system", "developer":
			out[i] = steno.KindSystem
		case "tool":
			out[i] = steno.KindToolResult
		case "assistant":
			out[i] = steno.KindHistory
			answered = i
		default:
			out[i] = steno.KindInput
		}
	}
	for i := range answered {
		if out[i] == steno.KindInput {
			out[i] = steno.KindHistory
		}
	}
	return out
}

// memberHead is the JSON of the head piece before a member's pieces.
type memberHead struct {
	Member string `json:"member"`
	Array  bool   `json:"array,omitempty"`
	// Pieces counts the pieces of each element where some element is longer than a piece may be.
	Pieces []int `json:"pieces,omitempty"`
}

// memberPieces returns the pieces of one list: those of the draft, or those of the text members that belong there.
func memberPieces(d *steno.Draft, s steno.Section) ([]steno.Piece, error) {
	given := d.Request
	if s == steno.SectionOutput {
		given = d.Response
	}
	var out []steno.Piece
	for _, m := range textMembers {
		v := m.get(&d.Event)
		if m.section != s || v == nil || len(*v) == 0 {
			continue
		}
		if len(given) > 0 {
			return nil, fmt.Errorf("the %s is given twice, as pieces and as %s", s, m.name)
		}
		p, err := m.pieces(*v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		out = append(out, p...)
	}
	if len(given) > 0 {
		return given, nil
	}
	return out, nil
}

func (m *textMember) pieces(v json.RawMessage) ([]steno.Piece, error) {
	if !json.Valid(v) {
		return nil, errors.New("not JSON")
	}
	head := memberHead{Member: m.name}
	elements := []json.RawMessage{bytes.TrimSpace(v)}
	if elements[0][0] == '[' {
		head.Array = true
		elements = nil
		if err := json.Unmarshal(v, &elements); err != nil {
			return nil, err
		}
	}
	long := false
	for _, e := range elements {
		n := piecesOf(len(e))
		head.Pieces = append(head.Pieces, n)
		long = long || n > 1
	}
	if !long || !head.Array {
		head.Pieces = nil
	}
	h, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	out := []steno.Piece{{Kind: steno.KindHead, Bytes: h}}
	for i, k := range m.kinds(elements) {
		out = append(out, steno.Piece{Kind: k, Bytes: elements[i]})
	}
	return out, nil
}

// restoreMembers puts members that were sealed as pieces back into the event, and says whether these pieces were
// such members. An element of which a piece is missing (nil bytes) becomes null.
func restoreMembers(e *steno.Event, s steno.Section, pieces []steno.Piece) (bool, error) {
	if len(pieces) == 0 || pieces[0].Kind != steno.KindHead {
		return false, nil
	}
	if h, err := parseMemberHead(pieces[0].Bytes); err != nil || h.Member == "" {
		return false, nil //nolint:nilerr // the head of a call over HTTP, or one that is erased
	}
	for len(pieces) > 0 {
		h, err := parseMemberHead(pieces[0].Bytes)
		if err != nil {
			return false, err
		}
		n := 1
		for n < len(pieces) && pieces[n].Kind != steno.KindHead {
			n++
		}
		v, err := h.value(pieces[1:n])
		if err != nil {
			return false, fmt.Errorf("%w: %s: %w", ErrSealed, h.Member, err)
		}
		dst := memberOf(e, s, h.Member)
		if dst == nil {
			return false, fmt.Errorf("%w: section %s has a member %.40q that this version does not know", ErrSealed, s, h.Member)
		}
		*dst = v
		pieces = pieces[n:]
	}
	return true, nil
}

func parseMemberHead(b []byte) (memberHead, error) {
	var h memberHead
	if len(b) == 0 {
		return h, fmt.Errorf("%w: the head of a member", ErrErasedText)
	}
	if err := json.Unmarshal(b, &h); err != nil {
		return h, fmt.Errorf("%w: the head of a member: %w", ErrSealed, err)
	}
	return h, nil
}

func (h *memberHead) value(pieces []steno.Piece) (json.RawMessage, error) {
	counts := h.Pieces
	switch {
	case !h.Array:
		counts = []int{len(pieces)}
	case counts == nil:
		counts = make([]int, len(pieces))
		for i := range counts {
			counts[i] = 1
		}
	}
	var out []byte
	for i, n := range counts {
		if n < 1 || n > len(pieces) {
			return nil, errors.New("its head names pieces that are not there")
		}
		if i > 0 {
			out = append(out, ',')
		}
		at := len(out)
		for _, p := range pieces[:n] {
			if p.Bytes == nil {
				out = append(out[:at], "null"...)
				break
			}
			out = append(out, p.Bytes...)
		}
		pieces = pieces[n:]
	}
	if len(pieces) > 0 {
		return nil, errors.New("it has more pieces than its head names")
	}
	if h.Array {
		out = append(append([]byte{'['}, out...), ']')
	}
	if !json.Valid(out) {
		return nil, errors.New("its pieces are not JSON")
	}
	return out, nil
}

// memberOf finds a member by name, and makes its group if that is absent.
func memberOf(e *steno.Event, s steno.Section, name string) *json.RawMessage {
	for _, m := range textMembers {
		if m.name != name || m.section != s {
			continue
		}
		if s == steno.SectionPrompt && e.Prompt == nil {
			e.Prompt = &steno.Prompt{}
		}
		if s == steno.SectionOutput && e.Result == nil {
			e.Result = &steno.Result{}
		}
		return m.get(e)
	}
	return nil
}

// piecesOf counts the pieces into which n bytes are cut.
func piecesOf(n int) int { return max(1, (n+steno.MaxChunkPlain-1)/steno.MaxChunkPlain) }

// splitPieces cuts pieces that are longer than a chunk. Marks go after the part in which they stand.
func splitPieces(in []steno.Piece) ([]steno.Piece, error) {
	long := false
	for i := range in {
		long = long || len(in[i].Bytes) > steno.MaxChunkPlain
		if in[i].Kind > steno.KindMark {
			return nil, fmt.Errorf("a piece has the unknown kind %d", in[i].Kind)
		}
	}
	if !long {
		return in, checkMarks(in)
	}
	if err := checkMarks(in); err != nil {
		return nil, err
	}
	var out []steno.Piece
	for i := 0; i < len(in); {
		p := in[i]
		i++
		for at := 0; ; at += steno.MaxChunkPlain {
			end := min(at+steno.MaxChunkPlain, len(p.Bytes))
			out = append(out, steno.Piece{Kind: p.Kind, Bytes: p.Bytes[at:end]})
			for ; i < len(in) && in[i].Kind == steno.KindMark && (in[i].At <= end || end == len(p.Bytes)); i++ {
				m := in[i]
				if len(m.Bytes) > steno.MaxChunkPlain {
					return nil, fmt.Errorf("a mark of %d bytes, at most %d are allowed", len(m.Bytes), steno.MaxChunkPlain)
				}
				out = append(out, steno.Piece{Kind: m.Kind, Bytes: m.Bytes, At: m.At - at})
			}
			if end == len(p.Bytes) {
				break
			}
		}
	}
	return out, nil
}

// checkMarks refuses pieces that Join would refuse when they are read.
func checkMarks(in []steno.Piece) error {
	var base *steno.Piece
	at := 0
	for i := range in {
		p := &in[i]
		switch {
		case p.Kind != steno.KindMark:
			base, at = p, 0
		case base == nil || base.Kind == steno.KindHead || base.Kind == steno.KindTrailer || p.At < at || p.At > len(base.Bytes):
			return steno.ErrBadPieces
		default:
			at = p.At
		}
	}
	return nil
}
