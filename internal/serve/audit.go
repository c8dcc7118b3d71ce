package serve

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/steno-audit/steno"
)

const (
	sessionEvery      = time.Minute // at most one record of a session that goes on
	sessionsMax       = 4096        // sessions remembered; one more forgets those that are over
	failuresPerSecond = 10          // failed logins from one address that get a record of their own
	failureAddresses  = 4096        // more addresses than that in a second are counted together
)

// access is what was read, for the record of it.
type access struct {
	what   string // list, events, show, raw, tail, count, values
	query  map[string]string
	user   string     // the data subject, where it is one: the record of the read dies with the person's
	ids    []steno.ID // exchanges or records that were shown whole
	rows   int
	reveal bool
}

// audit writes the records of reads and of failed logins.
type audit struct {
	record func(context.Context, *steno.Draft) error

	mu       sync.Mutex
	sessions map[string]time.Time // when a session was last recorded
	failures map[string]*failure  // of this second, by address
}

type failure struct {
	admitted, more int
	reason         string
	agent          string
}

func newAudit(record func(context.Context, *steno.Draft) error) *audit {
	return &audit{record: record, sessions: map[string]time.Time{}, failures: map[string]*failure{}}
}

// read makes the record of a read durable. An error means that nothing may be shown.
func (a *audit) read(ctx context.Context, who Actor, acc access) error {
	now := time.Now().UTC()
	details := map[string]json.RawMessage{"rows": number(acc.rows), "via": quoted(who.Via)}
	if acc.reveal {
		details["reveal"] = json.RawMessage("true")
	}
	if len(acc.query) > 0 {
		b, err := json.Marshal(acc.query)
		if err != nil {
			return err
		}
		details["query"] = b
	}
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "security.record_read", Time: now,
		Identity: &steno.Identity{User: acc.user, Auth: "console", Address: who.Address, UserAgent: who.UserAgent},
		System:   &steno.System{Action: "read", Actor: who.Name, Target: acc.what, Outcome: "ok", Details: details},
	}}
	for _, id := range acc.ids {
		d.Links = append(d.Links, steno.Link{Rel: "read", Record: id})
	}
	if err := a.record(ctx, d); err != nil {
		return &Error{
			Status: http.StatusServiceUnavailable, Message: "the read was refused because it could not be recorded: " + err.Error(),
			Hint: "every read is itself a record; the log must be writable",
		}
	}
	return nil
}

// shown is read, but a page of the console that is loaded again within a minute leaves no second record. A revealing one
// always does.
func (a *audit) shown(ctx context.Context, who Actor, acc access) error {
	if who.Via == "console" && !acc.reveal {
		return a.session(ctx, who, acc)
	}
	return a.read(ctx, who, acc)
}

// session is read for what is asked again and again: one record at the start and at most one a minute.
func (a *audit) session(ctx context.Context, who Actor, acc access) error {
	key := who.Name + "\x00" + who.Address + "\x00" + who.Via + "\x00" + acc.what
	for _, k := range []string{"user", "model", "flag", "status", "conversation", "type", "exchange", "field"} { // times move with each question
		key += "\x00" + acc.query[k]
	}
	for _, id := range acc.ids {
		key += "\x00" + id.String()
	}
	now := time.Now()
	a.mu.Lock()
	if last, ok := a.sessions[key]; ok && now.Sub(last) < sessionEvery {
		a.mu.Unlock()
		return nil
	}
	if len(a.sessions) >= sessionsMax {
		for k, last := range a.sessions {
			if now.Sub(last) >= sessionEvery {
				delete(a.sessions, k)
			}
		}
		if len(a.sessions) >= sessionsMax { // forgetting too much only records too much
			clear(a.sessions)
		}
	}
	a.sessions[key] = now
	a.mu.Unlock()
	err := a.read(ctx, who, acc)
	if err != nil {
		a.mu.Lock()
		delete(a.sessions, key)
		a.mu.Unlock()
	}
	return err
}

// failed records a wrong or missing token. A flood from one address becomes one record with a count a second. That it
// cannot be written changes nothing for the caller: the answer is no either way.
func (a *audit) failed(ctx context.Context, who Actor, reason string) error {
	a.mu.Lock()
	address := who.Address
	f := a.failures[address]
	if f == nil && len(a.failures) >= failureAddresses {
		address = "many addresses"
		f = a.failures[address]
	}
	if f == nil {
		f = &failure{reason: reason, agent: who.UserAgent}
		a.failures[address] = f
		time.AfterFunc(time.Second, func() { a.flush(context.WithoutCancel(ctx), address) })
	}
	if f.admitted >= failuresPerSecond {
		f.more++
		a.mu.Unlock()
		return nil
	}
	f.admitted++
	a.mu.Unlock()
	return a.authFailed(ctx, address, who.UserAgent, reason, 1)
}

func (a *audit) flush(ctx context.Context, address string) {
	a.mu.Lock()
	f := a.failures[address]
	delete(a.failures, address)
	a.mu.Unlock()
	if f != nil && f.more > 0 {
		_ = a.authFailed(ctx, address, f.agent, f.reason, f.more) // nobody waits for it; a log that fails says so itself
	}
}

func (a *audit) authFailed(ctx context.Context, address, agent, reason string, count int) error {
	now := time.Now().UTC()
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: "security.auth_failed", Time: now,
		Identity: &steno.Identity{Auth: "failed", Address: address, UserAgent: agent, UserSource: "tenant"},
		System: &steno.System{
			Action: "auth_failed", Target: "console", Outcome: "refused", Reason: reason,
			Details: map[string]json.RawMessage{"count": number(count)},
		},
	}}
	return a.record(ctx, d)
}

func number(n int) json.RawMessage { return quoted(n) }

func quoted(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // a string or a number
	}
	return b
}
