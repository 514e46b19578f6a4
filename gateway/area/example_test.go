package area_test

import (
	"fmt"

	"github.com/streamgate/streamgate/gateway/area"
)

func ExampleArea_Intersects() {
	lake, err := area.Parse(`{"type":"Polygon","coordinates":[[[8.5,47.1],[9.0,47.1],[9.0,47.5],[8.5,47.5],[8.5,47.1]]]}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	item := []byte(`{"type":"Feature","id":"scene-1","bbox":[8.9,47.4,10.2,48.4]}`)
	if footprint := area.Read(item); footprint != nil {
		fmt.Println(lake.Intersects(footprint))
	}
	// Output:
	// true
}

func ExampleIndex() {
	var areas []*area.Area
	for _, box := range [][]float64{{-10, 35, 30, 60}, {170, -20, -170, 0}, {8, 47, 9, 48}} { // the second crosses 180°
		a, err := area.Box(box)
		if err != nil {
			fmt.Println(err)
			return
		}
		areas = append(areas, a)
	}
	index := area.NewIndex(areas)
	zurich := area.Read([]byte(`{"geometry":{"type":"Point","coordinates":[8.54,47.37]}}`))
	fiji := area.Read([]byte(`{"geometry":{"type":"Point","coordinates":[178.4,-18.1]}}`))
	fmt.Println(index.Query(zurich, nil), index.Query(fiji, nil))
	// Output:
	// [0 2] [1]
}
