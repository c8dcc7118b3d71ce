package serve

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/index"
)

// A question waits so long for the index to have read what is durable; then it is answered from what there is.
const catchUp = 2 * time.Second

// current waits until the index shows what was durable when the question came.
func (r *Reader) current(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, catchUp)
	defer cancel()
	_ = r.cfg.Index.CatchUp(ctx) // Status tells of the lag
}

// Exchanges returns the newest exchanges that the query wants, oldest first.
func (r *Reader) Exchanges(ctx context.Context, who Actor, q Query) (*Page, error) {
	rows, more, err := r.rows(ctx, q)
	if err != nil {
		return nil, err
	}
	acc := access{what: "list", query: queryWords(&q), user: q.User, rows: len(rows)}
	if err := r.audit.shown(ctx, who, acc); err != nil {
		return nil, err
	}
	return &Page{Rows: rows, More: more}, nil
}

func (r *Reader) rows(ctx context.Context, q Query) ([]Row, bool, error) {
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	r.current(ctx)
	rows, more, err := r.cfg.Index.Exchanges(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("couldn't ask the index: %w", err)
	}
	return append([]Row{}, rows...), more, nil
}

// publicTypes are those of records that everyone can read under /log/.
var publicTypes = func() map[string]bool {
	out := map[string]bool{}
	for _, t := range []steno.PublicType{
		steno.TypeLogCreated, steno.TypeSourceStarted, steno.TypeSourceStopped, steno.TypeHeartbeat, steno.TypeLogGap, steno.TypeTailDiscarded,
		steno.TypeClockStepped, steno.TypeInsecureListener, steno.TypeDayKeyOpened, steno.TypeAliasBlockOpened, steno.TypeDayKeyDestroyed,
		steno.TypeErasureRequested, steno.TypeErasureCompleted,
	} {
		out[t.String()] = true
	}
	return out
}()

// Events returns the newest events that the query wants, in the order of the log. To ask for public ones alone is no read
// of what people wrote, and leaves no record.
func (r *Reader) Events(ctx context.Context, who Actor, q Query) (*EventPage, error) {
	rows, more, err := r.eventRows(ctx, q)
	if err != nil {
		return nil, err
	}
	acc := access{what: "events", query: queryWords(&q), user: q.User, rows: len(rows)}
	// A submitted event may bear a public type, but then it may name somebody.
	if named := slices.ContainsFunc(rows, func(e EventRow) bool { return e.User != "" }); named || !publicTypes[q.Type] {
		if err := r.audit.shown(ctx, who, acc); err != nil {
			return nil, err
		}
	}
	return &EventPage{Rows: rows, More: more}, nil
}

func (r *Reader) eventRows(ctx context.Context, q Query) ([]EventRow, bool, error) {
	if q.Limit == 0 {
		q.Limit = defaultLimit
	}
	r.current(ctx)
	rows, more, err := r.cfg.Index.Events(ctx, q)
	if err != nil {
		return nil, false, fmt.Errorf("couldn't ask the index: %w", err)
	}
	return append([]EventRow{}, rows...), more, nil
}

// Follow returns the newest rows, or events, that the query wants, and then each one that is new or has changed, until ctx
// ends. A follower that cannot keep up is told all it missed when it can: the newest state of each row.
func (r *Reader) Follow(ctx context.Context, who Actor, q Query, events bool) (iter.Seq2[Change, error], error) {
	what := "tail"
	if events {
		what = "tail events"
	}
	if err := r.audit.session(ctx, who, access{what: what, query: queryWords(&q), user: q.User}); err != nil {
		return nil, err
	}
	return func(yield func(Change, error) bool) {
		f := &follower{r: r, who: who, q: q, events: events, what: what, shown: map[steno.ID]string{}, yield: yield}
		if err := f.run(ctx); err != nil && ctx.Err() == nil {
			yield(Change{}, err)
		}
	}, nil
}

// Count counts the exchanges that began in each step of time.
func (r *Reader) Count(ctx context.Context, who Actor, q Query, step time.Duration) (*Counts, error) {
	if q.Until.IsZero() {
		q.Until = time.Now()
	}
	if q.Since.IsZero() {
		q.Since = q.Until.Add(-60 * step)
	}
	if n := q.Until.Sub(q.Since) / step; n > maxSteps {
		return nil, badRequest("take a longer step or a shorter time", "%d steps are too many, at most %d are counted", n, maxSteps)
	}
	r.current(ctx)
	steps, err := r.cfg.Index.Count(ctx, q, step)
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the index: %w", err)
	}
	if err := r.audit.session(ctx, who, access{what: "count", query: queryWords(&q), user: q.User, rows: len(steps)}); err != nil {
		return nil, err
	}
	return &Counts{Since: q.Since.UTC(), Until: q.Until.UTC(), Step: step.String(), Steps: append([]Bucket{}, steps...)}, nil
}

const maxSteps = 10_000

// Fields are those whose values can be asked for.
var Fields = []string{"user", "model", "flag", "status"}

// Values returns values of a field that begin with a prefix, for completion.
func (r *Reader) Values(ctx context.Context, who Actor, field, prefix string) ([]string, error) {
	if !slices.Contains(Fields, field) {
		return nil, badRequest("fields are "+strings.Join(Fields, ", "), "there is no field %q", field)
	}
	values, err := r.cfg.Index.Values(ctx, field, prefix, 0)
	if err != nil {
		return nil, fmt.Errorf("couldn't ask the index: %w", err)
	}
	acc := access{what: "values", query: map[string]string{"field": field}, rows: len(values)}
	return append([]string{}, values...), r.audit.session(ctx, who, acc)
}

const minID = 4 // characters of an id that are looked for

// lookUp finds what an id or its beginning names.
func (r *Reader) lookUp(ctx context.Context, id string) (index.Found, error) {
	if len(id) < minID {
		return index.Found{}, badRequest("", "%s is too short for an id; give at least its first %d characters", quote(id), minID)
	}
	r.current(ctx)
	f, err := r.cfg.Index.Find(ctx, id)
	var several *index.AmbiguousError
	var none *index.NotFoundError
	switch {
	case errors.As(err, &several):
		e := &Error{Status: http.StatusConflict, Message: fmt.Sprintf("%s may mean one of %d things", quote(id), len(several.Candidates)), Hint: "give more of the id"}
		if several.More {
			e.Message = fmt.Sprintf("%s may mean more than %d things", quote(id), len(several.Candidates))
		}
		for _, c := range several.Candidates {
			e.Candidates = append(e.Candidates, c.String())
		}
		return f, e
	case errors.As(err, &none):
		return f, &Error{
			Status: http.StatusNotFound, Message: "nothing in the log has an id that is or begins with " + quote(id),
			Hint: "ids are those of exchanges, of events, and the provider's of an answer",
		}
	case err != nil:
		return f, fmt.Errorf("couldn't ask the index: %w", err)
	}
	return f, nil
}
