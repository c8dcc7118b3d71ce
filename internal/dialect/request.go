package dialect

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/steno-audit/steno"
)

// Limits on what is taken from a request, in bytes where nothing else is said.
const (
	maxUser      = 256
	maxParameter = 8192
	minWords     = 24   // a parameter shorter than this is not looked at by checks
	minDocument  = 256  // a document in a message shorter than this is no piece of its own
	maxTools     = 1024 // names of tools
	maxLooked    = 64   // members that are looked for a second time
)

// Request is what a request says.
type Request struct {
	Pieces           []steno.Piece // steno.Join(Pieces) is the body
	Model            steno.Model   // what is the call's; provider, upstream and address are the caller's to add
	Prompt           steno.Prompt
	Documents        []steno.Document
	User, UserSource string // from safety_identifier, user, metadata.user_id, labels, in this order
	Conversation     string // the Responses API's conversation
	UsageRequested   bool   // stream_options.include_usage
	Texts            []Text
	Understood       bool
	Problem          string // why it is not understood, or what is odd in it
}

// ParseRequest reads a request's body, content encoding undone. It never fails: what is not understood is one piece
// of kind body, and its whole text is looked at by checks.
func (c Call) ParseRequest(body []byte, h http.Header) *Request {
	r := &Request{}
	r.Model.Dialect, r.Model.API, r.Model.Operation, r.Model.Asked = c.Dialect, c.API, c.Operation, c.Model
	r.Model.Stream = c.Stream
	r.Prompt.Bytes = int64(len(body))
	if len(body) == 0 {
		r.Understood = c.API != "" && (c.Operation == "models" || c.Operation == "retrieve" || c.Operation == "manage")
		if !r.Understood {
			r.Problem = "the body is empty"
		}
		r.Model.Understood = r.Understood
		return r
	}
	t := newTape()
	defer t.free()
	p := requestParser{Request: r, call: c, cut: cutter{body: body}, marked: hasMarks(body)}
	p.reader = reader{tape: t, docs: &p.documents}
	if b := boundary(h); b != "" && c.API != "" && p.form(body, b) {
		r.Understood, r.Model.Understood = true, true
		return r
	}
	end := t.parse(body)
	switch {
	case end < 0:
		r.Problem = t.fault.problem("the body")
		if e := h.Get("Content-Encoding"); e != "" {
			r.Problem = "the body has a content encoding and is not read"
		}
	case t.shape(root) != object:
		r.Problem = "the body is no JSON object"
	case c.API == "":
		r.Problem = "this path is not understood"
		p.identify()
	default:
		if end < len(body) {
			r.Problem = "bytes follow the JSON value, from byte " + strconv.Itoa(end)
		}
		p.members()
		r.Understood, r.Model.Understood = true, true
		return r
	}
	r.Pieces = split(nil, steno.KindBody, body)
	if bytes.IndexByte(body, 0) < 0 {
		r.Texts = []Text{{Start: 0, End: len(body), Origin: "user", New: true, plain: true}}
	}
	return r
}

// requestParser fills a Request from a tape.
type requestParser struct {
	*Request
	call      Call
	reader    reader
	documents documents
	cut       cutter
	marked    bool
	history   bool  // the model has answered before in this request
	first     []int // texts that are new only if it has not
	user      string
	safety    string
	metaUser  string

	labelUser, labelSource string
}

// members goes through the request in the order of its bytes.
func (p *requestParser) members() {
	t := p.reader.tape
	looked := 0
	for k, v := range t.members(root) {
		name := t.bytes(k)
		if looked++; looked <= maxLooked && p.Problem == "" && t.get(root, string(name)) != v {
			p.Problem = "the request has a member twice; the last one counts"
		}
		p.member(t.memberOf(k, v), string(name), v)
	}
	p.history = p.history || p.Prompt.Previous != "" || p.Conversation != ""
	for _, i := range p.first {
		p.Texts[i].New = !p.history
	}
	if end, size := t.space(int(t.nodes[root].end)), len(p.cut.body); end < size {
		p.cut.loose = true
		p.Texts = append(p.Texts, Text{Start: end, End: size, Origin: "user", New: true, plain: true})
	}
	p.Documents = p.documents.list
	p.chooseUser()
	p.Pieces = p.cut.pieces()
}

// member reads one member of the request. Members that hold words are words under every API: what an API ignores, or
// an upstream adds to it, must not become a parameter.
func (p *requestParser) member(is member, name string, v int) {
	t := p.reader.tape
	switch is {
	case turnsMember:
		p.turns(v)
	case historyMember:
		p.past(v)
	case resultsMember:
		p.documents.fromCohereResults(t, v)
		p.simple(v, "tool", steno.KindToolResult)
	case messageMember:
		p.simple(v, "user", steno.KindInput)
		p.Prompt.Messages++
		p.Prompt.New++
	case mediaMember:
		p.whole(v, steno.KindInput)
	case promptMember:
		if t.shape(v) == object { // a prompt kept by the provider
			p.Prompt.Name, p.Prompt.Version = t.str(t.get(v, "id"), maxName), t.str(t.get(v, "version"), maxName)
			p.reader.items = p.reader.items[:0]
			p.reader.anything(t.get(v, "variables"), "user", steno.KindInput, 0)
			p.texts(true)
			p.whole(v, steno.KindInput)
		} else {
			p.turns(v)
		}
	case wordsMember:
		p.simple(v, "user", steno.KindInput)
	case systemMember:
		p.system(v)
	case predictionMember:
		p.simple(v, "assistant", steno.KindInput)
	case documentsMember:
		p.retrieved(v)
	case toolsMember:
		p.tools(v)
	case previousMember:
		p.Prompt.Previous = t.str(v, maxName)
		p.cut.loose = true
	case modelMember:
		if p.call.Model == "" { // else the path says what is called, whatever the body calls it
			p.Model.Asked = t.str(v, maxName)
		}
		p.cut.loose = true
	case identityMember:
		p.identity(name, v)
		p.cut.loose = true
	default:
		p.setting(name, v)
	}
}

