// Package stacsample is an in-process STAC API with sample data. It has two purposes. The demo uses it as a catalogue
// that keeps publishing scenes: [New], [Scenes] and [Catalog.Publish]. The tests of the STAC source use it as a server
// that deviates from the specification like public services do: [Quirks], each of which names the service where it was
// seen. Without quirks it conforms to STAC API 1.0.0: core, collections, features and item search with POST and GET,
// the sort and query extensions, and the part of CQL2-JSON that a watcher needs. CQL2 text is answered with 400. It
// stores nothing on disk and does no authentication.
package stacsample
