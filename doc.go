// Package steno is what an auditor links: the event model, the on-disk format, and the verifier.
//
// An [Event] says who did what, when, with which model, using which data and with what result. A record of it in the
// log is a [Leaf], small and public, and a body of sealed sections beside it. The leaves are the entries of an
// RFC 6962 Merkle tree whose checkpoints are signed (C2SP tlog-checkpoint) and served as tlog-tiles.
//
// The format is described byte by byte in docs/format.md; the constants here are part of it and do not change.
// Nothing in this package holds a key of the log, starts a server or needs cgo; only [Client], [Transport] and [VerifyURL]
// touch the network. Client is also the SDK of applications: it records what no gateway sees.
package steno