// setting reads a member that is no prompt, no tool and no identity.
func (p *requestParser) setting(name string, v int) {
	t := p.reader.tape
	switch name {
	case "stream":
		p.Model.Stream = t.shape(v) == yes
	case "stream_options":
		p.UsageRequested = t.shape(t.get(v, "include_usage")) == yes
	case "generationConfig", "generation_config":
		for k, m := range t.members(v) {
			p.parameter(string(t.bytes(k)), t.compact(m))
		}
		p.unseen(v)
		return
	case "conversation", "conversation_id":
		p.Conversation = t.str(v, maxName)
		if t.shape(v) == object {
			p.Conversation = t.str(t.get(v, "id"), maxName)
		}
	}
	p.parameter(name, t.compact(v))
	p.unseen(v)
}

// unseen lets checks look at a setting that is long enough to hold words.
func (p *requestParser) unseen(v int) {
	p.cut.loose = true
	if s, e := p.reader.place(v); e-s >= minWords {
		p.Texts = append(p.Texts, Text{Start: s, End: e, Origin: "user", New: true, plain: true})
	}
}

// parameter keeps the JSON of a setting; of a long one its length, since the body has it.
func (p *requestParser) parameter(name string, raw json.RawMessage) {
	if len(name) > maxName || len(p.Model.Parameters) >= 256 {
		return
	}
	if p.Model.Parameters == nil {
		p.Model.Parameters = make(map[string]json.RawMessage, 8)
	}
	if len(raw) > maxParameter {
		raw = json.RawMessage(`"` + strconv.Itoa(len(raw)) + ` bytes, not kept as a parameter"`)
	}
	p.Model.Parameters[clip([]byte(name), maxName)] = raw
}

// identity reads the members that say whose data it is. They never become parameters.
func (p *requestParser) identity(name string, v int) {
	t := p.reader.tape
	switch name {
	case "user":
		p.user = t.identifier(v)
	case "safety_identifier":
		p.safety = t.identifier(v)
	case "metadata", "labels": // labels are for Vertex AI's bills, where some say whom a call is for
		var rest []byte
		for k, m := range t.members(v) {
			switch {
			case name == "metadata" && t.is(k, "user_id"):
				p.metaUser = t.identifier(m)
				continue
			case name == "labels" && (t.is(k, "user_id") || t.is(k, "user")):
				p.labelUser, p.labelSource = t.identifier(m), "labels."+t.str(k, maxName)
				continue
			}
			rest = append(append(append(append(rest, ','), t.raw(k)...), ':'), t.compact(m)...)
		}
		switch {
		case rest != nil:
			rest = append(rest, '}')
			rest[0] = '{'
			p.parameter(name, bytes.ToValidUTF8(rest, []byte("\uFFFD")))
		case t.shape(v) != object:
			p.parameter(name, t.compact(v))
		}
	}
}

// identifier reads a user id. It must be a text; clients put other JSON there too, which is kept as its compact text
// if it is short.
func (t *tape) identifier(n int) string {
	if !t.has(n) {
		return ""
	}
	if t.shape(n) == text {
		if b := t.bytes(n); len(b) <= maxUser {
			return clip(b, maxUser)
		}
		return ""
	}
	if b := t.compact(n); len(b) <= maxUser {
		return string(b)
	}
	return ""
}

func (p *requestParser) chooseUser() {
	switch {
	case p.safety != "":
		p.User, p.UserSource = p.safety, "safety_identifier"
	case p.user != "":
		p.User, p.UserSource = p.user, "user"
	case p.metaUser != "":
		p.User, p.UserSource = p.metaUser, "metadata.user_id"
	case p.labelUser != "":
		p.User, p.UserSource = p.labelUser, p.labelSource
	}
}

// identify reads, of a request that is not understood, only whose it is and which model it names: the person must be
// known for the record to be theirs.
func (p *requestParser) identify() {
	t := p.reader.tape
	for k, v := range t.members(root) {
		switch name := string(t.bytes(k)); name {
		case "model":
			p.Model.Asked = t.str(v, maxName)
		case "stream":
			p.Model.Stream = t.shape(v) == yes
		case "user", "safety_identifier", "metadata", "labels":
			p.identity(name, v)
		}
	}
	p.Model.Parameters = nil
	p.chooseUser()
}
