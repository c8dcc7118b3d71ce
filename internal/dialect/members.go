package dialect

// A member is what a member of a request is for. The names of all dialects are told apart in one place: what an API
// ignores, or an upstream adds to it, must not become a parameter if another API takes words there.
type member uint8

const (
	settingMember    member = iota // a parameter
	turnsMember                    // messages, or inputs beside each other
	promptMember                   // words, or a prompt that the provider keeps
	wordsMember                    // words of the user
	systemMember                   // instructions
	predictionMember               // words put into the model's mouth
	documentsMember                // retrieved documents
	toolsMember                    // tools offered
	previousMember                 // the answer that the call goes on from
	modelMember
	identityMember
	historyMember // messages that were all said before
	messageMember // the user's new message
	mediaMember   // images that belong to the words
	resultsMember // what tools gave back
)

// memberOf says what a member is for, by its name and, where a name is two things to two APIs, by its value.
func (t *tape) memberOf(k, v int) member {
	switch name := string(t.bytes(k)); {
	case name == "text" && t.shape(v) == text: // Cohere's tokens; to the Responses API a setting
		return wordsMember
	case name == "toolConfig" && t.get(v, "tools") == 0: // Google's says how tools are called, and offers none
		return settingMember
	default:
		return memberOf(name)
	}
}

func memberOf(name string) member {
	switch name {
	case "messages", "input", "inputs", "inputText", "contents", "requests", "instances", "additional_messages", "items":
		return turnsMember
	case "prompt":
		return promptMember
	case "suffix", "query", "texts", "promptVariables", "textToImageParams", "text_prompts", "singleEmbeddingParams", "segmentedEmbeddingParams",
		"content", "generateContentRequest", "generate_content_request", "batch", "examples", "input_prefix", "input_suffix", "text_1", "text_2":
		return wordsMember
	case "chat_history":
		return historyMember
	case "message":
		return messageMember
	case "tool_results", "tool_outputs":
		return resultsMember
	case "images", "image", "mask", "input_reference":
		return mediaMember
	case "system", "instructions", "additional_instructions", "preamble", "template", "systemInstruction", "system_instruction":
		return systemMember
	case "prediction":
		return predictionMember
	case "documents", "document", "input_extra":
		return documentsMember
	case "tools", "functions", "mcp_servers", "toolConfig", "connectors", "data_sources", "dataSources":
		return toolsMember
	case "previous_response_id":
		return previousMember
	case "model":
		return modelMember
	case "user", "safety_identifier", "metadata", "labels":
		return identityMember
	}
	return settingMember
}
