package index

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// synthetic puts rows into an index as if they came from the log, which would take longer than asking for them.
func synthetic(b testing.TB, x *Index, n, flushRows int) {
	b.Helper()
	day := x.cfg.Keys.DayKeys()[0].No
	for i := range n {
		at := noon.Add(time.Duration(i) * 500 * time.Millisecond)
		id := steno.NewID(at)
		user := fmt.Sprint("user-", i*7919%1000)
		e := &exchange{
			Row: Row{
				ID: id, Time: at, User: user, Model: fmt.Sprint("model-", i%7), AnsweredModel: fmt.Sprint("model-", i%7, "-2026-08-01"),
				Status: "complete", InputTokens: ptr(int64(i % 5000)), OutputTokens: ptr(int64(i % 700)), Cost: ptr("0.00042"),
				LatencyMS: ptr(float64(i%4000) / 3), Flags: []string{}, Conversation: fmt.Sprint("talk-", i/10), Role: "clerk", Key: "k1",
				ResponseID: "chatcmpl-" + id.String()[12:], Provider: "openai", Operation: "chat", HTTPStatus: 200, TTFT: ptr(0.3),
				Leaves: []uint64{uint64(2 * i), uint64(2*i + 1)},
			},
			alias: uint64(1 + i*7919%1000), day: day, opened: true, closed: true,
		}
		if i%100 == 0 {
			e.Flags = []string{"secret"}
		}
		x.newest.exchanges[id] = e
		for k := range 2 {
			x.newest.events = append(x.newest.events, &event{
				EventRow: EventRow{ID: steno.NewID(at), Exchange: id, Time: at, Type: "inference.request", User: user, Flags: e.Flags, Leaf: uint64(2*i + k)},
				alias:    e.alias, day: day,
			})
		}
		if x.newest.rows() >= flushRows {
			if err := x.flush(); err != nil {
				b.Fatal(err)
			}
		}
	}
	x.compacting.Wait()
}

func benchIndex(b *testing.B, n int) *Index {
	b.Helper()
	l := newTestLog(b)
	l.complete(newCall("ana", "m", "", noon))
	cfg := l.config(disk.OS())
	cfg.Dir = b.TempDir() + "/index"
	x := l.index(cfg)
	start := time.Now()
	synthetic(b, x, n, defaultFlushRows)
	var size int64
	for _, p := range x.parts {
		for _, t := range []table{tableExchanges, tableEvents, tableNames} {
			if info, err := cfg.FS.Stat(x.tables.path(p.file(t))); err == nil {
				size += info.Size
			}
		}
	}
	b.Logf("%d exchanges, %d parts, %d bytes each, written and merged in %s", n, len(x.parts), size/int64(n), time.Since(start).Round(time.Millisecond))
	return x
}

// BenchmarkQuery asks an index of 100,000 exchanges, of which all but the newest are in files.
func BenchmarkQuery(b *testing.B) {
	x := benchIndex(b, 100_000)
	mid := exchanges(b, x, Query{Limit: 1, Since: noon, Until: noon.Add(7 * time.Hour)})[0]
	mid, err := x.Exchange(b.Context(), mid.ID)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, f func() (int, error)) {
		b.Run(name, func(b *testing.B) {
			before := cpu()
			for b.Loop() {
				n, err := f()
				if err != nil || n == 0 {
					b.Fatalf("%d rows, %v", n, err)
				}
			}
			b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		})
	}
	list := func(q Query) func() (int, error) {
		q.Limit = 50
		return func() (int, error) {
			rows, _, err := x.Exchanges(b.Context(), q)
			return len(rows), err
		}
	}
	run("newest50", list(Query{}))
	run("oldest50", list(Query{Oldest: true}))
	run("user50", list(Query{User: "user-7"}))
	run("flag50", list(Query{Flag: "secret"}))
	run("conversation", list(Query{Conversation: "talk-17"}))
	run("modelInOneHour", list(Query{Model: "model-3", Since: noon.Add(5 * time.Hour), Until: noon.Add(6 * time.Hour)}))
	run("exchange", func() (int, error) { f, err := x.Find(b.Context(), mid.ID.String()); return len(f.Leaves), err })
	run("prefix", func() (int, error) { f, err := x.Find(b.Context(), mid.ID.String()[:16]); return len(f.Leaves), err })
	run("response", func() (int, error) { f, err := x.Find(b.Context(), mid.ResponseID); return len(f.Leaves), err })
	run("responsePrefix", func() (int, error) { f, err := x.Find(b.Context(), mid.ResponseID[:20]); return len(f.Leaves), err })
	run("count", func() (int, error) { c, err := x.Count(b.Context(), Query{}, time.Hour); return len(c), err })
	run("events50", func() (int, error) { e, _, err := x.Events(b.Context(), Query{Limit: 50}); return len(e), err })
	run("users", func() (int, error) { v, err := x.Values(b.Context(), "user", "user-9", 10); return len(v), err })
}

// cpu is the processor time that the process has taken: the machine may have more to do.
func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkFollow indexes exchanges of two records each from a log.
func BenchmarkFollow(b *testing.B) {
	l := newTestLog(b)
	const n = 2000
	for range n {
		c := newCall("ana", "gpt-5", "x", l.pass(time.Second))
		l.queue(c.requestDraft(), steno.FlagOpens)
		if _, err := l.queue(c.responseDraft(steno.EndComplete), steno.FlagCloses).Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	before := cpu()
	for b.Loop() {
		cfg := l.config(disk.NewMem())
		cfg.FlushRows = 0
		x, err := Open(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		l.caughtUp(x)
		if err := x.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N)/n, "cpu-µs/exchange")
}
