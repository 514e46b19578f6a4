package stacsample

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"time"
)

// SceneCollection is the collection of [Scenes].
const SceneCollection = "sentinel-2-l2a"

const (
	cogType        = "image/tiff; application=geotiff; profile=cloud-optimized"
	revisit        = 5 * 24 * time.Hour // between two passes
	tileInterval   = 14 * time.Second   // between two tiles of a pass
	publishLatency = 3 * time.Hour      // from acquisition to the catalogue
	tileWidth      = 1.24               // in degrees, of 109.8 km at 39 degrees north
	tileHeight     = 0.99
	tileCount      = 9 // of a pass
)

// tile is a tile of the Sentinel-2 grid with its south-western corner.
type tile struct {
	name        string
	west, south float64
}

// tiles returns the tiles of Northern California, from north to south.
func tiles() [tileCount]tile {
	return [tileCount]tile{
		{"10TDL", -124.18, 40.55}, {"10TEL", -123.00, 40.56}, {"10TFL", -121.82, 40.54},
		{"10TDK", -124.17, 39.65}, {"10TEK", -123.00, 39.66}, {"10TFK", -121.83, 39.64},
		{"10SDJ", -124.15, 38.75}, {"10SEJ", -123.00, 38.76}, {"10SFJ", -121.85, 38.74},
	}
}

// Scenes returns n Sentinel-2 scenes over Northern California in the order of their acquisition, which begins at start.
// The same arguments give the same scenes. A pass has nine scenes, 14 s apart; there is a pass every five days, by
// Sentinel-2A and 2B in turn. Scenes are created and updated about three hours after their acquisition.
func Scenes(n int, start time.Time) []Item {
	items := make([]Item, 0, max(n, 0))
	for i := range n {
		pass, inPass := i/tileCount, i%tileCount
		acquired := start.Add(time.Duration(pass)*revisit + time.Duration(inPass)*tileInterval)
		scene := newScene(SceneCollection, i, 0, acquired)
		scene.Created = scene.Datetime.Add(publishLatency + time.Duration(i%7)*time.Minute)
		scene.Updated = scene.Created
		items = append(items, scene)
	}
	return items
}

// Publish adds a new scene to the collection after each interval, and then calls onNew with it unless that is nil. The
// datetime, created and updated of a scene are the time of its addition. Publish blocks until ctx ends and then returns
// nil. If every is not positive, it returns an error at once.
func (c *Catalog) Publish(ctx context.Context, collection string, every time.Duration, onNew func(Item)) error {
	if every <= 0 {
		return fmt.Errorf("publish scenes: the interval %v is not positive", every)
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if ctx.Err() != nil { // both were ready
			return nil
		}
		scene := c.putScene(collection, i, time.Now())
		if onNew != nil {
			onNew(scene)
		}
	}
}

// putScene adds the i-th scene, with the first free sequence number of that day.
func (c *Catalog) putScene(collection string, i int, now time.Time) Item {
	for sequence := 0; ; sequence++ {
		scene := newScene(collection, i, sequence, now.Truncate(time.Microsecond))
		scene.Created, scene.Updated = scene.Datetime, scene.Datetime
		if c.putNew(scene) {
			return scene
		}
	}
}

func newScene(collection string, i, sequence int, acquired time.Time) Item {
	where, satellite := tiles()[i%tileCount], "AB"[i/tileCount%2]
	acquired = acquired.UTC()
	id := fmt.Sprintf("S2%c_%s_%s_%d_L2A", satellite, where.name, acquired.Format("20060102"), sequence)
	return Item{
		Collection: collection,
		ID:         id,
		Datetime:   acquired,
		BBox:       [4]float64{where.west, where.south, round(where.west + tileWidth), round(where.south + tileHeight)},
		CloudCover: round(float64((i+sequence)*7919%10007) / 10007 * 100),
		Assets:     sceneAssets(collection, id),
		Extra: map[string]any{
			"platform": fmt.Sprintf("sentinel-2%c", satellite-'A'+'a'), "constellation": "sentinel-2",
			"instruments": []string{"msi"}, "gsd": 10, "grid:code": "MGRS-" + where.name, "proj:code": "EPSG:32610",
			"s2:product_type": "S2MSI2A", "s2:processing_baseline": "05.11", "s2:sequence": fmt.Sprint(sequence),
		},
	}
}

// sceneAssets returns links to files that do not exist.
func sceneAssets(collection, id string) map[string]Asset {
	file := func(name, mediaType, title, role string) Asset {
		href := "https://example.com/data/" + url.PathEscape(collection) + "/" + url.PathEscape(id) + "/" + name
		return Asset{Href: href, Type: mediaType, Title: title, Roles: []string{role}}
	}
	return map[string]Asset{
		"red":              file("B04.tif", cogType, "Red, 10 m", "data"),
		"nir":              file("B08.tif", cogType, "Near infrared, 10 m", "data"),
		"visual":           file("TCI.tif", cogType, "True colour image", "visual"),
		"thumbnail":        file("preview.jpg", "image/jpeg", "Thumbnail", "thumbnail"),
		"granule_metadata": file("metadata.xml", "application/xml", "Granule metadata", "metadata"),
	}
}

// round removes the noise of binary floating point, so that the JSON is short.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }
