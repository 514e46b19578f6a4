// Package source lists the source types that this gateway has, and holds the small ones. To add one: a file here (or a
// folder, if it is big), a line in [Types], a case in the contract test, a block in config.example.yaml and a heading
// in docs/sources.md; tests are red until all of them are there.
package builtin

import (
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
)

// Types returns every source type.
func Types() []source.Type {
	return []source.Type{
		stac.Type(),
		redisType(),
		cronType(),
		generatorType(),
		fileType(),
		httpType(),
	}
}
