package area

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func mustParse(t testing.TB, geojson string) *Area {
	t.Helper()
	a, err := Parse(geojson)
	if err != nil {
		t.Fatalf("%s: %v", geojson, err)
	}
	return a
}

func item(geometry string) []byte {
	return []byte(
		`{"type":"Feature","id":"a\"[{","properties":{"geometry":[1,2],"bbox":"]"},"geometry":` + geometry + `,"assets":{}}`,
	)
}

func square(minX, minY, maxX, maxY float64) string {
	return fmt.Sprintf(
		`{"type":"Polygon","coordinates":[[[%g,%g],[%g,%g],[%g,%g],[%g,%g],[%g,%g]]]}`,
		minX,
		minY,
		maxX,
		minY,
		maxX,
		maxY,
		minX,
		maxY,
		minX,
		minY,
	)
}

// TestIntersects holds a case for each relation, with the truth as a person sees it.
func TestIntersects(t *testing.T) {
	t.Parallel()
	const ring = `{"type":"Polygon","coordinates":[[[0,0],[10,0],[10,10],[0,10],[0,0]],[[2,2],[8,2],[8,8],[2,8],[2,2]]]}` // a square with a hole
	for name, c := range map[string]struct {
		area, footprint string
		want            bool
	}{
		"overlap":                       {square(0, 0, 10, 10), square(5, 5, 15, 15), true},
		"apart":                         {square(0, 0, 10, 10), square(11, 0, 20, 10), false},
		"an edge in common":             {square(0, 0, 10, 10), square(10, 0, 20, 10), true},
		"a corner in common":            {square(0, 0, 10, 10), square(10, 10, 20, 20), true},
		"the footprint inside":          {square(0, 0, 10, 10), square(4, 4, 5, 5), true},
		"the area inside":               {square(4, 4, 5, 5), square(0, 0, 10, 10), true},
		"a cross without vertex inside": {square(0, 4, 10, 5), square(4, 0, 5, 10), true},
		"equal":                         {square(0, 0, 10, 10), square(0, 0, 10, 10), true},
		"in the hole":                   {ring, square(4, 4, 5, 5), false},
		"the hole's edge":               {ring, square(4, 4, 8, 5), true},
		"around the hole":               {ring, square(1, 1, 9, 9), true},
		"over everything":               {ring, square(-1, -1, 11, 11), true},
		"boxes meet, shapes do not":     {`{"type":"Polygon","coordinates":[[[0,0],[10,0],[0,10],[0,0]]]}`, square(7, 7, 10, 10), false},
		"a point inside":                {square(0, 0, 10, 10), `{"type":"Point","coordinates":[5,5]}`, true},
		"a point on the edge":           {square(0, 0, 10, 10), `{"type":"Point","coordinates":[10,5]}`, true},
		"a point outside":               {square(0, 0, 10, 10), `{"type":"Point","coordinates":[10.1,5]}`, false},
		"a point in the hole":           {ring, `{"type":"Point","coordinates":[5,5]}`, false},
		"a point, with a height":        {square(0, 0, 10, 10), `{"type":"Point","coordinates":[5,5,700]}`, true},
		"a line through":                {square(0, 0, 10, 10), `{"type":"LineString","coordinates":[[-5,5],[15,5]]}`, true},
		"a line past":                   {square(0, 0, 10, 10), `{"type":"LineString","coordinates":[[-5,5],[5,16]]}`, false},
		"a line in the hole":            {ring, `{"type":"LineString","coordinates":[[3,3],[7,7]]}`, false},
		"lines that cross":              {`{"type":"LineString","coordinates":[[0,0],[10,10]]}`, `{"type":"LineString","coordinates":[[0,10],[10,0]]}`, true},
		"lines that do not":             {`{"type":"LineString","coordinates":[[0,0],[4,4]]}`, `{"type":"LineString","coordinates":[[0,10],[10,0]]}`, false},
		"lines along each other":        {`{"type":"LineString","coordinates":[[0,0],[5,0]]}`, `{"type":"LineString","coordinates":[[5,0],[9,0]]}`, true},
		"one of many points":            {`{"type":"MultiPoint","coordinates":[[50,50],[5,5]]}`, square(0, 0, 10, 10), true},
		"one of many polygons":          {`{"type":"MultiPolygon","coordinates":[[[[50,50],[51,50],[51,51],[50,50]]],[[[0,0],[1,0],[1,1],[0,0]]]]}`, square(0, 0, 10, 10), true},
		"one of many lines":             {`{"type":"MultiLineString","coordinates":[[[50,50],[51,50]],[[0,0],[1,0]]]}`, square(0, 0, 10, 10), true},
		"a collection":                  {`{"type":"GeometryCollection","geometries":[{"type":"Point","coordinates":[50,50]},` + square(0, 0, 1, 1) + `]}`, square(0, 0, 10, 10), true},
		"a feature":                     {`{"type":"Feature","geometry":` + square(0, 0, 1, 1) + `,"properties":null}`, square(0, 0, 10, 10), true},
		"features":                      {`{"type":"FeatureCollection","features":[{"type":"Feature","geometry":null},{"type":"Feature","geometry":` + square(0, 0, 1, 1) + `}]}`, square(0, 0, 10, 10), true},

		"antimeridian, cut":               {square(170, 0, 180, 10), `{"type":"MultiPolygon","coordinates":[[[[175,0],[180,0],[180,5],[175,5],[175,0]]],[[[-180,0],[-175,0],[-175,5],[-180,5],[-180,0]]]]}`, true},
		"antimeridian, naive":             {square(170, 0, 180, 10), `{"type":"Polygon","coordinates":[[[175,0],[-175,0],[-175,5],[175,5],[175,0]]]}`, true},
		"antimeridian, naive, other side": {square(-180, 0, -176, 10), `{"type":"Polygon","coordinates":[[[175,0],[-175,0],[-175,5],[175,5],[175,0]]]}`, true},
		"antimeridian, naive, far away":   {square(-10, 0, 10, 10), `{"type":"Polygon","coordinates":[[[175,0],[-175,0],[-175,5],[175,5],[175,0]]]}`, false},
		"antimeridian, beyond 180":        {square(-180, 0, -176, 10), square(175, 0, 185, 5), true},
		"antimeridian, beyond -180":       {square(176, 0, 180, 10), square(-185, 0, -175, 5), true},
		"antimeridian, area beyond 180":   {square(175, 0, 185, 5), square(-178, 1, -177, 2), true},
		"antimeridian, a line":            {square(-180, 0, -176, 10), `{"type":"LineString","coordinates":[[175,5],[-170,5]]}`, true},
		"antimeridian, a hole":            {square(-179, 1, -178.5, 1.5), `{"type":"Polygon","coordinates":[[[170,0],[-170,0],[-170,5],[170,5],[170,0]],[[179,0.5],[-178,0.5],[-178,2],[179,2],[179,0.5]]]}`, false},
		"antimeridian, on both sides":     {square(175, 2, 176, 3), `{"type":"Polygon","coordinates":[[[170,0],[180,0],[-180,0],[-170,0],[-170,5],[-180,5],[180,5],[170,5],[170,0]]]}`, true},
		"antimeridian, on both, far away": {square(0, 2, 1, 3), `{"type":"Polygon","coordinates":[[[170,0],[180,0],[-180,0],[-170,0],[-170,5],[-180,5],[180,5],[170,5],[170,0]]]}`, false},
		"the whole Earth, in steps":       {square(0, 0, 1, 1), `{"type":"Polygon","coordinates":[[[-180,-90],[0,-90],[180,-90],[180,90],[-180,90],[-180,-90]]]}`, true},
		"the whole Earth":                 {square(0, 0, 1, 1), square(-180, -90, 180, 90), true},
		"a band around the Earth":         {square(0, 50, 1, 51), square(-180, -10, 180, 10), false},
		"around the north pole":           {square(100, 85, 101, 86), `{"type":"Polygon","coordinates":[[[-135,80],[-45,80],[45,80],[135,80],[-135,80]]]}`, true},
		"around the north pole, south":    {square(100, 70, 101, 71), `{"type":"Polygon","coordinates":[[[-135,80],[-45,80],[45,80],[135,80],[-135,80]]]}`, false},
		"around the south pole":           {square(0, -89, 1, -88), `{"type":"Polygon","coordinates":[[[-135,-80],[135,-80],[45,-80],[-45,-80],[-135,-80]]]}`, true},
		"around the south pole, north":    {square(0, 88, 1, 89), `{"type":"Polygon","coordinates":[[[-135,-80],[135,-80],[45,-80],[-45,-80],[-135,-80]]]}`, false},

		"a ring that is not closed":   {square(0, 0, 10, 10), `{"type":"Polygon","coordinates":[[[5,5],[20,5],[20,20]]]}`, true},
		"a ring that crosses itself":  {square(0, 8, 1, 9), `{"type":"Polygon","coordinates":[[[0,0],[10,10],[10,0],[0,10],[0,0]]]}`, true},
		"clockwise":                   {square(0, 0, 10, 10), `{"type":"Polygon","coordinates":[[[5,5],[5,20],[20,20],[20,5],[5,5]]]}`, true},
		"vertices that are repeated":  {square(0, 0, 10, 10), `{"type":"Polygon","coordinates":[[[5,5],[5,5],[20,5],[20,20],[20,20],[5,5]]]}`, true},
		"a ring that is only a point": {square(0, 0, 10, 10), `{"type":"Polygon","coordinates":[[[5,5],[5,5],[5,5],[5,5]]]}`, true},
		"a ring that is only a line":  {square(0, 0, 10, 10), `{"type":"Polygon","coordinates":[[[5,5],[15,5],[5,5]]]}`, true},
	} {
		a, f := mustParse(t, c.area), Read(item(c.footprint))
		if f == nil {
			t.Errorf("%s: no footprint", name)
			continue
		}
		if got := a.Intersects(f); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// TestReadFallsBack: where the geometry is missing or makes no sense the box counts, and without one there is no
// footprint.
func TestReadFallsBack(t *testing.T) {
	t.Parallel()
	a := mustParse(t, square(0, 0, 10, 10))
	for text, want := range map[string]string{
		`{"geometry":null,"bbox":[5,5,6,6]}`: "meets",
		`{"bbox":[5,5,0,6,6,100]}`:           "meets",
		`{"bbox":[170,5,-170,6]}`:            "does not",
		`{"bbox":[5,5,0,6,6,100],"geometry":{"type":"Polygon","coordinates":[]}}`:                                                     "meets",
		`{"bbox":[5,5,6,6],"geometry":{"type":"Polygon","coordinates":[[[1e999,0]]]}}`:                                                "meets",
		`{"bbox":[5,5,6,6],"geometry":{"type":"Circle"}}`:                                                                             "meets",
		`{"bbox":[5,5,6,6],"geometry":{"type":"Polygon","coordinates":[[["a",0],[1,1],[2,2],[0,0]]]}}`:                                "meets",
		`{"bbox":[50,50,60,60],"geometry":` + square(1, 1, 2, 2) + `}`:                                                                "meets", // the geometry comes first
		`{"bbox":[5,5,6,6],"geometry":{"type":"MultiPoint","coordinates":[` + strings.Repeat("[50,50],", maxFootprint) + `[50,50]]}}`: "meets",
		`{"geometry":{"type":"MultiPoint","coordinates":[` + strings.Repeat("[1,1],", maxFootprint) + `[1,1]]}}`:                      "meets",
		`{"geometry":{"type":"LineString","coordinates":[` + strings.Repeat("[50,50],", maxFootprint) + `[51,50]]}}`:                  "does not",
		`{"geometry":{"type":"Point","coordinates":[545,5]}}`:                                                                         "none",
		`{"properties":{"geometry":` + square(1, 1, 2, 2) + `}}`:                                                                      "none",
		`{"bbox":[5,5,6]}`: "none", `{"bbox":[5,6,6,5]}`: "none", `{"bbox":[5,5,6,"6"]}`: "none", `{"bbox":null}`: "none", `{}`: "none", ``: "none",
		`[]`: "none", `{"geometry"`: "none", `{"geometry":`: "none", `{"bbox":[1,2,3,4,5,6,7]}`: "none",
	} {
		got := "none"
		if f := Read([]byte(text)); f != nil {
			if got = "does not"; a.Intersects(f) {
				got = "meets"
			}
		}
		if got != want {
			t.Errorf("%.100s: %s, want %s", text, got, want)
		}
	}
}

func TestParseRefusesInvalidAreas(t *testing.T) {
	t.Parallel()
	for text, part := range map[string]string{
		``: "JSON", `{}`: "not a GeoJSON type", `{"type":"Circle","coordinates":[0,0]}`: `"Circle"`,
		`{"type":"Polygon","coordinates":[[[0,0],[1,1],[0,0]]]}`: "four positions", `{"type":"Polygon","coordinates":[]}`: "no ring",
		`{"type":"Point","coordinates":[0]}`: "a pair of", `{"type":"Point","coordinates":[0,91]}`: "a pair of", `{"type":"Point","coordinates":[1e400,1]}`: "a pair of",
		`{"type":"FeatureCollection","features":[]}`: "empty", `{"type":"Feature","geometry":null}`: "empty",
		`{"type":"LineString","coordinates":[]}`:                                                   "a pair of",
		strings.Repeat(`{"type":"GeometryCollection","geometries":[`, 9) + strings.Repeat(`]}`, 9): "nested",
		`{"type":"MultiPoint","coordinates":[` + strings.Repeat("[1,1],", maxVertices) + `[1,1]]}`: "too many",
		strings.Repeat(" ", maxText+1):                                                             "bytes",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%.80s: %v", text, err)
		}
	}
	for _, numbers := range [][]float64{nil, {1, 2, 3}, {0, 10, 1, 9}, {0, 0, 1, 91}, {400, 0, 401, 1}} {
		if _, err := Box(numbers); err == nil {
			t.Errorf("%v is a box", numbers)
		}
	}
}

func randomShape(next func(n int) float64) string {
	x, y, w, h := next(400)-200, next(160)-80, next(20), next(10)
	switch int(next(4)) {
	case 0:
		return fmt.Sprintf(`{"type":"Point","coordinates":[%g,%g]}`, x, y)
	case 1:
		return fmt.Sprintf(`{"type":"LineString","coordinates":[[%g,%g],[%g,%g],[%g,%g]]}`, x, y, x+w, y+h, x+w, y)
	case 2:
		return fmt.Sprintf(
			`{"type":"Polygon","coordinates":[[[%g,%g],[%g,%g],[%g,%g],[%g,%g]]]}`,
			x,
			y,
			x+w,
			y,
			x+w/2,
			y+h,
			x,
			y,
		)
	default:
		return square(x, y, x+w, y+h)
	}
}

// TestIndexFindsWhatALookAtEachDoes, whatever the areas and footprints are.
func TestIndexFindsWhatALookAtEachDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)) //nolint:gosec // no secret
		next := func(n int) float64 { return float64(random.IntN(n)) }
		areas := make([]*Area, rapid.IntRange(0, 400).Draw(t, "areas"))
		for i := range areas {
			var err error
			if areas[i], err = Parse(randomShape(next)); err != nil {
				t.Fatal(err)
			}
		}
		x := NewIndex(areas)
		for range 20 {
			f := Read(item(randomShape(next)))
			var want []int
			for i, a := range areas {
				if a.Intersects(f) {
					want = append(want, i)
				}
			}
			if got := x.Query(f, nil); !slices.Equal(got, want) {
				t.Fatalf("found %v, want %v", got, want)
			}
		}
	})
}

