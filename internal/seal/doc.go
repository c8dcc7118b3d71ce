// Package seal holds the keys and turns drafts into sealed records and back.
//
// What enters are drafts in the clear and, for opening, leaves with their bodies;
// what leaves are leaves and bodies of ciphertext, as docs/format.md describes them
// byte by byte. The package knows nothing of HTTP or of the log's files.
//
// The only thing it makes durable is the key ring: a file that is replaced as a
// whole when a day key or a block of aliases is opened and when something is
// destroyed, never on the way of a record. A method that changes the ring returns
// nil once the new ring is durable; the old one counts until then.
//
// Never done: storing an ancestor of a punctured node or anything between a leaf
// key and a record key, sealing twice under one seal id, deciding by a cache that
// something is already in the log, keeping a hash of a text where it outlives it.
package seal
