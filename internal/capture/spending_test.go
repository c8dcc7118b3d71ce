package capture

import (
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

func TestParseBudget(t *testing.T) {
	for in, want := range map[string]string{
		"50 USD/month": "50.00 USD/month", "2.5 USD/day": "2.50 USD/day", "0.000000001 USD/day": "0.000000001 USD/day", "200000 tokens/day": "200000 tokens/day", " 3 USD / day ": "3.00 USD/day",
	} {
		b, err := ParseBudget(in)
		if err != nil || b.String() != want {
			t.Errorf("%q is %v (%v), want %s", in, b, err, want)
		}
	}
	for _, in := range []string{"50", "50 USD", "50 EUR/day", "50USD/day", "-1 USD/day", "0 USD/day", "1e3 USD/day", "1/2 USD/day", "1.5 tokens/day", "5 USD/year", ". USD/day", "9999999999999 USD/day"} {
		if b, err := ParseBudget(in); !errors.Is(err, errBudget) {
			t.Errorf("%q is %v (%v), want what a budget is", in, b, err)
		}
	}
}

func FuzzParseBudget(f *testing.F) {
	f.Add("50 USD/month")
	f.Add("200000 tokens/day")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBudget(s)
		if err != nil || b == nil {
			return
		}
		again, err := ParseBudget(b.String())
		if err != nil || *again != *b {
			t.Errorf("%q is %s, which reads as %v (%v)", s, b, again, err)
		}
		if (b.NanoUSD > 0) == (b.Tokens > 0) {
			t.Errorf("%q has %+v", s, b)
		}
	})
}

func TestPeriods(t *testing.T) {
	s := newSpending()
	day := func(d, h int) time.Time { return time.Date(2026, 1, d, h, 0, 0, 0, time.UTC) }
	s.add("k", day(30, 23), day(30, 23), Use{Tokens: 1})
	s.add("k", day(30, 23), day(31, 1), Use{Tokens: 10}) // it ended after midnight
	s.add("k", day(31, 2), day(31, 2), Use{Tokens: 100})
	if u := s.use("k", day(31, 3)); u.Today.Tokens != 100 || u.Total.Tokens != 111 {
		t.Errorf("on the 31st: %+v", u)
	}
	if u := s.use("k", day(32, 0)); u.Today.Tokens != 0 || u.Total.Tokens != 0 || u.Month != "2026-02" {
		t.Errorf("in February: %+v", u)
	}
	b := &Budget{Tokens: 1, Monthly: true}
	if name, next := b.period(time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC)); name != "2026-12" || next != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) {
		t.Errorf("December is %s until %s", name, next)
	}
}

// TestABudget spends a budget of money and finds the next call refused, on record, and told to SDKs so that they stop.
func TestABudget(t *testing.T) {
	for _, c := range []struct {
		budget *Budget
		path   string
		want   string
	}{
		{&Budget{NanoUSD: 1}, "/v1/chat/completions", `"code":"budget_exceeded"`},
		{&Budget{Tokens: 10, Monthly: true}, "/v1/messages", `"type":"rate_limit_error"`},
	} {
		r := newRig(t, stubHandler(t), nil)
		r.gateway.SetKeys([]*Key{{ID: "k1", SHA256: sha256.Sum256([]byte(testKey)), User: "app", Budget: c.budget}})
		body := chatBody
		if c.path == "/v1/messages" {
			body = `{"model":"claude-sonnet-4-5","max_tokens":100,"messages":[{"role":"user","content":"What does a court reporter do?"}]}`
		}
		resp, answer, err := r.do(r.post(c.path, body))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("the first call: %d %s %v", resp.StatusCode, answer, err)
		}
		res := r.exchange(resp.Header.Get("X-Steno-Exchange")).last().Result
		use := r.gateway.Use()["k1"]
		if use.Today.Calls != 1 || use.Today.Tokens != *res.Usage.Input+*res.Usage.Output || use.Today.USD() != trimmed(res.Cost.USD) || use.Total != use.Today {
			t.Errorf("counted %+v (%s), on record are %d and %d tokens for %s", use.Today, use.Today.USD(), *res.Usage.Input, *res.Usage.Output, res.Cost.USD)
		}
		resp, answer, err = r.do(r.post(c.path, body))
		if err != nil || resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(answer), c.want) {
			t.Fatalf("the second call: %d %s %v", resp.StatusCode, answer, err)
		}
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 1 || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("retry after %q, should retry %q", resp.Header.Get("Retry-After"), resp.Header.Get("X-Should-Retry"))
		}
		x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
		x.ended(t, steno.EndRefused, http.StatusTooManyRequests)
		if x.last().Result.EndDetail != "budget_exceeded" || string(x.request) != body {
			t.Errorf("on record: %s, %s", x.last().Result.EndDetail, x.request)
		}
		if n := r.ofType("monitoring.budget_exceeded"); n != 1 {
			t.Errorf("it is told %d times that the budget is used up", n)
		}
	}
}

