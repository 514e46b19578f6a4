// Package setting is what the blocks of a configuration share: the problems that validation finds, and values such as
// durations, addresses and names. It knows neither Redis nor HTTP.
package setting
