"""Facts of recorded calls of Amazon Bedrock: Converse and InvokeModel, whole and as event streams."""

import base64
import json
import struct
import urllib.parse
import zlib


def frames(body):
    """The (event type, JSON payload) of each frame of an event stream."""
    while body:
        size, length, check = struct.unpack(">III", body[:12])
        frame, body = body[:size], body[size:]
        assert len(frame) == size and zlib.crc32(frame[:8]) == check, "a frame is cut or its prelude is damaged"
        assert zlib.crc32(frame[:-4]) == struct.unpack(">I", frame[-4:])[0], "a frame is damaged"
        head, names = frame[12 : 12 + length], {}
        while head:
            name, head = head[1 : 1 + head[0]], head[1 + head[0] :]
            assert head[0] == 7, "a header that is no string"
            size = struct.unpack(">H", head[1:3])[0]
            names[name.decode()], head = head[3 : 3 + size].decode(), head[3 + size :]
        assert names[":message-type"] == "event", names
        yield names[":event-type"], json.loads(frame[12 + length : -4])


def read(gather, tell):
    """A reader: gather makes one answer of a stream's events, tell says what an answer says."""

    def reader(facts, exchange, request, answer):
        if not request:
            return False  # what was sent is not in the recording
        request = json.loads(request or b"null") or {}
        facts["asked"] = urllib.parse.unquote(facts["path"].split("/")[2])
        facts["messages"] = prompt_length(request)
        offered = request.get("toolConfig", {}).get("tools", []) + request.get("tools", [])
        facts["offered"] = [t["toolSpec"]["name"] if "toolSpec" in t else t["name"] for t in offered]
        if exchange["status"] >= 300:
            facts["error"] = exchange["response_headers"]["x-amzn-errortype"].split(":")[0]
        elif facts["streamed"]:
            tell(facts, gather(list(frames(answer))))
        else:
            tell(facts, json.loads(answer))

    return reader


def prompt_length(request):
    if "messages" in request:
        return len(request["messages"])
    return 1 if {"prompt", "inputText", "message"} & set(request) else 0


def whole(number):
    return number if number is None else int(number)


def count(facts, given, written, read=None, stored=None, total=None):
    given, written = whole(given), whole(written)
    if given is None and written is None:
        return
    usage = {"source": "reported", "output": written, "cache_read": read, "cache_write": stored, "total": total}
    usage["input"] = given + (read or 0) + (stored or 0)
    facts["usage"] = {k: v for k, v in usage.items() if v is not None}


def gather_converse(events):
    """The answer that the events of ConverseStream make together."""
    answer, blocks = {}, {}
    for name, event in events:
        at = event.get("contentBlockIndex")
        if name == "contentBlockStart":
            blocks[at] = {"toolUse": dict(event["start"]["toolUse"], input="")}
        elif name == "contentBlockDelta":
            delta = event["delta"]
            if "text" in delta:
                block = blocks.setdefault(at, {"text": ""})
                block["text"] += delta["text"]
            else:
                blocks[at]["toolUse"]["input"] += delta["toolUse"]["input"]
        elif name == "messageStop":
            answer["stopReason"] = event["stopReason"]
        elif name == "metadata":
            answer["usage"] = event["usage"]
    answer["output"] = {"message": {"content": [blocks[at] for at in sorted(blocks)]}}
    return answer


def converse(facts, answer):
    for block in answer["output"]["message"]["content"]:
        if "toolUse" in block:
            use = block["toolUse"]
            facts["calls"].append([use["toolUseId"], use["name"], "function"])
            facts["said"].append(use["input"] if isinstance(use["input"], str) else json.dumps(use["input"]))
        else:
            facts["said"].append(block["text"])
    facts["finish"] = [answer["stopReason"]]
    facts["refusal"] |= answer["stopReason"] in ("guardrail_intervened", "content_filtered")
    u = answer["usage"]
    count(
        facts,
        u["inputTokens"],
        u.get("outputTokens"),
        u.get("cacheReadInputTokens", u.get("cacheReadInputTokenCount")),
        u.get("cacheWriteInputTokens", u.get("cacheWriteInputTokenCount")),
        u.get("totalTokens"),
    )


