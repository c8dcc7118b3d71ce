package capture

import (
	"context"
	"sync"
	"time"

	"github.com/steno-audit/steno"
)

const (
	failuresPerSecond = 10
	failureAddresses  = 4096 // more addresses than that in one second are counted together
)

// authFailures keeps a flood of refused calls from filling the log: above ten a second from one address, one record
// with a count stands for the rest of that second.
type authFailures struct {
	record func(address, reason string, count int)
	mu     sync.Mutex
	seen   map[string]*failureCount
	stop   chan struct{}
	done   chan struct{}
}

type failureCount struct {
	admitted, more int
	reason         string
}

func newAuthFailures(record func(address, reason string, count int)) *authFailures {
	a := &authFailures{record: record, seen: map[string]*failureCount{}, stop: make(chan struct{}), done: make(chan struct{})}
	go a.run()
	return a
}

// admit says whether this failure gets a record of its own.
func (a *authFailures) admit(address, reason string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.seen[address]
	if c == nil {
		if len(a.seen) >= failureAddresses {
			address = "many addresses"
			c = a.seen[address]
		}
		if c == nil {
			c = &failureCount{}
			a.seen[address] = c
		}
	}
	c.reason = reason
	if c.admitted < failuresPerSecond {
		c.admitted++
		return true
	}
	c.more++
	return false
}

func (a *authFailures) run() {
	defer close(a.done)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			a.flush()
		case <-a.stop:
			a.flush()
			return
		}
	}
}

func (a *authFailures) flush() {
	a.mu.Lock()
	seen := a.seen
	a.seen = map[string]*failureCount{}
	a.mu.Unlock()
	for address, c := range seen {
		if c.more > 0 {
			a.record(address, c.reason, c.more)
		}
	}
}

func (a *authFailures) close() {
	close(a.stop)
	<-a.done
}

func (g *Gateway) recordAuthFailures(address, reason string, count int) {
	now := time.Now().UTC()
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "security.auth_failed", Time: now,
		Identity: &steno.Identity{Auth: "failed", Address: address, UserSource: "tenant"},
		System:   &steno.System{Action: "auth_failed", Outcome: "refused", Reason: reason, Details: details("count", count)},
	}}
	if _, err := g.rec.Record(context.Background(), d, 0); err != nil {
		g.cfg.Logger.Error("refused calls could not be recorded", "count", count, "error", err)
	}
}
