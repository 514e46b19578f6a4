// Package area tells whether the footprint of a STAC item meets an area of interest, for many areas at once.
//
// Geometry is planar, in degrees of longitude and latitude, as with the parameter intersects of a STAC API, and closed: what
// touches meets. Positions with heights are read without them.
//
// # Antimeridian and poles
//
// An [Area] is read by the letter of RFC 7946: what crosses the antimeridian is cut there, or has longitudes beyond 180
// degrees; a box whose west is greater than its east crosses it (section 5.2). A [Footprint] is what a provider has
// written, and is read in the way that makes sense: a ring that jumps by more than 180 degrees between two vertices, and is
// narrower when it is taken to go the short way, goes the short way; one that goes around a pole encloses it. Closing
// vertices may be missing, rings may have any direction and cross themselves.
//
// # Cost
//
// Footprints of more than 2,000 vertices count as their box. Reading one takes about a microsecond for each 1 KB of data, whatever else the item holds; an [Index] then finds
// those of many areas that it meets (BenchmarkIndex).
package area

import (
	"errors"
	"fmt"
	"math"
)

// Bounds of what is read.
const (
	maxText       = 1 << 20 // bytes of an area
	maxVertices   = 10_000  // of an area
	maxFootprint  = 2_000   // vertices of a footprint; of a larger one the box counts
	maxNesting    = 8       // of collections in collections
	halfTurn      = 180.0
	turn          = 360.0
	latitudeBound = 90.0
)

// point is longitude and latitude.
type point struct{ x, y float64 }

// box is closed; one that holds nothing is upside down.
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
	paths  [][]point // one for a point or a line; the rings of a polygon, closed, the outer one first
	filled bool
}

func newShape(filled bool, paths ...[]point) shape {
	s := shape{box: emptyBox(), paths: paths, filled: filled}
	for _, p := range paths[0] {
		s.add(p)
	}
	return s
}

// shifted returns the shape so many degrees further east.
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

// Area is an area of interest. It is immutable and safe for concurrent use. Get one from [Parse] or [Box].
type Area struct{ shapes []shape }

// Footprint is where an item is. Get one from [Read].
type Footprint struct{ shapes []shape }

// Parse reads an area from GeoJSON: a geometry, a Feature or a FeatureCollection, of at most 1 MiB and 10,000 vertices.
func Parse(geojson string) (*Area, error) {
	if len(geojson) > maxText {
		return nil, fmt.Errorf("the area has %d bytes, more than %d; simplify it", len(geojson), maxText)
	}
	r := reader{text: geojson, left: maxVertices, strict: true}
	if err := r.object(maxNesting); err != nil {
		return nil, err
	}
	if len(r.shapes) == 0 {
		return nil, errors.New("the area is empty; give a geometry with coordinates")
	}
	return &Area{around(r.shapes)}, nil
}

// Box returns the area of a bounding box: west, south, east, north in degrees, or six numbers with heights. West may be
// greater than east across the antimeridian.
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
		return nil, fmt.Errorf("%d numbers are no bounding box; write west, south, east, north", len(n))
	}
	b := box{n[0], n[1], n[2], n[3]}
	if !(math.Abs(b.minX) <= turn && math.Abs(b.maxX) <= turn && math.Abs(b.minY) <= latitudeBound && math.Abs(b.maxY) <= latitudeBound && b.minY <= b.maxY) {
		return nil, fmt.Errorf("%v is no bounding box; write west, south, east, north in degrees", n)
	}
	if b.minX > b.maxX { // across the antimeridian
		b.maxX += turn
	}
	return []shape{newShape(true, b.ring())}, nil
}

// around adds, for each shape that reaches beyond 180 degrees, where that is on the other side.
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
