package steno

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxBundleSize = tileHashes * (2 + MaxLeafSize)
	bodiesAtOnce  = 8
)

// servedLog reads a log over HTTP: C2SP tlog-tiles, and the bodies beside it.
type servedLog struct {
	base   string // ends with a slash
	client *http.Client
}

// statusError is an answer that is not the thing asked for.
type statusError struct {
	url    string
	status int
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s was answered with %d %s", e.url, e.status, http.StatusText(e.status))
}

func isStatus(err error) bool {
	var s *statusError
	return errors.As(err, &s)
}

// open asks for a path. It tries again when the server is busy or the connection breaks; what it returns is to be closed.
func (s *servedLog) open(ctx context.Context, path string) (io.ReadCloser, error) {
	const tries = 4
	wait := 250 * time.Millisecond
	for try := 1; ; try++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
		if err != nil {
			return nil, fmt.Errorf("couldn't ask for %s: %w", path, err)
		}
		resp, err := s.client.Do(req)
		switch {
		case err != nil:
			err = fmt.Errorf("couldn't fetch %s: %w", path, err)
		case resp.StatusCode == http.StatusOK:
			return resp.Body, nil
		default:
			resp.Body.Close()
			err = &statusError{s.base + path, resp.StatusCode}
			if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < 500 {
				return nil, err
			}
			if n, e := strconv.Atoi(resp.Header.Get("Retry-After")); e == nil && n > 0 {
				wait = min(time.Duration(n)*time.Second, 10*time.Second)
			}
		}
		if try == tries {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func (s *servedLog) fetch(ctx context.Context, path string, limit int64) ([]byte, error) {
	in, err := s.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	b, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("couldn't fetch %s: %w", path, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("couldn't fetch %s: the answer has more than %d bytes", path, limit)
	}
	return b, nil
}

func partial(path string, width uint64) string {
	if width < tileHashes {
		return path + ".p/" + strconv.FormatUint(width, 10)
	}
	return path
}

// bundle fetches up to 256 leaves.
func (s *servedLog) bundle(ctx context.Context, n, width uint64) ([][]byte, error) {
	path := partial("tile/entries/"+strings.TrimPrefix(tilePath(0, n), "0/"), width)
	b, err := s.fetch(ctx, path, maxBundleSize)
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for len(b) >= 2 {
		k := 2 + int(binary.BigEndian.Uint16(b))
		if k > len(b) {
			break
		}
		out = append(out, b[2:k])
		b = b[k:]
	}
	if len(b) > 0 || uint64(len(out)) != width {
		return out, fmt.Errorf("%s holds %d whole entries, it should hold %d and nothing else", path, len(out), width)
	}
	return out, nil
}

// servedCheck is the verification of a served log.
type servedCheck struct {
	*verifier
	log     *servedLog
	tileErr string
	noTiles uint64
}

func verifyURL(ctx context.Context, base string, client *http.Client, o VerifyOptions) (*Report, error) {
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	log := &servedLog{base, client}
	signed, err := log.fetch(ctx, "checkpoint", maxCheckpointSize)
	var status *statusError
	if errors.As(err, &status) && status.status == http.StatusNotFound { // the console's address was given
		log.base = base + "log/"
		if b, again := log.fetch(ctx, "checkpoint", maxCheckpointSize); again == nil {
			signed, err = b, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	c, err := peekCheckpoint(signed)
	if err != nil {
		return nil, fmt.Errorf("couldn't verify: %scheckpoint: %w", log.base, err)
	}
	kept, err := readRemembered(o.Remember)
	if err != nil {
		return nil, err
	}
	v := &servedCheck{verifier: newVerifier(newReport(log.base), o), log: log}
	if c.Size > math.MaxInt64/tileHashes {
		return nil, fmt.Errorf("couldn't verify: %scheckpoint says %d leaves", log.base, c.Size)
	}
	if err := v.leaves(ctx, signed, c, kept); err != nil {
		return nil, fmt.Errorf("couldn't verify: %w", err)
	}
	if n := v.r.Counts.Refused; n > 0 {
		v.r.doubt(Where{}, "%d bodies were not served: of them nothing can be said", n)
	}
	if v.noTiles > 0 {
		v.r.note("%d tiles are not served (%s)", v.noTiles, v.tileErr)
	}
	v.o.Live = v.o.Live || v.book.alive(v.o.Now)
	v.r.Live = v.o.Live
	v.finish()
	v.r.skipped("segments, commits and state frames: they are not served")
	return v.r.finish(), kept.update(v.r, signed)
}

// leaves fetches all leaves under the checkpoint, in order.
func (v *servedCheck) leaves(ctx context.Context, signed []byte, c Checkpoint, kept *rememberedLogs) error {
	for n := uint64(0); n*tileHashes < c.Size || n == 0; n++ {
		width := min(tileHashes, c.Size-n*tileHashes)
		var entries [][]byte
		var err error
		if width > 0 {
			entries, err = v.log.bundle(ctx, n, width)
		}
		if err != nil && (ctx.Err() != nil || n == 0 && isStatus(err)) {
			return err
		}
		if n == 0 {
			if err := v.trust(firstCreated(entries), c.Origin, kept); err != nil {
				return err
			}
			v.anchor("the served checkpoint", "checkpoint", signed, true)
			v.tree.onTile = func(level int, n uint64, hashes []byte) { v.tile(ctx, level, n, hashes) }
			v.watch()
		}
		if err != nil {
			v.r.broken(atLeaf(n*tileHashes), "the leaves from here on could not be read: %v", err)
			v.gap = true
			break
		}
		if err := v.entries(ctx, entries); err != nil {
			return err
		}
	}
	for level := range v.tree.tiles { // what is left are the partial tiles at the right edge
		if row := &v.tree.tiles[level]; row.whole && len(row.hashes) > 0 {
			v.tile(ctx, level, (v.tree.size>>(8*level)-1)/tileHashes, row.hashes)
		}
	}
	return ctx.Err()
}

func firstCreated(entries [][]byte) *LogCreated {
	if len(entries) == 0 {
		return nil
	}
	c := new(LogCreated)
	if l, err := ParseLeaf(entries[0]); err != nil || l.PublicType() != TypeLogCreated || DecodePublic(l.Public, c) != nil {
		return nil
	}
	return c
}

// servedBody is a body to be fetched.
type servedBody struct {
	index uint64
	leaf  *Leaf
}

func (v *servedCheck) entries(ctx context.Context, entries [][]byte) error {
	var bodies []servedBody
	for _, b := range entries {
		l, err := ParseLeaf(b)
		if err == nil && l.BodyLength > 0 {
			bodies = append(bodies, servedBody{v.tree.size, l})
		}
		v.leaf(Where{}, l, err, LeafHash(b))
		v.done += int64(len(b))
	}
	if v.o.Texts != nil { // in the order of the log
		for _, b := range bodies {
			if err := v.fetchBody(ctx, b, nil); err != nil {
				return err
			}
		}
	} else if err := v.fetchBodies(ctx, bodies); err != nil {
		return err
	}
	if v.o.Progress != nil {
		v.o.Progress(v.done, 0)
	}
	return nil
}

// fetchBodies fetches several at once; mu guards what they find.
func (v *servedCheck) fetchBodies(ctx context.Context, bodies []servedBody) error {
	var mu sync.Mutex
	var failed error
	var all sync.WaitGroup
	next := make(chan servedBody)
	for range min(bodiesAtOnce, len(bodies)) {
		all.Go(func() {
			for b := range next {
				if err := v.fetchBody(ctx, b, &mu); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for _, b := range bodies {
		next <- b
	}
	close(next)
	all.Wait()
	return failed
}

func (v *servedCheck) fetchBody(ctx context.Context, b servedBody, mu *sync.Mutex) error {
	path := "body/" + strconv.FormatUint(b.index, 10)
	lock := func() func() {
		if mu == nil {
			return func() {}
		}
		mu.Lock()
		return mu.Unlock
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	in, err := v.log.open(ctx, path)
	if err != nil {
		defer lock()()
		if isStatus(err) {
			v.r.Counts.Refused++
			return nil
		}
		return err
	}
	defer in.Close()
	n, hash, zero, kept, err := readBody(in, int64(b.leaf.BodyLength), v.o.Texts != nil)
	if err != nil {
		return fmt.Errorf("couldn't fetch %s: %w", path, err)
	}
	defer lock()()
	v.done += n
	w := Where{File: path, Leaf: &b.index}
	if n != int64(b.leaf.BodyLength) {
		v.r.broken(w, "the body served does not have the %d bytes that its leaf says", b.leaf.BodyLength)
		return nil
	}
	if v.body(w, b.leaf, hash, zero, nil) && v.o.Texts != nil {
		v.r.Counts.Texts++
		if err := v.o.Texts(b.index, b.leaf, kept); err != nil {
			v.r.broken(w, "the sealed text is not what its leaf commits to: %v", err)
		}
	}
	return nil
}

// readBody hashes a body as it comes, and keeps it only if it is wanted. It reads one byte more than it should be at most.
func readBody(in io.Reader, length int64, keep bool) (n int64, hash [32]byte, zero bool, kept []byte, err error) {
	d, buf := sha256.New(), make([]byte, min(length+1, 256<<10))
	zero = true
	for r := io.LimitReader(in, length+1); ; {
		k, err := r.Read(buf)
		d.Write(buf[:k])
		n, zero = n+int64(k), zero && !nonzero(buf[:k])
		if keep {
			kept = append(kept, buf[:k]...)
		}
		if errors.Is(err, io.EOF) {
			d.Sum(hash[:0])
			return n, hash, zero, kept, nil
		}
		if err != nil {
			return n, hash, false, nil, err
		}
	}
}

// tile compares a served tile, full or partial, with the computed one.
func (v *servedCheck) tile(ctx context.Context, level int, n uint64, hashes []byte) {
	path := partial("tile/"+tilePath(level, n), uint64(len(hashes)/32))
	b, err := v.log.fetch(ctx, path, tileSize)
	if err != nil {
		if isStatus(err) {
			v.noTiles, v.tileErr = v.noTiles+1, err.Error()
		} else if ctx.Err() == nil {
			v.r.doubt(Where{File: path}, "the tile could not be read: %v", err)
		}
		return
	}
	v.r.Counts.Tiles++
	v.compareTile(path, level, n, b, hashes)
}
