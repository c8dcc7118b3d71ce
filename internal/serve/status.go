package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/seal"
)

// Status is what an operator is told of a steno. Nothing in it is of a person or a call, and reading it leaves no record.
type Status struct {
	Version   string          `json:"version"`
	Data      string          `json:"data"`
	Demo      bool            `json:"demo"`
	Started   time.Time       `json:"started"`
	Now       time.Time       `json:"now"`
	Gateway   string          `json:"gateway,omitempty"`
	Console   string          `json:"console,omitempty"`
	Log       LogStatus       `json:"log"`
	IndexLag  uint64          `json:"index_lag"` // durable records that lists do not show yet
	Keys      KeyStatus       `json:"keys"`
	Retention RetentionStatus `json:"retention"`
	Gap       *steno.LogGap   `json:"gap,omitempty"` // calls that passed unrecorded and are not in the log as such yet
	Clock     *ClockStatus    `json:"clock,omitempty"`
	Memory    []string        `json:"memory,omitempty"` // how plain text in memory is kept off the disk, in words
	LogFailed string          `json:"log_failed,omitempty"`
	Policy    string          `json:"policy,omitempty"` // the call policy in force, in words
	Capture   string          `json:"capture"`          // full: every call is recorded whole
}

// LogStatus is the state of the log.
type LogStatus struct {
	Origin       string    `json:"origin"`
	VKey         string    `json:"vkey"`
	Size         uint64    `json:"size"`                   // durable records
	Covered      uint64    `json:"covered"`                // of them under the published checkpoint
	CheckpointAt time.Time `json:"checkpoint_at,omitzero"` // when its last record was written
	Open         int       `json:"open_exchanges"`
	LastWritten  time.Time `json:"last_written,omitzero"`
}

// KeyStatus is the state of the key ring.
type KeyStatus struct {
	Ring      uint64    `json:"ring"` // counts the rings written
	Created   time.Time `json:"created"`
	Tenants   int       `json:"tenants"`
	DayKeys   int       `json:"day_keys"`
	OldestDay string    `json:"oldest_day,omitempty"`
	NewestDay string    `json:"newest_day,omitempty"`
	KEK       string    `json:"kek"` // what wraps the ring
	Replicas  int       `json:"replicas"`
	Held      int       `json:"held"`   // records under a legal hold
	Erased    int       `json:"erased"` // records of which a text was erased
}

// RetentionStatus says what expires when.
type RetentionStatus struct {
	Class  string `json:"class"`
	Months int    `json:"months"`
	Note   string `json:"note"`
}

// ClockStatus is what the kernel knew of its clock when the last heartbeat was written.
type ClockStatus struct {
	Known        bool      `json:"known"`
	Synchronized bool      `json:"synchronized"`
	OffsetMicros float64   `json:"offset_us"`
	MaxErrorUS   float64   `json:"max_error_us"`
	At           time.Time `json:"at"`
}

// retentionMonths is the promise where none is configured.
const retentionMonths = 24

// Status tells how things stand.
func (r *Reader) Status(ctx context.Context) (*Status, error) {
	state := r.cfg.Log.State()
	size, covered := r.cfg.Log.Size(), r.cfg.Log.Covered()
	s := &Status{
		Version: r.cfg.Version, Data: r.cfg.Dir, Demo: r.cfg.Demo, Started: r.start.UTC(), Now: time.Now().UTC(),
		Gateway: r.cfg.Gateway, Console: r.cfg.Console, IndexLag: r.cfg.Index.Lag(), Capture: "full", Memory: memoryFacts(),
		Log:  LogStatus{VKey: r.vkey, Size: size, Covered: covered, Open: len(state.Open)},
		Keys: keyStatus(r.cfg.Keys),
		Retention: RetentionStatus{
			Class: "standard", Months: cmp.Or(r.cfg.Months, retentionMonths),
			Note: fmt.Sprintf("one class, kept %d months; nothing expires yet, whatever its age", cmp.Or(r.cfg.Months, retentionMonths)),
		},
	}
	s.Log.Origin, _, _ = strings.Cut(r.vkey, "+")
	for _, p := range []struct {
		n  uint64
		to *time.Time
	}{{covered, &s.Log.CheckpointAt}, {size, &s.Log.LastWritten}} {
		if p.n == 0 {
			continue
		}
		e, err := r.cfg.Log.ReadLeaf(p.n - 1)
		if err != nil {
			return nil, fmt.Errorf("couldn't read record %d: %w", p.n-1, err)
		}
		*p.to = time.Unix(0, e.Leaf.WrittenAt).UTC()
	}
	if err := r.cfg.Log.Failed(); err != nil {
		s.LogFailed = err.Error()
	}
	if r.cfg.Gap != nil {
		if g, ok := r.cfg.Gap(); ok {
			s.Gap = &g
		}
	}
	if r.cfg.Policy != nil {
		s.Policy = r.cfg.Policy()
	}
	var err error
	s.Clock, err = r.clock(ctx, size)
	return s, err
}

