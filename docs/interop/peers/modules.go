package main

import (
	"fmt"
	"runtime/debug"
)

// moduleVersion returns module@version as this program was built with it.
func moduleVersion(module string) (string, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "", fmt.Errorf("find version of %s: the program was built without module support", module)
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Path + "@" + m.Version, nil
		}
	}
	return "", fmt.Errorf("find version of %s: it is not linked in", module)
}

// allBytes is every byte once: not text, and with each byte that a careless reader stops at.
func allBytes() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
