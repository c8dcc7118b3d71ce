package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

const (
	paperWidth = 100  // of a transcript where the screen does not say, or is wider
	foldBytes  = 4000 // of one text, unless all is asked for
	foldTurns  = 4    // turns of an old history shown unless all is asked for: the first and the last ones
)

// transcript prints an exchange for people.
type transcript struct {
	page
	s    *screen
	x    *serve.Exchange
	full bool
	cols int
}

func printExchange(s *screen, x *serve.Exchange, full bool) error {
	t := &transcript{page: page{w: s.w, wide: 10}, s: s, x: x, full: full, cols: paperWidth}
	if s.width > 0 {
		t.cols = max(min(s.width, paperWidth), 40)
	}
	t.title()
	t.who()
	t.what()
	t.missing()
	t.conversation()
	t.end()
	t.safety()
	t.documents()
	t.steps()
	t.records()
	t.proof()
	return t.err
}

func (t *transcript) heading(s string) {
	t.print("")
	t.print(t.s.paint(bold, strings.ToUpper(s)))
}

// text prints a text, wrapped and indented.
func (t *transcript) text(indent, s string) {
	for _, line := range strings.Split(s, "\n") {
		for _, l := range wrap(plainText(line), t.cols-utf8.RuneCountInString(indent)) {
			t.print(indent + l)
		}
	}
}

// field prints a label with a text that may be long.
func (t *transcript) field(label, format string, args ...any) {
	if label != "" {
		label += " "
	}
	lines := wrap(fmt.Sprintf(format, args...), t.cols-t.wide-2)
	for i, l := range lines {
		if i > 0 {
			label = ""
		}
		t.print(t.s.paint(grey, fmt.Sprintf("%-*s", t.wide+2, label)) + l)
	}
}

func (t *transcript) title() {
	what := "EXCHANGE "
	if t.x.Kind != "exchange" {
		what = "EVENT "
	}
	title := t.s.paint(bold, what+t.x.ID.String())
	if t.x.Demo {
		title += "   demo data"
	}
	if t.x.Revealed {
		title += "   " + t.s.paint(red, "secrets revealed")
	}
	t.print(title)
	if t.x.Kind != "exchange" {
		t.field("type", "%s", plain(t.x.Title))
	}
}

