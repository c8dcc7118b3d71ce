package steno_test

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// start adds a record of a source of its own that follows another.
func (l *testLog) start(t testing.TB, source byte, previous [16]byte, number uint64) *entry {
	e := l.public(t, steno.TypeSourceStarted, steno.SourceStarted{
		Name: "gateway", Previous: previous[:], PreviousNumber: number, HeartbeatNS: int64(10 * time.Second), ExchangeTimeout: int64(time.Minute),
	})
	e.leaf.Source, e.leaf.Number = [16]byte{source}, 1
	return e
}

func TestVerifyCompleteness(t *testing.T) {
	beat := func(l *testLog, after time.Duration) {
		l.public(t, steno.TypeHeartbeat, steno.Heartbeat{}).after = after
	}
	for _, c := range []struct {
		name string
		exit int
		says string
		log  func(l *testLog)
		live bool
	}{
		{name: "stopped", exit: 0, log: func(l *testLog) { l.stop(t) }},
		{name: "not stopped", exit: 5, says: "neither stopped", log: func(*testLog) {}},
		{name: "not stopped, live", exit: 0, live: true, log: func(*testLog) {}},
		{name: "a number is missing", exit: 4, says: "number 3 of source aa010000 (gateway) is missing", log: func(l *testLog) {
			l.sealed(0, 0, 9).leaf.Number = 4
			l.stop(t)
		}},
		{name: "numbers are missing", exit: 4, says: "numbers 3 to 9", log: func(l *testLog) {
			l.sealed(0, 0, 9).leaf.Number = 10
			l.stop(t)
		}},
		{name: "a latecomer fills its place", exit: 0, log: func(l *testLog) {
			l.sealed(0, 0, 9).leaf.Number = 4
			l.sealed(0, 0, 9).leaf.Number = 3
			l.stop(t)
			l.entries[4].leaf.Number = 5
		}},
		{name: "a number repeated", exit: 4, says: "occurs a second time", log: func(l *testLog) {
			l.sealed(0, 0, 9)
			l.sealed(0, 0, 9).leaf.Number = 3
			l.stop(t)
		}},
		{name: "no number", exit: 4, says: "carries no number", log: func(l *testLog) {
			l.sealed(0, 0, 9).leaf.Number = 0
			l.stop(t)
			l.entries[3].leaf.Number = 3
		}},
		{name: "a gap", exit: 4, says: "let 3 calls pass unrecorded from 2026-09-21T14:13:20Z", log: func(l *testLog) {
			l.public(t, steno.TypeLogGap, steno.LogGap{From: testStart, To: testStart + 1, FirstNumber: 3, LastNumber: 5, Calls: 3, Why: "disk\x1b full"}).leaf.Number = 6
			l.stop(t)
		}},
		{name: "never started", exit: 4, says: "without saying that it started", log: func(l *testLog) {
			l.stop(t)
			e := l.sealed(0, 0, 9)
			e.leaf.Source, e.leaf.Number = [16]byte{7}, 1
			l.stop(t)
		}},
		{name: "writes after its end", exit: 4, says: "although it is over", log: func(l *testLog) {
			l.stop(t)
			l.sealed(0, 0, 9)
		}},
		{name: "killed and followed", exit: 0, log: func(l *testLog) {
			l.sealed(0, 0, 9)
			l.start(t, 5, testSource, 3)
			l.stop(t)
		}},
		{name: "killed and followed by one that knows more", exit: 4, says: "ends with number 3, the one that follows it says 5", log: func(l *testLog) {
			l.sealed(0, 0, 9)
			l.start(t, 5, testSource, 5)
			l.stop(t)
		}},
		{name: "stopped and followed by one that knows more", exit: 4, says: "ends with number 3", log: func(l *testLog) {
			l.stop(t)
			l.start(t, 5, testSource, 4)
			l.stop(t)
		}},
		{name: "follows one that is not there", exit: 4, says: "of which the log has none", log: func(l *testLog) {
			l.stop(t)
			l.start(t, 5, [16]byte{99}, 4)
			l.stop(t)
		}},
		{name: "beats", exit: 0, log: func(l *testLog) {
			beat(l, 20*time.Second)
			beat(l, 20*time.Second)
			l.stop(t)
		}},
		{name: "silent between beats", exit: 4, says: "no sign of life for 20.001s", log: func(l *testLog) {
			beat(l, 20*time.Second)
			beat(l, 20*time.Second+time.Millisecond)
			l.stop(t)
		}},
		{name: "silent before the stop", exit: 4, says: "no sign of life", log: func(l *testLog) {
			l.stop(t)
			l.entries[2].after = 21 * time.Second
		}},
		{name: "silent before its last record", exit: 4, live: true, says: "no sign of life", log: func(l *testLog) {
			l.sealed(0, 0, 9).after = 21 * time.Second
		}},
		{name: "an exchange that is young", exit: 0, log: func(l *testLog) {
			l.sealed(steno.FlagOpens, 1, 9)
			l.stop(t)
		}},
		{name: "an exchange that is never closed", exit: 4, says: "opened here and never closed", log: func(l *testLog) {
			l.sealed(steno.FlagOpens, 1, 9)
			for range 4 {
				beat(l, 16*time.Second)
			}
			l.stop(t)
		}},
		{name: "an exchange that goes on", exit: 0, log: func(l *testLog) {
			l.sealed(steno.FlagOpens, 1, 9)
			beat(l, 16*time.Second)
			beat(l, 16*time.Second)
			l.sealed(steno.FlagContinues, 1, 9)
			beat(l, 16*time.Second)
			beat(l, 16*time.Second)
			l.stop(t)
		}},
		{name: "closed and not open", exit: 4, says: "is closed here and was not open", log: func(l *testLog) {
			l.sealed(steno.FlagCloses, 1, 9)
			l.stop(t)
		}},
		{name: "continued and not open", exit: 4, says: "is continued here and was not open", log: func(l *testLog) {
			l.sealed(steno.FlagContinues, 1, 9)
			l.stop(t)
		}},
		{name: "opened twice", exit: 4, says: "opened a second time", log: func(l *testLog) {
			l.sealed(steno.FlagOpens, 1, 9)
			l.sealed(steno.FlagOpens, 1, 9)
			l.sealed(steno.FlagCloses, 1, 9)
			l.stop(t)
		}},
		{name: "an alert of an exchange", exit: 0, log: func(l *testLog) {
			l.sealed(steno.FlagOpens, 1, 9)
			l.sealed(steno.FlagCloses, 1, 9)
			l.sealed(0, 1, 9)
			l.stop(t)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newTestLog(t)
			c.log(l)
			for i := range l.entries { // whatever happens to the sources, the state frame between has to agree
				l.entries[i].roll = i > 0 && i == len(l.entries)/2
			}
			r := verify(t, l.build(t).write(t), steno.VerifyOptions{Live: c.live})
			wantExit(t, r, c.exit)
			if !strings.Contains(faults(r), c.says) {
				t.Errorf("it does not say %q: %s", c.says, faults(r))
			}
			if strings.Contains(faults(r), "\x1b") {
				t.Error("control characters of the log come through")
			}
		})
	}
}

