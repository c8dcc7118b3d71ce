package stub

import (
	"net/http"
	"strings"
	"testing"
)

// replay checks a stream of /v1/responses against itself: numbers without a gap,
// every delta before its done, every item in the last event as its done had it.
func replay(t *testing.T, events []event) (names []string, last obj) {
	t.Helper()
	deltas := make(map[string]string)
	items := list{}
	for i, e := range events {
		v := e.json(t)
		want(t, str(t, v, "type"), e.name, "type")
		want(t, num(t, v, "sequence_number"), i, "sequence number")
		names = append(names, e.name)
		last = v
		key := e.name[:strings.LastIndexByte(e.name, '.')+1]
		switch {
		case strings.HasSuffix(e.name, ".delta"):
			deltas[key+str(t, v, "item_id")] += str(t, v, "delta")
		case e.name == "response.output_item.done":
			items = append(items, at(t, v, "item"))
		case strings.HasSuffix(e.name, "_text.done"):
			want(t, str(t, v, "text"), deltas[key+str(t, v, "item_id")], e.name)
		case e.name == "response.refusal.done":
			want(t, str(t, v, "refusal"), deltas[key+str(t, v, "item_id")], e.name)
		case e.name == "response.function_call_arguments.done":
			want(t, str(t, v, "arguments"), deltas[key+str(t, v, "item_id")], e.name)
		}
	}
	want(t, at(t, last, "response", "output"), items, "output of the last event")
	return names, last
}

func TestResponses(t *testing.T) {
	base := start(t, Config{})
	v := post(t, base, "/v1/responses", responsesBody(obj{"instructions": "be brief", "metadata": obj{"k": "v"}})).ok(t)
	want(t, str(t, v, "status"), "completed", "status")
	want(t, str(t, v, "model"), "gpt-4o-2024-08-06", "model")
	want(t, str(t, v, "instructions"), "be brief", "instructions")
	want(t, str(t, v, "metadata", "k"), "v", "metadata")
	words := str(t, v, "output", 0, "content", 0, "text")
	want(t, num(t, v, "usage", "output_tokens"), pieces(words), "tokens")

	got := post(t, base, "/v1/responses/"+str(t, v, "id"), nil).ok(t)
	want(t, got, v, "the response fetched")
	want(t, post(t, base, "/v1/responses/resp_other", nil).status, http.StatusNotFound, "another")

	next := post(t, base, "/v1/responses", responsesBody(obj{"previous_response_id": str(t, v, "id"), "instructions": "be brief", "metadata": obj{"k": "v"}})).ok(t)
	want(t, num(t, next, "usage", "input_tokens"), num(t, v, "usage", "total_tokens")+num(t, v, "usage", "input_tokens"), "tokens of a second turn")
	want(t, str(t, next, "previous_response_id"), str(t, v, "id"), "previous")
	other := post(t, start(t, Config{}), "/v1/responses", responsesBody(obj{"previous_response_id": str(t, v, "id"), "instructions": "be brief", "metadata": obj{"k": "v"}})).ok(t)
	want(t, other, next, "the second turn after a restart")

	v = post(t, base, "/v1/responses", responsesBody(obj{"max_output_tokens": 5})).ok(t)
	want(t, str(t, v, "status"), "incomplete", "status")
	want(t, str(t, v, "incomplete_details", "reason"), "max_output_tokens", "reason")
	want(t, str(t, v, "output", 0, "status"), "incomplete", "status of the item")
}

func TestResponsesStream(t *testing.T) {
	base := start(t, Config{})
	names, last := replay(t, post(t, base, "/v1/responses", responsesBody(stream)).events(t))
	want(t, names[:5], []string{
		"response.created", "response.in_progress", "response.output_item.added",
		"response.content_part.added", "response.output_text.delta",
	}, "first events")
	want(t, names[len(names)-4:], []string{
		"response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
	}, "last events")
	if num(t, last, "response", "usage", "total_tokens") == 0 {
		t.Error("no usage")
	}

	names, last = replay(t, post(t, base, "/v1/responses", responsesBody(respTool, stream)).events(t))
	want(t, names[len(names)-3:], []string{
		"response.function_call_arguments.done", "response.output_item.done", "response.completed",
	}, "last events of a call")
	want(t, str(t, last, "response", "output", 0, "type"), "function_call", "type")
	checkWeather(t, str(t, last, "response", "output", 0, "arguments"))

	names, last = replay(t, post(t, base, "/v1/responses", responsesBody(stream, obj{"model": "gpt-5", "reasoning": obj{"summary": "auto"}})).events(t))
	want(t, strings.Contains(strings.Join(names, " "), "response.reasoning_summary_text.delta"), true, "a summary")
	want(t, str(t, last, "response", "output", 0, "type"), "reasoning", "type")
	if num(t, last, "response", "usage", "output_tokens_details", "reasoning_tokens") == 0 {
		t.Error("no reasoning tokens")
	}

	names, _ = replay(t, post(t, base, "/v1/responses", responsesBody(stream, obj{"max_output_tokens": 5})).events(t))
	want(t, names[len(names)-1], "response.incomplete", "last event of a short answer")

	odds := post(t, base, "/v1/responses", responsesBody(stream, obj{"include": list{"message.output_text.logprobs"}, "top_logprobs": 1})).events(t)
	joined := ""
	for _, e := range odds {
		if e.name == "response.output_text.delta" {
			joined += str(t, e.json(t), "logprobs", 0, "token")
		}
		if e.name == "response.output_text.done" {
			want(t, joined, str(t, e.json(t), "text"), "tokens of the deltas")
		}
	}
	replay(t, odds)
	names, _ = replay(t, post(t, base, "/v1/responses", responsesBody(stream), "x-stub", "refuse").events(t))
	want(t, strings.Contains(strings.Join(names, " "), "response.refusal.done"), true, "a refusal")
}
