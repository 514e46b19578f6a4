package redisstreams

import (
	"cmp"
	"context"
	"log/slog"
)

// outage logs failures of reading once for each outage, and spaces out the attempts during one.
type outage struct {
	code   string // of the error that was logged last; "" if reading works
	pauses backoff
}

// noted reports whether an outage has been logged that has not ended.
func (o *outage) noted() bool { return o.code != "" }

// note logs the error, unless an error with the same code was logged last, and waits. The first failure because of a
// lost group is not logged: creating it again logs the outcome.
func (o *outage) note(ctx context.Context, err error, groupGone bool, log *slog.Logger) {
	// An outage shows itself in many errors of the network: they count as one.
	code := cmp.Or(replyCode(err), "no answer")
	if code != o.code && (!groupGone || o.pauses.failing()) {
		o.code = code
		log.Warn("cannot read from the stream, trying again", "err", err)
	}
	o.pauses.pause(ctx)
}

// end notes that reading works, and logs the end of an outage.
func (o *outage) end(log *slog.Logger) {
	o.pauses.reset()
	if o.noted() {
		o.code = ""
		log.Info("reading from the stream again")
	}
}