func (t *transcript) who() {
	w := t.x.Who
	if w == nil {
		t.field("who", "not on record")
	} else {
		t.field("who", "%s", whoWords(w))
		var more []string
		add := func(name, v, member string) {
			if v != "" {
				if slices.Contains(w.Asserted, member) {
					v += " (asserted by the application)"
				}
				more = append(more, name+" "+plain(v))
			}
		}
		add("role", w.Role, "steno.role")
		add("team", w.Team, "steno.team")
		add("tenant", w.Tenant, "steno.tenant")
		add("conversation", w.Conversation, "gen_ai.conversation.id")
		add("session", w.Session, "session.id")
		if len(more) > 0 {
			t.field("", "%s", strings.Join(more, "; "))
		}
		t.field("caller", "%s", callerWords(w))
	}
	at := t.x.Time
	t.field("when", "%s", at.Local().Format("Monday 2 January 2006, 15:04:05.000 MST"))
	t.field("", "%s", at.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// whoWords says whose call it was, and on whose word that rests.
func whoWords(w *steno.Identity) string {
	if w.User == "" {
		return "no person was named: it is the tenant's own"
	}
	on := map[string]string{
		"header":            "asserted by the application in x-steno-user",
		"safety_identifier": "asserted by the application in the request's safety_identifier",
		"user":              "asserted by the application in the request's user",
		"metadata.user_id":  "asserted by the application in the request's metadata.user_id",
		"key":               "the user of the gateway key that was used",
	}[w.UserSource]
	if on == "" {
		on = "on whose word is not on record"
	}
	return plain(w.User) + " (" + on + ")"
}

func callerWords(w *steno.Identity) string {
	var out string
	switch w.Auth {
	case "key":
		out = "gateway key " + orDash(plain(w.Key))
		if w.Caller != "" {
			out += " of " + plain(w.Caller)
		}
	case "passthrough":
		out = "no gateway key; known by the hash of its provider's key"
	case "anonymous", "none":
		out = "no gateway key and none of the provider's"
	case "failed":
		out = "no valid key: refused"
	case "console":
		out = "the holder of the console's token"
	case "":
		out = "not on record"
	default:
		out = plain(w.Auth)
	}
	if w.Address != "" {
		out += ", from " + plain(w.Address)
	}
	if w.UserAgent != "" {
		out += ", " + plain(w.UserAgent)
	}
	return out
}

func (t *transcript) what() {
	m := t.x.ModelUsed
	if m == nil || t.x.Kind != "exchange" {
		return
	}
	t.field("model", "%s", plain(modelArrow(m.Asked, m.Answered)))
	version := "version unknown: neither the answer nor its headers name one"
	if m.Version != "" {
		version = "version " + plain(m.Version) + ", read from " + plain(m.VersionSource)
	}
	if m.Fingerprint != "" {
		version += "; fingerprint " + plain(m.Fingerprint)
	}
	if m.ServiceTier != "" {
		version += "; tier " + plain(m.ServiceTier)
	}
	t.field("", "%s", version)
	where := plain(m.Provider)
	if m.Upstream != "" && m.Upstream != m.Provider {
		where += " by way of the upstream " + plain(m.Upstream)
	}
	if m.Server != "" {
		where += " at " + plain(m.Server)
	}
	call := strings.TrimSpace(m.Method + " " + plain(m.Path))
	switch {
	case !m.Understood && m.Method != "":
		call += ", not understood: recorded whole, taken apart no further"
	case m.Stream:
		call += ", streamed"
	}
	t.field("sent to", "%s", strings.Trim(where+"; "+call, "; "))
	if len(m.Parameters) > 0 {
		names := make([]string, 0, len(m.Parameters))
		for n := range m.Parameters {
			names = append(names, n)
		}
		sort.Strings(names)
		for i, n := range names {
			names[i] = plain(n) + " " + cut(plain(string(m.Parameters[n])), 200)
		}
		t.field("settings", "%s", strings.Join(names, "; "))
	}
	if p := t.x.Prompt; p != nil {
		if p.Name != "" {
			t.field("prompt", "%s %s (asserted by the application)", plain(p.Name), plain(p.Version))
		}
		if p.Previous != "" {
			t.field("goes on", "from the provider's response %s", plain(p.Previous))
		}
	}
}

func (t *transcript) missing() {
	if len(t.x.Missing) == 0 {
		return
	}
	t.heading("not here any more")
	for _, m := range t.x.Missing {
		what := "the whole record"
		switch {
		case m.Section != "" && m.Piece < 0:
			what = "the whole " + m.Section
		case m.Section != "":
			what = fmt.Sprintf("piece %d of the %s, %d bytes", m.Piece, m.Section, m.Bytes)
		}
		t.text("  ", fmt.Sprintf("%s of record %d: %s", what, m.Leaf, m.Why))
	}
}

func (t *transcript) conversation() {
	if len(t.x.Turns) == 0 {
		return
	}
	t.heading("conversation")
	if t.x.Masked > 0 {
		t.text("  ", fmt.Sprintf("%s masked here; --reveal shows what stands there, and that is recorded", counted(t.x.Masked, "secret is", "secrets are")))
	}
	// A history that is only sent again is folded: what is new is what this call was about.
	old := 0
	for _, turn := range t.x.Turns {
		if !turn.New {
			old++
		}
	}
	seen := 0
	for i := range t.x.Turns {
		turn := &t.x.Turns[i]
		if !turn.New && !t.full && old > foldTurns {
			seen++
			if seen == foldTurns/2+1 {
				t.print("")
				t.text("  ", fmt.Sprintf("… %d earlier turns, sent before; --full shows them …", old-foldTurns))
			}
			if seen > foldTurns/2 && seen <= old-foldTurns/2 {
				continue
			}
		}
		t.turn(turn)
	}
}

func (t *transcript) turn(turn *serve.Turn) {
	role := plain(turn.Role)
	if role == "" {
		role = turn.Side + ", not taken apart"
	}
	switch {
	case role == "tools":
		role = "tools offered"
	case turn.Name != "":
		role += " " + plain(turn.Name)
	}
	if turn.ID != "" {
		role += " (" + plain(turn.ID) + ")"
	}
	mark := "  sent before"
	if turn.New {
		mark = ""
	}
	t.print("")
	t.print("  " + t.s.paint(bold, role) + t.s.paint(grey, mark))
	for i := range turn.Parts {
		t.part(&turn.Parts[i], turn.Role == "tools")
	}
}

func (t *transcript) part(p *serve.Part, offered bool) {
	const indent = "    "
	label := ""
	switch p.Kind {
	case "tool_call":
		label = "calls " + orDash(plain(p.Name))
		if p.ID != "" {
			label += " (" + plain(p.ID) + ") with"
		}
	case "tool_result":
		label = "result"
		if p.Name != "" {
			label += " of " + plain(p.Name)
		}
		if p.ID != "" {
			label += " (" + plain(p.ID) + ")"
		}
	case "reasoning":
		label = "reasoning"
	case "context":
		label = "document"
	}
	if d := p.Document; d != nil {
		label = strings.TrimSpace(label + " " + documentWords(d))
	}
	if offered {
		text := orDash(plain(p.Name))
		if t.full {
			text += "  " + p.Text
		}
		t.text(indent, text)
		return
	}
	if label != "" {
		t.print(indent + t.s.paint(grey, label))
	}
	if p.Media != "" {
		t.text(indent, "["+p.Media+"]")
	}
	text := p.Text
	if p.Kind == "tool_call" {
		text = indentJSON(text)
	}
	left := 0
	if !t.full && len(text) > foldBytes {
		at := foldBytes
		for at > 0 && !utf8.RuneStart(text[at]) {
			at--
		}
		left, text = len(text)-at, text[:at]
	}
	if text != "" {
		t.text(indent, text)
	}
	if left > 0 {
		t.text(indent, fmt.Sprintf("… %d bytes more; --full shows them", left))
	}
	for _, tag := range p.Tags {
		if !tag.Masked {
			t.print(indent + t.s.paint(yellow, fmt.Sprintf("^ %s (%s): %s", tag.Flag, plain(tag.Rule), quoted(p.Text, tag))))
		}
	}
}

// quoted is the beginning of what a tag marks.
func quoted(text string, tag serve.Tag) string {
	if tag.Start < 0 || tag.End > len(text) || tag.Start >= tag.End {
		return "its place is not in this text"
	}
	return "“" + cut(plain(strings.ToValidUTF8(text[tag.Start:tag.End], "�")), 60) + "”"
}

func indentJSON(s string) string {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		return s
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return s
	}
	return string(b)
}

func documentWords(d *steno.Document) string {
	var out []string
	for _, f := range []struct{ name, v string }{
		{"", d.Title}, {"id ", d.ID}, {"version ", d.Version}, {"index ", d.Index}, {"vector ", d.VectorID}, {"chunk ", d.Chunk},
	} {
		if f.v != "" {
			out = append(out, f.name+plain(f.v))
		}
	}
	if d.Score != nil {
		out = append(out, fmt.Sprintf("score %g", *d.Score))
	}
	return strings.Join(out, ", ")
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// plainText is plain for a line of a text: tabs become spaces.
func plainText(s string) string {
	return plain(strings.ReplaceAll(strings.TrimSuffix(s, "\r"), "\t", "    "))
}

// wrap breaks a line at spaces; a word longer than the line is broken where the line ends.
func wrap(s string, width int) []string {
	width = max(width, 10)
	if utf8.RuneCountInString(s) <= width {
		return []string{s}
	}
	lead := s[:len(s)-len(strings.TrimLeft(s, " "))] // code keeps its indent
	if len(lead) > width/2 {
		lead = ""
	}
	var out []string
	r := []rune(s)
	for len(r) > width {
		at := width
		for i := width; i > len([]rune(lead))+width/3; i-- {
			if r[i] == ' ' {
				at = i
				break
			}
		}
		out = append(out, strings.TrimRight(string(r[:at]), " "))
		rest := r[at:]
		for len(rest) > 0 && rest[0] == ' ' {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return out
		}
		r = append([]rune(lead), rest...)
	}
	return append(out, string(r))
}
