package stub

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strconv"
)

// Sizes of a vector, and how many texts one request may have.
const (
	smallVector = 1536
	largeVector = 3072
	maxInputs   = 2048
)

func (s *Stub) embeddings(a *ask) (reply, *apiError) {
	size := smallVector
	if a.model == "text-embedding-3-large" {
		size = largeVector
	}
	full := size
	var input []byte
	packed := false
	for k, v := range members(a.body) {
		switch string(k) {
		case "input":
			input = v
		case "dimensions":
			size = number(v, size)
		case "encoding_format":
			packed = text(v) == "base64"
		}
	}
	if size < 1 || size > full {
		return reply{}, badRequest("dimensions", "integer_out_of_range", "Invalid value for 'dimensions': expected a value from 1 to %d.", full)
	}
	inputs := inputsOf(input)
	if len(inputs) == 0 || len(inputs) > maxInputs {
		return reply{}, badRequest("input", "", "Invalid 'input': expected a string, or an array of 1 to %d.", maxInputs)
	}
	b := []byte(`{"object":"list","data":[`)
	for i, in := range inputs {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"object":"embedding","index":`...), int64(i), 10)
		b = append(appendVector(append(b, `,"embedding":`...), vector(in, size), packed), '}')
		if kind(in) == '[' {
			for range elements(in) {
				a.tokens++
			}
		} else {
			a.tokens += contentTokens(in)
		}
	}
	b = appendString(append(b, `],"model":`...), a.answered)
	b = strconv.AppendInt(append(b, `,"usage":{"prompt_tokens":`...), int64(a.tokens), 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), int64(a.tokens), 10)
	b = append(b, '}', '}')
	return reply{status: 200, body: appendIndented(make([]byte, 0, 2*len(b)), b)}, nil
}

// inputsOf returns the texts (or lists of tokens) to embed.
func inputsOf(v []byte) [][]byte {
	switch kind(v) {
	case '"':
		return [][]byte{v}
	case '[':
		var all [][]byte
		for e := range elements(v) {
			switch kind(e) {
			case '0':
				return [][]byte{v}
			case '"', '[':
				all = append(all, e)
			default:
				return nil
			}
		}
		return all
	}
	return nil
}

// vector is of length one and a function of the input alone.
func vector(in []byte, size int) []float32 {
	r := random(forText)
	for _, c := range in {
		r = (r ^ random(c)) * 0x100000001b3
	}
	v := make([]float32, size)
	sum := 0.0
	for i := range v {
		x := float64(r.below(1<<24))/(1<<23) - 1
		v[i] = float32(x)
		sum += x * x
	}
	scale := float32(1 / math.Sqrt(sum+1e-12))
	for i := range v {
		v[i] *= scale
	}
	return v
}

func appendVector(b []byte, v []float32, packed bool) []byte {
	if packed {
		raw := make([]byte, 0, 4*len(v))
		for _, f := range v {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(f))
		}
		return append(base64.StdEncoding.AppendEncode(append(b, '"'), raw), '"')
	}
	b = append(b, '[')
	for i, f := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(f), 'g', -1, 32)
	}
	return append(b, ']')
}
