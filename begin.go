package steno

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Exchange is one call of a model, taken down by the application that makes it. Each method returns when what it says is
// durable. It may be used concurrently.
type Exchange struct {
	c     *Client
	id    ID
	trace string // traceparent
	began time.Time

	mu       sync.Mutex
	ended    bool
	number   int
	identity *Identity
	model    *Model
	prompt   *Prompt
	promptIn bool // the prompt stands in the first record
	outputs  []json.RawMessage
	steps    []Step // of the eight, those that were taken
}

// ErrEnded says that an exchange was ended already.
var ErrEnded = errors.New("the exchange is ended")

// Begin opens an exchange and returns when that is durable. known is what the application knows by now: of its groups
// identity, model, prompt, data, links and time are recorded. Who calls is best said here or by WithIdentity. An exchange
// that is not ended is closed as unknown: by Close, or by steno when it has heard nothing of it for a while.
func (c *Client) Begin(ctx context.Context, known Event) (*Exchange, error) {
	if known.Type != "" && known.Type != "inference.request" || !known.Exchange.IsZero() || !known.ID.IsZero() || known.Result != nil {
		return nil, errors.New("couldn't begin an exchange: its type, ids and result are not the caller's to say")
	}
	now := time.Now().UTC()
	x := &Exchange{c: c, id: NewID(now), trace: c.trace(ctx), began: now, identity: known.Identity, model: known.Model, prompt: known.Prompt}
	if !known.Time.IsZero() {
		x.began = known.Time
	}
	if x.identity == nil {
		x.identity = identityOf(ctx)
	}
	x.promptIn = x.prompt != nil
	e := known
	e.Type, e.Time, e.Identity = "inference.request", x.began, x.identity
	if e.Timing == nil {
		e.Timing = &Timing{Received: x.began, Steps: []Step{{Name: "received", Start: x.began, End: now, Outcome: "ok"}}}
	}
	s := c.start()
	if s.failed != nil {
		return nil, s.failed
	}
	if err := x.say(ctx, &e); err != nil {
		return nil, fmt.Errorf("couldn't begin an exchange: %w", err)
	}
	s.mu.Lock()
	s.open[x.id] = x
	s.mu.Unlock()
	return x, nil
}

// ID is the exchange's id in steno.
func (x *Exchange) ID() ID { return x.id }

// Context returns a context in the exchange's trace: what is called with it, by Transport too, is seen to belong together.
func (x *Exchange) Context(ctx context.Context) context.Context { return WithTrace(ctx, x.trace) }

// say records one event of the exchange.
func (x *Exchange) say(ctx context.Context, e *Event) error {
	x.mu.Lock()
	x.number++
	n := x.number
	x.mu.Unlock()
	e.Exchange = x.id
	e.Origin = &Origin{Source: x.c.source(), ID: x.id.String() + "-" + strconv.Itoa(n), Number: uint64(n)}
	e.TraceID, e.Parent, _ = parseTrace(x.trace)
	return x.c.record(ctx, &Submission{Event: *e})
}

// add records what was not known at the beginning, and keeps it for the end.
func (x *Exchange) add(ctx context.Context, step string, keep func(), e *Event) error {
	start := time.Now().UTC()
	x.mu.Lock()
	ended := x.ended
	if !ended {
		keep()
	}
	x.mu.Unlock()
	if ended {
		return ErrEnded
	}
	e.Time = start
	if err := x.say(ctx, e); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if e.Type == "inference.response_part" && len(x.outputs) == 1 { // what lies between the question and the answer is the model's
		from := x.began
		if n := len(x.steps); n > 0 {
			from = x.steps[n-1].End
		}
		x.steps = append(x.steps, Step{Name: "answer", Start: from, End: start, Outcome: "ok"})
	}
	x.steps = append(x.steps, Step{Name: step, Start: start, End: time.Now().UTC(), Outcome: "ok"})
	return nil
}

// Identity says who calls, and whose data it is.
func (x *Exchange) Identity(ctx context.Context, id Identity) error {
	return x.add(ctx, "identity", func() { x.identity = &id }, &Event{Type: "inference.request", Identity: &id})
}

// Prompt says what the model is asked: a string, or whatever is JSON when it is marshalled. Messages of role and parts, as
// in OpenTelemetry's conventions, are shown as a conversation.
func (x *Exchange) Prompt(ctx context.Context, words any) error {
	raw, err := json.Marshal(words)
	if err != nil {
		return fmt.Errorf("couldn't record the prompt: %w", err)
	}
	p := &Prompt{Input: raw}
	return x.add(ctx, "prompt", func() { x.prompt, x.promptIn = p, false }, &Event{Type: "inference.request", Prompt: p})
}

// Model says which model is asked, and with what settings.
func (x *Exchange) Model(ctx context.Context, m Model) error {
	return x.add(ctx, "model", func() { x.model = &m }, &Event{Type: "inference.request", Model: &m})
}

// Check says which check ran, and what it found.
func (x *Exchange) Check(ctx context.Context, check Check, found ...Finding) error {
	s := &Safety{Checks: []Check{check}, Findings: found}
	step := "checks_in"
	if check.Direction == "out" {
		step = "output"
	}
	return x.add(ctx, step, func() {}, &Event{Type: "inference.request", Safety: s})
}

// Respond says what the model answers, in one go or part by part: when it returns the application may show it.
func (x *Exchange) Respond(ctx context.Context, words any) error {
	raw, err := json.Marshal(words)
	if err != nil {
		return fmt.Errorf("couldn't record the answer: %w", err)
	}
	r := &Result{Output: raw}
	return x.add(ctx, "output", func() {
		x.outputs = append(x.outputs, raw)
		r.Part = len(x.outputs)
	}, &Event{Type: "inference.response_part", Result: r})
}

// End says how the exchange ended, and what else is known of its result: usage, finish reasons, cost. An empty End of the
// result is complete. The record holds the whole: who, model, prompt and answer, which are stored once all the same.
func (x *Exchange) End(ctx context.Context, result Result) error {
	x.mu.Lock()
	if x.ended {
		x.mu.Unlock()
		return ErrEnded
	}
	x.ended = true
	now := time.Now().UTC()
	e := &Event{
		Type: "inference.response", Time: now, Identity: x.identity, Model: x.model, Result: &result,
		Timing: &Timing{Received: x.began, Finished: now, LatencyMS: float64(now.Sub(x.began).Microseconds()) / 1000, Steps: x.steps},
	}
	if !x.promptIn {
		e.Prompt = x.prompt
	}
	if result.Output == nil {
		result.Output = joinOutputs(x.outputs)
	}
	if result.End == "" {
		result.End = EndComplete
	}
	result.Parts = len(x.outputs)
	x.mu.Unlock()
	if err := x.say(ctx, e); err != nil {
		x.mu.Lock()
		x.ended = false // it may be tried again
		x.mu.Unlock()
		return err
	}
	s := x.c.start()
	s.mu.Lock()
	delete(s.open, x.id)
	s.mu.Unlock()
	return nil
}

// joinOutputs is the answer as a whole: strings that follow one another are one, other parts are a list.
func joinOutputs(parts []json.RawMessage) json.RawMessage {
	if len(parts) < 2 {
		if len(parts) == 0 {
			return nil
		}
		return parts[0]
	}
	text := ""
	for _, p := range parts {
		var s string
		if json.Unmarshal(p, &s) != nil {
			list, err := json.Marshal(parts)
			if err != nil {
				panic(err) // each was marshalled
			}
			return list
		}
		text += s
	}
	one, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string
	}
	return one
}