// TestSymmetry: it does not matter which is the area, away from the antimeridian.
func TestSymmetry(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		next := func(n int) float64 { return rapid.Float64Range(0, float64(n)).Draw(t, "number") / 4 }
		a, b := randomShape(next), randomShape(next)
		one, err := Parse(a)
		if err != nil {
			t.Fatal(err)
		}
		other, err := Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if one.Intersects(Read(item(b))) != other.Intersects(Read(item(a))) {
			t.Fatalf("%s and %s", a, b)
		}
	})
}

func FuzzRead(f *testing.F) {
	a, err := Box([]float64{-10, -10, 10, 10})
	if err != nil {
		f.Fatal(err)
	}
	x := NewIndex([]*Area{a})
	for _, text := range []string{square(0, 0, 1, 1), `{"type":"Polygon","coordinates":[[[175,0],[-175,0],[-175,5],[175,5],[175,0]]]}`, `null`, `{"type":"Point","coordinates":[1,2,3]}`} {
		f.Add(item(text))
	}
	f.Add([]byte(`{"bbox":[1,2,3,4]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if footprint := Read(data); footprint != nil && (len(x.Query(footprint, nil)) == 1) != a.Intersects(footprint) {
			t.Error("the index sees something else")
		}
		_, _ = Parse(string(data))
	})
}

// BenchmarkIndex finds the areas that a footprint meets: all the cost of an event but reading it from Redis.
func BenchmarkIndex(b *testing.B) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // no secret
	next := func(n int) float64 { return random.Float64() * float64(n) }
	footprints := make([][]byte, 1000)
	for i := range footprints {
		x, y := next(358)-180, next(168)-85
		footprints[i] = []byte(
			`{"type":"Feature","properties":{"pad":"` + strings.Repeat(
				"x",
				800,
			) + `"},"geometry":` + square(
				x,
				y,
				x+1,
				y+1,
			) + `}`,
		)
	}
	for _, n := range []int{1, 100, 1000, 10_000} {
		areas := make([]*Area, n)
		for i := range areas {
			x, y := next(358)-180, next(168)-85
			areas[i] = mustParse(b, square(x, y, x+1+next(2), y+1+next(2)))
		}
		x := NewIndex(areas)
		b.Run(fmt.Sprintf("areas=%d/index", n), func(b *testing.B) {
			b.ReportAllocs()
			var found []int
			for i := range b.N {
				found = x.Query(Read(footprints[i%len(footprints)]), found[:0])
			}
		})
		b.Run(fmt.Sprintf("areas=%d/each", n), func(b *testing.B) {
			for i := range b.N {
				f := Read(footprints[i%len(footprints)])
				for _, a := range areas {
					_ = a.Intersects(f)
				}
			}
		})
	}
}
