#!/usr/bin/env python3
"""Facts of recorded model calls, one JSON line an exchange, read from the providers' formats.

Usage: extract.py DIRECTORY

This is the other opinion beside the Go parser: it shares no code with it and was written from the providers'
descriptions of their formats. Only the standard library is used.
"""

import base64
import gzip
import importlib
import json
import os
import re
import sys


PROVIDERS = (
    "openai",
    "anthropic",
    "azure-openai",
    "bedrock",
    "cohere",
    "deepseek",
    "gemini",
    "groq",
    "mistral",
    "ollama",
    "others",
    "vertex",
    "voyage",
    "writer",
)


def main(directory):
    readers = [(p, m, re.compile(path + "$"), shared(reader)) for p, m, path, reader in READERS] + modules()
    for provider in PROVIDERS:
        with gzip.open(os.path.join(directory, provider + ".jsonl.gz"), "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                exchange = json.loads(line)
                path = exchange["path"].split("?")[0]
                for of, method, pattern, reader in readers:
                    if of == provider and method == exchange["method"].upper() and pattern.match(path):
                        facts = blank(exchange, path)
                        if reader(facts, exchange, base64.b64decode(exchange["request"]), base64.b64decode(exchange["response"])) is False:
                            break  # a recording that nobody can read
                        facts["said"] = [s for s in facts["said"] if s]
                        facts["number"] = number
                        facts["provider"] = provider
                        print(json.dumps(facts, sort_keys=True))
                        break


def modules():
    """The readers of the other families: each extract_*.py has a list READERS of (provider, method, regular expression of
    the path, reader), where a reader takes the facts to fill in, the exchange, and the bytes of its two bodies."""
    directory = os.environ.get("EXTRACT_MODULES") or os.path.dirname(os.path.abspath(__file__))
    found = []
    sys.path.insert(0, directory)
    for name in sorted(os.listdir(directory)):
        if name.startswith("extract_") and name.endswith(".py"):
            module = importlib.import_module(name[:-3])
            found += [(provider, method, re.compile(path + "$"), reader) for provider, method, path, reader in module.READERS]
    return found


STREAMS = ("text/event-stream", "application/x-ndjson", "application/stream+json", "application/vnd.amazon.eventstream")


def blank(exchange, path):
    return {
        "id": exchange["id"],
        "path": path,
        "streamed": exchange["response_headers"].get("content-type", "").startswith(STREAMS),
        "status": exchange["status"],
        "asked": "",
        "messages": 0,
        "offered": [],
        "answered": "",
        "response": "",
        "finish": [],
        "state": "",
        "error": "",
        "refusal": False,
        "usage": {"source": "absent"},
        "calls": [],
        "said": [],
    }


def shared(reader):
    """A reader of OpenAI's or Anthropic's answers, after what their requests have in common."""

    def read(facts, exchange, request, answer):
        request = json.loads(request or b"null") or {}
        facts["asked"] = request.get("model", "")
        facts["messages"] = prompt_length(request)
        facts["offered"] = [tool_name(t) for t in request.get("tools") or request.get("functions") or []]
        if exchange["status"] >= 300:
            error = json.loads(answer)["error"]
            facts["error"] = error.get("code") or error["type"]
        elif facts["streamed"]:
            reader(facts, None, list(events(answer)))
        else:
            reader(facts, json.loads(answer), None)

    return read


def events(body):
    """The JSON data of a stream's events."""
    data = []
    for line in body.decode("utf-8").replace("\r\n", "\n").split("\n"):
        if line.startswith("data:"):
            data.append(line[5:])
        elif line == "" and data:
            joined = "\n".join(data).strip()
            data = []
            if joined != "[DONE]":
                yield json.loads(joined)


def prompt_length(request):
    for member in ("messages", "input", "prompt"):
        value = request.get(member)
        if isinstance(value, str):
            return 1
        if isinstance(value, list):
            return len(value)
    return 0


def tool_name(tool):
    return tool.get("name") or tool.get("function", {}).get("name") or tool["type"]


def openai_usage(usage):
    if not usage:
        return {"source": "absent"}
    found = {"source": "reported"}
    prompt = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    for name, value in (
        ("input", usage.get("prompt_tokens", usage.get("input_tokens"))),
        ("output", usage.get("completion_tokens", usage.get("output_tokens"))),
        ("total", usage.get("total_tokens")),
        ("cache_read", prompt.get("cached_tokens")),
        ("reasoning", completion.get("reasoning_tokens")),
    ):
        if value is not None:
            found[name] = value
    return found


def anthropic_usage(usage, whole):
    found = {"source": "reported" if whole else "partial"}
    read, written = usage.get("cache_read_input_tokens"), usage.get("cache_creation_input_tokens")
    found["input"] = usage["input_tokens"] + (read or 0) + (written or 0)
    found["output"] = usage["output_tokens"]
    if read is not None:
        found["cache_read"] = read
    if written is not None:
        found["cache_write"] = written
    return found


def chat(facts, answer, stream):
    if stream is not None:
        answer = gather_chat(stream)
    facts["answered"], facts["response"] = answer["model"], answer["id"]
    facts["usage"] = openai_usage(answer.get("usage"))
    for choice in sorted(answer["choices"], key=lambda c: c["index"]):
        message = choice["message"]
        facts["finish"].append(choice["finish_reason"])
        facts["said"] += [message.get("content"), message.get("refusal")]
        facts["refusal"] |= bool(message.get("refusal"))
        calls = [(c["id"], c["type"], c["function"]) for c in message.get("tool_calls") or []]
        if message.get("function_call"):
            calls.append(("", "function", message["function_call"]))
        for call_id, kind, function in calls:
            facts["calls"].append([call_id, function["name"], kind])
            facts["said"].append(function["arguments"])


def gather_chat(stream):
    """The answer that the chunks of a chat stream make together."""
    answer, choices = {}, {}
    for chunk in stream:
        answer.update({k: v for k, v in chunk.items() if k in ("id", "model", "usage") and v})
        for part in chunk["choices"]:
            choice = choices.setdefault(
                part["index"], {"index": part["index"], "message": {"content": "", "refusal": ""}, "finish_reason": None, "calls": {}}
            )
            choice["finish_reason"] = part["finish_reason"] or choice["finish_reason"]
            delta = part["delta"]
            for member in ("content", "refusal"):
                choice["message"][member] += delta.get(member) or ""
            for piece in delta.get("tool_calls") or []:
                call = choice["calls"].setdefault(piece["index"], {"id": "", "type": "", "function": {"name": "", "arguments": ""}})
                call["id"] += piece.get("id") or ""
                call["type"] += piece.get("type") or ""
                for member in ("name", "arguments"):
                    call["function"][member] += piece["function"].get(member) or ""
    for choice in choices.values():
        choice["message"]["tool_calls"] = [choice["calls"][i] for i in sorted(choice["calls"])]
    answer["choices"] = list(choices.values())
    return answer


def completions(facts, answer, stream):
    texts, reasons = {}, {}
    for part in stream if stream is not None else [answer]:
        facts["answered"], facts["response"] = part["model"], part["id"]
        if part.get("usage"):
            facts["usage"] = openai_usage(part["usage"])
        for choice in part["choices"]:
            texts[choice["index"]] = texts.get(choice["index"], "") + choice["text"]
            if choice["finish_reason"]:
                reasons[choice["index"]] = choice["finish_reason"]
    facts["said"] = list(texts.values())
    facts["finish"] = [reasons[i] for i in sorted(reasons)]


def responses(facts, answer, stream):
    if stream is not None:
        last = stream[-1]
        assert last["type"] in ("response.completed", "response.incomplete", "response.failed"), last["type"]
        answer = last["response"]
    facts["answered"], facts["response"], facts["state"] = answer["model"], answer["id"], answer["status"]
    facts["usage"] = openai_usage(answer["usage"])
    if answer["incomplete_details"]:
        facts["finish"] = [answer["incomplete_details"]["reason"]]
    for item in answer["output"]:
        if item["type"] == "message":
            for part in item["content"]:
                facts["said"].append(part.get("text") or part.get("refusal"))
                facts["refusal"] |= part["type"] == "refusal"
        elif item["type"] == "reasoning":
            facts["said"] += [part["text"] for part in item["summary"]]
        elif item["type"] == "function_call":
            facts["calls"].append([item["call_id"], item["name"], "function"])
            facts["said"].append(item["arguments"])
        elif item["type"] == "web_search_call":
            facts["calls"].append([item["id"], "web_search", "extension"])
            facts["said"].append(json.dumps(item["action"]))
        else:
            raise ValueError("an output item of type " + item["type"])


def embeddings(facts, answer, stream):
    assert stream is None
    facts["answered"] = answer["model"]
    facts["usage"] = openai_usage(answer["usage"])


def messages(facts, answer, stream):
    if stream is not None:
        answer = gather_message(stream)
    facts["answered"], facts["response"] = answer["model"], answer["id"]
    facts["usage"] = anthropic_usage(answer["usage"], answer["stop_reason"] is not None)
    facts["finish"] = [answer["stop_reason"]]
    facts["refusal"] = answer["stop_reason"] == "refusal"
    for block in answer["content"]:
        if block["type"] == "tool_use":
            facts["calls"].append([block["id"], block["name"], "function"])
            said = block["json"] if "json" in block else json.dumps(block["input"])
            facts["said"].append(said)
        else:
            facts["said"].append(block[block["type"]])


def gather_message(stream):
    """The message that the events of a stream make together."""
    message = None
    for event in stream:
        if event["type"] == "message_start":
            message = event["message"]
        elif event["type"] == "content_block_start":
            message["content"].append(event["content_block"])
        elif event["type"] == "content_block_delta":
            block, delta = message["content"][event["index"]], event["delta"]
            if delta["type"] == "input_json_delta":
                block["json"] = block.get("json", "") + delta["partial_json"]
            elif delta["type"] in ("text_delta", "thinking_delta"):
                member = delta["type"][: -len("_delta")]
                block[member] += delta[member]
        elif event["type"] == "message_delta":
            message["stop_reason"] = event["delta"]["stop_reason"]
            message["usage"].update(event["usage"])
    return message


def complete(facts, answer, stream):
    assert stream is None
    facts["answered"], facts["response"] = answer["model"], answer["id"]
    facts["finish"], facts["said"] = [answer["stop_reason"]], [answer["completion"]]


READERS = [
    ("openai", "POST", "/v1/chat/completions", chat),
    ("openai", "POST", "/v1/completions", completions),
    ("openai", "POST", "/v1/responses", responses),
    ("openai", "POST", "/v1/embeddings", embeddings),
    ("anthropic", "POST", "/v1/messages", messages),
    ("anthropic", "POST", "/v1/complete", complete),
]

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
