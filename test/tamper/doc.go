// Package tamper has tests alone: it changes logs that the real writer wrote, and looks whether the verifier notices.
package tamper
