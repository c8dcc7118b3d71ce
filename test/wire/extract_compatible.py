"""Facts of calls to servers that speak OpenAI's format, each with what it does in its own way."""

import json

import __main__ as openai


def compatible(reader):
    """A reader of the common format, after the differences are evened out."""

    def read(facts, exchange, request, answer):
        path = exchange["path"].split("?")[0]
        if answer.startswith(b'data: {"value"'):
            return False  # Writer's stream of bare words
        try:
            json.loads(request)
        except ValueError:
            return False
        if not facts["streamed"] and exchange["status"] < 300:
            value = json.loads(answer)
            if "error" in value:  # under a 200
                facts["asked"] = deployment(path) or json.loads(request).get("model", "")
                facts["refusal"] = value["error"]["code"] == "content_filter"
                facts["messages"] = openai.prompt_length(json.loads(request))
                facts["error"] = value["error"]["code"]
                return None
            value.setdefault("id", "")
            for choice in value.get("choices", []):
                choice.setdefault("index", 0)
                choice.setdefault("finish_reason", None)
                if "text" not in choice:
                    choice.setdefault("message", {})  # Azure's filter took it
                for call in (choice.get("message") or {}).get("tool_calls") or []:
                    call.setdefault("type", "function")
            answer = json.dumps(value).encode()
        if facts["streamed"]:
            answer = even(answer)
        openai.shared(reader)(facts, exchange, request, answer)
        facts["finish"] = [f for f in facts["finish"] if f]
        for call in facts["calls"]:
            call[2] = call[2] or "function"
        facts["asked"] = deployment(path) or facts["asked"]
        facts["refusal"] |= "content_filter" in facts["finish"]
        return None

    return read


def deployment(path):
    """Azure's path names the deployment."""
    return path.split("/deployments/")[1].split("/")[0] if "/deployments/" in path else ""


def even(stream):
    """Groq's usage stands in a member of its own; Writer's last event may have no finish."""
    out = []
    for line in stream.decode("utf-8").split("\n"):
        if line.startswith("data: {"):
            value = json.loads(line[6:])
            usage = (value.get("x_groq") or {}).get("usage")
            if usage:
                value["usage"] = usage
            for choice in value.get("choices", []):
                for call in (choice.get("delta") or {}).get("tool_calls") or []:
                    call.setdefault("index", 0)
            line = "data: " + json.dumps(value)
        out.append(line)
    return "\n".join(out).encode()


def rerank(facts, exchange, request, answer):
    request, answer = json.loads(request), json.loads(answer)
    facts["asked"], facts["answered"] = request["model"], answer["model"]
    facts["usage"] = all_input(openai.openai_usage(answer["usage"]))


def vectors(facts, answer, stream):
    openai.embeddings(facts, answer, stream)
    facts["response"] = answer["id"]  # OpenAI gives none, Mistral does
    facts["usage"] = all_input(facts["usage"])


def all_input(usage):
    """Voyage gives one count, and there is nothing but input."""
    if "total" in usage and "input" not in usage:
        usage["input"] = usage["total"]
    return usage


CHAT, COMPLETIONS, EMBEDDINGS = (compatible(r) for r in (openai.chat, openai.completions, vectors))

READERS = [
    ("azure-openai", "POST", r"/openai/deployments/[^/]+/chat/completions", CHAT),
    ("azure-openai", "POST", r"/openai/deployments/[^/]+/embeddings", EMBEDDINGS),
    ("deepseek", "POST", r"/(v1|beta)/chat/completions", CHAT),
    ("groq", "POST", r"/openai/v1/chat/completions", CHAT),
    ("mistral", "POST", r"/v1/chat/completions", CHAT),
    ("mistral", "POST", r"/v1/embeddings", EMBEDDINGS),
    ("others", "POST", r"/v1/chat/completions", CHAT),
    ("others", "POST", r"/v1/completions", COMPLETIONS),
    ("voyage", "POST", r"/v1/embeddings", EMBEDDINGS),
    ("voyage", "POST", r"/v1/rerank", rerank),
    ("writer", "POST", r"/v1/chat", CHAT),
    ("writer", "POST", r"/v1/completions", COMPLETIONS),
]
