package subscriptions

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

// shownAddress returns an address as it may be shown: without user and password, and with three dots in place of its
// query. Where nothing is hidden it is the address itself.
func shownAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return hidden // a subscription with such an address is refused; what was stored before is not shown
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return address
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	return u.String()
}

// mapAddresses returns a configuration in JSON whose addresses, which are its members named uri, were changed by f.
// Names are compared as Go's decoder does, without regard to case: that of dead letters must not be shown by another
// spelling.
func mapAddresses(config json.RawMessage, f func(string) string) json.RawMessage {
	if !bytes.Contains(bytes.ToLower(config), []byte(`uri`)) && !bytes.Contains(config, []byte(`\u`)) {
		return config
	}
	decoder := json.NewDecoder(bytes.NewReader(config))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil // it was stored by something else
	}
	mapMembers(value, f)
	changed, err := json.Marshal(value)
	if err != nil {
		return nil // what was decoded can be encoded
	}
	return changed
}

func mapMembers(value any, f func(string) string) {
	switch value := value.(type) {
	case map[string]any:
		for name, member := range value {
			if address, ok := member.(string); ok && strings.EqualFold(name, "uri") {
				value[name] = f(address)
			} else {
				mapMembers(member, f)
			}
		}
	case []any:
		for _, item := range value {
			mapMembers(item, f)
		}
	}
}

// addressIn returns the address of dead letters in a configuration in JSON, or "".
func addressIn(config json.RawMessage) string {
	if len(config) == 0 {
		return ""
	}
	s, err := parseSettings(config)
	if err != nil {
		return ""
	}
	return s.Delivery.DeadLetterSink.URI
}
