package capture

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

const (
	spoolAbove = 1 << 20 // bytes of a body that may stay in memory while the upstream thinks
	spoolChunk = 256 << 10
)

var (
	errTooLarge = errors.New("the body is larger than allowed")
	errNoRoom   = errors.New("too many bytes are under way")
)

// budget bounds the bytes of bodies in memory over all calls.
type budget struct {
	max  int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

// readBody reads at most limit bytes, taking them from the budget as they come. The caller gives back what it returns
// as taken, also with an error.
func (b *budget) readBody(r io.Reader, length, limit int64) (body []byte, taken int64, err error) {
	if length > limit {
		return nil, 0, errTooLarge
	}
	if length >= 0 {
		if !b.take(length) {
			return nil, 0, errNoRoom
		}
		body = make([]byte, length)
		n, err := io.ReadFull(r, body)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = io.ErrUnexpectedEOF
		}
		if length == 0 {
			err = nil
		}
		return body[:n], length, err
	}
	const step = 32 << 10
	for {
		if int64(len(body)) > limit {
			return nil, taken, errTooLarge
		}
		if !b.take(step) {
			return nil, taken, errNoRoom
		}
		taken += step
		if cap(body)-len(body) < step {
			body = append(make([]byte, 0, 2*cap(body)+step), body...)
		}
		// Not io.ReadFull: it makes an end in the middle of step the io.ErrUnexpectedEOF that net/http gives for a body
		// whose last chunk never came, and that one must not be forwarded.
		var err error
		for end := len(body) + step; len(body) < end && err == nil; {
			var n int
			n, err = r.Read(body[len(body):end])
			body = body[:len(body)+n]
		}
		switch {
		case err == io.EOF:
			if int64(len(body)) > limit {
				return nil, taken, errTooLarge
			}
			return body, taken, nil
		case err != nil:
			return body, taken, err
		}
	}
}

// spool holds a large body while the upstream thinks: in an unlinked file, under a key that exists only in memory, so
// that a crash leaves neither name nor text.
type spool struct {
	f    *os.File
	aead cipher.AEAD
	size int64
}

// emptySpool makes the directory. A crash between a file's making and its unlinking leaves ciphertext without a key.
func emptySpool(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("couldn't empty the spool: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("couldn't make the spool: %w", err)
	}
	return nil
}

func newSpool(dir string, body []byte) (*spool, error) {
	f, err := os.CreateTemp(dir, "body-*")
	if err != nil {
		return nil, fmt.Errorf("couldn't spool a body: %w", err)
	}
	s := &spool{f: f, size: int64(len(body))}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't unlink a spool file: %w", err), f.Close())
	}
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	block, err := aes.NewCipher(key[:])
	if err == nil {
		s.aead, err = cipher.NewGCM(block)
	}
	clear(key[:])
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	for i := int64(0); len(body) > 0; i++ {
		n := min(len(body), spoolChunk)
		if _, err := f.Write(s.aead.Seal(nil, spoolNonce(i), body[:n], nil)); err != nil {
			return nil, errors.Join(fmt.Errorf("couldn't spool a body: %w", err), f.Close())
		}
		body = body[n:]
	}
	return s, nil
}

func spoolNonce(chunk int64) []byte {
	var n [12]byte
	binary.BigEndian.PutUint64(n[4:], uint64(chunk))
	return n[:]
}

// reader reads the body from its start; several readers may follow one another, as a retried connection needs.
func (s *spool) reader() io.Reader {
	return &spoolReader{s: s}
}

func (s *spool) close() error { return s.f.Close() }

type spoolReader struct {
	s     *spool
	chunk int64
	buf   bytes.Reader
}

func (r *spoolReader) Read(p []byte) (int, error) {
	if r.buf.Len() == 0 {
		left := r.s.size - r.chunk*spoolChunk
		if left <= 0 {
			return 0, io.EOF
		}
		stored := int64(spoolChunk + r.s.aead.Overhead())
		sealed := make([]byte, min(left, spoolChunk)+int64(r.s.aead.Overhead()))
		if _, err := r.s.f.ReadAt(sealed, r.chunk*stored); err != nil {
			return 0, fmt.Errorf("couldn't read a spooled body: %w", err)
		}
		plain, err := r.s.aead.Open(sealed[:0], spoolNonce(r.chunk), sealed, nil)
		if err != nil {
			return 0, fmt.Errorf("a spooled body was changed on disk: %w", err)
		}
		r.chunk++
		r.buf.Reset(plain)
	}
	return r.buf.Read(p)
}
