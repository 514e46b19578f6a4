package builtin

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/foreign"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

func fileType() source.Type {
	return source.Type{Name: "file", NewConfig: func(source.Defaults) source.Config { return NewFileConfig() }}
}

// FileConfig is the configuration of a source of type file: it publishes the lines of a file, each a CloudEvent in
// the JSON format, and goes on as the file grows. All replicas must see the same file.
type FileConfig struct {
	// Path is the file. It may come later, and be replaced by a new one, which is read from its beginning.
	Path string `mapstructure:"path"`
	// StartFrom is where to begin the first time: beginning (default) or end.
	StartFrom string `mapstructure:"startFrom"`
	// Interval is the time between two looks whether there is more; default 1s.
	Interval setting.Duration `mapstructure:"interval"`
}

const (
	maxLine       = 1 << 20
	fileBatch     = 100
	fingerprinted = 256 // bytes at the beginning that tell one file from another
)

// NewFileConfig returns the defaults.
func NewFileConfig() *FileConfig {
	return &FileConfig{StartFrom: "beginning", Interval: setting.Duration(time.Second)}
}

// Validate implements source.Config.
func (c *FileConfig) Validate(string) setting.Problems {
	var p setting.Problems
	if c.Path == "" {
		p.Add("path", "there is no file", "write the path of a file with a CloudEvent in JSON on each line")
	}
	if c.StartFrom != "beginning" && c.StartFrom != "end" {
		p.Add("startFrom", fmt.Sprintf("%q is not a place in a file", c.StartFrom), "write beginning or end")
	}
	if c.Interval.Std() < 10*time.Millisecond {
		p.Add("interval", fmt.Sprintf("%s is shorter than 10ms", c.Interval), "set a time like 1s")
	}
	return p
}

// EventKinds implements source.Config: the file says what the events look like.
func (c *FileConfig) EventKinds() ([]source.EventKind, error) { return nil, nil }

// Report implements source.Config.
func (c *FileConfig) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

// NewSource implements source.Config.
func (c *FileConfig) NewSource(env source.Env) (source.Source, error) {
	return &fileSource{config: c, outbox: env.Outbox, log: env.Logger, health: env.Monitor}, nil
}

// fileSource remembers its place in the file, which it saves in the step that publishes what is before it.
type fileSource struct {
	config *FileConfig
	outbox source.Outbox
	log    *slog.Logger
	health *source.Monitor
	found  int  // events of the last read
	failed bool // that the file cannot be read was logged
}

// place is up to where which file was read.
type place struct {
	Offset int64 `json:"offset"`
	// Length is how much of the beginning Fingerprint is of.
	Length      int64  `json:"length"`
	Fingerprint string `json:"fingerprint"`
}

var _ source.Source = (*fileSource)(nil)

// RunOnce implements source.Source: it reads what is there.
func (s *fileSource) RunOnce(ctx context.Context) error {
	at, err := s.saved(ctx)
	if err == nil {
		_, err = s.read(ctx, at)
	}
	return err
}

// saved returns the place that was saved last, or nil.
func (s *fileSource) saved(ctx context.Context) (*place, error) {
	saved, err := s.outbox.Checkpoint(ctx)
	if err != nil || saved == nil {
		return nil, err
	}
	at := &place{}
	if err := json.Unmarshal(saved, at); err != nil {
		return nil, fmt.Errorf("read the checkpoint: %w", err)
	}
	return at, nil
}

// Run implements source.Source.
func (s *fileSource) Run(ctx context.Context) error {
	at, err := s.saved(ctx)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		at, err = s.read(ctx, at)
		if errors.Is(err, source.ErrFenced) || ctx.Err() != nil {
			return err
		}
		s.report(err)
		if next := time.Now().Add(s.config.Interval.Std()); err != nil {
			s.health.Failed(ctx, err, next)
		} else {
			s.health.Succeeded(ctx, s.found, next)
		}
		backoff.Sleep(ctx, s.config.Interval.Std())
	}
	return nil
}

func (s *fileSource) report(err error) {
	switch {
	case err != nil && !s.failed:
		s.log.Warn("cannot read the file, trying again", "path", s.config.Path, "err", err)
	case err == nil && s.failed:
		s.log.Info("reading the file again", "path", s.config.Path)
	}
	s.failed = err != nil
}

