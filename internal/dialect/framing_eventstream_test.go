package dialect

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/steno-audit/steno"
)

var frameHeader = http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}

// frame makes a frame of an event, or, with a name like !throttlingException, of an exception.
func frame(name, payload string) string {
	kind, of := "event", ":event-type"
	if n, ok := strings.CutPrefix(name, "!"); ok {
		name, kind, of = n, "exception", ":exception-type"
	}
	var h []byte
	for _, pair := range [][2]string{{of, name}, {":content-type", "application/json"}, {":message-type", kind}} {
		h = append(append(h, byte(len(pair[0]))), pair[0]...)
		h = append(binary.BigEndian.AppendUint16(append(h, 7), uint16(len(pair[1]))), pair[1]...)
	}
	return framed(h, payload)
}

func framed(headers []byte, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(frameOverhead+len(headers)+len(payload)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(headers)))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	b = append(append(b, headers...), payload...)
	return string(binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b)))
}

// chunk makes a frame of an event of InvokeModelWithResponseStream.
func chunk(json string) string {
	return frame("chunk", `{"bytes":"`+base64.StdEncoding.EncodeToString([]byte(json))+`","p":"abcd"}`)
}

// framesOf makes a stream of `name|payload` lines; those without a name are chunks.
func framesOf(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		if name, payload, ok := strings.Cut(l, "|"); ok && !strings.HasPrefix(l, "{") {
			b.WriteString(frame(name, payload))
		} else {
			b.WriteString(chunk(l))
		}
	}
	return b.String()
}

const (
	delta  = `contentBlockDelta|{"contentBlockIndex":0,"delta":{"text":"Hi"}}`
	ending = `metadata|{"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`
)

func TestFramesThatAreDamaged(t *testing.T) {
	whole := framesOf(`messageStart|{"role":"assistant"}`, delta, `messageStop|{"stopReason":"end_turn"}`, ending)
	second := len(framesOf(`messageStart|{"role":"assistant"}`))
	last := len(whole) - len(framesOf(ending))
	damaged := func(at int, b ...byte) string { return whole[:at] + string(b) + whole[at+len(b):] }
	for name, c := range map[string]struct {
		body    string
		release int
		end     steno.End
		problem string
		words   string
	}{
		"none":                     {whole, last, steno.EndComplete, "", "Hi"},
		"a letter":                 {damaged(second+strings.Index(whole[second:], "Hi"), 'h'), last, steno.EndComplete, "wrong checksum", "hi"},
		"a prelude's checksum":     {damaged(second+8, 1, 2, 3, 4), last, steno.EndComplete, "wrong checksum", "Hi"},
		"a header's type":          {damaged(second+framePrelude+12, 99), last, steno.EndComplete, "wrong checksum", ""},
		"lengths that cannot be":   {damaged(second, 0xff), len(whole) - 1, steno.EndUpstreamCut, "not made of frames", ""},
		"headers beyond the frame": {damaged(second+4, 0xff), len(whole) - 1, steno.EndUpstreamCut, "not made of frames", ""},
		"a frame too short to be":  {damaged(second, 0, 0, 0, 15), len(whole) - 1, steno.EndUpstreamCut, "not made of frames", ""},
		"text":                     {"data: {}\n\ndata: [DONE]\n\n", 23, steno.EndUpstreamCut, "not made of frames", ""},
		"a length too long":        {damaged(second, 0, 1), second, steno.EndUpstreamCut, "", ""},
	} {
		for _, size := range []int{len(c.body), 1, 7} {
			s := converseStream.NewStream(frameHeader.Get("Content-Type"))
			release := 0
			for at := 0; at < len(c.body); at += size {
				release = s.Feed([]byte(c.body[at:min(at+size, len(c.body))]))
			}
			r := s.Response(200, frameHeader)
			if release != c.release || r.Result.End != c.end || !strings.Contains(r.Problem, c.problem) || (c.problem == "") != (r.Problem == "") {
				t.Errorf("%s, by %d: released %d of %d, end %s, problem %q", name, size, release, len(c.body), r.Result.End, r.Problem)
			}
			if got := strings.Join(said([]byte(c.body), r.Texts), "|"); strings.TrimPrefix(got, "output ") != c.words {
				t.Errorf("%s, by %d: says %q", name, size, got)
			}
		}
	}
}

