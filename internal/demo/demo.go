// Package demo sends varied sample traffic through a gateway, as the applications of a small company would: chats that go
// on, retrieved documents, a coding agent, embeddings, and now and then something that goes wrong.
//
// It is an HTTP client and nothing else: what it sends is recorded as any client's calls are. The upstream is the model
// stub; knobs in the model's name ask it to misbehave.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// App is a sample application with a gateway key of its own.
type App struct {
	ID, User, Role, Team string
}

// Apps lists them; each needs a key.
func Apps() []App {
	return []App{
		{"support-bot", "support-bot", "service", "customer-care"},
		{"research", "research-portal", "service", "legal"},
		{"coding-agent", "dev-tools", "service", "engineering"},
		{"search", "search-indexer", "service", "platform"},
		{"governance", "model-registry", "service", "ml-governance"},
	}
}

// Config says where to send what, and how often.
type Config struct {
	Gateway string
	Keys    map[string]string // by App.ID
	Every   time.Duration     // between two steps, once the first round is through
}

// scene is one thing that happens; a scene keeps its own state from step to step.
type scene func(ctx context.Context, c *client) error

// Run plays one round of all scenes at once, so that there is something to see, then goes on slowly until ctx is done.
func Run(ctx context.Context, cfg Config) error {
	c := &client{cfg: cfg, http: &http.Client{Timeout: time.Minute}}
	scenes := []scene{
		c.supportChat("ana.silva", "c-1001"), c.legalResearch("m.keller"), c.codingAgent("j.okafor"), c.supportChat("tomas.berg", "c-1002"),
		c.embed, c.responses("p.lindqvist"), c.governance, c.jailbreak, c.legalResearch("r.duarte"), c.leak, c.supportChat("ana.silva", "c-1003"),
		c.upstreamFails, c.poisonedDocument, c.codingAgent("l.marsh"), c.refused, c.cut, c.wrongKey, c.leaves, c.responses("y.tanaka"), c.limited,
	}
	for i := 0; ; i++ {
		if err := scenes[i%len(scenes)](ctx, c); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("couldn't send sample traffic: %w", err)
		}
		if i < len(scenes) {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(cfg.Every):
		}
	}
}

type client struct {
	cfg  Config
	http *http.Client
	n    int // events submitted
}

// answer is what came back; a status of 0 is a connection that broke, which some scenes ask for.
type answer struct {
	status int
	body   []byte
}

// call posts v as JSON. Broken connections are answers too: only a gateway that cannot be reached is an error.
func (c *client) call(ctx context.Context, app, path string, headers map[string]string, v any) (answer, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.Gateway+path, bytes.NewReader(b))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", app+"/1.4")
	key := c.cfg.Keys[app]
	if k, ok := headers["key"]; ok {
		key = k
	}
	if path == "/v1/messages" {
		req.Header.Set("X-Api-Key", key)
		req.Header.Set("Anthropic-Version", "2023-06-01")
	} else {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	for k, v := range headers {
		if k != "key" {
			req.Header.Set(k, v)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return answer{}, nil
		}
		return answer{}, err
	}
	defer resp.Body.Close() // read to its end or broken
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{status: 0, body: body}, nil // a cut answer is one of the scenes
	}
	return answer{resp.StatusCode, body}, nil
}

type obj = map[string]any

type list = []any
