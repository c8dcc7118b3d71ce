package check

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// FuzzKeywords holds the one pass to what a search for each keyword by itself finds.
func FuzzKeywords(f *testing.F) {
	words := []string{"q~", "![", "sk-", "skx", "key", "keys", "api_key", "ignore", "ababa"}
	f.Add([]byte("keys api_keys q~"))
	f.Add([]byte("abababa![q~q"))
	f.Add([]byte("ke"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		var k keywords
		var want, got []string
		for n, w := range words {
			k.add(w, n)
			for at := range text {
				if bytes.HasPrefix(text[at:], []byte(w)) {
					want = append(want, fmt.Sprint(n, at))
				}
			}
		}
		k.find(text, func(n, at int) { got = append(got, fmt.Sprint(n, at)) })
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("in %q found %v, want %v", text, got, want)
		}
	})
}
