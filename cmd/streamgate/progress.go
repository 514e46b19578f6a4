package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	barPeriod = 200 * time.Millisecond // between two redraws
	barWidth  = 30                     // in characters
)

// progress draws a progress bar on a terminal, and nothing anywhere else: in a log only the result matters.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
	drawn    bool // the bar is on the screen
}

// newProgress returns a bar on out. It draws only if out is a terminal.
func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	terminal := false
	if isFile {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{out: out, terminal: terminal, began: time.Now(), shown: time.Now()}
}

// update draws the bar at done, from 0 to 1, with a description behind it. Updates in quick succession are dropped.
func (p *progress) update(done float64, what string) {
	if !p.terminal || time.Since(p.shown) < barPeriod {
		return
	}
	p.shown, p.drawn = time.Now(), true
	left := "?"
	if done > 0 {
		left = time.Duration(float64(time.Since(p.began)) * (1 - done) / done).Round(time.Second).String()
	}
	full := int(done * barWidth)
	_, _ = fmt.Fprintf(p.out, "\r[%s%s] %3.0f%%  %s, %s left \x1b[K",
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100, what, left)
}

// end moves to the line below the bar, if one was drawn.
func (p *progress) end() {
	if p.drawn {
		_, _ = fmt.Fprintln(p.out)
	}
}
