package steno

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Checkpoint is what a log signs: how many leaves it has and the root of their tree (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   [32]byte
}

// maxCheckpointSize bounds a signed checkpoint, the signature lines of witnesses included.
const maxCheckpointSize = 64 << 10

// ErrCheckpoint is wrapped by the errors of ParseCheckpoint and OpenCheckpoint.
var ErrCheckpoint = errors.New("not a checkpoint")

// Text returns the note to be signed.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseCheckpoint reads the text of a checkpoint without its signatures. Extension lines are allowed and not read.
func ParseCheckpoint(text string) (Checkpoint, error) {
	var c Checkpoint
	lines := strings.Split(text, "\n")
	if len(lines) < 4 || lines[len(lines)-1] != "" {
		return c, fmt.Errorf("%w: it has to be three lines: origin, size, root", ErrCheckpoint)
	}
	if lines[0] == "" {
		return c, fmt.Errorf("%w: the origin is empty", ErrCheckpoint)
	}
	c.Origin = lines[0]
	n, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != lines[1] {
		return c, fmt.Errorf("%w: %q is no tree size", ErrCheckpoint, lines[1])
	}
	c.Size = n
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != len(c.Root) {
		return c, fmt.Errorf("%w: %q is no root hash", ErrCheckpoint, lines[2])
	}
	c.Root = [32]byte(root)
	return c, nil
}

// peekCheckpoint reads the text of a signed checkpoint without looking at its signatures.
func peekCheckpoint(signed []byte) (Checkpoint, error) {
	i := bytes.LastIndex(signed, []byte("\n\n"))
	if i < 0 || len(signed) > maxCheckpointSize {
		return Checkpoint{}, fmt.Errorf("%w: no signed note of at most %d bytes", ErrCheckpoint, maxCheckpointSize)
	}
	return ParseCheckpoint(string(signed[:i+1]))
}

// OpenCheckpoint reads a signed checkpoint and checks the signature of the key. Signatures of other keys (witnesses)
// are left alone, but every signature line must be written in the one way in which it can be written, so that no
// byte of the file can change without notice.
func OpenCheckpoint(signed []byte, key note.Verifier) (Checkpoint, error) {
	c, err := peekCheckpoint(signed)
	if err != nil {
		return c, err
	}
	if c.Origin != key.Name() {
		return c, fmt.Errorf("%w of %q: its origin is %q", ErrCheckpoint, key.Name(), c.Origin)
	}
	sigs := string(signed[bytes.LastIndex(signed, []byte("\n\n"))+2:])
	for line := range strings.Lines(sigs) {
		sig := line[strings.LastIndexByte(line, ' ')+1:]
		sig, ended := strings.CutSuffix(sig, "\n")
		if _, err := base64.StdEncoding.Strict().DecodeString(sig); err != nil || !ended {
			return c, fmt.Errorf("%w: a signature line is malformed", ErrCheckpoint)
		}
	}
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil {
		return c, fmt.Errorf("%w that %s+%08x signed: %w", ErrCheckpoint, key.Name(), key.KeyHash(), err)
	}
	return ParseCheckpoint(n.Text)
}
