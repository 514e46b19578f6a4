package stacapi

import (
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

// document is a copy of a text, which does not change once it is kept.
type document struct {
	validator Validator
	text      []byte
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

// keep takes over a text that was decoded, if the server has given something to ask by the next time.
func (d *documents) keep(r *request, state Validator, text []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if state.IsZero() || len(text) > maxDocumentBytes {
		delete(d.byAddress, r.url.String())
		return
	}
	kept := len(text)
	for _, one := range d.byAddress {
		kept += len(one.text)
	}
	if d.byAddress == nil || len(d.byAddress) >= maxDocuments || kept > maxKeptBytes {
		d.byAddress = map[string]*document{}
	}
	d.byAddress[r.url.String()] = &document{state, text}
}
