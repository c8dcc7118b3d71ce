//go:build bench

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/steno-audit/steno/internal/disk"
)

// machine is what a reader has to know to compare.
type machine struct {
	cpu, kernel, fs string
	cores           int
	sync            time.Duration // of 4 KiB appended, median
	load, loadAfter string        // before the first measurement and after the last
}

func describe(dir, kind string) (machine, error) {
	m := machine{cpu: "unknown CPU", fs: kind, cores: runtime.NumCPU()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				m.cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		m.kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	}
	m.load = loadAverage()
	f, err := disk.OS().Create(dir + "/sync")
	if err != nil {
		return m, err
	}
	defer f.Close()
	var took []float64
	page := make([]byte, recordBytes)
	for range 100 {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return m, err
		}
		if err := f.Sync(); err != nil {
			return m, err
		}
		took = append(took, float64(time.Since(began)))
	}
	m.sync = time.Duration(median(took))
	return m, nil
}

// loadAverage is that of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	load, _, _ := strings.Cut(string(b), " ")
	return load
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}

// each takes a number from every round.
func each(s []sample, f func(sample) float64) []float64 {
	out := make([]float64, len(s))
	for i := range s {
		out[i] = f(s[i])
	}
	return out
}

func perSecond(s sample) float64 { return s.perSecond }

// ratios divides round by round.
func ratios(a, b []float64) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i] / b[i]
	}
	return out
}

// ratio is the median of what peer did in each round against what other did in the same.
func (r *results) ratio(c cell, peer, other string) float64 {
	s := r.samples[c]
	return median(ratios(each(s[peer], perSecond), each(s[other], perSecond)))
}

// added is the median of what a peer's p50 has over another's in each round, in milliseconds.
func (r *results) added(c cell, peer, other string) float64 {
	a, b := r.samples[c][peer], r.samples[c][other]
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i].p50 - b[i].p50
	}
	return median(out)
}

func (c cell) title() string {
	what := "Plain answer of 1 KiB"
	if c.stream {
		what = "Streamed answer"
	}
	if c.history {
		return what + ", request with 32 KiB of history"
	}
	return what + ", request of 2 KiB"
}

func (c cell) connections() string {
	if c.conns == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", c.conns)
}

func (c cell) short() string {
	kind, size := "plain", "2 KiB"
	if c.stream {
		kind = "streamed"
	}
	if c.history {
		size = "32 KiB"
	}
	return kind + ", " + size
}

func (r *results) report() error {
	var b bytes.Buffer
	r.writeHead(&b)
	r.writeAims(&b)
	r.writeCells(&b)
	r.writeJournal(&b)
	r.writeProof(&b)
	if _, err := os.Stdout.Write(b.Bytes()); err != nil {
		return err
	}
	if r.options.out == "" {
		return nil
	}
	return os.WriteFile(r.options.out, b.Bytes(), 0o644)
}

func (r *results) writeHead(b *bytes.Buffer) {
	m := &r.machine
	fmt.Fprintf(b, `# Benchmarks

Written by `+"`make bench`"+`; to see what they say of another machine, run it there.

| | |
|---|---|
| Date | %s |
| Machine | %s, %d cores, %s, %s; %.2f ms to append 4 KiB durably (median of 100) |
| Load | %s before, %s after (average of a minute, the second with the benchmark's own). What else runs hurts all peers of a round alike: compare ratios, not absolute numbers |
| Go | %s |
| Command | make bench: %d rounds, %s each peer in each cell; took %s |

`, r.began.UTC().Format("2006-01-02 15:04 UTC"), m.cpu, m.cores, m.kernel, m.fs, m.sync.Seconds()*1000, m.load, m.loadAfter, runtime.Version(),
		r.options.rounds, r.options.last, r.took.Round(time.Second))
	fmt.Fprintf(b, `Four peers, each a process of its own; the load and the model stub share the cores with them.

- **stub**: the model stub, called directly. What the load and the upstream cost.
- **bare**: Go's httputil.ReverseProxy, the body read before it is forwarded. Promises nothing.
- **floor**: the same, and the raw bytes are made durable by group commit (one write and fdatasync for all who wait) before
  the call is forwarded and before the last byte of the answer: steno's promise of durability and none of its others.
- **steno**: `+"`steno serve`"+` with its defaults: parsed, checked for secrets and injection, sealed field by field, in a signed
  tree, indexed.

Every call has new text: %d bytes of it in a request of 2 KiB, %d bytes after 32 KiB of a conversation's earlier turns, which
steno has stored once and refers to. A streamed answer has %.0f events on average. Rounds are interleaved; a number is the median over
the rounds, a ratio the median of the rounds' ratios. CPU is the peer's own, work that it puts off included.

`, newScript(cell{}).new, newScript(cell{history: true}).new, float64(r.shown)/float64(max(r.streamed, 1)))
}

