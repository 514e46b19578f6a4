package area

// meets reports whether two shapes intersect. If none of their edges do, each path is wholly inside or wholly outside
// of the other shape, so that testing one of its points is enough.
func (s *shape) meets(o *shape) bool {
	if !s.box.meets(o.box) {
		return false
	}
	return s.holds(o.paths[0][0]) || o.holds(s.paths[0][0]) || s.edgesMeet(o)
}

// holds reports whether the point is inside of a polygon or on its edge. Lines and points have no inside.
func (s *shape) holds(p point) bool {
	if !s.filled || !pointIn(s.paths[0], p) {
		return false
	}
	for _, hole := range s.paths[1:] {
		if pointIn(hole, p) && !onPath(hole, p) {
			return false
		}
	}
	return true
}

// pointIn reports whether the point is inside of a ring or on it, by the even-odd rule, which also handles rings that
// intersect themselves.
func pointIn(ring []point, p point) bool {
	inside := false
	for i := range len(ring) - 1 {
		a, b := ring[i], ring[i+1]
		if onSegment(a, b, p) {
			return true
		}
		if (a.y > p.y) != (b.y > p.y) && p.x < (b.x-a.x)*(p.y-a.y)/(b.y-a.y)+a.x {
			inside = !inside
		}
	}
	return inside
}

func onPath(path []point, p point) bool {
	for i := range len(path) - 1 {
		if onSegment(path[i], path[i+1], p) {
			return true
		}
	}
	return len(path) == 1 && path[0] == p
}

func onSegment(a, b, p point) bool {
	return turnOf(a, b, p) == 0 &&
		min(a.x, b.x) <= p.x && p.x <= max(a.x, b.x) &&
		min(a.y, b.y) <= p.y && p.y <= max(a.y, b.y)
}

// turnOf is positive if the path from a through b to c turns left, negative if it turns right, and 0 if it is straight.
func turnOf(a, b, c point) float64 { return (b.x-a.x)*(c.y-a.y) - (b.y-a.y)*(c.x-a.x) }

func (s *shape) edgesMeet(o *shape) bool {
	common := box{max(s.minX, o.minX), max(s.minY, o.minY), min(s.maxX, o.maxX), min(s.maxY, o.maxY)}
	near := o.segments(common, nil)
	if len(near) == 0 {
		return false
	}
	for _, own := range s.segments(common, nil) {
		for _, other := range near {
			if own.meets(other) {
				return true
			}
		}
	}
	return false
}

// segment is an edge, or a point if both ends are equal.
type segment struct{ a, b point }

// segments appends the edges that reach into the box. Others cannot intersect anything inside of it.
func (s *shape) segments(in box, dst []segment) []segment {
	for _, path := range s.paths {
		if len(path) == 1 {
			dst = append(dst, segment{path[0], path[0]})
			continue
		}
		for i := range len(path) - 1 {
			a, b := path[i], path[i+1]
			if (box{min(a.x, b.x), min(a.y, b.y), max(a.x, b.x), max(a.y, b.y)}).meets(in) {
				dst = append(dst, segment{a, b})
			}
		}
	}
	return dst
}

func (s segment) meets(o segment) bool {
	d1, d2 := turnOf(o.a, o.b, s.a), turnOf(o.a, o.b, s.b)
	d3, d4 := turnOf(s.a, s.b, o.a), turnOf(s.a, s.b, o.b)
	if (d1 > 0 && d2 < 0 || d1 < 0 && d2 > 0) && (d3 > 0 && d4 < 0 || d3 < 0 && d4 > 0) {
		return true
	}
	return onSegment(o.a, o.b, s.a) || onSegment(o.a, o.b, s.b) || onSegment(s.a, s.b, o.a) || onSegment(s.a, s.b, o.b)
}
