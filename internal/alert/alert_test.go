package alert

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/journal"
	"github.com/steno-audit/steno/internal/seal"
)

// logWith is a log of n records of which every third is an alert, on a file system of its own that never fails.
func logWith(t *testing.T, n int) (*journal.Journal, *seal.Keys, []uint64) {
	t.Helper()
	const origin = "steno.test/alert"
	mem := disk.NewMem()
	keys, err := seal.Create(mem, "/d.keys", origin, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	signer, vkey, err := keys.Signer()
	if err != nil {
		t.Fatal(err)
	}
	j, _, err := journal.Open(t.Context(), journal.Config{FS: mem, Dir: "/d", AnchorDir: "/d.anchor", Origin: origin, Signer: signer, VKey: vkey, CheckpointEvery: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	s := seal.NewSealer(keys, seal.Config{Announce: func(p steno.PublicType, v any) error { _, err := j.Announce(p, v); return err }, Class: "standard", KeepMonths: 24})
	var alerts []uint64
	for i := range n {
		now := time.Now().UTC()
		d := &steno.Draft{Event: steno.Event{ID: steno.NewID(now), Type: "security.record_read", Time: now, Identity: &steno.Identity{User: "canary-user"}, System: &steno.System{Action: "read"}}}
		if i%3 == 1 {
			d.Type, d.Flags, d.Exchange = "security.alert", []steno.Flag{"secret"}, steno.NewID(now)
			d.Safety = &steno.Safety{Action: "alert", Findings: []steno.Finding{{Flag: "secret", Rule: fmt.Sprint("rule-", i), Action: "alert"}}}
		}
		x, err := s.Seal(d, now)
		if err != nil {
			t.Fatal(err)
		}
		index, err := j.Append(x.Leaf, x.Body).Wait(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i%3 == 1 {
			alerts = append(alerts, index)
		}
	}
	return j, keys, alerts
}

func config(fs disk.FS, j *journal.Journal, k *seal.Keys) Config {
	return Config{FS: fs, File: "/out/alerts.jsonl", Dir: "/out/followers", Log: j, Keys: k, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// follow runs the follower until it has passed the log's end or stopped by itself.
func follow(t *testing.T, fs disk.FS, j *journal.Journal, k *seal.Keys) error {
	t.Helper()
	if err := fs.MkdirAll("/out"); err != nil {
		return err
	}
	f, err := Start(context.WithoutCancel(t.Context()), config(fs, j, k))
	if err != nil {
		return err
	}
	for f.Passed() < j.Size() {
		select {
		case <-f.done:
			return f.Close()
		default:
		}
	}
	return f.Close()
}

// written returns the leaves of the lines in the file.
func written(t *testing.T, fs disk.FS) []uint64 {
	t.Helper()
	b, err := fs.ReadFile("/out/alerts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var out []uint64
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		var l Line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatalf("%q: %v", s.Text(), err)
		}
		out = append(out, l.Leaf)
	}
	return out
}

func TestEachAlertOnceAndNothingElse(t *testing.T) {
	j, keys, alerts := logWith(t, 20)
	fs := disk.NewMem()
	for range 3 {
		if err := follow(t, fs, j, keys); err != nil {
			t.Fatal(err)
		}
	}
	if got := written(t, fs); fmt.Sprint(got) != fmt.Sprint(alerts) {
		t.Errorf("lines of leaves %v, alerts are %v", got, alerts)
	}
	b, err := fs.ReadFile("/out/alerts.jsonl")
	if err != nil || strings.Contains(string(b), "canary") {
		t.Errorf("the file names whose it was: %v", err)
	}
}

// TestKilledAnywhere stops the follower at each of its operations, in each way that a disk can fail, then lets power fail or
// only the process die, and starts it again.
func TestKilledAnywhere(t *testing.T) {
	j, keys, alerts := logWith(t, 8)
	faults := map[string]disk.Fault{
		"crash": {Crash: true}, "crash, persisted": {Crash: true, Applied: true}, "EIO": {Err: syscall.EIO}, "EIO, persisted": {Err: syscall.EIO, Applied: true},
		"ENOSPC": {Err: syscall.ENOSPC}, "short write": {Err: syscall.ENOSPC, Short: 7},
	}
	for name, fault := range faults {
		for k := 0; ; k++ {
			fs, fired := disk.NewMem(), false
			start := fs.Ops()
			fs.Fault(func(op disk.Op) disk.Fault {
				if op.N-start == k || (fault.Crash && fired) {
					fired = true
					return fault
				}
				return disk.Fault{}
			})
			err := follow(t, fs, j, keys)
			if !fired {
				break
			}
			fs.Fault(nil)
			for i, wreck := range []*disk.Mem{fs.Crash(nil), fs.Crash(rand.New(rand.NewSource(int64(2 * k)))), fs.Crash(rand.New(rand.NewSource(int64(2*k + 1)))), fs.Restart()} {
				if err := follow(t, wreck, j, keys); err != nil {
					t.Fatalf("%s at operation %d (%v), wreck %d: the next start: %v", name, k, err, i, err)
				}
				if got := written(t, wreck); fmt.Sprint(got) != fmt.Sprint(alerts) {
					t.Fatalf("%s at operation %d (%v), wreck %d: lines of leaves %v, alerts are %v", name, k, err, i, got, alerts)
				}
				// What it says is written stays so when power fails now.
				if got := written(t, wreck.Crash(nil)); fmt.Sprint(got) != fmt.Sprint(alerts) {
					t.Fatalf("%s at operation %d, wreck %d, power fails later: lines of leaves %v, alerts are %v", name, k, i, got, alerts)
				}
			}
		}
	}
}
