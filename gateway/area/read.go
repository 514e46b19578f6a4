package area

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// Read returns the footprint in the JSON of a STAC item, or of any object with a top-level member geometry or bbox:
// the geometry, or the box if the geometry is missing or unusable. It returns nil if there is neither. Data is not
// retained, and must not change until Read returns.
func Read(data []byte) *Footprint {
	text := unsafe.String(unsafe.SliceData(data), len(data))
	var geometry, bbox string
	err := members(text, func(name, value string) error {
		switch {
		case name == "geometry" && geometry == "":
			geometry = value
		case name == "bbox" && bbox == "":
			bbox = value
		}
		return nil
	})
	if err != nil {
		return nil
	}
	r := reader{text: geometry, left: maxFootprint}
	if r.object(maxNesting) == nil && len(r.shapes) > 0 {
		return &Footprint{around(r.shapes)}
	}
	if bbox == "" {
		return boxOf(geometry)
	}
	var numbers []float64
	err = elements(bbox, func(value string) error {
		n, err := strconv.ParseFloat(value, 64)
		if numbers = append(numbers, n); len(numbers) > 6 {
			return errJSON
		}
		return err
	})
	if err != nil {
		return nil
	}
	shapes, err := boxShapes(numbers)
	if err != nil {
		return nil
	}
	return &Footprint{around(shapes)}
}

// boxOf returns the bounding boxes of a geometry that has too many vertices to test each of them.
func boxOf(geometry string) *Footprint {
	r := reader{text: geometry, left: len(geometry)}
	if r.object(maxNesting) != nil || len(r.shapes) == 0 {
		return nil
	}
	for i := range r.shapes {
		r.shapes[i] = newShape(true, r.shapes[i].ring())
	}
	return &Footprint{around(r.shapes)}
}

// reader reads GeoJSON.
type reader struct {
	text   string
	shapes []shape
	left   int  // vertices that may still follow
	strict bool // true for an area, false for a footprint
}

var (
	errVertices = errors.New("too many vertices; simplify the geometry")
	errPosition = errors.New("a position must be a pair of longitude and latitude in degrees")
)