// TestVerifyGrowingLog verifies while the log grows group by group.
func TestVerifyGrowingLog(t *testing.T) {
	l := newTestLog(t)
	for i := range 400 {
		e := l.sealed(0, 0, 1000)
		e.apart, e.roll, e.after = i%4 == 0, i%100 == 99, time.Millisecond
	}
	l.build(t)
	begin := &testLog{signer: l.signer, vkey: l.vkey, entries: slices.Clone(l.entries[:101])}
	begin.build(t)
	dir := (&testLog{files: map[string][]byte{"steno.json": l.files["steno.json"], "journal/x": nil}}).write(t)
	ctx, cancel := context.WithCancel(t.Context())
	started, grown, turn := make(chan struct{}), make(chan error, 1), make(chan struct{})
	go func() {
		defer cancel()
		grown <- l.grow(dir, begin.files["checkpoint"], func() { close(started) }, turn)
	}()
	<-started
	runs, most := 0, uint64(0)
	for ctx.Err() == nil {
		select {
		case turn <- struct{}{}: // the pieces of this turn are written while the log is read
		case <-ctx.Done():
		}
		r := verify(t, dir, steno.VerifyOptions{Live: true})
		if r.Exit() != 0 || r.Size < most {
			t.Fatalf("after %d leaves %d: %s", most, r.Size, faults(r))
		}
		runs, most = runs+1, r.Size
	}
	if err := <-grown; err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir, steno.VerifyOptions{Live: true}); r.Size != uint64(len(l.entries)) || runs < 10 {
		t.Errorf("%d leaves, %d runs", r.Size, runs)
	}
}

