package serve

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	heartbeatEvery = 15 * time.Second // a blank line in a tail that has nothing to say
)

// Policy is the Content-Security-Policy of the console's pages: nothing from outside, nothing inline.
const Policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Handler serves the console's listener: the API, the log, health and login; all other paths are the console's, for who
// has the token.
func Handler(r *Reader, token string, console http.Handler) http.Handler {
	d := newDoor(r, token)
	a := &api{r: r}
	calls := http.NewServeMux()
	calls.HandleFunc("GET /api/exchanges", a.exchanges)
	calls.HandleFunc("GET /api/exchanges/{id}", a.exchange)
	calls.HandleFunc("GET /api/exchanges/{id}/raw/{side}", a.raw)
	calls.HandleFunc("GET /api/events", a.events)
	calls.HandleFunc("GET /api/tail", a.tail)
	calls.HandleFunc("GET /api/count", a.count)
	calls.HandleFunc("GET /api/values", a.values)
	calls.HandleFunc("GET /api/status", a.status)
	calls.HandleFunc("GET /api/lineage/{id}", a.lineage)
	calls.HandleFunc("GET /api/governance", a.governance)
	calls.HandleFunc("GET /api/monitoring", a.monitoring)
	calls.HandleFunc("POST /api/verify", a.verify)
	calls.HandleFunc("/api/", func(w http.ResponseWriter, q *http.Request) {
		writeError(w, &Error{Status: http.StatusNotFound, Message: "the API has no " + q.Method + " " + q.URL.Path})
	})
	mux := http.NewServeMux()
	mux.Handle("/api/", d.guard(calls))
	mux.Handle("/log/", http.StripPrefix("/log", r.cfg.Log.Handler())) // ciphertext and public leaves: no token
	mux.Handle("/-/", Health(r, r.cfg.Metrics))
	mux.HandleFunc("GET /login", d.login)
	mux.HandleFunc("POST /login", d.login)
	mux.Handle("/", d.guardPages(console))
	// A page of another origin may not send what changes anything, even where the browser would add the cookie.
	return secure(http.NewCrossOriginProtection().Handler(mux))
}

// Health serves what is asked without a token: /-/healthy, /-/ready, /-/metrics.
func Health(r *Reader, metrics *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "ok\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := r.cfg.Log.Failed(); err != nil {
			writeText(w, http.StatusServiceUnavailable, "the log cannot be written\n")
			return
		}
		writeText(w, http.StatusOK, "ok\n")
	})
	if metrics != nil {
		mux.Handle("GET /-/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	}
	return mux
}

func secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head := w.Header()
		head.Set("Content-Security-Policy", Policy)
		head.Set("X-Content-Type-Options", "nosniff")
		head.Set("X-Frame-Options", "DENY")
		head.Set("Referrer-Policy", "no-referrer")
		head.Set("Cross-Origin-Opener-Policy", "same-origin")
		head.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.ServeHTTP(w, r)
	})
}

// guard lets requests with a token or a session through to the API.
func (d *door) guard(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		ok, reason := d.authorize(r)
		if ok {
			h.ServeHTTP(w, r)
			return
		}
		d.refused(r, reason)
		w.Header().Set("WWW-Authenticate", `Bearer realm="steno"`)
		e := &Error{Status: http.StatusUnauthorized, Message: "the console's token is needed", Hint: "send it as Authorization: Bearer TOKEN (--token or STENO_TOKEN); it is printed when steno starts and kept in DATA.keys/token"}
		if reason != "no_token" {
			e.Message = "that is not the console's token"
		}
		writeError(w, e)
	})
}

// guardPages shows who has no session the page that asks for the token.
func (d *door) guardPages(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		ok, reason := d.authorize(r)
		switch {
		case ok:
			h.ServeHTTP(w, r)
		case reason == "no_token": // not a try, a visit
			next := "/"
			if r.Method == http.MethodGet {
				next = r.URL.RequestURI()
			}
			d.page(w, http.StatusUnauthorized, loginPage{Next: next})
		default:
			d.refused(r, reason)
			d.page(w, http.StatusUnauthorized, loginPage{Next: "/"})
		}
	})
}

// api answers JSON.
type api struct{ r *Reader }

func (a *api) exchanges(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query(), time.Now(), "type", "log")
	if err != nil {
		writeError(w, err)
		return
	}
	page, err := a.r.Exchanges(r.Context(), actorOf(r, "api"), q)
	answer(w, page, err)
}

func (a *api) events(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query(), time.Now(), "document", "prompt")
	if err != nil {
		writeError(w, err)
		return
	}
	page, err := a.r.Events(r.Context(), actorOf(r, "api"), q)
	answer(w, page, err)
}

func reveal(r *http.Request) (Options, error) {
	for name := range r.URL.Query() {
		if name != "reveal" {
			return Options{}, badRequest("reveal=1 is the only one", "there is no parameter %q here", name)
		}
	}
	switch v := r.URL.Query().Get("reveal"); v {
	case "", "0":
		return Options{}, nil
	case "1":
		return Options{Reveal: true}, nil
	default:
		return Options{}, badRequest("it is 1 or 0", "reveal=%s is neither yes nor no", v)
	}
}

