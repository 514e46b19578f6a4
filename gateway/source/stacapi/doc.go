// Package stacapi is a client of STAC APIs and static STAC catalogs. It depends on nothing but the standard library,
// golang.org/x and package foreign, and can be imported alone.
//
// A [Client] talks to one API: [Client.Discover] reads the landing page, [Client.Search] reads a search to its end,
// [Client.ProbeUpdated] finds out how the server can be asked for what was updated since a time, and
// [Client.ReadCatalog] and [Client.ReadItems] read the documents of a catalog that has no search.
//
// Three principles hold throughout. A server is asked one thing at a time, at a bounded rate, with growing pauses after
// failures: clients that share a [Hosts] share these limits. A search counts as complete only if that is certain: next
// links are followed in every form that servers use, and an answer that leaves doubt is an error, never a result. And
// what a server claims about itself is tried before it is relied on.
//
// Credentials go to the host of [Config.URL] only, and stand in no error of this package.
package stacapi
