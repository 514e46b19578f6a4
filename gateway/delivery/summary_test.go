package delivery

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
)

// TestDeadLettersAreSummedUp: the first of a row is logged at once, the others as one line in a minute with their
// number.
func TestDeadLettersAreSummedUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var s summary
		logs := &redistest.LogBuffer{}
		log := slog.New(slog.NewTextHandler(logs, nil))
		for i := range 1000 {
			s.note(log, func(log *slog.Logger) { log.Error("refused", "n", i) })
		}
		lines := func() []string { return strings.Split(strings.TrimSpace(logs.String()), "\n") }
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], "n=0") {
			t.Fatalf("%q, want the first at once", got)
		}
		time.Sleep(summaryPeriod + time.Second)
		if got := lines(); len(got) != 2 || !strings.Contains(got[1], "dead_letters=999") || !strings.Contains(got[1], "n=999") {
			t.Fatalf("%q, want one line about 999", got)
		}
		time.Sleep(2 * summaryPeriod)
		for i := range 3 {
			s.note(log, func(log *slog.Logger) { log.Error("refused", "n", fmt.Sprint("later-", i)) })
		}
		s.flush(log)
		if got := lines(); len(got) != 4 || !strings.Contains(got[2], "later-0") || !strings.Contains(got[3], "dead_letters=2") {
			t.Fatalf("%q, want the first of the next row, and the rest at the end", got)
		}
	})
}
