package dialect

import "strings"

// role says who speaks in a message or item.
func (r *reader) role(n int) role {
	t := r.tape
	if v := t.get(n, "role"); v != 0 {
		switch string(t.bytes(v)) {
		case "system", "developer", "SYSTEM", "System":
			return systemRole
		case "assistant", "model", "CHATBOT", "Chatbot", "chatbot":
			return modelRole
		case "tool", "function", "TOOL", "Tool":
			return toolRole
		}
		for el := range t.elements(t.get(n, "content")) {
			if typ := string(t.bytes(t.get(el, "type"))); typ == "tool_result" || typ == "mcp_tool_result" || t.shape(t.get(el, "toolResult")) == object {
				return toolRole
			}
		}
		for part := range t.one(t.get(n, "parts")) {
			if t.either(part, "functionResponse", "function_response") != 0 {
				return toolRole
			}
		}
		return userRole
	}
	typ := string(t.bytes(t.get(n, "type")))
	switch {
	case strings.HasSuffix(typ, "_output"), typ == "function.result":
		return toolRole
	case strings.HasSuffix(typ, "_call"):
		return modelRole
	}
	switch typ {
	case "reasoning", "item_reference", "mcp_list_tools", "mcp_approval_request", "compaction", "message",
		"message.output", "function.call", "tool.execution", "agent.handoff":
		return modelRole
	}
	return userRole
}

type role uint8

const (
	userRole role = iota
	systemRole
	modelRole
	toolRole
)

// origin is the word for a role in a Text.
func (w role) origin(answer bool) string {
	switch {
	case answer:
		return "output"
	case w == systemRole:
		return "system"
	case w == modelRole:
		return "assistant"
	case w == toolRole:
		return "tool"
	}
	return "user"
}

// lastAnswer finds the last message of the model, 0 if there is none, and counts the messages. What the model is
// made to have begun (messages of its own at the very end) is no answer.
func (r *reader) lastAnswer(v int) (last, count int) {
	pending := 0
	for el := range r.elements(v) {
		count++
		if r.role(el) == modelRole {
			pending = el
		} else if pending > 0 {
			last, pending = pending, 0
		}
	}
	return last, count
}
