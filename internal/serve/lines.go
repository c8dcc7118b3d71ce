package serve

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// lines writes newline-delimited JSON, each line at once, and a blank one where nothing was said for a while, so that
// who reads knows that the other side lives.
type lines struct {
	mu      sync.Mutex
	w       http.ResponseWriter
	rc      *http.ResponseController
	begun   bool
	failed  error
	ticker  *time.Ticker
	quit    chan struct{}
	stopped sync.WaitGroup
}

func newLines(w http.ResponseWriter) *lines {
	l := &lines{w: w, rc: http.NewResponseController(w), ticker: time.NewTicker(heartbeatEvery), quit: make(chan struct{})}
	l.stopped.Go(func() {
		for {
			select {
			case <-l.ticker.C:
				_ = l.put(nil) // the next write tells
			case <-l.quit:
				return
			}
		}
	})
	return l
}

func (l *lines) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return l.put(b)
}

func (l *lines) put(b []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return l.failed
	}
	if !l.begun {
		l.begun = true
		l.w.Header().Set("Content-Type", "application/x-ndjson")
		l.w.Header().Set("X-Accel-Buffering", "no")
	}
	l.ticker.Reset(heartbeatEvery)
	if _, l.failed = l.w.Write(append(b, '\n')); l.failed == nil {
		l.failed = l.rc.Flush()
	}
	return l.failed
}

// end says why there are no more lines: as a status if none was sent yet, else as a last line.
func (l *lines) end(err error) {
	l.stop()
	switch {
	case err == nil || l.failed != nil:
	case !l.begun:
		writeError(l.w, err)
	default:
		_ = l.write(struct { // the client left
			Error *Error `json:"error"`
		}{statusOf(err)})
	}
}

func (l *lines) stop() {
	select {
	case <-l.quit:
		return
	default:
	}
	close(l.quit)
	l.ticker.Stop()
	l.stopped.Wait()
}
