package capture

import (
	"bytes"
	"io"

	"github.com/steno-audit/steno/internal/dialect"
)

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
	go u.run(encoding)
	select { // the decoder asks for its first bytes at once
	case <-u.hungry:
	case <-u.done:
	}
	return u
}

func (u *unpacker) run(encoding string) {
	defer close(u.done)
	r, err := dialect.NewDecoder(u, encoding)
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
