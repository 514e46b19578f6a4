package stacsample

import (
	"net/http"
	"net/url"
)

const stacVersion = "1.0.0"

type link struct {
	Rel     string            `json:"rel"`
	Type    string            `json:"type,omitempty"`
	Href    string            `json:"href"`
	Method  string            `json:"method,omitempty"`
	Title   string            `json:"title,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    any               `json:"body,omitempty"`
	Merge   *bool             `json:"merge,omitempty"`
}

type feature struct {
	Type       string           `json:"type"`
	Version    string           `json:"stac_version"`
	Extensions []string         `json:"stac_extensions"`
	ID         string           `json:"id"`
	Collection string           `json:"collection"`
	Geometry   any              `json:"geometry"`
	BBox       []float64        `json:"bbox,omitempty"`
	Properties map[string]any   `json:"properties"`
	Links      []link           `json:"links"`
	Assets     map[string]Asset `json:"assets"`
}

func conformance(wrong bool) []string {
	if wrong {
		return []string{
			"https://api.stacspec.org/v1.0.0-rc.2/core",
			"https://api.stacspec.org/v1.0.0-rc.2/item-search",
			"https://api.stacspec.org/v1.0.0-rc.2/item-search#filter",
			"http://www.opengis.net/spec/cql2/1.0/req/cql2-json",
		}
	}
	return []string{
		"https://api.stacspec.org/v1.0.0/core",
		"https://api.stacspec.org/v1.0.0/collections",
		"https://api.stacspec.org/v1.0.0/ogcapi-features",
		"https://api.stacspec.org/v1.0.0/item-search",
		"https://api.stacspec.org/v1.0.0/item-search#sort",
		"https://api.stacspec.org/v1.0.0/item-search#query",
		"https://api.stacspec.org/v1.0.0/item-search#filter",
		"http://www.opengis.net/spec/cql2/1.0/conf/cql2-json",
		"http://www.opengis.net/spec/cql2/1.0/conf/basic-cql2",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
		"http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
	}
}

func (x *exchange) landing() {
	links := []link{
		{Rel: "self", Type: typeJSON, Href: x.base + "/"},
		{Rel: "root", Type: typeJSON, Href: x.base + "/"},
		{Rel: "conformance", Type: typeJSON, Href: x.base + "/conformance"},
		{Rel: "data", Type: typeJSON, Href: x.base + "/collections"},
	}
	if x.quirks.OpenSearchLinkFirst {
		links = append(links, link{
			Rel: "search", Type: "application/opensearchdescription+xml", Href: x.base + "/description.xml",
		})
	}
	links = append(links, link{Rel: "search", Type: typeGeoJSON, Href: x.base + "/search", Method: http.MethodGet})
	if !x.quirks.NoPost {
		links = append(links, link{Rel: "search", Type: typeGeoJSON, Href: x.base + "/search", Method: http.MethodPost})
	}
	for _, one := range x.catalog.titles() {
		links = append(links, link{Rel: "child", Type: typeJSON, Href: x.collectionURL(one[0]), Title: one[1]})
	}
	page := map[string]any{
		"type": "Catalog", "stac_version": stacVersion, "id": "streamgate-sample",
		"title":       "Streamgate sample catalogue",
		"description": "A STAC API in memory, for demonstrations and tests.", "links": links,
	}
	if !x.quirks.ConformanceElsewhere {
		page["conformsTo"] = conformance(x.quirks.WrongConformance)
	}
	x.json(http.StatusOK, typeJSON, page)
}

func (x *exchange) listCollections() {
	documents := []any{}
	for _, one := range x.catalog.titles() {
		documents = append(documents, x.collectionDocument(one[0], one[1]))
	}
	x.json(http.StatusOK, typeJSON, map[string]any{
		"collections": documents,
		"links": []link{
			{Rel: "self", Type: typeJSON, Href: x.base + "/collections"},
			{Rel: "root", Type: typeJSON, Href: x.base + "/"},
		},
	})
}

func (x *exchange) oneCollection(id string) {
	title, ok := x.catalog.title(id)
	if !ok {
		x.fail(http.StatusNotFound, "no collection "+id)
		return
	}
	x.json(http.StatusOK, typeJSON, x.collectionDocument(id, title))
}

func (x *exchange) collectionDocument(id, title string) any {
	self := x.collectionURL(id)
	return map[string]any{
		"type": "Collection", "stac_version": stacVersion, "id": id, "title": title, "description": title,
		"license": "proprietary",
		"extent": map[string]any{
			"spatial":  map[string]any{"bbox": [][]float64{{-180, -90, 180, 90}}},
			"temporal": map[string]any{"interval": [][]any{{"2015-06-27T00:00:00Z", nil}}},
		},
		"links": []link{
			{Rel: "self", Type: typeJSON, Href: self},
			{Rel: "root", Type: typeJSON, Href: x.base + "/"},
			{Rel: "parent", Type: typeJSON, Href: x.base + "/"},
			{Rel: "items", Type: typeGeoJSON, Href: self + "/items"},
		},
	}
}

func (x *exchange) feature(item *Item) feature {
	collection := x.collectionURL(item.Collection)
	f := feature{
		Type: "Feature", Version: stacVersion, ID: item.ID, Collection: item.Collection,
		Extensions: []string{"https://stac-extensions.github.io/eo/v1.1.0/schema.json"},
		Geometry:   item.polygon(), Properties: item.properties(x.quirks.HugeItem), Assets: item.Assets,
	}
	if item.hasBBox() {
		f.BBox = item.BBox[:]
	}
	if f.Assets == nil {
		f.Assets = map[string]Asset{}
	}
	if !item.NoSelf && !x.quirks.NoSelfLinks {
		f.Links = append(f.Links, link{Rel: "self", Type: typeGeoJSON, Href: collection + "/items/" +
			url.PathEscape(item.ID)})
	}
	f.Links = append(f.Links,
		link{Rel: "parent", Type: typeJSON, Href: collection},
		link{Rel: "collection", Type: typeJSON, Href: collection},
		link{Rel: "root", Type: typeJSON, Href: x.base + "/"})
	return f
}

func (x *exchange) collectionURL(id string) string {
	return x.base + "/collections/" + url.PathEscape(id)
}
