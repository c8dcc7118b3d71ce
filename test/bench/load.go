//go:build bench

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steno-audit/steno"
)

// cell is one place in the tables.
type cell struct {
	stream  bool
	history bool // 32 KiB of earlier turns in the request, else 2 KiB of new text
	conns   int
}

// outcome is what came of a load.
type outcome struct {
	calls    int // whole answers
	events   int // of streams
	failures []string
	latency  []time.Duration
	elapsed  time.Duration
	ids      []string // exchanges that answers named
}

func (o *outcome) merge(q *outcome) {
	o.calls += q.calls
	o.events += q.events
	o.failures = append(o.failures, q.failures...)
	o.latency = append(o.latency, q.latency...)
	o.ids = append(o.ids, q.ids...)
}

// corpus is text of which calls take pieces from random places, so that none says what another said.
var corpus = func() []byte {
	r := rand.New(rand.NewPCG(1, 2))
	syllables := strings.Fields("ba con der el fi gra hu in jo ka lem mi nor ol per qua re sta ti ur ven wi xe yo za ches trum ple")
	var b bytes.Buffer
	for b.Len() < 4<<20 {
		for range 1 + r.IntN(4) {
			b.WriteString(syllables[r.IntN(len(syllables))])
		}
		b.WriteByte(' ')
	}
	return b.Bytes()
}()

func excerpt(n int) []byte { return corpus[rand.IntN(len(corpus)-n):][:n] }

const (
	plainWords  = 38 // about 1 KiB of JSON
	streamWords = 26 // about 34 events
	warmUp      = 3  // calls of each connection before the clock starts
)

// script makes the requests of one connection: a conversation.
type script struct {
	cell cell
	head []byte // of the body, up to the new text
	tail []byte
	new  int // bytes of text that no earlier request had
	body []byte
	out  []byte
}

func newScript(c cell) *script {
	s := &script{cell: c, new: 1700}
	words := plainWords
	if c.stream {
		words = streamWords
		s.head = append(s.head, `{"stream":true,"stream_options":{"include_usage":true},`...)
	} else {
		s.head = append(s.head, '{')
	}
	s.head = fmt.Appendf(s.head, `"model":"gpt-4o-mini+words=%d","temperature":0.2,"max_tokens":600,"messages":[{"role":"system","content":"%s"},`, words, corpus[:160])
	if c.history {
		s.new = 300
		for i := range 16 {
			s.head = fmt.Appendf(s.head, `{"role":"%s","content":"%s"},`, []string{"user", "assistant"}[i%2], excerpt(2000))
		}
	}
	s.head = append(s.head, `{"role":"user","content":"`...)
	s.tail = []byte(`"}]}`)
	return s
}

func (s *script) next(host string) []byte {
	s.body = append(append(append(s.body[:0], s.head...), excerpt(s.new)...), s.tail...)
	s.out = append(s.out[:0], "POST /v1/chat/completions HTTP/1.1\r\nHost: "...)
	s.out = append(append(s.out, host...), "\r\nContent-Type: application/json\r\nUser-Agent: bench\r\nAuthorization: Bearer "...)
	s.out = append(s.out, gatewayKey+"\r\nContent-Length: "...)
	s.out = append(strconv.AppendInt(s.out, int64(len(s.body)), 10), "\r\n\r\n"...)
	return append(s.out, s.body...)
}

