//go:build bench

// Command bench measures steno against the limits of the machine that it runs on: the model stub alone, a reverse proxy
// that promises nothing, and one that promises as much durability as steno and nothing else. `make bench` runs it and
// writes docs/benchmarks.md.
//
// Each peer is a process of its own. Rounds are interleaved: within one, a cell of the tables is measured for all peers
// one after the other, so that what else the machine does hurts all of them, and only ratios within a round count.
// Afterwards the log is verified, and every answer that the load got must be in it, once.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// options are what the command line says.
type options struct {
	rounds  int
	last    time.Duration
	streams int
	dir     string
	out     string
	quick   bool
}

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "proxy" {
		err = runProxy(os.Args[2:])
	} else {
		err = bench(context.Background(), parseOptions())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseOptions() options {
	var o options
	seconds := flag.Float64("seconds", 1, "how long each peer is measured in each cell of each round")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds; the tables show medians")
	flag.IntVar(&o.streams, "streams", 50_000, "streamed calls through steno of which none may fail")
	flag.StringVar(&o.dir, "dir", "bin", "directory on a real disk; what is written there is removed at the end")
	flag.StringVar(&o.out, "out", "docs/benchmarks.md", "file to write the tables to; empty: none")
	flag.BoolVar(&o.quick, "quick", false, "a smoke run: one short round, a few streams, no file")
	flag.Parse()
	o.last = time.Duration(*seconds * float64(time.Second))
	if o.quick {
		o.rounds, o.last, o.streams, o.out = 1, 200*time.Millisecond, 500, ""
	}
	return o
}

var peerNames = []string{"stub", "bare", "floor", "steno"}

var connCounts = []int{1, 16, 64}

func cells() []cell {
	var all []cell
	for _, history := range []bool{false, true} {
		for _, stream := range []bool{false, true} {
			for _, n := range connCounts {
				all = append(all, cell{stream: stream, history: history, conns: n})
			}
		}
	}
	return all
}

// sample is one peer in one cell of one round.
type sample struct {
	perSecond float64
	cpu       float64 // µs a call
	p50, p99  float64 // ms
}

// results are everything that was measured.
type results struct {
	options  options
	machine  machine
	samples  map[cell]map[string][]sample // by peer, one for each round
	calls    map[string]int
	failures map[string][]string
	events   float64 // of a stream, mean
	streams  streamRun
	journal  []journalRow
	log      logCount
	memory   map[string]float64 // MiB, at most
	began    time.Time
	took     time.Duration

	answered []string // exchanges whose answers came whole
	streamed int      // streamed calls through steno
	shown    int      // their events
}

// streamRun is the hunt for broken streams.
type streamRun struct {
	calls, failed int
	took          time.Duration
}

func bench(ctx context.Context, o options) error {
	kind, err := disk.Type(o.dir)
	if errors.Is(err, os.ErrNotExist) {
		if err = os.MkdirAll(o.dir, 0o755); err == nil {
			kind, err = disk.Type(o.dir)
		}
	}
	if err != nil {
		return err
	}
	if kind == "tmpfs" || kind == "ramfs" {
		return fmt.Errorf("%s is on %s, where nothing is ever durable: give -dir a directory on a real disk", o.dir, kind)
	}
	dir, err := os.MkdirTemp(o.dir, "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	bin := filepath.Join(dir, "steno")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", bin, "./cmd/steno")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as `make build`
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("couldn't build steno: %w: %s", err, out)
	}
	r := &results{
		options: o, samples: map[cell]map[string][]sample{}, calls: map[string]int{}, failures: map[string][]string{},
		memory: map[string]float64{}, began: time.Now(),
	}
	if r.machine, err = describe(dir, kind); err != nil {
		return err
	}
	note("the journal alone")
	if r.journal, err = measureJournal(ctx, dir, o.rounds, min(o.last, time.Second)); err != nil {
		return err
	}
	p, err := startPeers(dir, bin)
	if err != nil {
		return err
	}
	defer p.kill()
	if err := r.measure(p); err != nil {
		return err
	}
	if err := r.stopAndCount(ctx, p, bin); err != nil {
		return err
	}
	r.took, r.machine.loadAfter = time.Since(r.began), loadAverage()
	return r.report()
}

