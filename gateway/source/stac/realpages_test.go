package stac

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// TestPagesOfRealServers reads answers that are modelled on those of two public services, files {"request", "response"}, and,
// where STAC_PAGES names a folder, recorded ones, which are not part of the project. Every item on them makes a valid event
// in each profile.
func TestPagesOfRealServers(t *testing.T) {
	t.Parallel()
	var files []string
	for _, folder := range []string{filepath.Join("testdata", "pages"), os.Getenv("STAC_PAGES")} {
		found, err := filepath.Glob(filepath.Join(folder, "*-page*.json"))
		if err != nil || folder != "" && len(found) == 0 {
			t.Fatalf("no pages in %s, %v", folder, err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		raw, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			t.Fatal(err)
		}
		var recorded struct {
			Request  struct{ URL string }
			Response json.RawMessage
		}
		if err := json.Unmarshal(raw, &recorded); err != nil {
			t.Fatal(err)
		}
		from, err := url.Parse(recorded.Request.URL)
		if err != nil {
			t.Fatal(err)
		}
		p, err := decodePage(bytes.NewReader(recorded.Response), from)
		if err != nil || len(p.items) == 0 || p.next == nil {
			t.Fatalf("%s: %+v, %v", file, p, err)
		}
		if _, err := p.next.follow(&request{method: "POST", url: from, body: map[string]any{}}, from); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for _, profile := range profiles() {
			c := NewConfig()
			c.URL, c.Event.Profile = recorded.Request.URL, profile
			checkItems(t, p, c)
		}
	}
}

func checkItems(t *testing.T, p *page, c *Config) {
	t.Helper()
	m, err := newMapper(p.from, c, "watch")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, raw := range p.items {
		i, err := parseItem(raw)
		if err != nil {
			t.Fatal(err)
		}
		version, err := i.version()
		if err != nil {
			t.Fatal(err)
		}
		e, err := m.event(i, i.Collection, version, opCreate, p.from)
		if err != nil {
			t.Fatal(err)
		}
		if ids[e.ID()] || e.Subject() == "" {
			t.Errorf("%s: %s", i.ID, e.ID())
		}
		ids[e.ID()] = true
	}
}
