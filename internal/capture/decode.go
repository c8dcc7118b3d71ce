package capture

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// decoded undoes a content encoding as far as it goes, up to limit bytes; what cannot be decoded comes back as it is.
func decoded(b []byte, encoding string, limit int64) []byte {
	encoding = strings.ToLower(strings.TrimSpace(encoding))
	if encoding == "" || encoding == "identity" || len(b) == 0 {
		return b
	}
	r, err := decoder(bytes.NewReader(b), encoding)
	if err != nil {
		return b
	}
	defer r.Close()
	out, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil && len(out) == 0 {
		return b
	}
	return out
}

var errEncoding = errors.New("content encoding is not known")

func decoder(r io.Reader, encoding string) (io.ReadCloser, error) {
	switch encoding {
	case "gzip", "x-gzip":
		return gzip.NewReader(r)
	case "deflate":
		br := &peeked{r: r}
		if br.looksZlib() {
			return zlib.NewReader(br)
		}
		return flate.NewReader(br), nil
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
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

// unpacker decodes a compressed stream as it arrives: feed returns what the bytes so far decode to, and no later.
type unpacker struct {
	in     chan []byte
	out    chan []byte
	hungry chan struct{} // the decoder asks for more: it has given all that it can
	quit   chan struct{}
	done   chan struct{}
	buf    []byte
}

func newUnpacker(encoding string) *unpacker {
	u := &unpacker{
		in: make(chan []byte), out: make(chan []byte), hungry: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
	go u.run(strings.ToLower(strings.TrimSpace(encoding)))
	select { // the decoder asks for its first bytes at once
	case <-u.hungry:
	case <-u.done:
	}
	return u
}

func (u *unpacker) run(encoding string) {
	defer close(u.done)
	r, err := decoder(u, encoding)
	if err != nil {
		return // the stream is not understood: its end alone is held back
	}
	defer r.Close() // nothing of it is kept
	for {
		b := make([]byte, 16<<10)
		n, err := r.Read(b)
		if n > 0 {
			select {
			case u.out <- b[:n]:
			case <-u.quit:
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// Read gives the decoder what was fed, and says so when it wants more.
func (u *unpacker) Read(p []byte) (int, error) {
	for len(u.buf) == 0 {
		select {
		case u.hungry <- struct{}{}:
		case <-u.quit:
			return 0, io.EOF
		}
		select {
		case u.buf = <-u.in:
		case <-u.quit:
			return 0, io.EOF
		}
	}
	n := copy(p, u.buf)
	u.buf = u.buf[n:]
	return n, nil
}

// feed gives the decoder p and returns all that it makes of it. p is copied.
func (u *unpacker) feed(p []byte) [][]byte {
	select {
	case u.in <- bytes.Clone(p):
	case <-u.done:
		return nil
	}
	var got [][]byte
	for {
		select {
		case b := <-u.out:
			got = append(got, b)
		case <-u.hungry:
			return got
		case <-u.done:
			return got
		}
	}
}

// dead says that the decoder gave up or is through: what follows is not understood.
func (u *unpacker) dead() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

func (u *unpacker) close() {
	close(u.quit)
	<-u.done
}
