package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/capture"
	"github.com/steno-audit/steno/internal/disk"
	"github.com/steno-audit/steno/internal/index"
)

// keyUseFile, in the key directory, tells `steno key list` what a running server has counted. Nothing else reads it: a start
// counts from the log.
const keyUseFile = "key-use.json"

// keyUse is what that file holds.
type keyUse struct {
	At   time.Time                 `json:"at"`
	Keys map[string]capture.KeyUse `json:"keys"`
}

func readKeyUse(dir string) (*keyUse, error) {
	u := &keyUse{}
	b, err := os.ReadFile(filepath.Join(dir, keyUseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return nil, fmt.Errorf("couldn't read what the keys have used: %w", err)
	}
	if err := json.Unmarshal(b, u); err != nil {
		return nil, fmt.Errorf("%s is damaged; the next start of the server writes it anew: %w", filepath.Join(dir, keyUseFile), err)
	}
	return u, nil
}

// of is what a key has used, and what is left of its budget in words. What was counted in a day or month that is over counts
// no more.
func (u *keyUse) of(k gatewayKeyJSON) (used capture.KeyUse, left string) {
	used = u.Keys[k.ID]
	now := time.Now().UTC()
	if used.Month != now.Format("2006-01") {
		used.Total = capture.Use{}
	}
	if used.Day != now.Format("2006-01-02") {
		used.Today = capture.Use{}
	}
	b, err := capture.ParseBudget(k.Budget)
	if err != nil || b == nil {
		return used, ""
	}
	return used, b.LeftWords(&used)
}

func usedWords(u *capture.Use) string {
	s := u.USD() + " USD, " + strconv.FormatInt(u.Tokens, 10) + " tokens"
	if u.Unpriced > 0 {
		s += fmt.Sprintf(" (%d calls without a price)", u.Unpriced)
	}
	return s
}

func printKeysJSON(w io.Writer, keys []managedKey, use *keyUse) error {
	enc := json.NewEncoder(w)
	for _, k := range keys {
		used, left := use.of(k.gatewayKeyJSON)
		type amounts struct {
			USD      string `json:"usd"`
			Tokens   int64  `json:"tokens"`
			Calls    int64  `json:"calls"`
			Unpriced int64  `json:"unpriced"`
		}
		words := func(u *capture.Use) amounts { return amounts{u.USD(), u.Tokens, u.Calls, u.Unpriced} }
		err := enc.Encode(struct {
			managedKey
			Today amounts   `json:"today"`
			Month amounts   `json:"this_month"`
			Left  string    `json:"left,omitempty"`
			At    time.Time `json:"counted_at,omitzero"`
		}{k, words(&used.Today), words(&used.Total), left, use.At})
		if err != nil {
			return err
		}
	}
	return nil
}

// countFromLog gives the gateway what the keys have used this month, from what is on record. Nothing is served yet, so
// nothing is counted twice; the index has all records when it answers.
func (s *server) countFromLog(ctx context.Context) error {
	if err := s.store.index.CatchUp(ctx); err != nil {
		return fmt.Errorf("couldn't count what the keys have used: %w", err)
	}
	now := time.Now().UTC()
	q := index.Query{Since: time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC), Oldest: true, Limit: 10_000}
	for {
		rows, more, err := s.store.index.Exchanges(ctx, q)
		if err != nil {
			return fmt.Errorf("couldn't count what the keys have used: %w", err)
		}
		var calls []capture.Spent
		for i := range rows {
			r := &rows[i]
			q.After = r.Position()
			if r.Key == "" || r.Status == string(steno.EndRefused) || r.Status == string(steno.EndBlocked) {
				continue
			}
			c := capture.Spent{Key: r.Key, Time: r.Time}
			for _, n := range []*int64{r.InputTokens, r.OutputTokens} {
				if n != nil {
					c.Tokens += *n
				}
			}
			if r.Cost != nil {
				c.Cost = *r.Cost
			}
			calls = append(calls, c)
		}
		s.gateway.Count(calls)
		if !more || len(rows) == 0 {
			return nil
		}
	}
}

// keepUse writes what the keys have used, each two seconds where it changed.
func (s *server) keepUse() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	var last map[string]capture.KeyUse
	write := func() {
		use := s.gateway.Use()
		if last != nil && maps.Equal(use, last) {
			return
		}
		b, err := json.Marshal(keyUse{At: time.Now().UTC().Truncate(time.Second), Keys: use})
		if err == nil {
			err = disk.WriteFile(disk.OS(), filepath.Join(s.cfg.Key.Dir, keyUseFile), append(b, '\n'))
		}
		if err != nil {
			s.store.logger.Warn("`steno key list` will not say what keys have used", "error", err)
			return
		}
		last = use
	}
	write()
	go func() {
		defer close(done)
		t := time.NewTicker(2 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				write()
			case <-quit:
				write()
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}
