// Package dialect reads the wire formats of model providers: a grammar for each, and one reader of what all of them have.
//
// Enters: the bytes of a request or an answer as they were on the wire, content encoding undone (Decode does that). Leaves: the same
// bytes cut into pieces (steno.Join gives them back exactly), the facts of the event model that stand in them, the
// places of the words that checks look at, and a transcript for people. A Stream reads the events of an answer as they
// come and says how many bytes may be passed on: terminal events are held, because no answer may be complete for the
// caller before its record is durable.
//
// Nothing here is durable, opens a connection, or knows a key. Nothing fails: what is not understood is one piece of
// kind body and a reason. No fact that becomes metadata quotes a prompt or an answer, apart from names and titles
// (models, tools, documents), which are bounded in length. Slices handed out share memory with the body they came from.
package dialect
