package stub

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTopics bounds the words that an answer takes up from a question.
const maxTopics = 16

// heardWords bounds how much of a long question is listened to: its beginning and its end.
const heardWords = 384

// topics returns the words of a question that an answer can take up.
func topics(question string) []string {
	if len(question) <= 2*heardWords {
		return appendTopics(nil, question)
	}
	head, tail := question[:heardWords], question[len(question)-heardWords:]
	if i := strings.LastIndexByte(head, ' '); i >= 0 { // no half words
		head = head[:i]
	}
	if i := strings.IndexByte(tail, ' '); i >= 0 {
		tail = tail[i:]
	}
	return appendTopics(appendTopics(nil, head), tail)
}

func appendTopics(ts []string, s string) []string {
	for i := 0; i < len(s) && len(ts) < maxTopics; i++ {
		from := i
		for i < len(s) && (wordByte(s[i]) || s[i] == '-' || s[i] == '_') {
			i++
		}
		w := strings.Trim(s[from:i], "-_'")
		if len(w) < 4 || len(w) > 96 || !plainWord(w) || contains(ts, w) || len(w) < 12 && stopwords[strings.ToLower(w)] {
			continue
		}
		ts = append(ts, w)
	}
	return ts
}

// plainWord reports whether what is not ASCII in w is letters.
func plainWord(w string) bool {
	for _, r := range w {
		if r >= utf8.RuneSelf && (r == utf8.RuneError || !unicode.IsLetter(r)) {
			return false
		}
	}
	return true
}

func contains(ts []string, w string) bool {
	for _, t := range ts {
		if t == w {
			return true
		}
	}
	return false
}

// prose appends n words in sentences and paragraphs: exactly n, the last
// sentence cut short, or as many as it takes to end that sentence.
func prose(b []byte, r *random, from, ts []string, n int, exactly bool) []byte {
	start := len(b)
	for words := 0; words < n; {
		if len(b) > start {
			if r.below(5) == 0 {
				b = append(b, '\n', '\n')
			} else {
				b = append(b, ' ')
			}
		}
		at := len(b)
		b = sentence(b, r, from[r.below(len(from))], ts)
		for i := at; i < len(b); i++ {
			if b[i] != ' ' && i+1 < len(b) {
				continue
			}
			if words++; exactly && words == n && i+1 < len(b) {
				b = append(trimMark(b[:i]), '.')
				break
			}
		}
	}
	return b
}

// trimMark drops the punctuation at which a sentence was cut short.
func trimMark(b []byte) []byte {
	for len(b) > 0 && strings.IndexByte(",;:?.\"", b[len(b)-1]) >= 0 {
		b = b[:len(b)-1]
	}
	return b
}

func sentence(b []byte, r *random, template string, ts []string) []byte {
	at := len(b)
	for {
		i := strings.IndexByte(template, '~')
		if i < 0 {
			b = append(b, template...)
			break
		}
		b = append(b, template[:i]...)
		b = slot(b, r, template[i+1], ts)
		template = template[i+2:]
	}
	if b[at] >= 'a' && b[at] <= 'z' {
		b[at] -= 'a' - 'A'
	}
	return b
}

func slot(b []byte, r *random, what byte, ts []string) []byte {
	list := sayings
	switch what {
	case 'n':
		list = nouns
	case 'a':
		list = adjectives
	case 'v':
		list = verbs
	case 'd':
		list = adverbs
	case '#':
		return strconv.AppendInt(b, int64(2+r.below(97)), 10)
	case 't':
		if len(ts) > 0 {
			list = ts
		}
	}
	return append(b, list[r.below(len(list))]...)
}

// A piece is what the stub counts as a token: a word of at most maxPiece bytes
// with the blank before it, or one mark.
const maxPiece = 8

// pieceEnd returns the end of the piece of s that starts at i.
func pieceEnd[T string | []byte](s T, i int) int {
	j := i
	if s[j] == ' ' && j+1 < len(s) {
		j++
	}
	if s[j] == '\n' {
		for j < len(s) && s[j] == '\n' {
			j++
		}
		return j
	}
	from := j
	for j < len(s) && j-from < maxPiece && wordByte(s[j]) {
		j++
	}
	if j == from {
		return j + 1
	}
	for j < len(s) && s[j]&0xc0 == 0x80 { // don't cut a rune
		j++
	}
	return j
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '\'' || c >= 0x80
}

// pieces counts the pieces of s.
func pieces[T string | []byte](s T) int {
	n := 0
	for i := 0; i < len(s); n++ {
		i = pieceEnd(s, i)
	}
	return n
}

// firstPieces returns the end of the first n pieces of s.
func firstPieces[T string | []byte](s T, n int) int {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		i = pieceEnd(s, i)
	}
	return i
}

// guessTokens is the token count of n bytes of prompt.
func guessTokens(n int) int { return (n + 3) / 4 }
