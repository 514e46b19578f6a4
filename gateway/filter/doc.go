// Package filter decides which events a subscription wants: the dialects of the CloudEvents Subscriptions API, CESQL,
// and areas of interest. A filter is compiled once and evaluated without allocation.
package filter