func (a *api) exchange(w http.ResponseWriter, r *http.Request) {
	o, err := reveal(r)
	if err != nil {
		writeError(w, err)
		return
	}
	x, err := a.r.Exchange(r.Context(), actorOf(r, "api"), r.PathValue("id"), o)
	answer(w, x, err)
}

func (a *api) raw(w http.ResponseWriter, r *http.Request) {
	o, err := reveal(r)
	if err != nil {
		writeError(w, err)
		return
	}
	raw, err := a.r.Raw(r.Context(), actorOf(r, "api"), r.PathValue("id"), r.PathValue("side"), o)
	if err != nil {
		writeError(w, err)
		return
	}
	h := w.Header()
	// Whatever the body is, a browser must not run it.
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Content-Disposition", `attachment; filename="`+raw.ID.String()+"."+raw.Side+`"`)
	h.Set("Content-Length", strconv.Itoa(len(raw.Bytes)))
	h.Set("X-Steno-Exchange", raw.ID.String())
	h.Set("X-Steno-Sha256", raw.Body.SHA256)
	_, _ = w.Write(raw.Bytes) // the client left
}

func (a *api) count(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	step, err := parseStep(v.Get("step"))
	if err != nil {
		writeError(w, err)
		return
	}
	v.Del("step")
	q, err := parseQuery(v, time.Now(), "type", "log", "limit", "before", "after")
	if err != nil {
		writeError(w, err)
		return
	}
	counts, err := a.r.Count(r.Context(), actorOf(r, "api"), q, step)
	answer(w, counts, err)
}

func (a *api) values(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	values, err := a.r.Values(r.Context(), actorOf(r, "api"), v.Get("field"), v.Get("prefix"))
	answer(w, struct {
		Values []string `json:"values"`
	}{values}, err)
}

func (a *api) status(w http.ResponseWriter, r *http.Request) {
	s, err := a.r.Status(r.Context())
	answer(w, s, err)
}

func (a *api) lineage(w http.ResponseWriter, r *http.Request) {
	l, err := a.r.Lineage(r.Context(), actorOf(r, "api"), r.PathValue("id"))
	answer(w, l, err)
}

func (a *api) governance(w http.ResponseWriter, r *http.Request) {
	rows, err := a.r.Governance(r.Context(), actorOf(r, "api"))
	answer(w, struct {
		Rows []Governed `json:"rows"`
	}{rows}, err)
}

func (a *api) monitoring(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	since, err := ParseTime(v.Get("since"), time.Now())
	if err != nil {
		writeError(w, badRequest("", "since: %v", err))
		return
	}
	rows, err := a.r.Monitoring(r.Context(), actorOf(r, "api"), v.Get("model"), since)
	answer(w, struct {
		Rows []ModelDay `json:"rows"`
	}{rows}, err)
}

// tail streams one JSON object a line, a blank line now and then, until the client goes.
func (a *api) tail(w http.ResponseWriter, r *http.Request) {
	v := r.URL.Query()
	events := v.Get("events") == "1"
	v.Del("events")
	var unwanted []string
	if !events {
		unwanted = []string{"type", "log"}
	}
	q, err := parseQuery(v, time.Now(), unwanted...)
	if err != nil {
		writeError(w, err)
		return
	}
	changes, err := a.r.Follow(r.Context(), actorOf(r, "api"), q, events)
	if err != nil {
		writeError(w, err)
		return
	}
	lines := newLines(w)
	defer lines.stop()
	if err := lines.put(nil); err != nil { // the answer begins at once, whatever there is to say
		return
	}
	for c, err := range changes {
		if err != nil {
			lines.end(err)
			return
		}
		if lines.write(c) != nil {
			return
		}
	}
}

// verify streams progress and then the report, one JSON object a line.
func (a *api) verify(w http.ResponseWriter, r *http.Request) {
	lines := newLines(w)
	defer lines.stop()
	report, err := a.r.Verify(r.Context(), func(p Progress) {
		_ = lines.write(struct { // who does not listen does not stop it: the context does
			Progress Progress `json:"progress"`
		}{p})
	})
	if err != nil {
		lines.end(err)
		return
	}
	_ = lines.write(report)
}

func answer(w http.ResponseWriter, v any, err error) {
	if err != nil {
		writeError(w, err)
		return
	}
	b, err := json.Marshal(v)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, '\n')) // the client left
}

func writeError(w http.ResponseWriter, err error) {
	e := statusOf(err)
	if errors.Is(err, context.Canceled) {
		return // nobody listens
	}
	if e.Status == http.StatusInternalServerError {
		slog.Error("a read failed", "error", err)
	}
	b, err := json.Marshal(struct {
		Error *Error `json:"error"`
	}{e})
	if err != nil {
		panic(err) // strings always marshal
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(append(b, '\n')) // the client left
}

func writeText(w http.ResponseWriter, status int, s string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(s)) // the client left
}

func quote(s string) string { return strconv.Quote(s) }

// ReadError reads the error of an answer that is none.
func ReadError(status int, body []byte) *Error {
	var e struct {
		Error *Error `json:"error"`
	}
	if json.Unmarshal(body, &e) != nil || e.Error == nil {
		e.Error = &Error{Message: "the server answered " + strconv.Itoa(status) + " " + http.StatusText(status), Hint: "is this the console's address of a steno server?"}
	}
	e.Error.Status = status
	return e.Error
}
