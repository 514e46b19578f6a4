package layout_test

import (
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// TestCloudEventsLayoutReadsTheBinding reads the specification's test vectors: the layouts CloudEvents and Auto read
// each entry of the binding as Entry.Event does, and refuse invalid events.
func TestCloudEventsLayoutReadsTheBinding(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../testdata/spec/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Read []struct {
			Name  string
			Entry [][]peerValue
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Read) < 50 {
		t.Fatalf("%d vectors, %v", len(vectors.Read), err)
	}
	for _, name := range []string{layout.CloudEvents, layout.Auto} {
		l := newLayout(t, layout.Config{Name: name})
		for _, v := range vectors.Read {
			peer := peerEntry{ID: "1700000000123-0", Fields: v.Entry}
			entry := peer.entry()
			if !l.Native(&entry) {
				continue
			}
			want, wantErr := entry.Event()
			if wantErr == nil {
				if invalid := want.Validate(); invalid != nil {
					want, wantErr = rawevent.Event{}, entry.Reject(redisstreams.ErrMalformed, invalid.Error())
				}
			}
			got, err := l.Event(&entry)
			if diff := cmp.Diff(want, got); diff != "" || !errors.Is(err, errors.Unwrap(wantErr)) || (err == nil) != (wantErr == nil) {
				t.Errorf("%s, %s: error %v, want %v\n%s", name, v.Name, err, wantErr, diff)
			}
		}
	}
}
