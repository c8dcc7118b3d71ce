package steno

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	spoolDefault = 1 << 30
	spoolWord    = "steno-spool-1"
	maxSpoolLine = 128 << 20
)

// spool is a file of events that wait for steno, one a line. Its first line names it; a file beside it says how far it was
// sent. Lines are synced before they count, and sent in their order under origins that stay the same, so that a crash
// between sending and noting it only sends duplicates. When all is sent the file begins anew under another name, so that a
// note about the old one is never taken for one about the new.
type spool struct {
	path string
	max  int64
	aead cipher.AEAD // nil: lines are plain text

	mu    sync.Mutex
	f     *os.File
	name  string // of this filling
	begin int64  // where its first event stands
	sent  int64  // up to here steno has it
	size  int64
	fill  chan struct{} // there is something in it
	empty chan struct{} // closed when there is nothing in it
	bad   error         // a write failed: what the file holds after it is not known
}

func openSpool(path string, key []byte, limit int64) (*spool, error) {
	s := &spool{path: path, max: limit, fill: make(chan struct{}, 1), empty: make(chan struct{})}
	if limit <= 0 {
		s.max = spoolDefault
	}
	if key != nil {
		block, err := aes.NewCipher(key)
		if err != nil || len(key) != 32 {
			return nil, fmt.Errorf("couldn't open the spool: its key has %d bytes, it must have 32", len(key))
		}
		if s.aead, err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("couldn't open the spool: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the spool: %w", err)
	}
	s.f = f
	if err := lockFile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't open the spool %s: %w", path, err), f.Close())
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("couldn't open the spool %s: %w", path, err), f.Close())
	}
	return s, nil
}

// load finds out what lies in the file. A line without its end was never acknowledged, and is cut off.
func (s *spool) load() error {
	if err := s.f.Chmod(0o600); err != nil {
		return err
	}
	end, err := s.f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	head := make([]byte, min(end, 128))
	if _, err := s.f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	first, _, whole := strings.Cut(string(head), "\n")
	if !whole && end < 128 {
		return s.renew() // nothing was ever acknowledged in it
	}
	word, name, ok := strings.Cut(first, " ")
	if !whole || !ok || word != spoolWord {
		return errors.New("the file is no spool of steno's; name another")
	}
	s.name, s.begin, s.size = name, int64(len(first)+1), end
	if err := s.cutTear(); err != nil {
		return err
	}
	s.sent = s.begin
	if note, err := os.ReadFile(s.path + ".pos"); err == nil {
		of, at, _ := strings.Cut(strings.TrimSpace(string(note)), " ")
		if n, err := strconv.ParseInt(at, 10, 64); err == nil && of == s.name && n >= s.begin && n <= s.size {
			s.sent = n
		}
	}
	if s.sent < s.size {
		if err := s.probe(); err != nil {
			return err
		}
		s.fill <- struct{}{}
		return nil
	}
	return s.renew()
}

// cutTear cuts off what follows the last end of a line.
func (s *spool) cutTear() error {
	const step = 64 << 10
	buf := make([]byte, step)
	for end := s.size; end > s.begin; {
		from := max(end-step, s.begin)
		b := buf[:end-from]
		if _, err := s.f.ReadAt(b, from); err != nil {
			return err
		}
		if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
			end = from + int64(i) + 1
			if end == s.size {
				return nil
			}
			s.size = end
			return errors.Join(s.f.Truncate(end), s.f.Sync())
		}
		end = from
	}
	s.size = s.begin
	return errors.Join(s.f.Truncate(s.begin), s.f.Sync())
}

// probe reads the first line, so that a wrong key is noticed at once.
func (s *spool) probe() error {
	_, _, err := s.read(1)
	return err
}

// renew begins a new filling. The caller holds mu, or is alone.
func (s *spool) renew() error {
	s.name = NewID(time.Now()).String()
	head := spoolWord + " " + s.name + "\n"
	// Nothing may be taken before this is durable: else a crash could bring the old lines back under the new ones.
	err := s.f.Truncate(0)
	if err == nil {
		_, err = s.f.WriteAt([]byte(head), 0)
	}
	if err == nil {
		err = s.f.Sync()
	}
	if err == nil {
		err = syncDir(filepath.Dir(s.path))
	}
	if err != nil {
		return err
	}
	s.begin = int64(len(head))
	s.sent, s.size = s.begin, s.begin
	close(s.empty)
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // some file systems have nothing to sync in a directory, and say so by an error
	return d.Close()
}

// appendBehind appends where something lies in the spool already, and says whether.
func (s *spool) appendBehind(lines [][]byte) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != nil {
		return false, s.bad
	}
	if s.size == s.begin {
		return false, nil
	}
	return true, s.appendLocked(lines)
}

// append makes the lines durable.
func (s *spool) append(lines [][]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad != nil {
		return s.bad
	}
	return s.appendLocked(lines)
}

func (s *spool) appendLocked(lines [][]byte) error {
	var b bytes.Buffer
	for _, line := range lines {
		if len(line) > maxSpoolLine/2 { // sealed it is longer
			return fmt.Errorf("steno is away, and an event of %d bytes is too large for the spool", len(line))
		}
		if err := s.encode(&b, line); err != nil {
			return err
		}
	}
	if s.size+int64(b.Len()) > s.max {
		return fmt.Errorf("steno is away, and the spool %s is full (%d bytes)", s.path, s.size)
	}
	_, err := s.f.WriteAt(b.Bytes(), s.size)
	if err == nil {
		err = s.f.Sync()
	}
	if err != nil {
		// What a failed sync left is not known. Only a new start reads the file again.
		s.bad = fmt.Errorf("couldn't write the spool: %w", err)
		return s.bad
	}
	if s.size == s.begin {
		s.empty = make(chan struct{})
	}
	s.size += int64(b.Len())
	select {
	case s.fill <- struct{}{}:
	default:
	}
	return nil
}

