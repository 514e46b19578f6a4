package gateway

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

// areaBoard finds out, once for each entry of a stream, which areas of all subscriptions its event meets: otherwise a
// thousand subscriptions would read the same footprint a thousand times, and look at an area each.
type areaBoard struct {
	mu     sync.Mutex
	areas  map[*area.Area]int // numbers
	index  *area.Index        // nil: to be made
	recent map[string][]int   // of the entries last seen, the numbers of the areas that they meet
	order  []string           // of recent, the oldest first
}

// recentEntries is how many entries an areaBoard remembers: subscriptions read the same ones within moments.
const recentEntries = 256

func newAreaBoard() *areaBoard { return &areaBoard{areas: map[*area.Area]int{}} }

func (b *areaBoard) add(a *area.Area) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.areas[a], b.index = 0, nil
}

func (b *areaBoard) remove(a *area.Area) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.areas, a)
	b.index = nil
}

// forgetAreas takes the areas of a subscription that does not run off the board.
func (s *subscription) forgetAreas() {
	for _, a := range s.areas {
		s.env.areas.remove(a)
	}
}

// meets reports whether the event of an entry meets the area, which was added.
func (b *areaBoard) meets(a *area.Area, e *rawevent.Event, entry string) bool {
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

func (b *areaBoard) rebuild() {
	list := make([]*area.Area, 0, len(b.areas))
	for a := range b.areas {
		b.areas[a] = len(list)
		list = append(list, a)
	}
	b.index, b.recent, b.order = area.NewIndex(list), map[string][]int{}, make([]string, 0, recentEntries)
}

// compile returns the predicate of the area: by the board, or without one by itself.
func (c *IntersectsConfig) compile(board *areaBoard) (predicate, []*area.Area) {
	a, err := c.area()
	if err != nil {
		return func(*rawevent.Event, string) (bool, error) { return false, err }, nil // Validate has refused it
	}
	if board == nil {
		return func(e *rawevent.Event, _ string) (bool, error) {
			footprint := area.Read(e.Data)
			return footprint != nil && a.Intersects(footprint), nil
		}, nil
	}
	board.add(a)
	return func(e *rawevent.Event, entry string) (bool, error) { return board.meets(a, e, entry), nil }, []*area.Area{a}
}
