package serve

import (
	"context"

	"github.com/steno-audit/steno"
	"github.com/steno-audit/steno/internal/dialect"
)

// TestingParseQuery is parseQuery.
var TestingParseQuery = parseQuery

// AuditForTest is the audit without a reader.
type AuditForTest struct{ a *audit }

// TestingAudit returns one that records with record.
func TestingAudit(record func(context.Context, *steno.Draft) error) AuditForTest {
	return AuditForTest{newAudit(record)}
}

// Session is audit.session.
func (a AuditForTest) Session(ctx context.Context, who Actor, what string) error {
	return a.a.session(ctx, who, access{what: what})
}

// Failed is audit.failed.
func (a AuditForTest) Failed(ctx context.Context, who Actor) error {
	return a.a.failed(ctx, who, "wrong_token")
}

// TestingMask finds the findings in a body and masks a part of it.
func TestingMask(body []byte, texts []dialect.Text, findings []steno.Finding, text string) (part Part, shown []byte) {
	m := &masks{}
	m.find(sideRequest, body, texts, findings)
	part = Part{Text: text, Start: 0, End: len(body)}
	m.part(&part, sideRequest)
	return part, m.body(sideRequest, body)
}
