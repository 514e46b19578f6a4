package stacapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Bounds of a list of collections.
const (
	maxCollections     = 10_000
	maxCollectionPages = 1_000
)

// Collection is a collection as the API lists it.
type Collection struct {
	ID string
	// Raw is the whole document, as the server wrote it.
	Raw json.RawMessage
}

// Collections reads the list of collections to its end, at most 10,000. Entries without an id are left out. Pages that
// have not changed since the last call are not sent again, if the server supports that.
func (c *Client) Collections(ctx context.Context) ([]Collection, error) {
	target, err := url.Parse(collectionsURL(c.base))
	if err != nil {
		return nil, fmt.Errorf("build the address of the list: %w", err)
	}
	r := &request{method: http.MethodGet, url: c.withBaseQuery(target), revalidate: true}
	sent, list, idle := map[string]bool{}, collectionList{known: map[string]bool{}}, 0
	for range maxCollectionPages {
		if sent[r.key()] {
			return nil, errCircle
		}
		sent[r.key()] = true
		var page Members
		a, err := getJSON(ctx, c, r, &page)
		if err != nil {
			return nil, err
		}
		elements, err := splitArray(page["collections"])
		if err != nil {
			return nil, fmt.Errorf("the answer has no list of collections: collections is %s", kindOf(page["collections"]))
		}
		added, err := list.add(elements)
		if err != nil {
			return nil, err
		}
		links, err := decodeLinks(page["links"])
		if err != nil {
			return nil, err
		}
		if idle++; added > 0 {
			idle = 0
		}
		next := findNext(links, r.method)
		if next == nil || idle > maxIdlePages { // some servers give every page a next link
			return list.collections, nil
		}
		if r, err = next.follow(r, a.from); err != nil {
			return nil, err
		}
		r.url, r.revalidate = c.withBaseQuery(r.url), r.method == http.MethodGet
	}
	return nil, fmt.Errorf("the list of collections has more than %d pages", maxCollectionPages)
}

// collectionList collects a list, each collection once.
type collectionList struct {
	collections []Collection
	known       map[string]bool
}

// add returns how many collections are new.
func (l *collectionList) add(page [][]byte) (added int, err error) {
	for _, raw := range page {
		id := IDOf(raw)
		if id == "" || l.known[id] {
			continue
		}
		l.known[id] = true
		l.collections = append(l.collections, Collection{id, raw})
		added++
	}
	if len(l.collections) > maxCollections {
		return added, fmt.Errorf("the API has more than %d collections", maxCollections)
	}
	return added, nil
}

// CheckCollection returns an error if the API says that it has no such collection. Some servers answer a search for an
// unknown collection with nothing, so that a wrong name would go unnoticed.
func (c *Client) CheckCollection(ctx context.Context, name string) error {
	exists, err := c.CollectionExists(ctx, name)
	if err != nil || exists {
		return err
	}
	lists, err := c.exists(ctx, collectionsURL(c.base))
	if err != nil || !lists {
		return err // an API need not offer its collections
	}
	return errors.New("the API has no such collection")
}

// CollectionExists reports whether the API has a collection. Only an answer 404 says that it does not: what else is
// wrong with a server shows in the search.
func (c *Client) CollectionExists(ctx context.Context, name string) (bool, error) {
	return c.exists(ctx, CollectionURL(c.base, name))
}

func (c *Client) exists(ctx context.Context, address string) (bool, error) {
	status, err := c.ask(ctx, address)
	return status != http.StatusNotFound, err
}

// IsGone reports whether the server says that there is nothing at an address of its own, with 404 or 410. Any other
// answer, and any trouble, is no.
func (c *Client) IsGone(ctx context.Context, address string) (bool, error) {
	status, err := c.ask(ctx, address)
	if err == nil {
		err = ctx.Err()
	}
	return status == http.StatusNotFound || status == http.StatusGone, err
}

// ask returns the status that a document is refused with; 0 if it is there, or the server does not answer. It fails
// only for an address that cannot be asked for.
func (c *Client) ask(ctx context.Context, address string) (status int, err error) {
	target, err := url.Parse(address)
	if err != nil {
		return 0, fmt.Errorf("the name does not make a valid address: %w", err)
	}
	var document json.RawMessage
	_, err = getJSON(ctx, c, &request{method: http.MethodGet, url: c.withBaseQuery(target)}, &document)
	if refused, ok := errors.AsType[*StatusError](err); ok {
		return refused.Code, nil
	}
	return 0, nil
}
