package stub

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Help describes how a stub is told to misbehave.
const Help = `Knobs, comma separated, in the header x-stub or after a + in the model's name
(gpt-4o-mini+fail=429;retry-after=2). The header's come after the model's and win.

  fail=STATUS|NAME[;retry-after=S]  an error of the provider: 400 to 599, or overloaded,
                     rate_limit, quota, auth, not_found, too_large, server, timeout
  error-in-stream[=N]  an error event inside a 200 stream, in the middle or after N events
  stall=DUR          wait before the headers
  stall-mid=DUR      wait once, in the middle of the body
  delay=DUR          wait between two events of a stream
  slow-body[=DUR]    write 64 bytes at a time, DUR (5ms) apart, regardless of events
  cut[=N]            close the connection: in the middle of an event (of a plain body),
                     or after N whole events (N bytes of a plain body)
  refuse             the model refuses
  filter             the provider's content filter stops the answer
  words=N            an answer of N words
  empty              status 200 and no byte of body
  badjson            status 200 and JSON that doesn't parse (in a stream: one event of it)
  gzip               compressed, if the client accepts it
  trailers           the body's SHA-256 in a trailer, no Content-Length

Without knobs: "Repeat exactly: TEXT" as the last words of the user is answered by TEXT; a tool
is called when tool_choice asks for it or the user's words name it; models no-such-… don't exist.

A tally has a line {"event":"asked", call, path, tag, request_sha256} for each request, durable before its answer
begins, and one {"event":"answered|cut|gone", call, status, bytes, response_sha256} after its last byte. The tag is
the header x-stub-tag, or metadata.tag of the body.
`

// knobs is how an answer is to go wrong.
type knobs struct {
	fail       int // status, 0 for none
	failName   string
	retryAfter string
	streamErr  int // events before an error event; unset, middle or a count
	cut        int // events (bytes) before the cut; unset, middle or a count
	words      int // unset or a count
	stall      time.Duration
	stallMid   time.Duration
	delay      time.Duration
	slow       time.Duration
	refuse     bool
	filter     bool
	empty      bool
	badJSON    bool
	gzip       bool
	trailers   bool
}

const (
	unset  = -1
	middle = -2
)

// maxWords bounds words=N: an answer is built in memory before it is sent.
const maxWords = 1 << 20

const slowPiece = 64

func noKnobs() knobs { return knobs{streamErr: unset, cut: unset, words: unset} }

// failures are the names fail= takes beside a status.
var failures = map[string]int{
	"overloaded": 529, "rate_limit": http.StatusTooManyRequests, "quota": http.StatusTooManyRequests,
	"auth": http.StatusUnauthorized, "not_found": http.StatusNotFound, "too_large": http.StatusRequestEntityTooLarge,
	"server": http.StatusInternalServerError, "timeout": http.StatusGatewayTimeout,
}

// set reads a comma separated list into k.
func (k *knobs) set(list string) error {
	for f := range strings.SplitSeq(list, ",") {
		f = strings.TrimSpace(f)
		if f == "" {
			continue
		}
		name, val, has := strings.Cut(f, "=")
		if err := k.one(name, val, has); err != nil {
			return fmt.Errorf("stub: knob %q: %w", f, err)
		}
	}
	return nil
}

func (k *knobs) one(name, val string, has bool) (err error) {
	switch name {
	case "fail":
		return k.setFail(val)
	case "error-in-stream":
		k.streamErr, err = count(val, has, middle, math.MaxInt32)
	case "cut":
		k.cut, err = count(val, has, middle, math.MaxInt32)
	case "words":
		k.words, err = count(val, has, unset, maxWords)
	case "stall":
		k.stall, err = wait(val, has, 0)
	case "stall-mid":
		k.stallMid, err = wait(val, has, 0)
	case "delay":
		k.delay, err = wait(val, has, 0)
	case "slow-body":
		k.slow, err = wait(val, has, 5*time.Millisecond)
	default:
		on := k.flag(name)
		if on == nil {
			return fmt.Errorf("no such knob; there are fail, error-in-stream, cut, words, stall, stall-mid, delay, " +
				"slow-body, refuse, filter, empty, badjson, gzip, trailers")
		}
		if has {
			return fmt.Errorf("takes no value")
		}
		*on = true
	}
	return err
}

func (k *knobs) flag(name string) *bool {
	switch name {
	case "refuse":
		return &k.refuse
	case "filter":
		return &k.filter
	case "empty":
		return &k.empty
	case "badjson":
		return &k.badJSON
	case "gzip":
		return &k.gzip
	case "trailers":
		return &k.trailers
	}
	return nil
}

func (k *knobs) setFail(val string) error {
	what, opts, has := strings.Cut(val, ";")
	status, ok := failures[what]
	if !ok {
		n, err := strconv.Atoi(what)
		if err != nil || n < 400 || n > 599 {
			return fmt.Errorf("fail takes a status from 400 to 599, or overloaded, rate_limit, quota, auth, not_found, too_large, server, timeout")
		}
		status, what = n, ""
	}
	name, after, _ := strings.Cut(opts, "=")
	if s, err := strconv.ParseFloat(after, 64); has && (name != "retry-after" || err != nil || !(s >= 0 && s < 1e6)) {
		return fmt.Errorf("after the status only ;retry-after=SECONDS may stand")
	}
	k.fail, k.failName, k.retryAfter = status, what, after
	return nil
}

func count(val string, has bool, without, most int) (int, error) {
	if !has && without != unset {
		return without, nil
	}
	n, err := strconv.Atoi(val)
	if err != nil || n < 0 || n > most {
		return unset, fmt.Errorf("takes a number from 0 to %d", most)
	}
	return n, nil
}

func wait(val string, has bool, without time.Duration) (time.Duration, error) {
	if !has && without != 0 {
		return without, nil
	}
	d, err := time.ParseDuration(val)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("takes a duration such as 500ms or 2s")
	}
	return d, nil
}
