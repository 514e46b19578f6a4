package filter

import (
	"fmt"
	"slices"
	"sync"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// IntersectsConfig is an area of interest: one of its keys.
type IntersectsConfig struct {
	// BBox is west, south, east, north in degrees; west may be greater than east across the antimeridian.
	BBox []float64 `mapstructure:"bbox"`
	// Geometry is GeoJSON as text: a geometry, a Feature or a FeatureCollection.
	Geometry string `mapstructure:"geometry"`
}

func (c *IntersectsConfig) area() (*area.Area, error) {
	switch {
	case (c.Geometry != "") == (c.BBox != nil):
		return nil, fmt.Errorf("an area is either a box or a geometry")
	case c.BBox != nil:
		return area.Box(c.BBox)
	default:
		return area.Parse(c.Geometry)
	}
}

// Board finds out, once for each entry of a stream, which areas of all subscriptions its event meets: otherwise a
// thousand subscriptions would read the same footprint a thousand times, and look at an area each.
type Board struct {
	mu     sync.Mutex
	areas  map[*area.Area]int // numbers
	index  *area.Index        // nil: to be made
	recent map[string][]int   // of the entries last seen, the numbers of the areas that they meet
	order  []string           // of recent, the oldest first
}

// recentEntries is how many entries an AreaBoard remembers: subscriptions read the same ones within moments.
const recentEntries = 256

// NewBoard returns an empty board.
func NewBoard() *Board { return &Board{areas: map[*area.Area]int{}} }

func (b *Board) add(a *area.Area) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.areas[a], b.index = 0, nil
}

func (b *Board) remove(a *area.Area) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.areas, a)
	b.index = nil
}

// meets reports whether the event of an entry meets the area, which was added.
func (b *Board) meets(a *area.Area, e *rawevent.Event, entry string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.index == nil {
		b.rebuild()
	}
	found, known := b.recent[entry]
	if !known {
		if footprint := area.Read(e.Data); footprint != nil {
			found = b.index.Query(footprint, nil)
		}
		if len(b.order) == recentEntries {
			delete(b.recent, b.order[0])
			b.order = append(b.order[:0], b.order[1:]...)
		}
		b.recent[entry], b.order = found, append(b.order, entry)
	}
	_, ok := slices.BinarySearch(found, b.areas[a])
	return ok
}

func (b *Board) rebuild() {
	list := make([]*area.Area, 0, len(b.areas))
	for a := range b.areas {
		b.areas[a] = len(list)
		list = append(list, a)
	}
	b.index, b.recent, b.order = area.NewIndex(list), map[string][]int{}, make([]string, 0, recentEntries)
}
