package layout

import (
	"fmt"
	"iter"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// fieldsOf yields the names and values of an entry.
func fieldsOf(e *redisstreams.Entry) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for i := 0; i+1 < len(e.Fields); i += 2 {
			if !yield(e.Fields[i], e.Fields[i+1]) {
				return
			}
		}
	}
}

// onlyField returns the value of a field that must not occur twice.
func onlyField(e *redisstreams.Entry, wanted string) (value string, found bool, err error) {
	for name, v := range fieldsOf(e) {
		if name != wanted {
			continue
		}
		if found {
			return "", true, e.Reject(redisstreams.ErrMalformed, fmt.Sprintf("the field %q occurs twice", wanted))
		}
		value, found = v, true
	}
	return value, found, nil
}

// requiredField is onlyField for a field without which the entry is not of the layout.
func requiredField(e *redisstreams.Entry, name string) (string, error) {
	value, found, err := onlyField(e, name)
	if err == nil && !found {
		err = e.Reject(redisstreams.ErrUnknownEncoding, fmt.Sprintf("the field %q is missing", name))
	}
	return value, err
}

// hasExactly reports whether the entry consists of these fields, each occurring once.
func hasExactly(e *redisstreams.Entry, names ...string) bool {
	if len(e.Fields) != 2*len(names) {
		return false
	}
	for _, name := range names {
		if _, found := e.Field(name); !found {
			return false
		}
	}
	return true
}
