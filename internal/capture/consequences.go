package capture

import (
	"encoding/hex"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// wireSource is the source of events that steno itself read on the wire.
const wireSource = "steno/wire"

// consequences records what the call changed at the provider: files, vector stores, fine-tunes, batches, models. They are
// linked to the call. What is seen again, as a job that is asked for until it has ended, is recorded once.
func (x *exchange) consequences(status int, body []byte) {
	for _, c := range x.call.Consequences(x.r.Method, x.path, status, x.body, body) {
		if err := x.consequence(&c); err != nil {
			x.g.cfg.Logger.Error("what a call changed at the provider could not be recorded", "exchange", x.id, "type", c.Type, "error", err)
		}
	}
}

func (x *exchange) consequence(c *dialect.Consequence) error {
	now := time.Now().UTC()
	d := &steno.Draft{Event: steno.Event{
		ID: steno.NewID(now), Type: c.Type, Time: now, Exchange: x.id, Identity: x.identity,
		Links:  []steno.Link{{Rel: "exchange", Record: x.id}},
		System: &steno.System{Action: c.Action, Actor: x.actor(), Target: c.Target, Outcome: c.Outcome},
	}}
	if c.Model != "" {
		d.Model = &steno.Model{Asked: c.Model}
		x.fillModel(d.Model)
		d.Model.Operation, d.Model.API = "", ""
	}
	if len(c.Documents) > 0 {
		d.Data = &steno.Data{Documents: c.Documents}
	}
	if len(c.Details) > 0 {
		d.System.Details = c.Details
	}
	if c.Once == "" {
		_, err := x.g.rec.Record(x.r.Context(), d, 0)
		return err
	}
	claim, state, err := x.g.ids.claim(x.r.Context(), tenantOf(x.who), wireSource, c.Once, []byte(c.Once))
	if err != nil || state == idDuplicate || state == idConflict {
		return err
	}
	d.Origin = &steno.Origin{Source: wireSource, ID: c.Once, Content: hex.EncodeToString(claim.content[:])}
	index, err := x.g.rec.Record(x.r.Context(), d, 0)
	if err != nil {
		claim.drop()
		return err
	}
	claim.keep(index)
	return nil
}

// actor is who made the call, as far as steno knows.
func (x *exchange) actor() string {
	if x.who.key != nil && x.who.key.User != "" {
		return x.who.key.User
	}
	return "an application"
}
