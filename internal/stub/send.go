package stub

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// reply is a whole answer before it travels.
type reply struct {
	status int
	body   []byte
	ends   []int // of a stream: where each event ends in body
	crlf   bool  // of a stream: its lines end in CR LF
}

// event ends the event that was just appended.
func (p *reply) event() { p.ends = append(p.ends, len(p.body)) }

func (p *reply) streamed() bool { return p.ends != nil }

// breakOff replaces what follows the first n events by what an error appends.
func (p *reply) breakOff(n int, appendError func(b []byte, seq int) []byte) {
	if n == middle {
		n = len(p.ends) / 2
	}
	n = min(n, len(p.ends)-1)
	p.ends = p.ends[:n]
	size := 0
	if n > 0 {
		size = p.ends[n-1]
	}
	p.body = appendError(p.body[:size:size], n)
	p.event()
}

// spoil makes the JSON of a reply, or of its middle event, unreadable.
func (p *reply) spoil() {
	if !p.streamed() {
		p.body = p.body[:len(p.body)*2/3]
		return
	}
	n := len(p.ends) / 2
	from, end := 0, p.ends[n]
	if n > 0 {
		from = p.ends[n-1]
	}
	mark := 2
	if p.crlf {
		mark = 4
	}
	tail := bytes.Clone(p.body[end-mark:])
	keep := from + (end-from)*2/3
	gone := end - mark - keep
	p.body = append(p.body[:keep], tail...)
	for i := n; i < len(p.ends); i++ {
		p.ends[i] -= gone
	}
}

// step is a write up to a byte of the body, after a wait.
type step struct {
	upto int
	wait time.Duration
}

// steps plans how a reply travels, and whether it is cut at the end of that.
func (p *reply) steps(k *knobs) (plan []step, cut bool) {
	stop := len(p.body)
	switch {
	case k.cut == unset:
	case !p.streamed() && k.cut == middle:
		stop, cut = len(p.body)/2, true
	case !p.streamed():
		stop, cut = min(k.cut, len(p.body)), true
	default:
		stop, cut = p.cutAt(k.cut), true
	}
	ends := p.ends
	if !p.streamed() {
		ends = []int{len(p.body)}
		if k.stallMid > 0 {
			ends = []int{len(p.body) / 2, len(p.body)}
		}
	}
	from := 0
	for i, end := range ends {
		var w time.Duration
		if i > 0 {
			w = max(k.delay, k.slow)
		}
		if k.stallMid > 0 && i == (len(ends)+1)/2 {
			w += k.stallMid
		}
		for end = min(end, stop); from < end; w = k.slow {
			to := end
			if k.slow > 0 {
				to = min(from+slowPiece, end)
			}
			plan = append(plan, step{to, w})
			from = to
		}
	}
	return plan, cut
}

func (p *reply) cutAt(n int) int {
	if len(p.ends) == 0 {
		return 0
	}
	if n == middle {
		n = len(p.ends) / 2
		from := 0
		if n > 0 {
			from = p.ends[n-1]
		}
		return from + (p.ends[n]-from)/2
	}
	if n == 0 {
		return 0
	}
	return p.ends[min(n, len(p.ends))-1]
}

// errGone says that the client left before the end.
var errGone = errors.New("the client is gone")

// errCut says that the knob cut ended the answer.
var errCut = errors.New("the stub cut the answer")

// sender writes one reply.
type sender struct {
	w    http.ResponseWriter
	ctx  context.Context
	sum  hash.Hash // of the bytes of the body on the wire; nil if nobody asks
	size int
}

func (s *sender) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if s.sum != nil {
		s.sum.Write(b[:n])
	}
	s.size += n
	return n, err
}

func (s *sender) flush() error {
	return http.NewResponseController(s.w).Flush()
}

func (s *sender) wait(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-s.ctx.Done():
		return errGone
	}
}

// send writes a reply as the knobs say. Once it returns nil, every byte of the
// body is with the kernel.
func (s *sender) send(p *reply, k *knobs, accept string) error {
	if err := s.wait(k.stall); err != nil {
		return err
	}
	if k.empty {
		p.body, p.ends = nil, p.ends[:0]
	}
	if k.badJSON && len(p.body) > 0 {
		p.spoil()
	}
	h := s.w.Header()
	zip := k.gzip && strings.Contains(accept, "gzip") && len(p.body) > 0
	if zip {
		h["Content-Encoding"], h["Vary"] = []string{"gzip"}, []string{"Accept-Encoding"}
	}
	if k.trailers {
		h["Trailer"] = []string{trailerSum}
		if s.sum == nil {
			s.sum = sha256.New()
		}
	}
	if !p.streamed() && !zip && !k.trailers {
		h["Content-Length"] = []string{strconv.Itoa(len(p.body))}
	}
	s.w.WriteHeader(p.status)
	plan, cut := p.steps(k)
	if err := s.travel(p, plan, zip, cut); err != nil {
		return err
	}
	if cut {
		return errCut
	}
	if k.trailers {
		h[trailerSum] = []string{hex.EncodeToString(s.sum.Sum(nil))}
	}
	return nil
}

// trailerSum is the trailer's name, as net/http writes it.
const trailerSum = "X-Stub-Body-Sha256"

func (s *sender) travel(p *reply, plan []step, zip, cut bool) error {
	var out io.Writer = s
	var z *gzip.Writer
	if zip {
		z = gzip.NewWriter(s)
		out = z
	}
	from := 0
	for i, st := range plan {
		if err := s.wait(st.wait); err != nil {
			return err
		}
		if _, err := out.Write(p.body[from:st.upto]); err != nil {
			return errGone
		}
		from = st.upto
		last := i == len(plan)-1
		if z != nil && (p.streamed() || !last) {
			if err := z.Flush(); err != nil {
				return errGone
			}
		}
		if p.streamed() || !last {
			if err := s.flush(); err != nil {
				return errGone
			}
		}
	}
	if z != nil && !cut {
		if err := z.Close(); err != nil {
			return errGone
		}
	}
	if len(plan) == 0 || !p.streamed() || z != nil {
		if s.flush() != nil {
			return errGone
		}
	}
	return nil
}
