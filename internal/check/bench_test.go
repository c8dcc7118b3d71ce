package check

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// Clean text of two kinds: prose, and talk about keys and prompts, in which
// the keywords of many rules occur and no rule matches.
const (
	prose = "The committee met on Tuesday to talk about the budget. Could you please summarise the findings, and say how many people came? Rain fell all day in the hills above the town. "
	shop  = "Could you please summarise what the key findings were, and tell me which token limits apply to our API plan? I'd like a password reset link too, thanks; the client secretly hoped for more access. Ignore the typos: the authors' instructions say so. "
)

func filled(s string, n int) []byte { return []byte(strings.Repeat(s, n/len(s)+1)[:n]) }

func BenchmarkText(b *testing.B) {
	mixed := strings.Repeat(prose, 5) + shop
	for _, c := range []struct {
		name string
		text []byte
		conf Config
	}{
		{"prose2K", filled(prose, 2<<10), Config{true, true}},
		{"prose2K/secrets", filled(prose, 2<<10), Config{Secrets: true}},
		{"prose2K/injection", filled(prose, 2<<10), Config{Injection: true}},
		{"mixed2K", filled(mixed, 2<<10), Config{true, true}},
		{"keys2K", filled(shop, 2<<10), Config{true, true}},
		{"prose32K", filled(prose, 32<<10), Config{true, true}},
		{"mixed32K", filled(mixed, 32<<10), Config{true, true}},
		{"keys32K", filled(shop, 32<<10), Config{true, true}},
		{"keys32K/secrets", filled(shop, 32<<10), Config{Secrets: true}},
		{"keys32K/injection", filled(shop, 32<<10), Config{Injection: true}},
		{"chinese32K", filled("今天的会议讨论了预算。请总结一下主要结论，并说明有多少人参加。", 32<<10), Config{true, true}},
	} {
		b.Run(c.name, func(b *testing.B) {
			k, err := New(c.conf)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(c.text)))
			b.ReportAllocs()
			for b.Loop() {
				if fs := k.Text(b.Context(), c.text, User); len(fs) > 0 {
					b.Fatalf("clean text gave %+v", fs[0])
				}
			}
		})
	}
}

func BenchmarkJSON(b *testing.B) {
	var turns []map[string]string
	for range 32 {
		turns = append(turns, map[string]string{"role": "user", "content": string(filled(prose+"\n\"é\" ", 1<<10))})
	}
	raw, err := json.Marshal(turns)
	if err != nil {
		b.Fatal(err)
	}
	k := checker(b)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		k.JSON(b.Context(), raw, User)
	}
}

// Texts made to cost as much as they can: the time must grow with the text's
// length, not with its square.
func BenchmarkHostile(b *testing.B) {
	k := checker(b)
	for _, s := range []string{"curl ", "curl a\n", "key=", "ignore . . . ", "-----BEGIN PRIV" + "ATE KEY-----a", "ey", "[\"", "{\"a\":\"", "![a](http://a"} {
		for _, kib := range []int{64, 256} {
			text := filled(s, kib<<10)
			b.Run(fmt.Sprintf("%.8q/%dK", s, kib), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					k.JSON(b.Context(), text, Tool)
				}
			})
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		checker(b)
	}
}