func note(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

// measure makes the rounds, then the run of streams.
func (r *results) measure(p *peers) error {
	for round := range r.options.rounds {
		note("round %d of %d", round+1, r.options.rounds)
		for _, c := range cells() {
			for k := range peerNames {
				// The order turns, so that no peer always follows the same one.
				if err := r.one(p, (k+round)%len(peerNames), c); err != nil {
					return err
				}
			}
		}
	}
	if r.options.streams > 0 {
		note("%d streams", r.options.streams)
		o, err := run(p.steno.addr, cell{stream: true, conns: 16}, 0, r.options.streams)
		if err != nil {
			return err
		}
		r.add(peerNames[3], cell{stream: true}, o)
		r.streams = streamRun{calls: o.calls + len(o.failures), failed: len(o.failures), took: o.elapsed}
	}
	for i, q := range p.all() {
		r.memory[peerNames[i]] = q.peakMemory()
	}
	return nil
}

// one measures a peer in a cell. The CPU time includes what the peer does afterwards because of the load.
func (r *results) one(p *peers, peer int, c cell) error {
	all := p.all()
	for _, q := range all {
		if err := q.settle(); err != nil {
			return err
		}
	}
	q, name := all[peer], peerNames[peer]
	before, err := q.cpu()
	if err != nil {
		return err
	}
	o, err := run(q.addr, c, r.options.last, 0)
	if err != nil {
		return fmt.Errorf("%s, %+v: %w", name, c, err)
	}
	if err := q.settle(); err != nil {
		return err
	}
	after, err := q.cpu()
	if err != nil {
		return err
	}
	if o.calls == 0 {
		return fmt.Errorf("%s, %+v: not one call was answered: %v", name, c, o.failures)
	}
	r.add(name, c, o)
	slices.Sort(o.latency)
	at := func(share float64) float64 {
		return o.latency[int(share*float64(len(o.latency)-1))].Seconds() * 1000
	}
	if r.samples[c] == nil {
		r.samples[c] = map[string][]sample{}
	}
	r.samples[c][name] = append(r.samples[c][name], sample{
		perSecond: float64(o.calls) / o.elapsed.Seconds(),
		cpu:       float64((after - before).Microseconds()) / float64(o.calls+warmUp*c.conns),
		p50:       at(0.5), p99: at(0.99),
	})
	return nil
}

func (r *results) add(peer string, c cell, o *outcome) {
	r.calls[peer] += o.calls
	r.failures[peer] = append(r.failures[peer], o.failures...)
	if peer == "steno" {
		r.answered = append(r.answered, o.ids...)
		if c.stream {
			r.streamed += o.calls
			r.shown += o.events
		}
	}
}

// logCount is what the log has to show for the load.
type logCount struct {
	exchanges, answered int
	records             uint64
	bytes               int64 // of the data directory
	verifyTook          time.Duration
	verify              string
}

// stopAndCount stops steno, verifies its log and counts what is in it.
func (r *results) stopAndCount(ctx context.Context, p *peers, bin string) error {
	if err := p.steno.stop(); err != nil {
		return err
	}
	note("verifying the log")
	began := time.Now()
	out, err := exec.CommandContext(ctx, bin, "verify", p.data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("steno verify: %w:\n%s", err, out)
	}
	r.log = logCount{verifyTook: time.Since(began), verify: string(out), answered: len(r.answered)}
	opened, closed := map[steno.ID]int{}, map[steno.ID]int{}
	rep, err := steno.VerifyDir(ctx, p.data, steno.VerifyOptions{Texts: func(_ uint64, l *steno.Leaf, _ []byte) error {
		if l.Flags&steno.FlagOpens != 0 {
			opened[l.Exchange]++
		}
		if l.Flags&steno.FlagCloses != 0 {
			closed[l.Exchange]++
		}
		return nil
	}})
	if err != nil {
		return err
	}
	r.log.records, r.log.exchanges = rep.Counts.Records, len(opened)
	for _, s := range r.answered {
		id, err := steno.ParseID(s)
		if err != nil {
			return err
		}
		if opened[id] != 1 || closed[id] != 1 {
			return fmt.Errorf("exchange %s was answered; the log opens it %d times and closes it %d times", s, opened[id], closed[id])
		}
		delete(opened, id)
	}
	// What is left are calls whose answers did not come whole.
	if n := len(r.failures["steno"]); len(opened) > n {
		return fmt.Errorf("the log has %d exchanges that no answer named, %d calls failed", len(opened), n)
	}
	return filepath.WalkDir(p.data, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			r.log.bytes += info.Size()
		}
		return err
	})
}
