// Package monitor is a follower of the log that says what nobody reports: that for a key and route another model is asked
// for or answers than the last time, and what a model's day was like beside the days before it.
//
// Records enter in the log's order; records leave, through the one way in. A change of a model is recorded once, whatever
// kills the process: what was announced already is found in the log itself. What is kept on disk beside the log are keyed
// hashes of the values last seen and the leaves they were seen in, so that it tells nothing without the keys and can be
// thrown away: then the first calls of each route count as the first ever.
//
// A day is computed when it is over, from the index and the records of its exchanges; what is submitted for it later is not
// in its figures. Never done here: blocking an append, or judging one call.
package monitor
