package seal

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// prose makes text that compresses about as English does: words of letters in their usual frequencies, the frequent
// words short, no sentence twice.
func prose(r *rand.Rand, n int) string {
	const letters = "eeeeeeetttttaaaaooooiiinnnnsssshhhrrrdddlllcuumwfgypbvk"
	words := make([]string, 1500)
	w := rand.New(rand.NewSource(1))
	for i := range words {
		b := make([]byte, 2+w.Intn(3+i/200))
		for j := range b {
			b[j] = letters[w.Intn(len(letters))]
		}
		words[i] = string(b)
	}
	z := rand.NewZipf(r, 1.2, 8, uint64(len(words)-1))
	var b strings.Builder
	for b.Len() < n {
		b.WriteString(words[z.Uint64()])
		b.WriteByte(' ')
	}
	return b.String()[:n]
}

const testHead = `{"method":"POST","path":"/v1/chat/completions","proto":"HTTP/1.1","headers":{"Accept":["application/json"],"Accept-Encoding":["gzip, deflate, zstd"],"Authorization":["mac:3f1c5a0b9d8e7f60123456789abcdef0"],"Content-Type":["application/json"],"User-Agent":["OpenAI/Python 2.6.1"],"X-Stainless-Arch":["x64"],"X-Stainless-Async":["false"],"X-Stainless-Lang":["python"],"X-Stainless-Os":["Linux"],"X-Stainless-Package-Version":["2.6.1"],"X-Stainless-Read-Timeout":["600"],"X-Stainless-Retry-Count":["0"],"X-Stainless-Runtime":["CPython"],"X-Stainless-Runtime-Version":["3.13.1"]}}`

// requestDraft and responseDraft are what the gateway records of a typical call.
func requestDraft(at time.Time, pieces ...steno.Piece) *steno.Draft {
	e := sampleRequest()
	e.ID, e.Exchange, e.Time = steno.NewID(at), steno.NewID(at), at
	e.Identity.User, e.Identity.Conversation, e.Identity.UserAgent = "maria.schmidt@example.org", "thread-8f3a2c", "OpenAI/Python 2.6.1"
	e.Flags, e.Safety.Action, e.Model.Asked = nil, "", "gpt-4.1-mini"
	e.TraceID, e.Parent = "", ""
	e.Prompt = &steno.Prompt{Bytes: 48211, Messages: 57, New: 2, Tools: []string{"read_file", "run_tests"}}
	e.Timing.Received = at
	e.Timing.Steps = nil
	for i, n := range []string{"received", "identity", "prompt", "checks_in", "model"} {
		start := at.Add(time.Duration(i*37+1) * 1717 * time.Microsecond / 100)
		e.Timing.Steps = append(e.Timing.Steps, steno.Step{Name: n, Start: start, End: start.Add(41 * time.Microsecond), Outcome: "ok"})
	}
	head := steno.Piece{Kind: steno.KindHead, Bytes: []byte(testHead)}
	return &steno.Draft{Event: *e, Request: append([]steno.Piece{head}, pieces...)}
}

func responseDraft(at time.Time, n int, body string) *steno.Draft {
	e := sampleResponse()
	in, out, total, zero := int64(11000+n), int64(230+n%7), int64(11230+n+n%7), int64(0)
	e.ID, e.Exchange, e.Time = steno.NewID(at), steno.NewID(at), at
	e.Identity = &steno.Identity{User: "maria.schmidt@example.org", Tenant: "default"}
	e.Model.Provider, e.Model.Dialect, e.Model.API, e.Model.Upstream, e.Model.Server = "openai", "openai", "chat_completions", "openai", "api.openai.com"
	e.Model.Answered, e.Model.Version, e.Model.Asked, e.Model.Stream = "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini-2025-04-14", "gpt-4.1-mini", false
	e.Result.ID = fmt.Sprintf("chatcmpl-C%027x", n*n*31337)
	e.Result.RequestID = fmt.Sprintf("req_%032x", uint64(n)*0x9e3779b97f4a7c15)
	e.Result.Usage = &steno.Usage{Source: "reported", Input: &in, Output: &out, Total: &total, CacheRead: &zero, Reasoning: &zero}
	e.Result.Cost = &steno.Cost{USD: "0.0047" + fmt.Sprint(n), Row: "9c1f00ab", Date: "2025-04-14", State: "priced"}
	e.Result.FinishReasons, e.Result.State, e.Result.ToolCalls, e.Result.Bytes = []string{"stop"}, "", nil, int64(len(body))
	t := e.Timing
	t.Received, t.Forwarded, t.FirstByte, t.FirstToken = at.Add(-2*time.Second), at.Add(-1990123*time.Microsecond), at.Add(-3417*time.Microsecond), time.Time{}
	t.Finished, t.LatencyMS, t.TTFT = at, 2000.117+float64(n), 0
	t.Steps = []steno.Step{{Name: "answer", Start: t.Forwarded, End: at, Outcome: "ok", Detail: "complete"}, {Name: "output", Start: at, End: at.Add(81 * time.Microsecond), Outcome: "ok"}}
	head := fmt.Sprintf(`{"status":200,"proto":"HTTP/2.0","headers":{"Cf-Cache-Status":["DYNAMIC"],"Cf-Ray":["9a%014x-FRA"],"Content-Type":["application/json"],"Date":["%s"],"Openai-Organization":["example"],"Openai-Processing-Ms":["%d"],"Openai-Project":["proj_x1"],"Openai-Version":["2020-10-01"],"Server":["cloudflare"],"Strict-Transport-Security":["max-age=31536000; includeSubDomains; preload"],"X-Content-Type-Options":["nosniff"],"X-Envoy-Upstream-Service-Time":["%d"],"X-Ratelimit-Limit-Requests":["10000"],"X-Ratelimit-Limit-Tokens":["10000000"],"X-Ratelimit-Remaining-Requests":["9999"],"X-Ratelimit-Remaining-Tokens":["%d"],"X-Ratelimit-Reset-Requests":["6ms"],"X-Ratelimit-Reset-Tokens":["%dms"],"X-Request-Id":[%q]}}`,
		uint64(n)*0x9e3779b97f4a7c15>>8, at.Format(time.RFC1123), 1900+n, 1910+n, 9988000-n*111, 60+n, e.Result.RequestID)
	return &steno.Draft{Event: *e, Response: []steno.Piece{piece(steno.KindHead, head), piece(steno.KindOutput, body)}}
}

