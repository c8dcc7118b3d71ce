// Package check looks for secrets and for injection attempts in pieces of
// text, on their way to a model and on their way back.
//
// In goes a text, or the raw JSON of a message, and where it came from; out
// come findings: a flag, the rule, a score and a span of bytes of what was
// given. The text itself is never returned, kept, logged or sent: who needs
// to mask a secret has its offsets.
//
// Secrets are judged by the rules of gitleaks, injection and jailbreak
// attempts by the signatures in signatures.yaml, on text that was normalised
// first. Both are found the same way: one pass over the text for the rules'
// keywords, and a rule's expression only around a keyword that was met. A
// finding is a sign, not a proof, and no finding is no proof either.
//
// A Checker holds no state of its own and may be used from many goroutines.
package check
