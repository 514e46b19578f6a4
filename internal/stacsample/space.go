package stacsample

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// box is west, south, east, north. West is greater than east in a box that crosses the antimeridian.
type box [4]float64

func (q *query) compileBBox(*Quirks) (predicate, error) {
	var b box
	switch n := q.BBox; len(n) {
	case 0:
		if n != nil {
			return nil, errors.New("bbox is empty")
		}
		return nil, nil
	case 4:
		b = box(n)
	case 6: // with heights
		b = box{n[0], n[1], n[3], n[4]}
	default:
		return nil, fmt.Errorf("bbox has %d numbers, not 4 or 6", len(n))
	}
	if b[1] > b[3] {
		return nil, fmt.Errorf("bbox's south %g is greater than its north %g", b[1], b[3])
	}
	return b.matches, nil
}

// compileIntersects compares bounding boxes only, which is exact for rectangles.
func (q *query) compileIntersects(*Quirks) (predicate, error) {
	if q.Intersects == nil {
		return nil, nil
	}
	var geometry struct {
		Type        string
		Coordinates any
		Geometries  []struct{ Coordinates any }
	}
	if err := json.Unmarshal(q.Intersects, &geometry); err != nil {
		return nil, fmt.Errorf("parse intersects: %w", err)
	}
	bounds := box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	bounds.extend(geometry.Coordinates)
	for _, part := range geometry.Geometries {
		bounds.extend(part.Coordinates)
	}
	if geometry.Type == "" || bounds[0] > bounds[2] {
		return nil, errors.New("intersects is not a GeoJSON geometry")
	}
	return bounds.matches, nil
}

// extend extends the box to include nested GeoJSON coordinates.
func (b *box) extend(coordinates any) {
	list, _ := coordinates.([]any)
	if len(list) >= 2 {
		x, isX := list[0].(float64)
		y, isY := list[1].(float64)
		if isX && isY {
			*b = box{min(b[0], x), min(b[1], y), max(b[2], x), max(b[3], y)}
			return
		}
	}
	for _, one := range list {
		b.extend(one)
	}
}

func (b box) matches(item *Item) bool {
	i := item.BBox
	if !item.hasBBox() || i[3] < b[1] || i[1] > b[3] {
		return false
	}
	if b[0] <= b[2] {
		return i[0] <= b[2] && i[2] >= b[0]
	}
	return i[2] >= b[0] || i[0] <= b[2]
}
