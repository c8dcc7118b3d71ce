package foreign

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/steno-audit/steno"
)

// litellm reads a row of LiteLLM's spend log (LiteLLM_SpendLogs), as its API gives it or a table export has it. Whoever
// runs the proxy wrote it: it is self-reported.
func litellm(m *fields) (*steno.Submission, error) {
	s := newCall("litellm", "self_reported", m.text("request_id"))
	from, assumed := m.at("startTime")
	to, _ := m.at("endTime")
	s.Time = from
	if assumed {
		s.Origin.Assumed = []string{"time.zone"}
	}
	s.Timing = latency(from, to)
	if first, _ := m.at("completionStartTime"); s.Timing != nil && first.After(from) && first.Before(to) {
		s.Timing.FirstToken = first.UTC()
		s.Timing.TTFT = first.Sub(from).Seconds()
	}
	id := steno.Identity{
		User: m.text("end_user"), Session: m.text("session_id"), Team: m.text("team_id"), Address: m.text("requester_ip_address"),
	}
	if user := m.text("user"); id.User == "" {
		id.User = user
	} else if user != "" {
		details(s, map[string]json.RawMessage{"user": quoted(user)})
	}
	s.Identity = orNil(id, func(i steno.Identity) bool { return i.User == "" && i.Session == "" && i.Team == "" && i.Address == "" })
	s.Model.Asked, s.Model.Answered = m.first("model_group", "model"), m.text("model")
	s.Model.Provider = liteProvider(m.text("custom_llm_provider"))
	s.Model.Operation = liteOperation(m.text("call_type"))
	if s.Model.Asked == "" {
		s.Model.Asked = orElse(s.Model.Answered, "unknown")
	}
	s.Result.Usage = tokens(m.count("prompt_tokens"), m.count("completion_tokens"), m.count("total_tokens"))
	if spend := m.number("spend"); spend != nil && *spend > 0 {
		s.Result.Cost = &steno.Cost{USD: strconv.FormatFloat(*spend, 'f', -1, 64), Row: "litellm", State: "priced"}
	}
	s.Result.End = steno.EndComplete
	if status := m.text("status"); status != "" && !strings.EqualFold(status, "success") {
		s.Result.End = steno.EndProviderError
	}
	if v := words(m.value("messages")); v != nil {
		s.Prompt = &steno.Prompt{Input: messages(v)}
	} else if v := words(m.value("proxy_server_request")); v != nil {
		if inner := words(json.RawMessage(rawMember(v, "messages", "input"))); inner != nil {
			s.Prompt = &steno.Prompt{Input: messages(inner)}
		} else {
			s.Prompt = &steno.Prompt{Input: v}
		}
	}
	if v := words(m.value("response")); v != nil {
		s.Result.Output = v
		s.Result.ID = member(v, "id")
		if said := choices(v); said != nil {
			s.Result.Output = messages(said)
		}
	}
	delete(m.members, "api_key") // a hash of the caller's key: of no use to anyone else
	details(s, m.left())
	return s, nil
}

// choices are the messages of a chat completion.
func choices(v json.RawMessage) json.RawMessage {
	var r struct {
		Choices []struct {
			Message json.RawMessage `json:"message"`
		} `json:"choices"`
	}
	if json.Unmarshal(v, &r) != nil || len(r.Choices) == 0 {
		return nil
	}
	var out []json.RawMessage
	for _, c := range r.Choices {
		if c.Message == nil {
			return nil
		}
		out = append(out, c.Message)
	}
	b, err := json.Marshal(out)
	if err != nil {
		return nil
	}
	return b
}

func quoted(s string) json.RawMessage {
	b, err := json.Marshal(s)
	if err != nil {
		return json.RawMessage("null") // a string always marshals
	}
	return b
}

// liteProvider is OpenTelemetry's name for a provider, where LiteLLM has one of its own.
func liteProvider(name string) string {
	switch name {
	case "azure":
		return "azure.ai.openai"
	case "bedrock", "bedrock_converse":
		return "aws.bedrock"
	case "gemini":
		return "gcp.gemini"
	case "vertex_ai", "vertex_ai_beta":
		return "gcp.vertex_ai"
	case "mistral":
		return "mistral_ai"
	case "cohere_chat":
		return "cohere"
	case "xai":
		return "x_ai"
	}
	return name
}

func liteOperation(call string) string {
	switch name := strings.TrimPrefix(call, "a"); name {
	case "completion", "responses", "nthropic_messages":
		return "chat"
	case "text_completion":
		return name
	case "embedding":
		return "embeddings"
	}
	return ""
}
