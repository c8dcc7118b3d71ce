// Package policy decides whether a call may be made, by policies in the Cedar language.
//
// What enters are policy files and, for each call, a Question: who asks, as far as a key, a token or a certificate vouches
// for it, which model, and under which circumstances. What leaves is a Decision with the ids of the policies that made it.
// Policies are validated against the schema when they are loaded, so that a misspelt attribute is an error with a line
// and not a rule that never holds. Nothing here is durable; the caller records each decision. A set is never changed,
// a new one takes its place. Never done: reading a prompt, asking a network, permitting a call because a rule failed:
// where a forbidding policy cannot be evaluated the answer is no.
package policy
