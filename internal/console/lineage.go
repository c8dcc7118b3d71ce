package console

import "github.com/steno-audit/steno"

// promptKey is what a prompt is searched for by.
func promptKey(p *steno.Prompt) string {
	if p.Name == "" {
		return p.Version
	}
	return p.Name + "@" + p.Version
}

func promptWords(p *steno.Prompt) string {
	if p.Name == "" {
		return shortHash(p.Version) + "…"
	}
	return promptKey(p)
}
