//go:build bench

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

const recordBytes = 4096 // of a sealed body, of a raw record and of an event's new text

var appenderCounts = []int{1, 16, 64, 256}

// writers are the three ways to make 4 KiB durable.
type writers struct {
	raw   *groupLog
	log   *journal.Journal
	rec   *capture.Recorder
	leaf  steno.Leaf
	body  []byte
	bytes []byte // as many as leaf and body have in a segment
}

func openWriters(ctx context.Context, dir string) (*writers, error) {
	const origin = "steno.bench/journal"
	fsys := disk.OS()
	keys, err := seal.Create(fsys, filepath.Join(dir, "journal.keys"), origin, time.Now())
	if err != nil {
		return nil, err
	}
	signer, vkey, err := keys.Signer()
	if err != nil {
		return nil, err
	}
	w := &writers{body: make([]byte, recordBytes)}
	w.log, _, err = journal.Open(ctx, journal.Config{
		FS: fsys, Dir: filepath.Join(dir, "journal"), AnchorDir: filepath.Join(dir, "journal.anchor"), Origin: origin, Signer: signer, VKey: vkey,
	})
	if err != nil {
		return nil, err
	}
	w.rec = capture.NewRecorder(w.log, seal.NewSealer(keys, seal.Config{
		Announce: func(t steno.PublicType, v any) error { _, err := w.log.Announce(t, v); return err },
	}))
	if w.raw, err = openGroupLog(filepath.Join(dir, "raw.log")); err != nil {
		return nil, errors.Join(err, w.log.Close())
	}
	w.leaf = steno.Leaf{Sections: steno.SectionIdentity | steno.SectionPrompt | steno.SectionMetadata, DayKey: 1, Commitments: make([][32]byte, 3)}
	for _, p := range [][]byte{w.body, w.leaf.Record[:], w.leaf.Seal[:], w.leaf.Commitments[0][:]} {
		if _, err := rand.Read(p); err != nil {
			return nil, err
		}
	}
	w.bytes = make([]byte, steno.FrameSize(w.leaf.Size())+steno.FrameSize(len(w.body)))
	return w, nil
}

func (w *writers) close() error { return errors.Join(w.raw.close(), w.log.Close()) }

// event is the record of a request such as the gateway makes it.
func event() *steno.Draft {
	now := time.Now().UTC()
	return &steno.Draft{
		Event: steno.Event{
			ID: steno.NewID(now), Type: "inference.request", Exchange: steno.NewID(now), Time: now,
			Identity: &steno.Identity{User: "bench-app", UserSource: "key", Tenant: "acme", Role: "service", Key: "bench", Auth: "key", Address: "127.0.0.1"},
			Model:    &steno.Model{Provider: "openai", Operation: "chat", Asked: "gpt-4o-mini", Dialect: "openai", Method: "POST", Path: "/v1/chat/completions"},
			Prompt:   &steno.Prompt{Bytes: recordBytes},
			Timing:   &steno.Timing{Received: now},
		},
		Request: []steno.Piece{
			{Kind: steno.KindFrame, Bytes: corpus[:400]},
			{Kind: steno.KindInput, Bytes: excerpt(recordBytes)},
		},
	}
}

// journalRow is one number of appenders; a rate for each round.
type journalRow struct {
	appenders           int
	raw, sealed, events []float64
}

// measureJournal makes the rounds of the journal alone: raw group commit, appends of sealed records, and events from
// plain text on.
func measureJournal(ctx context.Context, dir string, rounds int, last time.Duration) (_ []journalRow, err error) {
	w, err := openWriters(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	rows := make([]journalRow, len(appenderCounts))
	for round := range rounds {
		for i, n := range appenderCounts {
			row := &rows[i]
			row.appenders = n
			ways := []struct {
				to *[]float64
				f  func() error
			}{
				{&row.raw, func() error { return w.raw.append(w.bytes) }},
				{&row.sealed, func() error {
					_, err := w.log.Append(w.leaf, w.body).Wait(ctx)
					return err
				}},
				{&row.events, func() error {
					_, err := w.rec.Record(ctx, event(), 0)
					return err
				}},
			}
			for k := range ways {
				way := ways[(k+round)%len(ways)]
				rate, err := rate(n, last, way.f)
				if err != nil {
					return nil, fmt.Errorf("the journal, %d appenders: %w", n, err)
				}
				*way.to = append(*way.to, rate)
			}
		}
	}
	return rows, nil
}

// rate runs f in so many goroutines for a time and returns how often a second it ended.
func rate(goroutines int, last time.Duration, f func() error) (float64, error) {
	var n atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, goroutines)
	began := time.Now()
	for i := range goroutines {
		wg.Go(func() {
			for errs[i] == nil && time.Since(began) < last {
				errs[i] = f()
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}
