package rawevent

import "strings"

// legacyNames returns the name in version 1.0 of an attribute of the versions 0.1 and 0.2, whose names are folded.
func legacyNames() map[string]string {
	return map[string]string{
		"eventid": AttrID, "eventtype": AttrType, "eventtime": AttrTime, "eventsource": AttrSource, // 0.1
		"schemaurl": AttrDataSchema, "contenttype": AttrDataContentType, // 0.1 and 0.2
	}
}

// legacy translates the names of an event of version 0.1 or 0.2. It comes before the data are read, whose form depends
// on datacontenttype.
func (l *Lenient) legacy(e *Event) {
	if l == nil {
		return
	}
	version, found := e.Attribute(AttrSpecVersion)
	if old, isOld := e.Attribute("cloudeventsversion"); isOld && !found {
		version = old
		e.Delete("cloudeventsversion")
	}
	if version != "0.1" && version != "0.2" || e.Canonicalize() != "" {
		return
	}
	for old, name := range legacyNames() {
		value, found := e.Attribute(old)
		if !found {
			continue
		}
		if _, taken := e.Attribute(name); !taken {
			e.Delete(old)
			e.Set(name, value)
		}
	}
	e.Set(AttrSpecVersion, SpecVersion)
	l.note(AttrSpecVersion)
}

// version translates an event of version 0.3, and takes an event without a version to be one of 1.0, as other readers
// do.
func (l *Lenient) version(e *Event) {
	version, found := e.Attribute(AttrSpecVersion)
	switch {
	case version == SpecVersion:
		return
	case version == "0.3":
		l.translate03(e)
	case found && version != "" && !isVersion1(version):
		return
	}
	e.Set(AttrSpecVersion, SpecVersion)
	l.note(AttrSpecVersion)
}

// isVersion1 reports whether a text stands for version 1.0: 1, 1.0, v1.0, 1.0.2.
func isVersion1(s string) bool {
	rest, found := strings.CutPrefix(strings.TrimLeft(strings.TrimSpace(s), "vV"), "1")
	if !found || rest == "" || rest == ".0" {
		return found
	}
	patch, found := strings.CutPrefix(rest, ".0.")
	return found && patch != "" && onlyDigits(patch)
}

func (l *Lenient) translate03(e *Event) {
	if address, found := e.Attribute("schemaurl"); found {
		e.Delete("schemaurl")
		e.Set(AttrDataSchema, address)
	}
	if encoding, _ := e.Attribute("datacontentencoding"); strings.EqualFold(encoding, "base64") {
		text := string(e.Data)
		if IsJSON(e.DataContentType) && len(e.Data) > 1 && e.Data[0] == '"' {
			text, _ = decodeString(e.Data)
		}
		if decoded, ok := l.base64(text); ok {
			e.Data = nonNil(decoded)
		}
	}
	e.Delete("datacontentencoding")
}
