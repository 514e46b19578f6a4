package stac

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// version identifies a state of an item: by when it was last updated, else by its content.
func version(i *stacapi.Item) (string, error) {
	if updated := i.Properties.Text("updated"); updated != "" {
		return "updated " + updated, nil
	}
	return contentHash(i)
}

// contentHash identifies the content of an item: two versions with the same content hash differ only in the time of the
// update. What changes while the item stays the same does not count: links, the signatures in the addresses of assets
// and their expiry, and how JSON is written.
func contentHash(i *stacapi.Item) (string, error) {
	content, err := decodeObject(i.Raw)
	if err != nil {
		return "", err
	}
	if properties, ok := content["properties"].(map[string]any); ok {
		delete(properties, "updated")
	}
	return hashContent(content)
}

// collectionVersion identifies a state of the document of a collection in the same way. Its extent does not count: on
// many servers it grows with every item.
func collectionVersion(raw json.RawMessage) (string, error) {
	content, err := decodeObject(raw)
	if err != nil {
		return "", err
	}
	delete(content, "extent")
	return hashContent(content)
}

func decodeObject(raw json.RawMessage) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var content map[string]any
	if err := d.Decode(&content); err != nil {
		return nil, fmt.Errorf("not a valid JSON object: %w", err)
	}
	return content, nil
}

// hashContent hashes the content, which it modifies.
func hashContent(content map[string]any) (string, error) {
	delete(content, "links")
	delete(content, expiryMember)
	if assets, ok := content["assets"].(map[string]any); ok {
		dropSignatures(assets)
	}
	canonical, err := json.Marshal(canonicalNumbers(content)) // keys are sorted
	if err != nil {
		return "", fmt.Errorf("encode the content: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return "content " + hex.EncodeToString(sum[:16]), nil
}

// expiryMember tells when a signature of the Planetary Computer ends.
const expiryMember = "msft:expiry"

// dropSignatures cleans the addresses of assets, including the alternate ones inside an asset.
func dropSignatures(in any) {
	switch v := in.(type) {
	case []any:
		for _, element := range v {
			dropSignatures(element)
		}
	case map[string]any:
		delete(v, expiryMember)
		for name, member := range v {
			if href, ok := member.(string); ok && name == "href" {
				v[name] = unsigned(href)
			} else {
				dropSignatures(member)
			}
		}
	}
}

// unsigned drops the parameters of a signature from the address of an asset: of a shared access signature of Azure, or
// of a presigned URL of AWS or Google, old and new. Everything else stays as it is. Short names like "se" belong to a
// signature only if there is one.
func unsigned(href string) string {
	address, fragment, hasFragment := strings.Cut(href, "#")
	base, query, found := strings.Cut(address, "?")
	if !found {
		return href
	}
	pairs := strings.Split(query, "&")
	names := make([]string, len(pairs))
	for i, pair := range pairs {
		name, _, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(name); err == nil {
			name = decoded
		}
		names[i] = strings.ToLower(name)
	}
	has := func(name string) bool { return slices.Contains(names, name) }
	azure := has("sig")
	keyed := has("awsaccesskeyid") || has("googleaccessid") || has("key-pair-id")
	kept := make([]string, 0, len(pairs))
	for i, name := range names {
		signs := strings.HasPrefix(name, "x-amz-") || strings.HasPrefix(name, "x-goog-") ||
			azure && slices.Contains(azureSignature(), name) || keyed && slices.Contains(keyedSignature(), name)
		if !signs {
			kept = append(kept, pairs[i])
		}
	}
	if len(kept) == len(pairs) {
		return href
	}
	if len(kept) > 0 {
		base += "?" + strings.Join(kept, "&")
	}
	if hasFragment {
		base += "#" + fragment
	}
	return base
}

func azureSignature() []string {
	return []string{
		"se", "sp", "sv", "sr", "st", "sig", "sip", "spr", "srt", "ss", "sdd", "saoid", "suoid", "scid",
		"skoid", "sktid", "skt", "ske", "sks", "skv",
	}
}

func keyedSignature() []string {
	return []string{"awsaccesskeyid", "googleaccessid", "key-pair-id", "signature", "expires", "policy"}
}

// canonicalNumbers replaces the numbers in the output of a decoder with UseNumber.
func canonicalNumbers(in any) any {
	switch v := in.(type) {
	case json.Number:
		return json.Number(canonicalNumber(v.String()))
	case []any:
		for i := range v {
			v[i] = canonicalNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = canonicalNumbers(v[name])
		}
	}
	return in
}

// canonicalNumber returns the one spelling of a JSON number that stands for all of its spellings. An integer keeps
// every digit; other numbers are rounded to a double, which is what a server keeps that reads and writes them again.
func canonicalNumber(number string) string {
	digits, exponent, ok := decimal(number)
	if !ok {
		return number
	}
	if exponent < 0 {
		if f, err := strconv.ParseFloat(number, 64); err == nil && f != 0 {
			digits, exponent, _ = decimal(strconv.FormatFloat(f, 'e', -1, 64))
		}
	}
	if digits == "" {
		return "0"
	}
	sign := ""
	if number[0] == '-' {
		sign = "-"
	}
	switch point := len(digits) + exponent; {
	case point > 21 || point < -5: // as JavaScript does
		if len(digits) > 1 {
			digits = digits[:1] + "." + digits[1:]
		}
		return sign + digits + "e" + strconv.Itoa(point-1)
	case exponent >= 0:
		return sign + digits + strings.Repeat("0", exponent)
	case point <= 0:
		return sign + "0." + strings.Repeat("0", -point) + digits
	default:
		return sign + digits[:point] + "." + digits[point:]
	}
}

// decimal takes a number apart: its absolute value is digits, without zeros at either end, times ten to the exponent.
// Zero has no digits. ok is false for an absurdly large exponent.
func decimal(number string) (digits string, exponent int, ok bool) {
	mantissa, power := strings.TrimPrefix(number, "-"), ""
	if at := strings.IndexAny(mantissa, "eE"); at >= 0 {
		mantissa, power = mantissa[:at], mantissa[at+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return "", 0, true
	}
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil || exponent > 1e9 || exponent < -1e9 {
			return "", 0, false
		}
	}
	trimmed := strings.TrimRight(digits, "0")
	return trimmed, exponent - len(fraction) + len(digits) - len(trimmed), true
}
