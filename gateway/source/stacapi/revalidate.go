package stacapi

import (
	"bytes"
	"net/http"
	"sync"
)

// Bounds of what is kept of documents that are read again and again.
const (
	maxDocuments     = 200
	maxDocumentBytes = 4 << 20  // of one; a larger one is read anew every time
	maxKeptBytes     = 16 << 20 // of all
)

// Validator identifies a state of a document for a conditional request (RFC 9110 section 8.8). The zero value
// identifies none.
type Validator struct {
	ETag, LastModified string
}

// IsZero reports whether the server has given nothing to ask by.
func (v Validator) IsZero() bool { return v == Validator{} }

// apply makes a request one that is answered with 304 if the document is still in this state.
func (v Validator) apply(header http.Header) {
	if v.ETag != "" {
		header.Set("If-None-Match", v.ETag)
	} else if v.LastModified != "" {
		header.Set("If-Modified-Since", v.LastModified)
	}
}

// documents keeps landing pages and lists of collections, so that a server need not send again what has not changed.
// The zero value is empty. It is safe for concurrent use.
type documents struct {
	mu        sync.Mutex
	byAddress map[string]*document
}

// document is a copy of a body, which does not change once it is kept.
type document struct {
	validator Validator
	body      bytes.Buffer
	isLarge   bool
}

// Write implements io.Writer.
func (d *document) Write(p []byte) (int, error) {
	if d.body.Len()+len(p) > maxDocumentBytes {
		d.isLarge = true
		d.body = bytes.Buffer{}
	}
	if !d.isLarge {
		_, _ = d.body.Write(p) // a Buffer does not fail
	}
	return len(p), nil
}

func (d *documents) find(r *request) *document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byAddress[r.url.String()]
}

// validator returns what is known of the document that r asks for.
func (d *documents) validator(r *request) Validator {
	if known := d.find(r); known != nil {
		return known.validator
	}
	return Validator{}
}

// record returns where the body is to be copied to; nil if the server gives nothing to ask by the next time.
func (d *documents) record(r *request, a *answer) *document {
	if !a.validator.IsZero() {
		return &document{validator: a.validator}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byAddress, r.url.String())
	return nil
}

// keep takes over a copy that was read to its end and decoded.
func (d *documents) keep(r *request, copied *document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := copied.body.Len()
	for _, one := range d.byAddress {
		kept += one.body.Len()
	}
	if d.byAddress == nil || len(d.byAddress) >= maxDocuments || kept > maxKeptBytes {
		d.byAddress = map[string]*document{}
	}
	if copied.isLarge {
		delete(d.byAddress, r.url.String())
	} else {
		d.byAddress[r.url.String()] = copied
	}
}

// replay decodes what is kept.
func (d *documents) replay(r *request, response *http.Response, a *answer, decode decoder) error {
	known := d.find(r)
	if known == nil {
		return newStatusError(response) // the request was not conditional
	}
	return decode(bytes.NewReader(known.body.Bytes()), a)
}
