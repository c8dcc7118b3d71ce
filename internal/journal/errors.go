package journal

import (
	"errors"
	"fmt"
)

// ErrBusy says that the queue of appends not yet written is full. Nothing was queued and no number was taken.
var ErrBusy = errors.New("the log's queue is full, the disk is slower than what comes in")

// ErrClosed says that the journal was closed.
var ErrClosed = errors.New("the log is closed")

// ErrBeyondEnd is wrapped by the error of reading a leaf that is not in the log, or not yet.
var ErrBeyondEnd = errors.New("beyond the end of the log")

// FailedError says why the writer has stopped for good. Every wait and every later append gets it.
type FailedError struct {
	Op   string // what failed, as in "couldn't sync"
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("the log has stopped: couldn't %s %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *FailedError) Unwrap() error { return e.Err }

// Hint says what an operator can do.
func (e *FailedError) Hint() string {
	return "Nothing is written any more, because after a failed write nobody knows what the disk holds. Check the disk" +
		" and its free space, then start again: what was acknowledged is there, the rest is sorted out at the start."
}

// DamageError says that bytes of the log are wrong which were right once: valid ones come after them.
type DamageError struct {
	File     string
	From, To int64 // the byte range that is not whole
	Why      string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged in bytes %d to %d: %s", e.File, e.From, e.To, e.Why)
}

// Hint says what an operator can do.
func (e *DamageError) Hint() string {
	return "This is no torn tail of a crash, the disk has changed bytes that were durable. Nothing was touched." +
		" Restore this file from a copy: copies of the data directory are always safe to use, if they are not older" +
		" than the anchor."
}

// TailLostError says that the log is shorter than a checkpoint that was signed for it.
type TailLostError struct {
	Anchor   string // the file that holds the checkpoint
	Anchored uint64 // its size
	Found    uint64 // whole leaves found
}

func (e *TailLostError) Error() string {
	return fmt.Sprintf("the log has lost its tail: %s signs %d leaves, the log holds %d", e.Anchor, e.Anchored, e.Found)
}

// Hint says what an operator can do.
func (e *TailLostError) Hint() string {
	return "An old copy of the data directory was put back, or the disk lost what it had confirmed. Going on would fork" +
		" the log. Put back the newest copy; if there is none, start a new log under a new origin."
}

// ForkError says that another history was signed than the one that is here.
type ForkError struct {
	Anchor   string // the file that holds the other checkpoint
	Size     uint64 // the size it signs
	Anchored [32]byte
	Ours     [32]byte // our root at that size, zero where we have none
	Why      string
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("%s and the log tell two histories at size %d (roots %x and %x): %s",
		e.Anchor, e.Size, e.Anchored[:6], e.Ours[:6], e.Why)
}

// Hint says what an operator can do.
func (e *ForkError) Hint() string {
	return "Two writers have used this log's key, or a copy of the data directory went its own way. Find out which of" +
		" the two was shown to others, keep both, and start with the one that fits the anchor."
}
