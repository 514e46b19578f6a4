package delivery

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestCircuitDescribesItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCircuit(10)
		expect := func(want Status) {
			t.Helper()
			var got Status
			if c.describe(&got); got.Circuit != want.Circuit || got.OpenedBy != want.OpenedBy || (got.RetryAt != nil) != (want.Circuit == "open") {
				t.Errorf("%+v, want %+v", got, want)
			}
			if got.RetryAt != nil && got.RetryAt.Before(time.Now()) {
				t.Errorf("it tries again at %s, and it is %s", got.RetryAt, time.Now())
			}
		}
		expect(Status{Circuit: "closed"})
		settleN(c, 5, 503)
		expect(Status{Circuit: "open", OpenedBy: "status 503"})
		time.Sleep(maxCircuitPause)
		c.admit(1)
		expect(Status{Circuit: "half-open", OpenedBy: "status 503"})
		c.settle("probe", status(202), true)
		expect(Status{Circuit: "closed"})
	})
}
