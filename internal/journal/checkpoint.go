package journal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/disk"
)

const (
	checkpointName   = "checkpoint"
	defaultEvery     = time.Second
	checkpointLeaves = 10_000                 // a checkpoint is due at the latest after so many leaves
	clockStep        = 500 * time.Millisecond // a larger jump of the clock is recorded
)

// checkpoint is a signed tree head.
type checkpoint struct {
	size uint64
	root [32]byte
	note []byte
}

// signCheckpoint writes the C2SP tlog-checkpoint of a tree.
func signCheckpoint(origin string, signer note.Signer, size uint64, root [32]byte) (*checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", origin, size, base64.StdEncoding.EncodeToString(root[:]))
	msg, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return nil, err
	}
	return &checkpoint{size, root, msg}, nil
}

// openCheckpoint reads a checkpoint and checks its signature. Extension lines are allowed and have no meaning.
func openCheckpoint(msg []byte, origin string, v note.Verifier) (*checkpoint, error) {
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != origin {
		return nil, fmt.Errorf("it is no checkpoint of %s", origin)
	}
	c := &checkpoint{note: msg}
	if c.size, err = strconv.ParseUint(lines[1], 10, 64); err != nil || strconv.FormatUint(c.size, 10) != lines[1] {
		return nil, fmt.Errorf("its size is %q, not a number", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.root) {
		return nil, fmt.Errorf("its root is %q, not base64 of %d bytes", lines[2], len(c.root))
	}
	c.root = [32]byte(root)
	return c, nil
}

// loadCheckpoint reads a checkpoint from a file; nil if there is none.
func loadCheckpoint(fsys disk.FS, path, origin string, v note.Verifier) (*checkpoint, error) {
	msg, err := fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read the checkpoint %s: %w", path, err)
	}
	c, err := openCheckpoint(msg, origin, v)
	if err != nil {
		return nil, fmt.Errorf("couldn't use the checkpoint %s: %w", path, err)
	}
	return c, nil
}

// Sign covers everything that is durable now: it signs the tree, compares and swaps the anchor, stores the tiles that
// have become full, and publishes the checkpoint, in this order. With nothing new it returns the newest checkpoint. A
// failure stops the writer, as any failure does.
func (j *Journal) Sign(ctx context.Context) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	j.signing.Lock()
	defer j.signing.Unlock()
	return j.sign(true)
}

// sign is Sign under its lock; tiles may wait for the next time, at the start.
func (j *Journal) sign(tiles bool) ([]byte, error) {
	if err := j.Failed(); err != nil {
		return nil, err
	}
	size, root := j.durable()
	if c := j.published.Load(); c != nil && c.size == size {
		return c.note, nil
	}
	c, err := j.anchored, error(nil)
	if c == nil || c.size != size || c.root != root {
		if c, err = signCheckpoint(j.cfg.Origin, j.cfg.Signer, size, root); err != nil {
			return nil, j.fail(&FailedError{"sign", j.anchorPath, err})
		}
		if err := j.swap(c); err != nil {
			return nil, j.fail(err)
		}
	}
	if tiles {
		if err := j.tree.store(); err != nil {
			return nil, j.fail(err)
		}
	}
	if err := disk.WriteFile(j.cfg.FS, j.checkpointPath, c.note); err != nil { // durable: readers never see it go back
		return nil, j.fail(&FailedError{"publish", j.checkpointPath, err})
	}
	j.published.Store(c)
	return c.note, nil
}

// swap replaces the anchored checkpoint if it is still the one that was put there last. Whatever else stands there
// was signed by another writer, and then one of the two must stop.
func (j *Journal) swap(c *checkpoint) error {
	now, err := loadCheckpoint(j.cfg.FS, j.anchorPath, j.cfg.Origin, j.verifier)
	if err != nil {
		return &FailedError{"compare the anchor", j.anchorPath, err}
	}
	fork := func(why string) error {
		e := &ForkError{Anchor: j.anchorPath, Size: c.size, Ours: c.root, Why: why}
		if now != nil {
			e.Size, e.Anchored = now.size, now.root
		}
		return e
	}
	switch last := j.anchored; {
	case now == nil && last != nil:
		return fork("the anchored checkpoint was removed while the log was open")
	case now != nil && last == nil:
		return fork("a checkpoint was signed by somebody else meanwhile")
	case now != nil && !bytes.Equal(now.note, last.note):
		return fork("another writer has signed a checkpoint meanwhile")
	case now != nil && (now.size > c.size || now.size == c.size && now.root != c.root):
		return fork("a larger tree, or another of this size, is signed already")
	}
	if err := disk.WriteFile(j.cfg.FS, j.anchorPath, c.note); err != nil { // durable: signed sizes are never forgotten
		return &FailedError{"replace the anchor", j.anchorPath, err}
	}
	j.anchored = c
	return nil
}

// Checkpoint returns the newest published checkpoint.
func (j *Journal) Checkpoint() []byte { return bytes.Clone(j.published.Load().note) }

// Covered returns the size of the newest published checkpoint.
func (j *Journal) Covered() uint64 { return j.published.Load().size }

// keepCheckpoints signs from time to time, and watches the clock on the way. A failure is kept by Failed.
func (j *Journal) keepCheckpoints(every time.Duration) {
	defer close(j.checkpointer)
	tick := time.NewTicker(every)
	defer tick.Stop()
	watch := newClockWatch(j.cfg.Now())
	for {
		select {
		case <-j.stop:
			return
		case <-j.done:
			return
		case <-j.due:
		case <-tick.C:
			if by := watch.step(j.cfg.Now()); by != 0 && j.announced() {
				if _, err := j.Announce(steno.TypeClockStepped, steno.ClockStepped{ByNS: int64(by)}); err != nil {
					return // the journal has failed or is being closed
				}
			}
		}
		if _, err := j.Sign(context.Background()); err != nil {
			return
		}
	}
}

// clockWatch compares the wall clock with the monotonic one.
type clockWatch struct {
	wall time.Time
	mono time.Time
}

func newClockWatch(wall time.Time) *clockWatch { return &clockWatch{wall.Round(0), time.Now()} }

// step returns by how much the wall clock was set since the last step, 0 if that is little. Small deviations add up
// until they are a step.
func (w *clockWatch) step(wall time.Time) time.Duration {
	by := wall.Round(0).Sub(w.wall) - time.Since(w.mono)
	if by.Abs() <= clockStep {
		return 0
	}
	*w = *newClockWatch(wall)
	return by
}
