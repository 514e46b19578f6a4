package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// Between two updates of a progress bar, on a terminal and elsewhere.
const (
	barPeriod  = 200 * time.Millisecond
	linePeriod = 5 * time.Second
	barWidth   = 30
)

// progress tells how far a long piece of work is: a bar on a terminal, a line now and then elsewhere.
type progress struct {
	out      io.Writer
	terminal bool
	began    time.Time
	shown    time.Time
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
	period := linePeriod
	if p.terminal {
		period = barPeriod
	}
	if time.Since(p.shown) < period {
		return
	}
	p.shown = time.Now()
	p.show(done, what)
}

// end goes to the next line where there is a bar.
func (p *progress) end() {
	if p.terminal {
		_, _ = fmt.Fprintln(p.out)
	}
}

func (p *progress) show(done float64, what string) {
	left := "?"
	if done > 0 {
		left = time.Duration(float64(time.Since(p.began)) * (1 - done) / done).Round(time.Second).String()
	}
	if !p.terminal {
		_, _ = fmt.Fprintf(p.out, "%3.0f%%  %s, %s left\n", done*100, what, left)
		return
	}
	full := int(done * barWidth)
	_, _ = fmt.Fprintf(p.out, "\r[%s%s] %3.0f%%  %s, %s left \x1b[K", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100, what, left)
}
