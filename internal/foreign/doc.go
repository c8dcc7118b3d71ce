// Package foreign reads what others write as events of steno: CloudEvents, the flat object of a hand-written log, and the
// exports of providers, gateways and observability tools.
//
// Bytes of somebody else's format enter; submissions leave, each with an origin (source and id) that is the same each time
// the same bytes are read, so that nothing is recorded twice. A record that cannot be read is an error that says what is
// wrong with it and what would be right, and the ones after it are read all the same. Nothing is dropped in silence: a
// member that has no place in an event goes into its details or links. No network, no clock, no state.
package foreign
