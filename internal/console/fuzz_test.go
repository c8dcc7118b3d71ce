package console

import (
	"strings"
	"testing"

	"github.com/steno-audit/steno/internal/serve"
)

// FuzzTerms: whatever is typed into the search box, each term says something, and nothing is made up.
func FuzzTerms(f *testing.F) {
	for _, s := range []string{"", "user:ana flag:secret", `user:"ana b" x`, `"`, `" "`, "a:\"b", "\xff :"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, term := range terms(s) {
			if strings.TrimSpace(term) == "" || len(term) > 3*len(s) { // a broken byte becomes three
				t.Errorf("%q gives the term %q", s, term)
			}
		}
	})
}

// FuzzFold: cutting a text at findings and folding it loses no byte and shows none twice, wherever the findings are said to be.
func FuzzFold(f *testing.F) {
	f.Add("a secret here", 2, 8, 5, 20)
	f.Add(strings.Repeat("long ", 900), 890, 910, -3, 4000)
	f.Fuzz(func(t *testing.T, text string, a, b, c, d int) {
		p := &serve.Part{Text: text, Tags: []serve.Tag{{Start: a, End: b, Flag: "secret"}, {Start: c, End: d, Flag: "injection"}}}
		shown, rest, n, _ := fold(p)
		var all, later strings.Builder
		for _, s := range shown {
			all.WriteString(s.Text)
		}
		for _, s := range rest {
			later.WriteString(s.Text)
		}
		if got := all.String() + later.String(); got != text || later.Len() != n {
			t.Errorf("%d bytes became %d, of which %d folded, said to be %d", len(text), len(got), later.Len(), n)
		}
	})
}
