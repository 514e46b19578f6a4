package stac

import (
	"log/slog"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// env is what the parts of a source share. None of it changes after the source is made.
type env struct {
	config *Config
	plan   plan
	api    *stacapi.Client
	outbox source.Outbox
	mapper mapper
	log    *slog.Logger
	now    func() time.Time

	monitor *source.Monitor // nil for none
}
