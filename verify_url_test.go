package steno_test

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/steno-audit/steno"
)

// served are the paths of a log over HTTP.
func (l *testLog) served(t testing.TB) map[string][]byte {
	l.build(t)
	out := map[string][]byte{"checkpoint": l.files["checkpoint"]}
	var raw, hashes [][]byte
	for _, name := range l.made {
		b := l.files[name]
		for at := steno.SegmentHeaderSize; at < len(b); {
			h, err := steno.ParseFrameHeader(b[at:])
			if err != nil {
				t.Fatal(err)
			}
			payload := b[at+steno.FrameHeaderSize:][:h.Length]
			switch h.Type {
			case steno.FrameLeaf:
				raw = append(raw, payload)
				sum := steno.LeafHash(payload)
				hashes = append(hashes, sum[:])
			case steno.FrameBody:
				out[fmt.Sprintf("body/%d", len(raw)-1)] = payload
			}
			at += steno.FrameSize(h.Length)
		}
	}
	for i := 0; i < len(raw); i += 256 {
		end := min(i+256, len(raw))
		name, bundle := fmt.Sprintf("%03d", i/256), []byte(nil)
		if end-i < 256 {
			name += fmt.Sprintf(".p/%d", end-i)
		}
		for _, r := range raw[i:end] {
			bundle = append(binary.BigEndian.AppendUint16(bundle, uint16(len(r))), r...)
		}
		out["tile/entries/"+name] = bundle
		out["tile/0/"+name] = slices.Concat(hashes[i:end]...)
	}
	if tile, ok := l.files["tile/0/000"]; ok { // the one full tile has its root in the tile above
		var level [][32]byte
		for i := 0; i < len(tile); i += 32 {
			level = append(level, [32]byte(tile[i:]))
		}
		root := perfectRoot(level)
		out["tile/1/000.p/1"] = root[:]
	}
	return out
}

func serve(t testing.TB, files map[string][]byte, wrap func(http.Handler) http.Handler) string {
	var h http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := files[strings.TrimPrefix(r.URL.Path, "/log/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write(b)
	})
	if wrap != nil {
		h = wrap(h)
	}
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/log"
}

func verifyURL(t testing.TB, url string, o steno.VerifyOptions) *steno.Report {
	t.Helper()
	r, err := steno.VerifyURL(t.Context(), url, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func urlLog(t testing.TB) *testLog {
	l := newTestLog(t)
	for i := range 300 {
		l.sealed(0, 0, 20+i).after = time.Millisecond
	}
	l.stop(t)
	return l
}

func TestVerifyURL(t *testing.T) {
	l := urlLog(t)
	files := l.served(t)
	url := serve(t, files, nil)
	known := filepath.Join(t.TempDir(), "known")
	for i, want := range []steno.Trust{steno.TrustSelf, steno.TrustRemembered} {
		r := verifyURL(t, url, steno.VerifyOptions{Remember: known})
		wantExit(t, r, 0)
		if r.Trust != want || r.Size != uint64(len(l.entries)) || r.Counts.Sealed != 300 || r.Counts.Refused != 0 ||
			r.Counts.Tiles != 3 || r.Counts.BodyBytes == 0 {
			t.Errorf("run %d: %+v", i, r)
		}
	}
	texts := 0
	r := verifyURL(t, strings.TrimSuffix(url, "log"), steno.VerifyOptions{Texts: func(uint64, *steno.Leaf, []byte) error { texts++; return nil }})
	wantExit(t, r, 0)
	if texts != 300 {
		t.Errorf("%d texts were opened", texts)
	}
}

func TestVerifyURLTampered(t *testing.T) {
	for name, sound := range urlLog(t).served(t) {
		if strings.HasPrefix(name, "body/") && name != "body/17" {
			continue
		}
		for _, pos := range []int{0, len(sound) / 3, len(sound) / 2, len(sound) - 2} {
			files := urlLog(t).served(t)
			files[name] = slices.Clone(sound)
			files[name][pos] ^= 1
			r, err := steno.VerifyURL(t.Context(), serve(t, files, nil), nil, steno.VerifyOptions{})
			if err == nil && r.Exit() != 3 {
				t.Errorf("%s byte %d: exit %d: %s", name, pos, r.Exit(), faults(r))
			}
			if err != nil && name != "checkpoint" {
				t.Errorf("%s byte %d: %v", name, pos, err)
			}
		}
	}
}

func TestVerifyURLRefused(t *testing.T) {
	files := urlLog(t).served(t)
	delete(files, "body/5")
	r := verifyURL(t, serve(t, files, nil), steno.VerifyOptions{})
	wantExit(t, r, 5)
	if r.Counts.Refused != 1 || r.Integrity.Verdict != steno.Unknown {
		t.Error(faults(r))
	}

	files = urlLog(t).served(t)
	files["body/5"] = append(files["body/5"], 0)
	wantExit(t, verifyURL(t, serve(t, files, nil), steno.VerifyOptions{}), 3)

	files = urlLog(t).served(t)
	delete(files, "tile/0/000")
	wantExit(t, verifyURL(t, serve(t, files, nil), steno.VerifyOptions{}), 0)
	delete(files, "tile/entries/001.p/47")
	wantExit(t, verifyURL(t, serve(t, files, nil), steno.VerifyOptions{}), 3)
	delete(files, "checkpoint")
	if r, err := steno.VerifyURL(t.Context(), serve(t, files, nil), nil, steno.VerifyOptions{}); err == nil {
		t.Error(faults(r))
	}
}

// TestVerifyURLBusy has a server that is busy for every third request.
func TestVerifyURLBusy(t *testing.T) {
	var n atomic.Int64
	url := serve(t, smallLog(t).served(t), func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%3 == 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			h.ServeHTTP(w, r)
		})
	})
	wantExit(t, verifyURL(t, url, steno.VerifyOptions{}), 0)
}

// TestVerifyURLLive has a source that has not stopped, and was heard of lately or not.
func TestVerifyURLLive(t *testing.T) {
	l := newTestLog(t)
	l.sealed(0, 0, 10)
	url := serve(t, l.served(t), nil)
	wantExit(t, verifyURL(t, url, steno.VerifyOptions{Now: time.Unix(0, testStart).Add(5 * time.Second)}), 0)
	wantExit(t, verifyURL(t, url, steno.VerifyOptions{Now: time.Unix(0, testStart).Add(time.Hour)}), 5)
}
