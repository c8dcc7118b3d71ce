package journal

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

// Both benchmarks make the same bytes durable with the same number of callers that each wait for their own: 4 KiB
// sealed records. The raw one has no tree, no frames, no readers and no recovery: a ceiling, not a log.
const benchBody = 4096

var benchAppenders = []int{1, 16, 64, 256}

// share runs b.N operations on so many goroutines.
func share(b *testing.B, appenders int, f func(i int) error) {
	var wg sync.WaitGroup
	work := make(chan int, appenders)
	b.ResetTimer()
	for range appenders {
		wg.Go(func() {
			for i := range work {
				if err := f(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range benchAppenders {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir := b.TempDir()
			cfg := testConfig(disk.OS())
			cfg.Dir, cfg.AnchorDir = filepath.Join(dir, "log"), filepath.Join(dir, "log.anchor")
			cfg.SegmentBytes, cfg.CheckpointEvery = 0, 0
			l := openLog(b, cfg)
			leaf, body := sealedLeaf(1), testBody(1, benchBody)
			ctx := b.Context()
			b.ReportAllocs()
			b.SetBytes(int64(leaf.Size() + len(body)))
			share(b, n, func(int) error {
				_, err := l.Append(leaf, body).Wait(ctx)
				return err
			})
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// rawLog is group commit and nothing else.
type rawLog struct {
	mu    sync.Mutex
	wake  *sync.Cond
	queue [][]byte
	done  chan struct{}
	shut  bool
}

func (r *rawLog) append(p []byte) {
	r.mu.Lock()
	r.queue = append(r.queue, p)
	done := r.done
	r.wake.Signal()
	r.mu.Unlock()
	<-done
}

func (r *rawLog) write(b *testing.B, f disk.File) {
	var buf []byte
	for {
		r.mu.Lock()
		for len(r.queue) == 0 && !r.shut {
			r.wake.Wait()
		}
		group, done := r.queue, r.done
		r.queue, r.done = make([][]byte, 0, len(group)), make(chan struct{})
		shut := r.shut
		r.mu.Unlock()
		if shut {
			return
		}
		buf = buf[:0]
		for _, p := range group {
			buf = append(buf, p...)
		}
		if _, err := f.Write(buf); err != nil {
			b.Error(err)
		}
		if err := f.Sync(); err != nil {
			b.Error(err)
		}
		close(done)
	}
}

func BenchmarkRawGroupCommit(b *testing.B) {
	for _, n := range benchAppenders {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f, err := disk.OS().Create(filepath.Join(b.TempDir(), "raw"))
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			leaf := sealedLeaf(1)
			record := make([]byte, steno.FrameSize(leaf.Size())+steno.FrameSize(benchBody))
			r := &rawLog{done: make(chan struct{})}
			r.wake = sync.NewCond(&r.mu)
			var ended sync.WaitGroup
			ended.Go(func() { r.write(b, f) })
			b.SetBytes(int64(len(record)))
			share(b, n, func(int) error {
				r.append(record)
				return nil
			})
			r.mu.Lock()
			r.shut = true
			r.wake.Signal()
			r.mu.Unlock()
			ended.Wait()
		})
	}
}
