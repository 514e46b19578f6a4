// Package rawevent holds a CloudEvent as it travels: each attribute as the canonical text on the wire, and the data as
// bytes that are passed on unparsed.
//
// It exists because event.Event of the CloudEvents SDK parses times and URLs and writes them back changed, truncates
// numbers, keeps the last of two equal keys and does not percent-decode HTTP headers. A gateway must pass on exactly
// what it received. The decoders are therefore strict where the CloudEvents specification (1.0.2) has a rule, tolerant
// where its protocol bindings tell readers to be, and never rewrite a valid value. The encoders are strict.
//
//   - [FromHTTP] and [Event.WriteHTTP] implement the HTTP protocol binding in binary mode.
//   - [FromJSON], [BatchFromJSON], [Event.AppendJSON] and [AppendBatch] implement the JSON event format and its batch
//     format.
//   - [Event.Validate] checks an event that was built in Go.
//   - [Lenient] reads what careless senders produce and reports what it changed.
//
// The package imports no other module, and of this one internal/charset only.
package rawevent
