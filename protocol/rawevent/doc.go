// Package rawevent holds a CloudEvent as it travels: each attribute as the canonical text that stands on the wire, and
// the data as bytes that nobody has looked into.
//
// It exists because event.Event of the CloudEvents SDK parses times and URLs and writes them back changed, truncates
// numbers, takes the last of two equal keys and does not percent-decode HTTP headers. A gateway has to pass on what it
// got. So the decoders here are strict about what the CloudEvents specification (1.0.2) says, tolerant where its
// bindings tell readers to be, and never rewrite a value that is valid; the encoders are strict.
//
//   - [FromHTTP] and [Event.WriteHTTP] speak the HTTP protocol binding in binary mode,
//   - [FromJSON], [BatchFromJSON], [Event.AppendJSON] and [AppendBatch] the JSON event format and its batch,
//   - [Event.Validate] checks an event that was put together in Go.
//
// The package imports the standard library only.
package rawevent
