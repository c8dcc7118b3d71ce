package stub

import (
	"bytes"
	"crypto/sha256"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// ask is what the stub reads of a request; every answer is a function of it.
type ask struct {
	r     *http.Request
	hash  [32]byte // of the whole request
	body  []byte
	knobs knobs

	model    string // asked, without knobs
	answered string // its dated version
	stream   bool

	asked    []byte // content of the user's last turn …
	question string // … its words, and those that an answer takes up
	topics   []string
	last     string // role of the last turn: user, assistant, tool …
	turns    int
	tokens   int // of the prompt
	cached   int // of these, what a provider would have in its cache

	tools    []tool
	choice   string // auto, none, required, or the name of a tool
	parallel bool
	n        int
	most     int // tokens of answer, 0 for no limit
	stops    []string
	object   bool   // the answer must be JSON …
	schema   []byte // … of this schema, nil for any
	thinks   bool
}

// tool is a function that the model may call.
type tool struct {
	name   string
	about  string
	schema []byte
}

func newAsk(r *http.Request, body []byte) *ask {
	a := &ask{r: r, body: body, knobs: noKnobs(), choice: "auto", parallel: true, n: 1}
	h := sha256.New()
	var head [128]byte
	b := append(append(head[:0], r.Method...), ' ')
	b = append(append(b, r.URL.Path...), '?')
	b = append(append(b, r.URL.RawQuery...), ' ')
	b = append(append(b, r.Header.Get("anthropic-version")...), '\n')
	h.Write(b)
	h.Write(body)
	h.Sum(a.hash[:0])
	return a
}

func (a *ask) random(use uint64) random { return newRandom(a.hash, use, 0) }

// created is when the answer says it was made.
func (a *ask) created() int64 {
	r := a.random(forThat)
	return yearStart + int64(r.below(yearLong-3600))
}

// took is how many milliseconds it says that took.
func (a *ask) took() int {
	r := a.random(forThat ^ forIDs)
	return 120 + r.below(1800)
}

// anthropic reports which of the two providers is asked.
func (a *ask) anthropic() bool {
	p := a.r.URL.Path
	return a.r.Header.Get("anthropic-version") != "" || p == "/v1/complete" || p == "/v1/messages" || strings.HasPrefix(p, "/v1/messages/")
}

// setModel takes the knobs off the model's name. The header's win over them.
func (a *ask) setModel(v []byte) error {
	name, list, _ := strings.Cut(text(v), "+")
	a.model, a.answered = name, dated(name)
	if err := a.knobs.set(list); err != nil {
		return err
	}
	return a.headerKnobs()
}

func (a *ask) headerKnobs() error {
	for _, h := range a.r.Header["X-Stub"] {
		if err := a.knobs.set(h); err != nil {
			return err
		}
	}
	return nil
}

// turn counts a turn of the conversation. Content is a string or a list of parts.
func (a *ask) turn(role string, content []byte) {
	a.turns++
	a.last = role
	switch role {
	case "user":
		a.asked = content
	case "assistant":
		a.cached = a.tokens // what preceded the model's last answer was sent before
	}
	a.tokens += 4 + contentTokens(content)
}

// imageTokens is what a picture or another blob in a prompt counts.
const imageTokens = 255

// contentTokens is the size of a content. It counts bytes as they are on the wire.
func contentTokens(content []byte) int {
	switch kind(content) {
	case '"':
		return guessTokens(len(content) - 2)
	case '[':
		n := 0
		for part := range elements(content) {
			n += partTokens(part)
		}
		return n
	}
	return 0
}

func partTokens(part []byte) int {
	switch text(member(part, "type")) {
	case "text", "input_text", "output_text":
		return contentTokens(member(part, "text"))
	case "image", "image_url", "input_image", "input_file", "file", "document", "input_audio":
		return imageTokens
	case "tool_result":
		return 4 + contentTokens(member(part, "content"))
	}
	return guessTokens(len(part))
}

// contentText is the text of a content.
func contentText(content []byte) string {
	if kind(content) != '[' {
		return text(content)
	}
	var b strings.Builder
	for part := range elements(content) {
		s := text(part)
		switch text(member(part, "type")) {
		case "text", "input_text":
			s = text(member(part, "text"))
		}
		if s != "" && b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(s)
	}
	return b.String()
}

// read settles what the turns said.
func (a *ask) read() {
	a.question = contentText(a.asked)
	a.topics = topics(a.question)
}

func (a *ask) setTools(list []byte) {
	for t := range elements(list) {
		f := t
		if in := member(t, "function"); in != nil { // chat nests it, responses and messages don't
			f = in
		}
		schema := member(f, "parameters")
		if schema == nil {
			schema = member(f, "input_schema")
		}
		name := text(member(f, "name"))
		a.tokens += guessTokens(len(t)) / 2
		if name != "" {
			a.tools = append(a.tools, tool{name: name, about: text(member(f, "description")), schema: schema})
		}
	}
}

// setChoice reads tool_choice of either dialect.
func (a *ask) setChoice(v []byte) {
	switch kind(v) {
	case '"':
		a.choice = text(v)
	case '{':
		switch text(member(v, "type")) {
		case "auto":
		case "none":
			a.choice = "none"
		case "any":
			a.choice = "required"
		default:
			a.choice = text(member(v, "name"))
			if f := member(v, "function"); f != nil {
				a.choice = text(member(f, "name"))
			}
		}
		if truth(member(v, "disable_parallel_tool_use")) {
			a.parallel = false
		}
	}
}

// wanted returns the tools that this turn calls, none if it is to be words.
func (a *ask) wanted() []tool {
	if len(a.tools) == 0 || a.choice == "none" || a.knobs.refuse || a.knobs.filter {
		return nil
	}
	if a.choice != "auto" && a.choice != "required" {
		if i := slices.IndexFunc(a.tools, func(t tool) bool { return t.name == a.choice }); i >= 0 {
			return a.tools[i : i+1]
		}
	}
	var ts []tool
	if a.last == "user" {
		said := strings.ToLower(a.question)
		for _, t := range a.tools {
			if named(said, t.name) {
				ts = append(ts, t)
			}
		}
	}
	if len(ts) == 0 && a.choice == "required" {
		return a.tools[:1]
	}
	if len(ts) > 1 && !a.parallel {
		ts = ts[:1]
	}
	return ts
}

// named reports whether words name a tool: whole, or by the last word of its
// name (get_current_weather: weather), or ask for tools at large.
func named(said, name string) bool {
	name = strings.ToLower(name)
	if strings.Contains(said, name) || strings.Contains(said, "use the tool") || strings.Contains(said, "call the tool") {
		return true
	}
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == '-' || r == '.' })
	if len(parts) == 0 {
		return false
	}
	w := parts[len(parts)-1]
	return len(w) >= 4 && strings.Contains(said, w)
}

func number(v []byte, without int) int {
	if kind(v) != '0' {
		return without
	}
	n, err := strconv.Atoi(string(bytes.TrimSpace(v)))
	if err != nil {
		return without
	}
	return n
}

func stringList(v []byte) []string {
	if kind(v) == '"' {
		return []string{text(v)}
	}
	var ss []string
	for e := range elements(v) {
		if s := text(e); s != "" {
			ss = append(ss, s)
		}
	}
	return ss
}

func isNull(v []byte) bool { return v == nil || kind(v) == 'n' }
