package steno

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// anchor is a checkpoint that the log must agree with.
type anchor struct {
	what string // as the report names it
	file string // where it was read, "" if it was given
	c    Checkpoint
	ours bool // one that the log keeps itself: the newest of these is what is signed
}

// trust decides which key the log is checked against and collects the checkpoints that it must agree with. created is
// what the log says of itself, nil where that cannot be read; origin is the log's claim from elsewhere.
func (v *verifier) trust(created *LogCreated, origin string, kept *rememberedLogs) error {
	r := v.r
	if created != nil {
		origin, r.VKey = created.Origin, created.VKey
	}
	seen, known := kept.logs[origin]
	if known {
		if created != nil && created.VKey != seen.vkey {
			r.broken(atLeaf(0), "the log of %s has another key than the one remembered for it: it is another log of that name", printable(origin))
		}
		r.VKey, r.Trust = seen.vkey, TrustRemembered
	}
	if v.o.VKey != "" {
		key, err := note.NewVerifier(v.o.VKey)
		if err != nil {
			return fmt.Errorf("couldn't use the verifier key %q: %w", v.o.VKey, err)
		}
		if known && seen.vkey != v.o.VKey {
			r.broken(Where{File: v.o.Remember}, "the key remembered for %s is another than the one given", printable(origin))
		}
		if origin != "" && origin != key.Name() {
			r.broken(atLeaf(0), "this is the log of %s, the key given is that of %s", printable(origin), key.Name())
		}
		origin, r.VKey = key.Name(), v.o.VKey
		if !known {
			r.Trust = TrustKey
		}
	}
	v.origin, r.Origin = origin, origin
	if r.VKey != "" {
		key, err := note.NewVerifier(r.VKey)
		switch {
		case err != nil:
			r.broken(atLeaf(0), "the log's verifier key is malformed: %v", err)
		case origin != key.Name():
			r.broken(atLeaf(0), "the log's key is for %s, its origin is %s", printable(key.Name()), printable(origin))
		default:
			v.key = key
		}
	}
	if known && seen.checkpoint != nil {
		v.anchor("the remembered checkpoint", v.o.Remember, seen.checkpoint, false)
	}
	if v.o.Checkpoint != nil {
		if _, err := peekCheckpoint(v.o.Checkpoint); err != nil {
			return fmt.Errorf("couldn't use the checkpoint given: %w", err)
		}
		r.Trust = TrustCheckpoint
		v.anchor("the checkpoint given", "", v.o.Checkpoint, false)
	}
	if v.o.Remember != "" && !known {
		r.note("%s is not in %s: this is the first use, and nothing vouches for the key found but the log itself", printable(origin), v.o.Remember)
	}
	return nil
}

// anchor checks the signature of a checkpoint and watches for its size.
func (v *verifier) anchor(what, file string, signed []byte, ours bool) {
	w := Where{File: file}
	if v.key == nil {
		v.r.doubt(w, "the signature of %s cannot be checked: no key is known", what)
		if c, err := peekCheckpoint(signed); err == nil && !ours {
			v.anchors = append(v.anchors, anchor{what, file, c, false})
		}
		return
	}
	c, err := OpenCheckpoint(signed, v.key)
	if err != nil {
		v.r.broken(w, "%s: %s", what, printable(err.Error()))
		if ours {
			return
		}
		if c, err = peekCheckpoint(signed); err != nil {
			return
		}
	}
	v.anchors = append(v.anchors, anchor{what, file, c, ours})
}

// watch makes the tree keep the roots at the sizes of the anchors.
func (v *verifier) watch() {
	var sizes []uint64
	for _, a := range v.anchors {
		sizes = append(sizes, a.c.Size)
	}
	onTile := v.tree.onTile
	v.tree = newVerifyTree(sizes)
	v.tree.onTile = onTile
}

// maxUnsigned is how long the leaves at the end of a log may wait for a checkpoint before the report doubts them. A
// writer signs each second.
const maxUnsigned = int64(60e9)

