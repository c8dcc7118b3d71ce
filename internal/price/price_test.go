package price

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d.Add(12 * time.Hour)
}

func TestCost(t *testing.T) {
	mln := Usage{Input: 1_000_000}
	for _, c := range []struct {
		name, provider, model, day string
		u                          Usage
		usd, date                  string // usd "" means unpriced
	}{
		{"small sum, exact", "openai", "gpt-4o-mini", "2026-01-01", Usage{Input: 11, Output: 9}, "0.00000705", "2024-07-18"},
		{"nothing used costs nothing", "openai", "gpt-4o-mini", "2026-01-01", Usage{}, "0", "2024-07-18"},
		{"cached input", "openai", "gpt-4o-2024-08-06", "2026-01-01", Usage{Input: 1000, CacheRead: 1024, Output: 100}, "0.00478", "2024-08-06"},
		{"first gpt-4o keeps its own price", "openai", "gpt-4o-2024-05-13", "2026-01-01", mln, "5", "2024-05-13"},
		{"alias from the day it moved", "openai", "gpt-4o", "2024-10-02", mln, "2.5", "2024-10-02"},
		{"snapshot by date suffix", "openai", "gpt-4.1-nano-2025-04-14", "2026-01-01", mln, "0.1", "2025-04-14"},
		{"a price cut by date", "openai", "o3-2025-04-16", "2025-06-09", mln, "10", "2025-04-16"},
		{"a price cut by date, after", "openai", "o3-2025-04-16", "2025-06-10", mln, "2", "2025-06-10"},
		{"embedding", "openai", "text-embedding-3-small", "2026-01-01", Usage{Input: 7}, "0.00000014", "2024-01-25"},
		{"fine-tuned", "openai", "ft:gpt-4o-mini-2024-07-18:acme:helper:AbC123", "2026-01-01", mln, "0.3", "2024-07-18"},
		{"moderation is free, and known to be", "openai", "omni-moderation-latest", "2026-01-01", mln, "0", "2023-08-01"},
		{"anthropic snapshot", "anthropic", "claude-3-5-sonnet-20241022", "2025-01-01", Usage{Input: 1000, Output: 500}, "0.0105", "2024-06-20"},
		{"anthropic -latest", "anthropic", "claude-3-7-sonnet-latest", "2025-06-01", mln, "3", "2025-02-19"},
		{"gemini, thoughts among its output", "gcp.gemini", "gemini-2.5-flash", "2026-01-01", Usage{Input: 1000, CacheRead: 1000, Output: 100}, "0.00058", "2025-10-31"},
		{"gemini on vertex, a long prompt", "gcp.vertex_ai", "google/gemini-2.5-pro", "2026-01-01", Usage{Input: 200_001}, "0.5000025", "2025-10-31"},
		{"gemini before its price is known", "gcp.gemini", "gemini-2.5-flash", "2025-10-30", mln, "", ""},
		{"gemini when its first price ends", "gcp.vertex_ai", "gemini-3.7-flash", "2027-01-01", mln, "1.5", "2027-01-01"},
		{"bedrock, by an id with a version", "aws.bedrock", "us.amazon.nova-lite-v1:0", "2026-07-01", Usage{Input: 1000, CacheRead: 1000, Output: 100}, "0.000099", "2026-06-30"},
		{"bedrock, by an id with date and version", "aws.bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "2026-07-01", mln, "3.3", "2026-06-30"},
		{"bedrock, by the ARN of a profile", "aws.bedrock", "arn:aws:bedrock:us-east-1:012345678901:inference-profile/global.anthropic.claude-opus-4-6-v1", "2026-07-01", Usage{Input: 200_001}, "2.00001", "2026-02-24"},
		{"bedrock, by an ARN that says no model", "aws.bedrock", "arn:aws:bedrock:us-east-1:012345678901:application-inference-profile/a1b2c3", "2026-07-01", mln, "", ""},
		{"bedrock, in a region with prices of its own", "aws.bedrock", "amazon.nova-lite-v1:0", "2026-07-01", mln, "", ""},
		{"a price of Bedrock's that ends", "aws.bedrock", "global.anthropic.claude-sonnet-5-v1:0", "2026-09-01", mln, "3", "2026-09-01"},
		{"anthropic, vertex spelling", "anthropic", "claude-sonnet-4@20250514", "2025-06-01", Usage{Input: 100}, "0.0003", "2025-05-14"},
		{"cache writes, five minutes and an hour", "anthropic", "claude-opus-4-5-20251101", "2026-01-01", Usage{CacheWrite: 1000, CacheWriteHour: 1000, CacheRead: 1000}, "0.01675", "2025-11-01"},
		{"at the edge of a long prompt", "anthropic", "claude-sonnet-4-5", "2026-01-01", Usage{Input: 100_000, CacheRead: 100_000, Output: 1}, "0.330015", "2025-09-29"},
		{"a long prompt, cached part counted", "anthropic", "claude-sonnet-4-5", "2026-01-01", Usage{Input: 100_001, CacheRead: 100_000}, "0.660006", "2025-09-29"},
		{"long prompts before the surcharge fell", "anthropic", "claude-opus-4-6", "2026-03-12", mln, "10", "2026-02-05"},
		{"long prompts after the surcharge fell", "anthropic", "claude-opus-4-6", "2026-03-13", mln, "5", "2026-03-13"},
		{"a price that rose", "anthropic", "claude-sonnet-5", "2026-09-01", mln, "3", "2026-09-01"},
		{"upper case", "OpenAI", "GPT-4o-Mini", "2026-01-01", mln, "0.15", "2024-07-18"},

		{"unknown model", "openai", "gpt-4o-mega", "2026-01-01", mln, "", ""},
		{"unknown provider", "acme", "gpt-4o", "2026-01-01", mln, "", ""},
		{"another provider's model", "anthropic", "gpt-4o", "2026-01-01", mln, "", ""},
		{"no model", "openai", "", "2026-01-01", mln, "", ""},
		{"alias before its price is known", "openai", "gpt-4o", "2024-10-01", mln, "", ""},
		{"cached tokens before their price is known", "openai", "o3", "2025-06-09", Usage{CacheRead: 1}, "", ""},
		{"before the model was", "openai", "gpt-4.1", "2024-01-01", mln, "", ""},
		{"longer name is another model", "openai", "gpt-4o-audio-preview", "2026-01-01", mln, "", ""},
		{"no such date", "openai", "gpt-4.1-2025-14-14", "2026-01-01", mln, "", ""},
		{"cached tokens of a model without that price", "openai", "gpt-4", "2026-01-01", Usage{Input: 1, CacheRead: 1}, "", ""},
		{"output of an embedding", "openai", "text-embedding-3-small", "2026-01-01", Usage{Input: 1, Output: 1}, "", ""},
		{"negative count", "openai", "gpt-4o", "2026-01-01", Usage{Input: 10, Output: -1}, "", ""},
		{"absurd count", "openai", "o1-pro", "2026-01-01", Usage{Input: math.MaxInt64}, "", ""},
		{"absurd counts together", "openai", "gpt-4o", "2026-01-01", Usage{Input: math.MaxInt64, CacheRead: math.MaxInt64}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := Default().Cost(c.provider, c.model, day(t, c.day), c.u)
			if ok != (c.usd != "") {
				t.Fatalf("priced is %v (%+v), want %v", ok, got, c.usd != "")
			}
			if !ok {
				if got != (Cost{}) {
					t.Fatalf("an unpriced call has a cost: %+v", got)
				}
				return
			}
			if got.USD != c.usd || got.Date != c.date {
				t.Errorf("cost is %s by the row of %s, want %s by the row of %s", got.USD, got.Date, c.usd, c.date)
			}
			if len(got.Row) != 16 || got.Table != Default().Version() {
				t.Errorf("row %q, table %q: want 16 hex digits and %q", got.Row, got.Table, Default().Version())
			}
		})
	}
}