func (s *spool) encode(b *bytes.Buffer, line []byte) error {
	line = bytes.TrimRight(line, "\n")
	if s.aead != nil {
		nonce := make([]byte, s.aead.NonceSize(), s.aead.NonceSize()+len(line)+s.aead.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return err
		}
		line = []byte(base64.StdEncoding.EncodeToString(s.aead.Seal(nonce, nonce, line, nil)))
	}
	b.Write(line)
	b.WriteByte('\n')
	return nil
}

// decode opens a line. One that is plain text is taken as it is, also where there is a key: it is from before.
func (s *spool) decode(line []byte) ([]byte, error) {
	if len(line) > 0 && line[0] == '{' {
		return line, nil
	}
	if s.aead == nil {
		return nil, errors.New("it is sealed; give its key")
	}
	b, err := base64.StdEncoding.DecodeString(string(line))
	if err != nil || len(b) < s.aead.NonceSize() {
		return nil, errors.New("a line of it is damaged")
	}
	plain, err := s.aead.Open(nil, b[:s.aead.NonceSize()], b[s.aead.NonceSize():], nil)
	if err != nil {
		return nil, errors.New("it was sealed with another key, or is damaged")
	}
	return plain, nil
}

// read returns at most limit of the lines that come next, and where they end.
func (s *spool) read(limit int) (lines [][]byte, end int64, err error) {
	s.mu.Lock()
	from, to := s.sent, s.size
	s.mu.Unlock()
	r := bufio.NewReaderSize(io.NewSectionReader(s.f, from, to-from), 64<<10)
	size := 0
	for len(lines) < limit {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, 0, err
		}
		plain, err := s.decode(line[:len(line)-1])
		if err != nil {
			return nil, 0, err
		}
		if len(lines) > 0 && size+len(plain) > maxSubmitBody {
			break
		}
		lines = append(lines, append(plain, '\n'))
		size += len(plain) + 1
		from += int64(len(line))
	}
	return lines, from, nil
}

// advance notes that steno has everything before end; when that is all, the spool begins anew.
func (s *spool) advance(end int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = end
	if s.sent == s.size {
		if err := s.renew(); err != nil {
			s.bad = fmt.Errorf("couldn't empty the spool: %w", err)
			return s.bad
		}
		return nil
	}
	// It need not be durable: an older note only sends duplicates.
	tmp := s.path + ".pos.tmp"
	if err := os.WriteFile(tmp, []byte(s.name+" "+strconv.FormatInt(end, 10)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, s.path+".pos")
}

func (s *spool) drained() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.empty
}

func (s *spool) left() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size - s.sent
}

func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad = ErrClosed
	return s.f.Close() // which gives the lock back
}

// reject keeps an event that steno refuses beside the spool, with the reason: it is not lost in silence.
func (s *spool) reject(line []byte, reason string) error {
	b, err := json.Marshal(map[string]any{"reason": reason, "event": json.RawMessage(line)})
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := s.encode(&out, b); err != nil {
		return err
	}
	f, err := os.OpenFile(s.path+".rejected", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(out.Bytes())
	return errors.Join(err, f.Sync(), f.Close())
}

const maxReplayWait = 5 * time.Second

// replay sends what lies in the spool, in its order, until the client ends.
func (s *sender) replay() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.spool.fill:
		}
		wait := 50 * time.Millisecond
		for s.spool.left() > 0 && s.ctx.Err() == nil {
			err := s.replayOnce()
			if err == nil {
				wait = 50 * time.Millisecond
				continue
			}
			var broken *spoolError
			if s.ctx.Err() == nil && (!away(err) || errors.As(err, &broken)) {
				s.c.complain(fmt.Errorf("couldn't send what lies in the spool: %w", err))
			}
			if broken != nil {
				return
			}
			t := time.NewTimer(wait)
			select {
			case <-s.ctx.Done():
				t.Stop()
				return
			case <-t.C:
			}
			wait = min(2*wait, maxReplayWait)
		}
	}
}

func (s *sender) replayOnce() error {
	lines, end, err := s.spool.read(batchEvents)
	if err != nil {
		return &spoolError{err}
	}
	answer, err := s.c.post(s.ctx, bytes.Join(lines, nil), 1)
	var refused *SubmitError
	if errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 413) {
		// Something in it cannot be taken as a body: one by one it shows what.
		lines, end, err = s.spool.read(1)
		if err != nil {
			return &spoolError{err}
		}
		if answer, err = s.c.post(s.ctx, lines[0], 1); errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 413) {
			if err := s.refuse(lines[0], refused.Message); err != nil {
				return &spoolError{err}
			}
			return s.advance(end)
		}
	}
	if err != nil {
		return err
	}
	if err := answer.into(new(SubmitResult), 0, len(lines)); err != nil {
		return err
	}
	for _, r := range answer.Rejected {
		if err := s.refuse(lines[r.Index], r.Reason); err != nil {
			return &spoolError{err}
		}
	}
	return s.advance(end)
}

func (s *sender) advance(end int64) error {
	if err := s.spool.advance(end); err != nil {
		return &spoolError{err}
	}
	return nil
}

// spoolError is what is wrong with the spool itself: to try again does not help.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

func (s *sender) refuse(line []byte, reason string) error {
	var e struct {
		Origin Origin `json:"origin"`
	}
	_ = json.Unmarshal(line, &e) // it only names the event
	s.c.complain(&RejectedError{e.Origin.ID, reason})
	return s.spool.reject(bytes.TrimRight(line, "\n"), reason)
}
