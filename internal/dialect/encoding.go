package dialect

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

var errEncoding = errors.New("content encoding is not known")

// maxDecoderWindow bounds what a compressed body can make its decoder keep.
const maxDecoderWindow = 64 << 20

// Decode undoes a content encoding (gzip, deflate, br, zstd), up to limit bytes; of a body that breaks off, as far as it
// goes. What cannot be undone comes back as it is, and ok is false.
func Decode(b []byte, encoding string, limit int64) (plain []byte, ok bool) {
	if !Encoded(encoding) || len(b) == 0 {
		return b, true
	}
	r, err := NewDecoder(bytes.NewReader(b), encoding)
	if err != nil {
		return b, false
	}
	defer r.Close() // nothing of it is kept
	out, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil && len(out) == 0 {
		return b, false
	}
	return out, true
}

// Encoded tells whether a Content-Encoding says that the bytes are not the text itself.
func Encoded(encoding string) bool {
	e := strings.ToLower(strings.TrimSpace(encoding))
	return e != "" && e != "identity"
}

// NewDecoder undoes a content encoding as the bytes come: a Read gives what those so far decode to. It fails for an
// encoding that is not known, and may fail for a body that is not what its encoding says.
func NewDecoder(r io.Reader, encoding string) (io.ReadCloser, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "deflate":
		p := &peeked{r: r}
		if p.looksZlib() {
			return zlib.NewReader(p)
		}
		return flate.NewReader(p), nil
	case "br":
		return io.NopCloser(brotli.NewReader(r)), nil
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoderWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return nil, errEncoding
}

// peeked looks at the first two bytes: "deflate" means zlib by the standard and raw deflate by custom.
type peeked struct {
	r    io.Reader
	head []byte
}

func (p *peeked) looksZlib() bool {
	p.head = make([]byte, 2)
	n, _ := io.ReadFull(p.r, p.head) // a short body fails in the reader that follows
	p.head = p.head[:n]
	return n == 2 && p.head[0]&0x0f == 8 && (uint(p.head[0])<<8|uint(p.head[1]))%31 == 0
}

func (p *peeked) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.r.Read(b)
}
