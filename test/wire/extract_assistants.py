"""Facts of OpenAI's assistants and images."""

import json

import __main__ as openai


def run(facts, exchange, request, answer):
    request = json.loads(request or b"null") or {}
    facts["offered"] = [openai.tool_name(t) for t in request.get("tools") or []]
    if facts["streamed"]:
        words, last = {}, None  # words by what says them, in the order in which they began
        for event, value in named(answer):
            if event == "thread.message.delta":
                for part in value["delta"]["content"]:
                    key = (value["id"], part["index"])
                    words[key] = words.get(key, "") + part["text"].get("value", "")
            elif event == "thread.run.step.delta":
                for call in value["delta"]["step_details"].get("tool_calls") or []:
                    words.setdefault((value["id"], "call", call["index"]), "")
            elif event == "thread.run.step.completed":
                tools(facts, words, value)
            elif event.startswith("thread.run.") and not event.startswith("thread.run.step"):
                last = value
        facts["said"] = list(words.values())
        answer = last
    else:
        answer = json.loads(answer)
    facts["answered"], facts["response"], facts["state"] = answer["model"], answer["id"], answer["status"]
    facts["usage"] = openai.openai_usage(answer["usage"])
    action = answer["required_action"] or {"submit_tool_outputs": {"tool_calls": []}}
    for call in action["submit_tool_outputs"]["tool_calls"]:
        facts["calls"].append([call["id"], call["function"]["name"], call["type"]])
        facts["said"].append(call["function"]["arguments"])


def tools(facts, words, step):
    """The tools that a step ran: only the code interpreter is in the recordings."""
    for index, call in enumerate(step["step_details"].get("tool_calls") or []):
        assert call["type"] == "code_interpreter", call["type"]
        facts["calls"].append([call["id"], call["type"], "extension"])
        words[(step["id"], "call", index)] = call["code_interpreter"]["input"]
        for number, output in enumerate(call["code_interpreter"]["outputs"]):
            words[(step["id"], "output", index, number)] = output["logs"]


def named(stream):
    name = None
    for line in stream.decode("utf-8").split("\n"):
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: {"):
            yield name, json.loads(line[6:])


def image(facts, exchange, request, answer):
    request, answer = json.loads(request), json.loads(answer)
    facts["asked"], facts["messages"] = request["model"], 1
    if exchange["status"] >= 300:
        facts["error"] = answer["error"].get("code") or answer["error"]["type"]
        return
    facts["said"] = [i.get("revised_prompt") for i in answer["data"]]


READERS = [
    ("openai", "POST", r"/v1/threads/[^/]+/runs", run),
    ("openai", "POST", r"/v1/threads/[^/]+/runs/[^/]+/submit_tool_outputs", run),
    ("openai", "GET", r"/v1/threads/[^/]+/runs/[^/]+", run),
    ("openai", "POST", r"/v1/images/generations", image),
]
