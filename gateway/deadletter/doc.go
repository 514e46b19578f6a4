// Package deadletter makes dead letters of events that cannot be delivered ([New]), and lists, redrives and discards
// them ([Store]).
package deadletter
