package serve

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"

	"github.com/klauspost/compress/zstd"
)

// maxDecoded bounds what a compressed body may become.
const maxDecoded = 64 << 20

// decode undoes a content encoding. What cannot be undone comes back as it is; of what breaks off, as far as it goes.
// It knows those that the gateway knows: places of findings are in the bytes that the gateway decoded.
func decode(b []byte, encoding string) (plain []byte, ok bool) {
	if encoding == "" || encoding == "identity" || len(b) == 0 {
		return b, true
	}
	var r io.Reader
	var err error
	switch encoding {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(b))
	case "deflate": // zlib by the standard, raw deflate by custom
		if r, err = zlib.NewReader(bytes.NewReader(b)); err != nil {
			r, err = flate.NewReader(bytes.NewReader(b)), nil
		}
	case "zstd":
		d, e := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxDecoded))
		if e == nil {
			defer d.Close()
		}
		r, err = d, e
	default:
		return b, false
	}
	if err != nil {
		return b, false
	}
	out, err := io.ReadAll(io.LimitReader(r, maxDecoded))
	if err != nil && len(out) == 0 {
		return b, false
	}
	return out, true
}
