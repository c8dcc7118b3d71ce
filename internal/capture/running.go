package capture

import (
	"context"
	"errors"
	"sync"
)

var errRevoked = errors.New("the key was revoked while the answer went through")

// running is the calls under way that were let in by a gateway key, so that a revocation ends them too.
type running struct {
	mu    sync.Mutex
	calls map[*exchange]context.CancelCauseFunc
}

func newRunning() *running { return &running{calls: map[*exchange]context.CancelCauseFunc{}} }

// begin adds a call until the function that it returns is called. A key that was revoked since the call came in ends it.
func (r *running) begin(x *exchange, cancel context.CancelCauseFunc) (end func()) {
	k := x.who.key
	if k == nil || k.SHA256 == [32]byte{} {
		return func() {} // a token or certificate ends by its own time
	}
	r.mu.Lock()
	r.calls[x] = cancel
	r.mu.Unlock()
	if x.g.keys()[k.SHA256] == nil {
		cancel(errRevoked)
	}
	return func() {
		r.mu.Lock()
		delete(r.calls, x)
		r.mu.Unlock()
	}
}

// keep ends the calls whose key is not among those that are left.
func (r *running) keep(keys map[[32]byte]*Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for x, cancel := range r.calls {
		if keys[x.who.key.SHA256] == nil {
			cancel(errRevoked)
		}
	}
}