func keyStatus(k *seal.Keys) KeyStatus {
	s := k.Status()
	out := KeyStatus{
		Ring: s.Ring, Created: s.Created.UTC(), Tenants: s.Tenants, DayKeys: s.DayKeys, KEK: s.KEK, Replicas: s.Replicas, Held: s.Held, Erased: s.Survivors,
	}
	for _, d := range k.DayKeys() {
		if out.OldestDay == "" || d.Day < out.OldestDay {
			out.OldestDay = d.Day
		}
		out.NewestDay = max(out.NewestDay, d.Day)
	}
	return out
}

// clock finds the last heartbeat. Ten seconds lie between two, so that under load many records do; further back than
// that nothing is looked for.
func (r *Reader) clock(ctx context.Context, size uint64) (*ClockStatus, error) {
	const far = 20000
	for i := size; i > 0 && i+far > size && ctx.Err() == nil; i-- {
		e, err := r.cfg.Log.ReadLeaf(i - 1)
		if err != nil {
			return nil, fmt.Errorf("couldn't read record %d: %w", i-1, err)
		}
		if e.Leaf.PublicType() != steno.TypeHeartbeat {
			continue
		}
		var h steno.Heartbeat
		if err := steno.DecodePublic(e.Leaf.Public, &h); err != nil {
			return nil, fmt.Errorf("couldn't read the heartbeat in record %d: %w", i-1, err)
		}
		c := steno.ClockState(h.Clock)
		return &ClockStatus{
			Known: c.Known(), Synchronized: c.Synchronized(), OffsetMicros: float64(h.OffsetNS) / 1000, MaxErrorUS: float64(h.MaxErrorNS) / 1000,
			At: time.Unix(0, e.Leaf.WrittenAt).UTC(),
		}, nil
	}
	return nil, nil
}

// memoryFacts says what could bring plain text from memory to a disk.
func memoryFacts() []string {
	if runtime.GOOS != "linux" {
		return []string{"whether memory is swapped to disk is not known on " + runtime.GOOS}
	}
	var out []string
	if b, err := os.ReadFile("/proc/swaps"); err != nil {
		out = append(out, "whether memory is swapped to disk could not be found out")
	} else if strings.Count(strings.TrimSpace(string(b)), "\n") > 0 {
		out = append(out, "swap is on: parts of texts in memory may reach a disk; use encrypted swap or none")
	} else {
		out = append(out, "swap is off")
	}
	if b, err := os.ReadFile("/proc/self/limits"); err == nil {
		for line := range strings.Lines(string(b)) {
			if rest, ok := strings.CutPrefix(line, "Max core file size"); ok {
				if f := strings.Fields(rest); len(f) > 0 && f[0] == "0" {
					out = append(out, "core files are off")
				} else {
					out = append(out, "core files are on: a crash may write texts in memory to a disk")
				}
			}
		}
	}
	return out
}

// Progress tells how far a verification has come, in bytes; a total of 0 is not known.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// Verify checks the whole log as `steno verify` does, with this log's key and every text. One runs at a time, others
// wait for it. progress may be nil.
func (r *Reader) Verify(ctx context.Context, progress func(Progress)) (*steno.Report, error) {
	if r.cfg.Dir == "" {
		return nil, &Error{Status: http.StatusNotImplemented, Message: "this reader has no data directory to verify"}
	}
	select {
	case r.verifying <- struct{}{}:
		defer func() { <-r.verifying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o := steno.VerifyOptions{VKey: r.vkey, Live: true, Texts: r.checkText}
	if progress != nil {
		var last time.Time
		o.Progress = func(done, total int64) {
			if now := time.Now(); now.Sub(last) >= 100*time.Millisecond || done == total {
				last = now
				progress(Progress{done, total})
			}
		}
	}
	report, err := steno.VerifyDir(ctx, r.cfg.Dir, o)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	return report, nil
}

// checkText opens a record whole. What is erased is not wrong.
func (r *Reader) checkText(_ uint64, l *steno.Leaf, body []byte) error {
	_, err := r.cfg.Keys.Open(l, body, r.readLeaf, allSections)
	if errors.Is(err, seal.ErrErased) {
		return nil
	}
	return err
}
