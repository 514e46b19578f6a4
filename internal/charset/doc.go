// Package charset converts text in the few character encodings that senders of JSON use in practice into UTF-8: UTF-8
// with a byte order mark, UTF-16, ISO-8859-1 and windows-1252. Everything else is refused by name, and text that is not
// valid in its encoding is refused with the position of the first bad byte: nothing is ever replaced by U+FFFD.
//
// It is internal because it serves two packages that must not import each other: protocol/rawevent, which other
// programs import alone, and gateway/foreign. It imports the standard library only.
package charset
