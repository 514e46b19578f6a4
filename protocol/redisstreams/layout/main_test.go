package layout_test

import (
	"testing"

	"github.com/streamgate/streamgate/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }
