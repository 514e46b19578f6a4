package layout_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// peerFile holds entries that a peer, or its client library, has written.
type peerFile struct {
	Peer    string      `json:"peer"`
	Entries []peerEntry `json:"entries"`
}

type peerEntry struct {
	Name   string        `json:"name"`
	ID     string        `json:"id"`
	Fields [][]peerValue `json:"fields"`
}

// peerValue is a string, or {"base64": "..."} if it is not UTF-8.
type peerValue string

func (v *peerValue) UnmarshalJSON(text []byte) error {
	if text[0] == '"' {
		return json.Unmarshal(text, (*string)(v))
	}
	var encoded struct {
		Base64 []byte `json:"base64"`
	}
	err := json.Unmarshal(text, &encoded)
	*v = peerValue(encoded.Base64)
	return err
}

func (p *peerEntry) entry() redisstreams.Entry {
	e := redisstreams.Entry{Stream: "orders", ID: p.ID}
	for _, field := range p.Fields {
		e.Fields = append(e.Fields, string(field[0]), string(field[1]))
	}
	return e
}

const peerDir = "testdata/peers"

// readPeers returns the files of entries by their layout, which is also their name.
func readPeers(t testing.TB) map[string]peerFile {
	t.Helper()
	return readPeersIn(t, peerDir)
}

func readPeersIn(t testing.TB, dir string) map[string]peerFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("there are no entries of peers in %s (%v)", dir, err)
	}
	files := map[string]peerFile{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f peerFile
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(f.Entries) == 0 {
			t.Fatalf("%s has no entries", path)
		}
		files[f.Peer] = f
	}
	return files
}

// readPeerEntry returns the event in JSON, or the error.
func readPeerEntry(l *layout.Layout, p *peerEntry) (string, error) {
	e := p.entry()
	event, err := l.Event(&e)
	if err != nil {
		return err.Error(), err
	}
	return string(event.AppendJSON(nil)), nil
}

// TestPeers reads what peers write, by their layout and by LayoutAuto, and compares it with the golden files, which
// UPDATE_GOLDEN=1 writes anew. Only redpanda-connect may be read in another way by LayoutAuto: nothing in its entries
// shows whose they are.
func TestPeers(t *testing.T) {
	t.Parallel()
	for peer, file := range readPeers(t) {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			named, auto := newLayout(t, layout.Config{Name: peer}), newLayout(t, layout.Config{})
			var got strings.Builder
			for i := range file.Entries {
				p := &file.Entries[i]
				text, _ := readPeerEntry(named, p)
				fmt.Fprintf(&got, "-- %s --\n%s\n", p.Name, text)
				textByAuto, err := readPeerEntry(auto, p)
				switch {
				case peer != layout.RedpandaConnect:
					if diff := cmp.Diff(text, textByAuto); diff != "" {
						t.Errorf("%s: auto reads it in another way:\n%s", p.Name, diff)
					}
				case err == nil:
					fmt.Fprintf(&got, "auto: %s\n", textByAuto)
				case !errors.Is(err, redisstreams.ErrUnknownEncoding):
					t.Errorf("%s: auto says %v", p.Name, err)
				}
			}
			compareGolden(t, filepath.Join(peerDir, "golden", peer+".txt"), got.String())
		})
	}
}

// TestPeersByRules reads the entries of peers that write flat fields by the rules that docs/sources.md gives for them.
func TestPeersByRules(t *testing.T) {
	t.Parallel()
	rules := map[string]layout.FieldRules{
		"taskiq": {Data: "data", ID: "data.task_id", Type: "data.task_name", Extensions: []layout.FieldExtension{{Name: "tenant", Field: "data.labels.tenant"}}},
		"bullmq": {Type: "event", JSON: []string{"returnvalue", "data"}, Extensions: []layout.FieldExtension{{Name: "jobid", Field: "jobId"}}},
	}
	files := readPeersIn(t, filepath.Join(peerDir, "fields"))
	if len(files) != len(rules) {
		t.Errorf("%d files for %d rules", len(files), len(rules))
	}
	for peer, file := range files {
		t.Run(peer, func(t *testing.T) {
			t.Parallel()
			l := newLayout(t, layout.Config{Name: layout.Fields, Fields: rules[peer]})
			var got strings.Builder
			for i := range file.Entries {
				text, err := readPeerEntry(l, &file.Entries[i])
				if err != nil {
					t.Errorf("%s: %v", file.Entries[i].Name, err)
				}
				fmt.Fprintf(&got, "-- %s --\n%s\n", file.Entries[i].Name, text)
			}
			compareGolden(t, filepath.Join(peerDir, "golden", peer+".txt"), got.String())
		})
	}
}

func compareGolden(t *testing.T, path, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}