const answerJSON = `{
  "id": %q,
  "object": "chat.completion",
  "created": %d,
  "model": "gpt-4.1-mini-2025-04-14",
  "choices": [
    {
      "index": 0,
      "message": {
        "role": "assistant",
        "content": %q,
        "refusal": null,
        "annotations": []
      },
      "logprobs": null,
      "finish_reason": "stop"
    }
  ],
  "usage": {
    "prompt_tokens": %d,
    "completion_tokens": 234,
    "total_tokens": 11234,
    "prompt_tokens_details": {
      "cached_tokens": 0,
      "audio_tokens": 0
    },
    "completion_tokens_details": {
      "reasoning_tokens": 0,
      "audio_tokens": 0,
      "accepted_prediction_tokens": 0,
      "rejected_prediction_tokens": 0
    }
  },
  "service_tier": "default",
  "system_fingerprint": "fp_7c233bf9d1"
}
`

// sealedSizes opens nothing: it adds up chunks by what they are.
func sealedSizes(t testing.TB, x *Sealed, sum map[string]int) int {
	t.Helper()
	b, err := parseBody(x.Body)
	if err != nil {
		t.Fatal(err)
	}
	for s, chunks := range b.sections {
		for _, c := range chunks {
			sum[s.String()] += len(c.sealed) + steno.ChunkHeaderSize
		}
	}
	for _, c := range b.pieces {
		sum["pieces"] += len(c.sealed) + steno.ChunkHeaderSize
	}
	sum["leaf"] += x.Leaf.Size()
	// Frames and a commit for each record: the worst case of the journal.
	frames := steno.FrameSize(x.Leaf.Size()) + steno.FrameSize(len(x.Body)) + steno.FrameSize(steno.CommitSize)
	sum["frames"] += frames - x.Leaf.Size() - len(x.Body)
	return frames
}

// TestAgentSize is an agent of 100 turns that sends its whole history each time. What the log grows by is a bounded
// multiple of what was new.
func TestAgentSize(t *testing.T) {
	l := newTestLog(t)
	r := rand.New(rand.NewSource(2))
	at := noon
	history := []steno.Piece{piece(steno.KindSystem, `{"model":"gpt-4.1-mini","messages":[{"role":"system","content":"`+prose(r, 3000)+`"}`)}
	tail := piece(steno.KindToolDefinition, `],"tools":[{"type":"function","function":{"name":"read_file","description":"`+prose(r, 200)+`","parameters":{}}}],"temperature":0.2}`)
	sum := map[string]int{}
	fresh, stored := 0, 0
	for turn := range 100 {
		at = at.Add(1317 * time.Millisecond)
		ask := fmt.Sprintf(`,{"role":"user","content":%q}`, prose(r, 500))
		history = append(history, piece(steno.KindInput, ask))
		d := requestDraft(at, append(append([]steno.Piece{}, history...), tail)...)
		for i := range d.Request {
			if i > 1 && i < len(d.Request)-2 {
				d.Request[i].Kind = steno.KindHistory
			}
		}
		x, err := l.sealer.Seal(d, at)
		if err != nil {
			t.Fatal(err)
		}
		size := sealedSizes(t, x, sum)
		i := l.commit(x)

		at = at.Add(2011 * time.Millisecond)
		said := prose(r, 500)
		body := fmt.Sprintf(answerJSON, fmt.Sprintf("chatcmpl-C%027x", turn*turn*31337), at.Unix(), said, 11000+turn)
		y, err := l.sealer.Seal(responseDraft(at, turn, body), at)
		if err != nil {
			t.Fatal(err)
		}
		size += sealedSizes(t, y, sum)
		l.commit(y)
		answer := fmt.Sprintf(`,{"role":"assistant","content":%q}`, said)
		history = append(history, piece(steno.KindHistory, answer))
		if turn > 0 { // the first stores the system prompt and the tools
			fresh += len(ask) + len(body)
			stored += size
		}
		if turn == 99 {
			if o := l.open(i); len(o.From) != 99 || texts(o.Request) != texts(d.Request) {
				t.Errorf("the hundredth turn does not come back: from %d records", len(o.From))
			}
		}
	}
	for k, v := range sum {
		t.Logf("%-10s %5d bytes a turn", k, v/100)
	}
	t.Logf("%d bytes stored a turn, %d new in JSON: %.2f times", stored/99, fresh/99, float64(stored)/float64(fresh))
	if stored > 3*fresh {
		t.Error("more than three times what was new")
	}
}