// aim is what was wanted of a cell: a share of the floor's throughput.
func aim(c cell) float64 {
	if c.conns > 16 {
		return 0.65
	}
	return 0.85
}

func met(ok bool) string {
	if ok {
		return "met"
	}
	return "**missed**"
}

func (r *results) writeAims(b *bytes.Buffer) {
	fmt.Fprintf(b, "## Aims and results\n\n| What | Aim | Result | |\n|---|---|---|---|\n")
	missed := 0
	line := func(ok bool, what, aim, result string, args ...any) {
		if !ok {
			missed++
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", what, aim, fmt.Sprintf(result, args...), met(ok))
	}
	for _, c := range cells() {
		got := r.ratio(c, "steno", "floor")
		line(got >= aim(c), fmt.Sprintf("Calls/s against the floor, %s, %s", c.short(), c.connections()), fmt.Sprintf("≥ %.0f %%", aim(c)*100), "%.0f %%", got*100)
	}
	for _, c := range cells() {
		if c.conns == 1 {
			got := r.added(c, "steno", "floor")
			line(got <= 0.5, "p50 over the floor's, "+c.short()+", 1 connection", "≤ 0.5 ms", "%+.2f ms", got)
		}
	}
	failed := len(r.failures["steno"])
	if r.options.streams > 0 {
		line(r.streams.failed == 0, "Streams that fail", fmt.Sprintf("0 of %d", r.options.streams), "%d of %d, in %s (%.0f/s)",
			r.streams.failed, r.streams.calls, r.streams.took.Round(time.Second), float64(r.streams.calls)/r.streams.took.Seconds())
	}
	line(failed == 0, "Calls through steno that fail, of all", "0", "%d of %d", failed, r.calls["steno"]+failed)
	fmt.Fprintf(b, "\n%d of these are missed.\n\n", missed)
	for _, name := range peerNames {
		for i, f := range r.failures[name] {
			if i == 10 {
				fmt.Fprintf(b, "- %s: … and %d more\n", name, len(r.failures[name])-i)
				break
			}
			fmt.Fprintf(b, "- %s: %s\n", name, f)
		}
	}
}

func (r *results) writeCells(b *bytes.Buffer) {
	for _, c := range cells() {
		if c.conns == connCounts[0] {
			fmt.Fprintf(b, "\n## %s\n\n| Connections | Peer | Calls/s | CPU µs a call | p50 ms | p99 ms | of the floor | of bare |\n|---:|---|---:|---:|---:|---:|---:|---:|\n", c.title())
		}
		for _, name := range peerNames {
			s := r.samples[c][name]
			ofFloor, ofBare := "", ""
			if name == "steno" {
				ofFloor = fmt.Sprintf("%.0f %%", 100*r.ratio(c, name, "floor"))
			}
			if name == "steno" || name == "floor" {
				ofBare = fmt.Sprintf("%.0f %%", 100*r.ratio(c, name, "bare"))
			}
			fmt.Fprintf(b, "| %d | %s | %.0f | %.0f | %.2f | %.2f | %s | %s |\n", c.conns, name, median(each(s, perSecond)),
				median(each(s, func(s sample) float64 { return s.cpu })), median(each(s, func(s sample) float64 { return s.p50 })),
				median(each(s, func(s sample) float64 { return s.p99 })), ofFloor, ofBare)
		}
	}
}

func (r *results) writeJournal(b *bytes.Buffer) {
	fmt.Fprint(b, `
## The log alone

How often a second 4 KiB become durable, each appender waiting for its own: by raw group commit on a growing file (no tree,
no frames, no readers, no recovery), appended to the journal as sealed records, and as events from plain text on (encoded,
split, sealed, appended).

| Appenders | Raw group commit/s | Sealed appends/s | of raw | Plain events/s | of raw |
|---:|---:|---:|---:|---:|---:|
`)
	for _, w := range r.journal {
		fmt.Fprintf(b, "| %d | %.0f | %.0f | %.0f %% | %.0f | %.0f %% |\n", w.appenders, median(w.raw), median(w.sealed), 100*median(ratios(w.sealed, w.raw)),
			median(w.events), 100*median(ratios(w.events, w.raw)))
	}
}

func (r *results) writeProof(b *bytes.Buffer) {
	l := &r.log
	fmt.Fprintf(b, `
## Afterwards

`+"`steno verify`"+` of the log that all of this wrote: exit 0, in %s. It holds %d records of %d exchanges; each of the %d exchanges
that an answer named is opened once and closed once. The data directory has %.1f MiB, %.0f bytes an exchange. Largest resident
memory: steno %.0f MiB, floor %.0f MiB, bare %.0f MiB.
`, l.verifyTook.Round(100*time.Millisecond), l.records, l.exchanges, l.answered, float64(l.bytes)/(1<<20), float64(l.bytes)/float64(max(l.exchanges, 1)),
		r.memory["steno"], r.memory["floor"], r.memory["bare"])
}
