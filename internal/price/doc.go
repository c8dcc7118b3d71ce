// Package price says what a call cost, from a dated table that is part of the
// program.
//
// In go a provider, the model that answered, the time of the call and its
// token counts; out comes an exact sum with the date and the hash of the row
// it was worked out from, so that an old record can be checked against the
// table of its day. Prices are decimal dollars for a million tokens, sums are
// whole trillionths of a dollar: no floating point anywhere.
//
// What is not in the table is "unpriced", never 0: an unknown model, a call
// before the first known price, a kind of token the row has no figure for.
// Nothing is fetched and nothing is kept.
package price
