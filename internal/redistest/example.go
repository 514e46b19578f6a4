package redistest

// SharedAddr returns the address of the server of [Shared], for testable examples, which have no testing.TB. It panics
// if the server cannot be started, which fails the example.
func SharedAddr() string {
	s, err := shared.get()
	if err != nil {
		panic("redistest: " + err.Error())
	}
	return s.Addr()
}
