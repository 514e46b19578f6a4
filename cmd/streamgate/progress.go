package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	barPeriod  = 200 * time.Millisecond // between two updates of a bar
	linePeriod = 10 * time.Second       // between two lines when stderr is not a terminal
	barWidth   = 30
	// The time that is left is not told before so much is known that it will not jump, and follows what is measured
	// slowly: work comes in pieces of different size.
	leftAfter = 3 * time.Second
	leftShare = 0.1 // of a new measurement
)

// progress shows how far a long piece of work is: as a bar on a terminal, else as a line from time to time.
type progress struct {
	out      io.Writer
	terminal bool
	shown    time.Time
	drawn    bool // there is a bar

	began    time.Time // when it was first updated,
	doneThen float64   // and how far it was then: what others have done before says nothing of the speed
	updated  time.Time
	left     time.Duration // at updated, if there is such a time
}

func newProgress(out io.Writer) *progress {
	file, isFile := out.(*os.File)
	terminal := false
	if isFile {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{out: out, terminal: terminal, shown: time.Now()}
}

// update shows how much is done (0 to 1), and what says more about it.
func (p *progress) update(done float64, what string) {
	now := time.Now()
	p.estimate(now, done)
	period := barPeriod
	if !p.terminal {
		period = linePeriod
	}
	if now.Sub(p.shown) < period {
		return
	}
	p.shown = now
	left := "?"
	if !p.updated.IsZero() {
		left = p.left.Round(time.Second).String()
	}
	if !p.terminal {
		_, _ = fmt.Fprintf(p.out, "%3.0f%%  %s, %s left\n", done*100, what, left)
		return
	}
	p.drawn = true
	full := int(done * barWidth)
	_, _ = fmt.Fprintf(p.out, "\r[%s%s] %3.0f%%  %s, %s left \x1b[K",
		strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100, what, left)
}

// estimate measures how much time is left.
func (p *progress) estimate(now time.Time, done float64) {
	if p.began.IsZero() {
		p.began, p.doneThen = now, done
	}
	elapsed, more := now.Sub(p.began), done-p.doneThen
	if elapsed < leftAfter || more <= 0 {
		return
	}
	measured := time.Duration(float64(elapsed) * (1 - done) / more)
	if p.updated.IsZero() {
		p.left = measured
	} else {
		expected := max(p.left-now.Sub(p.updated), 0)
		p.left = expected + time.Duration(leftShare*float64(measured-expected))
	}
	p.updated = now
}

// end goes to the next line where there is a bar.
func (p *progress) end() {
	if p.drawn {
		_, _ = fmt.Fprintln(p.out)
	}
}