// trimmed writes an amount as dollars does.
func trimmed(usd string) string {
	n, _ := nanoUSD(usd)
	return dollars(n)
}

// ofType counts the records of a type that the log has now.
func (r *rig) ofType(typ string) int {
	r.t.Helper()
	n := 0
	for i := range r.log.Size() {
		e, err := r.log.Read(i)
		if err != nil {
			r.t.Fatal(err)
		}
		if e.Leaf.Flags&steno.FlagPublicOnly != 0 {
			continue
		}
		o, err := r.keys.Open(e.Leaf, e.Body, nil, steno.SectionMetadata)
		if err != nil {
			r.t.Fatal(err)
		}
		if o.Type == typ {
			n++
		}
	}
	return n
}

func TestCountedFromTheLog(t *testing.T) {
	r := newRig(t, stubHandler(t), nil)
	now := time.Now()
	r.gateway.Count([]Spent{
		{Key: "k1", Time: now, Cost: "1.25", Tokens: 10},
		{Key: "k1", Time: now, Cost: "unpriced", Tokens: 5},
		{Key: "k1", Time: now},
		{Key: "k2", Time: now, Cost: "0.0000000001"},
		{Key: "k1", Time: now.AddDate(0, -2, 0), Cost: "100"},
	})
	u := r.gateway.Use()
	if got := u["k1"].Total; got != (Use{Calls: 3, Unpriced: 1, NanoUSD: 1_250_000_000, Tokens: 15}) {
		t.Errorf("k1 used %+v", got)
	}
	if got := u["k2"].Total; got.NanoUSD != 1 {
		t.Errorf("what is below a billionth is rounded up, not %+v", got)
	}
	r.gateway.SetKeys([]*Key{{ID: "k1", SHA256: sha256.Sum256([]byte(testKey)), Budget: &Budget{NanoUSD: 1e9, Monthly: true}}})
	for range 2 {
		if resp, body, err := r.do(r.post("/v1/chat/completions", chatBody)); err != nil || resp.StatusCode != http.StatusTooManyRequests {
			t.Errorf("%d %s %v", resp.StatusCode, body, err)
		}
	}
	if n := r.ofType("monitoring.budget_exceeded"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// TestRevokedUnderWay revokes a key while its stream goes through: the stream is cut, on record as refused.
func TestRevokedUnderWay(t *testing.T) {
	hold := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"}}]}\n\ndata: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"}}]}\n\n")
		http.NewResponseController(w).Flush()
		select {
		case <-hold:
		case <-q.Context().Done():
		}
	}), nil)
	t.Cleanup(func() { close(hold) })
	resp, err := http.DefaultTransport.RoundTrip(r.post("/v1/chat/completions", streamBody))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	r.gateway.SetKeys([]*Key{{ID: "other", SHA256: sha256.Sum256([]byte("other"))}})
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("the stream of a revoked key ended in good order")
	}
	x := r.exchange(resp.Header.Get("X-Steno-Exchange"))
	x.ended(t, steno.EndRefused, http.StatusOK)
	if x.last().Result.EndDetail != "key_revoked" || !strings.Contains(string(x.response), "one") {
		t.Errorf("on record: %q, %s", x.last().Result.EndDetail, x.response)
	}
	resp2, body, err := r.do(r.post("/v1/chat/completions", chatBody))
	if err != nil || resp2.StatusCode != http.StatusUnauthorized {
		t.Errorf("a new call: %d %s %v", resp2.StatusCode, body, err)
	}
}
