// Package replay delivers what is in a stream to one subscription once more, and moves the position of a subscription.
package replay
