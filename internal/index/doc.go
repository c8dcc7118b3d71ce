// Package index follows the log and answers which exchanges and events there are.
//
// What enters are the entries of the log, opened as far as their identity, metadata and documents' names; what leaves are
// rows. Texts never enter. The newest rows are in memory, older ones in sealed Parquet files under the keys of their day: one table
// of exchanges and one of events, in which a person is an alias and every identifying value a keyed token, and one of
// names, which alone tells what a token stands for and alone has to go when a person is forgotten.
//
// A row is visible as soon as the follower has read its record; Wait tells when that is. The files, and how far the log
// was read, are durable together when a manifest that lists them is. Nothing here is needed to keep the log: whatever
// is damaged, of another log or sealed under a destroyed key is thrown away and built again from the log.
//
// Never done here: blocking an append, waiting for a slow reader, storing a value that tells who or what in clear.
package index
