package stacsample

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Item is one item of a [Catalog]. The zero value of a field leaves it out of the answer. The catalogue copies the item's
// maps and slices, but not what Extra's values point to.
type Item struct {
	Collection string    // with ID the identity of the item
	ID         string    // unique in the collection
	Datetime   time.Time // zero: datetime is null and Start and End say when
	Start      time.Time // start_datetime
	End        time.Time // end_datetime

	Updated time.Time // when the metadata changed; the catalogue never stamps it
	Created time.Time // when the metadata appeared; the catalogue never stamps it

	BBox       [4]float64       // west, south, east, north; zero: no bbox and a null geometry
	CloudCover float64          // eo:cloud_cover in percent, always written
	Assets     map[string]Asset // by key
	NoSelf     bool             // no self link, which the specification allows
	Extra      map[string]any   // more properties; they win over the fields above
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

// span returns the times that the item covers, and false if it has none.
func (i *Item) span() (from, to time.Time, ok bool) {
	if !i.Datetime.IsZero() {
		return i.Datetime, i.Datetime, true
	}
	return i.Start, i.End, !i.Start.IsZero() && !i.End.IsZero()
}

// properties builds the properties member. datetime is always there, null if need be, as the specification asks.
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

// polygon returns the footprint, nil without a bbox.
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
