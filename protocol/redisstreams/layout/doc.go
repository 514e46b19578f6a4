// Package layout reads stream entries of other programs as CloudEvents, in place: Dapr, TriggerMesh, Watermill,
// Redpanda Connect, FastStream, Debezium Server, the flat entries of the notebook that Streamgate comes from,
// CloudEvents in JSON in a field of any name, and flat entries of any other program.
//
// [New] turns a [Config] into a [Layout], which [redisstreams.WithLayout] takes. It also works without a consumer, on
// any [redisstreams.Entry].
package layout
