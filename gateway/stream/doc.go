// Package stream keeps events: the [Publisher] puts them into the configured streams, and the [Maintainer] of each
// stream measures how far behind its subscriptions are, saves their positions and removes what retention lets go.
package stream
