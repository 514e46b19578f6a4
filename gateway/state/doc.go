// Package state is what several parts share of the gateway's state in Redis: the names of all keys, leases, positions
// in a stream, and inboxes.
package state
