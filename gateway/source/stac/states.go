package stac

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// Parts of the checkpoint.
const (
	partCollection  = "collection/" // and its name
	partBackfill    = "job/"        // and its id
	partCollections = "collections"
)

// states owns the states of the collections, as they are saved in the checkpoint.
type states struct {
	*env
	byName map[string]*collectionState
	isNew  func(collection string) bool // whether it came after the watch had begun
}

// restore reads a saved state.
func (s *states) restore(collection string, data []byte) error {
	state := &collectionState{}
	s.byName[collection] = state
	return json.Unmarshal(data, state)
}

// find returns the state of a collection, or nil if it is not watched.
func (s *states) find(collection string) *collectionState { return s.byName[collection] }

// begin returns the state of a collection that is watched. It makes a new one if there is none, or if it is of another
// search.
func (s *states) begin(collection string) *collectionState {
	state, query := s.byName[collection], s.queryKey(collection)
	if state == nil || state.Query != query {
		now := s.now().UTC()
		state = &collectionState{Query: query, Began: now, From: s.config.from(now, s.isNew(collection))}
		s.byName[collection] = state
	}
	if state.Complete == nil {
		state.Complete = map[tier]time.Time{}
	}
	if state.Passes == nil {
		state.Passes = map[tier]*pass{}
	}
	return state
}

// queryKey names a search, so that another area or filter is another search, of which nothing is done.
func (s *states) queryKey(collection string) string {
	c := s.config
	address := stacapi.CollectionURL(s.api.Base(), collection)
	text := fmt.Sprintf("%s\n%v\n%s\n%s\n%s", address, c.BBox, c.Intersects, c.Filter, c.Datetime)
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// encode returns the part of the checkpoint that holds the state of a collection.
func (s *states) encode(collection string) (source.Save, error) {
	return encodePart(partCollection+collection, s.byName[collection])
}

// save saves the state of a collection in a step of its own.
func (s *states) save(ctx context.Context, collection string) error {
	save, err := s.encode(collection)
	if err == nil {
		_, err = s.outbox.Publish(ctx, nil, save)
	}
	return err
}

// dropUnwatched removes the states of collections that are not watched any more.
func (s *states) dropUnwatched(ctx context.Context, watched []string) error {
	var saves []source.Save
	for name := range s.byName {
		if !slices.Contains(watched, name) {
			delete(s.byName, name)
			saves = append(saves, source.Save{Part: partCollection + name})
		}
	}
	_, err := s.outbox.Publish(ctx, nil, saves...)
	return err
}

func encodePart(part string, v any) (source.Save, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return source.Save{}, fmt.Errorf("encode the part %q of the checkpoint: %w", part, err)
	}
	return source.Save{Part: part, Data: data}, nil
}