// run loads a peer in a closed loop: for a time, or until so many calls were made.
func run(addr string, c cell, last time.Duration, calls int) (*outcome, error) {
	var left atomic.Int64
	left.Store(int64(calls))
	var ready, ended sync.WaitGroup
	begin := make(chan time.Time)
	outs, errs := make([]outcome, c.conns), make([]error, c.conns)
	ready.Add(c.conns)
	for i := range c.conns {
		ended.Go(func() {
			cl := &caller{addr: addr, script: newScript(c), o: &outs[i]}
			defer cl.close()
			for range warmUp {
				if errs[i] == nil {
					errs[i] = cl.call()
				}
			}
			warm := outs[i].ids
			outs[i] = outcome{ids: warm}
			ready.Done()
			end := (<-begin).Add(last)
			if errs[i] != nil {
				return
			}
			for {
				if calls > 0 && left.Add(-1) < 0 || calls == 0 && !time.Now().Before(end) {
					return
				}
				if err := cl.call(); err != nil {
					outs[i].failures = append(outs[i].failures, err.Error())
					cl.close()
				}
			}
		})
	}
	ready.Wait()
	at := time.Now()
	for range c.conns {
		begin <- at
	}
	ended.Wait()
	o := &outcome{elapsed: time.Since(at)}
	for i := range outs {
		o.merge(&outs[i])
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("the first calls failed: %w", err)
	}
	return o, nil
}

// caller is one connection that is kept alive.
type caller struct {
	addr   string
	script *script
	o      *outcome
	conn   net.Conn
	in     *bufio.Reader
	body   []byte
}

func (c *caller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

var streamEnd = []byte("data: [DONE]\n\n")

// call makes one call and checks that its answer is whole.
func (c *caller) call() error {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return err
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 64<<10)
	}
	request := c.script.next(c.addr)
	if err := c.conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	began := time.Now()
	if _, err := c.conn.Write(request); err != nil {
		return fmt.Errorf("the request broke off: %w", err)
	}
	a, err := c.readHead()
	if err != nil {
		return fmt.Errorf("the answer's head: %w", err)
	}
	if err := c.readBody(a); err != nil {
		return fmt.Errorf("the answer broke off after %d bytes of its body (exchange %s): %w", len(c.body), a.id, err)
	}
	took := time.Since(began)
	switch {
	case a.status != 200:
		return fmt.Errorf("status %d: %s", a.status, c.body)
	case c.script.cell.stream && !bytes.HasSuffix(c.body, streamEnd):
		return fmt.Errorf("a stream without its end (exchange %s): …%q", a.id, c.body[max(0, len(c.body)-80):])
	case !c.script.cell.stream && !bytes.HasSuffix(bytes.TrimSpace(c.body), []byte("}")):
		return fmt.Errorf("an answer without its end (exchange %s)", a.id)
	}
	c.o.calls++
	c.o.latency = append(c.o.latency, took)
	if c.script.cell.stream {
		c.o.events += bytes.Count(c.body, []byte("data: "))
	}
	if a.id != "" {
		c.o.ids = append(c.o.ids, a.id)
	}
	return nil
}

// answer is what the head of an answer says.
type answer struct {
	status  int
	length  int // -1: chunked
	chunked bool
	id      string
}

func (c *caller) readHead() (a answer, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return a, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, fmt.Errorf("%q is no status line", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, err
	}
	a.length = -1
	for {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return a, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if a.length, err = strconv.Atoi(string(value)); err != nil {
				return a, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			a.chunked = bytes.EqualFold(value, []byte("chunked"))
		case bytes.EqualFold(name, []byte("X-Steno-Exchange")):
			a.id = string(value)
		}
	}
	if a.id != "" {
		if _, err := steno.ParseID(a.id); err != nil {
			return a, err
		}
	}
	if !a.chunked && a.length < 0 {
		return a, errors.New("it has neither a length nor chunks")
	}
	return a, nil
}

func (c *caller) readBody(a answer) error {
	c.body = c.body[:0]
	if !a.chunked {
		return c.fill(a.length)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 31)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		if err := c.fill(int(n)); err != nil {
			return err
		}
		if _, err := c.in.Discard(2); err != nil {
			return err
		}
	}
	for { // trailers
		line, err := c.in.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return err
		}
	}
}

func (c *caller) fill(n int) error {
	at := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	m, err := io.ReadFull(c.in, c.body[at:])
	c.body = c.body[:at+m]
	return err
}
