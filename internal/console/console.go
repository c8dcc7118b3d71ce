// Package console is the web console: pages over the reader, for people.
//
// Requests enter that serve has authenticated; pages leave, made on the server, with nothing fetched from elsewhere and
// nothing inline. It reads through serve.Reader only, so that every page that shows records is itself on record, and what a
// page may not show never gets into it. It keeps no state.
package console

import (
	"embed"
	"io/fs"
	"net/http"

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
	mux.Handle("GET /static/", http.StripPrefix("/static/", http.FileServerFS(files)))
	mux.HandleFunc("GET /{$}", p.exchanges)
	return mux
}
