package console

import (
	"net/http"

	"github.com/steno-audit/steno/internal/serve"
)

func (p *pages) exchanges(w http.ResponseWriter, r *http.Request) {
	page, err := p.r.Exchanges(r.Context(), serve.ActorOf(r), serve.Query{})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if err := listPage(p.cfg, page).Render(r.Context(), w); err != nil {
		return // the reader left
	}
}
