package console

import (
	"net/http"
	"slices"
	"strings"

	"github.com/steno-audit/steno/internal/serve"
)

// governanceView is the page of models and prompts, and what was decided of them.
type governanceView struct {
	frame
	Rows []serve.Governed
}

func (p *pages) governance(w http.ResponseWriter, r *http.Request) {
	rows, err := p.r.Governance(r.Context(), serve.ActorOf(r))
	if err != nil {
		p.failed(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, governancePage(&governanceView{p.frame("Governance", "governance", ""), rows}))
}

func (v *governanceView) of(kind string) []serve.Governed {
	return slices.DeleteFunc(slices.Clone(v.Rows), func(g serve.Governed) bool { return g.Kind != kind })
}

// newestFirst is the history as people read it.
func newestFirst(h []serve.Decision) []serve.Decision {
	h = slices.Clone(h)
	slices.Reverse(h)
	return h
}

func decisionWords(d *serve.Decision) string {
	_, verb, _ := strings.Cut(d.Type, "_")
	return spaced(verb)
}

// unheard says whether a model answers that nobody spoke for, or after it was retired.
func unheard(g *serve.Governed) bool {
	return g.State == "unregistered" || g.State == "retired" && g.Seen != nil && g.Seen.Last.After(g.Since)
}
