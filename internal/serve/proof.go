package serve

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/steno-audit/steno"
)

// prover proves records under one checkpoint, whose signature it has checked.
type prover struct {
	r      *Reader
	signed []byte
	c      steno.Checkpoint
	why    string // the checkpoint itself is not to be trusted
}

// newProver takes the newest checkpoint, or has one signed that covers the leaf.
func (r *Reader) newProver(ctx context.Context, leaf uint64) (*prover, error) {
	p := &prover{r: r, signed: r.cfg.Log.Checkpoint()}
	if leaf >= r.cfg.Log.Covered() {
		var err error
		if p.signed, err = r.cfg.Log.Sign(ctx); err != nil {
			return nil, fmt.Errorf("couldn't sign a checkpoint that covers record %d: %w", leaf, err)
		}
	}
	key, err := note.NewVerifier(r.vkey)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the log's verifier key: %w", err)
	}
	if p.c, err = steno.OpenCheckpoint(p.signed, key); err != nil {
		p.why = err.Error()
	}
	return p, nil
}

// prove computes the path from a leaf's bytes to the signed root, and follows it.
func (p *prover) prove(e *entry) (*Proof, error) {
	hash := steno.LeafHash(e.raw)
	out := &Proof{
		Index: e.index, LeafHash: hex.EncodeToString(hash[:]), Size: p.c.Size, Root: hex.EncodeToString(p.c.Root[:]),
		Checkpoint: string(p.signed), VKey: p.r.vkey, Why: p.why, At: time.Now().UTC(), Path: []string{},
	}
	if p.why != "" {
		return out, nil
	}
	path, err := p.r.cfg.Log.InclusionProof(e.index, p.c.Size)
	if err != nil {
		return nil, fmt.Errorf("couldn't prove record %d: %w", e.index, err)
	}
	for _, h := range path {
		out.Path = append(out.Path, hex.EncodeToString(h[:]))
	}
	if err := tlog.CheckRecord(path, int64(p.c.Size), tlog.Hash(p.c.Root), int64(e.index), tlog.Hash(hash)); err != nil {
		out.Why = "the path does not lead from this record to the signed root: " + err.Error()
		return out, nil //nolint:nilerr // a proof that fails is an answer, and says why
	}
	out.Verified = true
	return out, nil
}

// proveAll proves each record. The proof of an exchange is that of its last record, and it holds if all do.
func (r *Reader) proveAll(ctx context.Context, entries []*entry, x *Exchange) error {
	if len(entries) == 0 {
		return nil
	}
	p, err := r.newProver(ctx, entries[len(entries)-1].index)
	if err != nil {
		return err
	}
	all := true
	var why string
	for i, e := range entries {
		proof, err := p.prove(e)
		if err != nil {
			return err
		}
		if !proof.Verified && all {
			all, why = false, fmt.Sprintf("record %d: %s", e.index, proof.Why)
		}
		x.Records[i].Proof = proof
	}
	whole := *x.Records[len(entries)-1].Proof
	whole.Verified, whole.Why = all, why
	x.Proof = &whole
	return nil
}