// judge compares the anchors with the tree that was computed and says what is signed.
func (v *verifier) judge() {
	r := v.r
	for _, a := range v.anchors {
		w := Where{File: a.file}
		root, ok := v.tree.roots[a.c.Size]
		switch {
		case a.c.Size > v.tree.size:
			if v.tail.To > 0 {
				w = v.tail
			}
			r.broken(w, "%s covers %d leaves, the log has %d: its end is gone, leaves %d to %d", a.what, a.c.Size, v.tree.size, v.tree.size, a.c.Size-1)
		case !ok:
			r.broken(w, "the root at %d leaves, which %s signs, cannot be computed: leaves before it cannot be read", a.c.Size, a.what)
		case root != a.c.Root:
			r.broken(w, "the first %d leaves are not those that %s signs: something among them was changed, removed, added or moved", a.c.Size, a.what)
		case r.Signed == nil || a.c.Size > r.Signed.Size:
			r.Signed = &SignedAt{Size: a.c.Size, Root: hexOf(a.c.Root)}
			if t, ok := v.timeOf[a.c.Size]; ok {
				r.Signed.Time = nanoTime(t)
			}
		}
	}
	r.Size = v.tree.size
	if !v.tree.lost {
		r.Root = hexOf(v.tree.root())
	}
	if v.writtenAt != 0 {
		r.AsOf = nanoTime(v.writtenAt)
	}
	r.Unsigned = r.Size
	if r.Signed != nil {
		r.Unsigned -= r.Signed.Size
	}
	switch {
	case r.Signed == nil && r.Integrity.Verdict == Holds:
		r.doubt(Where{}, "no signed checkpoint of this log could be read: nothing says that these are the leaves that were written")
	case r.Signed != nil && r.Unsigned > 0:
		if at, ok := v.nextAt[r.Signed.Size]; ok && v.writtenAt-at > maxUnsigned {
			r.doubt(atLeaf(r.Signed.Size), "the newest checkpoint covers %d leaves; the %d after it, over %s, are signed by nobody",
				r.Signed.Size, r.Unsigned, nanoTime(v.writtenAt).Sub(nanoTime(at)))
		}
	}
}

// rememberedLogs is a file of lines "origin vkey checkpoint", the signed checkpoint in base64, '#' for comments.
type rememberedLogs struct {
	path string
	logs map[string]rememberedLog
	keep []string // origins in their order
}

type rememberedLog struct {
	vkey       string
	checkpoint []byte
}

func readRemembered(path string) (*rememberedLogs, error) {
	m := &rememberedLogs{path: path, logs: map[string]rememberedLog{}}
	if path == "" {
		return m, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read what is remembered: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 4*maxCheckpointSize)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("couldn't read what is remembered: %s line %d: it has to be origin, key and checkpoint", path, n)
		}
		signed, err := base64.StdEncoding.DecodeString(f[2])
		if err == nil {
			_, err = peekCheckpoint(signed)
		}
		if err != nil {
			return nil, fmt.Errorf("couldn't read what is remembered: %s line %d: %w", path, n, err)
		}
		if _, twice := m.logs[f[0]]; twice {
			return nil, fmt.Errorf("couldn't read what is remembered: %s line %d: %s occurs a second time", path, n, f[0])
		}
		m.keep = append(m.keep, f[0])
		m.logs[f[0]] = rememberedLog{f[1], signed}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("couldn't read what is remembered in %s: %w", path, err)
	}
	return m, nil
}

// update remembers the newest checkpoint of the log if integrity holds. It never goes back to an older one.
func (m *rememberedLogs) update(r *Report, signed []byte) error {
	if m.path == "" || signed == nil || r.Integrity.Verdict != Holds || r.Signed == nil {
		return nil
	}
	c, err := peekCheckpoint(signed)
	if newest := err == nil && c.Size == r.Signed.Size && hexOf(c.Root) == r.Signed.Root; !newest {
		return nil // what the report holds to be signed is what was remembered already
	}
	old, known := m.logs[r.Origin]
	if known && bytes.Equal(old.checkpoint, signed) {
		return nil
	}
	if !known {
		m.keep = append(m.keep, r.Origin)
	}
	m.logs[r.Origin] = rememberedLog{r.VKey, signed}
	out := []byte("# logs that steno verify has seen: origin, key, newest checkpoint (base64)\n")
	for _, origin := range m.keep {
		l := m.logs[origin]
		out = fmt.Appendf(out, "%s %s %s\n", origin, l.vkey, base64.StdEncoding.EncodeToString(l.checkpoint))
	}
	f, err := os.CreateTemp(filepath.Dir(m.path), filepath.Base(m.path)+".*")
	if err != nil {
		return fmt.Errorf("couldn't remember the log: %w", err)
	}
	_, err = f.Write(out)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), m.path)
	}
	if err != nil {
		return fmt.Errorf("couldn't remember the log: %w", errors.Join(err, os.Remove(f.Name())))
	}
	if !known {
		r.note("%s and its key are remembered in %s from now on", printable(r.Origin), m.path)
	}
	return nil
}
