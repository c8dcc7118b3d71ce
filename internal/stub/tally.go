package stub

import (
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// tally is an append-only file of the requests seen and how their answers ended.
// Lines of requests that arrive together share one sync: whoever finds no sync
// running leads, the others wait for a sync that began after their line.
type tally struct {
	mu     sync.Mutex // guards what follows; never held during a write
	synced sync.Cond
	f      *os.File
	buf    []byte // lines not yet written
	spare  []byte
	lines  uint64 // lines ever put into buf
	done   uint64 // lines durable
	busy   bool   // a leader is writing
	err    error  // final: after a failed sync nothing more is acknowledged
	calls  uint64
}

func openTally(path string) (*tally, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the stub's tally: %w", err)
	}
	t := &tally{f: f}
	t.synced.L = &t.mu
	return t, nil
}

func (t *tally) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.busy {
		t.synced.Wait()
	}
	if t.err == nil {
		t.err = os.ErrClosed
	}
	return t.f.Close()
}

// asked records a request and returns its number in this process, once durable.
func (t *tally) asked(path, tag string, body [32]byte) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	n := t.calls
	b := t.line("asked", n)
	b = append(b, `,"path":`...)
	b = appendString(b, path)
	b = append(b, `,"tag":`...)
	b = appendString(b, tag)
	b = append(b, `,"request_sha256":"`...)
	b = hex.AppendEncode(b, body[:])
	t.buf = append(b, '"', '}', '\n')
	return n, t.wait()
}

// ended records how the answer of call n ended: answered (every byte written),
// cut (on purpose) or gone (the client left), and what was written of it.
func (t *tally) ended(n uint64, how string, status, size int, tag string, body []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.line(how, n)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, `,"tag":`...)
	b = appendString(b, tag)
	b = append(b, `,"bytes":`...)
	b = strconv.AppendInt(b, int64(size), 10)
	b = append(b, `,"response_sha256":"`...)
	b = hex.AppendEncode(b, body)
	t.buf = append(b, '"', '}', '\n')
	return t.wait()
}

func (t *tally) line(what string, n uint64) []byte {
	t.lines++
	b := append(t.buf, `{"event":"`...)
	b = append(b, what...)
	b = append(b, `","pid":`...)
	b = strconv.AppendInt(b, int64(os.Getpid()), 10)
	b = append(b, `,"call":`...)
	b = strconv.AppendUint(b, n, 10)
	b = append(b, `,"time":"`...)
	b = time.Now().UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// wait returns once all lines so far are durable.
func (t *tally) wait() error {
	for mine := t.lines; t.done < mine && t.err == nil; {
		if t.busy {
			t.synced.Wait()
			continue
		}
		t.busy = true
		out, upto := t.buf, t.lines
		t.buf, t.spare = t.spare[:0], nil
		t.mu.Unlock()
		_, err := t.f.Write(out)
		if err == nil {
			err = syncData(t.f)
		}
		t.mu.Lock()
		t.busy, t.spare = false, out
		if err != nil && t.err == nil {
			t.err = fmt.Errorf("couldn't write the stub's tally: %w", err)
		} else if err == nil {
			t.done = upto
		}
		t.synced.Broadcast()
	}
	if t.err != nil {
		return t.err
	}
	return nil
}
