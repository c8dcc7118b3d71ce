package foreign

import (
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/steno-audit/steno"
)

// langfuseTrace is what a trace says of the observations in it.
type langfuseTrace struct{ user, session, name string }

// langfuse reads observations and traces of a Langfuse export, in the names of its API or of its tables. Applications
// reported them: they are self-reported. Generations and embeddings are calls, tools and retrievers are tools; a trace
// tells who and in which session for the observations after it.
func (r *Reader) langfuse(m *fields) (*steno.Submission, string, error) {
	c := &fields{members: map[string]json.RawMessage{}}
	for name, v := range m.members {
		c.members[camel(name)] = v
	}
	kind, trace := c.text("type"), c.text("traceId")
	id := c.text("id")
	user, session := c.text("userId"), c.text("sessionId")
	if trace == "" && kind == "" || kind == "TRACE" {
		r.traces[id] = langfuseTrace{user, session, c.text("name")}
		return nil, "a trace is no event: it tells who for the observations in it", c.wrong
	}
	t := r.traces[trace]
	s := newCall("langfuse", "self_reported", id)
	s.Identity = orNil(steno.Identity{User: orElse(user, t.user), Session: orElse(session, t.session)},
		func(i steno.Identity) bool { return i.User == "" && i.Session == "" })
	langfuseTimes(s, c)
	langfuseTrail(s, c, id, trace)
	input, output := words(c.value("input")), words(c.value("output"))
	if input != nil {
		s.Prompt = &steno.Prompt{Input: messages(input)}
	}
	name := orElse(c.text("name"), kind)
	failed := c.text("level") == "ERROR"
	switch kind {
	case "GENERATION", "EMBEDDING":
		langfuseCall(s, c, kind, failed)
		if output != nil {
			s.Result.Output = langfuseOutput(output)
		}
		details(s, map[string]json.RawMessage{"name": quoted(name)})
	case "TOOL", "RETRIEVER":
		s.Type, s.Model = "inference.tool_called", nil
		s.Result = orNil(steno.Result{Output: output}, func(r steno.Result) bool { return r.Output == nil })
		s.System = &steno.System{Action: "tool_called", Target: name, Outcome: "ok"}
		if failed {
			s.System.Outcome = "failed"
		}
	default:
		return nil, "an observation of type " + kind + " is no call of a model or tool", c.wrong
	}
	details(s, c.left())
	return s, "", c.wrong
}

func langfuseTimes(s *steno.Submission, c *fields) {
	from, assumed := c.at("startTime")
	to, _ := c.at("endTime")
	if s.Time = from; assumed {
		s.Origin.Assumed = []string{"time.zone"}
	}
	s.Timing = latency(from, to)
	if first, _ := c.at("completionStartTime"); s.Timing != nil && first.After(from) && !first.After(to) {
		s.Timing.FirstToken = first.UTC()
		s.Timing.TTFT = first.Sub(from).Seconds()
	}
}

// langfuseTrail keeps how the observation hangs together with others: as W3C ids, where it has such, else as links.
func langfuseTrail(s *steno.Submission, c *fields, id, trace string) {
	parent := c.text("parentObservationId")
	for _, l := range []struct {
		id, rel string
		bytes   int
		to      *string
	}{{trace, "langfuse.trace", 16, &s.TraceID}, {id, "", 8, &s.SpanID}, {parent, "langfuse.parent", 8, &s.Parent}} {
		if b, err := hex.DecodeString(l.id); err == nil && len(b) == l.bytes {
			*l.to = l.id
		} else if l.id != "" && l.rel != "" {
			s.Links = append(s.Links, steno.Link{Rel: l.rel, Name: l.id})
		}
	}
}

func langfuseCall(s *steno.Submission, c *fields, kind string, failed bool) {
	s.Model.Asked = orElse(c.first("model", "providedModelName"), "unknown")
	s.Model.Operation = "chat"
	if kind == "EMBEDDING" {
		s.Model.Operation = "embeddings"
	}
	if p := c.in("modelParameters"); len(p.members) > 0 {
		s.Model.Parameters = p.members
	}
	if name := c.text("promptName"); name != "" {
		if s.Prompt == nil {
			s.Prompt = &steno.Prompt{}
		}
		s.Prompt.Name, s.Prompt.Version = name, c.text("promptVersion")
	}
	s.Result.End = steno.EndComplete
	if failed {
		s.Result.End = steno.EndProviderError
	}
	usage := c.in("usageDetails")
	if len(usage.members) == 0 {
		usage = c.in("usage")
	}
	input, output, total := usage.count("input"), usage.count("output"), usage.count("total")
	for _, n := range []struct {
		to   **int64
		name string
	}{{&input, "promptTokens"}, {&output, "completionTokens"}, {&total, "totalTokens"}} {
		if v := c.count(n.name); *n.to == nil {
			*n.to = v
		}
	}
	s.Result.Usage = tokens(input, output, total)
	cost := c.in("costDetails").number("total")
	for _, name := range []string{"totalCost", "calculatedTotalCost"} {
		if v := c.number(name); cost == nil {
			cost = v
		}
	}
	if cost != nil && *cost > 0 {
		s.Result.Cost = &steno.Cost{USD: strconv.FormatFloat(*cost, 'f', -1, 64), Row: "langfuse", State: "priced"}
	}
	if c.wrong == nil {
		c.wrong = usage.wrong
	}
}

// langfuseOutput is what a generation said: one message, or a list of them.
func langfuseOutput(v json.RawMessage) json.RawMessage {
	if member(v, "role") != "" {
		return messages(append(append(json.RawMessage{'['}, v...), ']'))
	}
	return messages(v)
}

// camel turns the names of the tables into those of the API: trace_id is traceId.
func camel(name string) string {
	out := make([]byte, 0, len(name))
	up := false
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_' && len(out) > 0:
			up = true
			continue
		case up && c >= 'a' && c <= 'z':
			c -= 'a' - 'A'
		}
		up = false
		out = append(out, c)
	}
	return string(out)
}
