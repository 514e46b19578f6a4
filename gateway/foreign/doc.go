// Package foreign reads text that other programs wrote: answers of HTTP servers, files, streams of lines, secrets. Such
// text is nearly always UTF-8 without decoration, and the rest is the same everywhere: a byte order mark, UTF-16 from
// Windows, ISO-8859-1 from old servers, a compressed body that was not asked for, NaN from Python.
//
// Whatever comes out of this package is valid UTF-8 without a byte order mark, unpacked and bounded in size. Text that
// cannot be brought into that form is refused with an [*Error] that says why, in words for the operator of a gateway:
// a caller never gets, and never stores, compressed or wrongly decoded bytes under the media type of text.
//
//   - [NewReader] converts a stream piece by piece, for documents that are parsed as they arrive, and for lines.
//   - [Read] returns a whole text, and [ReadJSON] a whole JSON text, checked for its syntax.
//   - [Unpack] undoes the compression of content that need not be text.
//   - [ReadSecret] returns what a file holds that a person or an orchestrator put a secret into.
//   - [Describe] says in a few words what a text is that should have been JSON.
//
// The package imports the standard library and internal/charset only, nothing of the gateway.
package foreign
