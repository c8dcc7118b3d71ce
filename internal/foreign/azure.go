package foreign

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/steno-audit/steno"
)

// azure reads a record of Azure's diagnostic logs: RequestResponse of an OpenAI resource, which has no words, and
// GatewayLlmLogs of API Management, which may have them in chunks. Both are the provider's own. Names are compared without
// case: exports of a workspace write them otherwise than blobs do.
func (r *Reader) azure(f file, o object, in *fields) (*steno.Submission, string, error) {
	m := lower(in)
	category := m.first("category", "type")
	props := lower(m.in("properties"))
	switch {
	case strings.EqualFold(category, "RequestResponse") || category == "AzureDiagnostics" && strings.EqualFold(props.text("category"), "RequestResponse"):
		s, err := azureCall(m, props)
		return s, "", err
	case strings.Contains(strings.ToLower(category), "gatewayllmlog"):
		for name, v := range props.members {
			m.members[name] = v
		}
		return nil, "", r.llm.take(f, o, m)
	case category == "":
		return nil, "", fmt.Errorf("it has no category; RequestResponse and GatewayLlmLogs are read")
	}
	return nil, "category " + category + " is about no call of a model", m.wrong
}

func lower(f *fields) *fields {
	n := &fields{members: make(map[string]json.RawMessage, len(f.members)), wrong: f.wrong}
	for name, v := range f.members {
		n.members[strings.ToLower(name)] = v
	}
	return n
}

func azureCall(m, p *fields) (*steno.Submission, error) {
	s := newCall("azure", "independent", m.first("correlationid", "correlation_id"))
	s.Time, _ = m.at("time")
	if s.Time.IsZero() {
		s.Time, _ = m.at("timegenerated")
	}
	operation := m.text("operationname")
	s.Model.Provider = "azure.ai.openai"
	s.Model.Asked, s.Model.Answered = p.text("modeldeploymentname"), p.text("modelname")
	s.Model.Version = p.text("modelversion")
	if s.Model.Version != "" {
		s.Model.VersionSource = "asserted"
	}
	if s.Model.Asked == "" {
		s.Model.Asked = orElse(s.Model.Answered, "unknown")
	}
	s.Model.Operation = azureOperation(operation)
	s.Model.Stream = strings.EqualFold(p.text("streamtype"), "Streaming")
	if status := m.count("resultsignature"); status != nil {
		s.Result.Status = int(*status)
	} else if status := m.count("resultcode"); status != nil {
		s.Result.Status = int(*status)
	}
	s.Result.End = steno.EndComplete
	if s.Result.Status >= 400 {
		s.Result.End = steno.EndProviderError
	}
	if n := p.count("responselength"); n != nil && *n >= 0 {
		s.Result.Bytes = *n
	}
	if n := p.count("requestlength"); n != nil && *n >= 0 {
		s.Prompt = &steno.Prompt{Bytes: *n}
	}
	if ms := m.number("durationms"); ms != nil && *ms >= 0 {
		s.Timing = &steno.Timing{LatencyMS: *ms}
	}
	if a := m.text("calleripaddress"); a != "" {
		s.Identity = &steno.Identity{Address: a}
	}
	left := m.left()
	if operation != "" {
		left["operationname"], _ = json.Marshal(operation) // a string always marshals
	}
	for name, v := range p.left() {
		left["properties."+name] = v
	}
	details(s, left)
	return s, firstError(m.wrong, p.wrong)
}

func azureOperation(name string) string {
	n := strings.ToLower(name)
	switch {
	case strings.Contains(n, "chatcompletion"), strings.Contains(n, "response"):
		return "chat"
	case strings.Contains(n, "embedding"):
		return "embeddings"
	case strings.Contains(n, "completion"):
		return "text_completion"
	}
	return ""
}

// apimCalls joins the chunks of each call: messages above 32 KB go over several records, with sequence numbers.
type apimCalls struct {
	byID  map[string]*apimCall
	order []string
}

type apimCall struct {
	f      file
	line   int
	first  *fields
	chunks []apimChunk
}

type apimChunk struct {
	number            float64
	request, response string
}

func newAPIMCalls() apimCalls { return apimCalls{byID: map[string]*apimCall{}} }

func (a *apimCalls) take(f file, o object, m *fields) error {
	id := m.first("correlationid", "correlation_id")
	if id == "" {
		return fmt.Errorf("correlationId is missing: it joins the chunks of a call")
	}
	c := a.byID[id]
	if c == nil {
		c = &apimCall{f: f, line: o.line, first: m}
		a.byID[id] = c
		a.order = append(a.order, id)
	}
	var chunk apimChunk
	if n := m.number("sequencenumber"); n != nil {
		chunk.number = *n
	}
	chunk.request, chunk.response = textOf(m.value("requestmessages")), textOf(m.value("responsemessages"))
	c.chunks = append(c.chunks, chunk)
	for name, v := range m.members { // counts stand in one of the chunks only
		if old := string(c.first.members[name]); old == "" || old == "null" || old == "0" || old == `""` {
			c.first.members[name] = v
		}
	}
	return m.wrong
}

// textOf is a value as text: a string without its quotes.
func textOf(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

func (a *apimCalls) rest() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		order := a.order
		a.order = nil
		for _, id := range order {
			c := a.byID[id]
			delete(a.byID, id)
			rec := Record{File: c.f.name, Line: c.line, Format: "azure"}
			rec.Submission, rec.Err = c.call(id)
			if !yield(rec) {
				return
			}
		}
	}
}

func (c *apimCall) call(id string) (*steno.Submission, error) {
	m := c.first
	s := newCall("azure", "independent", id)
	s.Time, _ = m.at("time")
	if s.Time.IsZero() {
		s.Time, _ = m.at("timegenerated")
	}
	if s.Time.IsZero() {
		s.Time = c.f.modified
		s.Origin.Assumed = append(s.Origin.Assumed, "time")
	}
	s.Model.Provider = "azure.ai.openai"
	s.Model.Asked, s.Model.Answered = m.text("deploymentname"), m.text("modelname")
	if s.Model.Asked == "" {
		s.Model.Asked = orElse(s.Model.Answered, "unknown")
	}
	s.Model.Stream = strings.EqualFold(strings.Trim(string(m.value("isstreamcompletion")), `"`), "true")
	s.Result.End = steno.EndComplete
	s.Result.RequestID = m.text("requestid")
	s.Result.Usage = tokens(m.count("prompttokens"), m.count("completiontokens"), m.count("totaltokens"))
	slices.SortStableFunc(c.chunks, func(a, b apimChunk) int { return cmp.Compare(a.number, b.number) })
	request, response := "", ""
	for _, chunk := range c.chunks {
		request += chunk.request
		response += chunk.response
	}
	if request != "" {
		s.Prompt = &steno.Prompt{Input: messages(wordsOf(request))}
	}
	if response != "" {
		s.Result.Output = messages(wordsOf(response))
	}
	for _, name := range []string{"category", "type", "sequencenumber", "requestmessages", "responsemessages", "properties", "prompttokens", "completiontokens", "totaltokens", "correlationid"} {
		delete(m.members, name)
	}
	details(s, m.left())
	return s, m.wrong
}

// wordsOf is JSON as it is, and other text as a string.
func wordsOf(s string) json.RawMessage {
	if t := strings.TrimSpace(s); (strings.HasPrefix(t, "[") || strings.HasPrefix(t, "{")) && json.Valid([]byte(t)) {
		return json.RawMessage(t)
	}
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage("null") // a string always marshals
	}
	return b
}
