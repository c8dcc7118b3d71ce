"""Facts of recorded calls of Google's Gemini API and of Vertex AI."""

import json
import re


# Numbers that clients of google-api-core ask for (enum-encoding=int).
FINISH = {1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER"}
KEPT_BACK = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY")


def generate(facts, exchange, request, answer):
    request = json.loads(request)
    facts["asked"] = re.search(r"models/([^/:]+):", facts["path"]).group(1)
    facts["messages"] = len(request["contents"])
    for tool in request.get("tools", []):
        facts["offered"] += [f["name"] for f in tool.get("functionDeclarations", [])]
        facts["offered"] += [name for name in tool if name != "functionDeclarations"]
    if facts["streamed"]:
        chunks = [json.loads(line[5:]) for line in answer.decode().splitlines() if line.startswith("data:")]
    else:
        chunks = [json.loads(answer)]
    if exchange["status"] >= 300:
        facts["error"] = chunks[0]["error"]["status"]
        return
    said, last = [], None
    for chunk in chunks:
        facts["answered"], facts["response"] = chunk["modelVersion"], chunk["responseId"]
        count(facts, chunk.get("usageMetadata", {}))
        facts["refusal"] |= "blockReason" in chunk.get("promptFeedback", {})
        for candidate in chunk.get("candidates", []):
            reason = candidate.get("finishReason")
            if reason:
                facts["finish"].append(FINISH[reason] if isinstance(reason, int) else reason)
                facts["refusal"] |= facts["finish"][-1] in KEPT_BACK
            for part in candidate["content"].get("parts", []):
                if "functionCall" in part:
                    call = part["functionCall"]
                    facts["calls"].append([call.get("id", ""), call["name"], "function"])
                    said.append(json.dumps(call["args"]))
                    last = None
                else:
                    kind = "thought" if part.get("thought") else "text"
                    if facts["streamed"] and kind == last:
                        said[-1] += part["text"]
                    else:
                        said.append(part["text"])
                    last = kind
    facts["said"] = said


def count(facts, usage):
    if "promptTokenCount" not in usage:
        return
    found = {"source": "reported", "input": usage["promptTokenCount"] + usage.get("toolUsePromptTokenCount", 0), "total": usage["totalTokenCount"]}
    if "candidatesTokenCount" in usage or "thoughtsTokenCount" in usage:
        found["output"] = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
    for ours, theirs in (("reasoning", "thoughtsTokenCount"), ("cache_read", "cachedContentTokenCount")):
        if theirs in usage:
            found[ours] = usage[theirs]
    facts["usage"] = found


READERS = [
    ("gemini", "POST", r"/v1beta/models/[^/]+:generateContent", generate),
    ("vertex", "POST", r"/v1(beta1)?/projects/.*:(g|streamG)enerateContent", generate),
]
