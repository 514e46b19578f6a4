package webhook

import "testing"

func TestAllowedRate(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]int{
		"": 0, "*": 0, "many": 0, "1.5": 0, "120": 120, "\t120": 120, "0": 1, "-5": 1, "99999999999": maxRate,
		"99999999999999999999999999": maxRate, "-99999999999999999999999999": 1,
	} {
		if n, limited := allowedRate(value); n != want || limited != (want > 0) {
			t.Errorf("%q: %d, %v; want %d", value, n, limited, want)
		}
	}
}
