// Package webhook speaks the abuse protection of HTTP 1.1 Web Hooks for Event Delivery 1.0 (section 4) in both
// directions: a [Receiver] grants origins the right to deliver, and a [Sender] asks a sink for it.
package webhook
