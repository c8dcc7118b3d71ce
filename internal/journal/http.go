package journal

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

const (
	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache"
	binaryType   = "application/octet-stream"
)

// Handler serves the log as C2SP tlog-tiles: checkpoint, tile/<L>/<N>[.p/<W>], tile/entries/<N>[.p/<W>], and beside
// them body/<index>. Only what the published checkpoint covers is served. The caller strips the prefix.
func (j *Journal) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are served here", http.StatusMethodNotAllowed)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/")
		if path == checkpointName {
			answer(w, r, "text/plain; charset=utf-8", cacheNever, j.Checkpoint())
			return
		}
		if index, ok := strings.CutPrefix(path, "body/"); ok {
			j.serveBody(w, r, index)
			return
		}
		level, n, width, ok := parseTilePath(path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		var b []byte
		var err error
		if level < 0 {
			b, err = j.serveBundle(n, width)
		} else {
			b, err = j.serveTile(level, n, width)
		}
		if err != nil {
			refuse(w, err)
			return
		}
		answer(w, r, binaryType, cacheForever, b)
	})
}

// serveBody serves a sealed body as it stands in the log.
func (j *Journal) serveBody(w http.ResponseWriter, r *http.Request, number string) {
	index, err := strconv.ParseUint(number, 10, 64)
	if err != nil || strconv.FormatUint(index, 10) != number {
		http.NotFound(w, r)
		return
	}
	if index >= j.Covered() {
		http.Error(w, "the published checkpoint does not cover this leaf", http.StatusNotFound)
		return
	}
	e, err := j.Read(index)
	if err != nil {
		refuse(w, err)
		return
	}
	if len(e.Body) > 0 && erased(e.Body) {
		http.Error(w, "this body was erased", http.StatusGone)
		return
	}
	answer(w, r, binaryType, cacheNever, e.Body) // it may be erased later
}

func refuse(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrBeyondEnd) {
		http.Error(w, "the published checkpoint does not cover this", http.StatusNotFound)
		return
	}
	http.Error(w, "the log cannot be read here: "+err.Error(), http.StatusInternalServerError)
}

func answer(w http.ResponseWriter, r *http.Request, contentType, cache string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", cache)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(b) // the client's connection is the client's concern
	}
}
