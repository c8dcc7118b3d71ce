package steno

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
)

type (
	traceKey    struct{}
	identityKey struct{}
)

// WithTrace returns a context that belongs to a trace, named by a W3C traceparent as an incoming request's header has it.
// What the client records with it, and what Transport sends, belongs to the same trace. One that is malformed is no trace.
func WithTrace(ctx context.Context, traceparent string) context.Context {
	if _, _, ok := parseTrace(traceparent); !ok {
		return ctx
	}
	return context.WithValue(ctx, traceKey{}, traceparent)
}

// WithIdentity returns a context that says who calls and whose data it is; Transport and Begin record it.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

func identityOf(ctx context.Context) *Identity {
	if id, ok := ctx.Value(identityKey{}).(Identity); ok {
		return &id
	}
	return nil
}

// trace returns the traceparent of a context, a new one where it has none.
func (c *Client) trace(ctx context.Context) string {
	t := ""
	if c.Trace != nil {
		t = c.Trace(ctx)
	}
	if _, _, ok := parseTrace(t); !ok {
		t, _ = ctx.Value(traceKey{}).(string) // absent: empty
	}
	if _, _, ok := parseTrace(t); ok {
		return t
	}
	var b [24]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic(err) // crypto/rand never fails on a supported system
	}
	return "00-" + hex.EncodeToString(b[:16]) + "-" + hex.EncodeToString(b[16:]) + "-01"
}

// parseTrace reads version-trace-span-flags. All zeros name nothing.
func parseTrace(s string) (trace, span string, ok bool) {
	f := strings.Split(s, "-")
	if len(f) < 4 || len(f[0]) != 2 || f[0] == "ff" || len(f[1]) != 32 || len(f[2]) != 16 || len(f[3]) != 2 || f[0] == "00" && len(f) != 4 {
		return "", "", false
	}
	for _, part := range f[:4] {
		if strings.ToLower(part) != part {
			return "", "", false
		}
		if _, err := hex.DecodeString(part); err != nil {
			return "", "", false
		}
	}
	if strings.Trim(f[1], "0") == "" || strings.Trim(f[2], "0") == "" {
		return "", "", false
	}
	return f[1], f[2], true
}
