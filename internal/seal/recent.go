package seal

import (
	"bytes"

	"github.com/steno-audit/steno"
)

// maxRecent bounds the records that are remembered in the clear: what followers may lag behind before they must open.
const maxRecent = 2048

// recent is a record that was sealed a moment ago, for as long as its ring is in force.
type recent struct {
	opened *Opened
	body   [32]byte // its hash
	ring   uint64   // number of the ring under which it was sealed
}

// Recall returns the identity, metadata and documents of a record that this process sealed a moment ago, as Open would, without
// opening it: for those who follow the log. Left out are a request's parameters and a system event's details: their JSON
// would keep the body alive from which it was cut. What comes back is shared and must not be changed. Whatever changes
// the ring makes it forget: what was erased is not recalled.
func (k *Keys) Recall(l *steno.Leaf) (*Opened, bool) {
	r, ok := k.recent.get(l.Seal)
	if !ok || r.body != l.BodyHash {
		return nil, false
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return r.opened, r.ring == k.number
}

// remember keeps what followers will want of a record.
func (k *Keys) remember(x *Sealed, d *steno.Draft, ring uint64) {
	l := &x.Leaf
	o := &Opened{Alias: x.alias, DayKey: l.DayKey}
	o.Event = d.Event
	if d.Data != nil {
		o.Data = &steno.Data{Documents: d.Data.Documents, Source: d.Data.Source}
	}
	if d.Prompt != nil {
		p := *d.Prompt
		p.Input, p.Instructions, p.Definitions = nil, nil, nil
		o.Prompt = &p
	}
	if d.Model != nil {
		m := *d.Model
		m.Parameters = nil
		o.Model = &m
	}
	if d.Result != nil {
		r := *d.Result
		r.Output = nil
		o.Result = &r
	}
	if d.System != nil {
		s := *d.System
		s.Details = nil
		o.System = &s
	}
	o.ID, o.Exchange, o.Imported = l.Record, l.Exchange, d.Imported
	o.Time = d.Time.Round(0) // without what only this process could read of it
	k.recent.put(l.Seal, recent{o, l.BodyHash, ring})
}

// exact says whether fields say what the event says: bytes that are no UTF-8 are replaced in JSON.
func exact(fields []byte) bool { return !bytes.Contains(fields, []byte(`\ufffd`)) }
