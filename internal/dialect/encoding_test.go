package dialect

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// flusher is what the writers of all encodings are.
type flusher interface {
	io.WriteCloser
	Flush() error
}

var encodings = map[string]func(io.Writer) flusher{
	"gzip":    func(w io.Writer) flusher { return gzip.NewWriter(w) },
	"x-gzip":  func(w io.Writer) flusher { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) flusher { return zlib.NewWriter(w) },
	"Deflate ": func(w io.Writer) flusher {
		f, err := flate.NewWriter(w, 5)
		if err != nil {
			panic(err)
		}
		return f
	},
	"br": func(w io.Writer) flusher { return brotli.NewWriter(w) },
	"zstd": func(w io.Writer) flusher {
		z, err := zstd.NewWriter(w)
		if err != nil {
			panic(err)
		}
		return z
	},
}

func TestDecode(t *testing.T) {
	text := strings.Repeat("What was said is taken down. ", 300)
	for name, open := range encodings {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			w := open(&b)
			if _, err := io.WriteString(w, text); err != nil {
				t.Fatal(err)
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			cut := b.Len()
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if got, ok := Decode(b.Bytes(), name, 1<<20); !ok || string(got) != text {
				t.Errorf("decoded to %d bytes (%v), want %d", len(got), ok, len(text))
			}
			if got, _ := Decode(b.Bytes()[:cut], name, 1<<20); string(got) != text {
				t.Errorf("a body that breaks off decoded to %d bytes, want the %d that it has", len(got), len(text))
			}
			if got, _ := Decode(b.Bytes(), name, 100); len(got) != 100 {
				t.Errorf("with a limit of 100 it decoded to %d bytes", len(got))
			}
			if got, ok := Decode([]byte("no such thing"), name, 100); ok || string(got) != "no such thing" {
				t.Errorf("what is not encoded became %q (%v)", got, ok)
			}
		})
	}
	if got, ok := Decode([]byte("abc"), "pack200-gzip", 100); ok || string(got) != "abc" {
		t.Errorf("an unknown encoding: %q, %v", got, ok)
	}
	if got, ok := Decode([]byte("abc"), "Identity", 1); !ok || string(got) != "abc" {
		t.Errorf("identity: %q, %v", got, ok)
	}
}

// TestDecoderGivesWhatItHas holds the decoders to streams: what was flushed comes out before more is written.
func TestDecoderGivesWhatItHas(t *testing.T) {
	for name, open := range encodings {
		t.Run(name, func(t *testing.T) {
			in, out := io.Pipe()
			w := open(out)
			events := []string{"data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"}
			next := make(chan bool)
			go func() {
				for _, e := range events {
					if _, err := io.WriteString(w, e); err != nil {
						return
					}
					if err := w.Flush(); err != nil {
						return
					}
					<-next
				}
				_ = w.Close()
				_ = out.Close()
			}()
			r, err := NewDecoder(in, name)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			for _, e := range events {
				b := make([]byte, len(e))
				if _, err := io.ReadFull(r, b); err != nil || string(b) != e {
					t.Fatalf("read %q, %v; want %q", b, err, e)
				}
				next <- true
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	for name := range encodings {
		f.Add([]byte{0x1f, 0x8b, 8, 0}, name)
	}
	f.Fuzz(func(t *testing.T, b []byte, name string) {
		got, ok := Decode(b, name, 1<<16)
		switch {
		case !ok && !bytes.Equal(got, b):
			t.Errorf("what %q could not decode came out changed: %x became %x", name, b, got)
		case ok && Encoded(name) && len(got) > 1<<16:
			t.Errorf("%d bytes came out", len(got))
		}
	})
}
