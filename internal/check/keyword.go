package check

import "bytes"

// keywords are looked for in one pass: a set of bits over three bytes of text says for almost every place that none begins
// there. An automaton over all of them made a check of 2 KiB of prose half as long again.
type keywords struct {
	begins [1 << 10]uint64
	by     [1 << 10][]keyword // those that begin so, by word of begins
	short  []keyword          // of fewer bytes: few, each looked for by itself
}

type keyword struct {
	text []byte
	no   int
}

// add takes in a keyword under a number. None may be added twice.
func (k *keywords) add(text string, no int) {
	w := keyword{[]byte(text), no}
	if len(w.text) < 3 {
		k.short = append(k.short, w)
		return
	}
	word, bit := beginning(uint32(text[0]) | uint32(text[1])<<8 | uint32(text[2])<<16)
	k.begins[word] |= bit
	k.by[word] = append(k.by[word], w)
}

// beginning gives the place of three bytes in the set: Knuth's multiplicative hash, its upper 16 bits.
func beginning(three uint32) (word uint32, bit uint64) {
	h := three * 2654435761 >> 16
	return h >> 6, 1 << (h & 63)
}

// find calls fn with the number and the place of each keyword in text.
func (k *keywords) find(text []byte, fn func(no, at int)) {
	for _, w := range k.short {
		for at := 0; ; at++ {
			i := bytes.Index(text[at:], w.text)
			if i < 0 {
				break
			}
			at += i
			fn(w.no, at)
		}
	}
	if len(text) < 3 {
		return
	}
	three := uint32(text[0])<<8 | uint32(text[1])<<16
	for i, c := range text[2:] {
		three = three>>8 | uint32(c)<<16
		word, bit := beginning(three)
		if k.begins[word]&bit == 0 {
			continue
		}
		for _, w := range k.by[word] {
			if bytes.HasPrefix(text[i:], w.text) {
				fn(w.no, i)
			}
		}
	}
}
