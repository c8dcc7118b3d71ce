// Package serve is the one way out: the reading API, the tiles under /log/, and the door to the console.
//
// Requests with a token enter, and questions from Go; what leaves are rows, exchanges put back together from their
// records, exact bodies, counts, and the public half of the log, which needs no token. Every read of what people wrote is
// itself a record (security.record_read), durable before the answer goes out: where it cannot be written, the read is
// refused. A session that follows the log leaves one record at its start and at most one a minute.
//
// The index only finds: what is shown is opened from the log, and its proof is computed at the moment it is shown.
// Secrets that checks found are masked in every text unless the reader asks to see them, and that is in the record.
//
// Never done: showing a text by hiding it in the page; guessing at what is erased or missing, which is said instead;
// answering a host name that nobody configured; comparing a token in a time that tells how much of it was right.
package serve
