// Package ingress takes events in over HTTP: binary, structured and batched mode of the CloudEvents HTTP protocol
// binding, limits on what a stranger can send, and the handshake of web hooks. An event is answered with 202 after the
// stream has it.
package ingress
