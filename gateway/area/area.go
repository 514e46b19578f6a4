// Package area tests whether the footprint of a STAC item intersects an area of interest, for many areas at once.
//
// Geometry is planar, in degrees of longitude and latitude, as for the parameter intersects of a STAC API. Shapes are
// closed: shapes that touch intersect. Heights are ignored.
//
// # Antimeridian and poles
//
// An [Area] is read strictly by RFC 7946: a shape that crosses the antimeridian is cut there, or has longitudes beyond
// 180 degrees; a box whose west is greater than its east crosses the antimeridian (section 5.2). A [Footprint] is
// written by a data provider and read leniently. A ring that jumps by more than 180 degrees between two vertices takes
// the short way around the Earth if that makes it narrower, and a ring around a pole encloses the pole. Closing
// vertices may be missing, and rings may have any orientation and intersect themselves.
//
// # Cost
//
// A footprint of more than 2,000 vertices counts as its bounding box. Reading a footprint takes about a microsecond per
// KB of data, whatever else the item contains; an [Index] then finds the areas that it intersects (BenchmarkIndex).
package area

import (
	"errors"
	"fmt"
	"math"
)

// Limits on the input.
const (
	maxText       = 1 << 20 // bytes of an area
	maxVertices   = 10_000  // of an area
	maxFootprint  = 2_000   // vertices of a footprint; a larger one counts as its box
	maxNesting    = 8       // of collections in collections
	halfTurn      = 180.0
	turn          = 360.0
	latitudeBound = 90.0
)

// point is longitude and latitude.
type point struct{ x, y float64 }

// box is a closed box. The empty box has its minimum above its maximum.
type box struct{ minX, minY, maxX, maxY float64 }

func emptyBox() box { return box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)} }

func (b *box) add(p point) {
	b.minX, b.minY = min(b.minX, p.x), min(b.minY, p.y)
	b.maxX, b.maxY = max(b.maxX, p.x), max(b.maxY, p.y)
}

func (b box) meets(o box) bool {
	return b.minX <= o.maxX && o.minX <= b.maxX && b.minY <= o.maxY && o.minY <= b.maxY
}

func (b box) with(o box) box {
	return box{min(b.minX, o.minX), min(b.minY, o.minY), max(b.maxX, o.maxX), max(b.maxY, o.maxY)}
}

func (b box) ring() []point {
	return []point{{b.minX, b.minY}, {b.maxX, b.minY}, {b.maxX, b.maxY}, {b.minX, b.maxY}, {b.minX, b.minY}}
}

// shape is a point, a line, or a polygon with its holes.
type shape struct {
	box
	paths  [][]point // a point or a line has one; a polygon has its closed rings, the outer ring first
	filled bool
}

func newShape(filled bool, paths ...[]point) shape {
	s := shape{box: emptyBox(), paths: paths, filled: filled}
	for _, p := range paths[0] {
		s.add(p)
	}
	return s
}

// shifted returns the shape moved east by a number of degrees.
func (s *shape) shifted(by float64) shape {
	paths := make([][]point, len(s.paths))
	for i, path := range s.paths {
		paths[i] = make([]point, len(path))
		for j, p := range path {
			paths[i][j] = point{p.x + by, p.y}
		}
	}
	return newShape(s.filled, paths...)
}

// Area is an area of interest. It is immutable and safe for concurrent use. Create one with [Parse] or [Box].
type Area struct{ shapes []shape }

// Footprint is the place of an item. It is immutable and safe for concurrent use. Create one with [Read].
type Footprint struct{ shapes []shape }

// Parse reads an area from GeoJSON: a geometry, a Feature or a FeatureCollection of at most 1 MiB and 10,000 vertices.
func Parse(geojson string) (*Area, error) {
	if len(geojson) > maxText {
		return nil, fmt.Errorf("the area has %d bytes, more than the limit of %d; simplify it", len(geojson), maxText)
	}
	r := reader{text: geojson, left: maxVertices, strict: true}
	if err := r.object(maxNesting); err != nil {
		return nil, err
	}
	if len(r.shapes) == 0 {
		return nil, errors.New("the area is empty; write a geometry with coordinates")
	}
	return &Area{around(r.shapes)}, nil
}

// Box returns the area of a bounding box: west, south, east, north in degrees, or six numbers including heights. If
// west is greater than east, the box crosses the antimeridian.
func Box(numbers []float64) (*Area, error) {
	shapes, err := boxShapes(numbers)
	if err != nil {
		return nil, err
	}
	return &Area{around(shapes)}, nil
}

func boxShapes(n []float64) ([]shape, error) {
	if len(n) == 6 {
		n = []float64{n[0], n[1], n[3], n[4]}
	}
	if len(n) != 4 {
		return nil, fmt.Errorf("a bounding box must have 4 or 6 numbers, not %d; write west, south, east, north",
			len(n))
	}
	b := box{n[0], n[1], n[2], n[3]}
	if !b.inDegrees() {
		return nil, fmt.Errorf("%v is not a valid bounding box; write west, south, east, north in degrees", n)
	}
	if b.minX > b.maxX { // across the antimeridian
		b.maxX += turn
	}
	return []shape{newShape(true, b.ring())}, nil
}

// inDegrees reports whether the box has legal longitudes and latitudes. NaN is not legal.
func (b *box) inDegrees() bool {
	return math.Abs(b.minX) <= turn && math.Abs(b.maxX) <= turn &&
		math.Abs(b.minY) <= latitudeBound && math.Abs(b.maxY) <= latitudeBound && b.minY <= b.maxY
}

// around adds a copy on the other side of the antimeridian for each shape that reaches beyond 180 degrees.
func around(shapes []shape) []shape {
	for _, s := range shapes[:len(shapes):len(shapes)] {
		if s.maxX > halfTurn {
			shapes = append(shapes, s.shifted(-turn))
		}
		if s.minX < -halfTurn {
			shapes = append(shapes, s.shifted(turn))
		}
	}
	return shapes
}

// Intersects reports whether the area and the footprint have a point in common.
func (a *Area) Intersects(f *Footprint) bool {
	for i := range a.shapes {
		for j := range f.shapes {
			if a.shapes[i].meets(&f.shapes[j]) {
				return true
			}
		}
	}
	return false
}