// Every type of header is passed over, and a large frame is waited for.
func TestFrameHeaders(t *testing.T) {
	h := []byte("\x01a\x00\x01b\x01\x01c\x02\x01\x01d\x03\x01\x02\x01e\x04\x01\x02\x03\x04\x01f\x05\x01\x02\x03\x04\x05\x06\x07\x08\x01g\x06\x00\x02\x01\x02\x01i\x08\x01\x02\x03\x04\x05\x06\x07\x08\x01j\x09\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10" +
		"\x0b:event-type\x07\x00\x08metadata\x0d:message-type\x07\x00\x05event")
	if kind, name, ok := frameHeaders(h); kind != "event" || string(name) != "metadata" || !ok {
		t.Errorf("%q %q %v", kind, name, ok)
	}
	for cut := range len(h) { // a header that is cut is noticed, and nothing is read beyond the end
		if kind, _, ok := frameHeaders(h[:cut]); kind != "" || ok && cut < len(h) && h[cut] != 1 && h[cut] != 11 && h[cut] != 13 {
			t.Errorf("headers cut at %d are read: %q %v", cut, kind, ok)
		}
	}
	big := framesOf(`messageStart|{"role":"assistant"}`) + frame("contentBlockDelta", `{"contentBlockIndex":0,"delta":{"text":"`+strings.Repeat("x", 17<<20)+`"}}`) + framesOf(ending)
	s := converseStream.NewStream(frameHeader.Get("Content-Type"))
	for at := 0; at < len(big); at += 1 << 20 {
		s.Feed([]byte(big[at:min(at+1<<20, len(big))]))
	}
	if r := s.Response(200, frameHeader); r.Result.End != steno.EndComplete || r.Problem != "" || len(r.Texts) != 1 || len(r.Texts[0].Words(nil)) != 17<<20 {
		t.Errorf("a frame of 17 MiB: %s, %q, %d texts", r.Result.End, r.Problem, len(r.Texts))
	}
}

func FuzzFrames(f *testing.F) {
	for _, c := range bedrockStreams {
		f.Add(c.call.API == "converse", false, []byte{3, 1, 200}, []byte(framesOf(c.lines...)))
		f.Add(c.call.API == "converse", true, []byte{40}, []byte(strings.Join(c.lines, "\n")))
	}
	f.Add(true, false, []byte{2}, []byte(framed([]byte{1, 'a', 9}, "{}")+framed([]byte{255}, "")+"\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, converse, lines bool, sizes, body []byte) {
		c := invokeStream
		if converse {
			c = converseStream
		}
		if lines { // of frames whose lengths hold, which chance seldom makes
			body = []byte(framesOf(strings.Split(string(body), "\n")...))
		}
		one := c.newStream(framingFrames)
		all := one.Feed(body)
		if all > len(body) {
			t.Fatalf("released %d of %d", all, len(body))
		}
		want := one.Response(200, frameHeader)
		s := c.newStream(framingFrames)
		released, at := 0, 0
		for i := 0; at < len(body); i++ {
			n := len(body) - at
			if len(sizes) > 0 {
				n = min(n, 1+int(sizes[i%len(sizes)]))
			}
			at += n
			r := s.Feed(body[at-n : at])
			if r < released || r > at {
				t.Fatalf("released %d, then %d, of %d", released, r, at)
			}
			released = r
		}
		if got := s.Response(200, frameHeader); released != all || s.Finished() != one.Finished() || !reflect.DeepEqual(got, want) {
			t.Fatalf("in chunks: released %d, want %d: %s\nwant %s", released, all, asJSON(got), asJSON(want))
		}
		checkTexts(t, body, want.Texts)
		whole := c.ParseResponse(200, frameHeader, body, false)
		if joined, err := steno.Join(whole.Pieces); err != nil || string(joined) != string(body) {
			t.Fatalf("pieces make %q (%v)", joined, err)
		}
	})
}
