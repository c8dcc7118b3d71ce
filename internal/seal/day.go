package seal

import (
	"errors"
	"fmt"
	"time"

	"github.com/steno-audit/steno"
)

// daysAhead is how many days' keys are opened together, today's included: so that a log that cannot write its ring
// for a while goes on sealing.
const daysAhead = 4

const dayLayout = "2006-01-02"

// day returns the number of the day key for `at`, which it opens if need be.
func (s *Sealer) day(tenant string, at time.Time) (uint32, error) {
	name := dayName{tenant, s.cfg.Class, at.UTC().Format(dayLayout)}
	if no, ok := s.keys.dayKey(name); ok {
		return no, nil
	}
	if err := s.OpenDay(tenant, at); err != nil {
		return 0, err
	}
	no, ok := s.keys.dayKey(name)
	if !ok {
		return 0, fmt.Errorf("the day key of %s is gone: %w", name.day, ErrErasedDay)
	}
	return no, nil
}

// dayKey returns a day key that may be used: one whose opening is public.
func (k *Keys) dayKey(name dayName) (uint32, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	no, ok := k.byName[name]
	return no, ok && k.ring.Days[no].Announced
}

// OpenDay opens a tenant's day keys for the day of `at` and the three days after it, as far as they are missing. In
// this order: the keys are durable in the ring, their public records are durable, they may be used. A crash in between
// makes the same public records appear twice.
func (s *Sealer) OpenDay(tenant string, at time.Time) error {
	s.dayMu.Lock()
	defer s.dayMu.Unlock()
	todo, err := s.keys.openDays(tenant, s.cfg.Class, at.UTC(), s.cfg.KeepMonths)
	if err != nil {
		return fmt.Errorf("couldn't open day keys: %w", err)
	}
	if len(todo) == 0 {
		return nil
	}
	for _, d := range todo {
		if err := s.cfg.Announce(steno.TypeDayKeyOpened, d); err != nil {
			return fmt.Errorf("couldn't announce the day key of %s: %w", d.Day, err)
		}
	}
	if err := s.keys.announced(todo); err != nil {
		return fmt.Errorf("couldn't take day keys into use: %w", err)
	}
	return nil
}

// openDays makes what is missing and returns what is still to be announced.
func (k *Keys) openDays(tenant, class string, at time.Time, keepMonths int) ([]steno.DayKeyOpened, error) {
	missing := false
	var todo []steno.DayKeyOpened
	collect := func(r *ring, byName map[dayName]uint32) {
		todo, missing = nil, false
		for i := range daysAhead {
			no, ok := byName[dayName{tenant, class, at.AddDate(0, 0, i).Format(dayLayout)}]
			if !ok {
				missing = true
				continue
			}
			if d := r.Days[no]; !d.Announced {
				todo = append(todo, steno.DayKeyOpened{No: no, Class: d.Class, Day: d.Day, KeepUntil: d.KeepUntil})
			}
		}
	}
	k.mu.RLock()
	collect(k.ring, k.byName)
	k.mu.RUnlock()
	if missing {
		err := k.change(false, func(r *ring) ([][]byte, error) { return nil, k.addDays(r, tenant, class, at, keepMonths) })
		if err != nil {
			return nil, err
		}
		k.mu.RLock()
		collect(k.ring, k.byName)
		k.mu.RUnlock()
	}
	return todo, nil
}

// addDays adds the keys that a copy of the ring lacks, and the tenant's tree if it is the tenant's first day.
func (k *Keys) addDays(r *ring, tenant, class string, at time.Time, keepMonths int) error {
	if _, ok := r.Tenants[tenant]; !ok {
		root, err := k.fresh()
		if err != nil {
			return err
		}
		r.Tenants[tenant] = tenantTree{newCover([32]byte(root))}
	}
	have := map[string]bool{}
	for _, d := range r.Days {
		if d.Tenant == tenant && d.Class == class {
			have[d.Day] = true
		}
	}
	for i := range daysAhead {
		day := at.AddDate(0, 0, i)
		if have[day.Format(dayLayout)] {
			continue
		}
		if r.NextDay > maxDay {
			return errors.New("all numbers of day keys of this log are taken")
		}
		d := &dayKey{Tenant: tenant, Class: class, Day: day.Format(dayLayout), KeepUntil: day.AddDate(0, keepMonths, 0).Format(dayLayout)}
		for _, dst := range []*[]byte{&d.D, &d.Index, &d.Names} {
			b, err := k.fresh()
			if err != nil {
				return err
			}
			*dst = b
		}
		r.Days[r.NextDay] = d
		r.NextDay++
	}
	return nil
}

// announced marks day keys as usable.
func (k *Keys) announced(days []steno.DayKeyOpened) error {
	return k.change(false, func(r *ring) ([][]byte, error) {
		for _, o := range days {
			if d, ok := r.Days[o.No]; ok {
				c := *d
				c.Announced = true
				r.Days[o.No] = &c
			}
		}
		return nil, nil
	})
}
