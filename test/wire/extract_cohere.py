"""Facts of calls to both versions of Cohere's API."""

import json

import __main__ as common


def start(facts, exchange, request, answer):
    """What requests have in common; None is returned for an error."""
    request = json.loads(request)
    facts["asked"] = request.get("model", "")
    facts["offered"] = [t["function"]["name"] if "function" in t else t["name"] for t in request.get("tools") or []]
    if exchange["status"] >= 300:
        facts["error"] = str(exchange["status"])
        facts["response"] = json.loads(answer).get("id", "")
        return request, None
    if not facts["streamed"]:
        return request, json.loads(answer)
    if exchange["response_headers"]["content-type"].startswith("text/event-stream"):
        return request, list(common.events(answer))
    return request, [json.loads(line) for line in answer.decode("utf-8").splitlines()]


def count(facts, meta):
    units = {**meta.get("billed_units", {}), **meta.get("tokens", {})}
    found = {ours: int(units[theirs]) for ours, theirs in (("input", "input_tokens"), ("output", "output_tokens")) if theirs in units}
    if found:
        facts["usage"] = {"source": "reported", **found}
    if found and "cached_tokens" in meta:
        facts["usage"]["cache_read"] = int(meta["cached_tokens"])


def chat_v1(facts, exchange, request, answer):
    request, answer = start(facts, exchange, request, answer)
    facts["messages"] = len(request.get("chat_history") or []) + 1
    if answer is None:
        return
    if facts["streamed"]:
        answer = answer[-1]["response"]
    facts["response"] = answer["response_id"]
    facts["finish"] = [answer["finish_reason"]]
    facts["said"] = [answer["text"]] + [json.dumps(c["parameters"]) for c in answer.get("tool_calls") or []]
    facts["calls"] = [["", c["name"], "function"] for c in answer.get("tool_calls") or []]
    count(facts, answer["meta"])


def chat_v2(facts, exchange, request, answer):
    request, answer = start(facts, exchange, request, answer)
    facts["messages"] = len(request["messages"])
    if answer is None:
        return
    if facts["streamed"]:
        answer = gather(answer)
    facts["response"] = answer["id"]
    facts["finish"] = [answer["finish_reason"]]
    message = answer["message"]
    facts["said"] = [message.get("tool_plan")]
    facts["said"] += [block.get("text") or block.get("thinking") for block in message.get("content") or []]
    for call in message.get("tool_calls") or []:
        facts["calls"].append([call["id"], call["function"]["name"], call["type"]])
        facts["said"].append(call["function"]["arguments"])
    count(facts, answer["usage"])


def gather(stream):
    """The answer that the events of a stream make together."""
    answer = {"message": {"tool_plan": "", "content": {}, "tool_calls": {}}}
    message = answer["message"]
    for event in stream:
        delta = event.get("delta", {})
        part = delta.get("message", {})
        kind = event["type"]
        if kind == "message-start":
            answer["id"] = event["id"]
        elif kind == "content-start":
            message["content"][event["index"]] = {"text": part["content"].get("text") or "", "thinking": part["content"].get("thinking") or ""}
        elif kind == "content-delta":
            for member, words in part["content"].items():
                message["content"][event["index"]][member] += words
        elif kind == "tool-plan-delta":
            message["tool_plan"] += part["tool_plan"]
        elif kind == "tool-call-start":
            message["tool_calls"][event["index"]] = part["tool_calls"]
        elif kind == "tool-call-delta":
            message["tool_calls"][event["index"]]["function"]["arguments"] += part["tool_calls"]["function"]["arguments"]
        elif kind == "message-end":
            answer["finish_reason"], answer["usage"] = delta["finish_reason"], delta["usage"]
    message["content"] = list(message["content"].values())
    message["tool_calls"] = list(message["tool_calls"].values())
    return answer


def generate(facts, exchange, request, answer):
    request, answer = start(facts, exchange, request, answer)
    facts["messages"] = 1
    facts["response"] = answer["id"]
    for generation in answer["generations"]:
        facts["said"].append(generation["text"])
        facts["finish"].append(generation["finish_reason"])
    count(facts, answer["meta"])


def other(facts, exchange, request, answer):
    request, answer = start(facts, exchange, request, answer)
    facts["response"] = answer["id"]
    count(facts, answer["meta"])


READERS = [
    ("cohere", "POST", r"/v1/chat", chat_v1),
    ("cohere", "POST", r"/v2/chat", chat_v2),
    ("cohere", "POST", r"/v1/generate", generate),
    ("cohere", "POST", r"/v[12]/(embed|rerank)", other),
]
