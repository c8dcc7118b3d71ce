package capture

import (
	"context"
	"sync"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// maxOpen bounds the exchanges that applications have opened and not ended. Requests beyond it are recorded all the same,
// only their end is not waited for.
const maxOpen = 16 << 10

// openCalls are the exchanges that were opened by submitted events: those of an application that talks to its model
// without the gateway. One that gives no sign for too long is closed as unknown, so that none stays open for ever.
type openCalls struct {
	g       *Gateway
	timeout time.Duration
	quit    chan struct{}
	done    chan struct{}

	mu sync.Mutex
	m  map[steno.ID]*openCall
}

// openCall is what must be known of an open exchange to read its answer, and to close it if that never comes.
type openCall struct {
	tenant         string
	call           dialect.Call
	identity       *steno.Identity
	model          steno.Model
	usageRequested bool
	received       time.Time

	// Guarded by the table's mutex.
	sign    time.Time // when it was last heard of
	closing bool      // its end is on the way to the log

	// Guarded by mu: parts of one answer come one after the other, but nothing makes them.
	mu    sync.Mutex
	kept  []byte // of its answer, the parts so far
	lost  bool   // there was no room for them, or another process had them
	parts int
}

func newOpenCalls(g *Gateway, timeout time.Duration) *openCalls {
	o := &openCalls{g: g, timeout: timeout, quit: make(chan struct{}), done: make(chan struct{}), m: map[steno.ID]*openCall{}}
	o.adopt()
	go o.sweep()
	return o
}

// adopt takes over what the log has open: before the first call only submitted exchanges are, since all others were closed
// when the log was opened.
func (o *openCalls) adopt() {
	now := time.Now()
	for _, x := range o.g.cfg.Log.State().Open {
		e, err := o.g.cfg.Log.Read(x.FirstLeaf)
		if err != nil {
			o.g.cfg.Logger.Warn("an open exchange's request cannot be read", "leaf", x.FirstLeaf, "error", err)
			continue
		}
		opened, err := o.g.cfg.Keyring.Open(e.Leaf, e.Body, nil, steno.SectionIdentity|steno.SectionMetadata)
		c := &openCall{sign: now, lost: true}
		if err != nil {
			o.g.cfg.Logger.Warn("an open exchange's request cannot be opened", "leaf", x.FirstLeaf, "error", err)
		} else {
			c.fill(&opened.Event)
		}
		o.m[x.Exchange] = c
	}
}

func (c *openCall) fill(e *steno.Event) {
	c.received = e.Time
	if e.Identity != nil {
		c.tenant, c.identity = e.Identity.Tenant, subject(e.Identity)
	}
	if m := e.Model; m != nil {
		c.call = dialect.Call{Dialect: m.Dialect, API: m.API, Operation: m.Operation}
		c.model = steno.Model{
			Provider: m.Provider, Operation: m.Operation, Asked: m.Asked, Dialect: m.Dialect, API: m.API, Upstream: m.Upstream,
			Server: m.Server, Stream: m.Stream,
		}
	}
}

// get returns an open exchange of the tenant, nil if there is none.
func (o *openCalls) get(id steno.ID, tenant string) *openCall {
	if id.IsZero() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.m[id]
	if c == nil || c.tenant != tenant || c.closing {
		return nil
	}
	return c
}

// flags says what a submitted record is to its exchange, and returns what has to hear whether it became durable. Nobody
// can continue or close what another tenant opened, or what went through the gateway.
func (o *openCalls) flags(x *exchange, d *steno.Draft, blocked bool) (steno.LeafFlags, func(ok bool)) {
	if d.Imported {
		if d.Type == "inference.call" && d.Exchange == d.ID {
			return steno.FlagImported | steno.FlagOpens | steno.FlagCloses, nil
		}
		return steno.FlagImported, nil
	}
	tenant := tenantOf(x.who)
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.m[d.Exchange]
	mine := c != nil && c.tenant == tenant && !c.closing
	switch d.Type {
	case "inference.call":
		if d.Exchange == d.ID {
			return steno.FlagOpens | steno.FlagCloses, nil
		}
	case "inference.request":
		switch {
		case mine:
			c.sign = time.Now()
			return steno.FlagContinues, nil
		case c != nil || o.taken(d):
			return 0, nil // it speaks of somebody else's call
		case blocked:
			return steno.FlagOpens | steno.FlagCloses, nil
		case len(o.m) >= maxOpen:
			return 0, nil
		}
		return steno.FlagOpens, o.begin(x, d, tenant)
	case "inference.response_part":
		if mine {
			c.sign = time.Now()
			return steno.FlagContinues, nil
		}
	case "inference.response":
		if mine {
			c.closing = true
			return steno.FlagCloses, func(ok bool) { o.end(d.Exchange, c, ok) }
		}
	}
	return 0, nil
}

// taken says whether the log has the exchange open: then a call through the gateway has that id.
func (o *openCalls) taken(d *steno.Draft) bool {
	if d.Exchange == d.ID {
		return false // it was drawn a moment ago
	}
	for _, x := range o.g.cfg.Log.State().Open {
		if x.Exchange == d.Exchange {
			return true
		}
	}
	return false
}

// begin puts an exchange into the table. The caller holds mu.
func (o *openCalls) begin(x *exchange, d *steno.Draft, tenant string) func(bool) {
	c := &openCall{sign: time.Now()}
	c.fill(&d.Event)
	c.tenant = tenant
	if x.call.Dialect != "" {
		c.call = x.call
	}
	c.usageRequested = x.parsed != nil && x.parsed.UsageRequested
	o.m[d.Exchange] = c
	return func(ok bool) {
		if !ok {
			o.end(d.Exchange, c, true)
		}
	}
}

// end takes an exchange out of the table, or lets it be ended again where the record of its end failed.
func (o *openCalls) end(id steno.ID, c *openCall, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !ok {
		c.closing = false
		return
	}
	if o.m[id] == c {
		delete(o.m, id)
	}
	c.forget(o.g.flight)
}

// keep remembers a part of an answer, so that its facts can be read at the end.
func (c *openCall) keep(flight *budget, part []byte) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.parts++
	if c.lost {
		return
	}
	if len(c.kept)+len(part) > factBytes || !flight.take(int64(len(part))) {
		flight.give(int64(len(c.kept)))
		c.kept, c.lost = nil, true
		return
	}
	c.kept = append(c.kept, part...)
}

