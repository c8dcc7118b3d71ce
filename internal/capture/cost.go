package capture

import (
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/price"
)

// cost prices reported usage. A stream that was cut has partial usage, and so a partial price.
func (g *Gateway) cost(provider, answered, asked string, at time.Time, u *steno.Usage) *steno.Cost {
	read, write := value(u.CacheRead), value(u.CacheWrite)
	pu := price.Usage{Input: max(value(u.Input)-read-write, 0), Output: value(u.Output), CacheRead: read, CacheWrite: write}
	for _, name := range []string{answered, asked} {
		if name == "" {
			continue
		}
		if c, ok := g.cfg.Prices.Cost(provider, name, at, pu); ok {
			state := "priced"
			if u.Source != "reported" {
				state = "partial"
			}
			return &steno.Cost{USD: c.USD, Row: c.Row, Date: c.Date, State: state}
		}
	}
	return &steno.Cost{State: "unpriced"}
}

func value(p *int64) int64 {
	if p == nil {
		return 0
	}
	return *p
}
