package steno

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

var (
	// ErrQueueFull says that too many events wait to be sent, and that the client is to fail then.
	ErrQueueFull = errors.New("too many events wait to be sent to steno")
	// ErrClosed says that the client was closed.
	ErrClosed = errors.New("the steno client is closed")
	// ErrBlocked says that steno recorded a request, and that its checks do not let it pass.
	ErrBlocked = errors.New("a safety check of steno blocked the request")
)

// RejectedError is steno's verdict that an event is wrong: it was not recorded, and sending it again will not help.
type RejectedError struct {
	ID     string // the submitter's
	Reason string
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("steno rejected the event %s: %s", e.ID, printable(e.Reason))
}

const (
	queueEvents = 4096
	queueBytes  = 64 << 20
	batchEvents = 1024
)

// sender is the one way of a client's events to steno: in order, many at a time, over the spool where steno is away.
type sender struct {
	c      *Client
	ctx    context.Context // ends what is under way when the client is closed for good
	cancel context.CancelFunc
	spool  *spool
	failed error // the spool cannot be used

	mu     sync.Mutex
	items  []*sending
	bytes  int64
	room   chan struct{} // closed when there is room again
	work   chan struct{} // there is something to send
	idle   chan struct{} // closed when there is nothing to send; nil: nobody asks
	busy   bool
	closed bool
	done   chan struct{}
	open   map[ID]*Exchange
	number uint64
	name   string // random: origin ids of this client begin with it
}

// sending is one event on its way.
type sending struct {
	line  []byte
	id    string
	taken chan error // nil: nobody waits
}

// start makes the sender on first use: a client that only submits has none.
func (c *Client) start() *sender {
	c.once.Do(func() {
		ctx, cancel := context.WithCancel(context.Background())
		s := &sender{
			c: c, ctx: ctx, cancel: cancel, room: make(chan struct{}), work: make(chan struct{}, 1), done: make(chan struct{}),
			open: map[ID]*Exchange{}, name: NewID(time.Now()).String(),
		}
		if c.Spool != "" {
			if s.spool, s.failed = openSpool(c.Spool, c.SpoolKey, c.SpoolMax); s.failed == nil {
				go s.replay()
			}
		}
		c.queue = s
		go s.run()
	})
	return c.queue
}

// Record records one event; when it returns nil the event is durable, in steno or in the spool. Without an origin it gets
// one. Many calls at once share a request.
func (c *Client) Record(ctx context.Context, e Event) error {
	return c.record(ctx, &Submission{Event: e})
}

func (c *Client) record(ctx context.Context, e *Submission) error {
	taken := make(chan error, 1)
	if err := c.start().put(ctx, e, taken); err != nil {
		return err
	}
	select {
	case err := <-taken:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the event may be recorded or not: %w", context.Cause(ctx))
	}
}

// Enqueue takes an event for sending and returns: what becomes of it OnError hears, and Flush waits for it.
func (c *Client) Enqueue(ctx context.Context, e Event) error {
	return c.start().put(ctx, &Submission{Event: e}, nil)
}

// Flush waits until all that was taken is in steno itself, that of the spool too.
func (c *Client) Flush(ctx context.Context) error {
	s := c.start()
	if s.failed != nil {
		return s.failed
	}
	for {
		select {
		case <-s.waitIdle():
		case <-s.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("events still wait to be sent to steno: %w", context.Cause(ctx))
		}
		if s.spool == nil {
			return nil
		}
		select {
		case <-s.spool.drained():
		case <-ctx.Done():
			return fmt.Errorf("%d bytes of events still wait in the spool %s: %w", s.spool.left(), s.c.Spool, context.Cause(ctx))
		}
		if s.quiet() {
			return nil
		}
	}
}

// Close ends the exchanges that were begun and not ended as unknown, sends what waits, and ends the client. What lies in
// the spool stays there for the next start. ctx bounds the patience; its error says that events are lost or uncertain.
func (c *Client) Close(ctx context.Context) error {
	s := c.start()
	var err error
	s.mu.Lock()
	var left []*Exchange
	for _, x := range s.open {
		left = append(left, x)
	}
	s.mu.Unlock()
	for _, x := range left {
		err = errors.Join(err, x.End(ctx, Result{End: EndUnknown, EndDetail: "the application closed its client before it said how it ended"}))
	}
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	s.wake()
	select {
	case <-s.done:
	case <-ctx.Done():
		err = errors.Join(err, fmt.Errorf("events were not sent: %w", context.Cause(ctx)))
		s.cancel()
		<-s.done
	}
	s.cancel()
	if s.spool != nil {
		err = errors.Join(err, s.spool.close())
	}
	return err
}

func (c *Client) complain(err error) {
	if c.OnError != nil {
		c.OnError(err)
		return
	}
	slog.Error("steno: an event was not recorded", "error", err)
}

func (c *Client) source() string {
	if c.Source != "" {
		return c.Source
	}
	return filepath.Base(os.Args[0])
}