// The day a price begins is a day in UTC, whatever the caller's clock says.
func TestDayIsUTC(t *testing.T) {
	west := time.FixedZone("west", -5*3600)
	at := time.Date(2025, 6, 9, 20, 0, 0, 0, west) // 01:00 on the tenth, UTC
	c, ok := Default().Cost("openai", "o3", at, Usage{Input: 1_000_000})
	if !ok || c.USD != "2" {
		t.Fatalf("got %+v, %v; want the price from 2025-06-10", c, ok)
	}
}

// Every row of the file is reachable by each of its names on its own day and
// costs what the file says, worked out another way: with big rationals from
// the file's text.
func TestEveryRow(t *testing.T) {
	var head fileHead
	if err := json.Unmarshal(embedded, &head); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, raw := range head.Rows {
		var f fileRow
		if err := json.Unmarshal(raw, &f); err != nil {
			t.Fatal(err)
		}
		u := Usage{Input: f.Over + 12_345}
		want := priced(t, f.Input, u.Input)
		for _, p := range []struct {
			price string
			n     *int64
			count int64
		}{{f.Output, &u.Output, 678}, {f.CacheRead, &u.CacheRead, 91}, {f.CacheWrite, &u.CacheWrite, 23}, {f.CacheWriteHour, &u.CacheWriteHour, 45}} {
			if p.price != "" {
				*p.n = p.count
				want.Add(want, priced(t, p.price, p.count))
			}
		}
		for _, m := range f.Models {
			c, ok := Default().Cost(f.Provider, m, day(t, f.Date), u)
			if !ok {
				t.Errorf("%s on %s is unpriced", m, f.Date)
				continue
			}
			got, _ := new(big.Rat).SetString(c.USD)
			if got == nil || got.Cmp(want) != 0 || c.Date != f.Date {
				t.Errorf("%s on %s costs %s (row of %s), want %s", m, f.Date, c.USD, c.Date, want.FloatString(12))
			}
			if pico := new(big.Rat).SetFrac64(c.Pico, 1_000_000_000_000); pico.Cmp(want) != 0 {
				t.Errorf("%s: %d trillionths are not %s dollars", m, c.Pico, c.USD)
			}
			seen[c.Row] = true
		}
	}
	if len(seen) != len(head.Rows) {
		t.Errorf("%d rows have %d different hashes", len(head.Rows), len(seen))
	}
	if Default().AsOf() != head.AsOf {
		t.Errorf("as of %s, want %s", Default().AsOf(), head.AsOf)
	}
}