// whole is the answer with the parts that went before, whether that is all of it, and how many parts there were.
func (c *openCall) whole(rest []byte) (body []byte, complete bool, parts int) {
	if c == nil {
		return rest, true, 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parts == 0 {
		return rest, true, 0
	}
	return append(c.kept[:len(c.kept):len(c.kept)], rest...), !c.lost, c.parts
}

func (c *openCall) forget(flight *budget) {
	c.mu.Lock()
	defer c.mu.Unlock()
	flight.give(int64(len(c.kept)))
	c.kept, c.lost = nil, true
}

// sweep closes exchanges that nobody ends.
func (o *openCalls) sweep() {
	defer close(o.done)
	t := time.NewTicker(max(min(o.timeout/10, 30*time.Second), 10*time.Millisecond))
	defer t.Stop()
	for {
		select {
		case <-o.quit:
			return
		case <-t.C:
			o.closeSilent(time.Now().Add(-o.timeout))
		}
	}
}

func (o *openCalls) closeSilent(before time.Time) {
	o.mu.Lock()
	over := map[steno.ID]*openCall{}
	for id, c := range o.m {
		if !c.closing && c.sign.Before(before) {
			c.closing = true
			over[id] = c
		}
	}
	o.mu.Unlock()
	for id, c := range over {
		now := time.Now().UTC()
		model := c.model
		d := &steno.Draft{Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.response", Exchange: id, Time: now, Identity: c.identity, Model: &model,
			Result: &steno.Result{End: steno.EndUnknown, EndDetail: "the application never said how it ended"},
		}}
		_, err := o.g.rec.Record(context.Background(), d, steno.FlagCloses)
		if err != nil {
			o.g.cfg.Logger.Error("an exchange that was never ended could not be closed", "exchange", id, "error", err)
		}
		o.end(id, c, err == nil)
	}
}

func (o *openCalls) close() {
	close(o.quit)
	<-o.done
}