// put queues an event, waiting for room or refusing as the client is set.
func (s *sender) put(ctx context.Context, e *Submission, taken chan error) error {
	if s.failed != nil {
		return s.failed
	}
	if e.Time.IsZero() {
		e.Time = time.Now().UTC() // it may lie for a while
	}
	if e.Origin == nil || e.Origin.Source == "" || e.Origin.ID == "" {
		o := Origin{}
		if e.Origin != nil {
			o = *e.Origin
		}
		if o.Source == "" {
			o.Source = s.c.source()
		}
		if o.ID == "" {
			s.mu.Lock()
			s.number++
			o.ID = s.name + "-" + strconv.FormatUint(s.number, 10)
			s.mu.Unlock()
		}
		e.Origin = &o
	}
	line, err := encodeSubmission(e)
	if err != nil {
		return fmt.Errorf("couldn't record: %w", err)
	}
	item := &sending{line, e.Origin.ID, taken}
	for {
		room, err := s.admit(item)
		if room == nil {
			return err
		}
		select {
		case <-room:
		case <-ctx.Done():
			return fmt.Errorf("%w, and there was no room until: %w", ErrQueueFull, context.Cause(ctx))
		}
	}
}

// admit queues the item, or returns what to wait for.
func (s *sender) admit(item *sending) (chan struct{}, error) {
	events, size := s.c.Queue, s.c.QueueBytes
	if events <= 0 {
		events = queueEvents
	}
	if size <= 0 {
		size = queueBytes
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch full := len(s.items) > 0 && (len(s.items) >= events || s.bytes+int64(len(item.line)) > size); {
	case s.closed:
		return nil, ErrClosed
	case full && s.c.FailWhenFull:
		return nil, ErrQueueFull
	case full:
		return s.room, nil
	}
	s.items = append(s.items, item)
	s.bytes += int64(len(item.line))
	s.wake()
	return nil, nil
}

func (s *sender) wake() {
	select {
	case s.work <- struct{}{}:
	default: // it is awake
	}
}

// run sends batch after batch until the client is closed and nothing is left.
func (s *sender) run() {
	defer close(s.done)
	for {
		batch, over := s.next()
		switch {
		case len(batch) > 0:
			s.deliver(batch)
		case over:
			return
		default:
			select {
			case <-s.work:
			case <-s.ctx.Done():
				s.giveUp()
				return
			}
		}
	}
}

// next takes what goes into one request.
func (s *sender) next() (batch []*sending, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	size := 0
	n := 0
	for n < len(s.items) && n < batchEvents && (n == 0 || size+len(s.items[n].line) <= maxSubmitBody) {
		size += len(s.items[n].line)
		n++
	}
	batch, s.items = s.items[:n:n], s.items[n:]
	s.bytes -= int64(size)
	if s.busy = n > 0; s.busy {
		close(s.room)
		s.room = make(chan struct{})
	} else if s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	return batch, s.closed && n == 0
}

// giveUp tells all who wait that the client ended first.
func (s *sender) giveUp() {
	for {
		batch, _ := s.next()
		if len(batch) == 0 {
			return
		}
		s.tell(batch, ErrClosed)
	}
}

func (s *sender) tell(batch []*sending, err error) {
	for _, i := range batch {
		s.tellOne(i, err)
	}
}

func (s *sender) tellOne(i *sending, err error) {
	if i.taken != nil {
		i.taken <- err
	} else if err != nil && !errors.Is(err, ErrBlocked) {
		s.c.complain(err)
	}
}

// deliver sends a batch, or puts it into the spool: behind what lies there, so that the order is kept.
func (s *sender) deliver(batch []*sending) {
	lines := make([][]byte, len(batch))
	for i, b := range batch {
		lines[i] = b.line
	}
	tries := submitTries
	if s.spool != nil {
		tries = 1
		spooled, err := s.spool.appendBehind(lines)
		if spooled || err != nil {
			s.tell(batch, err)
			return
		}
	}
	answer, err := s.c.post(s.ctx, bytes.Join(lines, nil), tries)
	switch {
	case err == nil:
		s.judge(batch, answer)
	case s.spool != nil && away(err):
		s.tell(batch, s.spool.append(lines))
	default:
		s.tell(batch, err)
	}
}

// judge tells each event what became of it.
func (s *sender) judge(batch []*sending, a *submitAnswer) {
	if err := a.into(new(SubmitResult), 0, len(batch)); err != nil {
		s.tell(batch, err)
		return
	}
	verdicts := make([]error, len(batch))
	for _, r := range a.Rejected {
		verdicts[r.Index] = &RejectedError{batch[r.Index].id, r.Reason}
	}
	for _, b := range a.Blocked {
		if b.Index >= 0 && b.Index < len(batch) {
			verdicts[b.Index] = ErrBlocked
		}
	}
	for i, b := range batch {
		s.tellOne(b, verdicts[i])
	}
}

func (s *sender) waitIdle() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.wake() // so that it looks, and says that there is nothing
	return idle
}

func (s *sender) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.items) == 0 && !s.busy
}