// grow writes the files as a writer does: a segment gets its name when header and state are whole, and grows in pieces
// that know nothing of groups. The checkpoint is that of the first segment.
func (l *testLog) grow(dir string, checkpoint []byte, signed func(), turn <-chan struct{}) error {
	pieces := 0
	for _, name := range l.made {
		b := l.files[name]
		h, err := steno.ParseFrameHeader(b[steno.SegmentHeaderSize:])
		if err != nil {
			return err
		}
		n := steno.SegmentHeaderSize + steno.FrameSize(h.Length)
		if name == l.made[0] {
			n = len(b)
		}
		path := diskPath(dir, name)
		if err := os.WriteFile(path+".tmp", b[:n], 0o644); err != nil {
			return err
		}
		if err := os.Rename(path+".tmp", path); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		for b = b[n:]; len(b) > 0; b = b[min(777, len(b)):] {
			if pieces++; pieces%20 == 0 {
				<-turn
			}
			if _, err := f.Write(b[:min(777, len(b))]); err != nil {
				return err
			}
		}
		if err := f.Close(); err != nil {
			return err
		}
		if name == l.made[0] {
			if err := os.WriteFile(diskPath(dir, "checkpoint"), checkpoint, 0o644); err != nil {
				return err
			}
			signed()
		}
	}
	return nil
}

func TestVerifyCancelled(t *testing.T) {
	dir := smallLog(t).build(t).write(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r, err := steno.VerifyDir(ctx, dir, steno.VerifyOptions{}); err == nil {
		t.Errorf("%+v", r)
	}
}

func TestVerifyProgress(t *testing.T) {
	l := newTestLog(t)
	for range 5 {
		l.sealed(0, 0, 1<<20)
	}
	l.stop(t)
	var seen []int64
	verify(t, l.build(t).write(t), steno.VerifyOptions{Progress: func(done, total int64) {
		if total != int64(len(l.files[l.made[0]])) {
			t.Errorf("total %d", total)
		}
		seen = append(seen, done)
	}})
	if len(seen) < 5 || !slices.IsSorted(seen) || seen[len(seen)-1] != int64(len(l.files[l.made[0]])) {
		t.Errorf("progress %v", seen)
	}
}

func TestVerifyFiles(t *testing.T) {
	l := smallLog(t).build(t)
	dir := l.write(t)
	file := func(name string, o steno.VerifyOptions) *steno.Report {
		t.Helper()
		r, err := steno.VerifyFile(t.Context(), diskPath(dir, name), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, name := range l.made {
		if r := file(name, steno.VerifyOptions{}); r.Integrity.Verdict != steno.Unknown || r.Exit() != 5 {
			t.Errorf("%s: %s", name, faults(r))
		}
		for pos := range l.files[name] {
			b := bytes.Clone(l.files[name])
			b[pos] ^= 0x10
			put(t, dir, name, b)
			if r := file(name, steno.VerifyOptions{}); r.Integrity.Verdict == steno.Holds {
				t.Errorf("%s byte %d: %s", name, pos, faults(r))
			}
		}
		put(t, dir, name, l.files[name])
	}
	last := l.made[2]
	o := steno.VerifyOptions{VKey: l.vkey, Checkpoint: l.files["checkpoint"]}
	if r := file(last, o); r.Integrity.Verdict != steno.Holds || r.Trust != steno.TrustCheckpoint || r.Size != 12 {
		t.Errorf("against the checkpoint: %s", faults(r))
	}
	if r := file(l.made[0], o); r.Integrity.Verdict != steno.Unknown {
		t.Errorf("a checkpoint beyond it: %s", faults(r))
	}
	if r := file("checkpoint", steno.VerifyOptions{VKey: l.vkey}); r.Integrity.Verdict != steno.Holds {
		t.Errorf("a checkpoint: %s", faults(r))
	}
	if r := file("checkpoint", steno.VerifyOptions{}); r.Integrity.Verdict != steno.Unknown {
		t.Errorf("a checkpoint without a key: %s", faults(r))
	}
	forked := smallLog(t)
	forked.entries[3].body[0] ^= 1
	put(t, dir, "forked", forked.build(t).files["checkpoint"])
	if r := file("forked", o); r.Exit() != 3 {
		t.Errorf("a fork: %s", faults(r))
	}
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello"), "short": []byte("STENO")} {
		put(t, dir, name, b)
		if r, err := steno.VerifyFile(t.Context(), diskPath(dir, name), steno.VerifyOptions{}); err == nil {
			t.Errorf("%s: %s", name, faults(r))
		}
	}
}
