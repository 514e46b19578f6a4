package stacapi

import (
	"net/url"
	"path"
	"strings"
)

// APIURL returns the address of an API, given its landing page or search endpoint, or of a static catalog, given its
// root document: without a slash at its end, and without its query and user information, which may be secret.
func APIURL(api *url.URL) string {
	root := strings.TrimSuffix(strings.TrimSuffix(api.Path, "/"), "/search")
	base := url.URL{Scheme: api.Scheme, Host: api.Host, Path: root}
	if path.Ext(base.Path) == ".json" { // the root document of a static catalog
		base.Path = path.Dir(base.Path)
	}
	return strings.TrimSuffix(base.String(), "/")
}

// CollectionURL returns the address that an API should have for a collection, without anything that may be secret.
func CollectionURL(api *url.URL, collection string) string {
	return collectionsURL(api) + "/" + url.PathEscape(collection)
}

// ItemURL returns the address that an API should have for an item, without anything that may be secret.
func ItemURL(api *url.URL, collection, id string) string {
	return CollectionURL(api, collection) + "/items/" + url.PathEscape(id)
}

func collectionsURL(api *url.URL) string { return APIURL(api) + "/collections" }
