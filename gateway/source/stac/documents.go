package stac

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
)

// Bounds of what is kept of documents that are read again and again.
const (
	maxDocuments     = 200
	maxDocumentBytes = 4 << 20  // of one; a larger one is read anew every time
	maxKeptBytes     = 16 << 20 // of all
)

// documents keeps landing pages and lists of collections, so that a server need not send again what has not changed. It is
// for one goroutine; the zero value is empty.
type documents struct {
	byAddress map[string]*document
	recording *document
}

type document struct {
	etag, modified string
	body           bytes.Buffer
	isLarge        bool
}

// ask makes the request one for what has changed.
func (d *documents) ask(r *request, header http.Header) {
	known := d.byAddress[r.url.String()]
	switch {
	case known == nil:
	case known.etag != "":
		header.Set("If-None-Match", known.etag)
	case known.modified != "":
		header.Set("If-Modified-Since", known.modified)
	}
}

// record returns the body, of which a copy is made where it can be asked for by its state.
func (d *documents) record(r *request, response *http.Response) io.Reader {
	d.recording = &document{etag: response.Header.Get("ETag"), modified: response.Header.Get("Last-Modified")}
	if d.recording.etag == "" && d.recording.modified == "" {
		d.recording = nil
		delete(d.byAddress, r.url.String())
		return response.Body
	}
	return io.TeeReader(response.Body, d.recording)
}

// Write implements io.Writer.
func (d *document) Write(p []byte) (int, error) {
	if d.body.Len()+len(p) > maxDocumentBytes {
		d.isLarge = true
		d.body = bytes.Buffer{}
	}
	if !d.isLarge {
		_, _ = d.body.Write(p) // it cannot fail
	}
	return len(p), nil
}

// keep takes over what was recorded, which was read to its end and was good.
func (d *documents) keep(r *request) {
	if d.recording == nil {
		return
	}
	kept := d.recording.body.Len()
	for _, one := range d.byAddress {
		kept += one.body.Len()
	}
	if d.byAddress == nil || len(d.byAddress) >= maxDocuments || kept > maxKeptBytes {
		d.byAddress = map[string]*document{}
	}
	if d.recording.isLarge {
		delete(d.byAddress, r.url.String())
	} else {
		d.byAddress[r.url.String()] = d.recording
	}
	d.recording = nil
}

// replay decodes what is kept.
func (d *documents) replay(r *request, response *http.Response, decode func(body io.Reader, from *url.URL) error) error {
	known := d.byAddress[r.url.String()]
	if known == nil {
		return answer(response) // nobody has asked for that
	}
	return decode(bytes.NewReader(known.body.Bytes()), response.Request.URL)
}
