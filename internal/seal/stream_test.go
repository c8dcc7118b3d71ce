package seal

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

func streamRoundTrip(t testing.TB, b []byte) []byte {
	t.Helper()
	e, ok := encodeStream(b)
	if !ok {
		return nil
	}
	back, err := decodeStream(e)
	if err != nil {
		t.Fatalf("%.200q: %v", b, err)
	}
	if !bytes.Equal(back, b) {
		t.Fatalf("%.200q comes back as %.200q", b, back)
	}
	return e
}

func sampleStream(n int) []byte {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "event: delta\ndata: {\"type\":\"delta\",\"n\":%d,\"at\":1760000000,\"index\":0,\"text\":\" word%d\",\"list\":[1,2.50,-3e4,\"a\"]}%s\n\n",
			i, i%7, strings.Repeat(" ", i%3))
	}
	return []byte(b.String() + "data: [DONE]\n\n")
}

func TestStream(t *testing.T) {
	for _, s := range []string{
		"", "\n", "\n\n", "data", "data: 1", "data: 09\n\ndata: 10\n\n", "data: 9\n\ndata: 10\n\ndata: 010\n\n",
		`data: {"a":"x`, `data: {"a":"x\`, `data: "\"`, "data: {\"a\": \"x\ny\"}\n\n", "data: }}}]]]\n\n", "data: {\"a\":{\"b\":[{\"c\":1},{\"c\":2}]}   }\r\n\r\n",
		"data: 999999999999999999\n\ndata: 1000000000000000000\n\ndata: 1000000000000000001\n\n", "data: -1\n\ndata: 0\n\ndata: -\n\n",
		"data: {\"a\" : \"b\" , \"c\":\"\\u00e9\\\\\"}\n\n", "\x00\xff\"\xfe\":\"\xfd\"", "   }", " }\n }\n}  }\n", ": comment\n\nid: 7\n\nretry: 3\n\n",
	} {
		streamRoundTrip(t, []byte(s))
	}
	deep := []byte("data: " + strings.Repeat("[1,", steno.MaxChunkPlain/4) + "\n\n")
	if _, ok := encodeStream(deep); ok {
		t.Error("arrays without end were taken")
	}
	b := sampleStream(500)
	e := streamRoundTrip(t, b)
	if len(e)*100 > len(b) {
		t.Errorf("%d bytes of a stream that says little take %d", len(b), len(e))
	}
	for cut := 0; cut < len(b); cut += 97 { // a piece begins and ends anywhere
		streamRoundTrip(t, b[cut:min(len(b), cut+1000)])
	}
	how, enc := encode(b, true, padFields)
	if how != codecStream {
		t.Errorf("the codec is %d", how)
	}
	if got, err := decode(how, enc); err != nil || !bytes.Equal(got, b) {
		t.Error("it does not come back", err)
	}
}

// TestStreamBombs decodes what says that a lot comes out.
func TestStreamBombs(t *testing.T) {
	enc := func(structure, text []byte) []byte {
		h, s := encodePart(structure)
		h2, x := encodePart(text)
		out := append([]byte{byte(h) | byte(h2)<<4}, uvarintBytes(uint64(len(s)))...)
		return append(append(out, s...), x...)
	}
	repeat := func(b []byte, n int) []byte { return bytes.Repeat(b, n) }
	long := append(append([]byte{0, 1, 0}, uvarintBytes(1000)...), repeat([]byte("x"), 1000)...)
	long = append(long, 1, 0)
	for name, b := range map[string][]byte{
		"events without bytes":   enc(append(append([]byte{0, 1, 0, 0, 1, 0}, uvarintBytes(1<<20-20)...), make([]byte, 1<<20-20)...), nil),
		"one template many":      enc(append(append(long, uvarintBytes(1<<19)...), make([]byte, 1<<19)...), nil),
		"a part beyond its size": {byte(codecDict), 5, 1, 2},
		"a zstd bomb":            append([]byte{byte(codecDict)}, append(uvarintBytes(uint64(len(zstdDict.EncodeAll(make([]byte, 1<<22), nil)))), zstdDict.EncodeAll(make([]byte, 1<<22), nil)...)...),
		"a count of everything":  enc(repeat([]byte{0xff}, 9), nil),
		"no codec":               {0x33, 0},
		"next of nothing":        enc([]byte{1, 1, 1, 0, 2, 0, 1, 0, 1, 1, 0}, nil),
		"text left over":         enc([]byte{0, 0, 0, 0}, []byte("x")),
	} {
		if out, err := decodeStream(b); err == nil {
			t.Errorf("%s: %d bytes came out", name, len(out))
		}
	}
}

func uvarintBytes(v uint64) []byte {
	var b []byte
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

// wireDir finds the recorded provider traffic, which is not part of the repository.
func wireDir(t testing.TB) string {
	if d := os.Getenv("STENO_WIRE"); d != "" {
		return d
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		dir = filepath.Dir(dir)
		if d := filepath.Join(dir, "shared", "wire"); exists(d) {
			return d
		}
	}
	t.Skip("no recorded traffic: set STENO_WIRE to the directory that has it")
	return ""
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

type wireCall struct {
	ID, Path, Method string
	Request          []byte
	Response         []byte
	RequestHeaders   map[string]string `json:"request_headers"`
	ResponseHeaders  map[string]string `json:"response_headers"`
}

func wireCalls(t testing.TB, name string) []wireCall {
	t.Helper()
	f, err := os.Open(filepath.Join(wireDir(t), name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var out []wireCall
	s := bufio.NewScanner(z)
	s.Buffer(nil, 64<<20)
	for s.Scan() {
		var c wireCall
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return out
}

// TestWireStreams measures the codecs on recorded streams and checks that each comes back.
func TestWireStreams(t *testing.T) {
	for _, provider := range []string{"openai", "azure-openai", "anthropic", "mistral", "groq", "deepseek", "cohere", "vertex", "writer"} {
		type sum struct{ n, raw, zstd, chosen int }
		sums := map[bool]*sum{false: {}, true: {}}
		for _, c := range wireCalls(t, provider) {
			if !looksLikeStream(c.Response) {
				continue
			}
			s := sums[bytes.Contains(c.Response, []byte(`"obfuscation"`))]
			for b := c.Response; len(b) > 0; {
				part := b[:min(len(b), steno.MaxChunkPlain)]
				b = b[len(part):]
				streamRoundTrip(t, part)
				how, e := encode(part, true, padFields)
				back, err := decode(how, e)
				if err != nil || !bytes.Equal(back, part) {
					t.Fatalf("%s: does not come back: %v", c.ID, err)
				}
				s.raw += len(part)
				s.chosen += len(e)
				s.zstd += len(zstdPlain.EncodeAll(part, nil))
			}
			s.n++
		}
		for _, obfuscated := range []bool{false, true} {
			s := sums[obfuscated]
			if s.n == 0 {
				continue
			}
			t.Logf("%-12s obfuscated %-5v %3d streams %8d bytes: zstd %4.1f times smaller, as sealed %4.1f",
				provider, obfuscated, s.n, s.raw, float64(s.raw)/float64(s.zstd), float64(s.raw)/float64(s.chosen))
			if provider == "openai" && !obfuscated && s.raw < 10*s.chosen {
				t.Error("openai's streams are not ten times smaller")
			}
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("data: {\"a\":1,\"b\":[\"x\",2]}\n\ndata: {\"a\":2,\"b\":[\"x\",2]}  \n\n"))
	f.Add([]byte("event: x\r\ndata: {\"a\":{\"b\":\"c\\\"\"}   }\r\n\r\n"))
	f.Add(sampleStream(5))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) <= steno.MaxChunkPlain {
			streamRoundTrip(t, b)
		}
	})
}

func FuzzStreamDecode(f *testing.F) {
	for _, b := range [][]byte{[]byte("data: {\"a\":1}\n\ndata: {\"a\":2}\n\n"), sampleStream(3)} {
		e, n := readStream(b)
		s, text := e.parts(n)
		f.Add(s, text)
	}
	f.Fuzz(func(t *testing.T, structure, text []byte) {
		in := append([]byte{0}, uvarintBytes(uint64(len(structure)))...)
		out, err := decodeStream(append(append(in, structure...), text...))
		if err == nil && len(out) > steno.MaxChunkPlain {
			t.Errorf("%d bytes came out", len(out))
		}
	})
}
