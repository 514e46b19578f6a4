package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	barPeriod = 200 * time.Millisecond // between two updates of a bar
	barWidth  = 30
)

// progress shows on a terminal how far a long piece of work is, and nothing anywhere else: a log needs the result alone.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
	drawn    bool // there is a bar
}

func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	terminal := false
	if isFile {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{out: out, terminal: terminal, began: time.Now(), shown: time.Now()}
}

// update shows how much is done (0 to 1), and what says more about it.
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
	_, _ = fmt.Fprintf(p.out, "\r[%s%s] %3.0f%%  %s, %s left \x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100, what, left)
}

// end goes to the next line where there is a bar.
func (p *progress) end() {
	if p.drawn {
		_, _ = fmt.Fprintln(p.out)
	}
}