def gather_invoke(events):
    """What the chunks of InvokeModelWithResponseStream make together, in the shape of the maker's whole answer."""
    assert {name for name, _ in events} == {"chunk"}
    chunks = [json.loads(base64.b64decode(event["bytes"])) for _, event in events]
    first = chunks[0]
    if first.get("type") == "message_start":
        return gather_message(chunks)
    if first.get("type") == "completion":
        return dict(chunks[-1], completion="".join(c["completion"] for c in chunks))
    if "messageStart" in first:
        answer = gather_converse([(name, event) for c in chunks for name, event in c.items() if isinstance(event, dict)])
        for chunk in chunks:
            answer.update({k: v for k, v in chunk.items() if k.startswith("amazon-bedrock-guardrail")})
        return answer
    if "outputText" in first:
        last = chunks[-1]
        result = {
            "outputText": "".join(c["outputText"] for c in chunks),
            "tokenCount": last["totalOutputTextTokenCount"],
            "completionReason": last.get("completionReason"),
        }
        return dict(last, results=[result], inputTextTokenCount=first["inputTextTokenCount"])
    raise ValueError("chunks with " + ", ".join(first))


def gather_message(chunks):
    message, blocks = None, {}
    for chunk in chunks:
        if chunk["type"] == "message_start":
            message = chunk["message"]
        elif chunk["type"] == "content_block_start":
            blocks[chunk["index"]] = dict(chunk["content_block"], json="")
        elif chunk["type"] == "content_block_delta":
            delta = chunk["delta"]
            blocks[chunk["index"]]["json"] += delta.get("partial_json", "")
            if "text" in delta:
                blocks[chunk["index"]]["text"] += delta["text"]
        elif chunk["type"] == "message_delta":
            message["stop_reason"] = chunk["delta"]["stop_reason"]
            message["usage"].update(chunk["usage"])
    message["content"] = [blocks[i] for i in sorted(blocks)]
    return message


def invoke(facts, answer):
    facts["refusal"] = answer.get("amazon-bedrock-guardrailAction") == "INTERVENED"
    if "output" in answer:
        converse(facts, answer)
    elif answer.get("type") == "message":
        facts["answered"], facts["response"], facts["finish"] = answer["model"], answer["id"], [answer["stop_reason"]]
        u = answer["usage"]
        count(facts, u["input_tokens"], u["output_tokens"], u.get("cache_read_input_tokens"), u.get("cache_creation_input_tokens"))
        for block in answer["content"]:
            if block["type"] == "tool_use":
                facts["calls"].append([block["id"], block["name"], "function"])
                facts["said"].append(block.get("json") or json.dumps(block["input"]))
            else:
                facts["said"].append(block["text"])
    elif "completion" in answer:
        facts["said"], facts["finish"] = [answer["completion"]], [answer["stop_reason"]]
        metrics = answer.get("amazon-bedrock-invocationMetrics", {})
        count(facts, metrics.get("inputTokenCount"), metrics.get("outputTokenCount"))
    elif "results" in answer:
        count(facts, answer["inputTextTokenCount"], sum(r["tokenCount"] for r in answer["results"]))
        facts["said"] = [r["outputText"] for r in answer["results"]]
        facts["finish"] = [r["completionReason"] for r in answer["results"] if r["completionReason"]]
    elif "generation" in answer:
        count(facts, answer["prompt_token_count"], answer["generation_token_count"])
        facts["said"], facts["finish"] = [answer["generation"]], [answer["stop_reason"]]
    elif "outputs" in answer:
        facts["said"] = [o["text"] for o in answer["outputs"]]
        facts["finish"] = [o["stop_reason"] for o in answer["outputs"]]
    elif "generations" in answer:
        facts["response"] = answer["id"]
        facts["said"] = [g["text"] for g in answer["generations"]]
        facts["finish"] = [g["finish_reason"] for g in answer["generations"]]
    elif "generation_id" in answer:
        facts["response"], facts["said"], facts["finish"] = answer["response_id"], [answer["text"]], [answer["finish_reason"]]
    elif "completions" in answer:
        facts["said"] = [c["data"]["text"] for c in answer["completions"]]
        facts["finish"] = [c["finishReason"]["reason"] for c in answer["completions"]]
    elif answer.get("object") == "text_completion":
        u = answer["usage"]
        count(facts, u["prompt_tokens"], u["completion_tokens"], total=u["total_tokens"])
        facts["answered"], facts["response"] = answer["model"], answer["id"]
        facts["said"] = [c["text"] for c in answer["choices"]]
        facts["finish"] = [c["finish_reason"] for c in answer["choices"]]
    else:
        raise ValueError("an answer with " + ", ".join(answer))


READERS = [
    ("bedrock", "POST", "/model/[^/]+/converse(-stream)?", read(gather_converse, converse)),
    ("bedrock", "POST", "/model/[^/]+/invoke(-with-response-stream)?", read(gather_invoke, invoke)),
]
