// Package source is what all sources share: the contract ([Config], [Source]), the [Outbox] through which a source
// publishes and saves its checkpoint in one atomic step, the seen items that keep it from publishing anything twice,
// the commands of operators, and the [Runner] that runs a source on one replica at a time. The source types are in the
// packages below.
package source