func priced(t *testing.T, perMillion string, n int64) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(perMillion)
	if !ok {
		t.Fatalf("%q is no number", perMillion)
	}
	return r.Mul(r, big.NewRat(n, 1_000_000))
}

func TestParseRefuses(t *testing.T) {
	const ok = `{"provider":"p","models":["m"],"date":"2026-01-01","input":"1","source":"s"}`
	file := func(rows string) string {
		return `{"as_of":"2026-01-01","unit":"USD per million tokens","sources":{"s":"somewhere"},"rows":[` + rows + `]}`
	}
	if _, err := parse([]byte(file(ok))); err != nil {
		t.Fatalf("a good table: %v", err)
	}
	swap := func(old, new string) string { return file(strings.Replace(ok, old, new, 1)) }
	for name, c := range map[string]struct{ file, want string }{
		"not JSON":        {"{", "couldn't read"},
		"no as_of":        {`{"unit":"USD per million tokens"}`, "as_of"},
		"another unit":    {`{"as_of":"2026-01-01","unit":"EUR"}`, "unit"},
		"unknown field":   {swap(`"input"`, `"inputs"`), "inputs"},
		"no provider":     {swap(`"p"`, `""`), "provider"},
		"no models":       {swap(`["m"]`, `[]`), "models"},
		"upper-case name": {swap(`["m"]`, `["M"]`), "lower-case"},
		"bad date":        {swap("2026-01-01", "2026-13-01"), "date"},
		"negative over":   {swap(`"date"`, `"over":-1,"date"`), "over"},
		"unknown source":  {swap(`"s"`, `"x"`), "source"},
		"no input":        {swap(`"input":"1",`, ``), "input"},
		"not a price":     {swap(`"1"`, `"1e3"`), "not a price"},
		"a fraction":      {swap(`"1"`, `"1/3"`), "not a price"},
		"negative price":  {swap(`"1"`, `"-1"`), "not a price"},
		"too fine":        {swap(`"1"`, `"0.0000001"`), "six decimals"},
		"twice the same":  {file(ok + "," + ok), "another row"},
	} {
		_, err := parse([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one about %q", name, err, c.want)
		}
	}
}

// The version and the row's hash change with the content.
func TestHashes(t *testing.T) {
	other := []byte(strings.Replace(string(embedded), `"input": "0.15"`, `"input": "0.16"`, 1))
	t2, err := parse(other)
	if err != nil {
		t.Fatal(err)
	}
	at, u := day(t, "2026-01-01"), Usage{Input: 1}
	a, _ := Default().Cost("openai", "gpt-4o-mini", at, u)
	b, _ := t2.Cost("openai", "gpt-4o-mini", at, u)
	if a.Row == b.Row || a.Table == b.Table {
		t.Errorf("a changed price left row %s and table %s as they were", a.Row, a.Table)
	}
	a, _ = Default().Cost("openai", "gpt-4o", at, u)
	b, _ = t2.Cost("openai", "gpt-4o", at, u)
	if a.Row != b.Row {
		t.Errorf("an untouched row changed its hash: %s, %s", a.Row, b.Row)
	}
}

// Model names and counts come from outside: no input may panic, give a
// negative sum, or a text that is not the number.
func FuzzCost(f *testing.F) {
	f.Add("openai", "gpt-4o-2024-08-06", int64(1700000000), int64(1), int64(2), int64(3), int64(4))
	f.Add("anthropic", "ft::", int64(-1), int64(-1), int64(0), int64(0), int64(0))
	f.Add("", "-latest", int64(math.MaxInt64), int64(math.MaxInt64), int64(1), int64(1), int64(1))
	f.Fuzz(func(t *testing.T, provider, model string, at, in, out, read, write int64) {
		c, ok := Default().Cost(provider, model, time.Unix(at, 0), Usage{Input: in, Output: out, CacheRead: read, CacheWrite: write})
		if !ok {
			return
		}
		got, good := new(big.Rat).SetString(c.USD)
		if !good || c.Pico < 0 || got.Cmp(big.NewRat(c.Pico, 1_000_000_000_000)) != 0 {
			t.Fatalf("%q dollars are not %d trillionths", c.USD, c.Pico)
		}
	})
}
