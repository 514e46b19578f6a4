// Package stacsample is a STAC API in this process.
//
// It serves two masters. The demonstration uses it as a catalogue that keeps publishing scenes: [New], [Scenes] and
// [Catalog.Publish]. The tests of the STAC source use it as a server that misbehaves in the ways in which public services
// do: [Quirks], each of which names the service where it was seen.
//
// Without quirks it keeps to STAC API 1.0.0: core, collections, features and item search with POST and GET, the sort and
// query extensions, and the part of CQL2-JSON that a watcher needs. CQL2 text is answered with 400. Nothing is stored on
// disk, and nothing is ever authenticated.
package stacsample
