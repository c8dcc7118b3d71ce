// Package console is the web console: pages over the reader, for people.
//
// Requests enter that serve has authenticated; pages leave, made on the server, with nothing fetched from elsewhere and
// nothing inline. It reads through serve.Reader only, so that every page that shows records is itself on record, and what a
// page may not show never gets into it. Filters, ranges, views and positions are in the address: there is no state here.
// Pages work without scripts; these add keys, completion, local times and rows as they come.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/a-h/templ"

	"github.com/steno-audit/steno/internal/serve"
)

//go:embed static
var static embed.FS

// Config is what pages say of the server.
type Config struct {
	Gateway string // its address, for the Connect page
	Demo    bool   // every page says so
}

type pages struct {
	r   *serve.Reader
	cfg Config
}

// Handler serves the pages.
func Handler(r *serve.Reader, cfg Config) http.Handler {
	p := &pages{r, cfg}
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the directory is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /static/", http.StripPrefix("/static/", cached(http.FileServerFS(files))))
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET /live", p.live)
	mux.HandleFunc("GET /search", p.search)
	mux.HandleFunc("GET /complete", p.complete)
	mux.HandleFunc("GET /exchanges/{id}", p.exchange)
	mux.HandleFunc("GET /exchanges/{id}/live", p.exchangeLive)
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("GET /governance", p.governance)
	mux.HandleFunc("GET /monitoring", p.monitoring)
	mux.HandleFunc("GET /integrity", p.integrity)
	mux.HandleFunc("POST /integrity", p.verify)
	mux.HandleFunc("GET /connect", p.connect)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.failed(w, r, &serve.Error{
			Status: http.StatusNotFound, Message: "there is no page " + r.URL.Path,
			Hint: "pages are /, /exchanges/ID, /events, /governance, /monitoring, /integrity and /connect",
		})
	})
	return mux
}

// stamp changes whenever a file of ours does, so that browsers may keep files for good.
var stamp = func() string {
	h := sha256.New()
	err := fs.WalkDir(static, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := static.ReadFile(path)
		h.Write(b)
		return err
	})
	if err != nil {
		panic(err) // the files are embedded
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}()

func asset(name string) string { return "/static/" + name + "?v=" + stamp }

func cached(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("v") == stamp {
			w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
		}
		h.ServeHTTP(w, r)
	})
}

// frame is what stands around every page.
type frame struct {
	Title  string
	Page   string // which of the navigation's it is
	Search string // what stands in the search box
	Demo   bool
	Now    time.Time
}

func (p *pages) frame(title, page, search string) frame {
	return frame{Title: title, Page: page, Search: search, Demo: p.cfg.Demo, Now: time.Now().UTC()}
}

// show writes a page. It is made whole before its first byte leaves, so that half a page is never taken for one.
func (p *pages) show(w http.ResponseWriter, r *http.Request, status int, c templ.Component) {
	var b bytes.Buffer
	if err := c.Render(r.Context(), &b); err != nil {
		if r.Context().Err() == nil {
			slog.Error("a page could not be made", "path", r.URL.Path, "error", err)
			http.Error(w, "this page could not be made: "+err.Error(), http.StatusInternalServerError)
		}
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader left
}

// failed shows what is wrong and what to do next.
func (p *pages) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // nobody looks
	}
	e := errorOf(err)
	if e.Status >= http.StatusInternalServerError {
		slog.Error("a page could not be shown", "path", r.URL.Path, "error", err)
	}
	p.show(w, r, e.Status, errorPage(p.frame(http.StatusText(e.Status), "", ""), e))
}

func errorOf(err error) *serve.Error {
	var e *serve.Error
	if !errors.As(err, &e) {
		e = &serve.Error{Message: err.Error(), Hint: "the server's own log has this error with its time"}
	}
	if e.Status == 0 {
		c := *e
		c.Status, e = http.StatusInternalServerError, &c
	}
	return e
}
