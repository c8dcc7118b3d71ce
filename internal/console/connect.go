package console

import (
	"net/http"
	"strings"
)

// snippet is lines to copy.
type snippet struct {
	Title string
	Note  string
	Text  string
}

type connectView struct {
	frame
	Gateway  string
	Snippets []snippet
}

func (p *pages) connect(w http.ResponseWriter, r *http.Request) {
	gateway := p.cfg.Gateway
	if gateway == "" {
		gateway = "http://127.0.0.1:4600"
	}
	v := &connectView{frame: p.frame("Connect", "connect", ""), Gateway: gateway}
	for _, s := range snippets {
		s.Text = strings.ReplaceAll(s.Text, "GATEWAY", gateway)
		v.Snippets = append(v.Snippets, s)
	}
	p.show(w, r, http.StatusOK, connectPage(v))
}

var snippets = []snippet{
	{"Shell", "Most SDKs and tools read these.", `export OPENAI_BASE_URL=GATEWAY/v1
export OPENAI_API_KEY=YOUR_KEY
export ANTHROPIC_BASE_URL=GATEWAY
export ANTHROPIC_API_KEY=YOUR_KEY`},
	{"curl", "The answer's x-steno-exchange header names the exchange; look it up in the search box.", `curl -si GATEWAY/v1/chat/completions \
  -H 'Authorization: Bearer YOUR_KEY' -H 'Content-Type: application/json' \
  -H 'x-steno-user: ana.silva' -H 'x-steno-conversation: ticket-4711' \
  -d '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"What does a court reporter do?"}]}'`},
	{"Python, OpenAI", "", `from openai import OpenAI

client = OpenAI(base_url="GATEWAY/v1", api_key="YOUR_KEY")
answer = client.chat.completions.create(
    model="gpt-4o-mini",
    messages=[{"role": "user", "content": "What does a court reporter do?"}],
    extra_headers={"x-steno-user": "ana.silva", "x-steno-conversation": "ticket-4711"},
)`},
	{"Python, Anthropic", "", `from anthropic import Anthropic

client = Anthropic(base_url="GATEWAY", api_key="YOUR_KEY")
answer = client.messages.create(
    model="claude-sonnet-4-5",
    max_tokens=500,
    messages=[{"role": "user", "content": "What does a court reporter do?"}],
    extra_headers={"x-steno-user": "ana.silva"},
)`},
	{"JavaScript", "", `import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";

const openai = new OpenAI({ baseURL: "GATEWAY/v1", apiKey: "YOUR_KEY" });
const anthropic = new Anthropic({ baseURL: "GATEWAY", apiKey: "YOUR_KEY" });

const answer = await openai.chat.completions.create(
  { model: "gpt-4o-mini", messages: [{ role: "user", content: "What does a court reporter do?" }] },
  { headers: { "x-steno-user": "ana.silva" } },
);`},
	{"Go", "openai-go; for Anthropic the base URL is the gateway's address without /v1.", `client := openai.NewClient(
	option.WithBaseURL("GATEWAY/v1"),
	option.WithAPIKey("YOUR_KEY"),
	option.WithHeader("x-steno-user", "ana.silva"),
)`},
	{"Coding agents", "Agents that speak Anthropic's or OpenAI's API read these; headers say whose work it is.", `export ANTHROPIC_BASE_URL=GATEWAY
export ANTHROPIC_AUTH_TOKEN=YOUR_KEY
export ANTHROPIC_CUSTOM_HEADERS='x-steno-user: ana.silva'
export OPENAI_BASE_URL=GATEWAY/v1
export OPENAI_API_KEY=YOUR_KEY`},
	{"Events of your own", "What no gateway sees: approvals, lineage, feedback. Source and id together count once.", `curl -s GATEWAY/v1/events \
  -H 'Authorization: Bearer YOUR_KEY' -H 'Content-Type: application/json' \
  -d '[{"type":"governance.model_approved","time":"2026-11-23T09:00:00Z",
        "origin":{"source":"model-registry","id":"approval-41"},
        "system":{"action":"approve","actor":"h.nilsson","target":"gpt-4o-mini",
                  "outcome":"approved"}}]'`},
}

// stenoHeaders are those by which an application says more; none of them is sent on to the provider.
var stenoHeaders = []parameter{
	{"x-steno-user", "whose data it is: a person's name or id in your system"},
	{"x-steno-role", "the role in which that person acts"},
	{"x-steno-conversation", "an id that all calls of one conversation share"},
	{"x-steno-prompt", "name and version of the prompt template, as support@7"},
	{"x-steno-document", "a document that was retrieved: id=…; index=…; vector=…; version=…; score=…; once for each"},
	{"x-steno-key", "the gateway key, where the provider's own key is passed through"},
}