// read publishes what the file holds behind a place, and returns the place behind it.
func (s *fileSource) read(ctx context.Context, at *place) (*place, error) {
	s.found = 0
	f, err := os.Open(s.config.Path)
	if err != nil {
		return at, err
	}
	defer func() { _ = f.Close() }() // it was only read
	if at, err = s.find(ctx, f, at); err != nil {
		return at, err
	}
	if _, err := f.Seek(at.Offset, io.SeekStart); err != nil {
		return at, err
	}
	lines := bufio.NewReaderSize(f, 64<<10)
	for {
		now := *at
		if now.Length, now.Fingerprint, err = fingerprint(f, fingerprinted); err != nil {
			return at, err
		}
		emissions, next, more, err := s.batch(lines, now)
		if err != nil {
			return at, err
		}
		if next.Offset == at.Offset {
			return at, nil
		}
		data, err := json.Marshal(next)
		if err != nil {
			return at, err
		}
		if _, err := s.outbox.Publish(ctx, emissions, source.Save{Data: data}); err != nil {
			return at, err
		}
		at = &next
		s.found += len(emissions)
		if !more {
			return at, nil
		}
	}
}

// find returns where to read on: at the beginning of a file that is not the one that was read before.
func (s *fileSource) find(ctx context.Context, f *os.File, at *place) (*place, error) {
	info, err := f.Stat()
	if err != nil {
		return at, err
	}
	if at == nil {
		return s.begin(ctx, f, info.Size())
	}
	_, same, err := fingerprint(f, at.Length)
	if err != nil {
		return at, err
	}
	if info.Size() < at.Offset || at.Offset > 0 && same != at.Fingerprint {
		return &place{}, nil
	}
	return at, nil
}

// begin returns where to read the first time. The end is saved, so that what comes while nothing runs is not left out.
func (s *fileSource) begin(ctx context.Context, f *os.File, size int64) (*place, error) {
	at := &place{}
	if s.config.StartFrom != "end" {
		return at, nil
	}
	at.Offset = size
	var err error
	if at.Length, at.Fingerprint, err = fingerprint(f, fingerprinted); err != nil {
		return nil, err
	}
	data, err := json.Marshal(at)
	if err != nil {
		return nil, err
	}
	_, err = s.outbox.Publish(ctx, nil, source.Save{Data: data})
	return at, err
}

// fingerprint identifies a file by its beginning.
func fingerprint(f *os.File, most int64) (length int64, sum string, err error) {
	beginning := make([]byte, most)
	n, err := f.ReadAt(beginning, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, "", err
	}
	hash := sha256.Sum256(beginning[:n])
	return int64(n), hex.EncodeToString(hash[:8]), nil
}

// batch reads whole lines. A line without an end may still be being written, unless it is a whole event already: a JSON
// object cannot go on after its last brace.
func (s *fileSource) batch(lines *bufio.Reader, at place) (emissions []source.Emission, next place, more bool, err error) {
	next = at
	for range fileBatch {
		line, err := readLine(lines)
		isLast := errors.Is(err, io.EOF)
		if err != nil && !isLast {
			return nil, at, false, err
		}
		begin := next.Offset
		event, isBlank, err := parseLine(line, begin == 0)
		switch refused, ok := errors.AsType[*foreign.Error](err); {
		case isLast && (isBlank || err != nil):
			return emissions, next, false, nil // it is read again when it has grown
		case ok && refused.Reason == foreign.Unsupported:
			return nil, at, false, err // that is the file, and not a line of it
		}
		next.Offset += line.length
		if isBlank {
			continue
		}
		if err != nil {
			s.log.Error("a line is not a valid event and is left out", "path", s.config.Path, "offset", begin, "err", err)
			continue
		}
		data, err := json.Marshal(next)
		if err != nil {
			return nil, at, false, err
		}
		if emissions = append(emissions, source.Emission{Event: event, Checkpoint: data}); isLast {
			return emissions, next, false, nil
		}
	}
	return emissions, next, true, nil
}

// parseLine reads the event of a line; isFirst says that it is the first of the file, which may have a byte order mark.
func parseLine(l line, isFirst bool) (event rawevent.Event, isBlank bool, err error) {
	if isFirst && bytes.HasPrefix(l.text, []byte{0x1f, 0x8b}) {
		return event, false, &foreign.Error{Reason: foreign.Unsupported, Text: "the file is compressed; unpack it"}
	}
	text, err := foreign.Line(l.text, isFirst)
	switch text = bytes.TrimSpace(text); {
	case err != nil:
		return event, false, err
	case l.isLong:
		return event, false, fmt.Errorf("it is longer than %d bytes", maxLine)
	case len(text) == 0:
		return event, true, nil
	}
	event, err = rawevent.FromJSON(text)
	return event, false, err
}

// line is a line of a file, or the beginning of one that is too long.
type line struct {
	text   []byte
	length int64
	isLong bool
}

// readLine returns the next line with its end, or io.EOF where there is none.
func readLine(r *bufio.Reader) (line, error) {
	var l line
	for {
		part, err := r.ReadSlice('\n')
		l.length += int64(len(part))
		if len(l.text)+len(part) <= maxLine {
			l.text = append(l.text, part...)
		} else {
			l.isLong = true
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l, err
		}
	}
}
