// Package source lists the source types that this gateway has, and holds the small ones. To add one: a file here (or a
// folder, if it is big), a line in [Types], a case in the contract test, a block in config.example.yaml and a heading in
// docs/sources.md; tests are red until all of them are there.
package source

import (
	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// Types returns every source type.
func Types() []gateway.SourceType {
	return []gateway.SourceType{
		stac.Type(),
		redisType(),
		cronType(),
		generatorType(),
		fileType(),
		httpType(),
	}
}
