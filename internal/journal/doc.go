// Package journal is the log: it decides order and makes records durable and provable.
//
// What enters are leaves with opaque, sealed bodies. What leaves are indexes, entries in order, signed checkpoints,
// tiles and proofs. An append is durable, and its wait over, when the group it went into was written by one write and
// synced by one fdatasync; it is covered when a published checkpoint counts it. The tree's right edge lives with the
// writer; tiles are derived behind it, and each is checked against the tree when it is read back.
//
// Never done here: reading back what a failed write or sync has left and trusting it (the first failure stops the
// writer for good, and only a new Open, which copies everything not yet anchored into a new segment, goes on);
// signing a size that is not durable; opening a body; deciding by an index or a cache what is in the log.
//
// The bytes on disk are described in docs/format.md.
package journal
