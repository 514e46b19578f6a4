package area

import (
	"cmp"
	"math"
	"slices"
)

// fanout is the number of children of a node of the tree.
const fanout = 16

// Index finds those of many areas that a footprint intersects. It is a packed R-tree over the bounding boxes of their
// shapes, built by sort-tile-recursive (Leutenegger et al. 1997). It is immutable and safe for concurrent use.
type Index struct {
	areas  []*Area
	leaves []leaf
	levels [][]box // boxes by level, leaves first; the children of node i are fanout*i ... one level below
}

type leaf struct {
	box
	area, shape int
}

// NewIndex returns an index of the areas. It retains the slice, which the caller must not modify.
func NewIndex(areas []*Area) *Index {
	x := &Index{areas: areas}
	for i, a := range areas {
		for j := range a.shapes {
			x.leaves = append(x.leaves, leaf{a.shapes[j].box, i, j})
		}
	}
	x.tile()
	level := make([]box, len(x.leaves))
	for i := range x.leaves {
		level[i] = x.leaves[i].box
	}
	for x.levels = append(x.levels, level); len(level) > fanout; x.levels = append(x.levels, level) {
		var above []box
		for part := range slices.Chunk(level, fanout) {
			sum := part[0]
			for _, b := range part[1:] {
				sum = sum.with(b)
			}
			above = append(above, sum)
		}
		level = above
	}
	return x
}

// tile sorts the leaves so that neighbours in the slice are near each other on the map.
func (x *Index) tile() {
	slices.SortFunc(x.leaves, func(a, b leaf) int { return cmp.Compare(a.minX+a.maxX, b.minX+b.maxX) })
	nodes := (len(x.leaves) + fanout - 1) / fanout
	slice := fanout * int(math.Ceil(math.Sqrt(float64(max(nodes, 1)))))
	for part := range slices.Chunk(x.leaves, slice) {
		slices.SortFunc(part, func(a, b leaf) int { return cmp.Compare(a.minY+a.maxY, b.minY+b.maxY) })
	}
}

// Query appends to dst the indices of the areas that the footprint intersects, each once and in ascending order, and
// returns the extended slice. dst may be nil.
func (x *Index) Query(f *Footprint, dst []int) []int {
	begin := len(dst)
	for i := range f.shapes {
		top := len(x.levels) - 1
		dst = x.query(&f.shapes[i], top, 0, len(x.levels[top]), dst)
	}
	found := dst[begin:]
	slices.Sort(found)
	return dst[:begin+len(slices.Compact(found))]
}

func (x *Index) query(s *shape, level, from, to int, dst []int) []int {
	boxes := x.levels[level]
	for i := from; i < min(to, len(boxes)); i++ {
		if !boxes[i].meets(s.box) {
			continue
		}
		if level > 0 {
			dst = x.query(s, level-1, i*fanout, (i+1)*fanout, dst)
			continue
		}
		l := &x.leaves[i]
		if x.areas[l.area].shapes[l.shape].meets(s) {
			dst = append(dst, l.area)
		}
	}
	return dst
}
