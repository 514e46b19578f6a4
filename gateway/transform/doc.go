// Package transform changes events on their way: those of a source before they are stored, or those of a subscription
// before they are delivered.
package transform