// object reads a geometry, a Feature or a FeatureCollection.
func (r *reader) object(depth int) error {
	if depth == 0 {
		return fmt.Errorf("collections are nested deeper than %d levels; flatten them", maxNesting)
	}
	found := map[string]string{}
	err := members(r.text, func(name, value string) error {
		switch name {
		case "type", "coordinates", "geometries", "geometry", "features":
			found[name] = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	inner := func(value string) error {
		if value == "null" {
			return nil // an unlocated Feature
		}
		outer := r.text
		r.text = value
		err := r.object(depth - 1)
		r.text = outer
		return err
	}
	switch kind := strings.Trim(found["type"], `"`); kind {
	case "Feature":
		return inner(found["geometry"])
	case "FeatureCollection":
		return elements(found["features"], inner)
	case "GeometryCollection":
		return elements(found["geometries"], inner)
	default:
		return r.geometry(kind, found["coordinates"])
	}
}

func (r *reader) geometry(kind, coordinates string) error {
	each := func(f func(string) error) error { return elements(coordinates, f) }
	switch kind {
	case "Point":
		return r.point(coordinates)
	case "MultiPoint":
		return each(r.point)
	case "LineString":
		return r.line(coordinates)
	case "MultiLineString":
		return each(r.line)
	case "Polygon":
		return r.polygon(coordinates)
	case "MultiPolygon":
		return each(r.polygon)
	default:
		return fmt.Errorf("%q is not a GeoJSON type; write Polygon, MultiPolygon or another type", shorten(kind))
	}
}

func shorten(text string) string { return text[:min(len(text), 40)] }

func (r *reader) point(text string) error {
	p, err := r.position(text)
	if err != nil {
		return err
	}
	r.shapes = append(r.shapes, newShape(false, []point{p}))
	return nil
}

func (r *reader) line(text string) error {
	path, err := r.path(text)
	if err != nil {
		return err
	}
	if len(path) == 0 {
		return errPosition
	}
	if !r.strict {
		path, _ = shortWay(path)
	}
	r.shapes = append(r.shapes, newShape(false, path))
	return nil
}

func (r *reader) polygon(text string) error {
	var rings [][]point
	err := elements(text, func(value string) error {
		ring, err := r.path(value)
		if err != nil {
			return err
		}
		if len(ring) > 0 && ring[0] != ring[len(ring)-1] {
			ring = append(ring, ring[0])
		}
		if len(ring) < 4 && (r.strict || len(ring) == 0) {
			return errors.New("a ring has fewer than four positions, of which the last repeats the first")
		}
		rings = append(rings, ring)
		return nil
	})
	if err != nil {
		return err
	}
	if len(rings) == 0 {
		return errors.New("a polygon has no ring")
	}
	if !r.strict {
		untangle(rings)
	}
	r.shapes = append(r.shapes, newShape(len(rings[0]) >= 4, rings...))
	return nil
}

func (r *reader) path(text string) (path []point, err error) {
	err = elements(text, func(value string) error {
		p, err := r.position(value)
		path = append(path, p)
		return err
	})
	return path, err
}

func (r *reader) position(text string) (p point, err error) {
	if r.left--; r.left < 0 {
		return p, errVertices
	}
	n := 0
	err = elements(text, func(value string) error {
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return errPosition
		}
		switch n++; n {
		case 1:
			p.x = number
		case 2:
			p.y = number
		}
		return nil
	})
	if err != nil || n < 2 || !(math.Abs(p.x) <= turn+halfTurn && math.Abs(p.y) <= latitudeBound) { // refuses NaN, too
		return p, errPosition
	}
	return p, nil
}

// untangle makes the rings of a footprint go the short way around the Earth, and lets a ring around a pole enclose it.
func untangle(rings [][]point) {
	outer, around := shortWay(rings[0])
	if around != 0 { // it encloses the pole to which it is nearer
		sum := 0.0
		for _, p := range outer {
			sum += p.y
		}
		pole := math.Copysign(latitudeBound, sum)
		outer = append(outer, point{outer[len(outer)-1].x, pole}, point{outer[0].x, pole}, outer[0])
	}
	rings[0] = outer
	bounds := newShape(true, outer).box
	for i, hole := range rings[1:] {
		hole, _ = shortWay(hole)
		at := newShape(true, hole).box
		by := 0.0
		if at.maxX < bounds.minX {
			by = turn
		} else if at.minX > bounds.maxX {
			by = -turn
		}
		for j := range hole {
			hole[j].x += by
		}
		rings[i+1] = hole
	}
}

// shortWay returns the path with no step longer than half a turn, if that makes it narrower, and how many turns around
// the Earth a ring then makes. A step of exactly one turn crosses the antimeridian, unless that would leave an empty
// shape: then it spans the whole Earth, as in the footprint of a global product.
func shortWay(path []point) ([]point, int) {
	jumps, whole := false, false
	for i := 1; i < len(path); i++ {
		step := math.Abs(path[i].x - path[i-1].x)
		jumps, whole = jumps || step > halfTurn, whole || step == turn
	}
	if !jumps {
		return path, 0
	}
	short := make([]point, len(path))
	short[0] = path[0]
	for i := 1; i < len(path); i++ {
		step := math.Remainder(path[i].x-path[i-1].x, turn)
		short[i] = point{short[i-1].x + step, path[i].y}
	}
	turns := int(math.Round((short[len(short)-1].x - short[0].x) / turn))
	was, is := newShape(false, path).box, newShape(false, short).box
	switch narrower := is.maxX-is.minX < was.maxX-was.minX; {
	case whole && (turns != 0 || is.maxX == is.minX):
		return path, 0
	case path[0] == path[len(path)-1] && turns != 0:
		return short, turns
	case narrower:
		return short, 0
	}
	return path, 0
}
