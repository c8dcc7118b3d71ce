package console

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/serve"
)

// integrityView is the page of the two verdicts. Report is nil until they are computed.
type integrityView struct {
	frame
	Console string // its address, as the reader has it
	Status  *serve.Status
	Report  *steno.Report
	Took    time.Duration
	At      time.Time
}

func (p *pages) integrity(w http.ResponseWriter, r *http.Request) {
	status, err := p.r.Status(r.Context())
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, integrityPage(&integrityView{frame: p.frame("Integrity", "integrity", ""), Console: consoleAddress(r), Status: status}))
}

// verify computes the verdicts. A script is told how far it has come; a form gets the page when it is done.
func (p *pages) verify(w http.ResponseWriter, r *http.Request) {
	v := &integrityView{frame: p.frame("Integrity", "integrity", ""), Console: consoleAddress(r)}
	var progress func(serve.Progress)
	var lines *stream
	if strings.Contains(r.Header.Get("Accept"), "application/x-ndjson") {
		lines = newStream(w)
		progress = func(n serve.Progress) { lines.put(n) } // the context ends it when nobody listens
	}
	fail := func(err error) {
		if lines != nil {
			lines.fail(err)
			return
		}
		p.failed(w, r, err)
	}
	start := time.Now()
	var err error
	if v.Report, err = p.r.Verify(r.Context(), progress); err != nil {
		fail(err)
		return
	}
	v.At, v.Took = time.Now().UTC(), time.Since(start)
	if lines == nil {
		if v.Status, err = p.r.Status(r.Context()); err != nil {
			fail(err)
			return
		}
		p.show(w, r, http.StatusOK, integrityPage(v))
		return
	}
	var b bytes.Buffer
	if err := verdicts(v).Render(r.Context(), &b); err != nil {
		fail(err)
		return
	}
	lines.put(struct {
		HTML string `json:"html"`
	}{b.String()})
}

// verdictWords says what a verdict means.
func verdictWords(what string, v steno.Verdict) string {
	switch {
	case what == "Integrity" && v == steno.Holds:
		return "No byte was changed, removed or added since it was signed."
	case what == "Integrity" && v == steno.Fails:
		return "The log is not what was signed."
	case what == "Completeness" && v == steno.Holds:
		return "What the sources had to say is all there."
	case what == "Completeness" && v == steno.Fails:
		return "Something that should be in the log is not."
	}
	return "It cannot be said: something that is needed could not be looked at."
}

func verdictIcon(v steno.Verdict) string {
	switch v {
	case steno.Holds:
		return "seal"
	case steno.Fails:
		return "failed"
	}
	return "unknown"
}

// consoleAddress is the address by which the reader came here.
func consoleAddress(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func unsignedWords(r *steno.Report) string {
	if r.Unsigned == 0 {
		return ""
	}
	return "; " + count(r.Unsigned, "record") + " after the newest checkpoint"
}

func dayKeys(k *serve.KeyStatus) string {
	s := number(k.DayKeys) + " in force"
	if k.OldestDay != "" {
		s += ", for " + k.OldestDay + " to " + k.NewestDay
	}
	return s
}

func clockWords(c *serve.ClockStatus) string {
	if !c.Known {
		return "the kernel does not say how far it is off"
	}
	s := "not synchronized"
	if c.Synchronized {
		s = "synchronized"
	}
	return s + fmt.Sprintf(", offset %.0f µs, at most %s off", c.OffsetMicros, took(time.Duration(c.MaxErrorUS*float64(time.Microsecond))))
}
