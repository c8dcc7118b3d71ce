"""Facts of calls to Ollama's own API."""

import json


def talk(facts, exchange, request, answer):
    request = json.loads(request)
    facts["asked"] = request["model"]
    facts["messages"] = len(request["messages"]) if "messages" in request else 1
    facts["offered"] = [t["function"]["name"] for t in request.get("tools") or []]
    words, thoughts, calls = "", "", []
    for line in answer.decode("utf-8").splitlines():
        part = json.loads(line)
        facts["answered"] = part["model"]
        message = part.get("message", {})
        words += part.get("response", "") + message.get("content", "")
        thoughts += part.get("thinking", "") + message.get("thinking", "")
        calls += message.get("tool_calls", [])
        if part["done"]:
            facts["finish"] = [part["done_reason"]] if "done_reason" in part else []
            facts["usage"] = {"source": "reported", "output": part["eval_count"]}
            if "prompt_eval_count" in part:
                facts["usage"]["input"] = part["prompt_eval_count"]
    facts["said"] = [thoughts, words] + [json.dumps(c["function"]["arguments"]) for c in calls]
    facts["calls"] = [["", c["function"]["name"], "function"] for c in calls]


def embed(facts, exchange, request, answer):
    facts["asked"] = json.loads(request)["model"]
    facts["messages"] = 1


READERS = [
    ("ollama", "POST", r"/api/(chat|generate)", talk),
    ("ollama", "POST", r"/api/embed(dings)?", embed),
]
