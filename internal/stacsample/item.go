package stacsample

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Item is one item of a [Catalog]. A field with its zero value is left out of answers. The catalogue copies the maps
// and slices of the item, but not what the values of Extra point to.
type Item struct {
	Collection string    // identifies the item together with ID
	ID         string    // unique in the collection
	Datetime   time.Time // zero: datetime is null, and Start and End give the range
	Start      time.Time // start_datetime
	End        time.Time // end_datetime

	Updated time.Time // when the metadata changed; never set by the catalogue
	Created time.Time // when the metadata was created; never set by the catalogue

	BBox       [4]float64       // west, south, east, north; zero: no bbox and a null geometry
	CloudCover float64          // eo:cloud_cover in percent; always written
	Assets     map[string]Asset // by key
	NoSelf     bool             // no self link, which the specification allows
	Extra      map[string]any   // additional properties, which override the fields above
}

// Asset is a file of an [Item].
type Asset struct {
	Href  string   `json:"href"`
	Type  string   `json:"type,omitempty"`
	Title string   `json:"title,omitempty"`
	Roles []string `json:"roles,omitempty"`
}

func (i *Item) clone() Item {
	out := *i
	out.Extra = maps.Clone(i.Extra)
	out.Assets = maps.Clone(i.Assets)
	for key, asset := range out.Assets {
		asset.Roles = slices.Clone(asset.Roles)
		out.Assets[key] = asset
	}
	return out
}

// span returns the range of times of the item, and false if it has none.
func (i *Item) span() (from, to time.Time, ok bool) {
	if !i.Datetime.IsZero() {
		return i.Datetime, i.Datetime, true
	}
	return i.Start, i.End, !i.Start.IsZero() && !i.End.IsZero()
}

// properties returns the member properties. It always has a datetime, which may be null, as the specification requires.
func (i *Item) properties(padding int) map[string]any {
	p := map[string]any{"datetime": nil, "eo:cloud_cover": i.CloudCover}
	for key, t := range map[string]time.Time{
		"datetime": i.Datetime, "start_datetime": i.Start, "end_datetime": i.End,
		"created": i.Created, "updated": i.Updated,
	} {
		if !t.IsZero() {
			p[key] = formatTime(t)
		}
	}
	if padding > 0 {
		p["description"] = strings.Repeat("x", padding)
	}
	maps.Copy(p, i.Extra)
	return p
}

// polygon returns the footprint, or nil without a bbox.
func (i *Item) polygon() any {
	if !i.hasBBox() {
		return nil
	}
	w, s, e, n := i.BBox[0], i.BBox[1], i.BBox[2], i.BBox[3]
	ring := [][2]float64{{w, s}, {e, s}, {e, n}, {w, n}, {w, s}}
	return map[string]any{"type": "Polygon", "coordinates": [][][2]float64{ring}}
}

func (i *Item) hasBBox() bool { return i.BBox != [4]float64{} }

func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
