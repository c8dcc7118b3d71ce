package capture

import (
	"github.com/steno-audit/steno"
)

// promptVersion says which instructions a call has, where the application does not name a template: the keyed hash of what
// stands in the system prompt, so that a change of it shows without its words.
func (g *Gateway) promptVersion(p *steno.Prompt, pieces []steno.Piece) {
	if p.Name != "" || p.Version != "" {
		return
	}
	var first []byte
	var all []byte // of more than one
	for _, piece := range pieces {
		switch {
		case piece.Kind != steno.KindSystem:
		case first == nil:
			first = piece.Bytes
		default:
			if all == nil {
				all = append(all, first...)
			}
			all = append(all, piece.Bytes...)
		}
	}
	if all == nil {
		all = first
	}
	if len(all) > 0 {
		p.Version = g.cfg.Keyring.CredentialMAC(all)
	}
}
